"""From a population to one number per program, running as few programs as possible.

Programs over the train budget do not run. Of the others, those that are equal by algebra
to one that was scored are looked up; what is left runs on a few examples, and only
programs that behave like none seen before run on, to the hurdle or to the end.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from azero_jax import arguments
from azero_jax.addresses import smallest_memory
from azero_jax.costs import program_costs
from azero_jax.equivalence import Known, algebraic_keys
from azero_jax.evaluator import Evaluator
from azero_jax.fec import FitnessCache
from azero_jax.fingerprints import FINGERPRINTS
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.program import MemorySize, Population, Program
from azero_jax.tasks import Tasks

COMBINATIONS = ("mean", "median")

# Examples of each kind in a probe, as in the release (fec_cache.proto).
_PROBE = 10


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
      num_train_examples, num_valid_examples: examples of a probe; with 0 of either,
        behaviour is not compared. By default 10, or as many as the tasks have.
      fingerprint: what of a probe is compared, of `fingerprints.FINGERPRINTS`.
      cache_size: entries kept, of each cache.
      forget_every: hits after which the next equivalent program runs, in case they differ
        later; 0 never.
    """

    algebra: bool = True
    num_train_examples: int | None = None
    num_valid_examples: int | None = None
    fingerprint: str = "errors"
    cache_size: int = 100_000
    forget_every: int = 100

    def __post_init__(self) -> None:
        set_field = functools.partial(object.__setattr__, self)
        set_field("algebra", arguments.boolean("fec_algebra", self.algebra))
        for name in ("num_train_examples", "num_valid_examples"):
            if getattr(self, name) is not None:
                set_field(name, arguments.integer(f"fec_{name}", getattr(self, name), 0))
        arguments.one_of("fec_fingerprint", self.fingerprint, FINGERPRINTS)
        set_field("cache_size", arguments.integer("fec_cache_size", self.cache_size, 1))
        set_field("forget_every", arguments.integer("fec_forget_every", self.forget_every, 0))

    def probe_of(self, tasks: Tasks) -> tuple[int, int]:
        """Training and validation examples of a probe on some tasks; 0 and 0 for no probe.

        Raises:
          ValueError: a probe longer than the tasks.
        """
        sizes = []
        for name, what in (("num_train_examples", "training"), ("num_valid_examples", "validation")):
            asked, available = getattr(self, name), getattr(tasks, name)
            if asked is not None and asked > available:
                raise ValueError(
                    f"fec_{name}={asked}: expected at most {available}, the {what} examples of the search tasks"
                )
            sizes.append(min(_PROBE, available) if asked is None else asked)
        return (sizes[0], sizes[1]) if all(sizes) else (0, 0)


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
        set_field = functools.partial(object.__setattr__, self)
        for name, expected, accepts in (
            ("percentile", "0 to 100", lambda value: 0 <= value <= 100),
            ("train_share", "more than 0 and less than 1", lambda value: 0 < value < 1),
        ):
            set_field(name, arguments.number(f"hurdle_{name}", getattr(self, name), expected, accepts))
        set_field("move_every", arguments.integer("hurdle_move_every", self.move_every, 1))


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
        if self.baseline != "":
            arguments.one_of("train_budget_baseline", self.baseline, HAND_WRITTEN, ", or nothing")
        factor = arguments.number(
            "train_budget_threshold_factor", self.threshold_factor, "a positive number", lambda value: value > 0
        )
        object.__setattr__(self, "threshold_factor", factor)


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
        self._probe = equivalence.probe_of(evaluator.tasks)
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
        if not any(self._probe):
            return self._evaluate(population)
        probe = self.evaluator.probe(population, *self._probe, known_valid=True)
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
