"""Datasets: rows of numbers with labels, from files in their published formats.

    load("cifar10", "data/cifar-10-batches-py").train.features  # [50000, 3072]

Nothing is downloaded: files are in a directory that the user names, or scikit-learn
contains them. A file that is missing, cut short or of another format is an error that
says which file, what was found and what was expected.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import pathlib
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np


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
    """

    name: str
    train: Split
    test: Split | None
    num_classes: int


def load(name: str, path: str = "") -> Dataset:
    """Reads a dataset.

    Args:
      name: of `DATASETS`.
      path: the directory of its files, or the file for "npz" and "csv"; not for the sets
        that scikit-learn contains.

    Raises:
      ValueError: an unknown name, a missing or superfluous path, a file of another format
        or size than expected, labels out of range, or a package is missing.
      OSError: a file is missing or cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset {name!r}: expected one of {', '.join(DATASETS)}")
    if name in _BUNDLED:
        if path:
            raise ValueError(f"dataset {name}: path={path!r}: expected none, scikit-learn contains it")
        return _load_bundled(name)
    if not path:
        raise ValueError(f"dataset {name}: path is missing: expected {_EXPECTED[name]}")
    return DATASETS[name](name, pathlib.Path(path))


def needs(name: str) -> str:
    """What the path of a dataset has to be, in words."""
    return "nothing but scikit-learn" if name in _BUNDLED else f"path=, {_EXPECTED[name]}"


def files(name: str, path: str) -> list[pathlib.Path]:
    """The files that `load` would read, for those that are there; none for bundled sets."""
    if name in _BUNDLED or not path:
        return []
    root = pathlib.Path(path)
    return sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]


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
    data = np.frombuffer(path.read_bytes(), np.uint8)
    size = label_bytes + _CIFAR_PIXELS
    if not len(data) or len(data) % size:
        raise ValueError(f"{path}: {len(data)} bytes: expected a multiple of {size}, {label_bytes} for labels and 3072")
    records = data.reshape(-1, size)
    return Split(records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64))


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that hold nothing but plain values and NumPy arrays: others could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "_reconstruct")}:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"holds {module}.{name}, expected arrays only")


def _read_cifar_pickle(path: pathlib.Path, label_key: str, label_bytes: int) -> Split:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        features, labels = np.asarray(batch[b"data"]), np.asarray(batch[label_key.encode()], np.int64)
    except KeyError as error:
        raise ValueError(f"{path}: no {error}: expected a pickled dictionary with b'data' and {label_key!r}") from error
    except Exception as error:  # a pickle that is cut short can raise nearly anything
        raise ValueError(f"{path}: not a whole batch of CIFAR's python release ({error})") from error
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
    path, zipped = directory / file_name, directory / f"{file_name}.gz"
    if path.is_file():
        data = path.read_bytes()
    elif zipped.is_file():
        path = zipped
        try:
            data = gzip.decompress(path.read_bytes())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a whole gzip file ({error})") from error
    else:
        raise FileNotFoundError(f"{path}: no such file, nor {zipped.name}: expected {_EXPECTED[name]}")
    magic = 0x0800 + rank
    header = 4 * (1 + rank)
    found = int.from_bytes(data[:4], "big")
    if len(data) < header or found != magic:
        raise ValueError(f"{path}: magic number {found}: expected {magic}, unsigned bytes of rank {rank} in IDX")
    shape = np.frombuffer(data, ">u4", rank, 4).astype(int)
    if len(data) != header + shape.prod():
        raise ValueError(
            f"{path}: {len(data)} bytes: expected {header + shape.prod()} for "
            f"{' x '.join(map(str, shape))} bytes and a header of {header}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape), path


# SVHN: MATLAB files.


def _load_svhn(name: str, directory: pathlib.Path) -> Dataset:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError("dataset svhn: needs scipy, from `pip install scipy`") from error

    def read(file_name: str) -> Split:
        path = directory / file_name
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file: expected {_EXPECTED[name]}")
        try:
            content = loadmat(path)
            images, labels = content["X"], content["y"].ravel().astype(np.int64)
        except KeyError as error:
            raise ValueError(f"{path}: no array {error}: expected X and y of SVHN's format 2") from error
        except Exception as error:  # loadmat raises many kinds for files that are cut short
            raise ValueError(f"{path}: not a whole MATLAB file ({error})") from error
        if images.shape != (32, 32, 3, len(labels)):
            raise ValueError(f"{path}: X of shape {images.shape}: expected (32, 32, 3, {len(labels)})")
        labels = np.where(labels == 10, 0, labels)  # the digit 0 is class 10 there
        _check_labels(path, labels, 10)
        return Split(np.moveaxis(images, 3, 0).reshape(len(labels), -1), labels)

    return Dataset(name, read("train_32x32.mat"), read("test_32x32.mat"), 10)


# The user's own.


def _load_npz(name: str, path: pathlib.Path) -> Dataset:
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an .npz file of plain arrays ({error})") from error
    arrays = {key: archive[key] for key in archive.files} if isinstance(archive, np.lib.npyio.NpzFile) else {}
    missing = [key for key in ("features", "labels") if key not in arrays]
    if missing:
        raise ValueError(f"{path}: no array {', '.join(missing)}: expected features [n, columns] and labels [n]")
    test = None
    if "test_features" in arrays or "test_labels" in arrays:
        if not {"test_features", "test_labels"} <= arrays.keys():
            raise ValueError(f"{path}: expected both test_features and test_labels, or neither")
        test = _own_split(path, arrays["test_features"], arrays["test_labels"])
    train = _own_split(path, arrays["features"], arrays["labels"])
    return Dataset(name, train, test, _count_classes(train))


def _load_csv(name: str, path: pathlib.Path) -> Dataset:
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        cells = line.split(",")
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            if number == 1:
                continue  # names of the columns
            raise ValueError(f"{path}: line {number}: {error}: expected numbers, the label last") from error
        if len(rows[-1]) != len(rows[0]) or len(cells) < 2:
            raise ValueError(f"{path}: line {number}: {len(cells)} columns: expected {max(2, len(rows[0]))}")
    if not rows:
        raise ValueError(f"{path}: no rows: expected numbers separated by commas, the label last")
    table = np.array(rows)
    train = _own_split(path, table[:, :-1], table[:, -1])
    return Dataset(name, train, None, _count_classes(train))


def _own_split(path: pathlib.Path, features: np.ndarray, labels: np.ndarray) -> Split:
    if features.ndim < 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"{path}: features of shape {features.shape} and labels of shape {labels.shape}: "
            "expected [n, columns] and [n]"
        )
    features = features.reshape(len(features), -1)
    if not (np.isfinite(features).all() and np.isfinite(labels).all()):
        raise ValueError(f"{path}: not all values are finite")
    whole = np.all(labels == np.floor(labels)) and labels.min() >= 0
    return Split(features, labels.astype(np.int64 if whole else np.float64))


def _count_classes(split: Split) -> int:
    return int(split.labels.max()) + 1 if split.labels.dtype == np.int64 else 0


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
    "csv": "a file of numbers separated by commas, the label last",
}
_EXPECTED["fashion_mnist"] = _EXPECTED["mnist"]

DATASETS: dict[str, Callable[[str, pathlib.Path], Dataset]] = {
    **{name: lambda name, path: _load_bundled(name) for name in _BUNDLED},
    "cifar10": _load_cifar10,
    "cifar100": _load_cifar100,
    "mnist": _load_mnist,
    "fashion_mnist": _load_mnist,
    "svhn": _load_svhn,
    "npz": _load_npz,
    "csv": _load_csv,
}
