"""What the columns of a table mean: which is the label, which are features, what its classes are.

Nothing is guessed in silence: `Examples.description` says what was understood, and what
cannot be used is an error that names the column, the row and the way out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from azero_jax import dialects, tables
from azero_jax.notices import counted, shortened
from azero_jax.tables import Table

KINDS = ("auto", "classes", "numbers")

_MOST_CLASSES = 1000
_LARGEST = 1e100  # squares of larger numbers overflow
_LARGEST_WHOLE = 2.0**53  # larger whole numbers are not told apart
_UNNAMED = ("", "unnamed: 0", "unnamed: 0.1")


@dataclasses.dataclass(frozen=True)
class ColumnChoice:
    """Which columns of a table are used, and how.

    Attributes:
      label: name or position of the column of labels; positions count from 0, negative ones
        from the end.
      drop: names or positions of columns to leave out.
      missing: what happens to rows with cells that hold no value: "refuse"; "mean", the
        column's mean over all rows stands there; or "drop", the row is left out.

    Raises:
      ValueError: another value of missing.
    """

    label: str = "-1"
    drop: tuple[str, ...] = ()
    missing: str = "refuse"

    def __post_init__(self) -> None:
        if self.missing not in ("refuse", "mean", "drop"):
            raise ValueError(f"missing={self.missing!r}: expected one of refuse, mean, drop")


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Features and labels.

    Attributes:
      features: float64 [n, C].
      labels: int64 [n], indices of class_names; float64 [n] if there are no classes.
      class_names: of the classes: numbers in their order, else words in alphabetical order.
      feature_names: C of them, empty strings for columns without names.
      description: a line that says what they are.
    """

    features: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    description: str


def examples_of(table: Table, choice: ColumnChoice = ColumnChoice(), kind: str = "auto") -> Examples:
    """Takes features and labels from a table.

    Args:
      table: any.
      choice: of columns.
      kind: "classes", "numbers" for regression, or "auto": classes if labels are words or
        few whole numbers.

    Raises:
      ValueError: columns that are not there, words as features, missing values, labels of
        another kind.
    """
    label = _position(table, choice.label, "label")
    dropped = [_position(table, column, "drop") for column in choice.drop]
    if label in dropped:
        raise ValueError(
            f"drop={choice.drop[dropped.index(label)]}: {table.source}: {table.column(label)} is the label"
        )
    notes = []
    for index in dropped:
        notes.append(table.column(index))
    index_column = _index_column(table)
    if index_column is not None and index_column not in (label, *dropped):
        notes.append(f"{table.column(index_column)}, which numbers the rows")
        dropped.append(index_column)
    kept = [index for index in range(table.values.shape[1]) if index not in set(dropped)]
    label = kept.index(label)
    table = dataclasses.replace(tables.select(table, kept), notes=(*table.notes, *notes))
    features = [index for index in range(len(kept)) if index != label]
    if not features:
        separator = _separator_name(table)
        raise ValueError(
            f"{table.source}: one column only{f', separated by {separator}' if separator else ''}: expected features "
            f"and a label, separated by one of {', '.join(dialects.SEPARATORS)}; separator= says by which"
        )
    table, truths = _truths_as_numbers(table, features)
    table, filled = _without_missing(table, label, features, choice.missing)
    _refuse_words(table, features)
    _refuse_large(table, [*features, label])
    labels, names = _labels(table, label, kind)
    values = table.values[:, features]
    sentences = [_size(table, values), f"label {table.column(label)}: {labels_in_words(labels, names)}"]
    if table.separator:
        sentences.append(f"separated by {_separator_name(table)}, {_names_in_words(table)}")
    if table.notes:
        sentences.append("left out: " + ", ".join(shortened(note) for note in table.notes[:8]))
    sentences += [*truths, *filled, *_hints(table, features)]
    return Examples(
        values,
        labels,
        names,
        tuple(table.names[index] for index in features),
        f"{table.source}: " + "; ".join(sentences),
    )


