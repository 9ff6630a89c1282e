"""A program in plain language: what each line does, and which address plays which part.

Parts are guessed from data flow alone: what Predict reads and Learn changes are weights,
the label minus the prediction is the error, a number that is set once and then multiplies
an error is a learning rate. Where nothing can be told, an address keeps its name.
"""

from __future__ import annotations

from typing import NamedTuple

from azero_jax import dataflow, ops
from azero_jax.program import Instruction, Program
from azero_jax.text import COMPONENT_FUNCTIONS

# How the result of each op reads; a and b are the operands, x, y and z the constants.
WORDS = {
    "NO_OP": "nothing",
    "SCALAR_SUM": "{a} plus {b}",
    "SCALAR_DIFF": "{a} minus {b}",
    "SCALAR_PRODUCT": "{a} times {b}",
    "SCALAR_DIVISION": "{a} divided by {b}",
    "SCALAR_ABS": "{a} without its sign",
    "SCALAR_RECIPROCAL": "one divided by {a}",
    "SCALAR_SIN": "the sine of {a}",
    "SCALAR_COS": "the cosine of {a}",
    "SCALAR_TAN": "the tangent of {a}",
    "SCALAR_ARCSIN": "the arc sine of {a}",
    "SCALAR_ARCCOS": "the arc cosine of {a}",
    "SCALAR_ARCTAN": "the arc tangent of {a}",
    "SCALAR_EXP": "e to the power of {a}",
    "SCALAR_LOG": "the logarithm of {a}",
    "SCALAR_HEAVISIDE": "1 if {a} is 0 or more, else 0",
    "VECTOR_HEAVISIDE": "1 where {a} is above 0, else 0",
    "MATRIX_HEAVISIDE": "1 where {a} is above 0, else 0",
    "SCALAR_VECTOR_PRODUCT": "{b} times {a}",
    "SCALAR_BROADCAST": "a vector that repeats {a}",
    "VECTOR_RECIPROCAL": "one divided by each element of {a}",
    "VECTOR_NORM": "the length of {a}",
    "VECTOR_ABS": "{a} without signs",
    "VECTOR_SUM": "{a} plus {b}",
    "VECTOR_DIFF": "{a} minus {b}",
    "VECTOR_PRODUCT": "{a} times {b}, element by element",
    "VECTOR_DIVISION": "{a} divided by {b}, element by element",
    "VECTOR_INNER_PRODUCT": "the dot product of {a} and {b}",
    "VECTOR_OUTER_PRODUCT": "the outer product of {a} and {b}",
    "SCALAR_MATRIX_PRODUCT": "{b} times {a}",
    "MATRIX_RECIPROCAL": "one divided by each element of {a}",
    "MATRIX_VECTOR_PRODUCT": "{a} applied to {b}",
    "VECTOR_COLUMN_BROADCAST": "a matrix whose columns are {a}",
    "VECTOR_ROW_BROADCAST": "a matrix whose rows are {a}",
    "MATRIX_NORM": "the Frobenius norm of {a}",
    "MATRIX_COLUMN_NORM": "the lengths of the columns of {a}",
    "MATRIX_ROW_NORM": "the lengths of the rows of {a}",
    "MATRIX_TRANSPOSE": "{a}, transposed",
    "MATRIX_ABS": "{a} without signs",
    "MATRIX_SUM": "{a} plus {b}",
    "MATRIX_DIFF": "{a} minus {b}",
    "MATRIX_PRODUCT": "{a} times {b}, element by element",
    "MATRIX_DIVISION": "{a} divided by {b}, element by element",
    "MATRIX_MATRIX_PRODUCT": "the matrix product of {a} and {b}",
    "SCALAR_MIN": "the smaller of {a} and {b}",
    "VECTOR_MIN": "the smaller of {a} and {b}, element by element",
    "MATRIX_MIN": "the smaller of {a} and {b}, element by element",
    "SCALAR_MAX": "the larger of {a} and {b}",
    "VECTOR_MAX": "the larger of {a} and {b}, element by element",
    "MATRIX_MAX": "the larger of {a} and {b}, element by element",
    "VECTOR_MEAN": "the mean of {a}",
    "MATRIX_MEAN": "the mean of {a}",
    "MATRIX_ROW_MEAN": "the means of the rows of {a}",
    "MATRIX_ROW_ST_DEV": "the standard deviations of the rows of {a}",
    "VECTOR_ST_DEV": "the standard deviation of {a}",
    "MATRIX_ST_DEV": "the standard deviation of {a}",
    "SCALAR_CONST_SET": "{x}",
    "VECTOR_CONST_SET": "with {y} in one place",
    "MATRIX_CONST_SET": "with {z} in one place",
    "SCALAR_UNIFORM_SET": "a random number between {x} and {y}",
    "VECTOR_UNIFORM_SET": "random numbers between {x} and {y}",
    "MATRIX_UNIFORM_SET": "random numbers between {x} and {y}",
    "SCALAR_GAUSSIAN_SET": "a random number around {x} with standard deviation {y}",
    "VECTOR_GAUSSIAN_SET": "random numbers around {x} with standard deviation {y}",
    "MATRIX_GAUSSIAN_SET": "random numbers around {x} with standard deviation {y}",
}

