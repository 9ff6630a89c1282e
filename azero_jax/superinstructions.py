"""Instructions that the machine runs together in one dispatch, and ops that write where they read.

A dispatch costs as much as a scalar op, and a value handed from one instruction to
the next is written to memory and read again. So instructions that often follow each
other have an opcode of their own: the first of the two gets it, the second stays
where it is, as operands, and is jumped over. Results are the same to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from azero_jax import ops
from azero_jax.instructions import FIRST_OP

# Ops that have a second opcode for when the output is the first operand: read and
# written in one pass over memory, where XLA would copy both operands.
IN_PLACE_OPS = ("VECTOR_SUM", "VECTOR_DIFF", "MATRIX_SUM", "MATRIX_DIFF", "MATRIX_PRODUCT")

# Ops whose operands may change places without changing a bit (a maximum may change the sign of zero).
_COMMUTATIVE = ("SCALAR_SUM", "SCALAR_PRODUCT", "VECTOR_SUM", "VECTOR_PRODUCT", "MATRIX_SUM")


class Pair(NamedTuple):
    """Two ops, of which the second reads what the first writes, and nothing else reads it.

    Attributes:
      first, second: names of ops.
      place: which operand of `second` it is, of ops that do not commute.
      in_place: the other operand of `second` is its output.
    """

    first: str
    second: str
    place: int = 0
    in_place: bool = False

    @property
    def commutes(self) -> bool:
        """Whether it does not matter which operand of `second` it is."""
        return self.second in _COMMUTATIVE


# The most frequent ones of programs found by search, and of gradient descent on linear
# models and networks. Each takes a tenth of a second to compile.
PAIRS = (
    Pair("SCALAR_DIFF", "SCALAR_PRODUCT"),
    Pair("SCALAR_PRODUCT", "SCALAR_DIFF", 0),
    Pair("SCALAR_DIFF", "SCALAR_VECTOR_PRODUCT", 0),
    Pair("VECTOR_INNER_PRODUCT", "SCALAR_SUM"),
    Pair("VECTOR_SUM", "VECTOR_SUM"),
    Pair("SCALAR_VECTOR_PRODUCT", "VECTOR_SUM", in_place=True),
    Pair("SCALAR_VECTOR_PRODUCT", "VECTOR_DIFF", 1, in_place=True),
    Pair("MATRIX_VECTOR_PRODUCT", "VECTOR_SUM"),
    Pair("VECTOR_OUTER_PRODUCT", "MATRIX_SUM", in_place=True),
    Pair("VECTOR_OUTER_PRODUCT", "MATRIX_DIFF", 1, in_place=True),
    Pair("VECTOR_HEAVISIDE", "VECTOR_PRODUCT", in_place=True),
)


def first_in_place(num_ops: int) -> int:
    """The opcode of the first of IN_PLACE_OPS, behind that of all ops."""
    return FIRST_OP + num_ops


def first_pair(num_ops: int) -> int:
    """The opcode of the first of PAIRS."""
    return first_in_place(num_ops) + len(IN_PLACE_OPS)


class Opcodes(NamedTuple):
    """Opcodes, or what they follow from, by op; 0 where there is none.

    Attributes:
      in_place: uint32 [ops], opcodes.
      pairs: uint32 [ops, ops]; for two ops four places in PAIRS, counted from 1, of 8 bits
        each: the lowest where the first operand of the second op is the first op's result,
        then where its second one is, then both again in place.
    """

    in_place: np.ndarray
    pairs: np.ndarray


def opcodes(num_ops: int) -> Opcodes:
    """The opcodes for a table of so many ops."""
    codes = Opcodes(*(np.zeros(shape, np.uint32) for shape in (num_ops, (num_ops, num_ops))))
    for index, name in enumerate(IN_PLACE_OPS):
        codes.in_place[ops.op_named(name).id] = first_in_place(num_ops) + index
    for index, pair in enumerate(PAIRS):
        for place in (0, 1) if pair.commutes else (pair.place,):
            field = np.uint32(index + 1) << np.uint32(8 * (place + 2 * pair.in_place))
            codes.pairs[ops.op_named(pair.first).id, ops.op_named(pair.second).id] |= field
    return codes
