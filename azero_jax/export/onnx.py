"""The trained predictor of a learner as ONNX, where its ops allow: no training, no memory between rows."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import numpy as np

from azero_jax import dataflow
from azero_jax.export.forms import forms_of
from azero_jax.learner import Learner
from azero_jax.program import Instruction
from azero_jax.version import __version__

_OPSET = 18
_IR_VERSION = 9


class Columns(NamedTuple):
    """How the columns of a table become features, and what labels were before they became numbers.

    Features are (X @ projection - shift) / spread, without the product where there is no
    projection; a predicted number is label_spread times the learner's, plus label_shift.

    Attributes:
      shift, spread: float64 [F].
      projection: float64 [columns, F], or None.
      fill: float64 [columns], in place of NaN; None where that is not to be.
      label_shift, label_spread: of losses of numbers.
      class_names: what the model says in place of the classes 0 to C - 1; none for those.
      feature_names: of the columns, for people; may be empty.
    """

    shift: np.ndarray
    spread: np.ndarray
    projection: np.ndarray | None = None
    fill: np.ndarray | None = None
    label_shift: float = 0.0
    label_spread: float = 1.0
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the table."""
        return len(self.shift if self.projection is None else self.projection)

    def features(self, table: np.ndarray) -> np.ndarray:
        """What a learner sees of rows, float64 [n, F]."""
        if self.fill is not None:
            table = np.where(np.isnan(table), self.fill, table)
        projected = table if self.projection is None else table @ self.projection
        return (projected - self.shift) / self.spread


