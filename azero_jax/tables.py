"""Tables in text files, as spreadsheets, databases and other programs write them: `read_table`.

The file is read once, a row at a time; numbers go into one array, and only cells that are
no numbers are kept as text. What the cells mean is up to `columns`.
"""

from __future__ import annotations

import array
import codecs
import contextlib
import csv
import dataclasses
import itertools
import os
import pathlib
import re
import stat
from collections.abc import Iterator, Sequence

import numpy as np

from azero_jax import dialects
from azero_jax.execution import bytes_in_words, require_memory
from azero_jax.notices import counted, shortened

_MOST_COLUMNS = 100_000
_LONGEST_LINE = 64_000_000
_MOST_TEXTS = 20_000_000
_FEW_COLUMNS = 50
_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 1_000_000

# `float` reads more than tables mean: 1_000, nan, inf, digits of other scripts.
_READ_BY_FLOAT_ONLY = re.compile(r"[_nN]|[^\x00-\x7f]")

# A first line that tells Excel what separates the cells.
_EXCEL_SEPARATOR = re.compile(r'"?sep=.?"?\s*', re.I)

# Files that are not text, by their first bytes.
_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip file: expected text, unpack it first",
    b"PK\x03\x04": "a zip file or a spreadsheet (.xlsx): expected text, save it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls): expected text, save it as CSV",
    b"PAR1": "a Parquet file: expected text, save it as CSV",
    b"\x89HDF": "an HDF5 file: expected text, save it as CSV",
    b"\x93NUMPY": "a NumPy array: expected text; dataset=npz reads .npz files with features and labels",
    b"%PDF": "a PDF: expected text",
    b"SQLite": "a database: expected text, save the table as CSV",
}
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """How a table is to be read, where that is not to be found out.

    Attributes:
      separator: "auto" or a name of `dialects.SEPARATORS`.
      decimal: "point" or "comma", in numbers.
      header: whether the first row holds names, "yes" or "no"; "auto" decides by the columns.
      encoding: "auto" is UTF-8, or UTF-16 with a byte-order mark.

    Raises:
      ValueError: another value.
    """

    separator: str = "auto"
    decimal: str = "point"
    header: str = "auto"
    encoding: str = "auto"

    def __post_init__(self) -> None:
        for name, choices in (
            ("separator", ("auto", *dialects.SEPARATORS)),
            ("decimal", ("point", "comma")),
            ("header", ("auto", "yes", "no")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(choices)}")
        if self.encoding != "auto":
            try:
                "a".encode(self.encoding)
            except (LookupError, ValueError):
                raise ValueError(f"encoding={self.encoding!r}: expected one that Python knows, as latin-1") from None


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The cells of a table, n rows of C columns.

    Attributes:
      source: where it comes from, for messages.
      names: of the columns; empty strings for those that have none.
      values: float64 [n, C], NaN for cells that are no numbers.
      texts: for each column that has such cells, a dictionary from row to text; a cell that
        is NaN and has no text holds no value.
      lines: int64 [n], numbers of the rows in the source, from 1.
      row_word: what these numbers count, "line" or "row".
      separator: between cells; empty where there is none.
      notes: what was left out.
    """

    source: str
    names: tuple[str, ...]
    values: np.ndarray
    texts: dict[int, dict[int, str]]
    lines: np.ndarray
    row_word: str = "line"
    separator: str = ""
    notes: tuple[str, ...] = ()

    def column(self, index: int) -> str:
        """A column's name for messages: its own, or its position."""
        return f"column {shortened(self.names[index])!r}" if self.names[index] else f"column {index}"

    def where(self, row: int, index: int | None = None) -> str:
        """The place of a row or cell, for messages."""
        place = f"{self.source}: {self.row_word} {self.lines[row]}"
        return place if index is None else f"{place}, {self.column(index)}"


def check_file(path: pathlib.Path, expected: str) -> int:
    """Refuses what cannot be read to an end: directories, pipes and devices.

    Args:
      path: of a file.
      expected: what it should be.

    Returns:
      Its size in bytes.

    Raises:
      ValueError: it is no regular file.
      OSError: there is nothing, or it must not be looked at.
    """
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
    raise ValueError(f"{path}: is {kind}: expected {expected}")


class _Lines(Iterator[str]):
    """Lines of a file for `csv`, without comments and blank lines, but for those within quotes.

    Attributes:
      number: of the last line given, from 1.
      row_number: of the line that its row began with.
      begins_row: to be set before each row is asked for.
      comments: lines left out as comments.
    """

    def __init__(self, path: pathlib.Path, encoding: str):
        self._path = path
        self._encoding = encoding
        self._file = open(path, encoding=encoding, newline="")  # noqa: SIM115
        self.number = 0
        self.row_number = 0
        self.begins_row = True
        self.comments = 0

    def __next__(self) -> str:
        while True:
            try:
                line = self._file.readline(_LONGEST_LINE)
            except UnicodeDecodeError as error:
                raise ValueError(self._undecodable(error)) from None
            except UnicodeError as error:
                raise ValueError(f"{self._path}: not {self._encoding} ({error})") from None
            if not line:
                raise StopIteration
            self.number += 1
            if len(line) == _LONGEST_LINE:
                raise ValueError(f"{self._path}: line {self.number} has more than {_LONGEST_LINE:,} characters")
            if "\0" in line:
                raise ValueError(f"{self._path}: line {self.number} holds a NUL byte: expected text")
            if not self.begins_row:
                return line
            start = line.lstrip()
            if not start:
                continue
            if start[0] in "#%" or (self.number == 1 and _EXCEL_SEPARATOR.fullmatch(line)):
                self.comments += 1
                continue
            self.begins_row = False
            self.row_number = self.number
            return line

    def close(self) -> None:
        self._file.close()

    def _undecodable(self, error: UnicodeDecodeError) -> str:
        if not self._encoding.startswith("utf-8"):
            return f"{self._path}: after line {self.number}: not {self._encoding} ({error.reason})"
        byte = error.object[error.start]
        return (
            f"{self._path}: {self._line_that_is_not_utf8()}byte {byte:#04x} is not UTF-8: encoding=latin-1 or "
            "encoding=cp1252 reads files of older Windows programs"
        )

    def _line_that_is_not_utf8(self) -> str:
        # Text is decoded in blocks, long before its lines are asked for.
        with open(self._path, "rb") as file:
            number = 1
            while line := file.readline(_LONGEST_LINE):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return f"line {number}: "
                number += 1
        return ""


def read_table(path: pathlib.Path, how: TableFormat = TableFormat()) -> Table:
    """Reads a table.

    Args:
      path: of a text file; blank lines and those that begin with # or % are left out.
      how: what is known of its form.

    Raises:
      ValueError: not text, rows of different lengths, a first row that can be names as well
        as a mistake, no rows, or more than memory holds; the message names file and line.
      OSError: it cannot be read.
    """
    size = check_file(path, "a text file with a table")
    encoding = encoding_of(path, how.encoding)
    sample = _sample(path, encoding)
    _check_first_line(path, sample)
    separator = dialects.SEPARATORS.get(how.separator) or dialects.find_separator(sample)
    _check_memory(path, size, sample, separator)
    reading = _Reading(path, separator, "," if how.decimal == "comma" else ".")
    lines = _Lines(path, encoding)
    try:
        for first_line, row in _rows(path, lines, separator):
            reading.add(first_line, row)
    finally:
        lines.close()
    return reading.table(how.header, lines.comments)


def encoding_of(path: pathlib.Path, asked: str = "auto") -> str:
    """The encoding of a text file, by its first bytes.

    Raises:
      ValueError: it is empty, or no text.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(4096)
    if not start:
        raise ValueError(f"{path}: no rows: the file is empty: expected a table with a label in each row")
    for magic, words in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise ValueError(f"{path}: is {words}")
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
    found_out = asked == "auto" or (marked is not None and codecs.lookup(asked).name == "utf-8")
    encoding = (marked or "utf-8") if found_out else asked
    if b"\0" in start and "16" not in encoding and "32" not in encoding:
        raise ValueError(
            f"{path}: holds a NUL byte at {start.index(0)}: expected text, in UTF-8 or with encoding=, as in "
            f"encoding=utf-16-{'le' if start.index(0) % 2 else 'be'}"
        )
    return encoding


def _check_first_line(path: pathlib.Path, sample: Sequence[str]) -> None:
    first = sample[0] if sample else ""
    if first.lstrip().lower().startswith("@relation"):
        raise ValueError(
            f"{path}: is an ARFF file: expected rows, and perhaps a row of names: put % before the lines that begin "
            "with @"
        )
    separators = max(map(first.count, dialects.SEPARATORS.values()))
    if separators >= _MOST_COLUMNS:
        raise ValueError(f"{path}: {separators + 1:,} columns: expected at most {_MOST_COLUMNS:,}")


def _check_memory(path: pathlib.Path, size: int, sample: Sequence[str], separator: str) -> None:
    """Refuses a file that has more cells than memory holds, judged by its first lines."""
    cells = sum(line.count(separator) + 1 for line in sample)
    # Eight bytes for a cell, and two copies on the way to tasks.
    require_memory(3 * 8 * cells * size / max(1, sum(map(len, sample))), f"{path}: {bytes_in_words(size)} of text")


def _sample(path: pathlib.Path, encoding: str) -> list[str]:
    lines = _Lines(path, encoding)
    sample: list[str] = []
    characters = 0
    try:
        while len(sample) < _SAMPLE_LINES and characters < _SAMPLE_CHARACTERS:
            lines.begins_row = True
            sample.append(next(lines))
            characters += len(sample[-1])
    except StopIteration:
        pass
    finally:
        lines.close()
    return sample


def _rows(path: pathlib.Path, lines: _Lines, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, cells) of each row."""
    reader = dialects.split_rows(lines, separator, strict=True)
    while True:
        lines.begins_row = True
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}: line {lines.row_number}: {error}: expected quotes around whole cells, each closed"
            ) from None
        yield lines.row_number, row


