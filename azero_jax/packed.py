"""Programs packed into words, and how jitted code reads them.

A batch of programs becomes one array of unsigned 32-bit words, so that a call
has one argument and one shape whatever the programs are: how many there are, how
long each is, their lines, their constants. What an op reads and writes comes from
a second array, the op table in words. Registers are numbered through: scalars,
then vectors, then matrices; the number behind the last stands for "no operand".
"""

from __future__ import annotations

import functools
import threading
from typing import NamedTuple

import numpy as np
from jax import Array, lax
from jax import numpy as jnp

from azero_jax import ops
from azero_jax.program import MemorySize, Population, op_columns
from azero_jax.text import IN1, IN2, OUT

MAX_PROGRAMS = 256
_FEWEST_LINES = 8192
_FEWEST_REGISTERS = 32  # the bits of one word

# The first words: programs, lines of each, first line of Setup, Predict, Learn, and all registers.
NUM_PROGRAMS, NUM_LINES, FIRST_LINES, NUM_REGISTERS = 0, 1, 2, 5
_HEADER = 6

# Flags of an op: it sets one element; it draws; its number of constants (two bits).
SETS_ONE_ELEMENT = 1
DRAWS = 2
CONSTANTS_SHIFT = 2


class RegisterNumbers(NamedTuple):
    """Numbers all registers through: scalars, then vectors, then matrices.

    Attributes:
      first: number of address 0 of each kind; for NO_KIND the total.
      total: R, all registers.
    """

    first: np.ndarray
    total: int

    @classmethod
    def of(cls, memory: MemorySize) -> RegisterNumbers:
        """The numbering of a memory's registers."""
        first = np.concatenate([[0], np.cumsum(memory)])
        return cls(first, int(first[-1]))