def encode(labels: np.ndarray, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers classes by the order of their different labels.

    Args:
      labels: numbers or words [n].
      source: of them, for messages.

    Returns:
      Indices int64 [n], and the name of each class.

    Raises:
      ValueError: labels that are no classes: not whole, too large or too many.
    """
    different, indices = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "fiub":
        numbers = different.astype(np.float64)
        broken = np.flatnonzero(numbers != np.floor(numbers))
        if len(broken):
            raise ValueError(
                f"{source}: its labels are numbers, {different[broken[0]]} among them: expected classes; "
                "dataset_regression takes numbers"
            )
        if np.abs(numbers).max() > _LARGEST_WHOLE:
            raise ValueError(
                f"{source}: its labels are numbers as large as {different[np.abs(numbers).argmax()]:.17g}: expected "
                "classes; dataset_regression takes numbers"
            )
        names = tuple(str(int(number)) for number in numbers)
    else:
        names = tuple(str(word) for word in different)
        lower: dict[str, str] = {}
        for name in names:
            other = lower.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(f"{source}: classes {shortened(other)!r} and {shortened(name)!r} differ in case only")
    if len(names) > _MOST_CLASSES or (len(names) > 2 and len(labels) < 2 * len(names)):
        raise ValueError(
            f"{source}: {len(names):,} different labels in {len(labels):,} rows ({_listed(names)}): expected classes, "
            f"at most {_MOST_CLASSES:,} and each with some rows; if they are quantities, dataset_regression takes "
            "them, else label= names another column"
        )
    return indices.reshape(-1).astype(np.int64), names


def table_of(features: object, labels: object, source: str = "data") -> Table:
    """A table of what programs have: arrays, lists, or frames and series of pandas; labels are the last column.

    Args:
      features: [n, C]; a frame's names of columns become the table's.
      labels: [n].
      source: for messages.

    Raises:
      ValueError: other shapes, or values that are neither numbers nor words.
    """
    columns, names = _as_columns(features, f"{source}: features")
    (label,), (label_name,) = _as_columns(_one_column(labels, f"{source}: labels"), f"{source}: labels")
    if any(len(column) != len(label) for column in columns):
        raise ValueError(f"{source}: {len(columns[0])} rows of features and {len(label)} labels: expected as many")
    if not len(label) or not columns:
        raise ValueError(f"{source}: no rows or no columns: expected at least one")
    values = np.empty((len(label), len(columns) + 1))
    texts: dict[int, dict[int, str]] = {}
    for index, (column, name) in enumerate(zip([*columns, label], [*names, label_name])):
        where = f"{source}: column {shortened(name)!r}" if name else f"{source}: column {index}"
        values[:, index], words = _numbers_and_words(column, where)
        if words:
            texts[index] = words
    return Table(source, (*names, label_name), values, texts, np.arange(len(label)), row_word="row")


def _one_column(labels: object, source: str) -> object:
    if hasattr(labels, "columns") and hasattr(labels, "iloc"):
        if len(labels.columns) != 1:
            raise ValueError(f"{source}: a frame of {len(labels.columns)} columns: expected one, or a series")
        return labels
    if hasattr(labels, "to_numpy"):
        return labels.to_frame()  # type: ignore[attr-defined]
    array = np.ma.asarray(labels) if np.ma.isMaskedArray(labels) else np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{source}: shape {array.shape}: expected [n]")
    return array[:, None]


def _as_columns(features: object, source: str) -> tuple[list, list[str]]:
    """The columns of a frame or a matrix, and their names."""
    if hasattr(features, "columns") and hasattr(features, "iloc"):
        names = ["" if isinstance(name, int) else str(name) for name in features.columns]
        return [features.iloc[:, index] for index in range(len(names))], names
    try:
        array = np.ma.asarray(features) if np.ma.isMaskedArray(features) else np.asarray(features)
    except ValueError as error:
        raise ValueError(f"{source}: expected rows of equal lengths ({error})") from error
    if array.ndim != 2:
        raise ValueError(f"{source}: shape {array.shape}: expected [n, columns]")
    return list(array.T), [""] * array.shape[1]


def _numbers_and_words(column, source: str) -> tuple[np.ndarray, dict[int, str]]:
    """float64 [n] with NaN where there is no number, and the words there are."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "mMcV":
        raise ValueError(f"{source}: values of type {column.dtype}: expected numbers")
    if kind in "fiub" and isinstance(column, np.ndarray):
        masked = np.ma.getmaskarray(column)
        return np.where(masked, np.nan, np.ma.getdata(column).astype(np.float64)), {}
    if kind in "fiub":  # pandas, perhaps with its own marks of missing values
        return column.to_numpy(np.float64, na_value=np.nan), {}
    numbers, words = np.full(len(column), np.nan), {}
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, (bool, np.bool_)):
            words[row] = str(cell)
        elif isinstance(cell, (int, float, np.integer, np.floating)):
            try:
                numbers[row] = cell
            except OverflowError:
                raise ValueError(f"{source}: row {row}: an integer larger than any float") from None
        elif isinstance(cell, str) and not dialects.is_missing(cell):
            words[row] = cell.strip()
        elif not (cell is None or isinstance(cell, str) or type(cell).__name__ in ("NAType", "NaTType")):
            raise ValueError(f"{source}: row {row} is a {type(cell).__name__}: expected a number or a word")
    return numbers, words


