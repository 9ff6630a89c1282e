"""Random tasks and random programs over all ops, for property tests."""

from __future__ import annotations

import numpy as np

from azero_jax import MemorySize, Population, Tasks, ops
from azero_jax.program import FIRST_OUTPUT, op_columns
from azero_jax.text import IN1, IN2, OP, OUT


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
    size, *, memory=MemorySize(6, 5, 4), lengths=(6, 6, 6), seed=0, random_ops=True, vector_labels=False, allowed=None
) -> Population:
    """Programs of uniformly drawn ops, addresses and constants.

    A small memory and a bias towards s1, or v2 with vector_labels, make long chains of live instructions.
    """
    rng = np.random.default_rng(seed)
    table = ops.table()[: ops.NUM_BUILT_IN_OPS]
    allowed = np.array([op.id for op in table if random_ops or op.draws is None] if allowed is None else allowed)
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


# Ops whose laws matter, and those that make numbers which laws do not hold for.
_LAWFUL = ("SUM", "DIFF", "PRODUCT", "MIN", "MAX", "DIVISION", "RECIPROCAL", "LOG", "EXP", "CONST_SET", "GAUSSIAN_SET")
_SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, 100.0, 1e-40, 1e-30, 3e38, -3e38, 1e39, 1e200)


def special_population(size, *, memory, lengths, seed=0, **settings) -> Population:
    """As `random_population`, of ops and constants that lead to infinities, NaN, and zeros of both signs."""
    rng = np.random.default_rng(seed)
    population = random_population(size, memory=memory, lengths=lengths, seed=seed, **settings)
    lawful = [op.id for op in ops.table()[: ops.NUM_BUILT_IN_OPS] if op.name.endswith(_LAWFUL)]
    chosen = random_population(size, memory=memory, lengths=lengths, seed=seed + 1, allowed=lawful, **settings)
    take = rng.random(population.code.shape[:2]) < 0.7
    population.code[take] = chosen.code[take]
    special = rng.choice(_SPECIAL, population.constants.shape)
    values = np.array([[kind == "value" for kind in (*op.constants, "", "", "")[:3]] for op in ops.table()])
    draws = np.array([op.draws is not None for op in ops.table()])[:, None]
    op = population.code[..., OP]
    changed = values[op] & (rng.random(values[op].shape) < 0.8)
    changed |= draws[op] & (np.arange(3) < 2) & (rng.random(values[op].shape) < 0.1)
    population.constants[:] = rng.random(population.constants.shape)
    population.constants[changed] = special[changed]
    used = np.array([len(op.constants) for op in ops.table()])[op]
    population.constants[np.arange(3) >= used[..., None]] = 0
    return population


def edited(population, seed, *, memory) -> Population:
    """Programs with one line of each changed: operands swapped or made equal or unwritten, or the line of another."""
    rng = np.random.default_rng(seed)
    other = population.take(rng.permutation(len(population)))
    result = population.take(np.arange(len(population)))
    program = np.arange(len(population))
    line = rng.integers(population.code.shape[1], size=len(population))
    code = result.code[program, line]
    kinds = op_columns().kinds
    alike = kinds[IN1][code[:, OP]] == kinds[IN2][code[:, OP]]
    kind = rng.integers(4, size=len(population))
    swap, equal, foreign = alike & (kind == 0), alike & (kind == 1), kind == 3
    code[swap, IN1], code[swap, IN2] = code[swap, IN2], code[swap, IN1]
    code[equal, IN2] = code[equal, IN1]
    result.code[program, line] = code
    result.code[program[foreign], line[foreign]] = other.code[program[foreign], line[foreign]]
    result.constants[program[foreign], line[foreign]] = other.constants[program[foreign], line[foreign]]
    last = kind == 2
    result.code[program[last], line[last], IN2] = (np.array([*memory, 1]) - 1)[kinds[IN2][code[last, OP]]]
    return result
