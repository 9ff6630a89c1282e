"""The op table: the 65 ops of AutoML-Zero, one row each, and ops that users register (`user_ops`).

Ids, names and semantics are those of the C++ release (`instruction.proto`,
`executor.h`); ids equal the op numbers of Table S1 in the paper. Everything
else in the package that knows about ops (parser and printer, mutation choices,
liveness, the machines, the documentation) is derived from the rows of this table.

An op's function works on one task's values: a scalar has shape `()`, a vector
`(F,)`, a matrix `(F, F)`. The machines batch it over tasks.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

KINDS = "svm"  # scalar, vector, matrix
KIND_NAMES = {"s": "scalar", "v": "vector", "m": "matrix"}

# What a constant of an instruction means; decides how it is drawn and mutated.
ConstantKind = Literal["value", "index", "low", "high", "mean", "stdev"]

MAX_INPUTS = 2
MAX_CONSTANTS = 3


class Law(enum.IntFlag):
    """A law of arithmetic that an op obeys, to the last bit; one NaN counts as good as another."""

    # For all operands.
    COMMUTATIVE = enum.auto()  # f(a, b) = f(b, a)
    FIRST_IF_SECOND_ZERO = enum.auto()  # f(a, 0) = a
    SECOND_IF_FIRST_ZERO = enum.auto()  # f(0, b) = b
    FIRST_IF_EQUAL = enum.auto()  # f(a, a) = a
    # For finite operands only.
    COMMUTATIVE_IF_FINITE = enum.auto()  # f(a, b) = f(b, a)
    ZERO = enum.auto()  # f() = 0
    ZERO_IF_FIRST_ZERO = enum.auto()  # f(0, b) = 0
    ZERO_IF_SECOND_ZERO = enum.auto()  # f(a, 0) = 0
    ZERO_IF_EQUAL = enum.auto()  # f(a, a) = 0


_NO_LAWS = Law(0)


class Laws(NamedTuple):
    """The laws of an op.

    Attributes:
      exact: those that hold with the sign of zero.
      but_for_sign: those that hold but for the sign of zero.
    """

    exact: Law = _NO_LAWS
    but_for_sign: Law = _NO_LAWS


_NONE = Laws()
_SUM = Laws(Law.COMMUTATIVE, Law.FIRST_IF_SECOND_ZERO | Law.SECOND_IF_FIRST_ZERO)
_DIFFERENCE = Laws(Law.FIRST_IF_SECOND_ZERO | Law.ZERO_IF_EQUAL)
_BILINEAR = Laws(_NO_LAWS, Law.ZERO_IF_FIRST_ZERO | Law.ZERO_IF_SECOND_ZERO)
_PRODUCT = Laws(Law.COMMUTATIVE, _BILINEAR.but_for_sign)
_CHOICE = Laws(Law.FIRST_IF_EQUAL, Law.COMMUTATIVE_IF_FINITE)
_KEEPS_ZERO = Laws(Law.ZERO_IF_FIRST_ZERO)


class Rule(enum.IntEnum):
    """From which e it follows that |f(a, b)| <= 2^e, if |a| <= 2^ea and |b| <= 2^eb; e is never below 0."""

    UNKNOWN = 0  # infinite or NaN for some finite a and b
    LARGEST = 1  # the larger of ea and eb
    PRODUCT = 2  # ea + eb
    EXPONENTIAL = 3  # that of exp(a)
    BOUNDED = 4  # 0, for finite operands
    ALWAYS_BOUNDED = 5  # 0, whatever the operands are, NaN too


class Magnitude(NamedTuple):
    """How large an op's results can be, so that it is known where no number is infinite or NaN.

    Attributes:
      rule: what e is, but for what follows.
      more: added to e.
      sums: 1 where the op adds F numbers, 2 where it adds F * F; e grows by so many times log2(F).
      squares: whether it adds the squares of its operand, which may overflow where the result does not.
    """

    rule: Rule = Rule.UNKNOWN
    more: int = 0
    sums: int = 0
    squares: bool = False


# What the value of a constant adds to e, by its meaning: a draw is low + (high - low) * u with u
# from 0 to 1, or mean + stdev * z with z from -5.5 to 5.5.
MAGNITUDE_OF_CONSTANT: dict[ConstantKind, int] = {"value": 0, "index": 0, "low": 2, "high": 2, "mean": 1, "stdev": 4}

_UNKNOWN = Magnitude()
_AS_LARGE = Magnitude(Rule.LARGEST)
_OF_SUM = Magnitude(Rule.LARGEST, more=1)
_OF_PRODUCT = Magnitude(Rule.PRODUCT)
_OF_PRODUCTS = Magnitude(Rule.PRODUCT, sums=1)
_UP_TO_1 = Magnitude(Rule.ALWAYS_BOUNDED)
_UP_TO_2 = Magnitude(Rule.BOUNDED, more=1)


def _mean(sums: int) -> Magnitude:
    # The factor 1 / F is rounded, and so no use.
    return Magnitude(Rule.LARGEST, sums=sums)


def _root_of_squares(sums: int) -> Magnitude:
    return Magnitude(Rule.LARGEST, sums=sums, squares=True)


class Sees(enum.IntEnum):
    """What an op's results can depend on beside the values of its operands."""

    VALUES = 0  # nothing: +0 and -0 lead to the same but for the sign of zero
    SIGN_OF_ZERO = 1  # whether a zero is +0 or -0, as 1 / x does
    BITS = 2  # anything: which NaN it is, and numbers so small that arithmetic takes them for zero


