"""Datasets: rows of numbers with labels, from files in their published formats or of the user's own.

    load("cifar10", "data/cifar-10-batches-py").train.features  # [50000, 3072]
    load("csv", "mine.csv").description

Nothing is downloaded: files are in a directory that the user names, or scikit-learn
contains them. A file that is missing, cut short or of another format is an error that
says which file, what was found and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable

import numpy as np

from azero_jax import archives, columns, tables
from azero_jax.columns import ColumnChoice
from azero_jax.execution import require_memory
from azero_jax.notices import did_you_mean, shortened
from azero_jax.tables import TableFormat, check_file


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Some examples.

    Attributes:
      features: [n, pixels or columns], as stored: uint8 for images, else float64.
      labels: int64 [n], classes from 0; float64 for regression.
    """

    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in named splits.

    Attributes:
      name: as in `DATASETS`.
      train: what may be trained and selected on.
      test: what is kept for the end; None where the source has no such split.
      num_classes: 0 for regression.
      class_names: of the classes, as the source has them; empty for regression.
      feature_names: of the features, empty strings for those without; empty where none has.
      description: a line that says what was found in a file of the user's own; else empty.
    """

    name: str
    train: Split
    test: Split | None
    num_classes: int
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if not self.class_names and self.num_classes:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.num_classes))))


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a dataset comes from, and how a table is read.

    Attributes:
      dataset: of `DATASETS`.
      path: the directory of its files, or the file for "npz" and "csv"; not for the sets
        that scikit-learn contains.
      label: name or position of the column of labels in a table, 0 the first, -1 the last.
      drop: names or positions of columns to leave out, joined by `+`.
      missing: "refuse", "mean" or "drop", for rows of a table that lack a value.
      separator, decimal, header, encoding: as of `tables.TableFormat`.
      split: "random", or "ordered" for rows in time: training comes before validation, and
        validation before test.
    """

    dataset: str = "digits"
    path: str = ""
    label: str = "-1"
    drop: str = ""
    missing: str = "refuse"
    separator: str = "auto"
    decimal: str = "point"
    header: str = "auto"
    encoding: str = "auto"
    split: str = "random"

    def __post_init__(self) -> None:
        if self.split not in ("random", "ordered"):
            raise ValueError(f"split={self.split!r}: expected random or ordered")
        for field in dataclasses.fields(Source):
            if self.dataset != "csv" and field.name in _OF_TABLES and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{field.name}={shortened(getattr(self, field.name))}: dataset {shortened(self.dataset)} is no "
                    "table: expected it with dataset=csv"
                )

    @property
    def format(self) -> TableFormat:
        """How a table is written."""
        return TableFormat(self.separator, self.decimal, self.header, self.encoding)

    @property
    def columns(self) -> ColumnChoice:
        """Which columns of a table are used."""
        return ColumnChoice(self.label, tuple(filter(None, self.drop.split("+"))), self.missing)


SOURCE_FIELDS = tuple(field.name for field in dataclasses.fields(Source))
_OF_TABLES = ("label", "drop", "missing", "separator", "decimal", "header", "encoding")


