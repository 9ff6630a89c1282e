"""What a branch of the machine's switch sees, and gives back: instruction, memory, position.

Vectors have an array, and scalars and matrices another, tasks side by side as lanes.
`switched` makes a branch of the switch from a function of a `Step`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from azero_jax.instructions import OUTPUT, WORD_SIZE, Layout, Words
from azero_jax.objectives import Objective
from azero_jax.packed import PackedLayout, at
from azero_jax.superinstructions import InstructionSet


class Memory(NamedTuple):
    """All registers, [rows, D] each."""

    scalars_and_matrices: jax.Array
    vectors: jax.Array

    def read(self, kind: str, row: jax.Array, rows: int) -> jax.Array:
        """Some rows, [rows, D]."""
        return read_rows(self[kind == "v"], row, rows)

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
      objective: the loss.
      num_classes: C, of tasks with classes.
      max_abs_error: a larger error on any example stops a task.
      dtype: "float32" or "float64".
      lanes: D, tasks that run side by side.
      fingerprint: what is hashed, of `FINGERPRINTS`, or "" for nothing.
      instruction_set: the ops known and compiled.
      packed: the form in which programs come.
      words: where code, schedule and task numbers are.
    """

    layout: Layout
    objective: Objective
    num_classes: int
    max_abs_error: float
    dtype: str
    lanes: int
    fingerprint: str
    instruction_set: InstructionSet
    packed: PackedLayout
    words: Words


class Operands(NamedTuple):
    """Read-only operands of the branches: few arrays, since each costs every dispatch a store.

    Attributes:
      words: uint32, `Words` in one dimension.
      examples: [rows, D]; each example is its label, a zero and its F features; the last two
        rows are the smallest and the largest label.
    """

    words: jax.Array
    examples: jax.Array


class Step(NamedTuple):
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
    operands: Operands

    @property
    def second(self) -> Step:
        """What a branch of the instruction behind this one sees."""
        word = lax.dynamic_slice(self.operands.words, (self.next * np.uint32(WORD_SIZE),), (WORD_SIZE,))
        return self._replace(program_counter=self.next, next=self.next + np.uint32(1), word=word)

    def rounded(self, value: jax.Array) -> jax.Array:
        """A product that the compiler may not make one operation with the sum that follows, which rounds once."""
        bits = bits_of(value)
        return lax.bitcast_convert_type(bits ^ self.zero.astype(bits.dtype), value.dtype)

    @property
    def position(self) -> jax.Array:
        """uint32 scalar, the position in the schedule."""
        return bits_of(self.memory.scalars_and_matrices[Layout.POSITION, 0]).astype(jnp.uint32)

    def stored(self, value, row=None, kind="s", behind=0) -> Step:
        """With rows of memory replaced, by default where the instruction says, or so many rows behind it."""
        row = self.word[OUTPUT] if row is None else np.uint32(row)
        return self._replace(memory=self.memory.stored(kind, row + np.uint32(behind), value))

    def go(self, jump=None) -> State:
        """The state at the next instruction, or beyond it."""
        return State(self.next if jump is None else self.next + jump, self.memory)

    def write(self, value, row=None, jump=None, kind="s") -> State:
        """As `stored`, then `go`."""
        return self.stored(value, row, kind).go(jump)


def nothing(step: Step) -> State:
    """The branch of the no-op, and of ops that no program of this memory can hold."""
    return step.go()


def read_rows(array: jax.Array, row: jax.Array, rows: int) -> jax.Array:
    """Some rows of [rows, D]."""
    return lax.dynamic_slice(array, (row, np.uint32(0)), (rows, array.shape[1]))


def bits_of(number: jax.Array) -> jax.Array:
    """The bits of floats, as unsigned integers of their size."""
    return lax.bitcast_convert_type(number, np.uint32 if number.dtype == np.float32 else np.uint64)


def count_of(number: jax.Array) -> jax.Array:
    """The signed integers whose bits floats have."""
    return lax.bitcast_convert_type(number, np.int32 if number.dtype == np.float32 else np.int64)


def number_of(bits: jax.Array, dtype: np.dtype) -> jax.Array:
    """Floats that have some bits, of unsigned integers that need not be so wide."""
    return lax.bitcast_convert_type(bits.astype(np.uint32 if dtype == np.float32 else np.uint64), dtype)


def switched(branch: Callable[[Step], State]) -> Callable[[State, Operands], State]:
    """A branch that uses all operands, in one order."""

    def with_operands(state: State, operands: Operands) -> State:
        state, operands = lax.optimization_barrier((state, operands))
        zero = bits_of(operands.examples[1, 0]).astype(jnp.uint32) & at(operands.words, operands.words.shape[0] - 1)
        next = state.program_counter + np.uint32(1) + zero
        word = lax.dynamic_slice(operands.words, (state.program_counter * np.uint32(WORD_SIZE),), (WORD_SIZE,))
        after = branch(Step(state.program_counter, next, zero, word, state.memory, operands))
        return State(after.program_counter, _touched(state.memory, after.memory, zero))

    return with_operands


def _touched(before: Memory, after: Memory, zero: jax.Array) -> Memory:
    """With something written, to the last row, where a branch has written nothing: XLA copies what is passed on.

    The value is no constant, since each constant is a buffer that every call of the machine looks after.
    """
    arrays = list(after)
    for index, (old, new) in enumerate(zip(before, after)):
        if new is old:
            corner = np.uint32(new.shape[0] - 1), np.uint32(0)
            arrays[index] = lax.dynamic_update_slice(new, number_of(zero, new.dtype).reshape(1, 1), corner)
    return Memory(*arrays)
