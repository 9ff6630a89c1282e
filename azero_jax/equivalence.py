"""Keys of programs: equal by structure, which is exact, or equal by algebra, which finds more.

*Structural keys* are equal for programs that are the same but for dead instructions
and names of registers; what one fitness is, is the other's to the last bit.

*Algebraic keys* come from running programs on symbols instead of numbers. A register
holds a 64-bit hash of the expression in it, features and labels are symbols of their
own for each example, and the laws that the op table declares (0 * x = 0, x + 0 = x,
x + y = y + x, x - x = 0, ...) decide which expressions are one. A key is made of the
predictions' expressions on a few examples. This is functional-equivalence checking
(supplement S3 of the paper) by symbols: like a probe it looks at a few examples only,
but costs a fraction of one.

Programs with one algebraic key predict the same on those examples, to the last bit but
for the sign of zero, which no loss sees. Laws that need finite numbers (0 * inf is not
0) are used where none can be infinite or NaN: beside the hash each register holds a
proven bound on its numbers, which starts from the data and constants, and begins anew
at the prediction when that has passed the check of its error. Laws that lose the sign
of zero are not used in programs where an op would show it, as 1 / x does. What numbers
do later, on examples that the key does not follow, such as overflow, is not foreseen.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import ops, xla_flags
from azero_jax.execution import available_cores, in_one_loop, on_cpu, precision, run_jobs
from azero_jax.liveness import (
    LEARN,
    PREDICT,
    SETUP,
    FixedRegisters,
    Liveness,
    Scratch,
    mark_live,
    occurrence,
    register_set,
)
from azero_jax.ops import Law, Rule, Sees
from azero_jax.packed import (
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
from azero_jax.tasks import Tasks

# Examples that algebraic keys follow, if there are so many. Five and three tell apart what ten and ten do;
# with four and two, one in 150 keys of evolved digit classifiers was shared wrongly.
_TRAIN_EXAMPLES = 5
_VALID_EXAMPLES = 3

_MULTIPLIERS = tuple(np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

# A symbol is a hash with its lowest bits replaced by a bound: the e of |x| <= 2^e, or that x
# may be infinite or NaN. That of the expression 0 has a hash of 0.
_BOUND_BITS = 10
_INFINITE = np.uint64((1 << _BOUND_BITS) - 1)
_HASH = ~_INFINITE
_ZERO = np.uint64(0)

_NUM_LAWS = len(Law)

# An op in three words, for algebraic keys. In the first are the laws that hold in programs whose
# ops see nothing but values, those where some see the sign of zero, those where some may see
# anything, and flags: what this op sees, and whether it draws. The second says how bounds of
# results follow: the rule, whether squares are added, whether it draws, what is added, and what
# the bound is at least. The third says what each constant adds to the last.
_FLAGS_SHIFT = _NUM_LAWS * len(Sees)
_OP_DRAWS = 4
_RULE_SHIFT, _SQUARES_SHIFT, _DRAWS_SHIFT, _MORE_SHIFT, _LEAST_SHIFT = 0, 3, 4, 8, 16
_CONSTANT_BITS = 8

# A live line in uint64, ready to be executed: in1, in2 and out of so many bits each; the first
# two words of its op, the second one above; and a hash of its op and constants.
_LINE_WORDS = 3
_REGISTER_BITS = 20
_REGISTER_SHIFTS = (0, _REGISTER_BITS, 2 * _REGISTER_BITS)


class Known(NamedTuple):
    """What algebraic keys build on: the tasks, and how large numbers are there.

    Bounds are the e of |x| <= 2^e, or a number for those that are not known.

    Attributes:
      normalised: whether Learn sees the prediction as a probability, as in tasks with classes.
      vector_labels: whether labels and predictions are v1 and v2.
      features, label: bounds.
      prediction: bound of a prediction that has passed the check of its error.
      largest: the largest e of finite numbers that keys tell apart from infinity.
      log_of_features: log2(F), rounded up.
      num_train_examples, num_valid_examples: how many there are, at most as many as keys follow.
    """

    normalised: bool
    vector_labels: bool
    features: int
    label: int
    prediction: int
    largest: int
    log_of_features: int
    num_train_examples: int
    num_valid_examples: int

    @classmethod
    def of(cls, tasks: Tasks, *, max_abs_error: float, dtype: str) -> Known:
        """What is known of programs on some tasks.

        Args:
          tasks: the tasks.
          max_abs_error, dtype: as of `Evaluator`.
        """
        largest_label = max(_largest(tasks.train_labels), _largest(tasks.valid_labels))
        normalised = tasks.objective.has_classes
        largest = min(int(np.finfo(dtype).maxexp) - 1, int(_INFINITE) - 1)

        def bound(number: float) -> int:
            """The smallest e, not below 0, with numbers up to this below 2^e, if it is known to be finite."""
            e = max(0, math.frexp(number)[1]) if number < np.inf else largest + 1
            return e if e <= largest else int(_INFINITE)

        return cls(
            normalised=normalised,
            vector_labels=tasks.vector_labels,
            features=bound(max(_largest(tasks.train_features), _largest(tasks.valid_features))),
            label=0 if tasks.vector_labels else bound(largest_label),
            # Twice as much as it can be, since the error is rounded.
            prediction=0 if normalised else bound(2 * (max_abs_error + largest_label)),
            largest=largest,
            log_of_features=math.ceil(math.log2(tasks.features_size)),
            num_train_examples=min(_TRAIN_EXAMPLES, tasks.num_train_examples),
            num_valid_examples=min(_VALID_EXAMPLES, tasks.num_valid_examples),
        )

    def as_words(self) -> np.ndarray:
        """For jitted code: uint64."""
        return np.array(self[2:], np.uint64)


def _largest(numbers: np.ndarray) -> float:
    return float(max(numbers.max(), -numbers.min()))


def _law_table(log_of_features: int) -> np.ndarray:
    """What keys need to know of each op, uint32 [ops, 3]."""
    return _law_table_of(log_of_features, *ops.version())


@functools.lru_cache(maxsize=8)
def _law_table_of(log_of_features: int, num_ops: int, changes: int) -> np.ndarray:
    words = np.zeros((num_ops, 3), np.uint32)
    for op in ops.table():
        exact, but_for_sign = op.laws
        # One NaN may be seen apart from another, and a small number from zero: sums pass nothing on.
        of_all = exact & ~(Law.COMMUTATIVE | Law.FIRST_IF_SECOND_ZERO)
        of_all |= Law.COMMUTATIVE_IF_FINITE if Law.COMMUTATIVE in exact else Law(0)
        for sees, laws in ((Sees.VALUES, exact | but_for_sign), (Sees.SIGN_OF_ZERO, exact), (Sees.BITS, of_all)):
            words[op.id, 0] |= laws << _NUM_LAWS * sees
        words[op.id, 0] |= (op.sees | (_OP_DRAWS if op.draws else 0)) << _FLAGS_SHIFT
        rule, more, sums, squares = op.magnitude
        more += sums * log_of_features
        least = {Rule.UNKNOWN: int(_INFINITE), Rule.BOUNDED: more}.get(rule, 0)
        words[op.id, 1] = (
            rule << _RULE_SHIFT
            | squares << _SQUARES_SHIFT
            | bool(op.draws) << _DRAWS_SHIFT
            | more << _MORE_SHIFT
            | least << _LEAST_SHIFT
        )
        for index, kind in enumerate(op.constants):
            words[op.id, 2] |= ops.MAGNITUDE_OF_CONSTANT[kind] << (_CONSTANT_BITS * index)
    return words


def _field(word: Array, shift: int, bits: int) -> Array:
    return word >> word.dtype.type(shift) & word.dtype.type((1 << bits) - 1)


def _joined(low: Array, high: Array, shift: int) -> Array:
    return low.astype(jnp.uint64) | high.astype(jnp.uint64) << np.uint64(shift)


class _Config(NamedTuple):
    """Everything that is compiled into the computation of keys."""

    layout: PackedLayout
    normalised: bool | None  # as of `Known`; None for structural keys


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
    population: Population, memory: MemorySize, known: Known, num_threads: int | None = None
) -> np.ndarray:
    """Keys that are equal for programs whose predictions are equal by algebra.

    Args:
      population: P programs with addresses within the memory.
      memory: the addresses there are.
      known: what is known of the tasks.
      num_threads: batches at the same time; by default one per core.

    Returns:
      uint64 [P].
    """
    return _keys(population, memory, known, num_threads, known.vector_labels)


def _keys(
    population: Population, memory: MemorySize, known: Known | None, num_threads: int | None, vector_labels: bool
) -> np.ndarray:
    layout = PackedLayout.fitting(population.code.shape[1], 2, memory)
    fixed = FixedRegisters.of(memory, vector_labels).as_words()
    compute = _computation(_Config(layout, known.normalised if known else None))
    table = op_table_words(memory)
    laws, about = (_law_table(known.log_of_features), known.as_words()) if known else (None, None)
    keys = np.empty(len(population), np.uint64)

    def run(programs: slice) -> None:
        words = pack(population, programs, memory, layout)
        with precision("float64"), on_cpu():  # for 64-bit integers
            computed = compute(words, table, fixed, laws, about)
            keys[programs] = np.asarray(computed)[: programs.stop - programs.start]

    threads = num_threads or available_cores()
    run_jobs(run, layout.batches(population), threads)
    return keys


@functools.lru_cache(maxsize=32)
def _computation(config: _Config):
    """The jitted function from packed programs, op table, fixed registers, laws and what is known to keys."""

    def compute(words, table, fixed_words, law_table, known_words):
        reader = Reader(config.layout, words, table)
        fixed = FixedRegisters(*fixed_words)
        layout = config.layout

        def visit(program, carry):
            keys, scratch, decoded = carry
            liveness = mark_live(reader, program, scratch, fixed)
            if config.normalised is None:
                key = _structural_key(reader, liveness, fixed)
            else:
                known = Known(config.normalised, False, *known_words)
                key, decoded = _algebraic_key(reader, liveness, fixed, law_table, known, decoded)
            return put(keys, program, key), liveness.scratch, decoded

        def visit_all(_, keys):
            decoded = [jnp.zeros(layout.lines, jnp.uint64)] * _LINE_WORDS
            return lax.fori_loop(jnp.uint32(0), words[NUM_PROGRAMS], visit, (keys, Scratch.of(layout), decoded))[0]

        return in_one_loop(visit_all, words[NUM_PROGRAMS], jnp.zeros(MAX_PROGRAMS, jnp.uint64))

    return xla_flags.jit(compute)


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
        op_and_inputs = line.op.astype(jnp.uint64)
        for place, register in enumerate((line.in1, line.in2, line.out)):
            name = at(names, register)
            is_written = jnp.any(written & register_set(register, reader.set_words) != 0)
            is_new = (name == 0) & is_written
            name = jnp.where(is_new, next_name, name)
            next_name += is_new.astype(jnp.uint32)
            names = put(names, register, name)
            name = jnp.where(draws, _FIRST_NAME + register, name)
            if place < 2:
                op_and_inputs |= name.astype(jnp.uint64) << np.uint64(20 * place + 20)
        for word in (op_and_inputs, name.astype(jnp.uint64)):
            key = _mixed(key * _MULTIPLIERS[0] + word)
        return _with_constants(reader, number, line, key), names, next_name

    key, _, _ = lax.fori_loop(jnp.uint32(0), liveness.num_live, add, (jnp.uint64(0), names, jnp.uint32(_FIRST_NAME)))
    setup_end, predict_end, end = liveness.ends.astype(jnp.uint64)
    return _mixed(key * _MULTIPLIERS[0] + (setup_end << np.uint64(40)) + (predict_end << np.uint64(20)) + end)


def _algebraic_key(
    reader: Reader,
    liveness: Liveness,
    fixed: FixedRegisters,
    law_table: Array,
    known: Known,
    decoded: list[Array],
) -> tuple[Array, list[Array]]:
    order = liveness.scratch.order

    def laws_of(op):
        return lax.dynamic_slice(law_table, (op, np.uint32(0)), (1, 2))[0]

    def decode(index, carry):
        """What an execution needs of a line."""
        decoded, flags = carry
        number = at(order, index)
        line = reader.line(number)
        laws, bound, of_constants = lax.dynamic_slice(law_table, (line.op, np.uint32(0)), (1, 3))[0]

        def with_constant(index, carry):
            word, least = carry
            bits = _bits(reader, number, index)
            more = of_constants >> (np.uint32(_CONSTANT_BITS) * index) & np.uint32((1 << _CONSTANT_BITS) - 1)
            return _mixed(word * _MULTIPLIERS[0] + bits), jnp.maximum(least, _bound_of_float(bits) + more)

        carry = line.op.astype(jnp.uint64) * _MULTIPLIERS[2], bound >> np.uint32(_LEAST_SHIFT)
        word, least = lax.fori_loop(jnp.uint32(0), line.num_constants, with_constant, carry)
        bound &= np.uint32((1 << _LEAST_SHIFT) - 1)
        bound |= jnp.minimum(least, np.uint32(_INFINITE)) << np.uint32(_LEAST_SHIFT)
        # s = 0
        sets_zero = (line.num_constants == 1) & (_bits(reader, number, 0) == 0)
        all_zero = sum(Law.ZERO << _NUM_LAWS * sees for sees in Sees)
        # An op that sets one element keeps the others, and so reads its output.
        in1 = jnp.where(line.sets_one_element, line.out, line.in1)
        words = (
            _joined(_joined(in1, line.in2, _REGISTER_BITS), line.out, 2 * _REGISTER_BITS),
            _joined(jnp.where(sets_zero, np.uint32(all_zero), laws), bound, 32),
            word,
        )
        return [put(array, index, word) for array, word in zip(decoded, words)], flags | laws >> np.uint32(_FLAGS_SHIFT)

    def name(index, hashes):
        """With the name of a random line, as the machine knows it, but for its component function and the step."""
        line = reader.line(at(order, index))
        setup_end, predict_end, _ = liveness.ends
        first = jnp.where(index < predict_end, jnp.where(index < setup_end, np.uint32(0), setup_end), predict_end)
        place = line.out.astype(jnp.uint64) << np.uint64(32) | occurrence(reader, order, line, first, index)
        word = at(hashes, index)
        return put(hashes, index, jnp.where(line.draws, _mixed((word ^ place) * _MULTIPLIERS[1]), word))

    carry = decoded, jnp.uint32(0)
    (registers, ops_of_lines, hashes), flags = lax.fori_loop(jnp.uint32(0), liveness.num_live, decode, carry)
    random_lines = jnp.where(flags & np.uint32(_OP_DRAWS) != 0, liveness.num_live, np.uint32(0))
    hashes = lax.fori_loop(jnp.uint32(0), random_lines, name, hashes)
    sees = jnp.where(flags & np.uint32(Sees.BITS) != 0, np.uint32(Sees.BITS), flags & np.uint32(Sees.SIGN_OF_ZERO))
    laws_shift = np.uint32(_NUM_LAWS) * sees

    def execute(function, symbols, moment):
        """Symbols after one component function; `moment` tells the draws of examples apart."""

        def visit(index, symbols):
            in1, in2, out = (_field(at(registers, index), shift, _REGISTER_BITS) for shift in _REGISTER_SHIFTS)
            about = at(ops_of_lines, index)
            laws, bound = about.astype(jnp.uint32), (about >> np.uint64(32)).astype(jnp.uint32)
            word = at(hashes, index)
            word = jnp.where(_field(bound, _DRAWS_SHIFT, 1) != 0, _mixed(word + moment), word)
            a, b = at(symbols, in1), at(symbols, in2)
            bound = _bound_of_result(a & _INFINITE, b & _INFINITE, bound, known.largest)
            return put(symbols, out, _expression(a, b, word, laws >> laws_shift, bound))

        return lax.fori_loop(*liveness.lines(function), visit, symbols)

    def predict(symbols, key, moment):
        symbols = put(symbols, fixed.label, jnp.uint64(_ZERO))
        symbols = put(symbols, fixed.features, _bounded(_mixed(moment + np.uint64(2)), known.features))
        symbols = execute(PREDICT, symbols, moment + np.uint64(1 << 40))
        return symbols, _mixed(key * _MULTIPLIERS[0] ^ at(symbols, fixed.prediction) & _HASH)

    def checked(symbols):
        """With the prediction known to be within the error allowed, or else the task is over in every such program."""
        predicted = at(symbols, fixed.prediction)
        return put(symbols, fixed.prediction, _bounded(predicted, jnp.minimum(predicted & _INFINITE, known.prediction)))

    def train(example, carry):
        moment = (example.astype(jnp.uint64) + np.uint64(1)) << np.uint64(48)
        symbols, key = predict(carry[0], carry[1], moment)
        if known.normalised:
            probability = _mixed((at(symbols, fixed.prediction) & _HASH) ^ _MULTIPLIERS[2])
            symbols = put(symbols, fixed.prediction, probability)
        symbols = checked(symbols)
        symbols = put(symbols, fixed.label, _bounded(_mixed(moment + np.uint64(3)), known.label))
        symbols = put(symbols, fixed.features, _bounded(_mixed(moment + np.uint64(2)), known.features))
        return execute(LEARN, symbols, moment + np.uint64(2 << 40)), key

    def validate(example, carry):
        moment = (example.astype(jnp.uint64) + np.uint64(1 + _TRAIN_EXAMPLES)) << np.uint64(48)
        symbols, key = predict(carry[0], carry[1], moment)
        return symbols if known.normalised else checked(symbols), key

    carry = execute(SETUP, jnp.zeros(reader.layout.registers, jnp.uint64), jnp.uint64(0)), jnp.uint64(0)
    carry = lax.fori_loop(jnp.uint64(0), known.num_train_examples, train, carry)
    return lax.fori_loop(jnp.uint64(0), known.num_valid_examples, validate, carry)[1], [registers, ops_of_lines, hashes]


def _bounded(hashed: Array, bound: Array | int) -> Array:
    """A symbol with a bound."""
    return hashed & _HASH | bound


def _bound_of_float(bits: Array) -> Array:
    """The bound of a constant, uint32, from the bits of a float64."""
    exponent = (bits >> np.uint64(52)).astype(jnp.uint32) & np.uint32(0x7FF)
    return jnp.maximum(exponent, np.uint32(1022)) - np.uint32(1022)


def _expression(a: Array, b: Array, word: Array, laws: Array, bound: Array) -> Array:
    """The symbol of op(a, b), by the laws of the op; `word` stands for the op and its constants."""

    def has(law: Law):
        return laws & np.uint32(law) != 0

    # Differences within the bounds do not matter, here and where symbols are compared.
    a_zero, b_zero, equal = a <= _INFINITE, b <= _INFINITE, a ^ b <= _INFINITE
    finite = (a & _INFINITE != _INFINITE) & (b & _INFINITE != _INFINITE)
    commutes = has(Law.COMMUTATIVE) | has(Law.COMMUTATIVE_IF_FINITE) & finite
    swapped = commutes & (a > b)
    first, second = jnp.where(swapped, b, a) & _HASH, jnp.where(swapped, a, b) & _HASH
    rotated = (second << np.uint64(25)) | (second >> np.uint64(39))
    value = _bounded(_mixed(first + rotated + word), bound)
    zero = has(Law.ZERO) | has(Law.ZERO_IF_FIRST_ZERO) & a_zero | has(Law.ZERO_IF_SECOND_ZERO) & b_zero
    zero |= has(Law.ZERO_IF_EQUAL) & equal
    value = jnp.where(zero & finite, _ZERO, value)
    same = has(Law.FIRST_IF_SECOND_ZERO) & b_zero | has(Law.FIRST_IF_EQUAL) & equal
    value = jnp.where(same, a, value)
    return jnp.where(has(Law.SECOND_IF_FIRST_ZERO) & a_zero, b, value)


def _bound_of_result(a: Array, b: Array, line: Array, largest: Array | int) -> Array:
    """The bound of op(a, b) from those of a and b, by the last word of a line."""
    rule = _field(line, _RULE_SHIFT, 3)
    more = _field(line, _MORE_SHIFT, 8).astype(jnp.uint64)
    least = (line >> np.uint32(_LEAST_SHIFT)).astype(jnp.uint64)
    e = jnp.where(rule == Rule.PRODUCT, a + b, jnp.maximum(a, b))
    # exp(x) < 2^(1.5 x)
    e = jnp.where(rule == Rule.EXPONENTIAL, np.uint64(3) << jnp.minimum(a, np.uint64(_BOUND_BITS)) >> np.uint64(1), e)
    e = jnp.where(rule == Rule.ALWAYS_BOUNDED, np.uint64(0), e + more)
    on_the_way = jnp.maximum(jnp.where(_field(line, _SQUARES_SHIFT, 1) != 0, e + a, e), least)
    result = jnp.maximum(jnp.where(rule == Rule.BOUNDED, np.uint64(0), e), least)
    return jnp.where(on_the_way > largest, _INFINITE, result)
