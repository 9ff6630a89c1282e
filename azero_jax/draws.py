"""Counter-based random numbers: a pure function of (instruction key, step, element, task).

A random op never advances a shared stream, so what one instruction draws does
not depend on which other instructions exist; removing dead code changes no
fitness, and every task and every step draws its own numbers.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

_GOLDEN_RATIO = 0x9E3779B9


def mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 that spreads every input bit over all output bits."""
    x = x ^ (x >> 16)
    x = x * np.uint32(0x21F0AAAD)
    x = x ^ (x >> 15)
    x = x * np.uint32(0xD35A2D97)
    return x ^ (x >> 15)


def instruction_key(
    seed: ArrayLike, function: ArrayLike, op: ArrayLike, address: ArrayLike, occurrence: ArrayLike
) -> jax.Array:
    """Key of a random instruction, which depends only on what the instruction is in the program's text.

    Neither the memory nor dead instructions matter.

    Args:
      seed: uint32, from `seed_word`.
      function: uint32, its component function.
      op: uint32; it tells of which kind the output is.
      address: uint32, of the output, as written.
      occurrence: uint32, live instructions before it that agree in all these.

    Returns:
      uint32.
    """
    key = jnp.asarray(seed, jnp.uint32)
    for value, factor in ((function, 0x9E3779B1), (op, 0x85EBCA77), (address, 0xC2B2AE3D), (occurrence, 0x27D4EB2F)):
        key = mix(key + (jnp.asarray(value, jnp.uint32) + np.uint32(1)) * np.uint32(factor))
    return key


def seed_word(seed: int) -> int:
    """A seed of any size in 32 bits."""
    return int(np.random.SeedSequence(seed % 2**64).generate_state(1)[0])


def random_bits(key: jax.Array, step: jax.Array, tasks: jax.Array, rows: int) -> jax.Array:
    """Random bits for one instruction at one step.

    Args:
      key: uint32 scalar that identifies the instruction (and the seed).
      step: uint32 scalar, the position in the run.
      tasks: uint32 [D], the number of each task.
      rows: elements drawn per task.

    Returns:
      uint32 [rows, D].
    """
    stream = mix(mix(key ^ (step * np.uint32(_GOLDEN_RATIO))) + tasks * np.uint32(0x85EBCA6B))
    element = lax.broadcasted_iota(jnp.uint32, (rows, tasks.shape[0]), 0)
    return mix(stream[None, :] + element * np.uint32(_GOLDEN_RATIO))


def uniform(bits: jax.Array, dtype: np.dtype) -> jax.Array:
    """Numbers in [0, 1) with 24 random bits each, of the shape of `bits`."""
    # Through int32, which CPUs convert in one instruction; 24 bits are never negative.
    return (bits >> 8).astype(jnp.int32).astype(dtype) * dtype.type(2.0**-24)


# Giles (2011), "Approximating the erfinv function", single precision: polynomials
# in w = -log(1 - x^2) for the middle and in its square root for the tails.
_ERFINV_MIDDLE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 2.1858087e-04,
    -1.25372503e-03, -4.17768164e-03, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_TAIL = (
    -2.00214257e-04, 1.00950558e-04, 1.34934322e-03, -3.67342844e-03, 5.73950773e-03,
    -7.6224613e-03, 9.43887047e-03, 1.00167406, 2.83297682,
)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: jax.Array, dtype: np.dtype) -> jax.Array:
    value = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + dtype.type(coefficient)
    return value


def gaussian(bits: jax.Array, dtype: np.dtype) -> jax.Array:
    """Standard normal numbers, up to 5.4 standard deviations from the mean.

    By the inverse of the error function, written out because `lax.erf_inv` compiles
    to scalar code, 20 times slower.
    """
    centred = 2 * uniform(bits, dtype) + dtype.type(2.0**-24 - 1)  # in (-1, 1), never at an end
    w = -jnp.log((1 - centred) * (1 + centred))
    middle = _polynomial(_ERFINV_MIDDLE, w - dtype.type(2.5), dtype)
    tail = _polynomial(_ERFINV_TAIL, jnp.sqrt(w) - dtype.type(3), dtype)
    return dtype.type(math.sqrt(2)) * centred * jnp.where(w < 5, middle, tail)
