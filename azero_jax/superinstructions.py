"""What a machine can run in one dispatch: ops, ops that write where they read, and two instructions together.

A machine is compiled with the ops that its programs hold, not with all that there are:
each costs a tenth of a second of compiling.

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
        return ops.Law.COMMUTATIVE in ops.op_named(self.second).laws.exact


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


class InstructionSet(NamedTuple):
    """The ops that a machine is compiled with, and what follows from them.

    Opcodes are numbered without gaps: control steps, ops, ops in place, pairs.

    Attributes:
      op_table: the ops known.
      compiled: ids of those that programs may hold, in order.
    """

    op_table: tuple[ops.Op, ...]
    compiled: tuple[int, ...]

    @property
    def single(self) -> tuple[ops.Op, ...]:
        """Ops with an opcode of their own."""
        return tuple(self.op_table[number] for number in self.compiled)

    @property
    def in_place(self) -> tuple[ops.Op, ...]:
        """Ops that also have an opcode for when the output is the first operand."""
        return tuple(op for name in IN_PLACE_OPS if (op := ops.op_named(name)).id in self.compiled)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Pairs whose ops are both there."""
        names = {op.name for op in self.single}
        return tuple(pair for pair in PAIRS if {pair.first, pair.second} <= names)

    @property
    def first_pair(self) -> int:
        """The opcode of the first pair."""
        return FIRST_OP + len(self.compiled) + len(self.in_place)

    def with_ops(self, wanted: np.ndarray, grown: bool) -> InstructionSet:
        """With some more ops, and with all if it has grown before, so that there is no third machine.

        Args:
          wanted: ids of ops that programs hold.
          grown: whether machines have been compiled.
        """
        missing = set(wanted.tolist()).difference(self.compiled)
        if not missing:
            return self
        compiled = range(len(self.op_table)) if grown else sorted(missing.union(self.compiled))
        return self._replace(compiled=tuple(compiled))

    def opcodes(self) -> Opcodes:
        """Which opcodes stand for which ops."""
        num_ops = len(self.op_table)
        codes = Opcodes(*(np.zeros(shape, np.uint32) for shape in (num_ops, num_ops, (num_ops, num_ops))))
        codes.single[list(self.compiled)] = FIRST_OP + np.arange(len(self.compiled))
        for index, op in enumerate(self.in_place):
            codes.in_place[op.id] = FIRST_OP + len(self.compiled) + index
        for index, pair in enumerate(self.pairs):
            for place in (0, 1) if pair.commutes else (pair.place,):
                field = np.uint32(index + 1) << np.uint32(8 * (place + 2 * pair.in_place))
                codes.pairs[ops.op_named(pair.first).id, ops.op_named(pair.second).id] |= field
        return codes


class Opcodes(NamedTuple):
    """Opcodes, or what they follow from, by op; 0 where there is none.

    Attributes:
      single: uint32 [ops], opcodes of the ops themselves.
      in_place: uint32 [ops], opcodes.
      pairs: uint32 [ops, ops]; for two ops four places in `InstructionSet.pairs`, counted from
        1, of 8 bits each: the lowest where the first operand of the second op is the first
        op's result, then where its second one is, then both again in place.
    """

    single: np.ndarray
    in_place: np.ndarray
    pairs: np.ndarray


# Ops that most programs are made of: no-op, constants, draws, and what linear models and networks need.
USUAL_OPS = frozenset(
    op.id
    for op in ops.table()[: ops.NUM_BUILT_IN_OPS]
    if not op.inputs
    or op.name in ("VECTOR_MAX", *IN_PLACE_OPS, *(name for pair in PAIRS for name in (pair.first, pair.second)))
)