_SUMS = {"SCALAR_SUM", "SCALAR_DIFF", "VECTOR_SUM", "VECTOR_DIFF", "MATRIX_SUM", "MATRIX_DIFF"}
_PRODUCTS = {
    *("SCALAR_PRODUCT", "SCALAR_VECTOR_PRODUCT", "SCALAR_MATRIX_PRODUCT"),
    *("VECTOR_PRODUCT", "MATRIX_PRODUCT", "VECTOR_OUTER_PRODUCT", "MATRIX_VECTOR_PRODUCT"),
}
_DIFFERENCES = {"SCALAR_DIFF", "VECTOR_DIFF"}


class GlossedLine(NamedTuple):
    """One instruction and what it does.

    Attributes:
      function: "Setup", "Predict" or "Learn".
      code: the instruction.
      words: what it does.
    """

    function: str
    code: str
    words: str


def gloss(program: Program, vector_labels: bool = False) -> list[GlossedLine]:
    """What each instruction of a program does, no-ops left out.

    Args:
      program: without dead instructions.
      vector_labels: whether labels and predictions are v1 and v2.
    """
    parts = _Parts.of(program, vector_labels)
    lines = []
    for function in COMPONENT_FUNCTIONS:
        held = parts.held_before(function)
        for instruction in dataflow.instructions_of(program, function):
            lines.append(GlossedLine(function, str(instruction), _sentence(instruction, function, held, parts)))
    return lines


class _Parts(NamedTuple):
    """Which parts addresses play in a whole program.

    Attributes:
      prediction, label: their addresses.
      weights: addresses that Predict reads and Learn changes.
      biases: scalars among them that Predict adds.
      constants: addresses that are set in Setup alone, to numbers.
      rates: those of them that multiply an error.
    """

    prediction: str
    label: str
    weights: frozenset[str]
    biases: frozenset[str]
    constants: frozenset[str]
    rates: frozenset[str]

    @classmethod
    def of(cls, program: Program, vector_labels: bool) -> _Parts:
        setup, predict, learn = (dataflow.instructions_of(program, function) for function in COMPONENT_FUNCTIONS)
        prediction, label = dataflow.prediction_address(vector_labels), dataflow.label_address(vector_labels)
        weights = dataflow.read_before_written(predict) & dataflow.written(learn) - {"v0", prediction, label}
        changed = dataflow.written([*predict, *learn])
        constants = (
            frozenset(
                dataflow.output_of(line)
                for line in setup
                if line.op.constants and not line.op.draws and not line.op.inputs
            )
            - changed
        )
        added = {name for line in predict if line.op.name in _SUMS for name in dataflow.inputs_of(line)}
        biases = frozenset(name for name in weights & added if name[0] == "s")
        parts = cls(prediction, label, frozenset(weights), biases, constants, frozenset())
        held = parts.held_before("Learn")
        rates = set()
        for line in learn:
            names = dataflow.inputs_of(line)
            if line.op.name in _PRODUCTS and any("error" in held.get(name, "") for name in names):
                rates |= {name for name in names if name in constants and name[0] == "s"}
            held[dataflow.output_of(line)] = _kind_of_result(line, held, parts)
        return parts._replace(rates=frozenset(rates))

    def held_before(self, function: str) -> dict[str, str]:
        """What addresses hold when a component function begins, where that has a name."""
        held = {name: f"the constant {name}" for name in self.constants}
        held |= {name: f"the learning rate {name}" for name in self.rates}
        held |= {name: f"the {'weight' if name[0] == 's' else 'weights'} {name}" for name in self.weights}
        held |= {name: f"the bias {name}" for name in self.biases}
        if function == "Setup":
            return {}
        held["v0"] = "the features"
        if function == "Learn":
            held |= {self.label: "the label", self.prediction: "the prediction"}
        return held


def _kind_of_result(line: Instruction, held: dict[str, str], parts: _Parts) -> str:
    """What the result of an instruction of Learn is, "" where it has no name."""
    given = [held.get(name, "") for name in dataflow.inputs_of(line)]
    if line.op.name in _DIFFERENCES and set(given) == {"the label", "the prediction"}:
        return "the error"
    if line.op.name in _PRODUCTS and any("error" in some or "gradient" in some for some in given):
        if any("gradient" in some for some in given) or "the features" in given:
            return "the gradient step"
        return "the scaled error"
    return ""


def _sentence(line: Instruction, function: str, held: dict[str, str], parts: _Parts) -> str:
    """What an instruction does; `held` is brought up to date."""
    out = dataflow.output_of(line)
    operands = [held.get(name, name) for name in dataflow.inputs_of(line)]
    values = [f"{constant:.6g}" for constant in line.constants]
    words = WORDS.get(line.op.name) if line.op.id < ops.NUM_BUILT_IN_OPS else None
    if words is None:
        words = f"{line.op.name} of {' and '.join(operands)}" if operands else line.op.name
    value = words.format(**dict(zip("ab", operands)), **dict(zip("xyz", values)))
    if function == "Learn" and out not in parts.weights:
        named = _kind_of_result(line, held, parts)
    elif function == "Predict" and out == parts.prediction:
        named = "the prediction"
    else:
        named = parts.held_before("Predict").get(out, "")
    held[out] = named or out
    is_update = function == "Learn" and out in parts.weights and out in dataflow.inputs_of(line)
    return f"{named or out}{', updated' if is_update and line.op.name in _SUMS else ''}: {value}"