@dataclasses.dataclass(frozen=True)
class Op:
    """One row of the op table.

    Attributes:
      id: position in the table; 0 to 64 are the paper's op numbers.
      name: the C++ release's name, or the one a user registered.
      inputs: kinds of the operands read, such as "sv" for (scalar, vector).
      output: kind of the operand written, or "" for the no-op.
      form: the printed text; `{a}`, `{b}` stand for the input addresses, `{o}`
        for the output address, `{x}`, `{y}`, `{z}` for the constants in order.
      constants: the meaning of each constant, in the order x, y, z.
      function: maps one task's input values to its output value; None where the
        op writes constants or random numbers.
      draws: the distribution of a random op, else None.
      laws, magnitude, sees: for recognising equal programs: laws that it obeys, how large its
        results are, what it tells apart. Of an op of a user's nothing is known.
      removed: whether it was unregistered; the row stays, so that the ids of others do.
    """

    id: int
    name: str
    inputs: str
    output: str
    form: str
    constants: tuple[ConstantKind, ...] = ()
    function: Callable[..., jax.Array] | None = None
    draws: Literal["uniform", "gaussian"] | None = None
    laws: Laws = _NONE
    magnitude: Magnitude = _UNKNOWN
    sees: Sees = Sees.BITS
    removed: bool = False

    @property
    def writes_one_element(self) -> bool:
        """Whether the op sets one element and keeps the rest of its output."""
        return "index" in self.constants


def _scalar_heaviside(x):
    return (x >= 0).astype(x.dtype)


def _heaviside(x):
    return (x > 0).astype(x.dtype)


# Above this many terms a tree of slices makes the compiled loop too large.
MAX_TREE_TERMS = 32


def tree(combine: Callable[..., jax.Array], terms: list[jax.Array]) -> jax.Array:
    """Combines equally shaped arrays by halving, so that one operation does not wait for the one before."""
    while len(terms) > 1:
        paired = [combine(a, b) for a, b in zip(terms[::2], terms[1::2])]
        terms = paired + terms[len(paired) * 2 :]
    return terms[0]


def sum_axis(x: jax.Array, axis: int) -> jax.Array:
    """Sum over a leading axis as a tree of slices, so that it is -0 where all terms are, if they are not too many.

    `jnp.sum` begins with +0, and XLA takes no other zero to begin with.
    """
    size = x.shape[axis]
    if size > MAX_TREE_TERMS:
        return jnp.sum(x, axis=axis)
    return tree(jnp.add, [jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(size)])


def root_of_squares(total: jax.Array, count: int) -> jax.Array:
    """The square root of a sum of so many squares.

    XLA takes the root of one square for the absolute value, which does not overflow where the
    square does. A choice keeps it from doing so.
    """
    return jnp.sqrt(total if count > 1 else jnp.where(total == total, total, jnp.nan))


def _norm(x, axis=None):
    return root_of_squares(jnp.sum(x * x, axis=axis), x.shape[0])


