"""Keys of programs: equal by structure, which is exact, or equal by algebra, which finds more.

*Structural keys* are equal for programs that are the same but for dead instructions
and names of registers; what one fitness is, is the other's to the last bit.

*Algebraic keys* come from running programs on symbols instead of numbers. A register
holds a 64-bit hash of the expression in it, features and labels are symbols of their
own for each example, and the laws that the op table declares (0 * x = 0, x + 0 = x,
x + y = y + x, x - x = 0, ...) decide which expressions are one. A key is made of the
predictions' expressions on a few examples. This is functional-equivalence checking
(supplement S3 of the paper) by symbols: like a probe it looks at a few examples only,
but costs a fraction of one. Expressions that hold a division or the like, which may be
infinite, are not multiplied away (0 * inf is not 0); overflows are not foreseen.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import xla_flags
from azero_jax.execution import available_cores, in_one_loop, on_cpu, precision, run_jobs
from azero_jax.liveness import (
    LEARN,
    PREDICT,
    SETUP,
    FixedRegisters,
    Liveness,
    Scratch,
    mark_live,
    register_set,
)
from azero_jax.ops import Law
from azero_jax.packed import (
    DRAWS,
    LAWS,
    MAX_PROGRAMS,
    NUM_PROGRAMS,
    NUM_REGISTERS,
    Line,
    PackedLayout,
    Reader,
    at,
    op_table_words,
    pack,
    put,
)
from azero_jax.program import MemorySize, Population

# Examples that algebraic keys follow. Five and three tell apart what ten and ten do;
# with four and two, one in 150 keys of evolved digit classifiers was shared wrongly.
_TRAIN_EXAMPLES = 5
_VALID_EXAMPLES = 3

_MULTIPLIERS = tuple(np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

# The expression 0. Of all others the lowest bit says whether they may be infinite.
_ZERO = np.uint64(0)
_INFINITE = np.uint64(1)


class _Config(NamedTuple):
    """Everything that is compiled into the computation of keys."""

    layout: PackedLayout
    normalised: bool | None  # None for structural keys


def structural_keys(
    population: Population, memory: MemorySize, num_threads: int | None = None, vector_labels: bool = False
) -> np.ndarray:
    """Keys that are equal for programs that are equal but for names and dead instructions.

    Registers are named by where they occur first, and all that nothing writes are one,
    since they hold zero. Programs with live random ops keep their names, as what they
    draw depends on those.

    Args:
      population: P programs with addresses within the memory.
      memory: the addresses there are.
      num_threads: batches at the same time; by default one per core.
      vector_labels: whether labels and predictions are v1 and v2.

    Returns:
      uint64 [P].
    """
    return _keys(population, memory, None, num_threads, vector_labels)


def algebraic_keys(
    population: Population,
    memory: MemorySize,
    *,
    accuracy: bool,
    num_threads: int | None = None,
    vector_labels: bool = False,
) -> np.ndarray:
    """Keys that are equal for programs whose predictions are equal by algebra.

    Args:
      population: P programs with addresses within the memory.
      memory: the addresses there are.
      accuracy: whether Learn sees the prediction normalised, by the sigmoid or softmax, as
        in tasks with classes.
      num_threads: batches at the same time; by default one per core.
      vector_labels: whether labels and predictions are v1 and v2.

    Returns:
      uint64 [P].
    """
    return _keys(population, memory, accuracy, num_threads, vector_labels)


def _keys(
    population: Population, memory: MemorySize, normalised: bool | None, num_threads: int | None, vector_labels: bool
) -> np.ndarray:
    layout = PackedLayout.fitting(population.code.shape[1], 2, memory)
    fixed = FixedRegisters.of(memory, vector_labels).as_words()
    compute = _computation(_Config(layout, normalised))
    table = op_table_words(memory)
    keys = np.empty(len(population), np.uint64)

    def run(programs: slice) -> None:
        words = pack(population, programs, memory, layout)
        with precision("float64"), on_cpu():  # for 64-bit integers
            computed = compute(words, table, fixed)
            keys[programs] = np.asarray(computed)[: programs.stop - programs.start]

    threads = num_threads or available_cores()
    run_jobs(run, layout.batches(population), threads)
    return keys


@functools.lru_cache(maxsize=32)
def _computation(config: _Config):
    """The jitted function from packed programs, op table and fixed registers to keys."""

    def compute(words, table, fixed_words):
        reader = Reader(config.layout, words, table)
        fixed = FixedRegisters(*fixed_words)
        layout = config.layout

        def visit(program, carry):
            keys, scratch, decoded = carry
            liveness = mark_live(reader, program, scratch, fixed)
            if config.normalised is None:
                key = _structural_key(reader, liveness, fixed)
            else:
                key, decoded = _algebraic_key(reader, liveness, fixed, decoded, config.normalised)
            return put(keys, program, key), liveness.scratch, decoded

        def visit_all(_, keys):
            decoded = jnp.zeros((layout.lines, 4), jnp.uint32), jnp.zeros(layout.lines, jnp.uint64)
            return lax.fori_loop(jnp.uint32(0), words[NUM_PROGRAMS], visit, (keys, Scratch.of(layout), decoded))[0]

        return in_one_loop(visit_all, words[NUM_PROGRAMS], jnp.zeros(MAX_PROGRAMS, jnp.uint64))

    xla_flags.apply()
    return jax.jit(compute)


def _mixed(x: Array) -> Array:
    """Spreads every bit of a uint64."""
    x = (x ^ (x >> np.uint64(32))) * _MULTIPLIERS[2]
    return x ^ (x >> np.uint64(29))


def _with_constants(reader: Reader, number: Array, line: Line, key: Array) -> Array:
    """A hash to which a line's constants are added."""

    def add(index, key):
        return _mixed(key * _MULTIPLIERS[0] + _bits(reader, number, index))

    return lax.fori_loop(jnp.uint32(0), line.num_constants, add, key)


