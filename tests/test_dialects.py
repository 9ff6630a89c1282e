"""Separators, numbers and names of columns: decided by many rows, never by dropping one."""

from __future__ import annotations

import numpy as np
import pytest

from azero_jax import dialects

SEPARATORS = dialects.SEPARATORS.values()
NUMBERS = [["1.5", "2", "0"], ["2.5", "3", "1"], ["-1e3", "4", "0"], ["0.5", "9", "1"]]


def rest(width, seed=0):
    return [[f"{value:.3f}" for value in row] for row in np.random.default_rng(seed).normal(size=(30, width))]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("words", [False, True])
def test_the_separator_makes_rows_equally_long(separator, words):
    rng = np.random.default_rng(3)
    for width in (2, 3, 9):
        rows = [[f"{value:.2f}" for value in rng.normal(size=width)] for _ in range(20)]
        if words:
            rows = [[*row, '"a, b; c|d e"'] for row in rows]
        assert dialects.find_separator([separator.join(row) + "\n" for row in rows]) == separator


def test_a_separator_within_cells_is_none():
    decimal_commas = [f"{i},5;{i},25;0\n" for i in range(9)]
    assert dialects.find_separator(decimal_commas) == ";"
    assert dialects.find_separator([line.replace(";", "\t") for line in decimal_commas]) == "\t"
    assert dialects.find_separator([f"2020-01-0{i} 00:00,{i},1\n" for i in range(9)]) == ","
    assert dialects.find_separator(["1,2,3\n", "1,2\n", "4,5,6\n"]) == ","  # a row that is cut short


@pytest.mark.parametrize("cell", ["1", "-1.5", "+.5", "5.", "1e-3", " 7 ", "2E+10"])
def test_numbers(cell):
    assert dialects.is_number(cell)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "1_000", "1,5", "2O", "\u0661", "0x1", "1.5.2", "1e", "--1", "1 2"])
def test_what_is_no_number(cell):
    assert not dialects.is_number(cell)


def test_decimal_commas():
    assert dialects.is_number("1,5", ",") and dialects.is_number("-3", ",")
    assert not dialects.is_number("1.5", ",") and not dialects.is_number("1.234,5", ",")


@pytest.mark.parametrize(
    ("first", "below", "expected"),
    [
        (["a", "b", "y"], NUMBERS, True),
        (["1.5", "2", "0"], NUMBERS, False),
        (["", "b", "y"], NUMBERS, True),  # pandas' index
        (["NA", "2", "0"], NUMBERS, False),  # a row with a missing value
        (["1stFlr", "2ndFlr", "3rd"], NUMBERS, True),
        (["2019", "2020", "label"], NUMBERS, True),
        (["2019", "2020", "2021"], NUMBERS, True),
        (["5.1", "3", "setosa"], [["4.9", "3", "setosa"], ["5.7", "2", "virginica"]] * 3, False),
        (["x", "z", "kind"], [["4.9", "3", "setosa"], ["5.7", "2", "virginica"]] * 3, True),
        (["0", "1", "target"], [["4.9", "3", "setosa"], ["5.7", "2", "virginica"]] * 3, True),
        (["x", "kind"], [["1", "a"], ["2", "b"]], True),
        (["colour", "kind"], [["red", "a"], ["blue", "b"], ["red", "b"]], True),
        (["red", "b"], [["red", "a"], ["blue", "b"], ["red", "b"]], False),
        ([str(i) for i in range(9)], rest(9), True),  # pandas' names of columns
        ([str(i) for i in range(9)], [[str(9 * n + i) for i in range(9)] for n in range(1, 5)], False),
        (["a", "b"], [], True),
        (["1", "2"], [], False),
    ],
)
def test_names_of_columns(first, below, expected):
    assert dialects.has_header(first, below) is expected


@pytest.mark.parametrize("wrong", ["2O", "l.5", "O", "1.5.2", "unknown", "1_000", "--5", "1;5"])
def test_a_wrong_cell_in_the_first_row_makes_no_names(wrong):
    for width in (2, 3, 6):
        for column in range(width):
            first, *others = rest(width, seed=column)
            first[column] = wrong
            with pytest.raises(ValueError, match=f"column {column} is '{wrong}' where other rows have numbers"):
                dialects.has_header(first, others)


def test_a_first_row_full_of_mistakes_makes_no_names():
    with pytest.raises(ValueError, match="column 0 is '2O'"):
        dialects.has_header(["2O", "l.5", "O"], rest(3))
    with pytest.raises(ValueError, match="column 0 is '2O'"):
        dialects.has_header(["2O", "l.5", "7"], rest(3))


@pytest.mark.parametrize(
    ("cell", "hint"),
    [("1,5", "decimal=comma"), ("1,234.5", "thousands"), ("-inf", "infinite"), ("12%", "units"), ("red", "^$")],
)
def test_hints(cell, hint):
    import re

    assert re.search(hint, dialects.why_no_number(cell))
