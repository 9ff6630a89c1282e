"""From a found program to a claim: scores with intervals, beside tuned hand-designed models."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from azero_jax import gradient_descent, tuning
from azero_jax.addresses import smallest_memory
from azero_jax.evaluator import ROOM_FOR_ALL_FEATURES, Evaluator
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.intervals import half_width, interval
from azero_jax.liveness import simplify
from azero_jax.program import MemorySize, Population, Program
from azero_jax.tasks import Tasks

# Where there is room for all addresses, memories have a multiple of so many of each kind.
_ADDRESSES_STEP = 8


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is scored: a program, or a hand-designed model with its hyper-parameters.

    Attributes:
      name: for people.
      program: None for a model.
      model: of `gradient_descent.MODELS`, or empty.
      learning_rate, stdev: of a model.
    """

    name: str
    program: Program | None = None
    model: str = ""
    learning_rate: float = 0.0
    stdev: float = 0.0

    def describe(self) -> str:
        """The program's text, or the hyper-parameters."""
        if self.program is not None:
            return "\n" + self.program.to_text()
        return f"learning rate {self.learning_rate:.4g}, initial weights of standard deviation {self.stdev:.4g}"


def read_program(name: str, vector_labels: bool = False) -> Program:
    """The program of a file, or a hand-written one, without its dead instructions.

    Args:
      name: the file, or a name of `initial_programs.HAND_WRITTEN`.
      vector_labels: whether labels and predictions are v1 and v2.

    Raises:
      ValueError: it does not parse; the message names the file and the line.
      OSError: the file cannot be read.
    """
    try:
        program = Program.from_text(HAND_WRITTEN.get(name) or pathlib.Path(name).read_text())
        return simplify(program, vector_labels=vector_labels)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def evaluator_of(
    program: Program, tasks: Tasks, *, seed: int = 0, dtype: str = "float32", max_abs_error: float = 100.0
) -> Evaluator:
    """An evaluator with room for a program; where F is small for a few more addresses, so that programs share machines.

    Raises:
      ValueError: more memory is needed than there is.
    """
    population = Population.from_programs([program])
    memory = smallest_memory(population, tasks.vector_labels)
    if tasks.features_size <= ROOM_FOR_ALL_FEATURES:
        memory = MemorySize(*(-(-count // _ADDRESSES_STEP) * _ADDRESSES_STEP for count in memory))
    evaluator = Evaluator(tasks, memory=memory, seed=seed, dtype=dtype, max_abs_error=max_abs_error)
    evaluator.make_room(population)
    return evaluator


def tuned_program(program: Program, tasks: Tasks, trials: int, **how: Any) -> Contender:
    """A program with the best of so many random scales of its constants; `how` as of `evaluator_of`."""
    best, _ = tuning.tune_constants(program, evaluator_of(program, tasks, **how), trials, seed=how.get("seed", 0))
    return Contender("tuned program", best)


def tuned_model(name: str, tasks: Tasks, trials: int, **how: Any) -> Contender:
    """A model with the best of so many random hyper-parameters; `how` as of `gradient_descent.evaluate`."""
    learning_rate, stdev = gradient_descent.tune(name, tasks, trials, **_of_models(how))
    return Contender(f"{name} by optax", None, name, learning_rate, stdev)


def _of_models(how: dict[str, Any]) -> dict[str, Any]:
    """What of `how` is not of programs only."""
    return {name: value for name, value in how.items() if name != "max_abs_error"}


def fitness(contender: Contender, tasks: Tasks, **how: Any) -> np.ndarray:
    """Fitness on each task, float64 [D]; `how` as of `evaluator_of`."""
    if contender.program is not None:
        return evaluator_of(contender.program, tasks, **how).evaluate([contender.program]).fitness[0]
    hyperparameters = gradient_descent.Hyperparameters(np.array([contender.learning_rate]), np.array([contender.stdev]))
    return gradient_descent.evaluate(contender.model, tasks, hyperparameters, **_of_models(how))[0]


def table(scores: Mapping[str, Sequence[float]]) -> str:
    """A Markdown table of fitness per task: mean, interval, worst and best."""
    lines = ["| | mean fitness | 95 % interval | worst task | best task | tasks |", "|---|---|---|---|---|---|"]
    for name, values in scores.items():
        lines.append(
            f"| {name} | {interval(values)[0]:.4f} | {half_width(values, 4)} | {min(values):.4f} | {max(values):.4f} | "
            f"{len(values)} |"
        )
    return "\n".join(lines)