def _position(table: Table, column: str, parameter: str) -> int:
    """The position of a column that was asked for by name or position; names come first."""
    width = table.values.shape[1]
    found = [index for index, name in enumerate(table.names) if name == column]
    found = found or [index for index, name in enumerate(table.names) if name.lower() == column.lower() != ""]
    if len(found) > 1:
        positions = " and ".join(map(str, found))
        raise ValueError(
            f"{parameter}={column}: {table.source}: columns {positions} have that name: expected a position"
        )
    if found:
        return found[0]
    try:
        position = int(column)
    except ValueError:
        position = width
    if not -width <= position < width:
        named = [name for name in table.names if name]
        raise ValueError(
            f"{parameter}={shortened(column)}: {table.source} has no such column: expected a position from 0 to "
            f"{width - 1}, negative ones from the end" + (f", or one of {_listed(named)}" if named else "")
        )
    return position % width


def _index_column(table: Table) -> int | None:
    """The first column if it has no name, or that which pandas gives, among names, and numbers the rows."""
    if not any(table.names) or table.names[0].lower() not in _UNNAMED or 0 in table.texts:
        return None
    first = table.values[:, 0]
    whole = not np.isnan(first).any() and bool(np.all(first == np.floor(first)))
    return 0 if whole and len(np.unique(first)) == len(first) > 1 else None


def _truths_as_numbers(table: Table, features: Sequence[int]) -> tuple[Table, list[str]]:
    """Columns of nothing but True and False as 1 and 0."""
    values, texts = table.values, dict(table.texts)
    changed: list[str] = []
    for index in features:
        words = texts.get(index)
        if not words or not {word.lower() for word in words.values()} <= {"true", "false"}:
            continue
        if np.isfinite(values[:, index]).any():
            continue
        values = values.copy() if not changed else values
        for row, word in words.items():
            values[row, index] = word.lower() == "true"
        del texts[index]
        changed.append(table.column(index))
    said = [f"True is 1 and False 0 in {_listed(changed)}"] if changed else []
    return dataclasses.replace(table, values=values, texts=texts), said


def _without_missing(table: Table, label: int, features: Sequence[int], missing: str) -> tuple[Table, list[str]]:
    """The table after `ColumnChoice.missing`, and what was done."""
    empty = np.isnan(table.values)
    for index, words in table.texts.items():
        empty[list(words), index] = False
    if not empty.any():
        return table, []
    rows, count = np.flatnonzero(empty.any(axis=1)), int(empty.any(axis=1).sum())
    if missing == "drop":
        kept = np.flatnonzero(~empty.any(axis=1))
        if not len(kept):
            raise ValueError(
                f"{table.source}: every row lacks a value: expected some without gaps; missing=mean fills them"
            )
        new_rows = {int(row): new for new, row in enumerate(kept)}
        texts = {
            index: {new_rows[row]: word for row, word in words.items() if row in new_rows}
            for index, words in table.texts.items()
        }
        table = dataclasses.replace(table, values=table.values[kept], texts=texts, lines=table.lines[kept])
        return table, [f"{counted(count, 'row')} with missing values left out"]
    if empty[:, label].any():
        row = int(np.flatnonzero(empty[:, label])[0])
        raise ValueError(
            f"{table.where(row, label)}: the label is missing: expected one in each row; missing=drop leaves such "
            "rows out"
        )
    index = int(np.flatnonzero(empty[rows[0]])[0])
    if missing == "refuse":
        raise ValueError(
            f"{table.where(int(rows[0]), index)}: a value is missing, as in {count:,} of {len(empty):,} rows: "
            "missing=mean puts the column's mean there, missing=drop leaves such rows out"
        )
    gaps = np.flatnonzero(empty.any(axis=0))
    without = [int(index) for index in gaps if empty[:, index].all()]
    if without:
        raise ValueError(
            f"{table.source}: {table.column(without[0])} holds no value at all: "
            f"drop={table.names[without[0]] or without[0]} leaves it out"
        )
    values = table.values.copy()
    for index in map(int, gaps):
        if index not in table.texts:
            values[empty[:, index], index] = values[~empty[:, index], index].mean()
    number = counted(int(empty.sum()), "missing value")
    said = f"{number} in {counted(count, 'row')} replaced by the column's mean"
    return dataclasses.replace(table, values=values), [said]


