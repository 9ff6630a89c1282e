"""Checks of arguments: a value of the right type and range, or an error that names it.

The error names the argument, shows the value and says what was expected: a ValueError
where a number, a string or the like was, a TypeError where an object of some class was.
NumPy's numbers count as numbers, booleans do not.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_MOST_SHOWN = 80


def shown(value: object) -> str:
    """The value as code, on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def _range(least: float | None, most: float | None) -> str:
    if most is not None:
        return f" from {least} to {most}" if least is not None else f" of at most {most}"
    return f" of at least {least}" if least is not None else ""


def is_integer(value: object) -> bool:
    """Whether it is a whole number by its type, of Python or NumPy; booleans are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """An integer as Python's.

    Args:
      name: of the argument.
      value: what was given.
      least, most: limits, both allowed.

    Raises:
      ValueError: no integer, or out of range.
    """
    if not is_integer(value):
        raise ValueError(f"{name}={shown(value)}: expected an integer{_range(least, most)}")
    if (least is not None and value < least) or (most is not None and value > most):
        raise ValueError(f"{name}={shown(value)}: expected an integer{_range(least, most)}")
    return operator.index(value)


def number(name: str, value: Any, expected: str = "a number", accepts=lambda value: not math.isnan(value)) -> float:
    """A real number as a float.

    Args:
      name: of the argument.
      value: what was given.
      expected: which numbers are right, in words.
      accepts: whether a number is one of them.

    Raises:
      ValueError: no number, or a number that is not accepted, or too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name}={shown(value)}: expected {expected}")
    try:
        converted = float(value)
    except OverflowError:
        raise ValueError(f"{name}={shown(value)}: expected {expected}, below 1.8e308") from None
    if not accepts(converted):
        raise ValueError(f"{name}={shown(value)}: expected {expected}")
    return converted


def real_array(name: str, value: Any) -> np.ndarray:
    """Numbers as a new float64 array of the same shape.

    Raises:
      ValueError: words, dates, complex numbers, masked values, or rows of different lengths.
    """
    expected = f"{name}: expected an array of numbers"
    for part in value if isinstance(value, (list, tuple)) else (value,):
        if np.ma.is_masked(part):
            raise ValueError(f"{expected}, found masked values: fill them, or leave them out")
    try:
        array = np.asarray(value)
        odd = array.dtype.kind not in "fiub" and not (
            array.dtype.kind == "O" and all(isinstance(item, numbers.Real) for item in array.flat)
        )
        if not odd:
            return np.array(array, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected} ({error})") from error
    first = shown(array.flat[0].item() if array.dtype.kind != "O" else array.flat[0]) if array.size else "none"
    raise ValueError(f"{expected}, found {array.dtype}, such as {first}")


def boolean(name: str, value: Any) -> bool:
    """True or False.

    Raises:
      ValueError: anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={shown(value)}: expected True or False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """A string.

    Raises:
      ValueError: anything else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name}={shown(value)}: expected a string")
    return value


def one_of(name: str, value: Any, choices: Collection[str], or_else: str = "") -> str:
    """One of some strings.

    Args:
      name: of the argument.
      value: what was given.
      choices: the strings.
      or_else: words on what else would do, for the message.

    Raises:
      ValueError: no string, or another one.
    """
    expected = f"expected one of {', '.join(map(repr, choices))}{or_else}"
    if not isinstance(value, str):
        raise ValueError(f"{name}={shown(value)}: {expected}")
    if value not in choices:
        raise ValueError(f"{name}={shown(value)}: {expected}")
    return value


def instance(name: str, value: Any, kind: type[T], example: str = "") -> T:
    """A value of a class.

    Args:
      name: of the argument.
      value: what was given.
      kind: the class.
      example: how one is made, for the message.

    Raises:
      TypeError: of another class.
    """
    if not isinstance(value, kind):
        made = f", as in {example}" if example else ""
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name}={shown(value)}: expected {article} {kind.__name__}{made}")
    return value


def sequence(name: str, value: Any, expected: str) -> tuple:
    """The items of a list, tuple or array; a string is none.

    Raises:
      ValueError: nothing with items.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValueError(f"{name}={shown(value)}: expected {expected}")
    return tuple(value)
