"""What losses say of themselves."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from azero_jax import objectives


def errors(name, scores, labels):
    """What validation examples add up to, float64 [n], of scores [n] or [n, C]."""
    objective = objectives.named(name)
    scores = np.asarray(scores, np.float32)
    rows = scores[None] if scores.ndim == 1 else scores.T
    error = objective.error(rows, np.asarray(labels, np.float32)[None])
    assert error.shape == (1, len(scores))
    return np.asarray(objective.summed(error), float)[0]


def test_what_an_example_adds():
    assert errors("rmse", [3, -1], [1, 1]).tolist() == [4, 4]
    assert errors("accuracy", [2, -2, 0, np.nan], [1, 1, 0, 1]).tolist() == [0, 1, 0, 1]
    # The first of the largest is the class, and what is no number is never right.
    scores = [[0, 5, 1], [2, 2, 1], [2, 2, 1], [np.nan, 1, 0]]
    assert errors("multiclass_accuracy", scores, [1, 0, 1, 1]).tolist() == [0, 0, 1, 1]


def test_fitness_is_from_0_to_1_and_falls_with_the_mean():
    for objective in objectives.known():
        most = 1 if objective.counts else 1e6
        fitness = objective.fitness(np.array([0, 0.1, 0.5, 0.9, 1]) * most * 7, 7)
        assert fitness[0] == 1 and (np.diff(fitness) < 0).all() and (fitness >= 0).all()
        assert objective.fitness(np.array([np.inf, np.nan, -np.inf]), 7).tolist() == [0, 0, 0]


def test_unknown_names_are_answered():
    for name, message in (("acuracy", "did you mean accuracy"), (5, "loss=5: expected one of 'rmse'")):
        with pytest.raises(ValueError, match=message):
            objectives.named(name)


def test_other_processes_get_them_by_name():
    for objective in objectives.known():
        assert pickle.loads(pickle.dumps(objective)) is objective
