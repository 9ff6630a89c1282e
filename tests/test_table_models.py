"""Programs trained on tables: what comes out predicts from the columns as they are."""

from __future__ import annotations

import numpy as np
import pytest

from azero_jax import FitError, Program, table_models
from azero_jax.datasets import Source
from azero_jax.initial_programs import HAND_WRITTEN, LINEAR, SOFTMAX_REGRESSION


def write(path, labels, columns=4, missing=False):
    """A table whose columns have different means and sizes; label(x) of its standardised columns."""
    x = np.random.default_rng(0).standard_normal((120, columns))
    table = x * 10.0 ** np.arange(columns) + 5
    values = [f"{value:.6g}" for value in table.ravel()]
    if missing:
        values[columns + 1] = ""
    rows = [",".join(values[row * columns : (row + 1) * columns]) for row in range(len(x))]
    names = [*(f"x{column}" for column in range(columns)), "label"]
    lines = [f"{row},{label}" for row, label in zip(rows, labels(x))]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return Source("csv", str(path)), table


def test_numbers_are_predicted_in_their_own_units(tmp_path):
    source, table = write(tmp_path / "t.csv", lambda x: 1000 + 50 * (x[:, 0] - 2 * x[:, 3]))
    model = table_models.train(Program.from_text(LINEAR), source, epochs=10)
    assert model.learner.loss == "rmse" and model.rows == 120 and model.fitness > 0.99
    assert model.columns.feature_names == ("x0", "x1", "x2", "x3")
    predicted = model.learner.predict(model.columns.features(table)) * model.columns.label_spread
    expected = 1000 + 50 * ((table[:, 0] - 5) - 2 * (table[:, 3] - 5) / 1000)
    np.testing.assert_allclose(predicted + model.columns.label_shift, expected, atol=5)


def test_labels_decide_unless_the_program_was_found_for_others(tmp_path):
    source, _ = write(tmp_path / "t.csv", lambda x: np.where(x[:, 0] > 0, "yes", "no"))
    model = table_models.train(Program.from_text(LINEAR), source)
    assert model.learner.loss == "accuracy" and model.columns.class_names == ("no", "yes") and model.fitness > 0.9
    with pytest.raises(ValueError, match=r"t.csv"):
        table_models.train(Program.from_text(LINEAR), source, loss="rmse")
    three, _ = write(tmp_path / "three.csv", lambda x: np.digitize(x[:, 0], [-0.5, 0.5]))
    model = table_models.train(Program.from_text(SOFTMAX_REGRESSION), three)
    assert model.learner.loss == "multiclass_accuracy" and model.fitness > 0.6
    with pytest.raises(ValueError, match="labels are several classes, and the program was found for two classes"):
        table_models.train(Program.from_text(LINEAR), three, loss="accuracy")
    assert table_models.train(Program.from_text(LINEAR), three, loss="rmse").learner.loss == "rmse"
    alike, _ = write(tmp_path / "alike.csv", lambda x: np.full(len(x), 3.5))
    with pytest.raises(ValueError, match="all 120 labels are the same"):
        table_models.train(Program.from_text(LINEAR), alike, kind="numbers")


def test_as_many_examples_are_seen_as_in_a_search(tmp_path):
    source, _ = write(tmp_path / "t.csv", lambda x: x[:, 0])
    program = Program.from_text(LINEAR)
    # 66 of 120 rows train a task, 7 times.
    assert table_models.train(program, source).learner.epochs == 4
    assert table_models.train(program, source, examples=60).learner.epochs == 1
    assert table_models.train(program, source, examples=60, epochs=3).learner.epochs == 3


def test_many_columns_are_projected_and_missing_values_filled(tmp_path):
    source, table = write(tmp_path / "t.csv", lambda x: x[:, 0], columns=6, missing=True)
    model = table_models.train(Program.from_text(LINEAR), Source("csv", source.path, missing="mean"), features_size=4)
    assert model.columns.projection.shape == (6, 4) and model.columns.width == 6
    gone = table.copy()
    gone[1, 1] = np.nan
    filled = table.copy()
    filled[1, 1] = np.delete(table[:, 1], 1).mean()
    np.testing.assert_allclose(model.columns.features(gone), model.columns.features(filled), rtol=1e-4, atol=1e-4)


def test_order_in_time_is_kept_and_failures_are_told(tmp_path):
    source, _ = write(tmp_path / "t.csv", lambda x: np.arange(120))
    last = Program.from_text("def Predict():\n s1 = s2 + s3\ndef Learn():\n s2 = s0 + s3\n")
    ordered = table_models.train(last, Source("csv", source.path, split="ordered"), kind="numbers", epochs=1)
    assert ordered.learner.memory_["s2"] == pytest.approx(np.sqrt(3), abs=0.05)  # the last label, standardised
    diverges = Program.from_text(HAND_WRITTEN["linear"].replace("0.01", "10.0"))
    with pytest.raises(FitError, match="epoch 1, row"):
        table_models.train(diverges, source, kind="numbers")
