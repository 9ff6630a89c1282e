from __future__ import annotations

import pickle

import numpy as np
import pytest
from generated import classification_tasks, multiclass_tasks, random_population, regression_tasks

from azero_jax import Evaluator, FitError, Learner, MemorySize, PredictionWarning, Program
from azero_jax.initial_programs import LINEAR
from azero_jax.superinstructions import USUAL_OPS

MEMORY = MemorySize(6, 5, 4)
KEEPS = "def Predict():\n s2 = s2 + s3\n s1 = s2 * s3\ndef Learn():\n s3 = s0 + s4\n"


def data(tasks):
    """Training and validation examples of the first task."""
    return tasks.train_features[0], tasks.train_labels[0], tasks.valid_features[0], tasks.valid_labels[0]


@pytest.mark.parametrize(
    "make_tasks",
    [
        pytest.param(regression_tasks, marks=pytest.mark.thorough),
        pytest.param(classification_tasks, marks=pytest.mark.slow),
        pytest.param(multiclass_tasks, marks=pytest.mark.slow),
    ],
)
def test_numbers_are_those_of_the_evaluator_to_the_bit(make_tasks):
    # More examples than one call of the machine takes, random ops included.
    tasks = make_tasks(num_tasks=1, num_train=530, num_valid=520)
    x, y, new_x, new_y = data(tasks)
    population = random_population(
        40, memory=MEMORY, seed=4, vector_labels=tasks.vector_labels, allowed=sorted(USUAL_OPS)
    )
    evaluator = Evaluator(tasks, memory=MEMORY)
    fitness, predictions = evaluator.evaluate(population).fitness[:, 0], evaluator.predictions(population)[:, 0]
    learned = 0
    for index, program in enumerate(population):
        learner = Learner(program, loss=tasks.loss, memory=MEMORY, num_classes=tasks.num_classes)
        try:
            learner.fit(x, y)
        except FitError:
            assert fitness[index] == 0
            continue
        assert learner.score(new_x, new_y) == fitness[index]
        if fitness[index] > 0:
            learned += 1
            if tasks.loss == "rmse":
                np.testing.assert_array_equal(learner.predict(new_x), predictions[index])
            else:
                share = np.mean(learner.predict(new_x) == new_y)
                assert tasks.loss != "accuracy" or share == pytest.approx(fitness[index], abs=1e-12)
    assert learned > 15


def test_a_linear_model_learns_and_comes_back_from_a_file(tmp_path):
    x, y, new_x, new_y = data(regression_tasks(num_tasks=1, num_train=600, num_valid=50))
    learner = Learner(Program.from_text(LINEAR), epochs=2, memory=MEMORY).fit(x.tolist(), y.tolist())
    assert learner.score(new_x, new_y) > 0.99
    weights = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(learner.memory_["v1"], weights, atol=0.01)
    learner.save(tmp_path / "model.npz")
    again = Learner.load(tmp_path / "model.npz")
    copied = pickle.loads(pickle.dumps(learner))
    np.testing.assert_array_equal(copied.predict(new_x), learner.predict(new_x))
    np.testing.assert_array_equal(again.predict(new_x), learner.predict(new_x))
    # It goes on exactly, too.
    for each in (learner, again):
        each.partial_fit(new_x, new_y)
    assert again.num_steps_ == learner.num_steps_ == 1250
    np.testing.assert_array_equal(again.memory_["v1"], learner.memory_["v1"])


def test_training_by_parts_is_training_at_once():
    tasks = regression_tasks(num_tasks=1)
    x, y, new_x, _ = data(tasks)
    # What is learned and what is predicted depends on what is drawn at each example.
    program = Program.from_text(
        "def Setup():\n s4 = uniform(0, 1)\ndef Predict():\n s3 = gaussian(0, 1)\n s1 = s3 * s4\n"
        "def Learn():\n s5 = s0 * s3\n s4 = s4 + s5\n"
    )
    at_once = Learner(program, memory=MEMORY, seed=3).fit(x, y)
    by_parts = Learner(program, memory=MEMORY, seed=3)
    for part in (slice(0, 7), slice(7, 8), slice(8, None)):
        by_parts.partial_fit(x[part], y[part])
    np.testing.assert_array_equal(at_once.predict(new_x), by_parts.predict(new_x))
    expected = Evaluator(tasks, memory=MEMORY, seed=3).predictions([program])[0, 0]
    np.testing.assert_array_equal(at_once.predict(new_x), expected)


