"""When a program stops changing: from which example on every instruction computes what it did before.

Many programs of a search never look at features or labels, and most of those compute
the same at every example, from the first one on or from the second or third. The
machine then runs them up to there, and all examples that remain in one step.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax.liveness import FixedRegisters, register_set
from azero_jax.packed import NUM_REGISTERS, Line, Reader, at


def first_settled(
    reader: Reader,
    order: Array,
    span: tuple[Array, Array],
    learn: Array,
    fixed: FixedRegisters,
    normalised: bool,
    most: int,
) -> Array:
    """The first example at which live lines compute what they do at all later ones, in jitted code.

    A line does if no operand changes any more and it draws no numbers. What no line of the
    loop writes never changes; that is where this starts, and it goes through the loop as
    long as that settles more. The prediction has to be settled where Predict ends, too.

    Args:
      reader: of the batch.
      order: uint32, the numbers of the program's live lines.
      span: first and last + 1 in `order` of the lines that run at each example: Predict, or
        Predict and Learn.
      learn: where Learn begins there; what is before cannot see the label.
      fixed: label, prediction and features.
      normalised: whether the prediction is replaced by a function of it before Learn.
      most: examples to look at.

    Returns:
      uint32 scalar, counted from 1; 0 if there is none that soon, or a line reads the data.
    """
    start, end = span
    words = reader.set_words
    real = ~register_set(reader.word(NUM_REGISTERS), words)  # without "no operand"
    prediction = register_set(fixed.prediction, words)
    one = np.uint32(1)

    def line_at(index: Array) -> Line:
        return reader.line(at(order, index))

    def collect(carry):
        """What the loop writes, up to the first line that reads the data."""
        index, written, _ = carry
        line = line_at(index)
        reads = lambda register: (line.in1 == np.uint32(register)) | (line.in2 == np.uint32(register))
        sees_data = reads(fixed.features) | reads(fixed.label) & (index >= learn)
        return index + one, written | register_set(line.out, words), sees_data

    written = prediction if normalised else jnp.zeros(words, jnp.uint32)
    _, written, sees_data = lax.while_loop(
        lambda carry: (carry[0] < end) & ~carry[2], collect, (start, written, jnp.bool_(False))
    )

    def contains(settled: Array, registers: Array) -> Array:
        return ~jnp.any(registers & ~settled != 0)

    def visit(index, carry):
        settled, everything = carry
        everything &= (index != learn) | contains(settled, prediction)
        line = line_at(index)
        out = register_set(line.out, words)
        inputs = (register_set(line.in1, words) | register_set(line.in2, words)) & real
        inputs |= jnp.where(line.sets_one_element, out, np.uint32(0))
        same = contains(settled, inputs) & ~line.draws
        return jnp.where(same, settled | out, settled & ~out), everything & same

    def once(carry):
        before, _, _, example = carry
        settled, everything = lax.fori_loop(start, end, visit, (before, jnp.bool_(True)))
        everything &= (end != learn) | contains(settled, prediction)
        return settled, everything, jnp.any(settled != before), example + one

    def goes_on(carry):
        _, everything, changed, example = carry
        return ~everything & changed & (example < most)

    carry = ~written, jnp.bool_(False), ~sees_data, jnp.uint32(0)
    _, everything, _, example = lax.while_loop(goes_on, once, carry)
    return jnp.where(everything, example, np.uint32(0))