def _average(x, axis=0):
    return sum_axis(x, axis) / x.shape[axis]


def _matrix_average(m):
    return sum_axis(sum_axis(m, 0), 0) / m.size


def deviation(mean_of_squares: jax.Array, mean: jax.Array) -> jax.Array:
    """The standard deviation from the two moments, as executor.h has it: rounding can make it NaN.

    Of a mean that is a sum times a constant, XLA would square the sum first, and that can
    overflow where the mean's square does not. A choice keeps it from doing so.
    """
    mean = jnp.where(mean == mean, mean, jnp.nan)
    return jnp.sqrt(mean_of_squares - mean * mean)


def _standard_deviation(x, axis=None):
    return deviation(jnp.mean(x * x, axis=axis), jnp.mean(x, axis=axis))


# Comparisons, not jnp.minimum and jnp.maximum: with a NaN on either side, scalars
# and vectors give the first operand and matrices the second (executor.h).
def _minimum(a, b):
    return jnp.where(b < a, b, a)


def _maximum(a, b):
    return jnp.where(a < b, b, a)


def _matrix_minimum(a, b):
    return jnp.where(a < b, a, b)


def _matrix_maximum(a, b):
    return jnp.where(a > b, a, b)


def _inner(a, b):
    return sum_axis(a * b, 0)


def _matrix_vector(m, v):
    if len(v) > MAX_TREE_TERMS:
        return jnp.dot(m, v)
    return sum_axis(m * v[None], 1)


def _matrix_matrix(a, b):
    if len(a) > MAX_TREE_TERMS:
        return jnp.matmul(a, b)
    return tree(jnp.add, [a[:, k, None] * b[None, k] for k in range(len(a))])


def _square(vector):
    return (vector.shape[0], vector.shape[0])


