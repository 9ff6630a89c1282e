"""An interpreter in plain NumPy that shares no code with the package.

It reads program text line by line with its own rules and runs one task at a time
in float64, as slowly and plainly as possible. Random ops are not supported.
"""

from __future__ import annotations

import functools
import re

import numpy as np

_REGISTER = r"([svm])(\d+)"


def _total(x, axis=None):
    """Of terms that are all -0 the sum is -0, as IEEE 754 has it, unless there are many features."""
    return np.sum(x, axis=axis, initial=-0.0 if x.shape[-1] <= 32 else 0.0)


def _mean(x, axis=None):
    return _total(x, axis) / (x.size if axis is None else x.shape[axis])


def _dot(a, b):
    return _total(a * b, axis=-1)


def _matmul(a, b):
    return _total(a[:, None] * b.T[None], axis=-1)


def _std(x, axis=None):
    return np.sqrt(np.mean(x * x, axis=axis) - np.mean(x, axis=axis) ** 2)


def _norm(x, axis=None):
    return np.sqrt(np.sum(x * x, axis=axis))


def _pick(kind, better, a, b):
    """std::min and std::max for scalars and vectors, comparison and else for matrices."""
    if kind == "m":
        return np.where(better(a, b), a, b)
    return np.where(better(b, a), b, a)


_CALLS = {
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "exp": np.exp,
    "log": np.log,
    "outer": np.outer,
    "transpose": np.transpose,
    "matmul": _matmul,
    "dot": _dot,
}


class _Machine:
    def __init__(self, features_size, memory):
        self.size = features_size
        self.memory = {
            "s": [np.float64(0)] * memory["scalars"],
            "v": [np.zeros(features_size) for _ in range(memory["vectors"])],
            "m": [np.zeros((features_size, features_size)) for _ in range(memory["matrices"])],
        }

    def read(self, token):
        kind, address = re.fullmatch(_REGISTER, token).groups()
        return self.memory[kind][int(address)]

    def write(self, token, value):
        kind, address = re.fullmatch(_REGISTER, token).groups()
        shape = {"s": (), "v": (self.size,), "m": (self.size, self.size)}[kind]
        self.memory[kind][int(address)] = np.array(np.broadcast_to(value, shape), np.float64)

    def index(self, fraction):
        return int(np.float32(self.size) * np.float32(fraction))

    def execute(self, line):
        if line == "NoOp()":
            return
        left, right = (part.strip() for part in line.split("=", 1))
        element = re.fullmatch(_REGISTER + r"\[(.+)\]", left)
        if element:
            kind, address, inside = element.groups()
            where = tuple(self.index(part) for part in inside.split(","))
            value = self.memory[kind][int(address)].copy()
            value[where] = float(right)
            self.memory[kind][int(address)] = value
            return
        with np.errstate(all="ignore"):
            self.write(left, self.value(left[0], right))

    def value(self, kind, text):
        binary = re.fullmatch(r"(\w+) ([-+*/]) (\w+)", text)
        if binary:
            a, sign, b = binary.groups()
            x = np.float64(1) if a == "1" else self.read(a)
            y = self.read(b)
            return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[sign](x, y)
        call = re.fullmatch(r"(\w+)\((.*)\)", text)
        if not call:
            return float(text)
        name, inside = call.groups()
        arguments = [part.strip() for part in inside.split(",")]
        operands = [self.read(argument) for argument in arguments if re.fullmatch(_REGISTER, argument)]
        axis = next((int(argument[5:]) for argument in arguments if argument.startswith("axis=")), None)
        if name in _CALLS:
            return _CALLS[name](*operands)
        if name == "heaviside":
            return (operands[0] >= 0 if kind == "s" else operands[0] > 0).astype(np.float64)
        if name == "bcast":
            if kind == "v":
                return operands[0]
            return np.tile(
                operands[0][:, None] if axis == 0 else operands[0][None, :],
                (1, self.size) if axis == 0 else (self.size, 1),
            )
        if name in ("minimum", "maximum"):
            return _pick(kind, np.less if name == "minimum" else np.greater, *operands)
        return {"norm": _norm, "mean": _mean, "std": _std}[name](operands[0], axis=axis)