def _bits(reader: Reader, number: Array, index: Array | int) -> Array:
    lower, upper = reader.constant(number, index).astype(jnp.uint64)
    return lower | upper << np.uint64(32)


# Names of registers in structural keys: 0 of those that hold zero, then these, then the others.
_NAMES_OF_FIXED_AND_NONE = (1, 2, 3, 4)
_FIRST_NAME = 8


def _structural_key(reader: Reader, liveness: Liveness, fixed: FixedRegisters) -> Array:
    order = liveness.scratch.order

    def note(index, carry):
        """Which registers live lines write, and whether any draws."""
        written, draws = carry
        line = reader.line(at(order, index))
        return written | register_set(line.out, reader.set_words), draws | line.draws

    nothing = jnp.zeros(reader.set_words, jnp.uint32), jnp.bool_(False)
    written, draws = lax.fori_loop(jnp.uint32(0), liveness.num_live, note, nothing)
    names = jnp.zeros(reader.layout.registers, jnp.uint32)
    for register, name in zip((*fixed, reader.word(NUM_REGISTERS)), _NAMES_OF_FIXED_AND_NONE):
        names = put(names, register, jnp.uint32(name))

    def add(index, carry):
        key, names, next_name = carry
        number = at(order, index)
        line = reader.line(number)
        word = line.op.astype(jnp.uint64)
        for place, register in enumerate((line.in1, line.in2, line.out)):
            name = at(names, register)
            is_written = jnp.any(written & register_set(register, reader.set_words) != 0)
            is_new = (name == 0) & is_written
            name = jnp.where(is_new, next_name, name)
            next_name += is_new.astype(jnp.uint32)
            names = put(names, register, name)
            name = jnp.where(draws, _FIRST_NAME + register, name)
            word |= name.astype(jnp.uint64) << np.uint64(16 * (place + 1))
        return _with_constants(reader, number, line, _mixed(key * _MULTIPLIERS[0] + word)), names, next_name

    key, _, _ = lax.fori_loop(jnp.uint32(0), liveness.num_live, add, (jnp.uint64(0), names, jnp.uint32(_FIRST_NAME)))
    setup_end, predict_end, end = liveness.ends.astype(jnp.uint64)
    return _mixed(key * _MULTIPLIERS[0] + (setup_end << np.uint64(40)) + (predict_end << np.uint64(20)) + end)


