from __future__ import annotations

import numpy as np
import pytest
from generated import classification_tasks, multiclass_tasks, random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Program

MEMORY = MemorySize(6, 5, 4)


def fitness_of(tasks, predictions):
    """What predictions are worth, computed anew."""
    labels = tasks.valid_labels
    if tasks.loss == "rmse":
        with np.errstate(over="ignore"):
            share = np.mean((labels - predictions.astype(np.float64)) ** 2, axis=-1)
        return np.where(np.isfinite(share), 1 - 2 / np.pi * np.arctan(np.sqrt(share)), 0)
    if tasks.loss == "accuracy":
        right = (predictions > 0.5) == (labels > 0.5)
    else:
        right = (np.argmax(predictions, axis=-1) == labels) & ~np.isnan(predictions).any(axis=-1)
    return right.mean(axis=-1)


@pytest.mark.parametrize(
    "make_tasks",
    [
        lambda: regression_tasks(num_tasks=1, num_train_epochs=3),
        pytest.param(classification_tasks, marks=pytest.mark.slow),
        pytest.param(lambda: multiclass_tasks(num_train_epochs=2), marks=pytest.mark.slow),
    ],
)
def test_predictions_are_those_that_fitness_is_computed_from(make_tasks):
    tasks = make_tasks()
    evaluator = Evaluator(tasks, memory=MEMORY)
    population = random_population(60, memory=MEMORY, seed=4, vector_labels=tasks.vector_labels)
    predictions = evaluator.predictions(population)
    fitness = evaluator.evaluate(population).fitness
    assert predictions.shape[:3] == (60, tasks.num_tasks, tasks.num_valid_examples)
    completed = fitness > 0
    assert 0.5 < completed.mean() < 1
    np.testing.assert_allclose(fitness_of(tasks, predictions)[completed], fitness[completed], rtol=0, atol=1e-6)
    if tasks.loss == "rmse":
        assert np.isnan(predictions[~completed]).all()


def test_programs_that_do_not_fit_are_refused():
    evaluator = Evaluator(regression_tasks(), memory=MEMORY)
    with pytest.raises(ValueError, match="expected addresses within 6 scalars"):
        evaluator.predictions([Program.from_text("def Predict():\n s1 = s8 + s2\n")])
    assert evaluator.predictions([]).shape == (0, 3, 10)
