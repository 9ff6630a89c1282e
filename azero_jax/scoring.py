"""From a population to one number per program, running as few programs as possible.

Equal structure is looked up first; what is left runs on a few examples, and only
programs that behave like none seen before run in full.
"""

from __future__ import annotations

import dataclasses

import numpy as np

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
        only structure is compared.
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
      structural_hits: programs whose structure was known, in the cache or the batch.
      equivalence_hits: other programs whose behaviour was known.
      evaluations: programs that ran in full.
    """

    train_steps: int = 0
    structural_hits: int = 0
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
        self.structures = FitnessCache(equivalence.cache_size)
        self.behaviours = FitnessCache(equivalence.cache_size, equivalence.forget_every)
        self.counters = Counters()

    def score(self, population: Population) -> np.ndarray:
        """Fitness of each program, float64 [P]."""
        analysis = self.evaluator.analyze(population)
        keys, first, inverse = np.unique(analysis.keys, return_index=True, return_inverse=True)
        fitness = self.structures.lookup(keys)
        unknown = np.flatnonzero(np.isnan(fitness))
        self.counters.structural_hits += len(population) - len(unknown)
        if len(unknown):
            fitness[unknown] = self._run(self.evaluator.assemble(analysis, first[unknown]))
            self.structures.insert(keys[unknown], fitness[unknown])
        return fitness[inverse]

    def _run(self, assembly) -> np.ndarray:
        """Fitness of assembled programs of different structure."""
        counters = self.counters
        if not self.equivalence.probes:
            evaluation = self.evaluator.run(assembly)
            counters.evaluations += len(assembly.lengths)
            counters.train_steps += int(evaluation.train_steps.sum())
            return combine(evaluation.fitness, self.combination)
        fingerprints, steps = self.evaluator.probe(
            assembly, self.equivalence.num_train_examples, self.equivalence.num_valid_examples
        )
        counters.train_steps += int(steps.sum())
        keys, first, inverse = np.unique(fingerprints, return_index=True, return_inverse=True)
        fitness = self.behaviours.lookup(keys)
        unknown = np.flatnonzero(np.isnan(fitness))
        counters.equivalence_hits += len(fingerprints) - len(unknown)
        counters.evaluations += len(unknown)
        if len(unknown):
            evaluation = self.evaluator.run(assembly, first[unknown])
            counters.train_steps += int(evaluation.train_steps.sum())
            fitness[unknown] = combine(evaluation.fitness, self.combination)
            self.behaviours.insert(keys[unknown], fitness[unknown])
        return fitness[inverse]
