"""Specifications of tasks: what is refused before anything is made, and tasks of the user's own tables."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import numpy as np
import pandas
import pytest

import azero_jax as az
from azero_jax import Tasks, datasets, make_tasks, task_specs
from azero_jax.task_specs import GENERATORS, has_vector_labels, tasks_from_arrays

X = np.random.default_rng(0).normal(size=(200, 3))
SIZES = "features_size=0,num_tasks=8,num_train_examples=20,num_valid_examples=6"


def table(tmp_path, labels, name="mine.csv"):
    lines = [",".join([*(f"{value:.4f}" for value in row), str(label)]) for row, label in zip(X, labels)]
    (tmp_path / name).write_text("a,b,c,y\n" + "\n".join(lines) + "\n")
    return f"dataset=csv,path={tmp_path}/{name},{SIZES}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("scalar_linear_regression:num_tasks=4,num_tasks=5", "num_tasks is given twice, as 4 and 5: expected it once"),
        ("npz:path=a,path=b", "path is given twice, as a and b"),
        ("scalar_linear_regression:num_task=4", "did you mean num_tasks[?]"),
        ("scalar_linear_regresion", "did you mean scalar_linear_regression[?]"),
        ("projected_binary_classification:dataset=irish", "did you mean iris[?]"),
        ("scalar_linear_regression:num_tasks=", "num_tasks=: expected a value"),
        ("npz:path=", "path=: expected a value"),
        ("npz:path=/x,y.npz", "'y.npz': expected name=value; a value that holds a comma needs quotes"),
        ("scalar_linear_regression:num_tasks=1_0", "num_tasks='1_0': expected an integer"),
        ("scalar_linear_regression:num_tasks=\u0661", "expected an integer"),
        ("scalar_linear_regression:num_tasks=1e9", "num_tasks='1e9': expected an integer"),
        ("scalar_linear_regression:data_seeds=-1", "data_seeds='-1': expected integers joined by '[+]', none negative"),
        ("scalar_linear_regression:data_seeds=1+2+3,num_tasks=2", "data_seeds: 3 seeds: expected at most num_tasks=2"),
        ("projected_digits:test=maybe", "test='maybe': expected true or false"),
        ("npz:path=a.npz,features_size=3", "features_size=3: sizes of npz come from the file"),
        ("given:tasks=a,num_tasks=3", "num_tasks=3: sizes of given tasks come from their arrays"),
        ("given:tasks=a", "tasks that were given as arrays in Python: expected the same again"),
        ("dataset_regression:label=3", "label=3: dataset diabetes is no table: expected it with dataset=csv"),
        ("dataset_regression:split=time", "split='time': expected random or ordered"),
        ("", "unknown generator ''"),
    ],
)
def test_wrong_parameters_are_named(spec, message):
    with pytest.raises(ValueError, match=message) as error:
        make_tasks(spec)
    assert repr(spec) in str(error.value)


@pytest.mark.parametrize("name", sorted(set(GENERATORS) - {"npz", "given"}))
@pytest.mark.parametrize(
    "size",
    [
        "num_tasks=1000000000000",
        "num_train_examples=1000000000000",
        "num_valid_examples=1000000000000",
        "num_train_epochs=100000000000",
        "features_size=100000000000",
    ],
)
def test_sizes_beyond_memory_are_refused_before_it_is_taken(name, size):
    with pytest.raises(ValueError, match=rf"{size}.* needs about [\d.,]+ [TPE]iB of memory, there are"):
        make_tasks(f"{name}:{size}")


def test_a_matrix_beyond_memory_is_refused_too():
    sizes = "num_tasks=1,num_train_examples=1,num_valid_examples=1,features_size=1000000"
    with pytest.raises(ValueError, match=r"needs about 7\.3 TiB of memory"):
        make_tasks(f"scalar_2layer_nn_regression:{sizes}")


def test_long_values_are_cut():
    with pytest.raises(ValueError) as error:
        make_tasks("scalar_linear_regression:num_tasks=1" + "0" * 5000)
    assert len(str(error.value)) < 1000


def test_quotes_hold_commas(tmp_path):
    x = np.ones((1, 4, 2))
    np.savez(tmp_path / "a,b.npz", train_features=x, train_labels=x[..., 0], valid_features=x, valid_labels=x[..., 0])
    assert make_tasks(f'npz:path="{tmp_path}/a,b.npz",loss=accuracy').loss == "accuracy"
    assert has_vector_labels('npz:path="a,b.npz", loss=multiclass_accuracy') and not has_vector_labels("npz:path=a")


def test_a_table_of_two_classes_needs_no_pairs(tmp_path, capsys):
    positive = X[:, 0] > X[:, 1]
    spec = table(tmp_path, np.where(positive, 1, -1))
    for group in ("", ",pairs=search", ",pairs=select", ",pairs=final", ",pairs=all"):
        tasks = make_tasks(f"projected_binary_classification:{spec}{group},cache_dir={tmp_path}/cache")
        assert set(tasks.train_labels.ravel()) == {0, 1}
    # 1 is the positive class.
    x, y = tasks.train_features, tasks.train_labels
    assert (x[..., 0] - x[..., 1])[y == 1].mean() > 0.5 > (x[..., 0] - x[..., 1])[y == 0].mean()
    told = capsys.readouterr().err
    words = f"200 rows, 3 features; label column 'y': 2 classes: -1 ({(~positive).sum()}), 1 ({positive.sum()})"
    assert words in told and told.count("\n") == 1 and words in tasks.description


def test_classes_are_named_as_in_the_table(tmp_path):
    words = np.array(["cat", "dog", "Iris-x"])[np.arange(200) % 3]
    spec = f"projected_binary_classification:{table(tmp_path, words)},cache_dir={tmp_path}/cache"
    one = make_tasks(spec + ",positive_class=dog,negative_class=cat")
    other = make_tasks(spec + ",positive_class=cat,negative_class=dog")
    assert set(one.train_labels.ravel()) == set(other.train_labels.ravel()) == {0, 1}
    held_out = make_tasks(spec + ",held_out_pairs=Iris-x-cat,pairs=final")
    assert held_out.num_tasks == 8
    for extra, message in (
        (",positive_class=dig,negative_class=cat", "class dig: expected Iris-x, cat, dog; did you mean dog[?]"),
        (",positive_class=cat,negative_class=cat", "both cat: expected two classes"),
        (",held_out_pairs=cat-cow", "held_out_pairs='cat-cow': expected pairs as in Iris-x-dog"),
    ):
        with pytest.raises(ValueError, match=message):
            make_tasks(spec + extra)
    every = make_tasks(spec.replace("projected_binary", "projected_multiclass"))
    assert set(every.train_labels.ravel()) == {0, 1, 2}


@pytest.mark.parametrize("generator", ["projected_binary_classification", "projected_multiclass_classification"])
def test_one_class_is_one_line(tmp_path, generator):
    for extra in ("", ",pairs=all" if "binary" in generator else ""):
        with pytest.raises(
            ValueError, match=r"all 200 labels are 7: one class, .*last column, label=NAME or label=POS"
        ):
            make_tasks(f"{generator}:{table(tmp_path, [7] * 200)}{extra}")


def test_a_constant_target_is_one_line(tmp_path):
    for value in (3, 0.1):
        with pytest.raises(ValueError, match=f"all 200 labels are {value}: nothing to learn"):
            make_tasks(f"dataset_regression:{table(tmp_path, [value] * 200)}")
    # Few examples can be alike by chance, which is no error.
    tasks = make_tasks(f"dataset_regression:{table(tmp_path, [0] * 199 + [1])}")
    assert np.isfinite(tasks.train_labels).all()


def test_regression_takes_numbers_as_they_are(tmp_path):
    labels = np.round(X[:, 0] * 100 + 5000).astype(int)
    tasks = make_tasks(f"dataset_regression:{table(tmp_path, labels)}")
    for x, y in zip(tasks.train_features, tasks.train_labels):
        assert np.corrcoef(x[:, 0], y)[0, 1] > 0.999


def test_order_in_time_is_kept(tmp_path):
    (tmp_path / "time.csv").write_text("".join(f"{row},{row % 7},{row % 2}\n" for row in range(200)))
    sizes = SIZES.replace("num_tasks=8", "num_tasks=3")
    for generator in ("dataset_regression", "projected_binary_classification"):
        spec = f"{generator}:dataset=csv,path={tmp_path}/time.csv,{sizes},split=ordered,cache_dir={tmp_path}/cache"
        spec = spec.replace(f",cache_dir={tmp_path}/cache", "") if generator == "dataset_regression" else spec
        seen, held_back = make_tasks(spec), make_tasks(spec + ",test=true")
        for tasks in (seen, held_back):
            assert (np.diff(tasks.train_features[..., 0], axis=1) > 0).all()
            assert (tasks.train_features[:, -1, 0] < tasks.valid_features[:, 0, 0]).all()
    with pytest.raises(ValueError, match="one class only in that part in their order"):
        rows = "".join(f"{row},{row % 7},{row // 100}\n" for row in range(200))
        (tmp_path / "time.csv").write_text(rows)
        make_tasks(spec)


def test_tasks_from_arrays():
    words = np.where(X[:, 0] > 0, "up", "down")
    binary = tasks_from_arrays(X, words, num_tasks=2)
    assert binary.loss == "accuracy" and binary.train_features.shape == (2, 100, 3)
    assert "2 classes: down (" in binary.description
    assert tasks_from_arrays(X, X[:, 0] * 2).loss == "rmse"
    many = tasks_from_arrays(X.tolist(), (np.arange(200) % 3).tolist(), features_size=8)
    assert many.loss == "multiclass_accuracy" and many.features_size == 8
    with pytest.raises(ValueError, match="row 0, column 0: a value is missing"):
        tasks_from_arrays(np.full((20, 2), np.nan), np.arange(20) % 2)
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    of_frame = tasks_from_arrays(frame, pandas.Series(words), num_tasks=2)
    np.testing.assert_array_equal(of_frame.train_features, binary.train_features)


def test_the_page_on_data_names_every_parameter():
    page = (pathlib.Path(__file__).parent.parent / "docs" / "data.md").read_text()
    for field in dataclasses.fields(datasets.Source):
        assert f"`{field.name}=`" in page or field.name in ("dataset", "path")
    for example in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(example, {})


def constant_tasks(settings, *, value: int = 3, loss: str = "rmse"):
    x = np.ones((settings.num_tasks, 8, settings.features_size))
    y = np.full((settings.num_tasks, 8), value)
    return Tasks(x, y, x, y, loss)


def test_tasks_of_ones_own_have_a_name():
    az.register_task("constant", constant_tasks)
    try:
        tasks = make_tasks("constant:features_size=2,num_tasks=4,value=7")
        assert tasks.train_features.shape == (4, 8, 2) and (tasks.train_labels == 7).all()
        with pytest.raises(ValueError, match=r"'constant:valu=7': 'valu=7': expected name=value with a name among"):
            make_tasks("constant:valu=7")
        with pytest.raises(ValueError, match="expected vector_labels=True of register_task"):
            make_tasks("constant:features_size=9,loss=multiclass_accuracy")
        with pytest.raises(ValueError, match="name 'constant': tasks of that name exist already"):
            az.register_task("constant", constant_tasks)
    finally:
        task_specs.unregister_task("constant")
    with pytest.raises(ValueError, match="unknown generator 'constant'"):
        make_tasks("constant")
    with pytest.raises(ValueError, match="no tasks of that name were registered"):
        task_specs.unregister_task("npz")
    az.register_task("nothing", lambda settings: None)
    try:
        with pytest.raises(ValueError, match="its generator returned NoneType: expected Tasks"):
            make_tasks("nothing")
    finally:
        task_specs.unregister_task("nothing")
    for name, generator, message in (
        ("two words", constant_tasks, "expected an identifier"),
        ("mine", 5, "expected a function"),
        ("mine", lambda settings, other: None, "parameter 'other': expected one behind"),
        ("mine", lambda settings, *, num_tasks=1: None, "parameter 'num_tasks' is of settings already"),
    ):
        with pytest.raises(ValueError, match=message):
            az.register_task(name, generator)