# (name, inputs, output, form, function, laws, magnitude). No operand tells SCALAR_BROADCAST how
# large F is, so `apply` broadcasts what it returns.
_DETERMINISTIC = (
    ("NO_OP", "", "", "NoOp()", None, _NONE, _UNKNOWN),
    ("SCALAR_SUM", "ss", "s", "s{o} = s{a} + s{b}", jnp.add, _SUM, _OF_SUM),
    ("SCALAR_DIFF", "ss", "s", "s{o} = s{a} - s{b}", jnp.subtract, _DIFFERENCE, _OF_SUM),
    ("SCALAR_PRODUCT", "ss", "s", "s{o} = s{a} * s{b}", jnp.multiply, _PRODUCT, _OF_PRODUCT),
    ("SCALAR_DIVISION", "ss", "s", "s{o} = s{a} / s{b}", jnp.divide, _NONE, _UNKNOWN),
    ("SCALAR_ABS", "s", "s", "s{o} = abs(s{a})", jnp.abs, _KEEPS_ZERO, _AS_LARGE),
    ("SCALAR_RECIPROCAL", "s", "s", "s{o} = 1 / s{a}", lambda x: 1 / x, _NONE, _UNKNOWN),
    ("SCALAR_SIN", "s", "s", "s{o} = sin(s{a})", jnp.sin, _KEEPS_ZERO, _UP_TO_2),
    ("SCALAR_COS", "s", "s", "s{o} = cos(s{a})", jnp.cos, _NONE, _UP_TO_2),
    ("SCALAR_TAN", "s", "s", "s{o} = tan(s{a})", jnp.tan, _KEEPS_ZERO, _UNKNOWN),
    ("SCALAR_ARCSIN", "s", "s", "s{o} = arcsin(s{a})", jnp.arcsin, _KEEPS_ZERO, _UNKNOWN),
    ("SCALAR_ARCCOS", "s", "s", "s{o} = arccos(s{a})", jnp.arccos, _NONE, _UNKNOWN),
    ("SCALAR_ARCTAN", "s", "s", "s{o} = arctan(s{a})", jnp.arctan, _KEEPS_ZERO, _UP_TO_2),
    ("SCALAR_EXP", "s", "s", "s{o} = exp(s{a})", jnp.exp, _NONE, Magnitude(Rule.EXPONENTIAL)),
    ("SCALAR_LOG", "s", "s", "s{o} = log(s{a})", jnp.log, _NONE, _UNKNOWN),
    ("SCALAR_HEAVISIDE", "s", "s", "s{o} = heaviside(s{a}, 1.0)", _scalar_heaviside, _NONE, _UP_TO_1),
    ("VECTOR_HEAVISIDE", "v", "v", "v{o} = heaviside(v{a}, 1.0)", _heaviside, _KEEPS_ZERO, _UP_TO_1),
    ("MATRIX_HEAVISIDE", "m", "m", "m{o} = heaviside(m{a}, 1.0)", _heaviside, _KEEPS_ZERO, _UP_TO_1),
    ("SCALAR_VECTOR_PRODUCT", "sv", "v", "v{o} = s{a} * v{b}", jnp.multiply, _BILINEAR, _OF_PRODUCT),
    ("SCALAR_BROADCAST", "s", "v", "v{o} = bcast(s{a})", lambda x: x, _KEEPS_ZERO, _AS_LARGE),
    ("VECTOR_RECIPROCAL", "v", "v", "v{o} = 1 / v{a}", lambda x: 1 / x, _NONE, _UNKNOWN),
    ("VECTOR_NORM", "v", "s", "s{o} = norm(v{a})", _norm, _KEEPS_ZERO, _root_of_squares(1)),
    ("VECTOR_ABS", "v", "v", "v{o} = abs(v{a})", jnp.abs, _KEEPS_ZERO, _AS_LARGE),
    ("VECTOR_SUM", "vv", "v", "v{o} = v{a} + v{b}", jnp.add, _SUM, _OF_SUM),
    ("VECTOR_DIFF", "vv", "v", "v{o} = v{a} - v{b}", jnp.subtract, _DIFFERENCE, _OF_SUM),
    ("VECTOR_PRODUCT", "vv", "v", "v{o} = v{a} * v{b}", jnp.multiply, _PRODUCT, _OF_PRODUCT),
    ("VECTOR_DIVISION", "vv", "v", "v{o} = v{a} / v{b}", jnp.divide, _NONE, _UNKNOWN),
    ("VECTOR_INNER_PRODUCT", "vv", "s", "s{o} = dot(v{a}, v{b})", _inner, _PRODUCT, _OF_PRODUCTS),
    ("VECTOR_OUTER_PRODUCT", "vv", "m", "m{o} = outer(v{a}, v{b})", jnp.outer, _BILINEAR, _OF_PRODUCT),
    ("SCALAR_MATRIX_PRODUCT", "sm", "m", "m{o} = s{a} * m{b}", jnp.multiply, _BILINEAR, _OF_PRODUCT),
    ("MATRIX_RECIPROCAL", "m", "m", "m{o} = 1 / m{a}", lambda x: 1 / x, _NONE, _UNKNOWN),
    ("MATRIX_VECTOR_PRODUCT", "mv", "v", "v{o} = dot(m{a}, v{b})", _matrix_vector, _BILINEAR, _OF_PRODUCTS),
    (
        "VECTOR_COLUMN_BROADCAST",
        "v",
        "m",
        "m{o} = bcast(v{a}, axis=0)",
        lambda v: jnp.broadcast_to(v[:, None], _square(v)),
        _KEEPS_ZERO,
        _AS_LARGE,
    ),
    (
        "VECTOR_ROW_BROADCAST",
        "v",
        "m",
        "m{o} = bcast(v{a}, axis=1)",
        lambda v: jnp.broadcast_to(v[None, :], _square(v)),
        _KEEPS_ZERO,
        _AS_LARGE,
    ),
    ("MATRIX_NORM", "m", "s", "s{o} = norm(m{a})", _norm, _KEEPS_ZERO, _root_of_squares(2)),
    (
        "MATRIX_COLUMN_NORM",
        "m",
        "v",
        "v{o} = norm(m{a}, axis=0)",
        lambda m: _norm(m, axis=0),
        _KEEPS_ZERO,
        _root_of_squares(1),
    ),
    (
        "MATRIX_ROW_NORM",
        "m",
        "v",
        "v{o} = norm(m{a}, axis=1)",
        lambda m: _norm(m, axis=1),
        _KEEPS_ZERO,
        _root_of_squares(1),
    ),
    ("MATRIX_TRANSPOSE", "m", "m", "m{o} = transpose(m{a})", jnp.transpose, _KEEPS_ZERO, _AS_LARGE),
    ("MATRIX_ABS", "m", "m", "m{o} = abs(m{a})", jnp.abs, _KEEPS_ZERO, _AS_LARGE),
    ("MATRIX_SUM", "mm", "m", "m{o} = m{a} + m{b}", jnp.add, _SUM, _OF_SUM),
    ("MATRIX_DIFF", "mm", "m", "m{o} = m{a} - m{b}", jnp.subtract, _DIFFERENCE, _OF_SUM),
    ("MATRIX_PRODUCT", "mm", "m", "m{o} = m{a} * m{b}", jnp.multiply, _PRODUCT, _OF_PRODUCT),
    ("MATRIX_DIVISION", "mm", "m", "m{o} = m{a} / m{b}", jnp.divide, _NONE, _UNKNOWN),
    ("MATRIX_MATRIX_PRODUCT", "mm", "m", "m{o} = matmul(m{a}, m{b})", _matrix_matrix, _BILINEAR, _OF_PRODUCTS),
    ("SCALAR_MIN", "ss", "s", "s{o} = minimum(s{a}, s{b})", _minimum, _CHOICE, _AS_LARGE),
    ("VECTOR_MIN", "vv", "v", "v{o} = minimum(v{a}, v{b})", _minimum, _CHOICE, _AS_LARGE),
    ("MATRIX_MIN", "mm", "m", "m{o} = minimum(m{a}, m{b})", _matrix_minimum, _CHOICE, _AS_LARGE),
    ("SCALAR_MAX", "ss", "s", "s{o} = maximum(s{a}, s{b})", _maximum, _CHOICE, _AS_LARGE),
    ("VECTOR_MAX", "vv", "v", "v{o} = maximum(v{a}, v{b})", _maximum, _CHOICE, _AS_LARGE),
    ("MATRIX_MAX", "mm", "m", "m{o} = maximum(m{a}, m{b})", _matrix_maximum, _CHOICE, _AS_LARGE),
    ("VECTOR_MEAN", "v", "s", "s{o} = mean(v{a})", _average, _KEEPS_ZERO, _mean(1)),
    ("MATRIX_MEAN", "m", "s", "s{o} = mean(m{a})", _matrix_average, _KEEPS_ZERO, _mean(2)),
    ("MATRIX_ROW_MEAN", "m", "v", "v{o} = mean(m{a}, axis=1)", lambda m: _average(m, 1), _KEEPS_ZERO, _mean(1)),
    (
        "MATRIX_ROW_ST_DEV",
        "m",
        "v",
        "v{o} = std(m{a}, axis=1)",
        lambda m: _standard_deviation(m, axis=1),
        _KEEPS_ZERO,
        _UNKNOWN,
    ),
    ("VECTOR_ST_DEV", "v", "s", "s{o} = std(v{a})", _standard_deviation, _KEEPS_ZERO, _UNKNOWN),
    ("MATRIX_ST_DEV", "m", "s", "s{o} = std(m{a})", _standard_deviation, _KEEPS_ZERO, _UNKNOWN),
)

