"""A program as jitted JAX functions: set up, train and predict, pure functions of a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from azero_jax import dataflow, draws, lane_forms, ops
from azero_jax.execution import precision
from azero_jax.export.draw_keys import draw_keys
from azero_jax.export.subject import Subject
from azero_jax.instructions import element_index
from azero_jax.program import Instruction, MemorySize, Program
from azero_jax.text import COMPONENT_FUNCTIONS

# Values by name of address, with "step" (uint32) and "failed" (bool).
ProgramState = dict[str, Array]


class JaxProgram(NamedTuple):
    """Functions of one program.

    Attributes:
      setup: of the number of features, to the state before training.
      train: of (state, X, y), to the state after training on the rows in order; `failed`
        is true from the first error above max_abs_error, or NaN, on.
      predict: of (state, X), to predictions [n]: of losses of numbers these, of those of two
        classes probabilities of class 1, of those of several scores [n, C]. Rows are run in
        order, from the state given.
    """

    setup: Callable[[int], ProgramState]
    train: Callable[[ProgramState, ArrayLike, ArrayLike], ProgramState]
    predict: Callable[[ProgramState, ArrayLike], Array]


def to_jax(
    program: Program,
    *,
    loss: str = "rmse",
    num_classes: int = 2,
    max_abs_error: float = 100.0,
    dtype: str = "float32",
    seed: int = 0,
    memory: MemorySize | None = None,
) -> JaxProgram:
    """Jitted functions that do what the program does, without dead instructions.

    Args:
      program: what to export; registered ops are fine.
      loss: as of `Learner`.
      num_classes: C, of losses of several classes.
      max_abs_error: as of `Learner`.
      dtype: as of `Learner`.
      seed: as of `Learner`.
      memory: as of `Learner`.

    Raises:
      ValueError: an argument out of range.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r}: expected 'float32' or 'float64'")
    subject = Subject.of(program, loss, memory)
    keys = draw_keys(subject.program, seed)
    traced = _Traced(subject, num_classes, max_abs_error, np.dtype(dtype), keys)
    setup = jax.jit(traced.setup, static_argnums=0)
    train, predict = jax.jit(traced.train), jax.jit(traced.predict)

    def number(values: ArrayLike, name: str, axes: int) -> Array:
        array = jnp.asarray(values, dtype)
        if array.ndim != axes:
            raise ValueError(f"{name}: shape {array.shape}: expected {axes} axes")
        return array

    def run_setup(features_size: int) -> ProgramState:
        with precision(dtype):
            return setup(features_size)

    def run_train(state: ProgramState, X: ArrayLike, y: ArrayLike) -> ProgramState:
        with precision(dtype):
            return train(state, number(X, "X", 2), number(y, "y", 1))

    def run_predict(state: ProgramState, X: ArrayLike) -> Array:
        with precision(dtype):
            return predict(state, number(X, "X", 2))

    return JaxProgram(run_setup, run_train, run_predict)


class _Traced(NamedTuple):
    """The functions before they are jitted.

    Attributes:
      subject: the program.
      num_classes, max_abs_error, dtype: as of `to_jax`.
      keys: of random instructions.
    """

    subject: Subject
    num_classes: int
    max_abs_error: float
    dtype: np.dtype
    keys: dict[tuple[str, int], int]

    def names(self) -> set[str]:
        """Addresses of the state."""
        names = {self.subject.prediction, self.subject.label, "v0"}
        for function in COMPONENT_FUNCTIONS:
            for instruction in dataflow.instructions_of(self.subject.program, function):
                names |= {*dataflow.inputs_of(instruction), dataflow.output_of(instruction)}
        return names

    def setup(self, features_size: int) -> ProgramState:
        """The state after Setup."""
        state = {name: jnp.zeros(ops.output_shape(name[0], features_size), self.dtype) for name in sorted(self.names())}
        state |= {"step": jnp.uint32(0), "failed": jnp.bool_(False)}
        return self.execute("Setup", state)

    def train(self, state: ProgramState, X: Array, y: Array) -> ProgramState:
        """The state after training on some rows."""

        def visit(state, example):
            x, label = example
            state = self.execute("Predict", self.hidden(state, x))
            prediction = self.normalised(state)
            wanted = jnp.arange(self.num_classes) == label if self.subject.vector_labels else label
            error = jnp.max(jnp.abs(wanted - prediction))
            state["failed"] |= ~(error <= self.max_abs_error)
            state = self.execute("Learn", self.shown(state, label, prediction))
            return state | {"step": state["step"] + np.uint32(1)}, None

        return lax.scan(visit, dict(state), (X, y))[0]

    def predict(self, state: ProgramState, X: Array) -> Array:
        """Predictions of some rows."""

        def visit(state, x):
            state = self.execute("Predict", self.hidden(state, x))
            if self.subject.vector_labels:
                prediction = state[self.subject.prediction][: self.num_classes]
            else:
                prediction = self.normalised(state)
            return state | {"step": state["step"] + np.uint32(1)}, prediction

        return lax.scan(visit, dict(state), X)[1]

    def hidden(self, state: ProgramState, x: Array) -> ProgramState:
        """With the features of an example and no label."""
        label = self.subject.label
        return state | {"v0": x, label: jnp.zeros_like(state[label])}

    def shown(self, state: ProgramState, label: Array, prediction: Array) -> ProgramState:
        """With the label, and the prediction as a probability."""
        if self.subject.vector_labels:
            size = state["v0"].shape[0]
            one_hot = (jnp.arange(size) == label).astype(self.dtype)
            padded = jnp.zeros(size, self.dtype).at[: self.num_classes].set(prediction)
            return state | {self.subject.label: one_hot, self.subject.prediction: padded}
        return state | {self.subject.label: label, self.subject.prediction: prediction}

    def normalised(self, state: ProgramState) -> Array:
        """The prediction, as a probability where there are classes."""
        prediction = state[self.subject.prediction]
        return self.subject.objective.normalised(
            prediction[: self.num_classes] if self.subject.vector_labels else prediction
        )

    def execute(self, function: str, state: ProgramState) -> ProgramState:
        """The state after the instructions of a component function."""
        state = dict(state)
        for number, instruction in enumerate(self.subject.program.instructions(function)):
            if instruction.op.output:
                key = self.keys.get((function, number))
                state[dataflow.output_of(instruction)] = self.value(instruction, state, key)
        return state

    def value(self, instruction: Instruction, state: ProgramState, key: int | None) -> Array:
        """What one instruction computes."""
        op, size = instruction.op, state["v0"].shape[0]
        shape = ops.output_shape(op.output, size)
        constants = np.array(instruction.constants, self.dtype)
        if key is not None:
            bits = draws.random_bits(
                jnp.asarray(np.uint32(key)), state["step"], jnp.zeros(1, jnp.uint32), int(np.prod(shape))
            )
            if op.draws == "uniform":
                drawn = constants[0] + (constants[1] - constants[0]) * draws.uniform(bits, self.dtype)
            else:
                drawn = constants[0] + constants[1] * draws.gaussian(bits, self.dtype)
            return drawn.reshape(shape)
        if op.writes_one_element:
            places = tuple(element_index(fraction, size) for fraction in constants[:-1])
            return state[dataflow.output_of(instruction)].at[places].set(constants[-1])
        if op.constants:
            return jnp.asarray(constants[0])
        # In the form of the machine, with one lane, so that sums are made in its order.
        inputs = [state[name][..., None] for name in dataflow.inputs_of(instruction)]
        return lane_forms.apply(op, inputs, size)[..., 0]