def test_a_table_is_taken_and_a_prediction_changes_nothing():
    pandas = pytest.importorskip("pandas")
    x, y, new_x, _ = data(regression_tasks(num_tasks=1))
    learner = Learner(Program.from_text(KEEPS), memory=MEMORY).fit(pandas.DataFrame(x), pandas.Series(y))
    first = learner.predict(pandas.DataFrame(new_x))
    assert len(set(first.tolist())) == len(first)  # it counts
    np.testing.assert_array_equal(first, learner.predict(new_x))
    alone = learner.predict(new_x, independent=True)
    np.testing.assert_array_equal(alone, np.full(len(new_x), first[0]))
    assert not learner.independent


def test_what_cannot_be_learned_is_said():
    x, y, new_x, _ = data(regression_tasks(num_tasks=1))
    with pytest.raises(FitError, match=r"epoch 1, row 0 of X and y: .* not a number or above max_abs_error=100"):
        Learner(Program.from_text("def Predict():\n s1 = s2 / s3\n"), memory=MEMORY).fit(x, y)
    far = y.copy()
    far[5] = 1000
    learner = Learner(Program.from_text(LINEAR), memory=MEMORY).fit(x, y)
    before = learner.predict(new_x)
    with pytest.raises(FitError, match="row 5 of X"):
        learner.partial_fit(x, far)
    np.testing.assert_array_equal(learner.predict(new_x), before)
    divides = Program.from_text("def Predict():\n s1 = s2 / s3\ndef Learn():\n s3 = s3 - s3\n")
    with pytest.raises(FitError):
        Learner(divides, memory=MEMORY).fit(x, y)
    # Finite in training, not afterwards.
    later = Program.from_text("def Predict():\n s1 = log(s2)\n s1 = s1 * s3\n s2 = s2 - s4\ndef Setup():\n s2 = 20.0\n"
                              " s4 = 1.0\n")  # fmt: skip
    learner = Learner(later, memory=MEMORY).fit(x, y)
    with pytest.warns(PredictionWarning, match="10 of 10 rows are not finite, first that of row 0"):
        learner.predict(new_x * 0)


def test_errors_name_what_is_wrong(tmp_path):
    x, y, new_x, _ = data(regression_tasks(num_tasks=1))
    program = Program.from_text(LINEAR)
    with pytest.raises(ValueError, match="not fitted"):
        Learner(program).predict(x)
    for settings, message in (
        ({"loss": "mse"}, "loss='mse'"),
        ({"epochs": 0}, "epochs=0"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"max_abs_error": "large"}, "max_abs_error='large'"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"memory": MemorySize(3, 2, 0)}, "expected addresses within 3 scalars"),
        ({"num_classes": 1}, "num_classes=1"),
        ({"loss": "accuracy", "num_classes": 3}, "expected loss='multiclass_accuracy'"),
    ):
        with pytest.raises(ValueError, match=message):
            Learner(program, **settings)
    with pytest.raises(TypeError, match="program: expected a Program, got 'def Setup"):
        Learner(LINEAR)
    learner = Learner(program, memory=MEMORY)
    for features, labels, message in (
        (x[0], y, r"X: shape \(4,\)"),
        (x, y[:3], r"y: shape \(3,\): expected \(20,\)"),
        (np.where(x == x[2, 1], np.nan, x), y, r"X: nan at index \(2, 1\)"),
        (x * 1e300, y, "expected finite values of float32"),
        ([["a", "b"]], [1], "X: expected an array of numbers"),
        (x + 1j, y, "X: expected an array of numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            learner.fit(features, labels)
    with pytest.raises(ValueError, match="y: 2 at index 1: expected classes from 0 to 1"):
        Learner(program, loss="accuracy").fit(x[:2], [0, 2])
    with pytest.raises(ValueError, match="num_classes=5: expected at most as many as X has columns, 4"):
        Learner(program, loss="multiclass_accuracy", num_classes=5).fit(x, np.zeros(20))
    learner.fit(x, y)
    with pytest.raises(ValueError, match=r"X: shape \(20, 3\): expected 4 columns"):
        learner.predict(x[:, :3])
    with pytest.raises(ValueError, match="loss='rmse' has no classes"):
        learner.predict_proba(new_x)
    with pytest.raises(KeyError, match="'v9': expected one of s0"):
        learner.memory_["v9"]
    (tmp_path / "no.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=r"no\.npz: not a file of Learner\.save"):
        Learner.load(tmp_path / "no.npz")
