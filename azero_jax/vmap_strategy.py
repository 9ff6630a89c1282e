"""How populations run on accelerators: all programs side by side, by `vmap`.

One program on one task is written out as plain JAX; `vmap` batches it over tasks
and programs. A `lax.switch` on a batched op becomes a select over all ops, which a
GPU hides and a CPU does not (design: 600 times slower there). All programs walk
through the examples in step, so none stops early.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from azero_jax import draws, fingerprints, ops
from azero_jax.execution import precision
from azero_jax.instructions import (
    EXAMPLE_HEADER,
    EXTREME_LABELS,
    RESULT_ROWS,
    SCHEDULE_SHIFT,
    ExampleKind,
    element_index,
)
from azero_jax.liveness import find_live_in_valid
from azero_jax.packed import RegisterNumbers
from azero_jax.program import LABEL_VECTOR, PREDICTION_VECTOR, Population, op_columns
from azero_jax.superinstructions import InstructionSet
from azero_jax.switch_strategy import RunSettings, TaskGroup, check_memory, task_groups
from azero_jax.tasks import Tasks
from azero_jax.text import IN1, IN2, OP, OUT

_PROGRAMS_PER_CALL = 64
_LINES_STEP = 4  # component functions are padded to a multiple of this


class Lines(NamedTuple):
    """Live lines of programs, one axis for programs, one for lines.

    Attributes:
      op, in1, in2, out: int32, the instruction; padding is the no-op.
      element: int32, which element of its output the instruction sets, if only one.
      constants: [..., 2].
      key: uint32, identifies a random instruction.
    """

    op: jax.Array | np.ndarray
    in1: jax.Array | np.ndarray
    in2: jax.Array | np.ndarray
    out: jax.Array | np.ndarray
    element: jax.Array | np.ndarray
    constants: jax.Array | np.ndarray
    key: jax.Array | np.ndarray


class LineAssembly(NamedTuple):
    """Programs ready to run.

    Attributes:
      lines: [P, L, ...], the live lines of Setup, Predict and Learn behind each other.
      capacity: lines of each of them.
      compiled: the ops that `lines.op` counts through.
    """

    lines: Lines
    capacity: tuple[int, int, int]
    compiled: tuple[ops.Op, ...]


class _Memory(NamedTuple):
    """One program's memory on one task: [scalars], [vectors, F], [matrices, F, F]."""

    s: jax.Array
    v: jax.Array
    m: jax.Array


