"""A small search space, programs from it and a scorer, for the tests of the search."""

from __future__ import annotations

import numpy as np
from generated import regression_tasks

from azero_jax import Evaluator, MemorySize
from azero_jax.initial_programs import initial_population
from azero_jax.mutation import SearchSpace
from azero_jax.scoring import EquivalenceSettings, Scorer

OPS = (
    "SCALAR_CONST_SET",
    "VECTOR_INNER_PRODUCT",
    "SCALAR_DIFF",
    "SCALAR_PRODUCT",
    "SCALAR_VECTOR_PRODUCT",
    "VECTOR_SUM",
)
ALL_KINDS = (
    *OPS,
    "VECTOR_CONST_SET",
    "MATRIX_CONST_SET",
    "VECTOR_UNIFORM_SET",
    "MATRIX_GAUSSIAN_SET",
    "MATRIX_VECTOR_PRODUCT",
)
SPACE = SearchSpace(MemorySize(4, 3, 2), ALL_KINDS, OPS, ALL_KINDS, (3, 2, 4), (1, 1, 2), (6, 4, 8))


def random_programs(size=400, space=SPACE, seed=0):
    return initial_population("random", size, space, np.random.default_rng(seed))


def scorer(tasks=None, **equivalence):
    evaluator = Evaluator(tasks or regression_tasks(), memory=SPACE.memory, ops=ALL_KINDS)
    return Scorer(evaluator, "mean", EquivalenceSettings(**equivalence))
