"""The trained predictor of a learner as ONNX, where its ops allow: no training, no memory between rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from azero_jax import dataflow
from azero_jax.export.forms import forms_of
from azero_jax.learner import Learner
from azero_jax.program import Instruction
from azero_jax.version import __version__

_OPSET = 18
_IR_VERSION = 9


def to_onnx(learner: Learner) -> Any:
    """An `onnx.ModelProto` that predicts as a fitted learner does.

    Its input is "X", [n, F], of the learner's dtype. Its output is for losses of numbers
    "prediction", [n]; else "label", int64 [n], and "probabilities", [n, C].

    Args:
      learner: fitted. Its Predict must treat each row alone: write no address that it reads
        before, and draw nothing.

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
    graph = _Graph(onnx, learner)
    graph.write()
    model = onnx.helper.make_model(
        graph.proto(),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="azero_jax",
        producer_version=__version__,
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes and constants as they are written.

    Scalars are [n, 1, 1], vectors [n, F, 1] and matrices [n, F, F], with 1 in place of n
    where all rows have the same.
    """

    def __init__(self, onnx: Any, learner: Learner):
        self.onnx = onnx
        self.learner = learner
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
        carried = dataflow.carried_by_predict(program, self.vector_labels)
        if carried:
            names = ", ".join(sorted(carried))
            raise ValueError(f"to_onnx: Predict keeps {names} from one row to the next: expected rows that are alone")
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
        self.values["v0"] = self.node("Reshape", ["X", "column_shape"])
        label = dataflow.label_address(self.vector_labels)
        self.values[label] = self.constant(np.zeros((1, size, 1) if self.vector_labels else (1, 1, 1)))
        for instruction in dataflow.instructions_of(program, "Predict"):
            self.values[dataflow.output_of(instruction)] = self.instruction(instruction)
        self.result()

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
            self.nodes.append(helper.make_node("Reshape", [raw, self.shape([-1])], ["prediction"]))
            self.outputs = [helper.make_tensor_value_info("prediction", number, ["n"])]
            return
        if self.vector_labels:
            flat = self.node("Reshape", [raw, self.shape([-1, self.size])])
            chosen = self.node("Slice", [flat, self.shape([0]), self.shape([classes]), self.shape([1])])
            self.nodes.append(helper.make_node("Softmax", [chosen], ["probabilities"], axis=1))
            self.nodes.append(helper.make_node("ArgMax", [chosen], ["label"], axis=1, keepdims=0))
        else:
            positive = self.node("Sigmoid", [self.node("Reshape", [raw, self.shape([-1, 1])])])
            negative = self.node("Sub", ["one", positive])
            self.nodes.append(helper.make_node("Concat", [negative, positive], ["probabilities"], axis=1))
            above = self.node("Greater", [positive, self.constant(np.array(0.5))])
            flat = self.node("Reshape", [above, self.shape([-1])])
            self.nodes.append(helper.make_node("Cast", [flat], ["label"], to=self.onnx.TensorProto.INT64))
        self.outputs = [
            helper.make_tensor_value_info("label", self.onnx.TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", number, ["n", classes]),
        ]

    def shape(self, numbers: list[int]) -> str:
        """The name of a constant of integers."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def proto(self) -> Any:
        """The graph."""
        helper = self.onnx.helper
        number = helper.np_dtype_to_tensor_dtype(self.dtype)
        inputs = [helper.make_tensor_value_info("X", number, ["n", self.size])]
        used = {name for node in self.nodes for name in node.input}
        constants = [
            self.onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used
        ]
        return helper.make_graph(self.nodes, "predict", inputs, self.outputs, constants)
