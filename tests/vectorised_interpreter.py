"""An interpreter in plain NumPy that runs all tasks at once and shares no code with the package.

As `reference_interpreter`, it reads program text by its own rules; beyond that it knows
random ops, both dtypes and several epochs, and takes less than a millisecond for a usual
program. With noise, each op's result is off by as much as rounding can make it: what
comes out then says how far rounding alone can move a program's fitness.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from scipy import special

_REGISTER = re.compile(r"([svm])(\d+)")
_FUNCTIONS = ("Setup", "Predict", "Learn")
# Numbers of table S1 of the paper, by which random ops are told apart.
_RANDOM_OPS = {
    ("uniform", "s"): 59,
    ("uniform", "v"): 60,
    ("uniform", "m"): 61,
    ("gaussian", "s"): 62,
    ("gaussian", "v"): 63,
    ("gaussian", "m"): 64,
}
_MOST_TERMS = 32  # sums of more begin with +0


class Tasks(NamedTuple):
    """Examples of D tasks: features [D, n, F], labels [D, n]."""

    train_features: np.ndarray
    train_labels: np.ndarray
    valid_features: np.ndarray
    valid_labels: np.ndarray


class Line(NamedTuple):
    """One instruction: what it writes, from what, and how."""

    output: tuple[str, int] | None
    inputs: tuple[tuple[str, int], ...]
    name: str
    numbers: tuple[float, ...]
    axis: int | None
    keeps: bool  # it sets one element and keeps the others


def parse(text: str) -> dict[str, list[Line]]:
    """The instructions of each component function."""
    functions: dict[str, list[Line]] = {name: [] for name in _FUNCTIONS}
    current: list[Line] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("def "):
            current = functions[line[4 : line.index("(")]]
        elif line:
            current.append(_parse_line(line))
    return functions


def _parse_line(line: str) -> Line:
    if line == "NoOp()":
        return Line(None, (), "no-op", (), None, False)
    left, right = (part.strip() for part in line.split("=", 1))
    kind, address = _REGISTER.match(left).groups()  # type: ignore[union-attr]
    output = kind, int(address)
    if "[" in left:
        indices = tuple(float(part) for part in left[left.index("[") + 1 : -1].split(","))
        return Line(output, (), "element", (*indices, float(right)), None, True)
    axis = re.search(r"axis=(\d)", right)
    inputs = tuple((kind, int(address)) for kind, address in _REGISTER.findall(right))
    call = re.match(r"(\w+)\(", right)
    if call:
        numbers = _numbers(right) if call.group(1) in ("uniform", "gaussian") else ()
        return Line(output, inputs, call.group(1), numbers, int(axis.group(1)) if axis else None, False)
    if not inputs:
        return Line(output, (), "constant", (float(right),), None, False)
    sign = right.split()[1]
    return Line(output, inputs, "1/" if len(inputs) == 1 else sign, (), None, False)


def _numbers(right: str) -> tuple[float, float]:
    low, high = right[right.index("(") + 1 :].split(",")[:2]
    return float(low), float(high.rstrip(")"))


def live_lines(functions: dict[str, list[Line]], given: set, prediction: tuple[str, int]) -> dict[str, list[bool]]:
    """Which lines can reach a prediction: backward, again and again, until nothing changes.

    Args:
      functions: as `parse` returns them.
      given: the registers that are set before Predict and before Learn.
      prediction: the register that is read after Predict.
    """
    live = {name: [False] * len(lines) for name, lines in functions.items()}

    def back(name: str, needed: set) -> set:
        for place in range(len(functions[name]) - 1, -1, -1):
            line = functions[name][place]
            if line.output in needed:
                live[name][place] = True
                needed = (needed if line.keeps else needed - {line.output}) | set(line.inputs)
        return needed

    carried: set = set()
    while True:
        # What is needed when Predict begins, from what is needed when the next one does.
        before_learn = back("Learn", set(carried)) - given
        needed = back("Predict", before_learn | carried | {prediction}) - given
        if needed <= carried:
            break
        carried |= needed
    back("Setup", set(carried))
    return live


def _mix(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x21F0AAAD)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0xD35A2D97)
    return x ^ (x >> np.uint32(15))


def _draw_keys(functions, live, seed: int) -> dict[str, list[np.ndarray | None]]:
    """The key of each random instruction: seed, function, op, address, and how many live ones like it came before."""
    word = np.random.SeedSequence(seed).generate_state(1)
    keys: dict[str, list[np.ndarray | None]] = {}
    for number, name in enumerate(_FUNCTIONS):
        seen: dict = {}
        keys[name] = []
        for line, matters in zip(functions[name], live[name]):
            key = None
            if line.name in ("uniform", "gaussian"):
                kind, address = line.output  # type: ignore[misc]
                op = _RANDOM_OPS[line.name, kind]
                occurrence = seen.get((op, address), 0)
                seen[op, address] = occurrence + matters
                key = word
                for value, factor in zip(
                    (number, op, address, occurrence), (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
                ):
                    key = _mix(key + np.uint32((value + 1) * factor & 0xFFFFFFFF))
            keys[name].append(key)
    return keys


class Noise:
    """How one run rounds: what moves results, and how sums and products are formed.

    The remainder of the number by four says how. 0: every result is moved anew. Rounding of the
    same operands is always the same, so in the others each place in the program keeps what it
    has drawn: 1, for every element its own; 2, one for all elements; 3, no result is moved,
    but sums and products are formed otherwise.
    """

    def __init__(self, number: int):
        self._random = np.random.default_rng(number)
        self._anew, self._alike, self._moves = number % 4 == 0, number % 4 == 2, number % 4 != 3
        self._kept: dict = {}
        self._line: tuple = ()
        self._calls = 0

    def begin(self, *line) -> None:
        """The next draws are for this line of the program."""
        self._line, self._calls = line, 0

    def units(self, shape: tuple[int, ...]) -> np.ndarray:
        """From -1 to 1 in quarters, for each element."""
        if not self._moves:
            return np.zeros((1,) * len(shape))
        shape = (1,) * len(shape) if self._alike else shape
        return self._drawn(lambda: self._random.integers(-4, 5, shape) / 4)

    def share(self, shape: tuple[int, ...]) -> np.ndarray:
        """From -1 to 1 for each element."""
        shape = (1,) * len(shape) if self._alike else shape
        return self._drawn(lambda: self._random.uniform(-1, 1, shape))

    def otherwise(self) -> bool:
        """Whether to do it the other way."""
        return self._drawn(lambda: self._random.random() < 0.5)

    def order(self, count: int) -> np.ndarray:
        """In which order so many terms are added."""
        return self._drawn(lambda: self._random.permutation(count))

    def _drawn(self, draw):
        self._calls += 1
        if self._anew:
            return draw()
        place = *self._line, self._calls
        if place not in self._kept:
            self._kept[place] = draw()
        return self._kept[place]


class Interpreter:
    """Runs programs on tasks.

    Args:
      tasks: D of them.
      loss: its name; with several classes the label is in v1 and the prediction in v2.
      memory: {"s": scalars, "v": vectors, "m": matrices}.
      max_abs_error: a larger error stops a task.
      orders: the order of the training examples of each epoch.
      seed: of random ops.
      dtype: of all numbers.
    """

    def __init__(self, tasks, *, loss, memory, max_abs_error, orders, seed, dtype):
        self.dtype = np.dtype(dtype)
        self.tasks = Tasks(*(np.asarray(part, self.dtype) for part in tasks))
        self.loss, self.memory_size, self.max_abs_error = loss, memory, max_abs_error
        self.orders, self.seed = orders, seed
        self.num_tasks, _, self.size = self.tasks.train_features.shape
        self.classes = int(max(self.tasks.train_labels.max(), self.tasks.valid_labels.max())) + 1
        vectors = loss.startswith("multiclass_")
        self.binary = loss in ("accuracy", "cross_entropy")
        self.label, self.prediction = (("v", 1), ("v", 2)) if vectors else (("s", 0), ("s", 1))
        self.given = {self.label, ("v", 0)}
        self._tiny = np.finfo(self.dtype).tiny
        self._wide = np.longdouble if self.dtype == np.float64 else np.float64
        self._noise: Noise | None = None

    def run(self, text: str, noise: int | None = None, only_live: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Fitness float64 [D] and train steps int64 [D] of a program.

        Args:
          text: the program.
          noise: number of a `Noise`, which moves the result of every op by what rounding can.
          only_live: leaves out what `live_lines` does not need, which saves most of the time.
        """
        self._noise = None if noise is None else Noise(noise)
        functions = parse(text)
        live = live_lines(functions, self.given, self.prediction)
        keys = _draw_keys(functions, live, self.seed)
        if only_live:
            for name in _FUNCTIONS:
                keys[name] = [key for key, matters in zip(keys[name], live[name]) if matters]
                functions[name] = [line for line, matters in zip(functions[name], live[name]) if matters]
        self._keys = keys
        # Arithmetic makes denormal numbers of others, too, but only moves bring them to an op unseen.
        self._flush_operands = any(
            0 < abs(number) < float(self._tiny)
            for lines in functions.values()
            for line in lines
            for number in line.numbers
        )
        shapes = {"s": (), "v": (self.size,), "m": (self.size, self.size)}
        self.memory = {
            (kind, address): np.zeros((self.num_tasks, *shapes[kind]), self.dtype)
            for kind, count in self.memory_size.items()
            for address in range(count)
        }
        with np.errstate(all="ignore"):
            return self._train(functions)

    def _train(self, functions) -> tuple[np.ndarray, np.ndarray]:
        tasks = self.tasks
        alive = np.ones(self.num_tasks, bool)
        steps = np.zeros(self.num_tasks, np.int64)
        best = np.zeros(self.num_tasks)
        self._execute("Setup", functions, 0)
        position = 0
        for order in self.orders:
            for example in order:
                if not alive.any():
                    return best, steps
                self._predict(functions, tasks.train_features[:, example], position)
                steps += alive
                self._begin("prediction", 0)
                label, prediction = tasks.train_labels[:, example], self._normalised()
                error = np.abs(label.reshape(-1, *[1] * (prediction.ndim - 1)) - prediction)
                if self.prediction == ("v", 2):
                    label = np.eye(self.size, dtype=self.dtype)[label.astype(int)]
                    error = np.abs(label - prediction).max(axis=1)
                    error[np.isnan(prediction).any(axis=1)] = np.nan
                alive = alive & (error <= self.max_abs_error)
                self.memory[self.prediction] = prediction
                self.memory[self.label] = label
                self.memory["v", 0] = tasks.train_features[:, example]
                self._execute("Learn", functions, position)
                position += 1
            total = np.zeros(self.num_tasks, self.dtype)
            for example in range(tasks.valid_features.shape[1]):
                self._predict(functions, tasks.valid_features[:, example], position)
                self._begin("prediction", 0)
                error, fine = self._validation_error(tasks.valid_labels[:, example])
                total = total + error
                alive = alive & fine
                position += 1
            position += 1
            mean = total.astype(np.float64) / tasks.valid_features.shape[1]
            fitness = self._fitness(mean)
            best = np.where(alive & np.isfinite(fitness), np.maximum(best, fitness), best)
        return best, steps

    def _predict(self, functions, features: np.ndarray, position: int) -> None:
        self.memory[self.label] = np.zeros_like(self.memory[self.label])
        self.memory["v", 0] = features
        self._execute("Predict", functions, position)

    def _normalised(self) -> np.ndarray:
        prediction = self.memory[self.prediction]
        if self.binary:
            return self._sigmoid(prediction)
        if self.prediction == ("s", 1):
            return prediction
        scores = prediction[:, : self.classes]
        e = self._flushed(self._off(np.exp(scores - scores.max(axis=1, keepdims=True))))
        probabilities = np.zeros_like(prediction)
        probabilities[:, : self.classes] = self._flushed(self._off(e / self.total(e, (1,))[:, None]))
        return probabilities

    def _sigmoid(self, x: np.ndarray) -> np.ndarray:
        """Of zero exactly a half; of numbers near it rounding decides whether it is more."""
        return (1 / (1 + np.where(x == 0, 1, self._off(np.exp(-x))))).astype(self.dtype)

    def _validation_error(self, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What an example of each task adds up to, and whether the task goes on."""
        prediction = self.memory[self.prediction]
        fine = np.ones(self.num_tasks, bool)
        if self.loss == "accuracy":
            return ((self._sigmoid(prediction) > 0.5) != (label > 0.5)).astype(self.dtype), fine
        if self.loss.endswith("cross_entropy"):
            self._begin("cost", 0)  # other sums than those of probabilities
        if self.loss == "cross_entropy":
            return self._off(np.logaddexp(0, np.where(label > 0.5, -prediction, prediction))), fine
        if self.prediction == ("v", 2):
            scores = self._flushed(prediction[:, : self.classes])
            if self.loss == "multiclass_accuracy":
                wrong = np.isnan(scores).any(axis=1) | (np.argmax(scores, axis=1) != label)
                return wrong.astype(self.dtype), fine
            own = np.take_along_axis(scores, label.astype(int)[:, None], axis=1)
            largest = scores.max(axis=1, keepdims=True)
            total = self.total(self._off(np.exp(scores - largest)), (1,))
            return self._off(np.log(total) + (largest - own)[:, 0]), fine
        error = np.abs(label - prediction)
        added = {
            "rmse": lambda: error * error,
            "mae": lambda: error,
            "huber": lambda: np.where(error <= 1, error * error / 2, error - self.dtype.type(0.5)),
        }[self.loss]()
        return added, error <= self.max_abs_error

    def _fitness(self, mean: np.ndarray) -> np.ndarray:
        if self.loss.endswith("accuracy"):
            return 1 - mean
        if self.loss.endswith("cross_entropy"):
            return np.exp(-mean)
        return 1 - 2 / np.pi * np.arctan(np.sqrt(mean) if self.loss == "rmse" else mean)

    def _execute(self, name: str, functions, position: int) -> None:
        memory = self.memory
        for place, (line, key) in enumerate(zip(functions[name], self._keys[name])):
            if line.output is None:
                continue
            self._begin(name, place)
            operands = [memory[register] for register in line.inputs]
            value = self._value(line, *operands) if key is None else self._drawn(line, key, position)
            kind = line.output[0]
            if line.inputs or key is not None:
                value = self._off(value)
            if line.name not in ("constant", "element", "transpose"):
                value = self._flushed(value)
            memory[line.output] = np.broadcast_to(
                value, (self.num_tasks, *{"s": (), "v": (self.size,), "m": (self.size, self.size)}[kind])
            ).astype(self.dtype)

    def _drawn(self, line: Line, key: np.ndarray, position: int) -> np.ndarray:
        kind = line.output[0]  # type: ignore[index]
        rows = {"s": 1, "v": self.size, "m": self.size**2}[kind]
        golden = np.uint32(0x9E3779B9)
        tasks = np.arange(self.num_tasks, dtype=np.uint32)
        stream = _mix(_mix(key ^ (np.uint32(position) * golden)) + tasks * np.uint32(0x85EBCA6B))
        bits = _mix(stream[:, None] + np.arange(rows, dtype=np.uint32)[None] * golden)
        uniform = (bits >> np.uint32(8)).astype(self.dtype) * self.dtype.type(2.0**-24)
        a, b = (self.dtype.type(number) for number in line.numbers)
        if line.name == "uniform":
            value = self.fused(b - a, uniform, a)
        else:
            centred = 2 * uniform.astype(np.float64) + 2.0**-24 - 1
            normal = np.sqrt(2) * special.erfinv(centred)
            if self._noise is not None:  # the machine's polynomial is right to single precision
                normal = normal * (1 + 1e-6 * self._noise.share(normal.shape))
            value = self.fused(b, normal.astype(self.dtype), a)
        shape = {"s": (), "v": (self.size,), "m": (self.size, self.size)}[kind]
        return value.reshape(self.num_tasks, *shape)

    def _value(self, line: Line, *operands: np.ndarray) -> np.ndarray:
        if self._flush_operands and line.name != "transpose":
            operands = tuple(self._flushed(operand) for operand in operands)
        kind = line.output[0]  # type: ignore[index]
        if line.name == "constant":
            return np.full(self.num_tasks, line.numbers[0], self.dtype)
        if line.name == "element":
            *indices, number = line.numbers
            value = self.memory[line.output].copy()  # type: ignore[index]
            where = tuple(min(int(np.float32(self.size) * np.float32(i)), self.size - 1) for i in indices)
            value[(slice(None), *where)] = number
            return value
        return _OPS[line.name](self, kind, line.axis, *operands)

    def fused(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """a * b + c; with noise sometimes rounded but once, as processors do it."""
        if self._noise is not None and self._noise.otherwise():
            a, b, c = (np.asarray(x, self._wide) for x in (a, b, c))
            return (a * b + c).astype(self.dtype)
        return self._flushed(a * b) + c

    def _begin(self, *line) -> None:
        if self._noise is not None:
            self._noise.begin(*line)

    def _off(self, value: np.ndarray) -> np.ndarray:
        """The value, with noise by up to four units in the last place."""
        if self._noise is None:
            return value
        return value * (1 + self._noise.units(value.shape) * (2 * np.finfo(self.dtype).eps)).astype(self.dtype)

    def _flushed(self, value: np.ndarray) -> np.ndarray:
        """Arithmetic takes denormal numbers for zeros."""
        small = np.abs(value) < self._tiny
        return np.where(small, value * 0, value) if small.any() else value

    # Ops, for all tasks at once.

    def total(self, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """Of terms that are all -0 the sum is -0, unless there are many."""
        start = -0.0 if self.size <= _MOST_TERMS else 0.0
        if self._noise is not None and self._noise.otherwise():
            if self._noise.otherwise():  # sums that overflow or cancel on their way
                return self._off(np.sum(x, axis=axes, initial=-0.0, dtype=self._wide).astype(self.dtype))
            return self._off(_halved(x, axes, self._noise))
        return self._off(np.sum(x, axis=axes, initial=start, dtype=self.dtype))

    def total_of_products(self, a: np.ndarray, b: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """The sum of a * b; with noise sometimes as processors do it that do not round the product."""
        if self._noise is not None and self._noise.otherwise():
            products = a.astype(self._wide) * b
            if self._noise.otherwise():
                return self._off(_chained(products, axes, self._noise, self.dtype))
            return self.total(products, axes).astype(self.dtype)
        return self.total(self._flushed(a * b), axes)

    def mean(self, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return self.total(x, axes) / self.count(x, axes)

    def count(self, x: np.ndarray, axes: tuple[int, ...]) -> np.floating:
        """How many elements the axes have."""
        return self.dtype.type(np.prod([x.shape[axis] for axis in axes]))


def _in_any_order(x: np.ndarray, axes: tuple[int, ...], noise: Noise) -> np.ndarray:
    """The terms of a sum over some axes, behind all other axes."""
    x = np.moveaxis(x, axes, range(-len(axes), 0))
    x = x.reshape(*x.shape[: x.ndim - len(axes)], -1)
    return x[..., noise.order(x.shape[-1])]


def _chained(products: np.ndarray, axes: tuple[int, ...], noise: Noise, dtype: np.dtype) -> np.ndarray:
    """The sum of exact products, rounded once for each: a chain of fused multiplications and additions."""
    products = _in_any_order(products, axes, noise)
    total = products[..., 0].astype(dtype)
    for index in range(1, products.shape[-1]):
        total = (total + products[..., index]).astype(dtype)
    return total


def _halved(x: np.ndarray, axes: tuple[int, ...], noise: Noise) -> np.ndarray:
    """The sum formed as a tree: one half of the terms added to the other, again and again."""
    x = _in_any_order(x, axes, noise)
    while x.shape[-1] > 1:
        half = -(-x.shape[-1] // 2)
        rest = x[..., half:]
        x = np.concatenate([x[..., : rest.shape[-1]] + rest, x[..., rest.shape[-1] : half]], axis=-1)
    return x[..., 0]


def _aligned(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Operands of different rank with axes for the elements that one of them does not have."""
    rank = max(a.ndim, b.ndim)
    return tuple(x.reshape(x.shape + (1,) * (rank - x.ndim)) for x in (a, b))  # type: ignore[return-value]


def _binary(function):
    return lambda machine, kind, axis, a, b: function(*_aligned(a, b))


def _unary(function):
    return lambda machine, kind, axis, a: function(a)


def _axes(x: np.ndarray, axis: int | None) -> tuple[int, ...]:
    return tuple(range(1, x.ndim)) if axis is None else (axis + 1,)


def _dot(machine, kind, axis, a, b):
    if a.ndim == 2:
        return machine.total_of_products(a, b, (1,))
    return machine.total_of_products(a, b[:, None, :], (2,))


def _matmul(machine, kind, axis, a, b):
    return machine.total_of_products(a[:, :, None, :], b.transpose(0, 2, 1)[:, None, :, :], (3,))


def _bcast(machine, kind, axis, a):
    if kind == "v":
        return a[:, None]
    return a[:, :, None] if axis == 0 else a[:, None, :]


def _std(machine, kind, axis, a):
    axes = _axes(a, axis)
    mean, squares = machine.mean(a, axes), machine.total_of_products(a, a, axes) / machine.count(a, axes)
    return np.sqrt(machine.fused(-mean, mean, machine._flushed(squares)))


def _pick(better):
    def pick(machine, kind, axis, a, b):
        # std::min and std::max for scalars and vectors, a comparison and the other one for matrices.
        return np.where(better(a, b), a, b) if kind == "m" else np.where(better(b, a), b, a)

    return pick


_OPS = {
    "+": _binary(np.add),
    "-": _binary(np.subtract),
    "*": _binary(np.multiply),
    "/": _binary(np.divide),
    "1/": _unary(lambda a: 1 / a),
    **{name: _unary(getattr(np, name)) for name in ("abs", "sin", "cos", "tan", "arcsin", "arccos", "arctan")},
    "exp": _unary(np.exp),
    "log": _unary(np.log),
    "heaviside": lambda machine, kind, axis, a: ((a >= 0) if kind == "s" else (a > 0)).astype(a.dtype),
    "outer": lambda machine, kind, axis, a, b: a[:, :, None] * b[:, None, :],
    "dot": _dot,
    "matmul": _matmul,
    "transpose": _unary(lambda a: a.transpose(0, 2, 1)),
    "bcast": _bcast,
    "norm": lambda machine, kind, axis, a: np.sqrt(machine.total_of_products(a, a, _axes(a, axis))),
    "mean": lambda machine, kind, axis, a: machine.mean(a, _axes(a, axis)),
    "std": _std,
    "minimum": _pick(np.less),
    "maximum": _pick(np.greater),
}
