"""A program as readable Python: a class with `fit` and `predict` that needs NumPy alone."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterable

from azero_jax import dataflow
from azero_jax.export import numpy_helpers
from azero_jax.export.draw_keys import draw_keys
from azero_jax.export.forms import forms_of
from azero_jax.export.source import filled, indented, kept_addresses, literal, sources_of, with_helpers
from azero_jax.export.subject import Subject
from azero_jax.program import Instruction, MemorySize, Program
from azero_jax.version import __version__

_SHAPES = {"s": "", "v": ", self.n_features", "m": ", self.n_features, self.n_features"}
_ZEROS = {"s": "np.float64(0)", "v": "np.zeros(self.n_features)", "m": "np.zeros((self.n_features, self.n_features))"}


def to_python(
    program: Program,
    *,
    loss: str = "rmse",
    name: str = "Model",
    seed: int = 0,
    memory: MemorySize | None = None,
) -> str:
    """Source of a module with one class, which trains and predicts as the program does.

    The class computes in float64; its numbers are the evaluator's but for rounding. Dead
    instructions are left out. Addresses that keep a value from one function to another are
    attributes, the others local variables.

    Args:
      program: what to export.
      loss: as of `Tasks`.
      name: of the class.
      seed: of the evaluator whose random numbers are to be drawn.
      memory: the addresses there are.

    Raises:
      ValueError: the program holds a registered op, or an argument is out of range.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"name={name!r}: expected the name of a class")
    return _Writer(Subject.of(program, loss, memory), name, seed).source()


class _Writer:
    """Writes the module."""

    def __init__(self, subject: Subject, name: str, seed: int):
        self.subject = subject
        self.name = name
        self.keys = draw_keys(subject.program, seed)
        self.kept = kept_addresses(subject)

    def address(self, name: str) -> str:
        """How an address is written in Python."""
        return f"self.{name}" if name in self.kept else name

    def line(self, function: str, number: int, instruction: Instruction) -> str:
        """One instruction."""
        op, out = instruction.op, self.address(dataflow.output_of(instruction))
        numbers = [literal(constant) for constant in instruction.constants]
        if op.draws:
            key = f"0x{self.keys[function, number]:08X}"
            drawn = f"{op.draws}({key}, self.step{_SHAPES[op.output]})"
            if op.draws == "uniform":
                return f"{out} = {numbers[0]} + ({numbers[1]} - {numbers[0]}) * {drawn}"
            return f"{out} = {numbers[0]} + {numbers[1]} * {drawn}"
        if op.writes_one_element:
            places = ", ".join(f"index({fraction}, self.n_features)" for fraction in numbers[:-1])
            return f"{out}[{places}] = {numbers[-1]}"
        if op.constants:
            return f"{out} = np.float64({numbers[0]})"
        operands = dict(zip("ab", map(self.address, dataflow.inputs_of(instruction))))
        form = forms_of(op, "to_python").numpy
        return f"{out} = {form.format(**operands, n='self.n_features')}"

    def body(self, function: str, given: Iterable[str] = ()) -> list[str]:
        """The instructions of a component function, behind what it is given."""
        lines = list(given)
        for number, instruction in enumerate(self.subject.program.instructions(function)):
            if instruction.op.output:
                lines.append(self.line(function, number, instruction))
        return lines

    def given(self, function: str) -> list[str]:
        """Lines that make the addresses which the machine sets."""
        subject = self.subject
        read = dataflow.read_before_written(dataflow.instructions_of(subject.program, function))
        lines = []
        if function == "Setup":
            first_read = dataflow.read_before_written(dataflow.instructions_of(subject.program, "Setup"))
            first_written = dataflow.written(dataflow.instructions_of(subject.program, "Setup")) - first_read
            for name in sorted(self.kept - first_written, key=lambda name: (name[0], int(name[1:]))):
                lines.append(f"self.{name} = {_ZEROS[name[0]]}")
            if "v0" in read:
                lines.append(f"v0 = {_ZEROS['v']}")
        if function == "Learn":
            if subject.vector_labels and subject.label in read:
                lines.append(f"{subject.label} = (np.arange(self.n_features) == label).astype(float)")
            elif subject.label in read:
                lines.append(f"{subject.label} = label")
        elif subject.label in read:
            lines.append(f"{subject.label} = {_ZEROS[subject.label[0]]}  # the label is hidden")
        return lines

    def source(self) -> str:
        """The module."""
        subject = self.subject
        prediction = self.address(subject.prediction)
        shown = f"{prediction}[: self.n_classes]" if subject.vector_labels else prediction
        setup = self.body("Setup", self.given("Setup")) or ["pass"]
        predict = [*self.body("Predict", self.given("Predict")), f"return {shown}"]
        learn = self.body("Learn", self.given("Learn")) or ["pass"]
        normalised, stored = _normalised(subject, prediction if subject.prediction in self.kept else "")
        parts = {
            "NAME": self.name,
            "TEXT": textwrap.indent(subject.program.to_text().rstrip(), "    "),
            "VERSION": __version__,
            "LOSS": subject.objective.name,
            "SETUP": indented(setup, 8),
            "PREDICT": indented(predict, 8),
            "LEARN": indented(learn, 8),
            "CLASSES": indented(["self.n_classes = int(np.max(y)) + 1"] if subject.vector_labels else [], 8),
            "NORMALISE": indented([*normalised, *stored], 20),
            "ERROR": {
                True: "np.max(np.abs((np.arange(self.n_classes) == y[i]) - prediction))",
                False: "abs(y[i] - prediction)",
            }[subject.vector_labels],
            "PREDICTIONS": _predictions(subject),
        }
        return with_helpers(filled(_TEMPLATE, parts), sources_of(numpy_helpers))


