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


@dataclasses.dataclass
class Counters:
    """What a scorer did.

    Attributes:
      train_steps: training examples seen, over all tasks, probes included.
      algebraic_hits: programs whose algebraic key was known, from the cache or the batch.
      equivalence_hits: other programs whose behaviour was known.
      evaluations: programs that ran in full.
    """

    train_steps: int = 0
    algebraic_hits: int = 0
    equivalence_hits: int = 0
    evaluations: int = 0


class Scorer:
    """Scores populations on an evaluator's tasks, with caches.

    Args:
      evaluator: runs the programs.
      combination: how fitness over tasks becomes one number, of `COMBINATIONS`.
      equivalence: how equivalent programs are found.

    Raises:
      ValueError: a probe longer than the tasks, or bad cache settings.
    """

    def __init__(self, evaluator: Evaluator, combination: str, equivalence: EquivalenceSettings):
        for name in ("num_train_examples", "num_valid_examples"):
            probe, available = getattr(equivalence, name), getattr(evaluator.tasks, name)
            if not 0 <= probe <= available:
                raise ValueError(f"fec {name}={probe}: expected 0 to {available}, the examples of the search tasks")
        self.evaluator = evaluator
        self.combination = combination
        self.equivalence = equivalence
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

    def _evaluate(self, population: Population) -> np.ndarray:
        """Fitness of programs that run in full."""
        evaluation = self.evaluator.run(population)
        self.counters.evaluations += len(population)
        self.counters.train_steps += int(evaluation.train_steps.sum())
        return combine(evaluation.fitness, self.combination)