def _functions(text):
    functions = {"Setup": [], "Predict": [], "Learn": []}
    current = None
    for line in text.splitlines():
        header = re.match(r"def (\w+)\(\):", line)
        if header:
            current = functions[header.group(1)]
        elif line.strip():
            current.append(line.strip())
    return functions


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def cost(loss, prediction, y):
    """What one validation example adds, from what Predict leaves."""
    if loss == "accuracy":
        return (sigmoid(prediction) > 0.5) != (y > 0.5)
    if loss == "multiclass_accuracy":
        return np.isnan(prediction).any() or np.argmax(prediction) != y
    if loss == "cross_entropy":
        return np.logaddexp(0, prediction if y == 0 else -prediction)
    if loss == "multiclass_cross_entropy":
        return np.logaddexp.reduce(prediction - prediction[int(y)])
    error = abs(y - prediction)
    if loss == "huber":
        return error**2 / 2 if error <= 1 else error - 0.5
    return error**2 if loss == "rmse" else error


def fitness(loss, mean):
    """Fitness of the mean cost of the validation examples."""
    if loss.endswith("accuracy"):
        return 1 - mean
    if loss.endswith("cross_entropy"):
        return np.exp(-mean)
    return 1 - 2 / np.pi * np.arctan(np.sqrt(mean) if loss == "rmse" else mean)


def evaluate(text, task, memory, loss, max_abs_error=100.0, orders=None, own=None):
    """Fitness and train steps of one program on one task.

    Args:
      text: the program.
      task: (train_features, train_labels, valid_features, valid_labels).
      memory: {"scalars": n, "vectors": n, "matrices": n}.
      loss: its name; with several classes the label is in v1 and the prediction in v2.
      own: of a loss that is not built in what labels are, the cost of an example and the fitness.
      max_abs_error: a larger error stops the task.
      orders: order of the training examples of each epoch; by default one epoch in order.
    """
    train_x, train_y, valid_x, valid_y = (np.asarray(part, np.float64) for part in task)
    functions = _functions(text)
    machine = _Machine(train_x.shape[1], memory)
    labels = "binary" if loss in ("accuracy", "cross_entropy") else "classes" if "multiclass" in loss else "numbers"
    labels, cost_of, fitness_of = own or (labels, functools.partial(cost, loss), functools.partial(fitness, loss))
    multiclass, binary = labels == "classes", labels == "binary"
    label_register, prediction_register = ("v1", "v2") if multiclass else ("s0", "s1")
    classes = int(max(np.max(train_y), np.max(valid_y))) + 1

    def run(name):
        for line in functions[name]:
            machine.execute(line)

    def predict(x):
        machine.write(label_register, 0)
        machine.write("v0", x)
        run("Predict")
        return machine.read(prediction_register)

    def softmax(x):
        with np.errstate(all="ignore"):
            e = np.exp(x[:classes] - np.max(x[:classes]))
            return np.concatenate([e / np.sum(e), np.zeros(len(x) - classes)])

    run("Setup")
    best, steps = 0.0, 0
    for order in orders if orders is not None else [range(len(train_x))]:
        for i in order:
            prediction = predict(train_x[i])
            if binary:
                prediction = sigmoid(prediction)
                machine.write("s1", prediction)
            label = train_y[i]
            if multiclass:
                prediction = softmax(prediction)
                machine.write("v2", prediction)
                label = np.eye(len(prediction))[int(label)]
            steps += 1
            if not np.all(np.abs(label - prediction) <= max_abs_error):
                return best, steps
            machine.write(label_register, label)
            run("Learn")
        total = 0.0
        for x, y in zip(valid_x, valid_y):
            prediction = predict(x)
            if not (multiclass or binary) and not abs(y - prediction) <= max_abs_error:
                return best, steps
            with np.errstate(all="ignore"):
                total += cost_of(prediction[:classes] if multiclass else prediction, y)
        mean = total / len(valid_x)
        if np.isfinite(mean):
            best = max(best, fitness_of(mean))
    return best, steps