# A numerator's sign of zero shows in the sign of a zero only, a denominator's in that of an infinity.
_SEE_SIGN_OF_ZERO = frozenset(
    f"{kind}_{what}" for kind in ("SCALAR", "VECTOR", "MATRIX") for what in ("DIVISION", "RECIPROCAL")
)

# (name, output, form, constants, draws).
_CONSTANT_AND_RANDOM: tuple[tuple, ...] = (
    ("SCALAR_CONST_SET", "s", "s{o} = {x}", ("value",), None),
    ("VECTOR_CONST_SET", "v", "v{o}[{x}] = {y}", ("index", "value"), None),
    ("MATRIX_CONST_SET", "m", "m{o}[{x}, {y}] = {z}", ("index", "index", "value"), None),
    ("SCALAR_UNIFORM_SET", "s", "s{o} = uniform({x}, {y})", ("low", "high"), "uniform"),
    ("VECTOR_UNIFORM_SET", "v", "v{o} = uniform({x}, {y}, n_features)", ("low", "high"), "uniform"),
    ("MATRIX_UNIFORM_SET", "m", "m{o} = uniform({x}, {y}, (n_features, n_features))", ("low", "high"), "uniform"),
    ("SCALAR_GAUSSIAN_SET", "s", "s{o} = gaussian({x}, {y})", ("mean", "stdev"), "gaussian"),
    ("VECTOR_GAUSSIAN_SET", "v", "v{o} = gaussian({x}, {y}, n_features)", ("mean", "stdev"), "gaussian"),
    ("MATRIX_GAUSSIAN_SET", "m", "m{o} = gaussian({x}, {y}, (n_features, n_features))", ("mean", "stdev"), "gaussian"),
)


