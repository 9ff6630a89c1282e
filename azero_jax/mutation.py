"""Mutation: the search space, random instructions, and the eight mutation types, in batches.

Types and rules are those of the C++ release (`mutator.cc`, `instruction.cc`); the
paper's rule for constants is the other choice of `CONSTANT_MUTATIONS`.
Each type acts on all children that drew it at once; functions here change the
arrays of the population that they are given.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from azero_jax import arguments, ops
from azero_jax.program import FIRST_OUTPUT, NO_KIND, MemorySize, Population, op_columns
from azero_jax.text import COMPONENT_FUNCTIONS, IN1, IN2, OP, OUT

CONSTANT_MUTATIONS = ("release", "paper")


def every_op() -> tuple[str, ...]:
    """Names of all ops there are now, but for the no-op."""
    return tuple(op.name for op in ops.known()[1:])


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The programs that a search can reach.

    Attributes:
      memory: addresses of each kind.
      setup_ops, predict_ops, learn_ops: names of the ops that each component
        function may hold, by default all that there are when the space is made; without
        any, mutation leaves that function alone.
      initial_sizes: instructions of (Setup, Predict, Learn) at the start.
      min_sizes, max_sizes: limits for insertion and removal, by default the initial sizes.

    Raises:
      ValueError: an unknown op, one that the memory has no room for, or sizes that
        contradict each other.
    """

    memory: MemorySize = dataclasses.field(default_factory=MemorySize)
    setup_ops: tuple[str, ...] = dataclasses.field(default_factory=every_op)
    predict_ops: tuple[str, ...] = dataclasses.field(default_factory=every_op)
    learn_ops: tuple[str, ...] = dataclasses.field(default_factory=every_op)
    initial_sizes: tuple[int, int, int] = (10, 10, 10)
    min_sizes: tuple[int, int, int] = None  # type: ignore[assignment]  # three numbers once it is made
    max_sizes: tuple[int, int, int] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        set_field = functools.partial(object.__setattr__, self)
        set_field("memory", MemorySize.checked(self.memory))
        for name in ("setup_ops", "predict_ops", "learn_ops"):
            names = arguments.sequence(name, getattr(self, name), "names of ops, as in ('SCALAR_SUM', 'SCALAR_DIFF')")
            set_field(name, tuple(arguments.text(name, op) for op in names))
        for name in ("initial_sizes", "min_sizes", "max_sizes"):
            given = self.initial_sizes if getattr(self, name) is None else getattr(self, name)
            sizes = arguments.sequence(name, given, "three integers, of Setup, Predict and Learn")
            if len(sizes) != len(COMPONENT_FUNCTIONS):
                raise ValueError(
                    f"{name}={arguments.shown(given)}: expected three integers, of Setup, Predict and Learn"
                )
            set_field(name, tuple(arguments.integer(name, size, 0) for size in sizes))
        for function, names in zip(COMPONENT_FUNCTIONS, self.op_names):
            for name in names:
                op = ops.op_named(name)
                for kind, least in [(kind, 1) for kind in op.inputs] + [
                    (op.output, 2 if op.output in ("s", "v") else 1)
                ]:
                    if kind and self.memory.of(kind) < least:
                        raise ValueError(
                            f"{function.lower()}_ops: {op.name} needs at least {least} {ops.KIND_NAMES[kind]} "
                            f"addresses, the memory has {self.memory.of(kind)}"
                        )
        for function, initial, low, high in zip(
            COMPONENT_FUNCTIONS, self.initial_sizes, self.min_sizes, self.max_sizes
        ):
            if not 0 <= low <= initial <= high:
                raise ValueError(
                    f"{function.lower()} sizes: expected 0 <= min <= initial <= max, "
                    f"got min={low}, initial={initial}, max={high}"
                )

    @property
    def op_names(self) -> tuple[tuple[str, ...], ...]:
        """Op names of Setup, Predict and Learn."""
        return (self.setup_ops, self.predict_ops, self.learn_ops)

    @property
    def every_op(self) -> frozenset[str]:
        """Op names of all component functions."""
        return frozenset(name for names in self.op_names for name in names)

    @property
    def mutable_functions(self) -> np.ndarray:
        """Component functions that mutation may change, int64."""
        return np.array([function for function, names in enumerate(self.op_names) if names], np.int64)


