"""A program as a model: trained on X and y, asked for predictions, saved and loaded.

It runs on the machine of the search, so that its numbers are the evaluator's: after
training for one epoch, predictions and score are those of an `Evaluator` with the same
training examples and one task, to the bit.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from azero_jax import arguments, dataflow, objectives, ops
from azero_jax.addresses import AddressesInUse, smallest_memory
from azero_jax.instructions import SUM_BLOCK, ExampleKind, Layout
from azero_jax.liveness import simplify
from azero_jax.machine_step import Memory
from azero_jax.objectives import BINARY, CLASSES, NUMBERS
from azero_jax.program import MemorySize, Population, Program
from azero_jax.recorder import Recorder
from azero_jax.tasks import epoch_order
from azero_jax.version import __version__

DTYPES = ("float32", "float64")

# Examples of one call of the machine: one shape, so that nothing is compiled for the size of the data.
EXAMPLES_PER_CALL = 512

_FORMAT = 1
_KIND_FIELDS = {"s": "scalars", "v": "vectors", "m": "matrices"}


class FitError(ArithmeticError):
    """Training stopped: the error of an example was above max_abs_error, or not a number."""


class PredictionWarning(UserWarning):
    """Some predictions are not finite."""


class LearnerMemory(NamedTuple):
    """A program's memory by address; of those that the program does not use there are none.

    Attributes:
      scalars: number of each address.
      vectors: [F] of each address.
      matrices: [F, F] of each address.
    """

    scalars: dict[int, float]
    vectors: dict[int, np.ndarray]
    matrices: dict[int, np.ndarray]

    def __getitem__(self, name):
        """The value of an address such as "s2" or "m0", or the n-th field."""
        if not isinstance(name, str):
            return tuple(self)[name]
        field, address = _KIND_FIELDS.get(name[:1]), name[1:]
        if field is None or not address.isdecimal() or int(address) not in getattr(self, field):
            known = [f"{kind}{number}" for kind, field in _KIND_FIELDS.items() for number in getattr(self, field)]
            raise KeyError(f"{name!r}: expected one of {', '.join(known)}")
        return getattr(self, field)[int(address)]


# Arguments of a Learner beside the program, as they are saved.
_SETTINGS = (
    "loss",
    "memory",
    "max_abs_error",
    "dtype",
    "seed",
    "epochs",
    "shuffle",
    "shuffle_seed",
    "num_classes",
)


class _State(NamedTuple):
    """What training has come to.

    Attributes:
      recorder: of the number of features and classes.
      memory: the machine's.
      position: of the next example in the program's life: the step of its random ops.
    """

    recorder: Recorder
    memory: Memory | None
    position: int


class Learner:
    """Trains a program on examples and predicts with it.

    Args:
      program: what to train; its dead instructions are left out, which changes no number.
      loss: "rmse" for numbers; "accuracy" for labels 0 and 1; "multiclass_accuracy" for
        labels 0 to C - 1, with C at most the number of features; or another of docs/losses.md.
      memory: the addresses there are, as of `Evaluator`; by default the evaluator's default,
        and more if the program uses more.
      max_abs_error: training stops with a FitError where an example's error exceeds it.
      dtype: "float32" or "float64", in which all is computed.
      seed: of the random ops.
      epochs: how often `fit` goes through the examples.
      shuffle: whether epochs after the first are shuffled, as `Tasks` does.
      shuffle_seed: of that order.
      num_classes: C; by default what the labels of the first fit show.

    Attributes:
      program: the program, without its dead instructions.
      memory_: `LearnerMemory` after training.
      num_steps_: training examples seen.

    Raises:
      TypeError: no program.
      ValueError: an argument out of range, or an address outside the memory.
    """

    def __init__(
        self,
        program: Program,
        *,
        loss: str = "rmse",
        memory: MemorySize | None = None,
        max_abs_error: float = 100.0,
        dtype: str = "float32",
        seed: int = 0,
        epochs: int = 1,
        shuffle: bool = True,
        shuffle_seed: int = 0,
        num_classes: int | None = None,
    ):
        if not isinstance(program, Program):
            hint = ": use Program.from_text(text)" if isinstance(program, str) else ""
            raise TypeError(f"program: expected a Program, got {program!r:.80}{hint}")
        objective = objectives.named(loss)
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(map(repr, DTYPES))}")
        if not isinstance(max_abs_error, (int, float, np.number)) or not max_abs_error > 0:
            raise ValueError(f"max_abs_error={max_abs_error!r}: expected a positive number")
        if not _is_integer(epochs) or epochs < 1:
            raise ValueError(f"epochs={epochs!r}: expected a positive integer")
        for name, value in (("seed", seed), ("shuffle_seed", shuffle_seed)):
            if not _is_integer(value) or (name == "shuffle_seed" and value < 0):
                raise ValueError(f"{name}={value!r}: expected {'an' if name == 'seed' else 'a non-negative'} integer")
        if num_classes is not None and (not _is_integer(num_classes) or num_classes < 2):
            raise ValueError(f"num_classes={num_classes!r}: expected an integer of at least 2")
        if num_classes not in (None, 2) and objective.labels == BINARY:
            several = f"; expected loss={objective.several!r}" if objective.several else ""
            raise ValueError(f"num_classes={num_classes}: loss {loss!r} has 2{several}")
        self.objective, self._vector_labels = objective, objective.vector_labels
        population = Population.from_programs([program])
        used = smallest_memory(population, self._vector_labels)
        self.memory = MemorySize(*map(max, used, MemorySize())) if memory is None else MemorySize.checked(memory)
        population.validate(self.memory)
        if self._vector_labels and self.memory.vectors < 3:
            raise ValueError(f"memory vectors={self.memory.vectors}: expected at least 3 for several classes")
        self.program = simplify(program, self.memory, self._vector_labels)
        self.loss, self.dtype, self.num_classes = loss, dtype, num_classes
        self.max_abs_error = float(max_abs_error)
        self.seed, self.epochs = int(seed), int(epochs)
        self.shuffle, self.shuffle_seed = bool(shuffle), int(shuffle_seed)
        self.num_steps_ = 0
        self._state: _State | None = None

    # Training.

    def fit(self, X: ArrayLike, y: ArrayLike) -> Learner:
        """Runs Setup, then trains on all examples, `epochs` times; what was learned before is forgotten.

        Args:
          X: [n, F], an array, lists, or a table of numbers.
          y: [n].

        Returns:
          itself.

        Raises:
          FitError: an example's error is above max_abs_error or not a number. In a search
            such a program has fitness 0.
          ValueError: X or y is not as said; the message names it and its shape.
        """
        features = _features("X", X, self.dtype)
        labels = self._labels(y, len(features), self.num_classes or features.shape[1])
        state = self._beginning(features, labels)
        for epoch in range(self.epochs):
            order = epoch_order(len(features), epoch if self.shuffle else 0, self.shuffle_seed)
            state = self._trained(state, features, labels, order, f"epoch {epoch + 1}, ")
        self._state, self.num_steps_ = state, self.epochs * len(features)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Learner:
        """Trains once on some more examples, in order; the first call runs Setup.

        Arguments, result and errors as of `fit`; after an error all is as it was before.
        With several classes the first call must show the largest, unless `num_classes` says
        how many there are.
        """
        if self._state is None:
            features = _features("X", X, self.dtype)
            labels = self._labels(y, len(features), self.num_classes or features.shape[1])
            state = self._beginning(features, labels)
        else:
            features = self._known_features(X)
            labels = self._labels(y, len(features), self._fitted().recorder.num_classes)
            state = self._state
        self._state = self._trained(state, features, labels, np.arange(len(features)), "")
        self.num_steps_ += len(features)
        return self

    def _beginning(self, features: np.ndarray, labels: np.ndarray) -> _State:
        """Before Setup, for data of this kind."""
        classes = self.num_classes or (int(labels.max()) + 1 if self._vector_labels else 2)
        return _State(self._recorder(features.shape[1], classes), None, 0)

    def _recorder(self, features_size: int, classes: int) -> Recorder:
        if self._vector_labels and classes > features_size:
            raise ValueError(
                f"num_classes={classes}: expected at most as many as X has columns, {features_size}, since vectors "
                "hold as many numbers"
            )
        return Recorder(
            self.program,
            features_size=features_size,
            objective=self.objective,
            num_classes=classes,
            max_abs_error=self.max_abs_error,
            memory=self.memory,
            dtype=self.dtype,
            seed=self.seed,
            num_valid=EXAMPLES_PER_CALL,
            num_positions=EXAMPLES_PER_CALL + 1,
        )

    def _trained(
        self, state: _State, features: np.ndarray, labels: np.ndarray, order: np.ndarray, epoch: str
    ) -> _State:
        """The state after the examples at some rows, in order."""
        for first in range(0, len(order), EXAMPLES_PER_CALL):
            rows = order[first : first + EXAMPLES_PER_CALL]
            recorder, memory, position = state
            memory = recorder.run_examples(features[rows], labels[rows], ExampleKind.TRAIN, memory, position)
            steps = recorder.steps_in(memory)
            if steps < 0:
                raise FitError(
                    f"{epoch}row {rows[~steps - 1]} of X and y: the error of the prediction is not a number or above "
                    f"max_abs_error={self.max_abs_error:g}: expected a program that learns from such data (are "
                    "features and labels scaled as in its search?)"
                )
            state = _State(recorder, memory, position + len(rows))
        return state

    # Predicting.

    def predict(self, X: ArrayLike, *, independent: bool = False) -> np.ndarray:
        """Predicts for each row of X.

        Every call begins with the memory after training and goes through the rows in order,
        as the evaluator's validation does. A program whose Predict keeps something in memory,
        or draws, may therefore predict otherwise for the same row elsewhere in X.

        Args:
          X: [n, F].
          independent: each row begins with the memory after training, so that its prediction
            does not depend on the others. Programs where that matters then take a call of
            the machine for each row, about 0.3 ms.

        Returns:
          float64 [n]; for losses with classes the class, int64 [n].

        Raises:
          ValueError: not fitted, or X is not as said.
        """
        raw = self._raw(X, independent)
        if not self.objective.has_classes:
            return raw
        if not self._vector_labels:
            return (raw > 0.5).astype(np.int64)
        # The first of the largest; a NaN is none.
        return np.argmax(np.where(np.isnan(raw), -np.inf, raw), axis=1)

    def predict_proba(self, X: ArrayLike, *, independent: bool = False) -> np.ndarray:
        """The probability of each class, float64 [n, C]; arguments and errors as of `predict`."""
        if not self.objective.has_classes:
            expected = ", ".join(map(repr, objectives.names(BINARY, CLASSES)))
            raise ValueError(f"predict_proba: loss={self.loss!r} has no classes: expected one of {expected}")
        raw = self._raw(X, independent)
        if not self._vector_labels:
            return np.stack([1 - raw, raw], axis=1)
        with np.errstate(all="ignore"):
            exponentials = np.exp(raw - raw.max(axis=1, keepdims=True))
            return exponentials / exponentials.sum(axis=1, keepdims=True)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """The fitness that a search would see with X and y as validation examples.

        For "rmse" 1 - (2 / pi) * atan(root mean squared error); for "accuracy" and
        "multiclass_accuracy" the share of rows whose class is predicted; docs/losses.md has the
        others. It is 0 if the labels are numbers and an error is above max_abs_error or NaN.
        """
        state = self._fitted()
        recorder, memory, position = state
        features = self._known_features(X)
        labels = self._labels(y, len(features), recorder.num_classes)
        blocks, loss, failed = np.zeros((), recorder.dtype), 0.0, False
        for first in range(0, len(features), EXAMPLES_PER_CALL):
            some = slice(first, first + EXAMPLES_PER_CALL)
            if first % SUM_BLOCK == 0:  # as the evaluator sums
                blocks, loss = blocks + blocks.dtype.type(loss), 0.0
            memory = recorder.run_examples(
                features[some], labels[some], ExampleKind.VALID, memory, position + first, loss
            )
            loss = float(memory.scalars_and_matrices[Layout.LOSS, 0])
            failed |= recorder.steps_in(memory) < 0
        loss = float(blocks + blocks.dtype.type(loss))
        return 0.0 if failed else float(self.objective.fitness(np.array(loss), len(features)))

    def _raw(self, X: ArrayLike, independent: bool) -> np.ndarray:
        """What the machine predicts, float64 [n] or [n, C]."""
        recorder, memory, position = self._fitted()
        features = self._known_features(X)
        alone = independent and not self.independent
        each = 1 if alone else EXAMPLES_PER_CALL
        parts = []
        for first in range(0, len(features), each):
            rows = features[first : first + each]
            start, begin = (self._fitted().memory, position) if alone else (memory, position + first)
            memory = recorder.run_examples(rows, np.zeros(len(rows)), ExampleKind.VALID, start, begin)
            parts.append(recorder.predictions(memory, best_epoch=False)[0, : len(rows)])
        raw = np.concatenate(parts).astype(np.float64)
        wrong = ~np.isfinite(raw) if raw.ndim == 1 else ~np.isfinite(raw).all(axis=1)
        if wrong.any():
            warnings.warn(
                f"predictions of {wrong.sum()} of {len(raw)} rows are not finite, first that of row "
                f"{np.argmax(wrong)} of X",
                PredictionWarning,
                stacklevel=3,
            )
        return raw

    @property
    def independent(self) -> bool:
        """Whether the prediction of a row never depends on other rows: Predict keeps and draws nothing."""
        carries = dataflow.carried_by_predict(self.program, self._vector_labels)
        return not carries and not dataflow.draws_in_predict(self.program)

    # What is there after training.

    @property
    def num_classes_(self) -> int:
        """C, of losses with classes, after training."""
        return self._fitted().recorder.num_classes

    @property
    def memory_(self) -> LearnerMemory:
        """The memory after training, by address; the prediction is that of the last example.

        Addresses whose values reach no prediction are not written, and 0.

        Raises:
          ValueError: not fitted.
        """
        recorder, memory, _ = self._fitted()
        assert memory is not None  # Setup has run
        used = AddressesInUse.of(Population.from_programs([self.program]), self._vector_labels)
        values = [
            {address: recorder.value(memory, kind, address) for address in addresses}
            for kind, addresses in zip(ops.KINDS, used)
        ]
        return LearnerMemory({address: float(value) for address, value in values[0].items()}, values[1], values[2])

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file that `Learner.load` reads: program, settings, versions, memory.

        Raises:
          ValueError: not fitted.
          OSError: the file cannot be written.
        """
        recorder, _, position = self._fitted()
        about: dict[str, Any] = {
            "format": _FORMAT,
            "azero_jax": __version__,
            "numpy": np.__version__,
            "program": self.program.to_text(),
            "settings": {name: getattr(self, name) for name in _SETTINGS},
            "features_size": recorder.layout.features_size,
            "classes": recorder.num_classes,
            "position": position,
            "steps": self.num_steps_,
        }
        by_kind: tuple[dict[int, Any], ...] = tuple(self.memory_)
        arrays: dict[str, Any] = {
            f"{kind}{address}": np.asarray(value)
            for kind, values in zip(ops.KINDS, by_kind)
            for address, value in values.items()
        }
        # With a file, not a name, to which NumPy would append .npz.
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays, about=np.array(json.dumps(about)))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Learner:
        """A learner that was saved; its predictions are the same, and `partial_fit` goes on.

        Raises:
          ValueError: not such a file, or its program has ops that are not registered.
          OSError: the file cannot be read.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
                about: dict[str, Any] = json.loads(str(arrays.pop("about")))
            form = about["format"]
        except (*_DAMAGE, AttributeError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: not a file of Learner.save ({error})") from error
        if form != _FORMAT:
            raise ValueError(
                f"{os.fspath(path)}: format {form} of version {about.get('azero_jax')}: expected format {_FORMAT}"
            )
        try:
            settings = about["settings"]
            settings["memory"] = MemorySize(*settings["memory"])
            learner = cls(Program.from_text(about["program"]), **settings)
            recorder = learner._recorder(int(about["features_size"]), int(about["classes"]))
            memory = recorder.fresh_memory()
            for name, value in arrays.items():
                recorder.set_value(memory, name[0], int(name[1:]), value)
            learner._state = _State(recorder, memory, int(about["position"]))
            learner.num_steps_ = int(about["steps"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error
        return learner

    def __repr__(self) -> str:
        seen = f", {self.num_steps_} steps" if self._state else ", not fitted"
        return f"Learner(loss={self.loss!r}{seen}, program=\n{self.program.to_text()})"

    # Checks.

    def _fitted(self) -> _State:
        if self._state is None:
            raise ValueError("this Learner is not fitted: expected a call of fit or partial_fit first")
        return self._state

    def _known_features(self, X: ArrayLike) -> np.ndarray:
        features = _features("X", X, self.dtype)
        expected = self._fitted().recorder.layout.features_size
        if features.shape[1] != expected:
            raise ValueError(f"X: shape {features.shape}: expected {expected} columns, as those that were fitted")
        return features

    def _labels(self, y: ArrayLike, count: int, classes: int) -> np.ndarray:
        """Labels of so many rows; of losses with classes, below `classes`."""
        labels = _numbers("y", y, self.dtype)
        if labels.shape != (count,):
            raise ValueError(f"y: shape {labels.shape}: expected ({count},), one label for each row of X")
        if self.objective.labels == NUMBERS:
            return labels
        classes = classes if self._vector_labels else 2
        wrong = (labels < 0) | (labels != np.floor(labels)) | (labels >= classes)
        if wrong.any():
            where = int(np.argmax(wrong))
            raise ValueError(
                f"y: {labels[where]:g} at index {where}: expected classes from 0 to {classes - 1} for loss "
                f"{self.loss!r}"
            )
        return labels


_DAMAGE = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _features(name: str, X: ArrayLike, dtype: str) -> np.ndarray:
    """X as [n, F] of a dtype."""
    features = _numbers(name, X, dtype)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name}: shape {features.shape}: expected [n, F], at least one row and one column")
    return features


def _numbers(name: str, values: ArrayLike, dtype: str) -> np.ndarray:
    """An array of finite numbers of a dtype."""
    wide = arguments.real_array(name, values)
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if not np.isfinite(array).all():
        where = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ValueError(f"{name}: {wide[where]} at index {where}: expected finite values of {dtype}")
    return array