def to_onnx(learner: Learner, columns: Columns | None = None, *, independent: bool = False) -> Any:
    """An `onnx.ModelProto` that predicts as a fitted learner does, each row alone.

    Its input is "X", [n, F], of the learner's dtype. Its output is for losses of numbers
    "prediction", [n]; else "label", [n], and "probabilities", [n, C].

    Args:
      learner: fitted. Its Predict must draw nothing.
      columns: what becomes of a table before the learner sees it; then X is [n, columns].
        Labels are its names of classes: int64 if all are whole numbers, else texts.
      independent: as of `Learner.predict`: each row begins with the memory after training.
        Without it, a Predict that keeps something for the next row is refused.

    Raises:
      ImportError: the package onnx is missing.
      ValueError: not fitted, or Predict has an op or an address that ONNX cannot have; it is named.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install azero_jax[onnx]") from error
    if not isinstance(learner, Learner):
        raise ValueError(f"learner: expected a Learner, got {type(learner).__name__}")
    carried = dataflow.carried_by_predict(learner.program, learner.objective.vector_labels)
    if carried and not independent:
        names = ", ".join(sorted(carried))
        raise ValueError(
            f"to_onnx: Predict keeps {names} from one row to the next: expected rows that are alone; with "
            "independent=True each begins with the memory after training"
        )
    graph = _Graph(onnx, learner, columns)
    graph.write()
    model = onnx.helper.make_model(
        graph.proto(),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="azero_jax",
        producer_version=__version__,
    )
    about = {"program": learner.program.to_text()}
    if columns is not None and any(columns.feature_names):
        about["features"] = json.dumps(columns.feature_names)
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes and constants as they are written.

    Scalars are [n, 1, 1], vectors [n, F, 1] and matrices [n, F, F], with 1 in place of n
    where all rows have the same.
    """

    def __init__(self, onnx: Any, learner: Learner, columns: Columns | None):
        self.onnx = onnx
        self.learner = learner
        self.columns = columns
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.dtype = np.dtype(learner.dtype)
        self.objective = learner.objective
        self.vector_labels = self.objective.vector_labels
        memory = learner.memory_
        self.memory = memory
        self.size = len(memory.vectors[0])
        self.values: dict[str, str] = {}  # address to the name of its value
        self.outputs: list[Any] = []

    def write(self) -> None:
        """Writes everything."""
        size, dtype = self.size, self.dtype
        program = self.learner.program
        self.constants |= {
            "zero": np.zeros((), dtype),
            "one": np.ones((), dtype),
            "vector_shape": np.array([1, size, 1]),
            "matrix_shape": np.array([1, size, size]),
            "vector_axes": np.array([1]),
            "row_axes": np.array([2]),
            "matrix_axes": np.array([1, 2]),
            "column_shape": np.array([0, size, 1]),
        }
        self.values["v0"] = self.node("Reshape", [self.features(), "column_shape"])
        label = dataflow.label_address(self.vector_labels)
        self.values[label] = self.constant(np.zeros((1, size, 1) if self.vector_labels else (1, 1, 1)))
        for instruction in dataflow.instructions_of(program, "Predict"):
            self.values[dataflow.output_of(instruction)] = self.instruction(instruction)
        self.result()

    def features(self) -> str:
        """The name of the features, [n, F]."""
        columns, name = self.columns, "X"
        if columns is None:
            return name
        if columns.fill is not None:
            name = self.node("Where", [self.node("IsNaN", [name]), self.constant(columns.fill), name])
        if columns.projection is not None:
            name = self.node("MatMul", [name, self.constant(columns.projection)])
        return self.node("Div", [self.node("Sub", [name, self.constant(columns.shift)]), self.constant(columns.spread)])

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant of the learner's dtype."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, self.dtype)
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Adds a node; the name of its result."""
        name = f"t{len(self.nodes)}"
        if operator == "Transpose" and not attributes:
            attributes = {"perm": [0, 2, 1]}
        if operator == "Cast" and not attributes:
            attributes = {"to": self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)}
        if operator.startswith("Reduce"):
            attributes = {"keepdims": 1} | attributes
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def value(self, address: str) -> str:
        """The name of what an address holds: what Predict has written, or training has left."""
        if address not in self.values:
            number = np.asarray(self.memory[address])
            self.values[address] = self.constant(number.reshape((1, *number.shape, *[1] * (2 - number.ndim))))
        return self.values[address]

    def instruction(self, instruction: Instruction) -> str:
        """The name of what an instruction computes."""
        op, constants = instruction.op, instruction.constants
        if op.draws:
            raise ValueError(f"to_onnx: {str(instruction)!r} draws random numbers: expected a Predict without such ops")
        if op.writes_one_element:
            places = [min(int(np.float32(self.size) * np.float32(x)), self.size - 1) for x in constants[:-1]]
            mask = np.zeros((1, self.size, self.size if len(places) == 2 else 1), bool)
            mask[0, places[0], places[1] if len(places) == 2 else 0] = True
            name = f"c{len(self.constants)}"
            self.constants[name] = mask
            old = self.value(dataflow.output_of(instruction))
            return self.node("Where", [name, self.constant(np.array(constants[-1])), old])
        if op.constants:
            return self.constant(np.full((1, 1, 1), constants[0]))
        names = dict(zip("ab", map(self.value, dataflow.inputs_of(instruction))))
        result = ""
        for step in forms_of(op, "to_onnx").onnx.format(**names).split("; "):
            matched = re.fullmatch(r"(?:(\w+) = )?(\w+)\((.*)\)", step)
            assert matched is not None, step
            target, operator, inputs = matched.groups()
            result = self.node(operator, [names.get(name, name) for name in inputs.split(", ")])
            if target:
                names[target] = result
        return result

    def result(self) -> None:
        """Writes what the learner says of its prediction."""
        classes = self.learner.num_classes_
        raw = self.value(dataflow.prediction_address(self.vector_labels))
        # One for each row of X, also where all have the same.
        rows = self.node("Concat", [self.node("Shape", ["X"], start=0, end=1), self.shape([1, 1])], axis=0)
        raw = self.node("Expand", [raw, rows])
        helper, number = self.onnx.helper, self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        if not self.objective.has_classes:
            if self.columns is not None:
                raw = self.node("Mul", [raw, self.constant(np.array(self.columns.label_spread))])
                raw = self.node("Add", [raw, self.constant(np.array(self.columns.label_shift))])
            self.nodes.append(helper.make_node("Reshape", [raw, self.shape([-1])], ["prediction"]))
            self.outputs = [helper.make_tensor_value_info("prediction", number, ["n"])]
            return
        if self.vector_labels:
            flat = self.node("Reshape", [raw, self.shape([-1, self.size])])
            chosen = self.node("Slice", [flat, self.shape([0]), self.shape([classes]), self.shape([1])])
            self.nodes.append(helper.make_node("Softmax", [chosen], ["probabilities"], axis=1))
            number_of_class = self.node("ArgMax", [chosen], axis=1, keepdims=0)
        else:
            positive = self.node("Sigmoid", [self.node("Reshape", [raw, self.shape([-1, 1])])])
            negative = self.node("Sub", ["one", positive])
            self.nodes.append(helper.make_node("Concat", [negative, positive], ["probabilities"], axis=1))
            above = self.node("Greater", [positive, self.constant(np.array(0.5))])
            flat = self.node("Reshape", [above, self.shape([-1])])
            number_of_class = self.node("Cast", [flat], to=self.onnx.TensorProto.INT64)
        names = self.class_names(classes)
        name = f"c{len(self.constants)}"
        self.constants[name] = names
        self.nodes.append(helper.make_node("Gather", [name, number_of_class], ["label"]))
        self.outputs = [
            helper.make_tensor_value_info("label", helper.np_dtype_to_tensor_dtype(names.dtype), ["n"]),
            helper.make_tensor_value_info("probabilities", number, ["n", classes]),
        ]

    def class_names(self, count: int) -> np.ndarray:
        """What the model calls the classes: int64 or texts, [C]."""
        names = (self.columns.class_names if self.columns is not None else ()) or tuple(map(str, range(count)))
        try:
            numbers = np.array([int(name) for name in names])
        except ValueError:
            return np.array(names, object)
        return numbers if tuple(map(str, numbers.tolist())) == names else np.array(names, object)

    def shape(self, numbers: list[int]) -> str:
        """The name of a constant of integers."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def proto(self) -> Any:
        """The graph."""
        helper = self.onnx.helper
        number = helper.np_dtype_to_tensor_dtype(self.dtype)
        width = self.size if self.columns is None else self.columns.width
        inputs = [helper.make_tensor_value_info("X", number, ["n", width])]
        used = {name for node in self.nodes for name in node.input}
        constants = [
            self.onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used
        ]
        return helper.make_graph(self.nodes, "predict", inputs, self.outputs, constants)