def _below(limits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform integers from 0 to limits - 1, int64 [n]; `rng.integers` takes three times as long with an array."""
    return (rng.random(len(limits)) * limits).astype(np.int64)


class InstructionSampler:
    """Draws random instructions and constants of a search space.

    Args:
      space: the search space.
      constant_mutation: how constants change, of `CONSTANT_MUTATIONS`.
    """

    def __init__(self, space: SearchSpace, constant_mutation: str = "release"):
        self._constant_mutation = constant_mutation
        table = ops.table()
        most = max(1, *(len(names) for names in space.op_names))
        self._allowed = np.zeros((3, most), np.int64)
        self._num_allowed = np.array([len(names) for names in space.op_names])
        for function, names in enumerate(space.op_names):
            self._allowed[function, : len(names)] = [ops.op_named(name).id for name in names]
        self._kinds = op_columns().kinds
        self._limits = np.array([*space.memory, 1])
        meanings = {"": 0, "value": 1, "index": 2, "low": 3, "high": 4, "mean": 5, "stdev": 6}
        self.meanings = np.zeros((len(table), ops.MAX_CONSTANTS), np.int64)
        for op in table:
            self.meanings[op.id, : len(op.constants)] = [meanings[kind] for kind in op.constants]
        # What mutation may alter: in1, in2, out, then each constant.
        operands = [self._kinds[column] != NO_KIND for column in (IN1, IN2, OUT)]
        self.parameters = np.concatenate([np.stack(operands, axis=1), self.meanings > 0], axis=1)

    def addresses(self, column: int, op: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Random addresses for a column, IN1, IN2 or OUT; 0 where the op has no such operand."""
        kind = self._kinds[column][op]
        first = FIRST_OUTPUT[kind] if column == OUT else 0
        return first + _below(self._limits[kind] - first, rng)

    def constants(self, op: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fresh constants, float64 [n, 3]: indices and standard deviations in [0, 1), others in [-1, 1)."""
        meaning = self.meanings[op]
        drawn = rng.random(meaning.shape)
        signed = (meaning == 1) | (meaning >= 3) & (meaning <= 5)
        return np.where(meaning == 0, 0.0, np.where(signed, 2 * drawn - 1, drawn))

    def instructions(self, function: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Random instructions for given component functions, which must have ops.

        Args:
          function: int64 [n].

        Returns:
          Code int16 [n, 4] and constants float64 [n, 3].
        """
        op = self._allowed[function, _below(self._num_allowed[function], rng)]
        code = np.empty((len(function), 4), np.int16)
        code[:, OP] = op
        for column in (IN1, IN2, OUT):
            code[:, column] = self.addresses(column, op, rng)
        return code, self.constants(op, rng)

    def mutated_constants(
        self, op: np.ndarray, which: np.ndarray, values: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Constants [n, 3] after mutation of one of each (`which`, int64 [n]).

        In the release (instruction.cc) one in ten only flips its sign, and the others are
        multiplied by exp(N(0, 1)). In the paper (supplement S3) all are multiplied by
        U[0.5, 2), and one in ten flips its sign, too. In both, standard deviations never
        flip, indices are redrawn, and bounds of uniform distributions are put in order.
        """
        rows = np.arange(len(op))
        meaning = self.meanings[op, which]
        old = values[rows, which]
        flips = rng.random(len(op)) < 0.1
        signs = np.where(flips & (meaning != 6), -1.0, 1.0)
        if self._constant_mutation == "paper":
            new = signs * old * rng.uniform(0.5, 2.0, len(op))
        else:
            new = signs * old * np.where(flips, 1.0, np.exp(rng.standard_normal(len(op))))
        new = np.where(meaning == 2, rng.random(len(op)), new)
        result = values.copy()
        result[rows, which] = new
        bounds = (meaning == 3) | (meaning == 4)
        result[bounds, :2] = np.sort(result[bounds, :2], axis=1)
        return result


def fill_randomly(
    population: Population,
    which: np.ndarray,
    function: np.ndarray,
    sampler: InstructionSampler,
    rng: np.random.Generator,
) -> None:
    """Replaces every instruction of one component function (int64 [n]) of some programs (int64 [n])."""
    for f in np.unique(function):
        programs = which[function == f]
        start, lines = population.starts[f], population.capacity[f]
        inside = np.arange(lines) < population.lengths[programs, f][:, None]
        row, line = np.nonzero(inside)
        code, constants = sampler.instructions(np.full(len(row), f), rng)
        population.code[programs[row], start + line] = code
        population.constants[programs[row], start + line] = constants


@dataclasses.dataclass(frozen=True)
class Mutator:
    """Mutates programs of a search space.

    Attributes:
      space: the search space.
      types: names of `MUTATION_TYPES`, drawn uniformly; repeats add weight.
      sampler: of the space.
    """

    space: SearchSpace
    types: tuple[str, ...]
    sampler: InstructionSampler

    @classmethod
    def of(cls, space: SearchSpace, types: tuple[str, ...], constant_mutation: str = "release") -> Mutator:
        """Makes a mutator.

        Args:
          space: the search space.
          types: names of `MUTATION_TYPES`; repeats add weight.
          constant_mutation: how constants change, of `CONSTANT_MUTATIONS`.

        Raises:
          ValueError: an unknown type, none, or nothing that may be mutated.
        """
        unknown = [name for name in types if name not in MUTATION_TYPES]
        if unknown or not types:
            raise ValueError(
                f"mutation types {', '.join(map(repr, unknown)) or 'are missing'}: "
                f"expected some of {', '.join(MUTATION_TYPES)}"
            )
        if not len(space.mutable_functions):
            raise ValueError("setup_ops, predict_ops and learn_ops are all empty: nothing can be mutated")
        return cls(space, types, InstructionSampler(space, constant_mutation))

    def mutate(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Mutates some programs (int64 [n]) of a population, in place."""
        drawn = rng.integers(0, len(self.types), len(which))
        for index, name in enumerate(self.types):
            chosen = which[drawn == index]
            if len(chosen):
                MUTATION_TYPES[name](self, population, chosen, rng)

    def _functions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        mutable = self.space.mutable_functions
        return mutable[rng.integers(0, len(mutable), count)]

    def _lines(self, population: Population, which: np.ndarray, rng: np.random.Generator):
        """A random component function and line of each program; programs without a line drop out."""
        function = self._functions(len(which), rng)
        length = population.lengths[which, function]
        line = rng.integers(0, np.maximum(length, 1)) + np.array(population.starts)[function]
        some = length > 0
        return which[some], function[some], line[some]

    def alter_parameter(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Changes one operand or constant of one instruction; the op stays."""
        which, _, line = self._lines(population, which, rng)
        op = population.code[which, line, OP].astype(np.int64)
        # The k-th parameter that the op has, k uniform.
        having = self.sampler.parameters[op]
        count = having.sum(axis=1)
        drawn = rng.integers(0, np.maximum(count, 1))
        parameter = np.argmax(np.cumsum(having, axis=1) > drawn[:, None], axis=1)
        for index, column in enumerate((IN1, IN2, OUT)):
            rows = np.flatnonzero((parameter == index) & (count > 0))
            population.code[which[rows], line[rows], column] = self.sampler.addresses(column, op[rows], rng)
        rows = np.flatnonzero((parameter >= 3) & (count > 0))
        place = (which[rows], line[rows])
        population.constants[place] = self.sampler.mutated_constants(
            op[rows], parameter[rows] - 3, population.constants[place], rng
        )

    def randomize_instruction(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Replaces one instruction."""
        which, function, line = self._lines(population, which, rng)
        population.code[which, line], population.constants[which, line] = self.sampler.instructions(function, rng)

    def randomize_component_function(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Replaces all instructions of one component function; their number stays."""
        fill_randomly(population, which, self._functions(len(which), rng), self.sampler, rng)

    def identity(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Changes nothing."""

    def insert_instruction(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Adds an instruction where there is room, which max_sizes decides."""
        function = self._functions(len(which), rng)
        room = population.lengths[which, function] < np.array(self.space.max_sizes)[function]
        self._insert(population, which[room], function[room], rng)

    def remove_instruction(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Removes an instruction where min_sizes allows it."""
        function = self._functions(len(which), rng)
        some = population.lengths[which, function] > np.array(self.space.min_sizes)[function]
        self._remove(population, which[some], function[some], rng)

    def trade_instruction(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Removes one instruction and inserts another in the same component function."""
        function = self._functions(len(which), rng)
        some = population.lengths[which, function] > 0
        self._remove(population, which[some], function[some], rng)
        self._insert(population, which[some], function[some], rng)

    def randomize_algorithm(self, population: Population, which: np.ndarray, rng: np.random.Generator) -> None:
        """Replaces all instructions."""
        for function in self.space.mutable_functions:
            fill_randomly(population, which, np.full(len(which), function), self.sampler, rng)

    def _insert(
        self, population: Population, which: np.ndarray, function: np.ndarray, rng: np.random.Generator
    ) -> None:
        start = np.array(population.starts)[function]
        place = start + rng.integers(0, population.lengths[which, function] + 1)
        code, constants = self.sampler.instructions(function, rng)
        line = np.arange(population.code.shape[1])
        end = start + population.lengths[which, function]
        moved = (line > place[:, None]) & (line <= end[:, None])
        _gather_lines(population, which, np.where(moved, line - 1, line))
        population.code[which, place], population.constants[which, place] = code, constants
        population.lengths[which, function] += 1

    def _remove(
        self, population: Population, which: np.ndarray, function: np.ndarray, rng: np.random.Generator
    ) -> None:
        start = np.array(population.starts)[function]
        place = start + rng.integers(0, population.lengths[which, function])
        line = np.arange(population.code.shape[1])
        last = start + population.lengths[which, function] - 1
        moved = (line >= place[:, None]) & (line < last[:, None])
        _gather_lines(population, which, np.where(moved, line + 1, line))
        population.code[which, last], population.constants[which, last] = 0, 0.0
        population.lengths[which, function] -= 1


def _gather_lines(population: Population, which: np.ndarray, source: np.ndarray) -> None:
    population.code[which] = population.code[which[:, None], source]
    population.constants[which] = population.constants[which[:, None], source]


# Names and order of mutator.proto.
MUTATION_TYPES: dict[str, Callable[[Mutator, Population, np.ndarray, np.random.Generator], None]] = {
    "alter_parameter": Mutator.alter_parameter,
    "randomize_instruction": Mutator.randomize_instruction,
    "randomize_component_function": Mutator.randomize_component_function,
    "identity": Mutator.identity,
    "insert_instruction": Mutator.insert_instruction,
    "remove_instruction": Mutator.remove_instruction,
    "trade_instruction": Mutator.trade_instruction,
    "randomize_algorithm": Mutator.randomize_algorithm,
}