def load(
    name: str,
    path: str = "",
    *,
    kind: str = "auto",
    table: TableFormat = TableFormat(),
    choice: ColumnChoice = ColumnChoice(),
) -> Dataset:
    """Reads a dataset.

    Args:
      name: of `DATASETS`.
      path: the directory of its files, or the file for "npz" and "csv"; not for the sets
        that scikit-learn contains.
      kind: what the labels of "npz" and "csv" are: "classes", "numbers" for regression, or
        "auto": classes if they are words or few whole numbers.
      table, choice: how "csv" is read.

    Raises:
      ValueError: an unknown name, a missing or superfluous path, a file of another format
        or size than expected, labels out of range, or a package is missing.
      OSError: a file is missing or cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(
            f"dataset {shortened(name)!r}: expected one of {', '.join(DATASETS)}{did_you_mean(name, DATASETS)}"
        )
    if kind not in columns.KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(columns.KINDS)}")
    if name in _BUNDLED:
        if path:
            raise ValueError(f"dataset {name}: path={path!r}: expected none, scikit-learn contains it")
        return _load_bundled(name)
    if not path:
        raise ValueError(f"dataset {name}: path is missing: expected {_EXPECTED[name]}")
    where = pathlib.Path(path).expanduser()
    if name == "csv":
        return _of_examples(name, columns.examples_of(tables.read_table(where, table), choice, kind))
    if name == "npz":
        return _load_npz(name, where, kind)
    return _READERS[name](name, where)


def load_source(source: Source, kind: str = "auto") -> Dataset:
    """`load` for what a specification of tasks says."""
    return load(source.dataset, source.path, kind=kind, table=source.format, choice=source.columns)


def from_arrays(
    features: object, labels: object, *, kind: str = "auto", missing: str = "refuse", name: str = "data"
) -> Dataset:
    """A dataset of what a program has in memory.

    Args:
      features: [n, C]: an array, nested lists, or a frame of pandas.
      labels: [n]: numbers or words; an array, a list, a series, or a frame of one column.
      kind: as of `load`.
      missing: "refuse", "mean" or "drop", for NaN, None and masked values.
      name: for messages.

    Raises:
      ValueError: shapes that do not fit, words as features, missing or complex values.
    """
    table = columns.table_of(features, labels, name)
    return _of_examples(name, columns.examples_of(table, ColumnChoice(missing=missing), kind))


def _of_examples(name: str, examples: columns.Examples) -> Dataset:
    train = Split(examples.features, examples.labels)
    names = examples.feature_names if any(examples.feature_names) else ()
    return Dataset(name, train, None, len(examples.class_names), examples.class_names, names, examples.description)


def is_bundled(name: str) -> bool:
    """Whether a dataset needs no file."""
    return name in _BUNDLED


def needs(name: str) -> str:
    """What the path of a dataset has to be, in words."""
    return "nothing but scikit-learn" if name in _BUNDLED else f"path=, {_EXPECTED[name]}"


def files(name: str, path: str) -> list[pathlib.Path]:
    """The files that `load` would read, for those that are there; none for bundled sets."""
    if name in _BUNDLED or not path:
        return []
    root = pathlib.Path(path).expanduser()
    candidates = [root / file for file in _FILES[name]] if name in _FILES else [root]
    return [file for file in candidates if file.is_file()]


# scikit-learn's own.

_BUNDLED = ("digits", "breast_cancer", "wine", "iris", "diabetes")


def _load_bundled(name: str) -> Dataset:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ValueError(f"dataset {name}: needs scikit-learn, from `pip install scikit-learn`") from error
    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    classes = 0 if name == "diabetes" else int(labels.max()) + 1
    return Dataset(name, Split(features, labels.astype(np.int64 if classes else np.float64)), None, classes)


# CIFAR: batches as pickles or as binary records.

_CIFAR_PIXELS = 3072


def _load_cifar10(name: str, directory: pathlib.Path) -> Dataset:
    batches = [f"data_batch_{number}" for number in range(1, 6)]
    return _load_cifar(name, directory, batches, "test_batch", "labels", 1, 10)


def _load_cifar100(name: str, directory: pathlib.Path) -> Dataset:
    return _load_cifar(name, directory, ["train"], "test", "fine_labels", 2, 100)


def _load_cifar(name, directory, train_names, test_name, label_key, label_bytes, num_classes) -> Dataset:
    def read(file_name: str) -> Split:
        for path, reader in (
            (directory / f"{file_name}.bin", _read_cifar_binary),
            (directory / file_name, _read_cifar_pickle),
        ):
            if path.is_file():
                split = reader(path, label_key, label_bytes)
                _check_labels(path, split.labels, num_classes)
                return split
        raise FileNotFoundError(
            f"{directory / file_name}: no such file, nor {file_name}.bin: expected {_EXPECTED[name]}"
        )

    parts = [read(file_name) for file_name in train_names]
    train = Split(np.concatenate([part.features for part in parts]), np.concatenate([part.labels for part in parts]))
    return Dataset(name, train, read(test_name), num_classes)


def _read_cifar_binary(path: pathlib.Path, label_key: str, label_bytes: int) -> Split:
    found, size = _checked_size(path), label_bytes + _CIFAR_PIXELS
    if not found or found % size:
        raise ValueError(f"{path}: {found} bytes: expected a multiple of {size}, {label_bytes} for labels and 3072")
    records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, size)
    return Split(records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64))


def _read_cifar_pickle(path: pathlib.Path, label_key: str, label_bytes: int) -> Split:
    _checked_size(path)
    try:
        batch = archives.read_pickled_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path}: not a whole batch of CIFAR's python release ({error})") from error
    missing = [key for key in (b"data", label_key.encode()) if key not in batch]
    if missing:
        raise ValueError(f"{path}: no {missing[0]!r}: expected a pickled dictionary with b'data' and {label_key!r}")
    features, given = batch[b"data"], batch[label_key.encode()]
    if not isinstance(features, np.ndarray):
        raise ValueError(f"{path}: data is a {type(features).__name__}: expected an array")
    if not isinstance(given, list) or not all(type(label) is int and -(2**63) <= label < 2**63 for label in given):
        raise ValueError(f"{path}: {label_key}: expected a list of integers")
    labels = np.array(given, np.int64)
    if features.dtype != np.uint8 or features.shape != (len(labels), _CIFAR_PIXELS):
        raise ValueError(
            f"{path}: data of {features.dtype} {features.shape} for {len(labels)} labels: "
            f"expected uint8 ({len(labels)}, {_CIFAR_PIXELS})"
        )
    return Split(features, labels)


# MNIST and Fashion-MNIST: IDX, gzipped or not.


def _load_mnist(name: str, directory: pathlib.Path) -> Dataset:
    def read(prefix: str) -> Split:
        images, where = _read_idx(name, directory, f"{prefix}-images-idx3-ubyte", 3)
        labels, labels_path = _read_idx(name, directory, f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels):
            raise ValueError(f"{labels_path}: {len(labels)} labels for the {len(images)} images of {where}")
        _check_labels(labels_path, labels, 10)
        return Split(images.reshape(len(images), -1), labels.astype(np.int64))

    return Dataset(name, read("train"), read("t10k"), 10)


def _read_idx(name: str, directory: pathlib.Path, file_name: str, rank: int) -> tuple[np.ndarray, pathlib.Path]:
    path = directory / file_name
    if not path.is_file():
        path = directory / f"{file_name}.gz"
        if not path.is_file():
            raise FileNotFoundError(
                f"{directory / file_name}: no such file, nor {path.name}: expected {_EXPECTED[name]}"
            )
    magic, header = 0x0800 + rank, 4 * (1 + rank)
    start = archives.read_bounded(path, header)
    found = int.from_bytes(start[:4], "big")
    if len(start) >= 4 and found != magic:
        raise ValueError(f"{path}: magic number {found}: expected {magic}, unsigned bytes of rank {rank} in IDX")
    if len(start) < header:
        raise ValueError(f"{path}: {len(start)} bytes: expected a header of {header} in IDX")
    shape = [int.from_bytes(start[i : i + 4], "big") for i in range(4, header, 4)]
    size = header + math.prod(shape)
    described = f"{' x '.join(map(str, shape))} bytes and a header of {header}"
    if path.suffix != ".gz" and path.stat().st_size != size:
        raise ValueError(f"{path}: {path.stat().st_size} bytes: expected {size} for {described}")
    require_memory(2 * size, str(path))
    # No more than that is unpacked, whatever else the file may hold.
    data = archives.read_bounded(path, size + 1)
    if len(data) != size:
        raise ValueError(f"{path}: {'more' if len(data) > size else len(data)} bytes: expected {size} for {described}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape), path


def _checked_size(path: pathlib.Path) -> int:
    size = check_file(path, "a file")
    require_memory(2 * size, str(path))
    return size


# SVHN: MATLAB files.


def _load_svhn(name: str, directory: pathlib.Path) -> Dataset:
    from scipy.io import loadmat, whosmat

    def read(file_name: str) -> Split:
        path = directory / file_name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file: expected {_EXPECTED[name]}")
        _checked_size(path)
        try:
            shapes = {name: shape for name, shape, _ in whosmat(path)}
        except Exception as error:  # scipy raises many kinds for files that are cut short
            raise ValueError(f"{path}: not a whole MATLAB file ({shortened(error)})") from error
        if not {"X", "y"} <= shapes.keys():
            held = shortened(", ".join(shapes) or "nothing")
            raise ValueError(f"{path}: not a whole MATLAB file with X and y of SVHN's format 2: it holds {held}")
        count = math.prod(shapes["y"])
        if shapes["X"] != (32, 32, 3, count):
            raise ValueError(f"{path}: X of shape {shapes['X']}: expected (32, 32, 3, {count})")
        require_memory(2 * math.prod(shapes["X"]), str(path))
        try:
            content = loadmat(path, variable_names=["X", "y"])
            images, labels = np.asarray(content["X"], np.uint8), content["y"].ravel().astype(np.int64)
        except Exception as error:
            raise ValueError(f"{path}: not a whole MATLAB file ({shortened(error)})") from error
        labels = np.where(labels == 10, 0, labels)  # the digit 0 is class 10 there
        _check_labels(path, labels, 10)
        return Split(np.moveaxis(images, 3, 0).reshape(len(labels), -1), labels)

    return Dataset(name, read("train_32x32.mat"), read("test_32x32.mat"), 10)


# The user's own.


def _load_npz(name: str, path: pathlib.Path, kind: str) -> Dataset:
    arrays = archives.read_npz(
        path,
        ("features", "labels"),
        ("test_features", "test_labels"),
        words=("labels", "test_labels"),
    )
    own = [_own_arrays(path, arrays["features"], arrays["labels"], "")]
    if len(arrays) > 2:
        if not {"test_features", "test_labels"} <= arrays.keys():
            raise ValueError(f"{path}: expected both test_features and test_labels, or neither")
        own.append(_own_arrays(path, arrays["test_features"], arrays["test_labels"], "test_"))
        if own[1][0].shape[1] != own[0][0].shape[1]:
            raise ValueError(
                f"{path}: test_features of {own[1][0].shape[1]} columns: expected {own[0][0].shape[1]}, as features"
            )
    names: tuple[str, ...] = ()
    labels = [some for _, some in own]
    if kind != "numbers":
        try:
            # Classes are numbered over both parts.
            numbered, names = columns.encode(np.concatenate(labels), str(path))
            labels = np.split(numbered, [len(labels[0])])[: len(own)]
        except ValueError:
            if kind == "classes" or labels[0].dtype.kind in "US":
                raise
    if not names:
        if any(some.dtype.kind in "US" for some in labels):
            raise ValueError(f"{path}: labels are words: expected numbers for regression")
        labels = [some.astype(np.float64) for some in labels]
    splits = [Split(features, some) for (features, _), some in zip(own, labels)]
    said = columns.labels_in_words(labels[0], names)
    description = f"{path}: {len(labels[0]):,} rows, {own[0][0].shape[1]:,} features; {said}"
    return Dataset(name, splits[0], splits[1] if len(splits) > 1 else None, len(names), names, (), description)


def _own_arrays(
    path: pathlib.Path, features: np.ndarray, labels: np.ndarray, prefix: str
) -> tuple[np.ndarray, np.ndarray]:
    if features.ndim < 2 or labels.shape != features.shape[:1] or 0 in features.shape:
        raise ValueError(
            f"{path}: {prefix}features of shape {features.shape} and {prefix}labels of shape {labels.shape}: "
            "expected [n, columns] and [n], with rows and columns"
        )
    features = features.reshape(len(features), -1)
    for name, array in ((f"{prefix}features", features), (f"{prefix}labels", labels)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0].tolist()
            raise ValueError(f"{path}: {name}: not all values are finite: {array[tuple(where)]} at {where}")
    return features, labels


def _check_labels(path: pathlib.Path, labels: np.ndarray, num_classes: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise ValueError(f"{path}: label {labels[wrong[0]]} of example {wrong[0]}: expected 0 to {num_classes - 1}")


_EXPECTED = {
    "cifar10": "the directory with data_batch_1 to data_batch_5 and test_batch, of 10,000 images each, from "
    "cifar-10-python.tar.gz or, ending in .bin, from cifar-10-binary.tar.gz",
    "cifar100": "the directory with train and test, from cifar-100-python.tar.gz or, ending in .bin, from "
    "cifar-100-binary.tar.gz",
    "mnist": "the directory with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, or the same ending in .gz",
    "svhn": "the directory with train_32x32.mat and test_32x32.mat",
    "npz": "an .npz file with features and labels, and perhaps test_features and test_labels",
    "csv": "a text file with a table of numbers, the label last or named by label=",
}
_EXPECTED["fashion_mnist"] = _EXPECTED["mnist"]

_CIFAR10_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_IDX_NAMES = tuple(
    f"{part}-{kind}-ubyte{end}"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
    for end in ("", ".gz")
)
# What is read in a directory, if it is there.
_FILES = {
    "cifar10": tuple(name + end for name in _CIFAR10_NAMES for end in ("", ".bin")),
    "cifar100": ("train", "train.bin", "test", "test.bin"),
    "mnist": _IDX_NAMES,
    "fashion_mnist": _IDX_NAMES,
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
}

_READERS: dict[str, Callable[[str, pathlib.Path], Dataset]] = {
    "cifar10": _load_cifar10,
    "cifar100": _load_cifar100,
    "mnist": _load_mnist,
    "fashion_mnist": _load_mnist,
    "svhn": _load_svhn,
}
DATASETS = (*_BUNDLED, *_READERS, "npz", "csv")
