"""From a population to one number per program, running as few programs as possible.

Programs over the train budget do not run. Of the others, those that are equal by algebra
to one that was scored are looked up; what is left runs on a few examples, and only
programs that behave like none seen before run on, to the hurdle or to the end.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from azero_jax.addresses import smallest_memory
from azero_jax.costs import program_costs
from azero_jax.equivalence import Known, algebraic_keys
from azero_jax.evaluator import Evaluator
from azero_jax.fec import FitnessCache
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.program import MemorySize, Population, Program

COMBINATIONS = ("mean", "median")


def combine(fitness: np.ndarray, mode: str) -> np.ndarray:
    """Fitness over tasks, [P, D] to [P]: "mean", or "median", of an even count the upper (evaluator.cc)."""
    if mode == "mean":
        return fitness.mean(axis=1)
    return np.sort(fitness, axis=1)[:, fitness.shape[1] // 2]


@dataclasses.dataclass(frozen=True)
class EquivalenceSettings:
    """How functional equivalence is checked.

    Attributes:
      algebra: whether programs are compared by algebra.
      num_train_examples, num_valid_examples: examples of a probe; without any,
        behaviour is not compared.
      fingerprint: what of a probe is compared, of `fingerprints.FINGERPRINTS`.
      cache_size: entries kept, of each cache.
      forget_every: hits after which the next equivalent program runs, in case they differ
        later; 0 never.
    """

    algebra: bool = True
    num_train_examples: int = 10
    num_valid_examples: int = 10
    fingerprint: str = "errors"
    cache_size: int = 100_000
    forget_every: int = 100

    @property
    def probes(self) -> bool:
        """Whether behaviour is compared, too."""
        return self.num_train_examples > 0 and self.num_valid_examples > 0


@dataclasses.dataclass(frozen=True)
class HurdleSettings:
    """When poor programs stop early (section 3.2 and supplement S3 of the paper).

    A program is trained on the first examples only, and validated. If that is below the
    hurdle it is its fitness; otherwise the program runs in full. The hurdle is a
    percentile of the different fitnesses in the population; the paper says 75, and
    neither when programs are tested nor how often the hurdle moves.

    Attributes:
      percentile: 0 to 100; 0 for no hurdle.
      train_share: share of the training examples seen before the hurdle.
      move_every: individuals between moves of the hurdle.

    Raises:
      ValueError: a number out of range.
    """

    percentile: float = 0.0
    train_share: float = 0.25
    move_every: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"hurdle_percentile={self.percentile}: expected 0 to 100")
        if not 0 < self.train_share < 1:
            raise ValueError(f"hurdle_train_share={self.train_share}: expected more than 0 and less than 1")
        if self.move_every < 1:
            raise ValueError(f"hurdle_move_every={self.move_every}: expected a positive integer")


@dataclasses.dataclass(frozen=True)
class TrainBudgetSettings:
    """Which programs are too expensive to run (train_budget.proto).

    A program whose cost, by `costs`, exceeds that of a baseline program so many times
    over has fitness 0. The release takes a factor of 2, the paper 4.

    Attributes:
      baseline: name of `initial_programs.HAND_WRITTEN`; empty for no budget.
      threshold_factor: of the baseline's cost.

    Raises:
      ValueError: an unknown baseline or a factor that is not positive.
    """

    baseline: str = ""
    threshold_factor: float = 2.0

    def __post_init__(self) -> None:
        if self.baseline and self.baseline not in HAND_WRITTEN:
            raise ValueError(
                f"train_budget_baseline={self.baseline!r}: expected one of {', '.join(HAND_WRITTEN)}, or nothing"
            )
        if not self.threshold_factor > 0:
            raise ValueError(f"train_budget_threshold_factor={self.threshold_factor}: expected a positive number")


_NO_HURDLE = HurdleSettings()
_NO_TRAIN_BUDGET = TrainBudgetSettings()


@dataclasses.dataclass
class Counters:
    """What a scorer did.

    Attributes:
      train_steps: training examples seen, over all tasks, probes included.
      algebraic_hits: programs whose algebraic key was known, from the cache or the batch.
      equivalence_hits: other programs whose behaviour was known.
      budget_stops: programs over the train budget.
      hurdle_stops: programs that stopped at the hurdle.
      evaluations: programs that ran until their fitness was known.
      early_stops: those of them that an error stopped early on some task.
    """

    train_steps: int = 0
    algebraic_hits: int = 0
    equivalence_hits: int = 0
    budget_stops: int = 0
    hurdle_stops: int = 0
    evaluations: int = 0
    early_stops: int = 0


class Scorer:
    """Scores populations on an evaluator's tasks, with caches.

    Args:
      evaluator: runs the programs.
      combination: how fitness over tasks becomes one number, of `COMBINATIONS`.
      equivalence: how equivalent programs are found.
      hurdle: when poor programs stop early.
      train_budget: which programs do not run.

    Attributes:
      hurdle_fitness: below this a program stops early; nothing does before the first
        `move_hurdle`.

    Raises:
      ValueError: a probe longer than the tasks, or bad cache settings.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        combination: str,
        equivalence: EquivalenceSettings,
        hurdle: HurdleSettings = _NO_HURDLE,
        train_budget: TrainBudgetSettings = _NO_TRAIN_BUDGET,
    ):
        for name in ("num_train_examples", "num_valid_examples"):
            probe, available = getattr(equivalence, name), getattr(evaluator.tasks, name)
            if not 0 <= probe <= available:
                raise ValueError(f"fec {name}={probe}: expected 0 to {available}, the examples of the search tasks")
        self.evaluator = evaluator
        self.combination = combination
        self.equivalence = equivalence
        self.hurdle = hurdle
        self.hurdle_fitness = 0.0
        self.expressions = FitnessCache(equivalence.cache_size, equivalence.forget_every)
        self.behaviours = FitnessCache(equivalence.cache_size, equivalence.forget_every)
        self.counters = Counters()
        self._known = Known.of(evaluator.tasks, max_abs_error=evaluator.max_abs_error, dtype=evaluator.dtype)
        self._most_expensive = train_budget.threshold_factor * self._baseline_cost(train_budget.baseline)

    def _baseline_cost(self, baseline: str) -> float:
        """Cost of a hand-written program, infinite without one."""
        if not baseline:
            return np.inf
        population = Population.from_programs([Program.from_text(HAND_WRITTEN[baseline])])
        memory = smallest_memory(population, self.evaluator.tasks.vector_labels)
        return float(self._costs(population, memory)[0])

    def _costs(self, population: Population, memory: MemorySize) -> np.ndarray:
        tasks = self.evaluator.tasks
        examples = tasks.num_train_examples * tasks.num_train_epochs
        return program_costs(population, memory, tasks.features_size, examples, tasks.vector_labels)

    def score(self, population: Population) -> np.ndarray:
        """Fitness of each program, float64 [P]."""
        if self._most_expensive == np.inf:
            return self._score_affordable(population)
        fitness = np.zeros(len(population))
        affordable = np.flatnonzero(self._costs(population, self.evaluator.memory) <= self._most_expensive)
        self.counters.budget_stops += len(population) - len(affordable)
        if len(affordable):
            fitness[affordable] = self._score_affordable(population.take(affordable))
        return fitness

    def _score_affordable(self, population: Population) -> np.ndarray:
        """Fitness of programs within the train budget."""
        if not self.equivalence.algebra:
            return self._run(population)
        fitness, hits = self.expressions.shared(
            self._algebraic_keys(population), lambda which: self._run(population.take(which))
        )
        self.counters.algebraic_hits += hits
        return fitness

    def score_without_caches(self, population: Population) -> np.ndarray:
        """Fitness of each program, float64 [P], all of them run in full; nothing is counted."""
        return combine(self.evaluator.evaluate(population).fitness, self.combination)

    def _algebraic_keys(self, population: Population) -> np.ndarray:
        evaluator = self.evaluator
        return algebraic_keys(population, evaluator.memory, self._known, evaluator.num_threads)

    def _run(self, population: Population) -> np.ndarray:
        """Fitness of programs that run, if only on the examples of a probe."""
        counters = self.counters
        if not self.equivalence.probes:
            return self._evaluate(population)
        probe = self.evaluator.probe(
            population,
            self.equivalence.num_train_examples,
            self.equivalence.num_valid_examples,
            known_valid=True,
        )
        counters.train_steps += int(probe.train_steps.sum())

        def run(which: np.ndarray) -> np.ndarray:
            """Fitness of those programs; only the ones run on that the probe has left something to know of."""
            known = ~np.isnan(probe.fitness[which]).any(axis=1)
            fitness = np.empty(len(which))
            fitness[known] = combine(probe.fitness[which[known]], self.combination)
            self._count_evaluations(probe.train_steps[which[known]])
            if not known.all():
                fitness[~known] = self._evaluate(population.take(which[~known]))
            return fitness

        fitness, hits = self.behaviours.shared(probe.fingerprints, run)
        counters.equivalence_hits += hits
        return fitness

    def move_hurdle(self, fitness: np.ndarray, before: int, now: int) -> None:
        """Moves the hurdle, if it is time.

        Args:
          fitness: of the population, [P].
          before, now: individuals made until the last call and until this one.
        """
        every = self.hurdle.move_every
        if self.hurdle.percentile and before // every < now // every:
            self.hurdle_fitness = float(np.percentile(np.unique(fitness), self.hurdle.percentile))

    def _evaluate(self, population: Population) -> np.ndarray:
        """Fitness of programs that run: in full, or until the hurdle."""
        if not self.hurdle_fitness:
            return self._evaluate_on(population)
        examples = max(1, int(self.evaluator.tasks.num_train_examples * self.hurdle.train_share))
        fitness = self._evaluate_on(population, examples)
        passed = np.flatnonzero(fitness >= self.hurdle_fitness)
        self.counters.hurdle_stops += len(population) - len(passed)
        if len(passed):
            fitness[passed] = self._evaluate_on(population.take(passed))
        return fitness

    def _evaluate_on(self, population: Population, num_train_examples: int | None = None) -> np.ndarray:
        evaluation = self.evaluator.run(population, num_train_examples, known_valid=True)
        if num_train_examples is None:
            self._count_evaluations(evaluation.train_steps)
        self.counters.train_steps += int(evaluation.train_steps.sum())
        return combine(evaluation.fitness, self.combination)

    def _count_evaluations(self, train_steps: np.ndarray) -> None:
        """Counts programs that ran until their fitness was known; train_steps [P, D] are counted elsewhere."""
        tasks = self.evaluator.tasks
        stopped = train_steps < tasks.num_train_examples * tasks.num_train_epochs
        self.counters.evaluations += len(train_steps)
        self.counters.early_stops += int(stopped.any(axis=1).sum())
