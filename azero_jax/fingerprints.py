"""Fingerprints of behaviour: one number per task for what a program did on its examples.

The release hashes errors as they are (`evaluator.cc`), the paper truncated predictions
(supplement S3). Programs with equal fingerprints count as one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

FINGERPRINTS = ("errors", "predictions")

# Bits that are left of float32's 23 and float64's 52 after the point: four digits.
_KEPT_BITS = 13


def hashed_value(kind: str, prediction: jax.Array, error: jax.Array) -> jax.Array:
    """What of an example is hashed: its error, or its prediction to about four digits."""
    if kind == "errors":
        return error
    bits = np.finfo(prediction.dtype).nmant - _KEPT_BITS
    unsigned = _unsigned(prediction.dtype)
    prediction = jnp.where(prediction == 0, 0, prediction)  # no loss sees the sign of zero
    mask = unsigned(np.iinfo(unsigned).max << np.uint64(bits) & np.iinfo(unsigned).max)
    return lax.bitcast_convert_type(lax.bitcast_convert_type(prediction, unsigned) & mask, prediction.dtype)


def mixed(fingerprint: jax.Array, value: jax.Array) -> jax.Array:
    """A fingerprint, unsigned and as wide as the value, after one more value."""
    unsigned = _unsigned(value.dtype)
    product = (fingerprint ^ lax.bitcast_convert_type(value, unsigned)) * unsigned(0x9E3779B1)
    return product ^ (product >> unsigned(15))


def _unsigned(dtype: np.dtype) -> type[np.uint32] | type[np.uint64]:
    return np.uint32 if jnp.dtype(dtype).itemsize == 4 else np.uint64
