"""Tasks of several classes: labels and predictions are vectors."""

from __future__ import annotations

import numpy as np
import pytest
import reference_interpreter
from generated import multiclass_tasks, random_population

from azero_jax import Evaluator, MemorySize, Program, Tasks, make_tasks
from azero_jax.equivalence import Known, algebraic_keys
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.liveness import simplify

MEMORY = MemorySize(5, 5, 3)
SIZES = {"num_train": 12, "num_valid": 9, "num_tasks": 3}


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    return multiclass_tasks(**SIZES)


def evaluator_of(tasks, strategy="switch"):
    return Evaluator(tasks, memory=MEMORY, dtype="float64", strategy=strategy, max_abs_error=0.999, deduplicate=False)


def programs(size, seed, **settings):
    return random_population(size, memory=MEMORY, seed=seed, vector_labels=True, **settings)


def test_programs_score_as_in_plain_numpy(tasks):
    population = programs(300, seed=1, random_ops=False)
    evaluation = evaluator_of(tasks).evaluate(population)
    expected = [
        [
            reference_interpreter.evaluate(
                program.to_text(),
                [
                    part[task]
                    for part in (tasks.train_features, tasks.train_labels, tasks.valid_features, tasks.valid_labels)
                ],
                MEMORY._asdict(),
                tasks.loss,
                0.999,
            )
            for task in range(tasks.num_tasks)
        ]
        for program in population
    ]
    fitness, steps = np.moveaxis(np.array(expected), 2, 0)
    # Two scores may be equal in one order of additions and not in another.
    same = np.isclose(evaluation.fitness, fitness) & (evaluation.train_steps == steps)
    assert same.mean() > 0.99
    assert len(np.unique(fitness)) > 6
    assert 0.05 < (steps < tasks.num_train_examples).mean() < 0.95


@pytest.mark.thorough
def test_both_strategies_agree_random_ops_included(tasks):
    population = programs(64, seed=2)
    switch, vmap = (evaluator_of(tasks, strategy=strategy).evaluate(population) for strategy in ("switch", "vmap"))
    assert np.isclose(vmap.fitness, switch.fitness).mean() > 0.99
    np.testing.assert_array_equal(vmap.train_steps, switch.train_steps)


@pytest.mark.slow
def test_dead_lines_do_not_matter_and_equal_keys_mean_equal_behaviour(tasks):
    population = programs(1500, seed=3, lengths=(3, 4, 3))
    evaluator = evaluator_of(tasks)
    fitness = evaluator.evaluate(population).fitness
    simplified = [simplify(program, MEMORY, vector_labels=True) for program in population]
    assert sum(sum(program.lengths) for program in simplified) < 0.7 * population.lengths.sum()
    np.testing.assert_array_equal(evaluator.evaluate(simplified).fitness, fitness)
    keys = algebraic_keys(population, MEMORY, Known.of(tasks, max_abs_error=0.999, dtype="float64"))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    assert len(first) < len(population)
    assert (fitness == fitness[first][inverse]).mean() > 0.999
    fingerprints = evaluator.probe(population, 12, 9).fingerprints
    _, first, inverse = np.unique(fingerprints, return_index=True, return_inverse=True)
    assert len(first) > 30
    np.testing.assert_array_equal(fitness[first][inverse], fitness)


def test_softmax_regression_learns_all_ten_digits():
    tasks = make_tasks(
        "projected_multiclass_classification:features_size=16,num_train_examples=800,num_valid_examples=200,num_tasks=2"
    )
    assert tasks.num_classes == 10
    program = Program.from_text(HAND_WRITTEN["softmax_regression"])
    fitness = Evaluator(tasks).evaluate([program, Program.from_text("def Predict():\n")]).fitness
    assert (fitness[0] > 0.7).all()
    assert (fitness[1] < 0.2).all()


def test_the_first_of_equal_scores_counts_and_not_a_number_is_wrong(tasks):
    nothing, nan = (
        Program.from_text("def Predict():\n"),
        Program.from_text("def Predict():\n  v2 = 1 / v3\n  v2 = v2 - v2\n"),
    )
    evaluation = evaluator_of(tasks).evaluate([nothing, nan])
    np.testing.assert_allclose(evaluation.fitness[0], (tasks.valid_labels == 0).mean(axis=1), rtol=1e-6)
    assert (evaluation.fitness[1] == 0).all()
    assert (evaluation.train_steps[1] == 1).all()


def test_what_does_not_fit_is_refused(tasks):
    with pytest.raises(ValueError, match="memory vectors=2: expected at least 3 for tasks of several classes"):
        Evaluator(tasks, memory=MemorySize(5, 2, 3))
    labels = np.array(tasks.train_labels)
    for wrong in (4.0, -1.0, 0.5):
        labels[1, 2] = wrong
        with pytest.raises(ValueError, match=rf"train_labels: {wrong} at index \(1, 2\): expected classes from 0"):
            Tasks(tasks.train_features, labels, tasks.valid_features, tasks.valid_labels, loss=tasks.loss)
