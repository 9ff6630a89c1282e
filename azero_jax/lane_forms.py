"""Lane-aware forms of the ops: the same values as the op table, laid out for SIMD.

In the machine every register holds one value per task, tasks innermost: a
scalar is `[D]`, a vector `[F, D]`, a matrix `[F, F, D]`. Most ops batch well
under `vmap` over the last axis. Reductions do not: XLA's CPU backend turns a
reduction over an outer axis into scalar loops. Here each is written as a tree
of additions of slices, which stays one vectorised loop over the tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from azero_jax import ops
from azero_jax.ops import MAX_TREE_TERMS, sum_axis, tree


def maximum(x: jax.Array) -> jax.Array:
    """The largest of the rows of [rows, D], [1, D]; NaN where any is."""
    return tree(jnp.maximum, jnp.split(x, x.shape[0]))


def softmax(x: jax.Array) -> jax.Array:
    """As `jax.nn.softmax` over the rows of [rows, D], without its reductions."""
    exponentials = jnp.exp(x - maximum(x))
    return exponentials / tree(jnp.add, jnp.split(exponentials, x.shape[0]))


def _dot(a, b):
    return sum_axis(a * b, 0)


def combined(vectors: list[jax.Array], factors: jax.Array) -> jax.Array:
    """The sum of vectors, [F, D] each, times the elements of another, [F, D]."""
    return tree(jnp.add, [vector * factors[j][None] for j, vector in enumerate(vectors)])


def _matrix_vector(m, v):
    if m.shape[1] > MAX_TREE_TERMS:
        return jnp.sum(m * v[None], axis=1)
    return combined([m[:, j] for j in range(m.shape[1])], v)


def _matrix_matrix(a, b):
    if a.shape[1] > MAX_TREE_TERMS:
        return jnp.einsum("ikd,kjd->ijd", a, b)
    return tree(jnp.add, [a[:, k, None] * b[None, k] for k in range(a.shape[1])])


def _sum_all(m):
    return sum_axis(sum_axis(m, 0), 0)


def _standard_deviation(total, x, count):
    inverse = x.dtype.type(1 / count)
    return ops.deviation(total(x * x) * inverse, total(x) * inverse)


def _over_rows(m):
    return sum_axis(m, 1)


_FORMS: dict[str, Callable[..., jax.Array]] = {
    "SCALAR_VECTOR_PRODUCT": lambda s, v: s[None] * v,
    "SCALAR_MATRIX_PRODUCT": lambda s, m: s[None, None] * m,
    "VECTOR_NORM": lambda v: ops.root_of_squares(sum_axis(v * v, 0), len(v)),
    "VECTOR_INNER_PRODUCT": _dot,
    "VECTOR_OUTER_PRODUCT": lambda a, b: a[:, None] * b[None, :],
    "MATRIX_VECTOR_PRODUCT": _matrix_vector,
    "MATRIX_NORM": lambda m: ops.root_of_squares(_sum_all(m * m), len(m)),
    "MATRIX_COLUMN_NORM": lambda m: ops.root_of_squares(sum_axis(m * m, 0), len(m)),
    "MATRIX_ROW_NORM": lambda m: ops.root_of_squares(_over_rows(m * m), len(m)),
    "MATRIX_TRANSPOSE": lambda m: jnp.swapaxes(m, 0, 1),
    "MATRIX_MATRIX_PRODUCT": _matrix_matrix,
    "VECTOR_MEAN": lambda v: sum_axis(v, 0) * v.dtype.type(1 / v.shape[0]),
    "MATRIX_MEAN": lambda m: _sum_all(m) * m.dtype.type(1 / m.shape[0] ** 2),
    "MATRIX_ROW_MEAN": lambda m: _over_rows(m) * m.dtype.type(1 / m.shape[0]),
    "MATRIX_ROW_ST_DEV": lambda m: _standard_deviation(_over_rows, m, m.shape[0]),
    "VECTOR_ST_DEV": lambda v: _standard_deviation(lambda x: sum_axis(x, 0), v, v.shape[0]),
    "MATRIX_ST_DEV": lambda m: _standard_deviation(_sum_all, m, m.shape[0] ** 2),
}


# Ops that make each element of a matrix of the same elements of matrices, and of a scalar.
ELEMENTWISE_MATRIX_OPS = (
    "MATRIX_HEAVISIDE",
    "SCALAR_MATRIX_PRODUCT",
    "MATRIX_RECIPROCAL",
    "MATRIX_ABS",
    "MATRIX_SUM",
    "MATRIX_DIFF",
    "MATRIX_PRODUCT",
    "MATRIX_DIVISION",
    "MATRIX_MIN",
    "MATRIX_MAX",
)


def apply(op: ops.Op, inputs: list[jax.Array], features_size: int) -> jax.Array:
    """Applies an op to the values of all lanes.

    Args:
      op: an op that has a function.
      inputs: operands of shapes [D], [F, D] or [F, F, D].
      features_size: F.

    Returns:
      The output of all lanes, tasks last.
    """
    form = _FORMS.get(op.name) if op.id < ops.NUM_BUILT_IN_OPS else None
    if form is not None:
        return form(*inputs)
    one_task = lambda *values: ops.apply(op, values, features_size)
    return jax.vmap(one_task, in_axes=-1, out_axes=-1)(*inputs)


def apply_elementwise(op: ops.Op, inputs: list[jax.Array]) -> jax.Array:
    """Applies an elementwise op to operands of any one shape."""
    return op.function(*inputs)  # type: ignore[misc]
