"""What losses say of themselves."""

from __future__ import annotations

import dataclasses
import pathlib
import pickle
import re

import numpy as np
import pytest
import reference_interpreter
from generated import classification_tasks, multiclass_tasks, random_population, regression_tasks

from azero_jax import (
    Evaluator,
    Learner,
    MemorySize,
    Program,
    baselines,
    gradient_descent,
    make_tasks,
    objectives,
    ops,
    tasks_from_arrays,
)
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.tasks import ARRAYS

MEMORY = MemorySize(6, 5, 0)
OPS = ("SCALAR_SUM", "SCALAR_DIFF", "SCALAR_PRODUCT", "SCALAR_CONST_SET", "VECTOR_INNER_PRODUCT", "VECTOR_SUM")
OPS += ("SCALAR_VECTOR_PRODUCT", "VECTOR_DIFF")
MAKERS = {"numbers": regression_tasks, "binary": classification_tasks, "classes": multiclass_tasks}


def tasks_of(loss, **settings):
    return dataclasses.replace(MAKERS[objectives.named(loss).labels](**settings), loss=loss)


def check_against_the_interpreter(loss, strategy, size, own=None):
    """Random programs, some of which fail; `own` as of `reference_interpreter.evaluate`."""
    tasks = tasks_of(loss)
    allowed = [0, *(ops.op_named(name).id for name in OPS)]
    population = random_population(
        size, memory=MEMORY, allowed=allowed, lengths=(4, 5, 5), vector_labels=tasks.vector_labels
    )
    most = 3.0 if not tasks.objective.has_classes else 0.95
    evaluator = Evaluator(tasks, memory=MEMORY, dtype="float64", max_abs_error=most, strategy=strategy, ops=OPS)
    evaluation = evaluator.evaluate(population)
    for index, program in enumerate(population):
        for task in range(tasks.num_tasks):
            fitness, steps = reference_interpreter.evaluate(
                program.to_text(), [getattr(tasks, name)[task] for name in ARRAYS], MEMORY_OF, loss, most, own=own
            )
            assert evaluation.fitness[index, task] == pytest.approx(fitness, abs=1e-9), program
            assert evaluation.train_steps[index, task] == steps, program
    assert len(np.unique(evaluation.fitness.round(6))) > size // 10
    assert (evaluation.train_steps < tasks.num_train_examples).any()


MEMORY_OF = {"scalars": 6, "vectors": 5, "matrices": 0}


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
    assert errors("mae", [3, -1, np.inf], [1, 1, 1]).tolist() == [2, 2, np.inf]
    assert errors("huber", [1.5, 2, 4], [1, 1, 1]).tolist() == [0.125, 0.5, 2.5]


def test_cross_entropy_neither_overflows_nor_vanishes():
    """Where a probability of float32 is 0 or 1, its logarithm is infinite, or nothing is left of it."""
    np.testing.assert_allclose(
        errors("cross_entropy", [0, 80, -90, 90], [1, 1, 1, 0]), [np.log(2), np.exp(-80), 90, 90], rtol=1e-5
    )
    scores = [[0, 0, 0], [0, 90, 0], [0, 90, 0], [3e38, 0, 0]]
    expected = [np.log(3), 0, 90, 3e38]
    np.testing.assert_allclose(errors("multiclass_cross_entropy", scores, [0, 1, 0, 1]), expected, rtol=1e-6)


def test_fitness_is_from_0_to_1_and_falls_with_the_mean():
    for objective in objectives.known():
        most = 1 if objective.counts else 20
        fitness = objective.fitness(np.array([0, 0.1, 0.5, 0.9, 1]) * most * 7, 7)
        assert fitness[0] == 1 and (np.diff(fitness) < 0).all() and (fitness >= 0).all()
        assert objective.fitness(np.array([np.inf, np.nan, -np.inf]), 7).tolist() == [0, 0, 0]


def test_unknown_names_are_answered():
    for name, message in (("acuracy", "did you mean accuracy"), (5, "loss=5: expected one of 'rmse'")):
        with pytest.raises(ValueError, match=message):
            objectives.named(name)


def test_the_page_has_every_loss_and_its_formulas():
    page = (pathlib.Path(__file__).parent.parent / "docs" / "losses.md").read_text()
    words = {"numbers": "numbers", "binary": "0 and 1", "classes": "0 to C - 1"}
    rows = [line for line in page.splitlines() if re.match(r"\| `\w+` \|", line)]
    for row, one in zip(rows, objectives.known(), strict=True):
        formula = one.formula.replace("|", r"\|")
        assert row == f"| `{one.name}` | {words[one.labels]} | {formula} | {one.fitness_formula} |"