def _refuse_words(table: Table, features: Sequence[int]) -> None:
    wordy = [index for index in features if table.texts.get(index)]
    for index in wordy:
        words = table.texts[index]
        if 2 * len(words) <= len(table.values):
            row = min(words)
            hint = dialects.why_no_number(words[row])
            raise ValueError(
                f"{table.where(row, index)}: {shortened(words[row])!r}: expected a number"
                + (f" ({hint})" if hint else "")
            )
    if wordy:
        index = wordy[0]
        examples = tables.first_cells(table, index)
        hint = next((hint for hint in map(dialects.why_no_number, examples) if hint), "")
        listed = ", ".join(
            f"{table.column(index)} ({shortened(tables.first_cells(table, index, 1)[0], 40)!r})" for index in wordy[:5]
        )
        more = f" and {len(wordy) - 5} more" if len(wordy) > 5 else ""
        drop = "+".join(table.names[index] or str(index) for index in wordy[:20])
        way_out = f"drop={drop} leaves it out, or label= if it is the label" if table.separator else "leave it out"
        raise ValueError(
            f"{table.source}: {listed}{more}: text, expected numbers as features"
            + (f" ({hint})" if hint else f"; {way_out}")
        )


def _refuse_large(table: Table, columns: Sequence[int]) -> None:
    with np.errstate(invalid="ignore"):
        large = np.abs(table.values) > _LARGEST
    if not large[:, columns].any():
        return
    row, index = (int(i) for i in np.argwhere(large)[0])
    raise ValueError(f"{table.where(row, index)}: {table.values[row, index]:g}: expected at most {_LARGEST:g} in size")


def _labels(table: Table, label: int, kind: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as `Examples` has them, and the names of classes."""
    words, numbers = table.texts.get(label, {}), table.values[:, label]
    source = f"{table.source}: label, {table.column(label)}"
    if kind == "numbers":
        if words:
            row = min(words)
            hint = dialects.why_no_number(words[row])
            raise ValueError(
                f"{table.where(row, label)}: label {shortened(words[row])!r}: expected numbers for regression"
                + (f" ({hint})" if hint else "; label= names another column")
            )
        return numbers.astype(np.float64), ()
    if not words:
        if kind == "auto":
            try:
                return encode(numbers, source)
            except ValueError:
                return numbers.astype(np.float64), ()
        return encode(numbers, source)
    if 20 * len(words) <= len(numbers):
        row = min(words)
        hint = dialects.why_no_number(words[row])
        raise ValueError(
            f"{table.where(row, label)}: label {shortened(words[row])!r}: expected a number, as in "
            f"{len(numbers) - len(words):,} other rows" + (f" ({hint})" if hint else "")
        )
    every = [words[row] if row in words else f"{numbers[row]:.17g}" for row in range(len(numbers))]
    return encode(np.array(every), source)


def _size(table: Table, values: np.ndarray) -> str:
    return f"{counted(len(values), 'row')}, {counted(values.shape[1], 'feature')}"


def labels_in_words(labels: np.ndarray, names: tuple[str, ...]) -> str:
    """Labels for people, as of `Examples`: how many of each class, or from where to where."""
    if not names:
        return f"numbers from {labels.min():g} to {labels.max():g}"
    counts = np.bincount(labels, minlength=len(names))
    listed = _listed([f"{shortened(name, 30)} ({count:,})" for name, count in zip(names, counts)], 10)
    return f"{counted(len(names), 'class')}: {listed}"


def _names_in_words(table: Table) -> str:
    return "names of columns in the first row" if any(table.names) else "no names of columns"


def _separator_name(table: Table) -> str:
    return next((name for name, character in dialects.SEPARATORS.items() if character == table.separator), "")


def _hints(table: Table, features: Sequence[int]) -> list[str]:
    """What looks as if it were no feature."""
    said = []
    constant = [index for index in features if np.ptp(table.values[:, index]) == 0]
    if constant and len(table.values) > 1:
        said.append(f"the same in all rows: {_listed([table.column(index) for index in constant], 3)}")
    first = features[0]
    if len(table.values) > 2 and table.values[0, first] in (0, 1) and np.all(np.diff(table.values[:, first]) == 1):
        said.append(f"{table.column(first)} counts the rows: drop={table.names[first] or first} leaves it out")
    return said


def _listed(words: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(shortened(word, 40) for word in words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most:,} more"
