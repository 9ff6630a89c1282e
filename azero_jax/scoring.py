"""From a population to one number per program, running as few programs as possible.

Programs that are equal by algebra to one that was scored are looked up first; what is
left runs on a few examples, and only programs that behave like none seen before run in
full.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from azero_jax.equivalence import algebraic_keys
from azero_jax.evaluator import Evaluator
from azero_jax.fec import FitnessCache
from azero_jax.program import Population

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
      num_train_examples, num_valid_examples: examples of a probe; without any,
        only algebra is compared.
      cache_size: entries kept, of each cache.
      forget_every: hits after which an entry is dropped; 0 never.
    """

    num_train_examples: int = 10
    num_valid_examples: int = 10
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


_NO_HURDLE = HurdleSettings()


@dataclasses.dataclass
class Counters:
    """What a scorer did.

    Attributes:
      train_steps: training examples seen, over all tasks, probes included.
      algebraic_hits: programs whose algebraic key was known, from the cache or the batch.
      equivalence_hits: other programs whose behaviour was known.
      hurdle_stops: programs that stopped at the hurdle.
      evaluations: programs that ran in full.
    """

    train_steps: int = 0
    algebraic_hits: int = 0
    equivalence_hits: int = 0
    hurdle_stops: int = 0
    evaluations: int = 0


class Scorer:
    """Scores populations on an evaluator's tasks, with caches.

    Args:
      evaluator: runs the programs.
      combination: how fitness over tasks becomes one number, of `COMBINATIONS`.
      equivalence: how equivalent programs are found.
      hurdle: when poor programs stop early.

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
        self.expressions = FitnessCache(equivalence.cache_size)
        self.behaviours = FitnessCache(equivalence.cache_size, equivalence.forget_every)
        self.counters = Counters()

    def score(self, population: Population) -> np.ndarray:
        """Fitness of each program, float64 [P]."""
        keys, first, inverse = np.unique(self._algebraic_keys(population), return_index=True, return_inverse=True)
        fitness = self.expressions.lookup(keys)
        unknown = np.flatnonzero(np.isnan(fitness))
        self.counters.algebraic_hits += len(population) - len(unknown)
        if len(unknown):
            fitness[unknown] = self._run(population.take(first[unknown]))
            self.expressions.insert(keys[unknown], fitness[unknown])
        return fitness[inverse]

    def _algebraic_keys(self, population: Population) -> np.ndarray:
        evaluator = self.evaluator
        return algebraic_keys(
            population,
            evaluator.memory,
            accuracy=evaluator.tasks.loss == "accuracy",
            num_threads=evaluator.num_threads,
        )

    def _run(self, population: Population) -> np.ndarray:
        """Fitness of programs, no two of them equal by algebra."""
        counters = self.counters
        if not self.equivalence.probes:
            return self._evaluate(population)
        fingerprints, steps = self.evaluator.probe(
            population, self.equivalence.num_train_examples, self.equivalence.num_valid_examples
        )
        counters.train_steps += int(steps.sum())
        keys, first, inverse = np.unique(fingerprints, return_index=True, return_inverse=True)
        fitness = self.behaviours.lookup(keys)
        unknown = np.flatnonzero(np.isnan(fitness))
        counters.equivalence_hits += len(fingerprints) - len(unknown)
        if len(unknown):
            fitness[unknown] = self._evaluate(population.take(first[unknown]))
            self.behaviours.insert(keys[unknown], fitness[unknown])
        return fitness[inverse]

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
        evaluation = self.evaluator.run(population, num_train_examples)
        if num_train_examples is None:
            self.counters.evaluations += len(population)
        self.counters.train_steps += int(evaluation.train_steps.sum())
        return combine(evaluation.fitness, self.combination)
