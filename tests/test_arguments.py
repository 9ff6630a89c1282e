from __future__ import annotations

import numpy as np
import pytest

from azero_jax import arguments


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_python_and_numpy_are_integers(value):
    assert type(arguments.integer("size", value, 1, 9)) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, np.float64(3), float("nan"), [3]])
def test_nothing_else_is_an_integer(value):
    with pytest.raises(ValueError, match=r"^size=.*: expected an integer from 1 to 9$"):
        arguments.integer("size", value, 1, 9)


def test_numbers():
    assert arguments.number("share", np.float32(0.5)) == 0.5
    assert arguments.number("share", 2) == 2.0
    for value in ("0.5", None, True, 1j):
        with pytest.raises(ValueError, match=r"^share=.*: expected a number"):
            arguments.number("share", value)
    for value in (float("nan"), 10**400):
        with pytest.raises(ValueError, match=r"^share=.*: expected a number"):
            arguments.number("share", value)


def test_long_values_are_cut():
    with pytest.raises(ValueError) as error:
        arguments.integer("size", "x" * 10_000_000)
    assert len(str(error.value)) < 200
