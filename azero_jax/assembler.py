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
from azero_jax.program import Population, op_columns
from azero_jax.text import OP, OUT

SETUP, PREDICT, LEARN = 0, 1, 2


class Assembly(NamedTuple):
    """Code of several programs.

    Attributes:
      code: uint32 [instructions, WORD_SIZE].
      lengths: int64 [P], instructions of each program.
    """

    code: np.ndarray
    lengths: np.ndarray

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
      The code of each program, without results' places, which `link` fills in.
    """
    num_programs = len(population)
    flat = np.flatnonzero(liveness.live)
    program, line = np.divmod(flat, population.code.shape[1])
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
    words = _instruction_words(population, liveness, flat, program, function, layout, seed, dtype)
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
            code[starts + places, JUMP_TABLE + example_kind] = (target - places).astype(np.uint32)
    for step, places, only_target in (
        (Control.CHECK, train_check, finish),
        (Control.CHECK, valid_check, finish),
        (Control.EPOCH, epoch, load),
    ):
        code[starts + places, OPCODE] = step
        code[starts + places, JUMP_TABLE] = (only_target - places).astype(np.uint32)
    code[starts + reveal, OPCODE] = Control.REVEAL
    code[starts + finish, OPCODE] = Control.FINISH
    return Assembly(code, lengths)


def link(assembly: Assembly, programs: np.ndarray, pieces: list[slice], layout: Layout) -> list[np.ndarray]:
    """Code that runs some of the programs, in pieces.

    Args:
      assembly: the code of all programs.
      programs: int64 [n], which to run.
      pieces: consecutive parts of `programs`; the i-th program of a piece writes
        the piece's result i.
      layout: where results live.

    Returns:
      For each piece uint32 [instructions, WORD_SIZE], without the final HALT.
    """
    lengths = assembly.lengths[programs]
    starts = np.cumsum(lengths) - lengths
    source = np.arange(int(lengths.sum())) + np.repeat(assembly.starts[programs] - starts, lengths)
    linked = np.take(assembly.code, source, axis=0)
    first = np.array([part.start for part in pieces])
    result = np.arange(len(programs)) - np.repeat(first, np.diff(first, append=len(programs)))
    linked[starts + lengths - 1, OUTPUT] = layout.first_result + RESULT_ROWS * result
    return np.split(linked, starts[first[1:]])


def _register_rows(layout: Layout) -> np.ndarray:
    """First row of every register, numbered through as in `RegisterNumbers`."""
    return np.concatenate([layout.rows(kind) for kind in ops.KINDS] + [[0]])


def _instruction_words(
    population: Population,
    liveness: Liveness,
    flat: np.ndarray,
    program: np.ndarray,
    function: np.ndarray,
    layout: Layout,
    seed: int,
    dtype: str,
) -> np.ndarray:
    """The words of live lines, given by their place in [P, L], their program and component function."""
    columns = op_columns()
    rows = _register_rows(layout).astype(np.uint32)
    code = np.take(population.code.reshape(-1, 4), flat, axis=0)
    op = code[:, OP].astype(np.int64)
    words = np.zeros((len(flat), WORD_SIZE), np.uint32)
    words[:, OPCODE] = FIRST_OP + op
    registers = np.take(liveness.registers.reshape(-1, 3), flat, axis=0)
    for index, field in enumerate((OPERAND_A, OPERAND_A + 1, OUTPUT)):
        words[:, field] = rows[registers[:, index]]

    having = np.flatnonzero(columns.num_constants[op] > 0)
    constants = population.constants.reshape(-1, ops.MAX_CONSTANTS)[flat[having]]
    num_indices = columns.num_indices[op[having]]
    payload = constants[:, :2].copy()
    for size in (1, 2):  # v[x] = y and m[x, y] = z: indices become the row to write
        chosen = np.flatnonzero(num_indices == size)
        indices = element_indices(constants[chosen, :size], layout.features_size)
        element = indices[:, 0] if size == 1 else indices[:, 0] * layout.features_size + indices[:, 1]
        words[having[chosen], OUTPUT] += element.astype(np.uint32)
        payload[chosen, 0] = constants[chosen, size]
    if dtype == "float32":
        with np.errstate(over="ignore"):
            words[having, CONSTANTS : CONSTANTS + 2] = payload.astype(np.float32).view(np.uint32)
    else:
        words[having, CONSTANTS : CONSTANTS + 4] = payload.view(np.uint32)

    draws = np.flatnonzero(columns.draws[op])
    if len(draws):
        words[draws, DRAW_KEY] = draw_keys(program[draws], function[draws], op[draws], code[draws, OUT], seed)
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
