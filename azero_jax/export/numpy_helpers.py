"""Functions that exported Python code may need; each is copied into the code that uses it.

They need NumPy alone, and compute what the machine does in float64, in its order of additions. With jax.numpy in
place of NumPy they do the same in JAX, but for `index`, which stays as it is.
"""

from __future__ import annotations

import numpy as np


def total(terms):
    """The sum over the first axis: neighbours first, then sums of neighbours."""
    while len(terms) > 1:
        pairs = terms[0 : len(terms) - 1 : 2] + terms[1::2]
        terms = np.concatenate([pairs, terms[len(pairs) * 2 :]])
    return terms[0]


def total_over(x, axis):
    """The sum of a vector or matrix, or along an axis of a matrix."""
    if axis == 1:
        return total(x.T)
    return total(total(x)) if axis is None and x.ndim == 2 else total(x)


def dot(a, b):
    """Vector times vector, or matrix times vector."""
    return total_over(a * b, 1 if a.ndim == 2 else None)


def matmul(a, b):
    """Matrix times matrix."""
    return total(a.T[:, :, None] * b[:, None, :])


def norm(x, axis=None):
    """Euclidean length."""
    return np.sqrt(total_over(x * x, axis))


def mean(x, axis=None):
    """Arithmetic mean."""
    return total_over(x, axis) * (1 / (x.size if axis is None else len(x)))


def std(x, axis=None):
    """Standard deviation, from the two moments."""
    middle = mean(x, axis)
    return np.sqrt(mean(x * x, axis) - middle * middle)


def minimum(a, b):
    """The smaller; a where one is not a number."""
    return np.where(b < a, b, a)[()]


def maximum(a, b):
    """The larger; a where one is not a number."""
    return np.where(a < b, b, a)[()]


def index(fraction, n):
    """The element that a fraction stands for."""
    return min(int(np.float32(n) * np.float32(fraction)), n - 1)


def sigmoid(x):
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def softmax(x):
    """Probabilities of the classes."""
    exponentials = np.exp(x - np.max(x))
    return exponentials / total(exponentials)


def mixed(x):
    """A hash of uint32."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x21F0AAAD)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0xD35A2D97)
    return x ^ (x >> np.uint32(15))


def uniform(key, step, *shape):
    """Numbers in [0, 1), which key and step decide."""
    start = np.array([key], np.uint32) ^ np.array([step], np.uint32) * np.uint32(0x9E3779B9)
    element = np.arange(np.zeros(shape).size, dtype=np.uint32) * np.uint32(0x9E3779B9)
    return ((mixed(mixed(mixed(start)) + element) >> np.uint32(8)) * 2.0**-24).reshape(shape)[()]


def gaussian(key, step, *shape):
    """Normal numbers, by the inverse error function (Giles 2011)."""
    centred = 2 * uniform(key, step, *shape) + (2.0**-24 - 1)
    w = -np.log((1 - centred) * (1 + centred))
    middle = np.polyval(
        np.array([2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 2.1858087e-04,
         -1.25372503e-03, -4.17768164e-03, 0.246640727, 1.50140941]), w - 2.5
    )  # fmt: skip
    tail = np.polyval(
        np.array([-2.00214257e-04, 1.00950558e-04, 1.34934322e-03, -3.67342844e-03, 5.73950773e-03,
         -7.6224613e-03, 9.43887047e-03, 1.00167406, 2.83297682]), np.sqrt(w) - 3
    )  # fmt: skip
    return np.sqrt(2.0) * centred * np.where(w < 5, middle, tail)
