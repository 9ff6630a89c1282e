"""Tasks: the examples that programs are trained and scored on.

Several tasks of equal sizes form one `Tasks`; a program's fitness is found on
each of them. `task_specs` makes them by name.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from azero_jax import archives, arguments, objectives
from azero_jax.objectives import BINARY, CLASSES, NUMBERS, Objective

ARRAYS = ("train_features", "train_labels", "valid_features", "valid_labels")

# What a file of tasks holds beside its arrays.
_SETTINGS = ("loss", "num_train_epochs", "shuffle_seed")


def epoch_order(num_examples: int, epoch: int, shuffle_seed: int) -> np.ndarray:
    """The order in which an epoch, from 0, goes through training examples: the first as they come, int64 [N]."""
    if not epoch:
        return np.arange(num_examples)
    return np.random.default_rng((shuffle_seed, epoch)).permutation(num_examples)


@dataclasses.dataclass(frozen=True, eq=False)
class Tasks:
    """D tasks with N training examples, M validation examples and F features each.

    Attributes:
      train_features: float64 [D, N, F].
      train_labels: float64 [D, N].
      valid_features: float64 [D, M, F].
      valid_labels: float64 [D, M].
      loss: "rmse", fitness 1 - (2 / pi) * atan(root mean squared error); "accuracy", the
        share of examples classified correctly, with labels 0 and 1;
        "multiclass_accuracy", the same with labels 0 to C - 1, where C is at most F; or
        another of docs/losses.md.
      num_train_epochs: how often training runs over the examples; each epoch is
        followed by validation and the best one counts. The first runs in order,
        later ones in an order shuffled by `shuffle_seed`.
      shuffle_seed: from 0 to 2**63 - 1.
      description: a line on the data that they come from, for people; may be empty.
      objective: the loss as it was known when the tasks were made.

    Raises:
      ValueError: an array of wrong rank or size, with words, dates, complex, masked or
        non-finite values, labels other than 0 and 1 for losses of two classes, or other than
        classes for those of several; the message names the argument.
    """

    train_features: np.ndarray
    train_labels: np.ndarray
    valid_features: np.ndarray
    valid_labels: np.ndarray
    loss: str = "rmse"
    num_train_epochs: int = 1
    shuffle_seed: int = 0
    description: str = ""
    objective: Objective = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", objectives.named(self.loss))
        for setting, least in (("num_train_epochs", 1), ("shuffle_seed", 0)):
            value = arguments.integer(setting, getattr(self, setting), least, 2**63 - 1)
            object.__setattr__(self, setting, value)
        for name in ARRAYS:
            array = arguments.real_array(name, getattr(self, name))
            array.setflags(write=False)
            object.__setattr__(self, name, array)
            letters = ("D", "N" if name.startswith("train") else "M", "F")[: 3 if name.endswith("features") else 2]
            if array.ndim != len(letters):
                raise ValueError(f"{name}: shape {array.shape}: expected {len(letters)} axes, [{', '.join(letters)}]")
            if 0 in array.shape:
                raise ValueError(f"{name}: shape {array.shape}: expected at least one of each of {', '.join(letters)}")
            if not np.isfinite(array).all():
                where = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
                raise ValueError(f"{name}: {array[where]} at index {where}: expected finite values")
        for name, expected in (
            ("train_labels", self.train_features.shape[:2]),
            ("valid_labels", self.valid_features.shape[:2]),
            ("valid_features", (self.num_tasks, self.num_valid_examples, self.features_size)),
        ):
            shape = getattr(self, name).shape
            if shape != expected:
                raise ValueError(
                    f"{name}: shape {shape}: expected {expected} to match train_features {self.train_features.shape}"
                    + (f" and valid_features {self.valid_features.shape}" if name == "valid_labels" else "")
                )
        if self.objective.labels == BINARY:
            for name in ("train_labels", "valid_labels"):
                labels = getattr(self, name)
                wrong = (labels != 0) & (labels != 1)
                if wrong.any():
                    where = tuple(np.argwhere(wrong)[0].tolist())
                    raise ValueError(
                        f"{name}: {labels[where]} at index {where}: expected 0 or 1 for loss {self.loss!r}"
                    )

        if self.objective.labels == CLASSES:
            for name in ("train_labels", "valid_labels"):
                labels = getattr(self, name)
                wrong = (labels < 0) | (labels >= self.features_size) | (labels != np.floor(labels))
                if wrong.any():
                    where = tuple(np.argwhere(wrong)[0].tolist())
                    raise ValueError(
                        f"{name}: {labels[where]} at index {where}: expected classes from 0, fewer than there are "
                        f"features, {self.features_size}, since vectors hold as many numbers"
                    )

    @property
    def vector_labels(self) -> bool:
        """Whether programs see labels as vectors, v1, and predict vectors, v2 (section 4.3 of the paper)."""
        return self.objective.vector_labels

    @property
    def num_classes(self) -> int:
        """C, of tasks with classes."""
        return int(max(self.train_labels.max(), self.valid_labels.max())) + 1 if self.vector_labels else 2

    @property
    def num_tasks(self) -> int:
        """D."""
        return self.train_features.shape[0]

    @property
    def num_train_examples(self) -> int:
        """N."""
        return self.train_features.shape[1]

    @property
    def num_valid_examples(self) -> int:
        """M."""
        return self.valid_features.shape[1]

    @property
    def features_size(self) -> int:
        """F."""
        return self.train_features.shape[2]

    def train_order(self, epoch: int) -> np.ndarray:
        """The order in which an epoch, from 0, goes through the training examples, int64 [N]."""
        return epoch_order(self.num_train_examples, epoch, self.shuffle_seed)

    def fitness(self, loss: np.ndarray) -> np.ndarray:
        """Fitness, float64, of the loss summed over the validation examples; 0 where it is infinite."""
        return self.objective.fitness(loss, self.num_valid_examples)

    def beyond(self, max_abs_error: float) -> str:
        """A line that says that labels are larger than the error that ends a program; empty if none is."""
        largest = max(float(np.abs(labels).max()) for labels in (self.train_labels, self.valid_labels))
        if self.objective.labels != NUMBERS or largest <= max_abs_error:
            return ""
        return (
            f"labels are as large as {largest:g}: a program whose error on any example is above "
            f"max_abs_error={max_abs_error:g}, as of one that predicts 0, has fitness 0: set "
            f"--max_abs_error={2 * largest:.3g}, or scale the labels"
        )

    @classmethod
    def load(cls, path: str | os.PathLike, *, loss: str | None = None, num_train_epochs: int | None = None) -> Tasks:
        """Reads an `.npz` file with the arrays train_features, train_labels, valid_features, valid_labels.

        Args:
          path: of the file.
          loss: that of `save`, or "rmse", if it is None.
          num_train_epochs: that of `save`, or 1, if it is None.

        Raises:
          ValueError: not an .npz file, a damaged one, an array missing, bad arrays, or tasks
            that were saved with another loss.
          OSError: the file cannot be read.
        """
        arrays = archives.read_npz(pathlib.Path(path), ARRAYS, _SETTINGS, words=("loss",))
        try:
            x, y, valid_x, valid_y = (arrays[name] for name in ARRAYS)
            saved = {name: arrays[name].item() for name in _SETTINGS if name in arrays}
            if loss is not None and saved.get("loss", loss) != loss:
                raise ValueError(f"loss={loss!r}: expected {saved['loss']!r}, with which these tasks were saved")
            given = {"loss": loss, "num_train_epochs": num_train_epochs}
            settings = saved | {name: value for name, value in given.items() if value is not None}
            return cls(x, y, valid_x, valid_y, **settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike) -> None:
        """Writes the file that `load` reads."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in (*ARRAYS, *_SETTINGS)})