def _algebraic_key(
    reader: Reader, liveness: Liveness, fixed: FixedRegisters, decoded: tuple[Array, Array], normalised: bool
) -> tuple[Array, tuple[Array, Array]]:
    order = liveness.scratch.order

    def decode(index, decoded):
        """What an execution needs of a line: registers and laws, and a hash of the op and its constants."""
        lines, hashes = decoded
        number = at(order, index)
        line = reader.line(number)
        # s = 0
        sets_zero = (line.num_constants == 1) & ~line.draws & (_bits(reader, number, 0) == 0)
        laws = jnp.where(sets_zero, np.uint32(Law.ZERO), line.flags & np.uint32(LAWS | DRAWS))
        # An op that sets one element keeps the others, and so reads its output.
        in1 = jnp.where(line.sets_one_element, line.out, line.in1)
        word = _with_constants(reader, number, line, line.op.astype(jnp.uint64) * _MULTIPLIERS[2])
        word = jnp.where(line.draws, _mixed((word ^ line.out.astype(jnp.uint64)) * _MULTIPLIERS[1]), word)
        row = jnp.stack([in1, line.in2, line.out, laws])[None]
        return lax.dynamic_update_slice(lines, row, (index, jnp.uint32(0))), put(hashes, index, word)

    decoded = lax.fori_loop(jnp.uint32(0), liveness.num_live, decode, decoded)
    lines, hashes = decoded

    def execute(function, symbols, moment):
        """Symbols after one component function; `moment` tells the draws of examples apart."""
        first, last = liveness.lines(function)

        def visit(index, carry):
            symbols, drawn = carry
            line = lax.dynamic_slice(lines, (index, jnp.uint32(0)), (1, 4))[0]
            word = at(hashes, index)
            draws = (line[3] & np.uint32(DRAWS)) != 0
            word = jnp.where(draws, _mixed(word + moment + drawn), word)
            value = _expression(at(symbols, line[0]), at(symbols, line[1]), word, line[3])
            return put(symbols, line[2], value), drawn + draws.astype(jnp.uint64)

        return lax.fori_loop(first, last, visit, (symbols, jnp.uint64(0)))[0]

    def predict(symbols, key, moment):
        symbols = put(symbols, fixed.label, jnp.uint64(_ZERO))
        symbols = put(symbols, fixed.features, _finite(_mixed(moment + np.uint64(2))))
        symbols = execute(PREDICT, symbols, moment + np.uint64(1 << 40))
        return symbols, _mixed(key * _MULTIPLIERS[0] ^ at(symbols, fixed.prediction))

    def train(example, carry):
        moment = (example.astype(jnp.uint64) + np.uint64(1)) << np.uint64(48)
        symbols, key = predict(carry[0], carry[1], moment)
        if normalised:
            predicted = at(symbols, fixed.prediction)
            sigmoid = _finite(_mixed(predicted ^ _MULTIPLIERS[2])) | predicted & _INFINITE
            symbols = put(symbols, fixed.prediction, sigmoid)
        symbols = put(symbols, fixed.label, _finite(_mixed(moment + np.uint64(3))))
        symbols = put(symbols, fixed.features, _finite(_mixed(moment + np.uint64(2))))
        return execute(LEARN, symbols, moment + np.uint64(2 << 40)), key

    def validate(example, carry):
        moment = (example.astype(jnp.uint64) + np.uint64(1 + _TRAIN_EXAMPLES)) << np.uint64(48)
        symbols, key = carry
        return predict(symbols, key, moment)

    carry = execute(SETUP, jnp.zeros(reader.layout.registers, jnp.uint64), jnp.uint64(0)), jnp.uint64(0)
    carry = lax.fori_loop(0, _TRAIN_EXAMPLES, train, carry)
    return lax.fori_loop(0, _VALID_EXAMPLES, validate, carry)[1], decoded


def _finite(x: Array) -> Array:
    return x & ~_INFINITE


def _expression(a: Array, b: Array, word: Array, laws: Array) -> Array:
    """The symbol of op(a, b), by the laws of the op; `word` stands for the op and its constants."""

    def has(law: Law):
        return (laws & np.uint32(law)) != 0

    a_zero, b_zero = a == _ZERO, b == _ZERO
    swapped = has(Law.COMMUTATIVE) & (a > b)
    first, second = jnp.where(swapped, b, a), jnp.where(swapped, a, b)
    infinite = (a | b) & _INFINITE
    becomes_infinite = has(Law.NOT_ALWAYS_FINITE).astype(jnp.uint64)
    rotated = (second << np.uint64(25)) | (second >> np.uint64(39))
    value = _finite(_mixed(first + rotated + word)) | infinite | becomes_infinite
    zero = has(Law.ZERO) | has(Law.ZERO_IF_FIRST_ZERO) & a_zero | has(Law.ZERO_IF_SECOND_ZERO) & b_zero
    zero |= has(Law.ZERO_IF_EQUAL) & (a == b)
    value = jnp.where(zero & (infinite == 0), _ZERO, value)
    same = has(Law.FIRST_IF_SECOND_ZERO) & b_zero | has(Law.FIRST_IF_EQUAL) & (a == b)
    value = jnp.where(same, a, value)
    return jnp.where(has(Law.SECOND_IF_FIRST_ZERO) & a_zero, b, value)