class VmapStrategy:
    """Runs programs on tasks by `vmap`; arguments as of `SwitchStrategy`."""

    def __init__(self, tasks: Tasks, settings: RunSettings):
        dtype = settings.dtype
        self.dtype = dtype
        self._tasks = tasks
        self._memory = settings.memory
        self._addresses = np.array(settings.addresses)
        self._max_abs_error = settings.max_abs_error
        self._fingerprint = settings.fingerprint
        self._seed_word = draws.seed_word(settings.seed)
        self._instructions = InstructionSet(ops.table(), settings.expected_ops)
        self._num_positions = settings.num_positions
        self._num_traces = [0]
        numbers = sum(count * tasks.features_size**rank for rank, count in enumerate(settings.memory))
        bytes_of_a_call = 2 * _PROGRAMS_PER_CALL * tasks.num_tasks * numbers * np.dtype(dtype).itemsize
        self.needed_bytes = check_memory(bytes_of_a_call, tasks, settings)
        self._jitted = jax.jit(self._run_batch, static_argnames=("capacity", "fingerprint", "compiled"))

    @functools.cached_property
    def _group(self) -> TaskGroup:
        """All tasks in one group: here lanes are just another batch axis."""
        with precision(self.dtype):
            return task_groups(self._tasks, self._tasks.num_tasks, self.dtype)[0]

    def _assemble(self, population: Population) -> LineAssembly:
        """Moves live lines to the front of each component function."""
        live = find_live_in_valid(population, self._memory, self._tasks.vector_labels)
        size = len(population)
        program, line = np.nonzero(live)
        function = population.functions[line]
        counts = np.bincount(program * 3 + function, minlength=size * 3).reshape(size, 3)
        longest = counts.max(axis=0, initial=0)
        capacity = tuple(int(max(1, -(-lines // _LINES_STEP)) * _LINES_STEP) for lines in longest)
        first = np.cumsum(counts.ravel()) - counts.ravel()
        place = np.arange(len(program)) - first[program * 3 + function]
        place += (np.cumsum(capacity) - capacity)[function]
        code = population.code[program, line].astype(np.int32)
        constants = population.constants[program, line]
        op = code[:, OP]
        values = np.zeros((len(op), 2), self.dtype)
        element = np.zeros(len(op), np.int32)
        num_indices = op_columns().num_indices[op]
        for count in range(3):
            rows = np.flatnonzero(num_indices == count)
            last = constants[rows, count : count + 2]
            values[rows, : last.shape[1]] = last
            for index in np.asarray(element_index(constants[rows, :count], self._tasks.features_size)).T:
                element[rows] = element[rows] * self._tasks.features_size + index
        key = np.zeros(len(op), np.uint32)
        random = np.flatnonzero(op_columns().draws[op])
        key[random] = self._draw_keys(program[random], function[random], op[random], code[random, OUT])

        def scatter(values: np.ndarray) -> np.ndarray:
            padded = np.zeros((size, sum(capacity), *values.shape[1:]), values.dtype)
            padded[program, place] = values
            return padded

        instructions = self._instructions.with_ops(np.unique(op), grown=self._num_traces[0] > 0)
        self._instructions = instructions  # another thread may go on with another set
        place_of_op = np.searchsorted(instructions.compiled, op).astype(np.int32)
        columns = (place_of_op, code[:, IN1], code[:, IN2], code[:, OUT], element, values, key)
        return LineAssembly(Lines(*map(scatter, columns)), capacity, instructions.single)  # type: ignore[arg-type]

    def _draw_keys(self, program: np.ndarray, function: np.ndarray, op: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Keys of live random lines, uint32 [n], as the assembler's."""
        address = self._addresses[out + RegisterNumbers.of(self._memory).first[op_columns().kinds[OUT][op]]]
        identity = (function * len(self._instructions.op_table) + op) * 65536 + address
        order = np.lexsort((identity, program))  # stable: keeps the order of lines
        same = (np.diff(identity[order], prepend=-1) == 0) & (np.diff(program[order], prepend=-1) == 0)
        position = np.arange(len(order))
        occurrence = np.empty(len(order), np.int64)
        occurrence[order] = position - np.maximum.accumulate(np.where(same, 0, position))
        return np.asarray(draws.instruction_key(self._seed_word, function, op, address, occurrence))

    def run(self, population: Population, schedule: np.ndarray, fingerprint: bool) -> np.ndarray:
        """Runs programs by a schedule; results [P, RESULT_ROWS, D]."""
        with precision(self.dtype):
            assembly = self._assemble(population)
        results = np.empty((len(population), RESULT_ROWS, self._tasks.num_tasks), self.dtype)
        for first in range(0, len(population), _PROGRAMS_PER_CALL):
            chosen = np.arange(first, min(first + _PROGRAMS_PER_CALL, len(population)))
            padded = np.resize(chosen, _PROGRAMS_PER_CALL)
            lines = Lines(*(column[padded] for column in assembly.lines))
            with precision(self.dtype):
                out = self._jitted(
                    lines,
                    schedule,
                    self._group.examples,
                    self._group.numbers,
                    capacity=assembly.capacity,
                    fingerprint=fingerprint,
                    compiled=assembly.compiled,
                )
                results[first : first + len(chosen)] = np.asarray(out)[: len(chosen)]
        return results

    @property
    def num_traces(self) -> int:
        """How often the machine was traced, and so compiled."""
        return self._num_traces[0]

    def _run_batch(self, lines: Lines, schedule, examples, numbers, *, capacity, fingerprint, compiled) -> jax.Array:
        self._num_traces[0] += 1
        one_task = functools.partial(self._run_one, capacity=capacity, fingerprint=fingerprint, compiled=compiled)
        all_tasks = jax.vmap(one_task, in_axes=(None, None, 1, 0), out_axes=1)
        with jax.default_matmul_precision("highest"):  # an accelerator would else take fewer bits of float32
            return jax.vmap(all_tasks, in_axes=(0, None, None, None))(lines, schedule, examples, numbers)

    def _run_one(self, lines: Lines, schedule, examples, number, *, capacity, fingerprint, compiled) -> jax.Array:
        """One program on one task, [RESULT_ROWS]."""
        tasks, memory_size, dtype = self._tasks, self._memory, np.dtype(self.dtype)
        features_size, objective = tasks.features_size, tasks.objective
        examples = examples[:-EXTREME_LABELS].reshape(-1, EXAMPLE_HEADER + features_size)
        ends = np.cumsum(capacity)

        def execute(function: int, memory: _Memory, step) -> _Memory:
            def body(line, memory):
                return self._execute_line(Lines(*(column[line] for column in lines)), memory, step, number, compiled)

            return lax.fori_loop(int(ends[function] - capacity[function]), int(ends[function]), body, memory)

        def predict(memory: _Memory, example, step) -> _Memory:
            memory = with_label(memory, jnp.zeros((), dtype), hidden=True)
            return execute(1, memory._replace(v=memory.v.at[0].set(example[EXAMPLE_HEADER:])), step)

        def with_label(memory: _Memory, label, hidden=False) -> _Memory:
            if not tasks.vector_labels:
                return memory._replace(s=memory.s.at[0].set(label))
            one_hot = jnp.where(hidden, 0, jnp.arange(features_size) == label).astype(dtype)
            return memory._replace(v=memory.v.at[LABEL_VECTOR].set(one_hot))

        def predicted(memory: _Memory):
            """The prediction, [1], or that of each class, [C]."""
            return memory.v[PREDICTION_VECTOR, : tasks.num_classes] if tasks.vector_labels else memory.s[1:2]

        def wanted(label):
            """What a prediction should be, of the same shape."""
            return (jnp.arange(tasks.num_classes) == label).astype(dtype) if tasks.vector_labels else label[None]

        def with_prediction(memory: _Memory, prediction) -> _Memory:
            if not tasks.vector_labels:
                return memory._replace(s=memory.s.at[1].set(prediction[0]))
            padded = jnp.zeros(features_size, dtype).at[: tasks.num_classes].set(prediction)
            return memory._replace(v=memory.v.at[PREDICTION_VECTOR].set(padded))

        def hashed(state, prediction, error):
            if not fingerprint:
                return state
            for value in fingerprints.hashed_value(self._fingerprint, prediction, error):
                state = fingerprints.mixed(state, value.astype(jnp.float32))
            return state

        def train(carry, example, step):
            memory, best, loss, alive, steps, state, blocks = carry
            memory = predict(memory, example, step)
            prediction = objective.normalised(predicted(memory))
            errors = jnp.abs(wanted(example[0]) - prediction)
            memory = execute(2, with_label(with_prediction(memory, prediction), example[0]), step)
            state = jnp.where(alive, hashed(state, prediction, errors), state)
            return memory, best, loss, alive & jnp.all(errors <= self._max_abs_error), steps + alive, state, blocks

        def validate(carry, example, step):
            memory, best, loss, alive, steps, state, blocks = carry
            memory = predict(memory, example, step)
            prediction = predicted(memory)
            error, checked = objective.checked_error(prediction[:, None], example[0][None, None])
            ok = jnp.bool_(True) if checked is None else checked[0, 0] <= self._max_abs_error
            error = error[0, 0]
            state = jnp.where(alive, hashed(state, prediction, jnp.broadcast_to(error, prediction.shape)), state)
            loss = loss + objective.summed(error)
            return memory, best, loss, alive & ok, steps, state, blocks

        def end_epoch(carry, example, step):
            memory, best, loss, alive, steps, state, blocks = carry
            loss += blocks
            best = jnp.where(alive & (loss < best), loss, best)
            return memory, best, jnp.zeros_like(loss), alive, steps, state, jnp.zeros_like(loss)

        # Each is compiled, with all ops in it, as often as it is listed: once.
        branches = [train, validate, end_epoch, lambda carry, example, step: carry]
        by_kind = {
            ExampleKind.TRAIN: 0,
            ExampleKind.TRAIN_AFTER_CHECK: 0,
            ExampleKind.VALID: 1,
            ExampleKind.VALID_AFTER_CHECK: 1,
            ExampleKind.EPOCH_END: 2,
            ExampleKind.END: 3,
        }
        branch_of_kind = jnp.array([by_kind[kind] for kind in ExampleKind])

        def visit(carry, position):
            entry = schedule[position]
            kind = (entry & np.uint32((1 << SCHEDULE_SHIFT) - 1)).astype(jnp.int32)
            example = examples[(entry >> SCHEDULE_SHIFT).astype(jnp.int32)]
            # A long sum would lose what is small beside it.
            *others, loss, alive, steps, state, blocks = carry
            new_block = kind == ExampleKind.VALID_AFTER_CHECK
            blocks, loss = jnp.where(new_block, blocks + loss, blocks), jnp.where(new_block, 0, loss)
            carry = (*others, loss, alive, steps, state, blocks)
            return lax.switch(branch_of_kind[kind], branches, carry, example, position.astype(jnp.uint32)), None

        memory = _Memory(
            jnp.zeros(memory_size.scalars, dtype),
            jnp.zeros((memory_size.vectors, features_size), dtype),
            jnp.zeros((memory_size.matrices, features_size, features_size), dtype),
        )
        memory = execute(0, memory, np.uint32(0))
        zero = jnp.zeros((), dtype)
        carry = (memory, zero + np.inf, zero, jnp.bool_(True), jnp.int32(0), jnp.uint32(0), zero)
        (_, best, _, _, steps, state, _), _ = lax.scan(visit, carry, jnp.arange(self._num_positions))
        # The fingerprint as a number that both dtypes hold exactly.
        steps = lax.bitcast_convert_type(steps.astype(np.int32 if dtype == np.float32 else np.int64), dtype)
        return jnp.stack([best, steps, (state >> np.uint32(8)).astype(dtype)])

    def _execute_line(self, line: Lines, memory: _Memory, step, number, compiled) -> _Memory:
        """One instruction: every op's value, a select among them, and one write per kind."""
        features_size, dtype = self._tasks.features_size, np.dtype(self.dtype)
        shapes = {kind: ops.output_shape(kind, features_size) for kind in ops.KINDS}
        operands = {}
        for column, address in (("a", line.in1), ("b", line.in2), ("o", line.out)):
            for kind in ops.KINDS:
                if self._memory.of(kind):
                    operands[column, kind] = getattr(memory, kind)[address]

        def branch(op: ops.Op):
            def value(constants):
                inputs = [operands[column, kind] for column, kind in zip("ab", op.inputs)]
                if op.function is not None:
                    return ops.apply(op, inputs, features_size)
                if op.draws is None:
                    old = operands["o", op.output]
                    return old.reshape(-1).at[line.element].set(constants[0]).reshape(old.shape)
                size = int(np.prod(shapes[op.output]))
                bits = draws.random_bits(jnp.asarray(line.key), step, number[None], size)[:, 0]
                if op.draws == "uniform":
                    drawn = constants[0] + (constants[1] - constants[0]) * draws.uniform(bits, dtype)
                else:
                    drawn = constants[0] + constants[1] * draws.gaussian(bits, dtype)
                return drawn.reshape(shapes[op.output])

            def triple(constants):
                usable = op.output and all(self._memory.of(kind) for kind in op.inputs + op.output)
                return tuple(
                    value(constants).astype(dtype) if usable and kind == op.output else jnp.zeros(shapes[kind], dtype)
                    for kind in ops.KINDS
                )

            return triple

        values = lax.switch(line.op, [branch(op) for op in compiled], line.constants)
        outputs = jnp.array([ops.KINDS.find(op.output) if op.output else -1 for op in compiled])[line.op]
        updated = []
        for index, (kind, value) in enumerate(zip(ops.KINDS, values)):
            array = getattr(memory, kind)
            if array.shape[0]:
                array = array.at[line.out].set(jnp.where(outputs == index, value, array[line.out]))
            updated.append(array)
        return _Memory(*updated)