class PackedLayout(NamedTuple):
    """Where things stand among the words of a batch.

    Attributes:
      lines: lines that there is room for, of MAX_PROGRAMS programs at most.
      constant_words: words of one constant: 1 as float32, 2 as float64, 0 if they are left out.
      registers: registers that there is room for, "no operand" among them.
    """

    lines: int
    constant_words: int
    registers: int

    @property
    def first_length(self) -> int:
        """Where lengths begin, three words for each program."""
        return _HEADER

    @property
    def first_code(self) -> int:
        """Where lines begin, two words each: op and in1, in2 and out, the first in the lower half."""
        return self.first_length + 3 * MAX_PROGRAMS

    @property
    def first_constant(self) -> int:
        """Where constants begin, three for each line."""
        return self.first_code + 2 * self.lines

    @property
    def size(self) -> int:
        """All words."""
        return self.first_constant + ops.MAX_CONSTANTS * self.constant_words * self.lines

    @classmethod
    def fitting(cls, num_lines: int, constant_words: int, memory: MemorySize) -> PackedLayout:
        """The smallest layout for programs of so many lines and this memory; most have the same one."""
        lines, registers = power_of_two(num_lines), power_of_two(sum(memory) + 1)
        return cls(max(_FEWEST_LINES, lines), constant_words, max(_FEWEST_REGISTERS, registers))

    def batches(self, population: Population, most: int = MAX_PROGRAMS) -> list[slice]:
        """Consecutive programs that fit, at most so many at a time."""
        per_batch = max(1, min(most, MAX_PROGRAMS, self.lines // max(population.code.shape[1], 1)))
        return [slice(i, min(i + per_batch, len(population))) for i in range(0, len(population), per_batch)]


_thread = threading.local()


def pack(
    population: Population, programs: slice, memory: MemorySize, layout: PackedLayout, extra: int = 0
) -> np.ndarray:
    """Some programs in words.

    Args:
      population: any programs with addresses within the memory.
      programs: which of them, as many as the layout has room for.
      memory: the addresses there are.
      layout: where things go.
      extra: words to leave free behind them.

    Returns:
      uint32 [layout.size + extra]; it belongs to this thread, and the next call writes into it.
    """
    buffers = _thread.__dict__.setdefault("buffers", {})
    words = buffers.get((layout, extra))
    if words is None:
        words = buffers[layout, extra] = aligned_words(layout.size + extra)
    count, num_lines = programs.stop - programs.start, population.code.shape[1]
    words[NUM_PROGRAMS] = count
    words[NUM_LINES] = num_lines
    words[FIRST_LINES : FIRST_LINES + 3] = population.starts
    words[NUM_REGISTERS] = sum(memory)
    words[layout.first_length : layout.first_length + 3 * count] = population.lengths[programs].ravel()
    code = np.ascontiguousarray(population.code[programs]).view(np.uint32)
    words[layout.first_code : layout.first_code + code.size] = code.ravel()
    if layout.constant_words:
        constants = np.ascontiguousarray(population.constants[programs])
        with np.errstate(over="ignore"):
            bits = constants.astype((np.float32, np.float64)[layout.constant_words - 1]).view(np.uint32)
        words[layout.first_constant : layout.first_constant + bits.size] = bits.ravel()
    return words


def aligned_words(size: int) -> np.ndarray:
    """Zeros, uint32 [size], that JAX need not copy: they begin at a multiple of 64 bytes."""
    octets = np.zeros(4 * size + 64, np.uint8)
    start = -octets.ctypes.data % 64
    return octets[start : start + 4 * size].view(np.uint32)


def op_table_words(memory: MemorySize) -> np.ndarray:
    """The op table as it is now for `Reader.line`: uint32 [ops, 2], for a memory.

    First registers of in1 and in2, then of out and the op's flags, 16 bits each.
    """
    return _op_table_words(memory, *ops.version())


@functools.lru_cache(maxsize=32)
def _op_table_words(memory: MemorySize, num_ops: int, changes: int) -> np.ndarray:
    first = RegisterNumbers.of(memory).first
    kinds = op_columns().kinds
    words = np.zeros((len(ops.table()), 4), np.uint16)
    for op in ops.table():
        for index, column in enumerate((IN1, IN2, OUT)):
            words[op.id, index] = first[kinds[column][op.id]]
        words[op.id, 3] = (
            (SETS_ONE_ELEMENT if op.writes_one_element else 0)
            | (DRAWS if op.draws else 0)
            | len(op.constants) << CONSTANTS_SHIFT
        )
    return words.view(np.uint32)


class Line(NamedTuple):
    """One instruction, uint32 scalars: op, numbers of its registers, flags of the op."""

    op: Array
    in1: Array
    in2: Array
    out: Array
    flags: Array

    @property
    def sets_one_element(self) -> Array:
        """Whether it keeps the other elements of its output."""
        return (self.flags & np.uint32(SETS_ONE_ELEMENT)) != 0

    @property
    def draws(self) -> Array:
        """Whether it draws random numbers."""
        return (self.flags & np.uint32(DRAWS)) != 0

    @property
    def num_constants(self) -> Array:
        """How many constants it has."""
        return self.flags >> np.uint32(CONSTANTS_SHIFT)


class Reader(NamedTuple):
    """Reads packed programs in jitted code.

    Attributes:
      layout: of the words.
      words: uint32 [layout.size].
      table: uint32 [ops, 2], from `op_table_words`.
    """

    layout: PackedLayout
    words: Array
    table: Array

    @property
    def set_words(self) -> int:
        """Words of a set of registers, a bit for each."""
        return self.layout.registers // 32

    def word(self, place: Array | int) -> Array:
        """One word."""
        return at(self.words, place)

    def span(self, program: Array, function: int) -> tuple[Array, Array]:
        """First line of a component function among all lines, and how many lines it has."""
        start = program * self.word(NUM_LINES) + self.word(FIRST_LINES + function)
        return start, self.word(program * np.uint32(3) + np.uint32(self.layout.first_length + function))

    def op(self, number: Array) -> Array:
        """The op of that line among all lines."""
        return low(self.word(np.uint32(self.layout.first_code) + number * np.uint32(2)))

    def line(self, number: Array) -> Line:
        """The line of that number among all lines."""
        place = np.uint32(self.layout.first_code) + number * np.uint32(2)
        code = lax.dynamic_slice(self.words, (place,), (2,))
        op = low(code[0])
        about = lax.dynamic_slice(self.table, (op, np.uint32(0)), (1, 2))[0]
        most = self.word(NUM_REGISTERS)
        in1 = jnp.minimum(low(about[0]) + high(code[0]), most)
        in2 = jnp.minimum(high(about[0]) + low(code[1]), most)
        out = jnp.minimum(low(about[1]) + high(code[1]), most)
        return Line(op, in1, in2, out, high(about[1]))

    def constant(self, line: Array, index: Array | int) -> Array:
        """The words of one constant of a line, uint32 [layout.constant_words]."""
        each = self.layout.constant_words
        start = (line * np.uint32(ops.MAX_CONSTANTS) + jnp.uint32(index)) * np.uint32(each)
        start += np.uint32(self.layout.first_constant)
        return lax.dynamic_slice(self.words, (start,), (each,))


def at(array: Array, index: Array | int) -> Array:
    """One element; unsigned indices, which XLA need not check for being negative."""
    return lax.dynamic_slice(array, (jnp.uint32(index),), (1,))[0]


def put(array: Array, index: Array | int, value: Array) -> Array:
    """An array with another element at an index."""
    return lax.dynamic_update_slice(array, value.astype(array.dtype)[None], (jnp.uint32(index),))


def low(word: Array) -> Array:
    """The lower 16 bits."""
    return word & np.uint32(0xFFFF)


def high(word: Array) -> Array:
    """The upper 16 bits."""
    return word >> np.uint32(16)


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least so large: few sizes, so that little is compiled."""
    return 1 << max(least - 1, 0).bit_length()
