"""A program as a Python file that needs JAX alone: pure, jitted functions of a state, as those of `to_jax`."""

from __future__ import annotations

import textwrap

from azero_jax import dataflow
from azero_jax.export import numpy_helpers
from azero_jax.export.draw_keys import draw_keys
from azero_jax.export.forms import forms_of
from azero_jax.export.source import filled, indented, kept_addresses, literal, sources_of, with_helpers
from azero_jax.export.subject import Subject
from azero_jax.program import Instruction, MemorySize, Program
from azero_jax.version import __version__

_SHAPES = {"s": "", "v": ", n_features", "m": ", n_features, n_features"}
_ZEROS = {"s": "jnp.zeros(())", "v": "jnp.zeros(n_features)", "m": "jnp.zeros((n_features, n_features))"}

_LONGEST = 88


def to_jax_source(
    program: Program,
    *,
    loss: str = "rmse",
    max_abs_error: float = 100.0,
    seed: int = 0,
    memory: MemorySize | None = None,
) -> str:
    """Source of a module with the functions setup, train and predict, which do what those of `to_jax` do.

    It needs JAX alone, and computes in JAX's default type: float32, or float64 with
    jax_enable_x64. Dead instructions are left out.

    Args:
      program: what to export.
      loss: as of `Learner`.
      max_abs_error: as of `Learner`.
      seed: of the evaluator whose random numbers are to be drawn.
      memory: as of `Learner`.

    Raises:
      TypeError: no program.
      ValueError: the program holds a registered op, or an argument is out of range.
    """
    return _Writer(Subject.of(program, loss, memory), max_abs_error, seed).source()


class _Writer:
    """Writes the module."""

    def __init__(self, subject: Subject, max_abs_error: float, seed: int):
        self.subject = subject
        self.max_abs_error = max_abs_error
        self.keys = draw_keys(subject.program, seed)
        self.kept = sorted(kept_addresses(subject), key=lambda name: (name[0], int(name[1:])))

    def line(self, function: str, number: int, instruction: Instruction) -> str:
        """One instruction."""
        op, out = instruction.op, dataflow.output_of(instruction)
        numbers = [literal(constant) for constant in instruction.constants]
        if op.draws:
            drawn = f"{op.draws}(0x{self.keys[function, number]:08X}, step{_SHAPES[op.output]})"
            if op.draws == "uniform":
                return f"{out} = {numbers[0]} + ({numbers[1]} - {numbers[0]}) * {drawn}"
            return f"{out} = {numbers[0]} + {numbers[1]} * {drawn}"
        if op.writes_one_element:
            places = ", ".join(f"index({fraction}, n_features)" for fraction in numbers[:-1])
            return f"{out} = {out}.at[{places}].set({numbers[-1]})"
        if op.constants:
            return f"{out} = jnp.array({numbers[0]})"
        form = forms_of(op, "to_jax_source").numpy.replace("np.", "jnp.")
        return f"{out} = {form.format(**dict(zip('ab', dataflow.inputs_of(instruction))), n='n_features')}"

    def body(self, function: str) -> list[str]:
        """The lines of a component function, with what they need before them."""
        instructions = enumerate(self.subject.program.instructions(function))
        lines = [self.line(function, number, line) for number, line in instructions if line.op.output]
        given = self.given(function)
        text = "\n".join([*given, *lines])
        if function != "Setup":
            used = [name for name in self.kept if name in self.used(function)]
            given[:0] = [f"{name} = state[{_quoted(name)}]" for name in used]
            if "n_features" in text:
                given.insert(0, "n_features = len(v0)")
        if any(line.op.draws for line in self.subject.program.instructions(function)):
            given.insert(0, "step = 0" if function == "Setup" else 'step = state["step"]')
        return [*given, *lines]

    def used(self, function: str) -> set[str]:
        """Kept addresses that a component function needs from the state."""
        lines = dataflow.instructions_of(self.subject.program, function)
        used = dataflow.read_before_written(lines)
        if function == "Predict" and self.subject.prediction not in dataflow.written(lines):
            used = used | {self.subject.prediction}
        return used

    def given(self, function: str) -> list[str]:
        """Lines that make the addresses which the machine sets."""
        subject = self.subject
        lines = dataflow.instructions_of(subject.program, function)
        read = dataflow.read_before_written(lines)
        if function == "Setup":
            made = dataflow.written(lines) - read
            zeros = [name for name in self.kept if name not in made] + ["v0"] * ("v0" in read)
            zeros += [subject.label] * (subject.label in read)
            return [f"{name} = {_ZEROS[name[0]]}" for name in zeros]
        if subject.label not in read:
            return []
        if function == "Predict":
            return [f"{subject.label} = {_ZEROS[subject.label[0]]}  # the label is hidden"]
        if subject.vector_labels:
            return [f"{subject.label} = jnp.where(jnp.arange(n_features) == label, 1.0, 0.0)"]
        return [f"{subject.label} = label"]

    def changed(self, function: str) -> str:
        """The state with the kept addresses that a component function has written."""
        written = dataflow.written(dataflow.instructions_of(self.subject.program, function))
        names = [name for name in self.kept if name in written]
        return f"state | {_dictionary({name: name for name in names})}" if names else "state"

    def source(self) -> str:
        """The module."""
        subject = self.subject
        several = subject.vector_labels
        probability = ("softmax" if several else "sigmoid") if subject.objective.has_classes else ""
        shown = f'{subject.prediction}[: len(state["classes"])]' if several else subject.prediction
        state = {"step": "jnp.uint32(0)", "failed": "jnp.array(False)"}
        state |= {"classes": "jnp.arange(n_classes)"} if several else {}
        state |= {name: name for name in self.kept}
        stored = "prediction"
        if several:
            stored = "jnp.concatenate([prediction, jnp.zeros(len(v0) - len(prediction))])"
        parts = {
            "TEXT": textwrap.indent(subject.program.to_text().rstrip(), "    "),
            "VERSION": __version__,
            "LOSS": subject.objective.name,
            "MAX_ABS_ERROR": literal(self.max_abs_error),
            "SIZES": "n_features, n_classes" if several else "n_features",
            "FOR": "vectors of n_features and n_classes classes" if several else "vectors of n_features",
            "SETUP": indented(self.body("Setup"), 4),
            "STATE": _dictionary(state),
            "PREDICT": indented(self.body("Predict"), 4),
            "PREDICTION": f"{shown}, {self.changed('Predict')}",
            "LEARN": indented(self.body("Learn"), 4),
            "LEARNED": self.changed("Learn"),
            "NORMALISE": f"prediction = {probability}(prediction)" if probability else "",
            "WANTED": 'jnp.where(state["classes"] == label, 1.0, 0.0)' if several else "label",
            "STORED": f"state = state | {_dictionary({subject.prediction: stored})}"
            if subject.prediction in self.kept and probability
            else "",
            "SHOWN": "sigmoid(prediction)" if probability == "sigmoid" else "prediction",
            "WHAT": {"": "Numbers, [n]", "sigmoid": "Probabilities of class 1, [n]"}.get(
                probability, "Scores of the classes, [n, n_classes], the largest of which counts"
            ),
        }
        helpers = {
            name: source if name == "index" else source.replace("np.", "jnp.")
            for name, source in sources_of(numpy_helpers).items()
        }
        text = with_helpers(filled(_TEMPLATE, parts), helpers)
        return text if "def index(" in text else text.replace("import numpy as np\n", "")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _dictionary(values: dict[str, str]) -> str:
    """A dictionary in Python, on lines of its own where it is long."""
    items = [f"{_quoted(name)}: {value}" for name, value in values.items()]
    line = f"{{{', '.join(items)}}}"
    if len(line) <= _LONGEST:
        return line
    return "{\n" + textwrap.indent("\n".join(textwrap.wrap(", ".join(items) + ",", _LONGEST)), " " * 8) + "\n    }"


