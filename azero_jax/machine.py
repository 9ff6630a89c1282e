"""The machine: one `lax.while_loop` around one `lax.switch` that runs linear code.

All programs of a call stand behind each other in one code array; the machine
runs each over all its examples, writes its results and goes on to the next.
Tasks are lanes: memory is an array [rows, D] for vectors and one for scalars and
matrices; a scalar is one row, a vector F rows, a matrix F * F rows. Branches of the
switch are `control_steps`, and here the ops and the pairs of ops that run together.

What XLA's CPU backend needs, all measured: the same few operands in the same order
for every branch, unsigned indices, and branches that write array after array of
memory, each time with values of the memory as it is then. Otherwise XLA copies all
of it.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from azero_jax import calls, draws, lane_forms, ops
from azero_jax.assembler import assemble
from azero_jax.control_steps import control_branches
from azero_jax.execution import in_one_loop
from azero_jax.instructions import CONSTANTS, DRAW_KEY, HALTED, OPERAND_A, OPERAND_B, OUTPUT, RESULT_ROWS, WORD_SIZE
from azero_jax.machine_step import MachineConfig, Memory, Operands, State, Step, nothing, switched
from azero_jax.packed import MAX_PROGRAMS, NUM_PROGRAMS, Reader, at, op_table_words
from azero_jax.superinstructions import Pair


def build(config: MachineConfig) -> Callable[..., jax.Array]:
    """Makes the function that runs packed programs.

    Returns:
      A function of (words, examples) that returns the results of up to MAX_PROGRAMS
      programs, [MAX_PROGRAMS, RESULT_ROWS, D]; to be jitted. `words` holds the packed
      programs, the schedule, the numbers of the tasks and the seed, uint32; `examples`
      [rows, D] the examples.
    """
    run_code = build_interpreter(config)
    table = op_table_words(config.layout.memory)
    layout, packed = config.words, config.packed

    def run(words, examples):
        results = jnp.zeros((MAX_PROGRAMS, RESULT_ROWS, config.lanes), config.dtype)
        return in_one_loop(lambda zero, _: run_all(words, examples, zero), words[NUM_PROGRAMS], results)

    def run_all(words, examples, zero):
        reader = Reader(packed, words, jnp.asarray(table))
        # The barrier keeps XLA from making one loop of both, which tests every element: 400 us. And
        # all that follows depends on `zero` by way of the code, or XLA would move it out of the loop.
        code = lax.optimization_barrier(jnp.full(layout.size, zero, jnp.uint32))
        schedule_and_tasks, seed = calls.read(words, config)
        code = lax.dynamic_update_slice(code, schedule_and_tasks, (np.uint32(layout.first_position),))
        normalised = config.objective.has_classes
        return run_code(assemble(reader, code, config.layout, config.instruction_set, seed, normalised), examples)

    return run


def build_interpreter(config: MachineConfig) -> Callable[..., jax.Array]:
    """Makes the function that runs code.

    Returns:
      A function of (code, examples) that returns what the function of `build` does;
      `code` holds instructions, the schedule and the numbers of the tasks, as `Words`.
    """
    run_from = _build_loop(config)

    def run(code, examples):
        first_result = config.layout.first_result
        past_results = first_result + MAX_PROGRAMS * RESULT_ROWS
        rows = config.layout.rows_of_scalars_and_matrices, config.layout.rows_of_vectors
        memory = Memory(*(jnp.zeros((count, config.lanes), config.dtype) for count in rows))
        results = run_from(code, examples, memory).scalars_and_matrices[first_result:past_results]
        return results.reshape(MAX_PROGRAMS, RESULT_ROWS, config.lanes)

    return run


def build_recorder(config: MachineConfig) -> Callable[..., Memory]:
    """Makes the function that runs one packed program and keeps what it predicts and its memory.

    Args:
      config: with recorded rows.

    Returns:
      A function of (words, examples, memory) that returns the memory afterwards; to be
      jitted. `words` and `examples` as of `build`; `memory` as `Layout` says.
    """
    run_from = _build_loop(config)
    table = op_table_words(config.layout.memory)
    layout, packed = config.words, config.packed

    def run(words, examples, memory):
        reader = Reader(packed, words, jnp.asarray(table))
        schedule_and_tasks, seed = calls.read(words, config)
        code = jnp.concatenate([jnp.zeros(layout.first_position, jnp.uint32), schedule_and_tasks])
        normalised = config.objective.has_classes
        code = assemble(reader, code, config.layout, config.instruction_set, seed, normalised)
        return run_from(code, examples, memory)

    return run


def _build_loop(config: MachineConfig) -> Callable[..., Memory]:
    """Makes the function from code, examples and memory to the memory after the code has run."""
    instruction_set = config.instruction_set
    branches = control_branches(config) + [_op_branch(config, op) for op in instruction_set.single]
    if not config.layout.recorded:
        branches += [_op_branch(config, op, in_place=True) for op in instruction_set.in_place]
        branches += [_pair_branch(config, pair) for pair in instruction_set.pairs]

    def step(state: State, operands: Operands) -> State:
        opcode = at(operands.words, state.program_counter * np.uint32(WORD_SIZE)).astype(jnp.int32)
        return lax.switch(opcode, [switched(branch) for branch in branches], state, operands)

    def run(code, examples, memory):
        operands = Operands(code, examples)
        state = State(jnp.uint32(0), memory)
        state = lax.while_loop(lambda s: s.program_counter != HALTED, lambda s: step(s, operands), state)
        return state.memory

    return run


def _read_operand(config: MachineConfig, memory, row, kind: str):
    shape = ops.output_shape(kind, config.layout.features_size)
    return memory.read(kind, row, config.layout.size(kind)).reshape(*shape, config.lanes)


def _result(config: MachineConfig, op: ops.Op, step: Step, places: tuple[int, ...] = (OPERAND_A, OPERAND_B)):
    """The value of an op that has a function; `places` say where in the instruction its operands stand."""
    size = config.layout.features_size
    if op.name == "MATRIX_VECTOR_PRODUCT" and size <= ops.MAX_TREE_TERMS:
        # A column at a time: XLA copies what it reads more than once.
        first = step.word[places[0]]
        columns = [step.memory.read("m", first + np.uint32(j), (size - 1) * size + 1)[::size] for j in range(size)]
        return lane_forms.combined(columns, _read_operand(config, step.memory, step.word[places[1]], "v"))
    inputs = [_read_operand(config, step.memory, step.word[place], kind) for place, kind in zip(places, op.inputs)]
    return lane_forms.apply(op, inputs, size)


def _pieces_of_matrix(size: int) -> list[tuple[int, int]]:
    """First row and number of rows in memory of what a matrix is written in: 64 rows at a time, or a sixteenth."""
    each = min(size, max(64 // size, -(-size // 16)))
    return [(first * size, min(each, size - first) * size) for first in range(0, size, each)]


def _elementwise_on_matrices(config: MachineConfig, op: ops.Op, places: tuple[int, ...]):
    """A branch that works in pieces: what XLA copies of the operands then stays in the level-1 cache."""

    def branch(step: Step) -> State:
        for first, rows in _pieces_of_matrix(config.layout.features_size):
            parts = {"s": (np.uint32(0), 1), "m": (np.uint32(first), rows)}
            inputs = [
                step.memory.read(kind, step.word[place] + parts[kind][0], parts[kind][1])
                for place, kind in zip(places, op.inputs)
            ]
            step = step.stored(lane_forms.apply_elementwise(op, inputs), kind="m", behind=first)
        return step.go()

    return branch


def _small_loops(config: MachineConfig) -> bool:
    """Whether a vector is long enough for more loops that are cheaper each, and short enough for one per row."""
    return 8 <= config.layout.features_size <= ops.MAX_TREE_TERMS


def _write_outer(config: MachineConfig, first: Step, last: Step, op: ops.Op | None = None) -> State:
    """Writes an outer product, or what an op makes of it and the matrix that stands there, row by row.

    In one loop over all elements each would find out by division where it belongs.

    Args:
      config: of the machine.
      first: the instruction that multiplies.
      last: the one that writes, the same or the next.
      op: elementwise; its first operand is its output.
    """
    size = config.layout.features_size
    for row in range(size):
        element = last.memory.read("v", first.word[OPERAND_A] + np.uint32(row), 1)
        value = element * last.memory.read("v", first.word[OPERAND_B], size)
        if op is not None:
            before = last.memory.read("m", last.word[OUTPUT] + np.uint32(row * size), size)
            value = lane_forms.apply_elementwise(op, [before, first.rounded(value)])
        last = last.stored(value, kind="m", behind=row * size)
    return last.go()


def _known(config: MachineConfig, op: ops.Op) -> bool:
    """Whether programs of this memory can hold an op."""
    return all(config.layout.memory.of(kind) for kind in op.inputs + op.output)


def _pair_branch(config: MachineConfig, pair: Pair):
    first_op, second_op = ops.op_named(pair.first), ops.op_named(pair.second)
    if not _known(config, first_op) or not _known(config, second_op):
        return nothing

    def branch(first: Step) -> State:
        second = first.second
        if pair.in_place and pair.first == "VECTOR_OUTER_PRODUCT" and _small_loops(config):
            return _write_outer(config, first, second, second_op)
        result = first.rounded(_result(config, first_op, first))
        if pair.in_place:
            # In the shape of memory: with a change of shape in between, XLA would copy the operand.
            rows = config.layout.size(second_op.output)
            other = first.memory.read(second_op.output, second.word[OUTPUT], rows)
            inputs = [other, result.reshape(rows, config.lanes)]
            value = lane_forms.apply_elementwise(second_op, inputs)
            return second.write(value, kind=second_op.output)
        if pair.commutes:
            row = second.word[OPERAND_A] + second.word[OPERAND_B] - first.word[OUTPUT]  # the one that is not the result
        else:
            row = second.word[(OPERAND_B, OPERAND_A)[pair.place]]
        other = _read_operand(config, first.memory, row, second_op.inputs[1 - pair.place])
        inputs = [other, result] if pair.place else [result, other]
        value = lane_forms.apply(second_op, inputs, config.layout.features_size)
        rows = config.layout.size(second_op.output)
        detour = set(first_op.inputs) == {"v"} and _by_detour(config, second_op)
        return _written(config, second, value.reshape(rows, config.lanes), second_op.output, detour)

    return branch


def _op_branch(config: MachineConfig, op: ops.Op, in_place: bool = False):
    layout, lanes = config.layout, config.lanes
    if not op.output or not _known(config, op):
        return nothing
    places = (OUTPUT if in_place else OPERAND_A, OPERAND_B)
    if op.name in lane_forms.ELEMENTWISE_MATRIX_OPS:
        return _elementwise_on_matrices(config, op, places)
    if op.name == "VECTOR_OUTER_PRODUCT" and _small_loops(config):
        return lambda step: _write_outer(config, step, step)
    detour = not in_place and _by_detour(config, op)

    def branch(step: Step) -> State:
        word = step.word
        rows = layout.size(op.output)
        if op.function is not None:
            value = _result(config, op, step, places)
        else:
            constants = _constants(word, config.dtype)
            if op.draws is None:
                rows = 1  # the assembler has turned indices into the row to write
                value = jnp.broadcast_to(constants[0], (1, lanes))
            else:
                tasks = step.operands.words[config.words.first_task : config.words.first_task + lanes]
                bits = draws.random_bits(word[DRAW_KEY], step.position, tasks, rows)
                if op.draws == "uniform":
                    value = constants[0] + (constants[1] - constants[0]) * draws.uniform(bits, np.dtype(config.dtype))
                else:
                    value = constants[0] + constants[1] * draws.gaussian(bits, np.dtype(config.dtype))
        return _written(config, step, value.reshape(rows, lanes), op.output, detour)

    return branch


def _by_detour(config: MachineConfig, op: ops.Op) -> bool:
    """Whether a result is written to the other array first, so that XLA need not copy the operands from its own."""
    inputs = {"s": {"m"}, "v": {"v"}}.get(op.output)
    return set(op.inputs) == inputs and _small_loops(config)


def _written(config: MachineConfig, step: Step, value: jax.Array, kind: str, detour: bool) -> State:
    """The state with a value where the instruction says."""
    if detour:
        other, row = ("s", config.layout.first_spare) if kind == "v" else ("v", config.layout.rows_of_vectors - 1)
        step = step.stored(value, row, other)
        value = step.memory.read(other, np.uint32(row) + step.zero, value.shape[0])
    return step.write(value, kind=kind)


def _constants(word, dtype):
    if dtype == "float32":
        return lax.bitcast_convert_type(word[CONSTANTS : CONSTANTS + 2], jnp.float32)
    return lax.bitcast_convert_type(word[CONSTANTS : CONSTANTS + 4].reshape(2, 2), jnp.float64)
