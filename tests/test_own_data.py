"""From a table to a search, without the syntax of tasks."""

from __future__ import annotations

import numpy as np
import pytest
from absl.flags import FlagValues

from azero_jax import command_line, flags, make_tasks, own_data
from azero_jax.datasets import Source


def write(path, labels, num_features=5):
    rows = np.random.default_rng(0).standard_normal((len(labels), num_features))
    names = [*(f"x{column}" for column in range(num_features)), "price", "id"]
    lines = [
        ",".join([*(f"{value:.5f}" for value in row), str(label), str(number)])
        for number, (row, label) in enumerate(zip(rows, labels))
    ]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def settings(*arguments):
    values = FlagValues()
    flags.define(values)
    command_line.parse(arguments, values)
    flags.use_own_data(values)
    return flags.settings(values)


CASES = {
    "numbers": (np.random.default_rng(1).normal(50, 9, 100).round(3), "dataset_regression", 5, "rmse"),
    "two classes": (["yes", "no"] * 50, "projected_binary_classification", 5, "accuracy"),
    "classes": (["a", "b", "c", "d"] * 25, "projected_multiclass_classification", 5, "multiclass_accuracy"),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_decide_what_tasks_there_are(tmp_path, case):
    labels, generator, features, loss = CASES[case]
    path = write(tmp_path / "mine, all.csv", labels)
    made = settings(f"--data={path}", "--label=price", "--drop=id", "--random_seed=1")
    specs = [made.islands[0].search_tasks, made.select_tasks, made.final_tasks]
    assert all(spec.startswith(f"{generator}:") for spec in specs)
    tasks = [make_tasks(spec) for spec in specs]
    assert {some.loss for some in tasks} == {loss} and {some.features_size for some in tasks} == {features}
    if loss != "rmse":
        assert made.final_baseline == "logistic_regression"
        # What the winner is scored on is in no example of search and selection.
        parts = [part for some in tasks[:2] for part in (some.train_labels, some.valid_labels)]
        assert sum(part.shape[1] for part in parts[:2]) <= 0.8 * len(labels)
    other = settings(f"--data={path}", "--label=price", "--loss=" + ("mae" if loss == "rmse" else "cross_entropy"))
    expected = {"rmse": "mae"}.get(loss, loss.replace("accuracy", "cross_entropy"))
    assert {make_tasks(spec).loss for spec in (other.islands[0].search_tasks, other.final_tasks)} == {expected}
    assert len(made.islands) == 4 and made.max_individuals == 300_000
    start = {"rmse": "linear", "accuracy": "no_op", "multiclass_accuracy": "softmax_regression"}[loss]
    assert made.islands[0].search.evolution.initial_population == start


def test_flags_that_are_given_win(tmp_path):
    path = write(tmp_path / "mine.csv", ["yes", "no"] * 50)
    made = settings(f"--data={path}", "--label=-2", "--num_islands=1", "--final_tasks=", "--population_size=300")
    assert len(made.islands) == 1 and not made.final_tasks
    assert made.islands[0].search.evolution.population_size == 300


def test_few_rows_and_many_features(tmp_path):
    few = write(tmp_path / "few.csv", ["yes", "no"] * 10)
    made = settings(f"--data={few}", "--label=price")
    assert make_tasks(made.islands[0].search_tasks).num_train_examples == 11
    assert made.islands[0].search.equivalence.probe_of(make_tasks(made.islands[0].search_tasks)) == (10, 3)
    many = write(tmp_path / "many.csv", ["yes", "no"] * 50, num_features=40)
    assert make_tasks(settings(f"--data={many}", "--label=price").final_tasks).features_size == 16
    with pytest.raises(ValueError, match=r"tiny.csv: 10 rows: expected at least 20"):
        settings(f"--data={write(tmp_path / 'tiny.csv', ['yes', 'no'] * 5)}", "--label=price")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=/no/such.csv"], "/no/such.csv"),
        (["--data=iris", "--loss=mae"], "loss='mae': labels are 3 classes: expected one of 'multiclass_accuracy'"),
        (["--data=iris", "--loss=cross_entrpy"], "did you mean cross_entropy?"),
        (["--loss=mae"], "--loss is about --data, which is missing"),
        (["--label=price"], "--label is about --data, which is missing"),
        (["--data=iris", "--search_tasks=npz:path=x"], "--data and --search_tasks: expected one of them"),
        (["--data=iris", "--label=price"], "label=price: dataset iris is no table"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises((ValueError, OSError)) as caught:
        settings(*arguments)
    assert message in str(caught.value)


def test_sets_that_need_no_file():
    assert own_data.source_of("iris") == Source("iris")
    assert "dataset=iris,features_size=0" in settings("--data=iris").final_tasks
