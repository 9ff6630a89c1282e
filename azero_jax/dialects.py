"""How a table is written: what separates its cells, what is a number, whether its first row holds names.

All decisions are made from many rows, never from one cell, so that a mistyped cell is an
error that can be named and not a row less.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

# Those of a word in a task's specification, where some characters have a meaning of their own.
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "?", "null", "nil", "none", "missing", "-", "--", ".", "#value!")
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f]\d{3})+([,.]\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
# What only a hand that missed a key writes: digits, signs and the letters that look like digits.
_MISTYPED_NUMBER = re.compile(r"[\dOolIiSB.,;:'+\-eE ]*", re.ASCII)
_SPACES = re.compile(r"[ \t]+")
_YEAR = re.compile(r"(1[89]|20)\d\d", re.ASCII)


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in MISSING


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a finite number as tables have it: no "inf", no "1_000", no other script's digits."""
    cell = cell.strip()
    if decimal == ",":
        if "." in cell:
            return False
        cell = cell.replace(",", ".")
    return _NUMBER.fullmatch(cell) is not None


def why_no_number(cell: str) -> str:
    """A hint on a cell that was expected to be a number; empty where there is none to give."""
    cell = cell.strip()
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return "infinite values cannot be learned from"
    if _DECIMAL_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell):
        return "a decimal comma? decimal=comma reads it"
    if _THOUSANDS.fullmatch(cell):
        return (
            "separators of thousands are not read, since 1,234 may be 1.234: remove them; decimal=comma if it is that"
        )
    if cell.endswith("%") or cell[:1] in "$\u20ac\u00a3":
        return "units are not read: remove them"
    return ""


def find_separator(lines: Sequence[str], names: Sequence[str] = tuple(SEPARATORS)) -> str:
    """The character between the cells of some lines.

    Each candidate is tried on all of them; the best makes most lines equally long, and
    most cells numbers.

    Args:
      lines: the first of a table, without comments and blank ones; cells may be quoted.
      names: the candidates, of `SEPARATORS`.

    Returns:
      One of `SEPARATORS`' characters; a comma where no candidate divides anything.
    """
    best, best_score = ",", 0.0
    for separator in (SEPARATORS[name] for name in names):
        if not any(separator in line or (separator == " " and "\t" in line) for line in lines):
            continue
        try:
            rows = [row for row in split_rows(lines, separator) if row]
        except csv.Error:
            continue
        widths = [len(row) for row in rows]
        usual = max(set(widths), key=widths.count) if widths else 0
        if usual < 2:
            continue
        cells = [cell for row in rows for cell in row]
        numbers = sum(is_number(cell) or (separator != "," and is_number(cell, ",")) for cell in cells)
        score = widths.count(usual) / len(rows) * (1 + numbers / len(cells))
        if score > best_score * 1.001:
            best, best_score = separator, score
    return best


def split_rows(lines: Iterable[str], separator: str, *, strict: bool = False) -> Iterator[list[str]]:
    """Rows of cells from lines, which may end within a quoted cell.

    Args:
      lines: with their ends.
      separator: a character; runs of spaces and tabs count as one space.
      strict: whether quotes that are not closed are errors.

    Returns:
      An iterator, whose items may raise `csv.Error`.
    """
    if separator == " ":
        lines = (_SPACES.sub(" ", line).strip(" \r\n") + "\n" for line in lines)
    return csv.reader(lines, delimiter=separator, skipinitialspace=separator != " ", strict=strict)


def has_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds the names of the columns.

    It does if it is text where the columns below are numbers. One such cell beside numbers
    is more likely mistyped; names that are numbers count if they are years or in sequence.

    Args:
      first: cells of the first row.
      rest: further rows, for the kinds of columns; each as long as the first.

    Raises:
      ValueError: it can be either; the message names the cell.
    """
    first = [cell.strip() for cell in first]
    columns = [[row[i].strip() for row in rest] for i in range(len(first))]
    present = [i for i, cell in enumerate(first) if not is_missing(cell)]
    if not rest:
        return bool(present) and not any(_is_any_number(cell) for cell in first)
    numeric = {i for i, cells in enumerate(columns) if _mostly_numbers(cells)}
    numbers = [first[i] for i in present if i in numeric and _is_any_number(first[i])]
    texts = [i for i in present if i in numeric and not _is_any_number(first[i])]
    words = [i for i in present if i not in numeric]
    if any(first[i] in columns[i] for i in words) and not (len(texts) > 1 and not numbers):
        words_are_names = False  # what a column of words has again is one of its values
    else:
        words_are_names = all(_is_no_number(first[i]) for i in words)
    if not numeric:
        return words_are_names and len(set(first)) == len(first) == len(words)
    if not texts and not words and numbers == first:
        below = [cells[0] for cells in columns]
        long = len(first) >= 8 or (len(first) > 2 and all(map(_YEAR.fullmatch, first)))
        again = any(cell in cells for cell, cells in zip(first, columns)) and len(first) < 8
        return long and not again and _in_sequence(first) and not _in_steps(below)
    if not texts:
        repeated = all(len(set(columns[i])) < len(columns[i]) for i in words)
        return bool(words) and words_are_names and repeated and len(numbers) > 1 and _in_sequence(numbers)
    plain_words = [not _MISTYPED_NUMBER.fullmatch(first[i]) for i in texts]
    if words_are_names and not numbers and any(plain_words):
        return True
    if words_are_names and numbers and all(plain_words):
        if len(numbers) > 2 and _in_sequence(numbers):
            return True
        if all(_YEAR.fullmatch(number) for number in numbers) and len(set(numbers)) == len(numbers):
            return True
    hint = why_no_number(first[texts[0]])
    raise ValueError(
        f"column {texts[0]} is {first[texts[0]][:40]!r} where other rows have numbers"
        + (f" ({hint})" if hint else "")
        + ": a mistake, or names of columns? Mend it, or say header=yes or header=no"
    )


def _is_any_number(cell: str) -> bool:
    return is_number(cell) or is_number(cell, ",")


def _is_no_number(cell: str) -> bool:
    return not _is_any_number(cell)


def _mostly_numbers(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if not is_missing(cell)]
    return 2 * sum(map(_is_any_number, present)) > len(present)


def _in_steps(cells: Sequence[str]) -> bool:
    """Whether whole numbers go up by one."""
    if not all(re.fullmatch(r"\d{1,9}", cell, re.ASCII) for cell in cells):
        return False
    return [int(cells[0]) + i for i in range(len(cells))] == list(map(int, cells))


def _in_sequence(cells: Sequence[str]) -> bool:
    """Whether numbers are 0, 1, 2..., 1, 2, 3... or years one after the other."""
    return bool(cells[0] in ("0", "1") or _YEAR.fullmatch(cells[0])) and _in_steps(cells)