_TEMPLATE = '''"""A learning algorithm found by evolution, written by azero_jax @VERSION@ from this program:

@TEXT@

    state = train(setup(@SIZES@), X, y)
    predict(state, X_new)

needs JAX alone. Loss: @LOSS@. state["failed"] says that the error of an example was above
MAX_ABS_ERROR, or not a number.
"""

import jax
import jax.numpy as jnp
import numpy as np

MAX_ABS_ERROR = @MAX_ABS_ERROR@


@HELPERS@
def setup(@SIZES@):
    """The state before training, for @FOR@."""
    @SETUP@
    return @STATE@


def run_predict(state, v0):
    """The prediction for features v0, and the state after it."""
    @PREDICT@
    return @PREDICTION@


def run_learn(state, v0, label):
    """The state after the prediction for v0 is compared with its label."""
    @LEARN@
    return @LEARNED@


@jax.jit
def train(state, X, y):
    """The state after training on the rows of X, [n, F], with labels y, [n], in order."""

    def visit(state, example):
        v0, label = example
        prediction, state = run_predict(state, v0)
        @NORMALISE@
        error = jnp.max(jnp.abs(@WANTED@ - prediction))
        @STORED@
        state = run_learn(state, v0, label)
        failed = state["failed"] | ~(error <= MAX_ABS_ERROR)
        return state | {"failed": failed, "step": state["step"] + jnp.uint32(1)}, None

    return jax.lax.scan(visit, state, (jnp.asarray(X, float), jnp.asarray(y, float)))[0]


@jax.jit
def predict(state, X):
    """@WHAT@, for the rows of X in order."""

    def visit(state, v0):
        prediction, state = run_predict(state, v0)
        return state | {"step": state["step"] + jnp.uint32(1)}, @SHOWN@

    return jax.lax.scan(visit, state, jnp.asarray(X, float))[1]
'''