def test_losses_of_other_labels_are_refused():
    assert objectives.named("cross_entropy").for_labels(5).name == "multiclass_cross_entropy"
    assert [objectives.usual(count).name for count in (0, 2, 3)] == ["rmse", "accuracy", "multiclass_accuracy"]
    for loss, count, message in (
        ("mae", 2, r"loss='mae': labels are 2 classes: expected one of 'accuracy', 'cross_entropy'"),
        ("accuracy", 0, r"loss='accuracy': labels are numbers: expected one of 'rmse', 'mae', 'huber'"),
        ("huber", 3, r"loss='huber': labels are 3 classes: expected one of 'multiclass_accuracy'"),
    ):
        with pytest.raises(ValueError, match=message):
            objectives.named(loss).for_labels(count)
        labels = np.arange(60) % count if count else np.linspace(0, 1, 60)
        with pytest.raises(ValueError, match=message):
            tasks_from_arrays(np.ones((60, 4)), labels, kind="classes" if count else "numbers", loss=loss)


@pytest.mark.parametrize(
    ("spec", "loss"),
    [
        ("scalar_linear_regression:num_tasks=2,loss=mae", "mae"),
        pytest.param(
            "projected_digits:num_tasks=2,num_train_examples=20,num_valid_examples=10,loss=cross_entropy",
            "cross_entropy",
            marks=pytest.mark.thorough,
        ),
        ("dataset_regression:num_tasks=2,loss=huber", "huber"),
        (
            "projected_multiclass_classification:features_size=10,num_tasks=2,loss=multiclass_cross_entropy",
            "multiclass_cross_entropy",
        ),
    ],
)
def test_tasks_by_name_take_a_loss(spec, loss):
    tasks = make_tasks(spec)
    assert tasks.loss == loss
    usual = make_tasks(spec.replace(f",loss={loss}", ""))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(tasks, name), getattr(usual, name))
    with pytest.raises(ValueError, match=f"tasks '{spec}x.*did you mean {loss}"):
        make_tasks(f"{spec}x")


@pytest.mark.parametrize("loss", ["cross_entropy", pytest.param("huber", marks=pytest.mark.thorough)])
def test_a_learner_scores_by_its_loss(loss):
    """Against what is predicted, in float64."""
    program = Program.from_text(
        "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n s3 = s0 - s1\n v2 = s3 * v0\n v1 = v1 + v2\n"
    )
    tasks = tasks_of(loss)
    data = [getattr(tasks, name)[0] for name in ARRAYS]
    learner = Learner(program, loss=loss, dtype="float64", max_abs_error=1e6).fit(*data[:2])
    if loss == "huber":
        scores = learner.predict(data[2])
    else:
        scores = np.log(learner.predict_proba(data[2])) @ [-1, 1]
        assert set(learner.predict(data[2])) <= {0, 1}
    costs = [reference_interpreter.cost(loss, score, label) for score, label in zip(scores, data[3])]
    assert learner.score(*data[2:]) == pytest.approx(reference_interpreter.fitness(loss, np.mean(costs)), abs=1e-9)


@pytest.mark.slow
def test_baselines_are_scored_by_the_loss():
    """Gradient descent on cross-entropy is that for accuracy; logistic regression is better than a guess."""
    tasks = tasks_of("cross_entropy", num_train=100, num_valid=50)
    rates = gradient_descent.Hyperparameters(np.array([0.1]), np.array([0.1]))
    (linear,) = gradient_descent.evaluate("linear", tasks, rates, dtype="float64")
    program = Program.from_text(HAND_WRITTEN["linear"].replace("0.01", "0.1"))
    evaluator = Evaluator(tasks, memory=MemorySize(4, 3, 0), dtype="float64", ops=OPS)
    np.testing.assert_allclose(linear, evaluator.evaluate([program]).fitness[0], atol=1e-9)
    assert (baselines.logistic_regression(tasks) > 0.6).all()
    rates = gradient_descent.Hyperparameters(np.array([0.03]), np.array([0.1]))
    for loss in ("mae", "huber"):
        assert (gradient_descent.evaluate("linear", tasks_of(loss, num_train=1000), rates) > 0.9).all()


def test_other_processes_get_them_by_name():
    for objective in objectives.known():
        assert pickle.loads(pickle.dumps(objective)) is objective


def test_the_machine_does_what_a_formula_says():
    check_against_the_interpreter("huber", "switch", 60)


THOROUGH = (("cross_entropy", "vmap"), ("multiclass_cross_entropy", "switch"))
SLOW = (
    ("mae", "switch"),
    ("mae", "vmap"),
    ("huber", "vmap"),
    ("cross_entropy", "switch"),
    ("multiclass_cross_entropy", "vmap"),
)


@pytest.mark.parametrize(
    ("loss", "strategy"),
    [
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in THOROUGH),
    ],
)
def test_random_programs_agree_with_the_interpreter(loss, strategy):
    check_against_the_interpreter(loss, strategy, 100)
