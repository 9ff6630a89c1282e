"""The machine: one `lax.while_loop` around one `lax.switch` that runs linear code.

All programs of a call stand behind each other in one code array; the machine
runs each over all its examples, writes its results and goes on to the next.
Tasks are lanes: memory is an array [rows, D] for vectors and one for scalars and
matrices; a scalar is one row, a vector F rows, a matrix F * F rows. The control steps (load an example, reveal its
label, accumulate a validation error, ...) are branches of the same switch.

What XLA's CPU backend needs from this file, all measured: the same few operands
in the same order for every branch, unsigned indices, and branches that write array
after array of memory, each time with values of the memory as it is then. Otherwise XLA
copies all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from azero_jax import draws, fingerprints, lane_forms, ops
from azero_jax.assembler import assemble
from azero_jax.instructions import (
    CONSTANTS,
    DRAW_KEY,
    EXAMPLE_HEADER,
    HALTED,
    JUMP_TABLE,
    LABEL_VECTOR,
    OPERAND_A,
    OPERAND_B,
    OUTPUT,
    PREDICTION_VECTOR,
    RESULT_ROWS,
    SCHEDULE_SHIFT,
    WORD_SIZE,
    Control,
    Layout,
    Words,
)
from azero_jax.packed import MAX_PROGRAMS, PackedLayout, Reader, at, op_table_words
from azero_jax.superinstructions import IN_PLACE_OPS, PAIRS, Pair


class Memory(NamedTuple):
    """All registers, [rows, D] each."""

    scalars_and_matrices: jax.Array
    vectors: jax.Array

    def read(self, kind: str, row: jax.Array, rows: int) -> jax.Array:
        """Some rows, [rows, D]."""
        return _read(self[kind == "v"], row, rows)

    def stored(self, kind: str, row: jax.Array, value: jax.Array) -> Memory:
        """With some rows replaced by a value, [rows, D]."""
        arrays = list(self)
        arrays[kind == "v"] = lax.dynamic_update_slice(self[kind == "v"], value, (row, np.uint32(0)))
        return Memory(*arrays)


class State(NamedTuple):
    """What the loop carries.

    Attributes:
      program_counter: uint32 scalar.
      memory: the registers.
    """

    program_counter: jax.Array
    memory: Memory


class MachineConfig(NamedTuple):
    """Everything that is compiled into a machine.

    Attributes:
      layout: the memory layout.
      loss: of `tasks.LOSSES`.
      num_classes: C, of tasks with classes.
      max_abs_error: a larger error on any example stops a task.
      dtype: "float32" or "float64".
      lanes: D, tasks that run side by side.
      fingerprint: what is hashed, of `FINGERPRINTS`, or "" for nothing.
      op_table: the ops known.
      packed: the form in which programs come.
      words: where code, schedule and task numbers are.
    """

    layout: Layout
    loss: str
    num_classes: int
    max_abs_error: float
    dtype: str
    lanes: int
    fingerprint: str
    op_table: tuple[ops.Op, ...]
    packed: PackedLayout
    words: Words


class _Operands(NamedTuple):
    """Read-only operands of the branches: few arrays, since each costs every dispatch a store.

    Attributes:
      words: uint32, `Words` in one dimension.
      examples: [rows, D]; each example is its label, a zero and its F features.
    """

    words: jax.Array
    examples: jax.Array


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
        reader = Reader(packed, words, jnp.asarray(table))
        # The barrier keeps XLA from making one loop of both, which tests every element: 400 us.
        code = lax.optimization_barrier(jnp.zeros(layout.size, jnp.uint32))
        extra = words[packed.size : packed.size + layout.positions + layout.lanes]
        code = lax.dynamic_update_slice(code, extra, (np.uint32(layout.first_position),))
        seed = at(words, words.shape[0] - 1)
        return run_code(assemble(reader, code, config.layout, len(config.op_table), seed), examples)

    return run


def build_interpreter(config: MachineConfig) -> Callable[..., jax.Array]:
    """Makes the function that runs code.

    Returns:
      A function of (code, examples) that returns what the function of `build` does;
      `code` holds instructions, the schedule and the numbers of the tasks, as `Words`.
    """
    branches = _control_branches(config) + [_op_branch(config, op) for op in config.op_table]
    branches += [_op_branch(config, ops.op_named(name), in_place=True) for name in IN_PLACE_OPS]
    branches += [_pair_branch(config, pair) for pair in PAIRS]

    def step(state: State, operands: _Operands) -> State:
        opcode = at(operands.words, state.program_counter * np.uint32(WORD_SIZE)).astype(jnp.int32)
        return lax.switch(opcode, [_switch_branch(branch) for branch in branches], state, operands)

    def run(code, examples):
        operands = _Operands(code, examples)
        first_result = config.layout.first_result
        past_results = first_result + MAX_PROGRAMS * RESULT_ROWS
        rows = config.layout.rows_of_scalars_and_matrices, config.layout.rows_of_vectors
        memory = Memory(*(jnp.zeros((count, config.lanes), config.dtype) for count in rows))
        state = State(jnp.uint32(0), memory)
        state = lax.while_loop(lambda s: s.program_counter != HALTED, lambda s: step(s, operands), state)
        results = state.memory.scalars_and_matrices[first_result:past_results]
        return results.reshape(MAX_PROGRAMS, RESULT_ROWS, config.lanes)

    return run


def _read(memory, row, rows):
    return lax.dynamic_slice(memory, (row, np.uint32(0)), (rows, memory.shape[1]))


class _Step(NamedTuple):
    """What a branch sees.

    Attributes:
      program_counter: uint32 scalar, of the instruction.
      next: uint32 scalar, of the one behind it.
      zero: uint32 scalar that XLA does not know to be 0.
      word: uint32 [WORD_SIZE], the instruction.
      memory: the registers.
      operands: what is read only.
    """

    program_counter: jax.Array
    next: jax.Array
    zero: jax.Array
    word: jax.Array
    memory: Memory
    operands: _Operands

    @property
    def second(self) -> _Step:
        """What a branch of the instruction behind this one sees."""
        word = lax.dynamic_slice(self.operands.words, (self.next * np.uint32(WORD_SIZE),), (WORD_SIZE,))
        return self._replace(program_counter=self.next, next=self.next + np.uint32(1), word=word)

    def rounded(self, value: jax.Array) -> jax.Array:
        """A product that the compiler may not make one operation with the sum that follows, which rounds once."""
        bits = _bits(value)
        return lax.bitcast_convert_type(bits ^ self.zero.astype(bits.dtype), value.dtype)

    @property
    def position(self) -> jax.Array:
        """uint32 scalar, the position in the schedule."""
        return _bits(self.memory.scalars_and_matrices[Layout.POSITION, 0]).astype(jnp.uint32)

    def stored(self, value, row=None, kind="s") -> _Step:
        """With rows of memory replaced, by default where the instruction says."""
        row = self.word[OUTPUT] if row is None else np.uint32(row)
        return self._replace(memory=self.memory.stored(kind, row, value))

    def go(self, jump=None) -> State:
        """The state at the next instruction, or beyond it."""
        return State(self.next if jump is None else self.next + jump, self.memory)

    def write(self, value, row=None, jump=None, kind="s") -> State:
        """As `stored`, then `go`."""
        return self.stored(value, row, kind).go(jump)


def _bits(number):
    return lax.bitcast_convert_type(number, np.uint32 if number.dtype == np.float32 else np.uint64)


def _switch_branch(branch: Callable[[_Step], State]):
    """A branch that uses all operands, in one order."""

    def switched(state: State, operands: _Operands) -> State:
        state, operands = lax.optimization_barrier((state, operands))
        zero = _bits(operands.examples[1, 0]).astype(jnp.uint32) & at(operands.words, operands.words.shape[0] - 1)
        next = state.program_counter + np.uint32(1) + zero
        word = lax.dynamic_slice(operands.words, (state.program_counter * np.uint32(WORD_SIZE),), (WORD_SIZE,))
        after = branch(_Step(state.program_counter, next, zero, word, state.memory, operands))
        return State(after.program_counter, _touched(state.memory, after.memory))

    return switched


def _touched(before: Memory, after: Memory) -> Memory:
    """With something written, to the last row, where a branch has written nothing: XLA copies what is passed on."""
    arrays = list(after)
    for index, (old, new) in enumerate(zip(before, after)):
        if new is old:
            corner = np.uint32(new.shape[0] - 1), np.uint32(0)
            arrays[index] = lax.dynamic_update_slice(new, jnp.zeros((1, 1), new.dtype), corner)
    return Memory(*arrays)


def _read_operand(config: MachineConfig, memory, row, kind: str):
    shape = ops.output_shape(kind, config.layout.features_size)
    return memory.read(kind, row, config.layout.size(kind)).reshape(*shape, config.lanes)


def _result(config: MachineConfig, op: ops.Op, step: _Step, places: tuple[int, ...] = (OPERAND_A, OPERAND_B)):
    """The value of an op that has a function; `places` say where in the instruction its operands stand."""
    size = config.layout.features_size
    if op.name == "MATRIX_VECTOR_PRODUCT" and size <= lane_forms.MAX_TREE_TERMS:
        # A column at a time: XLA copies what it reads more than once.
        first = step.word[places[0]]
        columns = [step.memory.read("m", first + np.uint32(j), (size - 1) * size + 1)[::size] for j in range(size)]
        return lane_forms.combined(columns, _read_operand(config, step.memory, step.word[places[1]], "v"))
    inputs = [_read_operand(config, step.memory, step.word[place], kind) for place, kind in zip(places, op.inputs)]
    return lane_forms.apply(op, inputs, size)


def _known(config: MachineConfig, op: ops.Op) -> bool:
    """Whether programs of this memory can hold an op."""
    return all(config.layout.memory.of(kind) for kind in op.inputs + op.output)


def _nothing(config: MachineConfig):
    return lambda step: step.go()


def _pair_branch(config: MachineConfig, pair: Pair):
    first_op, second_op = ops.op_named(pair.first), ops.op_named(pair.second)
    if not _known(config, first_op) or not _known(config, second_op):
        return _nothing(config)

    def branch(first: _Step) -> State:
        second = first.second
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
        return second.write(value.reshape(rows, config.lanes), kind=second_op.output)

    return branch


def _op_branch(config: MachineConfig, op: ops.Op, in_place: bool = False):
    layout, lanes = config.layout, config.lanes
    if not op.output or not _known(config, op):
        return _nothing(config)

    def branch(step: _Step) -> State:
        word = step.word
        rows = layout.size(op.output)
        if op.function is not None:
            value = _result(config, op, step, (OUTPUT if in_place else OPERAND_A, OPERAND_B))
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
        return step.write(value.reshape(rows, lanes), kind=op.output)

    return branch


def _constants(word, dtype):
    if dtype == "float32":
        return lax.bitcast_convert_type(word[CONSTANTS : CONSTANTS + 2], jnp.float32)
    return lax.bitcast_convert_type(word[CONSTANTS : CONSTANTS + 4].reshape(2, 2), jnp.float64)


def _control_branches(config: MachineConfig):
    layout, lanes = config.layout, config.lanes
    dtype = np.dtype(config.dtype)
    example_rows = np.uint32(EXAMPLE_HEADER + layout.features_size)
    accuracy, multiclass = config.loss == "accuracy", config.loss == "multiclass_accuracy"
    size, classes = layout.features_size, config.num_classes

    def row_of(step, row):
        return step.memory.scalars_and_matrices[row : row + 1]

    def entry_at(step, position):
        """First row and kind of the example at a position of the schedule."""
        entry = at(step.operands.words, position + np.uint32(config.words.first_position))
        return (entry >> SCHEDULE_SHIFT) * example_rows, entry & np.uint32((1 << SCHEDULE_SHIFT) - 1)

    def current_label(step):
        return _read(step.operands.examples, entry_at(step, step.position)[0], 1)

    def shown(step, ahead):
        """The label hidden and the features of the example so many positions ahead, and the jump of its kind."""
        first_row, kind = entry_at(step, step.position + np.uint32(ahead))
        header = np.uint32(EXAMPLE_HEADER)
        features = _read(step.operands.examples, first_row + header, layout.features_size)
        field = step.program_counter * np.uint32(WORD_SIZE) + np.uint32(JUMP_TABLE) + kind
        step = step.stored(features, 0, "v")
        if multiclass:
            step = step.stored(jnp.zeros((size, lanes), dtype), LABEL_VECTOR * size, "v")
        else:
            step = step.stored(jnp.zeros((1, lanes), dtype), layout.LABEL)
        return step, at(step.operands.words, field)

    def next_position(step):
        bits = _bits(row_of(step, layout.POSITION)[:, :1])
        return lax.bitcast_convert_type(bits + bits.dtype.type(1), dtype)

    def load(step):
        step, jump = shown(step, 0)
        return step.go(jump)

    def sigmoid(x):
        return 1 / (1 + jnp.exp(-x))

    def with_example(step, predictions, errors):
        """Stores the fingerprint after an example, of tasks that have not failed; [rows, D] each."""
        fingerprint = row_of(step, layout.FINGERPRINT)
        after = _bits(fingerprint)
        for row in range(predictions.shape[0]):
            value = fingerprints.hashed_value(config.fingerprint, predictions[row][None], errors[row][None])
            after = fingerprints.mixed(after, value)
        alive = row_of(step, layout.STEPS) >= 0
        value = jnp.where(alive, lax.bitcast_convert_type(after, dtype), fingerprint)
        return step.stored(value, layout.FINGERPRINT)

    def start(step):
        rows = lax.broadcasted_iota(jnp.int32, (layout.FIRST_FREE, lanes), 0)
        vectors = PREDICTION_VECTOR + 1 if multiclass else 1
        step = step.stored(jnp.zeros((vectors * size, lanes), dtype), 0, "v")
        return step.write(jnp.where(rows == layout.BEST, dtype.type(np.inf), dtype.type(0)), 0)

    def zero(kind):
        if not layout.memory.of(kind):
            return _nothing(config)
        return lambda step: step.write(jnp.zeros((layout.size(kind), lanes), dtype), kind=kind)

    def check(step):
        some_alive = jnp.max(row_of(step, layout.STEPS)) >= 0
        return step.go(jnp.where(some_alive, np.uint32(0), step.word[JUMP_TABLE]))

    def one_hot(label):
        return (lax.broadcasted_iota(jnp.int32, (size, lanes), 0).astype(dtype) == label).astype(dtype)

    def predicted_classes(step):
        return step.memory.vectors[PREDICTION_VECTOR * size : PREDICTION_VECTOR * size + classes]

    # Every value that is stored is of the memory as it is then: of an older one, XLA makes a copy.

    def class_errors(step):
        return jnp.abs(one_hot(current_label(step))[:classes] - predicted_classes(step))

    def reveal_class(step):
        probabilities = lane_forms.softmax(predicted_classes(step))
        rest = jnp.zeros((size - classes, lanes), dtype)
        step = step.stored(jnp.concatenate([probabilities, rest]), PREDICTION_VECTOR * size, "v")
        if config.fingerprint:
            step = with_example(step, predicted_classes(step), class_errors(step))
        step = counted(step, lane_forms.maximum(class_errors(step)))
        return step.write(one_hot(current_label(step)), LABEL_VECTOR * size, kind="v")

    def is_wrong(step):
        """1 where the class predicted is another one, [1, D]: the first of the largest, and none that is no number."""
        label, scores = current_label(step), predicted_classes(step)
        row = lax.broadcasted_iota(jnp.int32, scores.shape, 0).astype(dtype)
        own = lane_forms.maximum(jnp.where(row == label, scores, -np.inf))
        beaten = (scores < own) | (scores == own) & (row >= label)
        return lane_forms.maximum(1 - beaten.astype(dtype))

    def accumulate_class(step):
        if config.fingerprint:
            errors = jnp.broadcast_to(is_wrong(step), (classes, lanes))
            step = with_example(step, predicted_classes(step), errors)
        step = step.stored(row_of(step, layout.LOSS) + is_wrong(step), layout.LOSS)
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def counted(step, error):
        """Counts an example of tasks that have not failed, and fails those with a large error."""
        steps = row_of(step, layout.STEPS)
        alive = steps >= 0
        seen = steps + alive.astype(dtype)
        # Not `error > max_abs_error`: NaN fails, too. And no choice of what stands there already, a masked store.
        new_steps = jnp.where(alive & ~(error <= config.max_abs_error), -seen, seen)
        return step.stored(new_steps, layout.STEPS)

    def shown_error(step):
        return jnp.abs(row_of(step, layout.LABEL) - row_of(step, layout.PREDICTION))

    def reveal(step):
        if accuracy:
            step = step.stored(sigmoid(row_of(step, layout.PREDICTION)), layout.PREDICTION)
        step = step.stored(current_label(step), layout.LABEL)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), shown_error(step))
        return counted(step, shown_error(step)).go()

    def next_example(step):
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def hidden_error(step):
        label, prediction = current_label(step), row_of(step, layout.PREDICTION)
        if accuracy:
            return ((sigmoid(prediction) > 0.5) != (label > 0.5)).astype(dtype)
        return jnp.abs(label - prediction)

    def accumulate(step):
        step, jump = shown(step, 1)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), hidden_error(step))
        error, steps = hidden_error(step), row_of(step, layout.STEPS)
        if accuracy:
            rows = [row_of(step, layout.LOSS) + error, steps]
        else:
            failed = (steps >= 0) & ~(error <= config.max_abs_error)
            rows = [row_of(step, layout.LOSS) + error * error, jnp.where(failed, -steps, steps)]
        first = lax.broadcasted_iota(jnp.int32, (2, lanes), 0) == 0
        step = step.stored(jnp.where(first, rows[0], rows[1]), layout.LOSS)
        return step.write(next_position(step), layout.POSITION, jump)

    def epoch(step):
        loss = row_of(step, layout.LOSS)
        best = row_of(step, layout.BEST)
        better = (row_of(step, layout.STEPS) >= 0) & (loss < best)
        step = step.stored(jnp.concatenate([jnp.where(better, loss, best), jnp.zeros_like(loss)]), layout.BEST)
        return step.write(next_position(step), layout.POSITION, step.word[JUMP_TABLE])

    def finish(step):
        rows = [
            row_of(step, layout.BEST),
            jnp.abs(row_of(step, layout.STEPS)),
            row_of(step, layout.FINGERPRINT),
        ]
        return step.write(jnp.concatenate(rows))

    def halt(step):
        return step.go(step.word[JUMP_TABLE])

    table = {
        Control.START: start,
        Control.ZERO_SCALAR: zero("s"),
        Control.ZERO_VECTOR: zero("v"),
        Control.ZERO_MATRIX: zero("m"),
        Control.LOAD: load,
        Control.CHECK: check,
        Control.REVEAL: reveal_class if multiclass else reveal,
        Control.NEXT: next_example,
        Control.ACCUMULATE: accumulate_class if multiclass else accumulate,
        Control.EPOCH: epoch,
        Control.FINISH: finish,
        Control.HALT: halt,
    }

    return [table[control] for control in Control]
