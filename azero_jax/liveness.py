"""Which instructions matter, and which programs are the same: analysis of whole batches.

An instruction is live if what it writes can reach s1 at the end of some Predict,
followed to a fixpoint over the train loop. That is exact: removing the others
changes no prediction and no random draw (supplement S6 of the paper does it by
hand, after the search). Sets of registers are bit masks, so one backward step
over a whole population is a handful of NumPy operations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from azero_jax import ops
from azero_jax.program import NO_KIND, MemorySize, Population, Program, op_columns
from azero_jax.text import IN1, IN2, OP, OUT

_COLUMNS = (IN1, IN2, OUT)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Liveness(NamedTuple):
    """What a population's programs really do.

    Attributes:
      live: bool [P, L], the lines whose results can reach a prediction.
      read_first: bool [P, R], the registers that live code reads before it has
        written them, and that therefore must start at zero.
      registers: int16 [P, L, 3], the registers that in1, in2 and out name, numbered as
        in `RegisterNumbers`; R where there is no operand.
    """

    live: np.ndarray
    read_first: np.ndarray
    registers: np.ndarray

    def take(self, indices: np.ndarray) -> Liveness:
        """That of the programs at some indices."""
        return Liveness(self.live[indices], self.read_first[indices], self.registers[indices])


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


def find_live(population: Population, memory: MemorySize) -> Liveness:
    """Finds the live instructions of every program.

    Args:
      population: P programs of L lines, with addresses within the memory.
      memory: the addresses there are.
    """
    size, num_lines = population.code.shape[:2]
    numbers = RegisterNumbers.of(memory)
    lines = population.code.transpose(2, 1, 0).astype(np.intp, order="C")
    registers = _registers(lines, numbers)
    reads, writes, keeps = _masks(lines[OP], registers, numbers)
    num_words = reads.shape[1]
    live = np.zeros((num_lines, size), bool)
    s0, s1, v0 = (_bit(number, num_words) for number in (0, 1, numbers.first[1]))
    given = ~(s0 | v0)  # the machine sets s0 and v0 before Predict and before Learn
    setup, predict, learn = (
        range(start, start + lines) for start, lines in zip(population.starts, population.capacity)
    )

    def backward(lines: range, after: np.ndarray) -> np.ndarray:
        for line in reversed(lines):
            matters = (after & writes[line]).any(axis=0) if num_words > 1 else (after & writes[line])[0] != 0
            live[line] = matters
            after = np.where(matters, (after & keeps[line]) | reads[line], after)
        return after

    before_predict = np.zeros((num_words, size), np.uint64)
    while True:
        carried = before_predict & given
        before_learn = backward(learn, carried) & given
        before = backward(predict, s1 | before_learn | carried)
        if np.array_equal(before, before_predict):
            break
        before_predict = before
    at_start = backward(setup, before_predict & given)
    by_program = registers.transpose(2, 1, 0).astype(np.int16, order="C")
    return Liveness(np.ascontiguousarray(live.T), _unpack(at_start, numbers.total), by_program)


def _registers(lines: np.ndarray, numbers: RegisterNumbers) -> np.ndarray:
    """Registers that instructions name, [3, L, P], from their code [4, L, P]."""
    kinds = op_columns().kinds
    registers = np.empty((3, *lines.shape[1:]), np.intp)
    for index, column in enumerate(_COLUMNS):
        registers[index] = numbers.first[kinds[column]][lines[OP]]
        registers[index] += lines[column]
    # `first` of no operand is R; whatever stands in its column does not matter.
    return np.minimum(registers, numbers.total, out=registers)


def _masks(
    op: np.ndarray, registers: np.ndarray, numbers: RegisterNumbers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per line: registers read, register written, registers kept; uint64 [L, words, P]."""
    num_words = max(1, -(-numbers.total // 64))
    bits = np.zeros((num_words, numbers.total + 1), np.uint64)
    for number in range(numbers.total):
        bits[number // 64, number] = np.uint64(1) << np.uint64(number % 64)
    in1, in2, out = (bits[:, registers[index]].transpose(1, 0, 2) for index in range(3))
    partial = (op_columns().num_indices > 0)[op][:, None, :]
    return in1 | in2 | np.where(partial, out, 0), out, ~np.where(partial, 0, out)


def _bit(number: int, num_words: int) -> np.ndarray:
    word = np.zeros((num_words, 1), np.uint64)
    word[number // 64] = np.uint64(1) << np.uint64(number % 64)
    return word


def _unpack(words: np.ndarray, count: int) -> np.ndarray:
    """uint64 [words, P] to bool [P, count]."""
    octets = np.ascontiguousarray(words.T).astype("<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, count=count, bitorder="little").astype(bool)


def simplify(program: Program, memory: MemorySize | None = None) -> Program:
    """The same function without its dead instructions.

    Fitness is unchanged to the last bit, random ops included.

    Args:
      program: any program.
      memory: its memory; by default as many addresses as it uses.
    """
    population = Population.from_programs([program])
    live = find_live(population, memory or smallest_memory(population)).live[0]
    functions = population.functions[live]
    lengths = tuple(int((functions == function).sum()) for function in range(3))
    return Program(population.code[0][live], population.constants[0][live], lengths)  # type: ignore[arg-type]


def smallest_memory(population: Population) -> MemorySize:
    """The smallest memory that holds every address that the programs use."""
    kinds = op_columns().kinds
    op = population.code[..., OP]
    used = [2, 1, 0]
    for column in _COLUMNS:
        for kind in range(NO_KIND):
            addresses = population.code[..., column][kinds[column][op] == kind]
            used[kind] = max(used[kind], int(addresses.max(initial=-1)) + 1)
    return MemorySize(*used)


def structural_keys(population: Population, liveness: Liveness, memory: MemorySize) -> np.ndarray:
    """A 64-bit key for each program: equal for programs that are equal but for names.

    Dead instructions do not count, registers are named by where they occur first,
    and all registers that nothing writes are one, since they hold zero. Programs
    with live random ops keep their names, as what they draw depends on those.

    Args:
      population: P programs of L lines.
      liveness: from `find_live`.
      memory: the addresses there are.

    Returns:
      uint64 [P].
    """
    numbers = RegisterNumbers.of(memory)
    size, num_lines = liveness.live.shape
    columns = op_columns()
    flat = np.flatnonzero(liveness.live)
    program, line = np.divmod(flat, num_lines)
    op = population.code.reshape(-1, 4)[flat, OP]
    counts = np.bincount(program, minlength=size)
    ends = np.cumsum(counts)
    rank = np.arange(len(flat)) - (ends - counts)[program]

    # Names by first place, of registers that something writes; others hold zero.
    registers = np.take(liveness.registers.reshape(-1, 3), flat, axis=0)
    slots = (program * (numbers.total + 1))[:, None] + registers
    first_place = np.zeros(size * (numbers.total + 1), np.int16)
    places = np.arange(_FIRST_NAME, _FIRST_NAME + 3 * num_lines, dtype=np.int16).reshape(-1, 3)[rank]
    first_place[slots.ravel()[::-1]] = places.ravel()[::-1]
    written = np.zeros(size * (numbers.total + 1), bool)
    written[slots[:, 2]] = True
    first_place[~written] = _NAME_OF_ZERO
    # s0, s1, v0 and "no operand" have names of their own.
    fixed = [0, 1, int(numbers.first[1]), numbers.total]
    first_place.reshape(size, -1)[:, fixed] = np.arange(1, 5)
    names = first_place[slots]
    draws = columns.draws[op]
    if draws.any():
        random_programs = np.zeros(size, bool)
        random_programs[program[draws]] = True
        names = np.where(random_programs[program][:, None], _FIRST_NAME + registers, names)

    words = np.empty((len(flat), 4), np.uint16)
    words[:, 0] = op
    words[:, 1:] = names
    salts = _mix(np.arange(1, 3 * num_lines + 1, dtype=np.uint64))
    hashes = _mix(words.view(np.uint64)[:, 0] ^ salts[rank * 3 + population.functions[line]])
    num_constants = columns.num_constants[op]
    for index in range(ops.MAX_CONSTANTS):
        having = np.flatnonzero(num_constants > index)
        bits = population.constants.reshape(-1, ops.MAX_CONSTANTS)[flat[having], index].view(np.uint64)
        hashes[having] = _mix(_fold(hashes[having], bits))
    sums = np.concatenate([[np.uint64(0)], np.cumsum(hashes)])
    return _mix(_fold(sums[ends] - sums[ends - counts], counts))


_NAME_OF_ZERO = 0
_FIRST_NAME = 8


def _fold(hashes: np.ndarray, values: np.ndarray) -> np.ndarray:
    return hashes * np.uint64(0x9E3779B97F4A7C15) ^ values.astype(np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that spreads every input bit over all output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