class _Reading:
    """A table as far as it was read: numbers in one array, other cells as text."""

    def __init__(self, path: pathlib.Path, separator: str, decimal: str):
        self._path = path
        self._separator = separator
        self._decimal = decimal
        self._values = array.array("d")
        self._lines = array.array("q")
        self._texts: dict[int, dict[int, str]] = {}
        self._first: list[str] = []
        self._first_line = 0
        self._sample: list[list[str]] = []
        self._width = 0
        self._empty_rows = 0
        self._strings: dict[str, str] = {}
        self._num_texts = 0

    def add(self, line: int, row: list[str]) -> None:
        """Takes the next row, whose first line is given."""
        if not any(cell.strip() for cell in row):
            self._empty_rows += 1
            return
        if not self._first:
            self._first, self._first_line = row, line
            return
        if not self._width:
            # A row of names may lack one: that of the names of rows.
            lacks_one = len(row) == len(self._first) + 1 and not any(map(dialects.is_number, self._first))
            self._width = len(self._first) + lacks_one
        if len(row) != self._width:
            raise ValueError(
                f"{self._path}: line {line}: {len(row)} columns: expected {self._width}, as in the rows before"
            )
        if len(self._sample) < max(2, min(_SAMPLE_LINES, _SAMPLE_CHARACTERS // self._width)):
            self._sample.append(row)
        self._append(line, row)

    def _append(self, line: int, row: list[str]) -> None:
        start = len(self._values)
        self._lines.append(line)
        # Columns of words are looked at cell by cell, the others at once if they are numbers.
        words = [index for index in self._texts if index < len(row)] if len(self._texts) <= _FEW_COLUMNS else []
        numbers = row.copy()
        for index in words:
            numbers[index] = "0"
        if self._decimal == "." and not _READ_BY_FLOAT_ONLY.search("".join(numbers)):
            with contextlib.suppress(ValueError):  # looked at cell by cell below
                self._values.fromlist(list(map(float, numbers)))
        if len(self._values) == start:
            self._values.extend([0.0] * len(row))
            words = list(range(len(row)))
        for index in words:
            self._values[start + index] = self._value(index, row[index].strip())

    def _value(self, index: int, cell: str) -> float:
        """The number in a cell of the last row; NaN, and a note of its text, if there is none."""
        if dialects.is_number(cell, self._decimal):
            return float(cell.replace(",", "."))
        if not dialects.is_missing(cell):
            self._num_texts += 1
            if self._num_texts > _MOST_TEXTS:
                raise ValueError(f"{self._path}: more than {_MOST_TEXTS:,} cells are text: expected mostly numbers")
            # Words come again and again: each is kept once.
            self._texts.setdefault(index, {})[len(self._lines) - 1] = self._strings.setdefault(cell, cell)
        return np.nan

    def table(self, header: str, comments: int) -> Table:
        """What was read, with a decision on the first row."""
        if not self._first:
            left_out = f": {comments} lines begin with # or %, which makes them comments" if comments else ""
            raise ValueError(f"{self._path}: no rows{left_out}: expected a table with a label in each row")
        notes = [counted(comments, "comment line")] * (comments > 0) + [counted(self._empty_rows, "empty row")] * (
            self._empty_rows > 0
        )
        width = self._width or len(self._first)
        names = [""] * width
        lacks_one, names_of_rows = len(self._first) == width - 1, False
        if lacks_one or header == "yes" or (header == "auto" and self._finds_names()):
            if header == "no":
                raise ValueError(
                    f"{self._path}: line {self._first_line}: {len(self._first)} columns: expected {width}, "
                    "as in the rows below"
                )
            names = [cell.strip() for cell in self._first]
            names_of_rows = lacks_one and not self._is_empty(width - 1)
            if names_of_rows and not self._names_rows():
                raise ValueError(
                    f"{self._path}: line {self._first_line}: {len(names)} names of columns: expected {width}, as in "
                    "the rows below"
                )
            if lacks_one:
                names = ["", *names] if names_of_rows else [*names, ""]
        else:
            self._prepend(width)
        if not self._lines:
            raise ValueError(
                f"{self._path}: no rows: line {self._first_line} holds names of columns, expected rows below; "
                "header=no if it is data"
            )
        values = np.frombuffer(self._values, np.float64).reshape(-1, width)
        table = Table(
            str(self._path),
            tuple(names),
            values,
            self._texts,
            np.array(self._lines, np.int64),
            separator=self._separator,
            notes=tuple(notes),
        )
        return _without_extra_column(table, names_of_rows)

    def _finds_names(self) -> bool:
        try:
            return dialects.has_header(self._first, self._sample)
        except ValueError as error:
            raise ValueError(f"{self._path}: line {self._first_line}: {error}") from None

    def _is_empty(self, index: int) -> bool:
        return index not in self._texts and bool(np.isnan(self._values[index :: self._width]).all())

    def _names_rows(self) -> bool:
        """Whether the first column is as R writes names of rows: text, or numbers of rows."""
        first = np.array(self._values[0 :: self._width])
        rest = np.delete(first, list(self._texts.get(0, {})))
        return bool(np.all(rest == np.floor(rest))) and len(np.unique(rest)) == len(rest)

    def _prepend(self, width: int) -> None:
        """Puts the first row, which is data, where it belongs."""
        others = self._values, self._lines, self._texts
        self._values, self._lines, self._texts = array.array("d"), array.array("q"), {}
        self._append(self._first_line, self._first)
        self._values.extend(others[0])
        self._lines.extend(others[1])
        for index, cells in others[2].items():
            self._texts.setdefault(index, {}).update((row + 1, cell) for row, cell in cells.items())


def _without_extra_column(table: Table, names_of_rows: bool) -> Table:
    """The table without a last column that only a separator at the end of each line makes, or R's names of rows."""
    last = table.values.shape[1] - 1
    empty = not table.names[last] and last not in table.texts and bool(np.isnan(table.values[:, last]).all())
    if empty and last > 0:
        return select(table, range(last), "the empty last column")
    if names_of_rows:
        return select(table, range(1, last + 1), "the names of the rows")
    return table


def select(table: Table, kept: range | list[int], left_out: str = "") -> Table:
    """A table of some of the columns, in the order given, with a note on what is left out."""
    texts = {new: table.texts[old] for new, old in enumerate(kept) if old in table.texts}
    return dataclasses.replace(
        table,
        names=tuple(table.names[index] for index in kept),
        values=table.values[:, list(kept)],
        texts=texts,
        notes=(*table.notes, left_out) if left_out else table.notes,
    )


def first_cells(table: Table, index: int, count: int = 3) -> list[str]:
    """The first different texts of a column."""
    return list(itertools.islice(dict.fromkeys(table.texts.get(index, {}).values()), count))
