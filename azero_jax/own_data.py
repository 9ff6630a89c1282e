"""From a user's table to the flags of a search: tasks for search, selection and the final score.

    azero evolve --data=mine.csv --label=price

is short for flags that `flags_for` writes. A fifth of the rows is kept for the final score;
search and selection divide the others anew for each task. The search space is that of
`own_data.flags`, and flags that are given win.
"""

from __future__ import annotations

import os

from azero_jax import datasets, objectives
from azero_jax.datasets import Source

FLAGFILE = "own_data"
_FEWEST_ROWS = 20
# Parts of the rows that a task trains and validates on, a little less than what is divided.
_TRAIN, _VALID = 0.55, 0.18
_MOST_TRAIN, _MOST_VALID = 1000, 300
# Small tables are gone through more often, until a program has had so many examples.
_EXAMPLES, _MOST_EPOCHS = 500, 10
# With more, matrices take most of the time: features are projected.
_MOST_FEATURES, _PROJECTED = 32, 16


def source_of(data: str, **fields: str) -> Source:
    """Where data comes from.

    Args:
      data: a table, an .npz file, or the name of a set that needs no file.
      fields: of `datasets.Source`.

    Raises:
      ValueError: a field that is wrong, or is of tables and data is none.
    """
    if not os.path.exists(os.path.expanduser(data)) and datasets.is_bundled(data):
        return Source(data, **fields)
    return Source("npz" if data.endswith(".npz") else "csv", data, **fields)


def flags_for(source: Source, kind: str = "auto", loss: str = "") -> list[str]:
    """The flags of a search on data.

    Args:
      source: the data.
      kind: "classes", "numbers", or "auto" for what labels look like.
      loss: its name, or the usual one of such labels.

    Raises:
      ValueError: data that cannot be read, or are too few rows, or a loss of other labels.
      OSError: a file is missing.
    """
    objective = objectives.named(loss) if loss else None
    dataset = datasets.load_source(source, kind)
    usual = objectives.usual(dataset.num_classes)
    objective = (objective or usual).for_labels(dataset.num_classes)
    rows, features = dataset.train.features.shape
    if rows < _FEWEST_ROWS:
        raise ValueError(f"data={source.path or source.dataset}: {rows} rows: expected at least {_FEWEST_ROWS}")
    num_train, num_valid = _num_train(rows), min(int(_VALID * rows), _MOST_VALID)
    sizes = (
        f"{_of_source(source)},features_size={features_size(features, dataset.num_classes)},"
        f"num_train_examples={num_train},num_valid_examples={num_valid},num_train_epochs={_num_epochs(num_train)}"
        f"{'' if objective is usual else f',loss={objective.name}'}"
    )
    generator = {0: "dataset_regression", 2: "projected_binary_classification"}.get(
        dataset.num_classes, "projected_multiclass_classification"
    )
    flags = [
        f"--search_tasks={generator}:{sizes},num_tasks=8,data_seeds=1,param_seeds=1",
        f"--select_tasks={generator}:{sizes},num_tasks=16,data_seeds=1001,param_seeds=1001",
        f"--final_tasks={generator}:{sizes},num_tasks=16,data_seeds=2001,param_seeds=2001,test=true",
    ]
    if dataset.num_classes:
        flags.append("--final_baseline=logistic_regression")
    # Searches of this length find a classifier from nothing, not a regression.
    if dataset.num_classes != 2:
        start = "softmax_regression" if dataset.num_classes else "linear"
        flags.append(f"--initial_population={start}")
    return flags


def features_size(columns: int, num_classes: int) -> int:
    """Features that programs see of so many columns of data; 0 where they are the columns themselves."""
    size = 0 if columns <= _MOST_FEATURES else _PROJECTED
    # Vectors hold a number for each class.
    return num_classes if num_classes > 2 and (size or columns) < num_classes else size


def examples_seen(rows: int) -> int:
    """Training examples that a program sees in a task, over all epochs, of a table of so many rows."""
    return _num_train(rows) * _num_epochs(_num_train(rows))


def _num_train(rows: int) -> int:
    return max(1, min(int(_TRAIN * rows), _MOST_TRAIN))


def _num_epochs(num_train: int) -> int:
    return max(1, min(_MOST_EPOCHS, _EXAMPLES // num_train))


def _of_source(source: Source) -> str:
    """The parameters of a specification that name the data."""
    values = {name: getattr(source, name) for name in datasets.SOURCE_FIELDS}
    defaults = {name: getattr(Source(), name) for name in values} | {"dataset": ""}
    if source.path:
        values["path"] = os.path.abspath(os.path.expanduser(source.path))
    return ",".join(f"{name}={_quoted(name, value)}" for name, value in values.items() if value != defaults[name])


def _quoted(name: str, value: str) -> str:
    if '"' in value:
        raise ValueError(f"{name}={value}: holds a quotation mark, which the specification of tasks has no place for")
    return f'"{value}"' if "," in value or value != value.strip() else value
