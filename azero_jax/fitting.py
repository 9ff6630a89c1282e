"""From a user's arrays to a program: tasks made of their rows, a search, the best on other splits, and its training.

`estimators` puts scikit-learn's interface around it. Features have a constant 1 behind them, for an intercept, and
zeros up to a power of two, so that data of about the same width share one compiled machine.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Sequence

import numpy as np

from azero_jax import objectives
from azero_jax.evaluator import Evaluator
from azero_jax.evolution import EvolutionSettings
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.learner import FitError, Learner
from azero_jax.mutation import SearchSpace
from azero_jax.packed import power_of_two
from azero_jax.program import MemorySize, Program
from azero_jax.search import Search
from azero_jax.search_settings import EvaluationSettings, SearchSettings, make_evaluator
from azero_jax.tasks import Tasks
from azero_jax.trivial import is_trivial

STARTS = ("auto", "linear", "neural_net", "softmax_regression", "no_op", "random")
DEFAULT_INDIVIDUALS = 10_000

# Beyond these, matrices take most of the time: columns are projected on their principal components.
MOST_COLUMNS = 31
_FEWEST_FEATURES = 4
_POPULATION, _HALL_OF_FAME = 100, 20
# Of the rows of a split; and how many examples a program sees in small data, over its epochs.
_TRAIN_SHARE, _MOST_TRAIN, _MOST_VALID = 0.75, 1000, 300
_EXAMPLES, _MOST_EPOCHS = 1000, 10
# Selection has twice the tasks of the search, in parts of as many, which then share its compiled machine.
_TASKS, _SELECT_PARTS = 8, 2

# Rates that the starting programs have beside their own: which is right depends on the data.
_RATES = ("0.003", "0.01", "0.03", "0.1")


@dataclasses.dataclass(frozen=True)
class SearchRecord:
    """What a search has come to.

    Attributes:
      fitness: of the winner on the splits that it was found on.
      select_fitness: on the others, which it was chosen on.
      individuals: programs made, the initial ones and cache hits included.
      seconds: from the tasks to the trained winner, compiling included.
      trivial: whether predictions ignore the features, as the majority class does.
      text: the winner.
    """

    fitness: float
    select_fitness: float
    individuals: int
    seconds: float
    trivial: bool
    text: str


@dataclasses.dataclass(frozen=True)
class Budget:
    """When a search ends, at the first of both; without either after `DEFAULT_INDIVIDUALS` programs.

    Attributes:
      seconds: from the start of fitting; what comes after the search takes a little longer.
      individuals: programs.
    """

    seconds: float | None
    individuals: int | None

    def used_up(self, seconds: float, individuals: int) -> bool:
        """Whether a search is to end."""
        if self.seconds is None and self.individuals is None:
            return individuals >= DEFAULT_INDIVIDUALS
        return (self.seconds is not None and seconds >= self.seconds) or (
            self.individuals is not None and individuals >= self.individuals
        )

    def population_size(self) -> int:
        """Programs to start from."""
        return _POPULATION if self.individuals is None else min(_POPULATION, self.individuals)


@dataclasses.dataclass(frozen=True, eq=False)
class Preparation:
    """What is done to the columns of X before programs see them, as found in the rows that were fitted.

    Attributes:
      fill: float64 [C], in place of missing values; the mean.
      shift, spread: float64 [C], subtracted, then divided by; 0 and 1 without scaling.
      axes: float64 [C, K], principal components with their scale, or None for the columns themselves.
      features_size: F, a power of two: columns or components, the constant, zeros.
    """

    fill: np.ndarray
    shift: np.ndarray
    spread: np.ndarray
    axes: np.ndarray | None
    features_size: int

    @classmethod
    def of(cls, X: np.ndarray, scale: bool, num_classes: int) -> Preparation:
        """As rows (float64 [n, C], NaN where missing) need it; columns with no value at all count as 0."""
        missing = np.isnan(X)
        # Divided by the largest first: the mean and the variance of large numbers overflow.
        largest = np.where(missing, 0.0, np.abs(X)).max(axis=0)
        largest[largest == 0] = 1.0
        unit = np.where(missing, 0.0, X / largest)
        mean = unit.sum(axis=0) / np.maximum((~missing).sum(axis=0), 1)
        unit = np.where(missing, mean, unit)
        spread = unit.std(axis=0)
        # A constant column has no spread but for rounding.
        spread = np.where(spread > 1e-12, spread, 1.0) * largest
        fill, zeros = mean * largest, np.zeros(X.shape[1])
        columns = min(X.shape[1], MOST_COLUMNS)
        size = power_of_two(max(_FEWEST_FEATURES, columns + 1, num_classes))
        made = cls(fill, fill if scale else zeros, spread if scale else zeros + 1, None, size)
        if columns == X.shape[1]:
            return made
        centred = made._scaled(X)
        centred -= centred.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(X))
        values, vectors = values[::-1][:columns], vectors[:, ::-1][:, :columns]
        lengths = np.sqrt(np.maximum(values, 0.0)) if scale else np.ones(columns)
        kept = lengths > 1e-6 * max(lengths[0], 1e-300)
        return dataclasses.replace(made, axes=np.where(kept, vectors / np.where(kept, lengths, 1.0), 0.0))

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return (np.where(np.isnan(X), self.fill, X) - self.shift) / self.spread

    def features(self, X: np.ndarray) -> np.ndarray:
        """What programs see of rows, float64 [n, F]."""
        columns = self._scaled(X)
        if self.axes is not None:
            columns = columns @ self.axes
        features = np.zeros((len(X), self.features_size))
        features[:, : columns.shape[1]] = columns
        features[:, columns.shape[1]] = 1.0
        return features


def split_tasks(features: np.ndarray, labels: np.ndarray, loss: str, num_tasks: int, rng: np.random.Generator) -> Tasks:
    """Tasks that each divide the rows anew; classes have about the same shares in both parts.

    Args:
      features: [n, F], at least two rows.
      labels: [n].
      loss: of `Tasks`.
      num_tasks: D.
      rng: draws the splits.
    """
    rows = len(features)
    num_train = min(max(1, int(_TRAIN_SHARE * rows)), _MOST_TRAIN)
    num_valid = min(rows - num_train, _MOST_VALID)
    train, valid = [], []
    for _ in range(num_tasks):
        order = rng.permutation(rows)
        if objectives.named(loss).has_classes:
            # Each class is spread evenly over 0 to 1, so that any first part has its share of all.
            place = np.empty(rows)
            for label in np.unique(labels):
                of_class = order[labels[order] == label]
                place[of_class] = (np.arange(len(of_class)) + rng.random(len(of_class))) / len(of_class)
            order = np.argsort(place, kind="stable")
        train.append(rng.permutation(order[:num_train]))
        valid.append(order[num_train : num_train + num_valid])
    arrays = [part[np.stack(some)] for some in (train, valid) for part in (features, labels)]
    epochs = max(1, min(_MOST_EPOCHS, _EXAMPLES // num_train))
    return Tasks(arrays[0], arrays[1], arrays[2], arrays[3], loss, num_train_epochs=epochs)


def starting_programs(start: str | Program, loss: str) -> list[Program]:
    """The programs that a population begins with, in equal parts; none for random ones.

    Raises:
      ValueError: softmax regression where there are not several classes.
    """
    if isinstance(start, Program):
        return [start]
    several = objectives.named(loss).vector_labels
    if start == "softmax_regression" and not several:
        raise ValueError(
            "initial_population='softmax_regression': expected three classes or more; 'linear' is its like for two "
            "classes and for numbers"
        )
    linear = HAND_WRITTEN["softmax_regression" if several else "linear"]
    network = HAND_WRITTEN["softmax_neural_net" if several else "neural_net"]
    texts = {
        "auto": [linear, network],
        "linear": [linear],
        "softmax_regression": [linear],
        "neural_net": [network],
        "no_op": [HAND_WRITTEN["no_op"]],
        "random": [],
    }[start]
    if start in ("no_op", "random"):
        return [Program.from_text(text) for text in texts]
    return [Program.from_text(_with_rate(text, rate)) for text in texts for rate in _RATES]


def _with_rate(text: str, rate: str) -> str:
    """A program with another learning rate, the only constant that its Setup sets by itself."""
    lines = text.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith("  s") and "(" not in line)
    lines[place] = f"{lines[place].partition('=')[0]}= {rate}"
    return "\n".join(lines) + "\n"


def search_settings(loss: str, population_size: int, random: bool, num_threads: int) -> SearchSettings:
    """The search space of `own_data.flags`, with a transposed matrix for several classes, and one population."""
    several = objectives.named(loss).vector_labels
    space = SearchSpace(
        MemorySize(5, 9, 3 if several else 2),
        setup_ops=("SCALAR_CONST_SET", "VECTOR_GAUSSIAN_SET", "MATRIX_GAUSSIAN_SET"),
        predict_ops=("SCALAR_SUM", "MATRIX_VECTOR_PRODUCT", "VECTOR_MAX", "VECTOR_INNER_PRODUCT", "VECTOR_SUM"),
        learn_ops=(
            *("SCALAR_SUM", "SCALAR_DIFF", "SCALAR_PRODUCT", "SCALAR_VECTOR_PRODUCT", "VECTOR_SUM"),
            *("VECTOR_HEAVISIDE", "VECTOR_PRODUCT", "VECTOR_OUTER_PRODUCT", "MATRIX_SUM"),
            *(("VECTOR_DIFF", "MATRIX_TRANSPOSE", "MATRIX_VECTOR_PRODUCT") if several else ()),
        ),
        initial_sizes=(4, 4, 8) if random else (1, 1, 1),
        min_sizes=(1, 1, 1),
        max_sizes=(7, 11, 23),
    )
    types = ("alter_parameter", "randomize_component_function", "insert_instruction", "remove_instruction")
    evolution = EvolutionSettings(
        population_size=population_size,
        mutation_types=types,
        initial_population="random" if random else "no_op",
        child_batch_size=min(20, population_size),
    )
    return SearchSettings(
        space,
        evolution,
        EvaluationSettings(num_threads=num_threads),
        hall_of_fame_size=_HALL_OF_FAME,
    )


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    loss: str,
    *,
    start: str | Program,
    budget: Budget,
    seed: int,
    num_classes: int | None,
    num_threads: int = 0,
) -> tuple[Learner, SearchRecord]:
    """Searches for a program, and trains it on all rows.

    Args:
      features: [n, F].
      labels: [n]; numbers of about mean 0 and deviation 1, or classes from 0.
      loss: of `Tasks`.
      start: of `STARTS`, or a program.
      budget: of the search.
      seed: of everything random.
      num_classes: of several classes.
      num_threads: 0 for one per core.

    Returns:
      The trained winner, and how it was found.
    """
    began = time.monotonic()
    rng = np.random.default_rng(seed)
    tasks = split_tasks(features, labels, loss, _TASKS, rng)
    others = [split_tasks(features, labels, loss, _TASKS, rng) for _ in range(_SELECT_PARTS)]
    programs = starting_programs(start, loss)
    settings = search_settings(loss, budget.population_size(), not programs, num_threads)
    search = Search(tasks, settings, seed=rng, random_ops_seed=seed, initial=programs or None)
    while not budget.used_up(time.monotonic() - began, search.individuals):
        search.step()

    def evaluator_of(some: Tasks) -> Evaluator:
        return make_evaluator(some, settings, seed)

    finalists, fitness = search.finalists()
    selected = np.mean([evaluator_of(some).evaluate(finalists).fitness.mean(axis=1) for some in others], axis=0)
    order = np.argsort(-selected, kind="stable").tolist()
    learner, winner = _trained(finalists, order, features, labels, tasks, seed, num_classes, settings.space.memory)
    return learner, SearchRecord(
        fitness[winner],
        float(selected[winner]),
        search.individuals,
        time.monotonic() - began,
        is_trivial(learner.program, others[0], evaluator_of),
        learner.program.to_text(),
    )


def _trained(
    finalists: Sequence[Program],
    order: Sequence[int],
    features: np.ndarray,
    labels: np.ndarray,
    tasks: Tasks,
    seed: int,
    num_classes: int | None,
    memory: MemorySize,
) -> tuple[Learner, int]:
    """The first finalist, in an order, that can be trained on all rows, and its index."""
    for index in order:
        learner = Learner(
            finalists[index],
            loss=tasks.loss,
            memory=memory,
            seed=seed,
            epochs=tasks.num_train_epochs,
            num_classes=num_classes,
        )
        try:
            return learner.fit(features, labels), index
        except FitError as error:
            warnings.warn(f"the best program cannot be trained on all rows ({error}): the next is", stacklevel=4)
    raise FitError("no program that was found can be trained on all rows: are there values far outside the others?")