def _normalised(subject: Subject, kept: str) -> tuple[list[str], list[str]]:
    """Lines that make a probability of the prediction, and that store it where Learn finds it."""
    if not subject.objective.has_classes:
        return [], []
    if not subject.vector_labels:
        return ["prediction = sigmoid(prediction)"], [f"{kept} = prediction"] if kept else []
    padding = "np.zeros(self.n_features - self.n_classes)"
    stored = [f"{kept} = np.concatenate([prediction, {padding}])"] if kept else []
    return ["prediction = softmax(prediction)"], stored


def _predictions(subject: Subject) -> str:
    if not subject.objective.has_classes:
        return '''
    def predict(self, X):
        """Predictions of the rows of X, in order; the model stays as it is."""
        return self.raw_predictions(X)
'''
    if not subject.vector_labels:
        return '''
    def predict(self, X):
        """The class of each row of X, 0 or 1; the model stays as it is."""
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)

    def predict_proba(self, X):
        """The probability of each class, for each row of X."""
        with np.errstate(all="ignore"):
            positive = sigmoid(self.raw_predictions(X))
        return np.stack([1 - positive, positive], axis=1)
'''
    return '''
    def predict(self, X):
        """The class of each row of X; the model stays as it is."""
        raw = self.raw_predictions(X)
        return np.argmax(np.where(np.isnan(raw), -np.inf, raw), axis=1)

    def predict_proba(self, X):
        """The probability of each class, for each row of X."""
        with np.errstate(all="ignore"):
            return np.array([softmax(row) for row in self.raw_predictions(X)])
'''


_TEMPLATE = '''"""A learning algorithm found by evolution, written by azero_jax @VERSION@ from this program:

@TEXT@
"""

import copy

import numpy as np


@HELPERS@
class @NAME@:
    """fit(X, y) trains on the rows of X in order, epochs times; predict(X) predicts. Loss: @LOSS@.

    Epochs after the first are shuffled by shuffle_seed. Training stops with an
    ArithmeticError at an example whose error is above max_abs_error, or not a number.
    """

    def __init__(self, epochs=1, shuffle_seed=0, max_abs_error=100.0):
        self.epochs = epochs
        self.shuffle_seed = shuffle_seed
        self.max_abs_error = max_abs_error

    def run_setup(self):
        """Before training."""
        @SETUP@

    def run_predict(self, v0):
        """The prediction for features v0."""
        @PREDICT@

    def run_learn(self, v0, label):
        """After the prediction for v0, with its label."""
        @LEARN@

    def fit(self, X, y):
        """Trains on X, [n, F], and y, [n]."""
        X, y = np.asarray(X, float), np.asarray(y, float)
        if X.ndim != 2 or y.shape != X.shape[:1]:
            raise ValueError(f"X {X.shape} and y {y.shape}: expected shapes [n, F] and [n]")
        self.n_features = X.shape[1]
        @CLASSES@
        self.step = 0
        with np.errstate(all="ignore"):
            self.run_setup()
            for epoch in range(self.epochs):
                order = np.arange(len(X))
                if epoch:
                    order = np.random.default_rng((self.shuffle_seed, epoch)).permutation(len(X))
                for i in order:
                    prediction = self.run_predict(X[i])
                    @NORMALISE@
                    if not @ERROR@ <= self.max_abs_error:
                        raise ArithmeticError(f"epoch {epoch + 1}, row {i}: the error is too large or not a number")
                    self.run_learn(X[i], y[i])
                    self.step += 1
        return self

    def raw_predictions(self, X):
        """What Predict computes for the rows of X, in order; the model stays as it is."""
        X = np.asarray(X, float)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"X {X.shape}: expected shape [n, {self.n_features}]")
        model = copy.deepcopy(self)
        predictions = []
        with np.errstate(all="ignore"):
            for x in X:
                predictions.append(model.run_predict(x))
                model.step += 1
        return np.array(predictions)
@PREDICTIONS@'''
