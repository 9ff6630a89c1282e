"""Fitness caches: programs that are or behave like one already scored are not run.

Functional-equivalence checking (supplement S3 of the paper, `fec_cache.cc`): the
errors on a few examples identify what a program does. The cache in front of it
knows programs by their algebraic keys and costs no run at all.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np


class FitnessCache:
    """Least-recently-used map from 64-bit keys to fitness.

    Args:
      capacity: entries kept; the least recently used one goes first.
      forget_every: an entry is dropped after so many hits, so that an unlucky score
        does not live forever; 0 never.

    Raises:
      ValueError: no capacity, or forget_every is 1, which would drop every entry at
        its first hit (as the release has it).
    """

    def __init__(self, capacity: int, forget_every: int = 0):
        if capacity < 1:
            raise ValueError(f"cache size {capacity}: expected a positive integer")
        if forget_every < 0 or forget_every == 1:
            raise ValueError(f"forget_every={forget_every}: expected 0 or at least 2")
        self.capacity = capacity
        self.forget_every = forget_every
        self._entries: OrderedDict[int, list] = OrderedDict()  # key: [fitness, hits]

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, keys: np.ndarray) -> np.ndarray:
        """Fitness of keys (uint64 [n]) as float64 [n]; NaN where there is no entry."""
        found = np.full(len(keys), np.nan)
        entries = self._entries
        for index, key in enumerate(keys.tolist()):
            entry = entries.get(key)
            if entry is not None:
                found[index] = entry[0]
                entry[1] += 1
                if entry[1] == self.forget_every:
                    del entries[key]
                else:
                    entries.move_to_end(key)
        return found

    def insert(self, keys: np.ndarray, fitness: np.ndarray) -> None:
        """Adds entries, dropping the least recently used ones where there is no room."""
        entries = self._entries
        for key, value in zip(keys.tolist(), fitness.tolist()):
            entries[key] = [value, 0]
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
