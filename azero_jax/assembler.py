"""From a population to linear code for the machine, without a loop over programs.

One program becomes: start, zero what is read first, Setup, load; Predict, reveal,
Learn, next; Predict again for the validation examples, accumulate; finish. Only
live instructions are emitted. Everything is scattered into place by NumPy for
the whole batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from azero_jax import ops
from azero_jax.liveness import Liveness, RegisterNumbers
from azero_jax.machine import (
    CONSTANTS,
    DRAW_KEY,
    FIRST_OP,
    JUMP_TABLE,
    OPCODE,
    OPERAND_A,
    OUTPUT,
    RESULT_ROWS,
    WORD_SIZE,
    Control,
    ExampleKind,
    Layout,
)
from azero_jax.program import Population
from azero_jax.text import OP, OUT

SETUP, PREDICT, LEARN = 0, 1, 2


class Assembly(NamedTuple):
    """Code of several programs.

    Attributes:
      code: uint32 [instructions, WORD_SIZE]; jump targets count from the first
        instruction of each program.
      lengths: int64 [P], instructions of each program.
      jumps: int64 [P, 6], the instructions of each program that have jump tables.
    """

    code: np.ndarray
    lengths: np.ndarray
    jumps: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """First instruction of each program, int64 [P]."""
        return np.cumsum(self.lengths) - self.lengths


def assemble(population: Population, liveness: Liveness, layout: Layout, *, seed: int, dtype: str) -> Assembly:
    """Turns programs into code.

    Args:
      population: P programs with addresses within the layout's memory.
      liveness: what is live in them.
      layout: where registers live in the machine's memory.
      seed: of the random ops.
      dtype: of the machine, "float32" or "float64".

    Returns:
      The code of each program, without results' places and with relative jumps;
      `link` completes it.
    """
    num_programs = len(population)
    program, line = np.nonzero(liveness.live)
    function = population.functions[line]
    counts = np.bincount(program * 3 + function, minlength=num_programs * 3).reshape(num_programs, 3)
    zeroed = liveness.read_first.copy()
    numbers = RegisterNumbers.of(layout.memory)
    zeroed[:, [0, 1, int(numbers.first[1])]] = False  # START zeroes s0, s1 and v0
    zeroed_program, zeroed_register = np.nonzero(zeroed)
    num_zeroed = np.bincount(zeroed_program, minlength=num_programs)

    # Places of the control steps, counted from the start of the program.
    load = 1 + num_zeroed + counts[:, SETUP]
    train_check = load + 1
    reveal = train_check + 1 + counts[:, PREDICT]
    next_ = reveal + 1 + counts[:, LEARN]
    valid_check = next_ + 1
    accumulate = valid_check + 1 + counts[:, PREDICT]
    epoch = accumulate + 1
    finish = epoch + 1
    lengths = finish + 1
    starts = np.cumsum(lengths) - lengths
    code = np.zeros((int(lengths.sum()), WORD_SIZE), np.uint32)

    # Lines of one function of one program stand behind each other.
    first_of_function = np.cumsum(counts.ravel()) - counts.ravel()
    rank = np.arange(len(program)) - first_of_function[program * 3 + function]
    first_place = np.stack([1 + num_zeroed, train_check + 1, reveal + 1], axis=1)
    place = (starts[:, None] + first_place)[program, function] + rank
    words = _instruction_words(population, liveness, program, line, function, layout, seed, dtype)
    code[place] = words
    predicts = function == PREDICT
    code[place[predicts] + (valid_check - train_check)[program[predicts]]] = words[predicts]

    zero_rank = np.arange(len(zeroed_program)) - (np.cumsum(num_zeroed) - num_zeroed)[zeroed_program]
    zero_place = starts[zeroed_program] + 1 + zero_rank
    kind = np.searchsorted(numbers.first, zeroed_register, side="right") - 1
    code[zero_place, OPCODE] = np.array([Control.ZERO_SCALAR, Control.ZERO_VECTOR, Control.ZERO_MATRIX])[kind]
    code[zero_place, OUTPUT] = _register_rows(layout)[zeroed_register]

    code[starts, OPCODE] = Control.START
    targets = {
        ExampleKind.TRAIN: train_check + 1,
        ExampleKind.TRAIN_AFTER_CHECK: train_check,
        ExampleKind.VALID: valid_check + 1,
        ExampleKind.VALID_AFTER_CHECK: valid_check,
        ExampleKind.EPOCH_END: epoch,
        ExampleKind.END: finish,
    }
    for step, places in ((Control.LOAD, load), (Control.NEXT, next_), (Control.ACCUMULATE, accumulate)):
        code[starts + places, OPCODE] = step
        for example_kind, target in targets.items():
            code[starts + places, JUMP_TABLE + example_kind] = target
    for step, places, only_target in (
        (Control.CHECK, train_check, finish),
        (Control.CHECK, valid_check, finish),
        (Control.EPOCH, epoch, load),
    ):
        code[starts + places, OPCODE] = step
        code[starts + places, JUMP_TABLE] = only_target
    code[starts + reveal, OPCODE] = Control.REVEAL
    code[starts + finish, OPCODE] = Control.FINISH
    jumps = np.stack([load, train_check, next_, valid_check, accumulate, epoch], axis=1)
    return Assembly(code, lengths, jumps)


def link(assembly: Assembly, programs: np.ndarray, pieces: list[slice], layout: Layout) -> list[np.ndarray]:
    """Code that runs some of the programs, in pieces that each halt.

    Args:
      assembly: the code of all programs.
      programs: int64 [n], which to run.
      pieces: consecutive parts of `programs`; the i-th program of a piece writes
        the piece's result i.
      layout: where results live.

    Returns:
      For each piece uint32 [instructions, WORD_SIZE].
    """
    lengths = assembly.lengths[programs]
    first = np.array([part.start for part in pieces])
    piece = np.repeat(np.arange(len(pieces)), np.diff(first, append=len(programs)))
    starts = np.cumsum(lengths) - lengths
    source = np.arange(int(lengths.sum())) + np.repeat(assembly.starts[programs] - starts, lengths)
    linked = np.take(assembly.code, source, axis=0)
    base = starts - starts[first][piece]  # jump targets count from the piece
    jumps = (starts[:, None] + assembly.jumps[programs]).ravel()
    table = slice(JUMP_TABLE, JUMP_TABLE + len(ExampleKind))
    linked[jumps, table] += np.repeat(base, assembly.jumps.shape[1])[:, None].astype(np.uint32)
    result = np.arange(len(programs)) - first[piece]
    linked[starts + lengths - 1, OUTPUT] = layout.first_result + RESULT_ROWS * result
    halt = np.zeros((1, WORD_SIZE), np.uint32)
    halt[0, OPCODE] = Control.HALT
    return [np.concatenate([code, halt]) for code in np.split(linked, starts[first[1:]])]


def _register_rows(layout: Layout) -> np.ndarray:
    """First row of every register, numbered through as in `RegisterNumbers`."""
    return np.concatenate([layout.rows(kind) for kind in ops.KINDS] + [[0]])


def _instruction_words(
    population: Population,
    liveness: Liveness,
    program: np.ndarray,
    line: np.ndarray,
    function: np.ndarray,
    layout: Layout,
    seed: int,
    dtype: str,
) -> np.ndarray:
    """The words of live lines, each given by its program, line and component function."""
    table = ops.table()
    rows = _register_rows(layout)
    op = population.code[program, line, OP].astype(np.int64)
    constants = population.constants[program, line]
    words = np.zeros((len(program), WORD_SIZE), np.uint32)
    words[:, OPCODE] = FIRST_OP + op
    words[:, [OPERAND_A, OPERAND_A + 1, OUTPUT]] = rows[liveness.registers[:, program, line]].T

    payload = constants.copy()
    for size in (1, 2):  # v[x] = y and m[x, y] = z: indices become the row to write
        chosen = np.flatnonzero(np.array([o.constants.count("index") == size for o in table])[op])
        indices = element_indices(constants[chosen, :size], layout.features_size)
        element = indices[:, 0] if size == 1 else indices[:, 0] * layout.features_size + indices[:, 1]
        words[chosen, OUTPUT] += element.astype(np.uint32)
        payload[chosen, 0] = constants[chosen, size]
    if dtype == "float32":
        with np.errstate(over="ignore"):
            words[:, CONSTANTS : CONSTANTS + 2] = payload[:, :2].astype(np.float32).view(np.uint32)
    else:
        words[:, CONSTANTS : CONSTANTS + 4] = np.ascontiguousarray(payload[:, :2]).view(np.uint32)

    draws = np.flatnonzero(np.array([o.draws is not None for o in table])[op])
    if len(draws):
        out = population.code[program[draws], line[draws], OUT]
        words[draws, DRAW_KEY] = draw_keys(program[draws], function[draws], op[draws], out, seed)
    return words


def element_indices(fractions: np.ndarray, features_size: int) -> np.ndarray:
    """Elements that fractions in [0, 1) stand for: int(F * x) in float32, as executor.h."""
    scaled = (np.float32(features_size) * fractions.astype(np.float32)).astype(np.int64)
    # A fraction just below 1 rounds to 1 in float32.
    return np.minimum(scaled, features_size - 1)


def draw_keys(program: np.ndarray, function: np.ndarray, op: np.ndarray, out: np.ndarray, seed: int) -> np.ndarray:
    """Keys of random instructions, which depend only on what the instruction is.

    A key is made of the seed, the component function, the op, the output address
    and, for several live instructions that agree in these, their order.

    Args:
      program, function, op, out: int64 [n], each live random instruction, in the
        order of programs and lines.
      seed: any integer.

    Returns:
      uint32 [n].
    """
    identity = (function * 4096 + op) * 65536 + out
    order = np.lexsort((identity, program))  # stable: keeps the order of lines
    same = (np.diff(identity[order], prepend=-1) == 0) & (np.diff(program[order], prepend=-1) == 0)
    position = np.arange(len(order))
    group_start = np.maximum.accumulate(np.where(same, 0, position))
    occurrence = np.empty(len(order), np.int64)
    occurrence[order] = position - group_start
    state = np.full(len(order), np.uint64(seed % 2**64))
    for value in (identity, occurrence):
        state = (state + value.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(32)
    return state.astype(np.uint32)