def _build_table() -> list[Op]:
    table = [
        Op(
            id=i,
            name=name,
            inputs=inputs,
            output=output,
            form=form,
            function=function,
            laws=laws,
            magnitude=magnitude,
            sees=Sees.SIGN_OF_ZERO if name in _SEE_SIGN_OF_ZERO else Sees.VALUES,
        )
        for i, (name, inputs, output, form, function, laws, magnitude) in enumerate(_DETERMINISTIC)
    ]
    for name, output, form, constants, draws in _CONSTANT_AND_RANDOM:
        # The other elements of a vector or matrix stay as they are.
        table.append(Op(len(table), name, "", output, form, constants, None, draws, _NONE, _AS_LARGE, Sees.VALUES))
    return table


_table: list[Op] = _build_table()
NUM_BUILT_IN_OPS = len(_table)


# How often the table has changed.
_changes = 0


def table() -> tuple[Op, ...]:
    """All ops, in the order of their ids: the 65 built-in ones, then registered ones.

    Rows of removed ops stand only between others.
    """
    size = len(_table)
    while _table[size - 1].removed:
        size -= 1
    return tuple(_table[:size])


def known() -> tuple[Op, ...]:
    """The ops of the table that programs may hold."""
    return tuple(op for op in _table if not op.removed)


def version() -> tuple[int, int]:
    """Identifies the table as it is now, for what is derived from it: its length, and how often it has changed."""
    return len(_table), _changes


def add(name: str, inputs: str, output: str, form: str, function: Callable[..., jax.Array]) -> Op:
    """Appends a row, which must be valid, with an id that no op ever had."""
    global _changes
    op = Op(len(_table), name, inputs, output, form, (), function)
    _table.append(op)
    _changes += 1
    return op


def take_back(op: Op) -> None:
    """Removes the last row, which nothing has used yet."""
    global _changes
    _table.remove(op)
    _changes += 1


def remove(op: Op) -> None:
    """Marks an op as removed; its id is not given again, since programs may hold it."""
    global _changes
    _table[op.id] = Op(op.id, op.name, "", "", "", removed=True)
    _changes += 1


def op_named(name: str) -> Op:
    """The op of that name (letter case does not matter).

    Raises:
      ValueError: no op has that name; the message lists close names.
    """
    for op in known():
        if op.name.lower() == name.lower():
            return op
    import difflib

    close = difflib.get_close_matches(name.upper(), [op.name for op in known()], n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "docs/ops.md lists the known ones"
    raise ValueError(f"unknown op {name!r}: {hint}")


def example(op: Op) -> str:
    """How an op is printed, with addresses 1, 2 and 3 and small constants."""
    return op.form.format(a=1, b=2, o=3, x=0.25, y=0.5, z=0.75)


def output_shape(output: str, features_size: int) -> tuple[int, ...]:
    """Shape of one task's value of a kind: () for "s", (F,) for "v", (F, F) for "m"."""
    return {"s": (), "v": (features_size,), "m": (features_size, features_size)}[output]


def apply(op: Op, inputs: Sequence[jax.Array], features_size: int) -> jax.Array:
    """Applies an op's function to one task's values.

    Args:
      op: an op that has a function.
      inputs: the operands, of shapes (), (F,) or (F, F).
      features_size: F.

    Returns:
      The output value, of the shape of the op's output kind and the dtype of the operands,
      whatever dtype the function of a user returns.
    """
    assert op.function is not None
    result = jnp.asarray(op.function(*inputs)).astype(inputs[0].dtype)
    return jnp.broadcast_to(result, output_shape(op.output, features_size))
