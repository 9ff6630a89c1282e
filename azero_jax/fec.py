"""Fitness caches: programs that are or behave like one already scored are not run.

Functional-equivalence checking (supplement S3 of the paper, `fec_cache.cc`): the
errors on a few examples identify what a program does. The cache in front of it
knows programs by their algebraic keys and costs no run at all.

Keys look at the first examples only, so that a program which fails later can pass for a
good one. Like the release, a cache therefore forgets an entry after some hits, and the
next program runs. Unlike it, it then compares: a key under which programs differ is
doubted, and from then on every program of that key runs for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

# What two programs of one key may differ by: rounding, and hurdles that have moved.
_SAME = 0.05


class FitnessCache:
    """Least-recently-used map from 64-bit keys to fitness.

    Args:
      capacity: entries kept; the least recently used one goes first.
      forget_every: hits after which the next program of a key runs again; 0 never.

    Raises:
      ValueError: no capacity, or forget_every is 1, which would forget every entry at
        its first hit (as the release has it).
    """

    def __init__(self, capacity: int, forget_every: int = 0):
        if capacity < 1:
            raise ValueError(f"cache size {capacity}: expected a positive integer")
        if forget_every < 0 or forget_every == 1:
            raise ValueError(f"forget_every={forget_every}: expected 0 or at least 2")
        self.capacity = capacity
        self.forget_every = forget_every
        self._entries: OrderedDict[int, list] = OrderedDict()  # key: [fitness, hits]; fitness NaN if doubted

    def __len__(self) -> int:
        return len(self._entries)

    def shared(self, keys: np.ndarray, run: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, int]:
        """Fitness of programs by their keys, running as few as possible.

        Args:
          keys: uint64 [P].
          run: the fitness of those programs whose indices it gets.

        Returns:
          Fitness float64 [P], and how many programs did not run.
        """
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        found, doubted = self.lookup(unique)
        unknown = np.flatnonzero(np.isnan(found) & ~doubted)
        # Programs whose key is doubted run each for itself, and are not kept.
        alone = np.flatnonzero(doubted[inverse])
        running = np.concatenate([alone, first[unknown]])
        if not len(running):
            return found[inverse], len(keys)
        ran = run(running)
        found[unknown] = ran[len(alone) :]
        self.insert(unique[unknown], found[unknown])
        fitness = found[inverse]
        fitness[alone] = ran[: len(alone)]
        return fitness, len(keys) - len(running)

    def lookup(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fitness of keys (uint64 [n]), and which of them stand for programs that differ.

        Returns:
          Fitness float64 [n], NaN where a program has to run, and bool [n].
        """
        found = np.full(len(keys), np.nan)
        doubted = np.zeros(len(keys), bool)
        entries = self._entries
        for index, key in enumerate(keys.tolist()):
            entry = entries.get(key)
            if entry is None:
                continue
            fitness, hits = entry
            if fitness != fitness:
                doubted[index] = True
                continue
            entries.move_to_end(key)
            if self.forget_every and hits >= self.forget_every:
                continue
            found[index] = fitness
            entry[1] = hits + 1
        return found, doubted

    def insert(self, keys: np.ndarray, fitness: np.ndarray) -> None:
        """Adds entries, or renews forgotten ones, dropping the least recently used where there is no room."""
        entries = self._entries
        for key, value in zip(keys.tolist(), fitness.tolist()):
            entry = entries.get(key)
            differs = entry is not None and not abs(entry[0] - value) <= _SAME
            entries[key] = [np.nan if differs else value, 0]
        while len(entries) > self.capacity:
            entries.popitem(last=False)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The entries, least recently used first: keys, fitness and hits."""
        return {
            "keys": np.fromiter(self._entries, np.uint64, len(self)),
            "fitness": np.array([entry[0] for entry in self._entries.values()], np.float64),
            "hits": np.array([entry[1] for entry in self._entries.values()], np.int64),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Replaces the entries by those of `to_arrays`."""
        rows = zip(arrays["keys"].tolist(), arrays["fitness"].tolist(), arrays["hits"].tolist())
        self._entries = OrderedDict((key, [fitness, hits]) for key, fitness, hits in rows)
