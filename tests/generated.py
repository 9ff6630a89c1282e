"""Random tasks and random programs over all ops, for property tests."""

from __future__ import annotations

import numpy as np

from azero_jax import MemorySize, Population, Tasks, ops
from azero_jax.program import FIRST_OUTPUT, op_columns
from azero_jax.text import OP, OUT


def regression_tasks(num_tasks=3, features_size=4, num_train=20, num_valid=10, seed=0, **settings) -> Tasks:
    """Linear regression with N(0, 1) features and weights."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((num_tasks, num_train + num_valid, features_size))
    y = np.einsum("dnf,df->dn", x, rng.standard_normal((num_tasks, features_size)))
    return Tasks(x[:, :num_train], y[:, :num_train], x[:, num_train:], y[:, num_train:], **settings)


def classification_tasks(**settings) -> Tasks:
    """Which side of a plane the features are on."""
    tasks = regression_tasks(**settings)
    labels = [(labels > 0).astype(float) for labels in (tasks.train_labels, tasks.valid_labels)]
    return Tasks(tasks.train_features, labels[0], tasks.valid_features, labels[1], loss="accuracy")


def multiclass_tasks(num_classes=3, **settings) -> Tasks:
    """Which of some random directions the features point to most."""
    tasks = regression_tasks(**settings)
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((tasks.num_tasks, tasks.features_size, num_classes))
    labels = [
        np.argmax(np.einsum("dnf,dfc->dnc", x, directions), axis=2).astype(float)
        for x in (tasks.train_features, tasks.valid_features)
    ]
    return Tasks(tasks.train_features, labels[0], tasks.valid_features, labels[1], loss="multiclass_accuracy")


def random_population(
    size, *, memory=MemorySize(6, 5, 4), lengths=(6, 6, 6), seed=0, random_ops=True, vector_labels=False
) -> Population:
    """Programs of uniformly drawn ops, addresses and constants.

    A small memory and a bias towards s1, or v2 with vector_labels, make long chains of live instructions.
    """
    rng = np.random.default_rng(seed)
    table = ops.table()[: ops.NUM_BUILT_IN_OPS]
    allowed = np.array([op.id for op in table if random_ops or op.draws is None])
    population = Population.empty(size, lengths)
    op = rng.choice(allowed, population.code.shape[:2])
    limits = np.array([*memory, 1])
    population.code[..., OP] = op
    for column, kinds in op_columns().kinds.items():
        kind = kinds[op]
        first = FIRST_OUTPUT[kind] if column == OUT else np.zeros_like(kind)
        population.code[..., column] = rng.integers(first, limits[kind])
    population.constants[:] = rng.random(population.constants.shape)
    used = np.array([len(op.constants) for op in table])[op]
    population.constants[np.arange(3) >= used[..., None]] = 0
    population.lengths[:] = lengths
    # The last line of Predict writes the prediction where it can.
    line = population.starts[2] - 1
    kind, address = (1, 2) if vector_labels else (0, 1)
    population.code[op_columns().kinds[OUT][op[:, line]] == kind, line, OUT] = address
    return population
