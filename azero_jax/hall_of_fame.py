"""The hall of fame: the best programs that a search has ever seen."""

from __future__ import annotations

import numpy as np

from azero_jax.program import Population, Program


class HallOfFame:
    """The best programs ever seen, best first, no two of the same fitness.

    Programs that do the same have the same fitness, so that K places hold K different
    programs.

    Args:
      size: programs kept, at least 1.

    Attributes:
      programs, fitness: of the members.
      ids: of the members in their search's lineage.
    """

    def __init__(self, size: int):
        self._size = size
        self.programs: list[Program] = []
        self.fitness: list[float] = []
        self.ids: list[int] = []

    def add(self, population: Population, fitness: np.ndarray, ids: np.ndarray) -> list[int]:
        """Enters those programs of a population that are good enough.

        Args:
          population: P programs.
          fitness: theirs, float64 [P].
          ids: theirs, int64 [P].

        Returns:
          Ids of those that entered.
        """
        least = self.fitness[-1] if len(self.fitness) == self._size else -np.inf
        if not fitness.max() > least:
            return []
        before = set(self.ids)
        values, first = np.unique(fitness, return_index=True)
        known = set(self.fitness)
        for value, index in zip(values[::-1][: self._size].tolist(), first[::-1][: self._size].tolist()):
            if value > least and value not in known:
                self.programs.append(population[index])
                self.fitness.append(value)
                self.ids.append(int(ids[index]))
        order = np.argsort(-np.array(self.fitness), kind="stable")[: self._size]
        self.programs = [self.programs[place] for place in order]
        self.fitness = [self.fitness[place] for place in order]
        self.ids = [self.ids[place] for place in order]
        return [id for id in self.ids if id not in before]
