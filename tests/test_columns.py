"""What is understood of a table's columns, and what is said about it."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from azero_jax.columns import ColumnChoice, encode, examples_of, table_of
from azero_jax.tables import read_table

ROWS = [(f"{i * 7 % 11}.5", f"{i * i % 13}") for i in range(30)]


def examples(tmp_path, labels, *, names="a,b,y", kind="auto", **choice):
    lines = [names] * bool(names) + [f"{a},{b},{label}" for (a, b), label in zip(ROWS, labels)]
    return of_text(tmp_path, "\n".join(lines) + "\n", kind=kind, **choice)


def of_text(tmp_path, text, *, kind="auto", **choice):
    (tmp_path / "mine.csv").write_text(text)
    return examples_of(read_table(tmp_path / "mine.csv"), ColumnChoice(**choice), kind)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["1", "2", "3"], ("1", "2", "3")),
        (["-1", "1", "-1"], ("-1", "1")),
        (["-1", "+1", "-1"], ("-1", "1")),
        (["0.0", "1.0", "1"], ("0", "1")),
        (["True", "False", "True"], ("False", "True")),
        (["yes", "no", "yes"], ("no", "yes")),
        (["cat", "dog", "a long name"], ("a long name", "cat", "dog")),
        (["10", "1000000", "2000"], ("10", "2000", "1000000")),
        (["1", "2", "3+"], ("1", "2", "3+")),
    ],
)
def test_classes_are_the_different_labels(tmp_path, words, names):
    labels = [words[i % len(words)] for i in range(30)]
    found = examples(tmp_path, labels)
    assert found.class_names == names and found.labels.dtype == np.int64
    numbers = {name: float(name) for name in names if name.lstrip("-").isdigit()}
    for label, index in zip(labels, found.labels):
        assert names[index] == label or numbers[names[index]] == float(label)
    assert f"{len(names)} classes: {names[0]} (" in found.description


def test_many_different_labels_are_numbers_or_refused(tmp_path):
    prices = [100_000 + 37 * i for i in range(30)]
    found = examples(tmp_path, prices)
    assert found.class_names == () and found.labels.tolist() == prices
    assert "numbers from 100000 to 101073" in found.description
    with pytest.raises(ValueError, match=r"column 'y': 30 different labels in 30 rows \(100000, .*dataset_regression"):
        examples(tmp_path, prices, kind="classes")
    with pytest.raises(ValueError, match="30 different labels in 30 rows"):
        examples(tmp_path, [f"customer {i}" for i in range(30)])
    with pytest.raises(ValueError, match="numbers as large as 1e\\+18"):
        examples(tmp_path, [10**18, 10**17] * 15, kind="classes")
    assert examples(tmp_path, [1, 2] * 15, kind="numbers").labels.tolist() == [1, 2] * 15
    assert examples(tmp_path, [1.5, 2] * 15).class_names == ()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"label": "z"}, "label=z: .*no such column: expected a position from 0 to 2, .*or one of a, b, y"),
        ({"label": "3"}, "label=3: .*no such column"),
        ({"label": "-4"}, "label=-4: .*no such column"),
        ({"drop": ("c",)}, "drop=c: .*no such column"),
        ({"drop": ("y",)}, "drop=y: .*column 'y' is the label"),
        ({"drop": ("a", "b")}, "one column only"),
    ],
)
def test_columns_that_are_not_there(tmp_path, choice, message):
    with pytest.raises(ValueError, match=message):
        examples(tmp_path, [0, 1] * 15, **choice)
    with pytest.raises(ValueError, match="missing='zero': expected one of refuse, mean, drop"):
        ColumnChoice(missing="zero")


def test_the_label_by_name_or_position(tmp_path):
    for label in ("b", "1", "-2", "B"):
        found = examples(tmp_path, [0, 1] * 15, label=label)
        assert found.feature_names == ("a", "y") and found.labels[:2].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"label=a: .*columns 0 and 1 have that name"):
        examples(tmp_path, [0, 1] * 15, names="a,a,y", label="a")
    found = examples(tmp_path, [0, 1] * 15, drop=("0",))
    assert found.feature_names == ("b",) and "left out: column 'a'" in found.description


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    for name, expected in (("", 1), ("Unnamed: 0", 1), ("height", 2)):
        text = f"{name},a,y\n" + "".join(f"{29 - i},{i * 7 % 11},{i % 2}\n" for i in range(30))
        found = of_text(tmp_path, text)
        assert found.features.shape == (30, expected)
        assert ("which numbers the rows" in found.description) == (expected == 1)
    text = "id,a,y\n" + "".join(f"{i},{i * 7 % 11},{i % 2}\n" for i in range(30))
    assert "column 'id' counts the rows: drop=id leaves it out" in of_text(tmp_path, text).description


def test_missing_values(tmp_path):
    for word in ("", "NA", "?", "null", "nan", "N/A", "None"):
        text = f"a,b,y\n1,2,0\n{word},3,1\n3,4,0\n5,6,1\n"
        with pytest.raises(ValueError, match="line 3, column 'a': a value is missing, as in 1 of 4 rows: missing=mean"):
            of_text(tmp_path, text)
        found = of_text(tmp_path, text, missing="mean")
        assert found.features[:, 0].tolist() == [1, 3, 3, 5] and "1 missing value in 1 row" in found.description
        assert of_text(tmp_path, text, missing="drop").features[:, 0].tolist() == [1, 3, 5]
    text = "a,b,y\n1,2,0\n2,3,\n3,4,0\n5,6,1\n"
    for missing in ("refuse", "mean"):
        with pytest.raises(ValueError, match="line 3, column 'y': the label is missing"):
            of_text(tmp_path, text, missing=missing)
    assert of_text(tmp_path, text, missing="drop").labels.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="column 'b' holds no value at all: drop=b"):
        of_text(tmp_path, "a,b,y\n1,NA,0\n2,NA,1\n", missing="mean")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,city,y\n1,Rome,0\n2,Oslo,1\n3,Rome,0\n", "column 'city' .'Rome'.: text, .*drop=city leaves it out"),
        ("a,b,y\n1,2,0\n2,x,1\n3,4,0\n", "line 3, column 'b': 'x': expected a number"),
        ("a,b,y\n1,2,0\n2,inf,1\n3,4,0\n", "line 3, column 'b': 'inf': .*infinite values"),
        ("a,b,y\n1,2,0\n2,1e200,1\n3,4,0\n", "line 3, column 'b': 1e\\+200: expected at most 1e\\+100"),
        ("a,b,y\n1,2,0\n2,1e999,1\n3,4,0\n", "line 3, column 'b': inf: expected at most"),
        ('a,b,y\n1,"1,234.5",0\n2,"2,000",1\n3,4,0\n', "thousands are not read"),
        ("a;b;y\n1,5;2;0\n2,5;3;1\n3,5;4;0\n", "column 'a' .'1,5'.: .*decimal=comma reads it"),
        ("a,y\n" + "1,0\n2,1\n" * 20 + "3,O\n", "line 42, column 'y': label 'O': expected a number"),
        ("a,y\n" + "1,Yes\n2,yes\n3,no\n" * 9, "classes 'Yes' and 'yes' differ in case only"),
    ],
)
def test_cells_that_are_no_numbers_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        of_text(tmp_path, text)


def test_truths_are_numbers(tmp_path):
    found = of_text(tmp_path, "a,b,y\n1,True,0\n2,FALSE,1\n3,true,0\n4,False,1\n")
    assert found.features[:, 1].tolist() == [1, 0, 1, 0] and "True is 1 and False 0 in column 'b'" in found.description


def test_frames_and_arrays():
    frame = pandas.DataFrame({"a": [1.5, 2, 3, 4], "b": pandas.array([1, 2, 3, 4], dtype="Int64")})
    labels = pandas.Series(["x", "y", "x", "y"], name="kind").astype("category")
    found = examples_of(table_of(frame, labels))
    assert found.features.tolist() == [[1.5, 1], [2, 2], [3, 3], [4, 4]] and found.class_names == ("x", "y")
    assert found.feature_names == ("a", "b") and "label column 'kind'" in found.description
    frame.loc[2, "b"] = None
    with pytest.raises(ValueError, match="data: row 2, column 'b': a value is missing"):
        examples_of(table_of(frame, labels))
    frame["when"] = pandas.date_range("2020-01-01", periods=4)
    with pytest.raises(ValueError, match="column 'when': values of type datetime64"):
        table_of(frame, labels)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((4, 2)) * 1j, [0, 1, 0, 1], "values of type complex128"),
        (np.ma.masked_greater(np.arange(8.0).reshape(4, 2), 6), [0, 1, 0, 1], "row 3, column 1: a value is missing"),
        (np.ones((4, 2)), [0, 1], "4 rows of features and 2 labels"),
        (np.ones(4), [0, 1, 0, 1], r"features: shape \(4,\)"),
        ([[1, 2], [3]], [0, 1], "rows of equal lengths"),
        (np.ones((2, 2)), np.array(["2020", "2021"], "M8[Y]"), "values of type datetime64"),
        (np.ones((2, 2)), [object(), 1], "row 0 is a object: expected a number or a word"),
        (np.ones((2, 1)), [10**400, 1], "an integer larger than any float"),
        ([["x"], ["y"]], [0, 1], "column 0 .'x'.: text, expected numbers as features; leave it out"),
        (np.ones((0, 2)), [], "no rows or no columns"),
    ],
)
def test_wrong_arrays_are_named(features, labels, message):
    with pytest.raises(ValueError, match=message):
        examples_of(table_of(features, labels))


def test_large_whole_numbers_are_not_told_apart():
    with pytest.raises(ValueError, match="numbers as large as"):
        encode(np.array([2**60, 2**60 + 1]), "mine")
