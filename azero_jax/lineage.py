"""Lineage: which program each program of a search was made from.

A search forgets most of what it makes. Kept are the ancestors of the programs that
live, and of the best ones, so that the way from the first program to the winner can be
shown. A program is put aside when it leaves the population, if it has children by then;
now and then those without living descendants are dropped. Nothing here draws random
numbers or changes what a search does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from azero_jax.program import Population, Program

NO_PARENT = -1

# What is known of a program, beside its fitness.
_FACTS = _ID, _PARENT, _GENERATION, _INDIVIDUALS = range(4)

# Bits of an id below the number of the island.
_ISLAND_SHIFT = 40
# Memory for programs that have left, before those without descendants are forgotten.
_BYTES_FOR_LEAVERS = 32 << 20
# So many that are gone are worth no look.
_FEW_DEAD = 10_000
# Ancestors kept of one search: beyond, those that changed no fitness are left out.
_MOST_ANCESTORS = 10_000


class Parents(NamedTuple):
    """What programs are made from.

    Attributes:
      ids: int64 [n]; NO_PARENT for programs made from nothing.
      generations: of the parents, int64 [n]; -1 where there is none.
    """

    ids: np.ndarray
    generations: np.ndarray

    @classmethod
    def none(cls, count: int) -> Parents:
        """Of programs made from nothing."""
        return cls(np.full(count, NO_PARENT), np.full(count, -1))


class Ancestor(NamedTuple):
    """One step on the way to a program.

    Attributes:
      program: as it was.
      fitness: on the search tasks of its island.
      individuals: programs that its island had made when it was made.
      island: where it lived.
    """

    program: Program
    fitness: float
    individuals: int
    island: int


class Ancestors(NamedTuple):
    """Programs with what they were made from.

    Attributes:
      facts: int64 [n, 4]: id; id of the parent, which need not be among these, or
        NO_PARENT; steps from a program that was made from nothing; programs that the
        island had made by then.
      fitness: float64 [n].
      programs: n of them.
    """

    facts: np.ndarray
    fitness: np.ndarray
    programs: Population

    @property
    def ids(self) -> np.ndarray:
        """Int64 [n]."""
        return self.facts[:, _ID]

    @property
    def parents(self) -> np.ndarray:
        """Their ids, int64 [n]."""
        return self.facts[:, _PARENT]

    @property
    def generations(self) -> np.ndarray:
        """Int64 [n]."""
        return self.facts[:, _GENERATION]

    @classmethod
    def room(cls, size: int, capacity: Sequence[int]) -> Ancestors:
        """Places for so many programs."""
        return cls(np.zeros((size, len(_FACTS)), np.int64), np.zeros(size), Population.empty(size, capacity))

    @classmethod
    def joined(cls, parts: Sequence[Ancestors]) -> Ancestors:
        """All programs of several, at least one, each id once, parents before children."""
        named = [part.to_arrays() for part in parts]
        arrays = {name: np.concatenate([some[name] for some in named]) for name in named[0]}
        whole = cls.from_arrays(arrays, "", parts[0].programs.capacity)
        _, first = np.unique(whole.ids, return_index=True)
        return whole.take(first[np.argsort(whole.generations[first], kind="stable")])

    def take(self, places: np.ndarray) -> Ancestors:
        """Those at some places, int64 [m]."""
        arrays = {name: array[places] for name, array in self.to_arrays().items()}
        return Ancestors.from_arrays(arrays, "", self.programs.capacity)

    def of(self, ids: np.ndarray) -> Ancestors:
        """The programs with some ids, and all their ancestors; parents must come before children."""
        places = self._places_of_parents().tolist()
        wanted = np.isin(self.ids, ids).tolist()
        for place in range(len(wanted) - 1, -1, -1):
            if wanted[place] and places[place] >= 0:
                wanted[places[place]] = True
        return self.take(np.flatnonzero(wanted))

    def way_to(self, program: Program) -> list[Ancestor]:
        """The latest program that reads the same and those it was made from, first to last; empty if none does."""
        as_long = np.flatnonzero((self.programs.lengths == program.lengths).all(axis=1)).tolist()
        same = [place for place in as_long if self.programs[place] == program]
        if not same:
            return []
        places = self._places_of_parents().tolist()
        place, way = max(same, key=lambda place: (self.generations[place], self.ids[place])), []
        while place >= 0:
            way.append(self.at(place))
            place = places[place]
        return way[::-1]

    def at(self, place: int) -> Ancestor:
        """One of the programs, with what is known of it."""
        island = int(self.ids[place]) >> _ISLAND_SHIFT
        individuals = int(self.facts[place, _INDIVIDUALS])
        return Ancestor(self.programs[place], float(self.fitness[place]), individuals, island)

    def _places_of_parents(self) -> np.ndarray:
        """Where each program's parent is, int64 [n]; -1 where it is not among these."""
        places = _places(self.ids, self.parents)
        # Generations rise from parent to child, whatever a file says.
        return np.where(self.generations[places] < self.generations, places, -1)

    def thinned(self, most: int, pinned: np.ndarray) -> tuple[Ancestors, dict[int, int]]:
        """At most so many: without the oldest that changed no fitness, then without every second one.

        Args:
          most: programs.
          pinned: ids of programs that stay, int64.

        Returns:
          Those that stay, and the nearest ancestor that stays of each that does not.
        """
        places = self._places_of_parents()
        may_go = (places >= 0) & ~np.isin(self.ids, pinned)
        neutral = np.flatnonzero(may_go & (self.fitness == self.fitness[places]))
        gone = np.zeros(len(self.ids), bool)
        gone[neutral[: max(0, len(gone) - most)]] = True
        if (left := len(gone) - gone.sum()) > most:
            gone[np.flatnonzero(may_go & ~gone)[::2][: left - most]] = True
        nearest: dict[int, int] = {}
        facts = self.facts.copy()
        parents = facts[:, _PARENT]
        for place in range(len(gone)):
            parents[place] = nearest.get(int(parents[place]), parents[place])
            if gone[place]:
                nearest[int(self.ids[place])] = int(parents[place])
        return self._replace(facts=facts).take(np.flatnonzero(~gone)), nearest

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name."""
        return {"facts": self.facts, "fitness": self.fitness} | {
            name: getattr(self.programs, name) for name in _OF_PROGRAMS
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], prefix: str, capacity: tuple[int, int, int]) -> Ancestors:
        """What `to_arrays` saw, its names behind a prefix."""
        code, constants, lengths = (arrays[f"{prefix}{name}"] for name in _OF_PROGRAMS)
        programs = Population(code, constants, lengths, capacity)
        return cls(arrays[f"{prefix}facts"], arrays[f"{prefix}fitness"], programs)


_OF_PROGRAMS = ("code", "constants", "lengths")


class Lineage:
    """Where the programs of one population come from.

    Args:
      population: P programs, all made from nothing.
      island: its number.
    """

    def __init__(self, population: Population, island: int = 0):
        size = len(population)
        self._next = (island << _ISLAND_SHIFT) + size
        self._living = np.zeros((size, len(_FACTS)), np.int64)
        self._living[:, _ID] = np.arange(self._next - size, self._next)
        self._living[:, _PARENT] = NO_PARENT
        self._living[:, _INDIVIDUALS] = size
        self._matters = np.zeros(size, bool)  # has children, or is one of the best
        self._pinned: list[int] = []
        # Programs that are gone: those that left lately, and those that had descendants when somebody last looked.
        self._leavers = Ancestors.room(most_leavers(size, sum(population.capacity)), population.capacity)
        self._num_leavers = 0
        self._dead = [Ancestors.room(0, population.capacity)]
        self._dead_at_most = _FEW_DEAD

    @property
    def ids(self) -> np.ndarray:
        """Of the programs that live, int64 [P]."""
        return self._living[:, _ID]

    def parents_at(self, slots: np.ndarray) -> Parents:
        """The programs at some slots (int64 [n]) as parents of new ones."""
        self._matters[slots] = True
        facts = self._living[slots]
        return Parents(facts[:, _ID], facts[:, _GENERATION])

    def parent(self, id: int, count: int) -> Parents:
        """A program that lives or is pinned as the parent of `count` new ones."""
        self._matters |= self.ids == id
        known = [self._living, self._those_who_left().facts, *(part.facts for part in self._dead)]
        found = np.concatenate([facts[facts[:, _ID] == id] for facts in known])
        return Parents(np.full(count, id), np.full(count, found[0, _GENERATION]))

    def replace(
        self, population: Population, fitness: np.ndarray, slots: np.ndarray, parents: Parents, individuals: int
    ) -> np.ndarray:
        """Gives ids to new programs, and puts aside those whose places they take.

        Args:
          population: P programs, as they are before.
          fitness: theirs, float64 [P].
          slots: where the new programs go, int64 [n], each once.
          parents: of the new programs.
          individuals: programs that the search has made with these.

        Returns:
          Ids of the new programs, int64 [n].
        """
        leaving = slots[self._matters[slots]]
        if self._num_leavers + len(leaving) > len(self._leavers.fitness):
            self._forget_leavers()
        self._put_aside(population, fitness, leaving)
        new = np.empty((len(slots), len(_FACTS)), np.int64)
        new[:, _ID] = np.arange(self._next, self._next + len(slots))
        new[:, _PARENT] = parents.ids
        new[:, _GENERATION] = parents.generations + 1
        new[:, _INDIVIDUALS] = individuals
        self._next += len(slots)
        self._living[slots] = new
        self._matters[slots] = False
        return new[:, _ID]

    def pin(self, new: Sequence[int], all_ids: Sequence[int]) -> None:
        """Keeps programs with their ancestors.

        Args:
          new: ids of programs that live.
          all_ids: of all to keep; others that were pinned before are let go.
        """
        self._matters |= np.isin(self.ids, new)
        self._pinned = list(all_ids)

    def adopt(self, ancestors: Ancestors) -> None:
        """Takes over the ancestors of programs that have come from elsewhere, after `replace`."""
        self._dead.append(ancestors)
        self._look_at_dead()

    def history(self, population: Population, fitness: np.ndarray, ids: np.ndarray) -> Ancestors:
        """Programs that live or are kept, with their ancestors.

        Args:
          population, fitness: as they are.
          ids: of the programs, int64.
        """
        left = self._those_who_left()
        wanted = np.concatenate([ids, self._needed(), left.parents])
        slots = np.flatnonzero(np.isin(self.ids, wanted))
        living = Ancestors(self._living[slots], fitness[slots], population.take(slots))
        return Ancestors.joined([*self._dead, left, living]).of(ids)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs, but for the population."""
        arrays: dict[str, np.ndarray] = {
            "living": self._living,
            "matters": self._matters.astype(np.int8),
            "pinned": np.array(self._pinned, np.int64),
            "counts": np.array([self._next, self._dead_at_most]),
        }
        for prefix, part in (("left", self._those_who_left()), ("dead", Ancestors.joined(self._dead))):
            arrays |= {f"{prefix}.{name}": array for name, array in part.to_arrays().items()}
        return arrays

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray], population: Population) -> Lineage:
        """What `to_arrays` saw, of a population that is as it was."""
        lineage = cls(population)
        lineage._living[:] = arrays["living"]
        lineage._matters[:] = arrays["matters"]
        lineage._pinned = arrays["pinned"].tolist()
        lineage._next, lineage._dead_at_most = arrays["counts"].tolist()
        lineage._dead = [Ancestors.from_arrays(arrays, "dead.", population.capacity)]
        left = Ancestors.from_arrays(arrays, "left.", population.capacity)
        lineage._num_leavers = len(left.fitness)
        for ours, theirs in zip(lineage._leavers.to_arrays().values(), left.to_arrays().values()):
            ours[: len(theirs)] = theirs
        return lineage

    def _put_aside(self, population: Population, fitness: np.ndarray, slots: np.ndarray) -> None:
        """Writes programs into the places of leavers: new memory would cost more than what is written to it."""
        here = slice(self._num_leavers, self._num_leavers + len(slots))
        self._num_leavers = here.stop
        self._leavers.facts[here] = self._living[slots]
        self._leavers.fitness[here] = fitness[slots]
        for name in _OF_PROGRAMS:
            place = getattr(self._leavers.programs, name)[here]
            np.take(getattr(population, name), slots, axis=0, out=place, mode="clip")

    def _those_who_left(self) -> Ancestors:
        return self._leavers.take(np.arange(self._num_leavers))

    def _needed(self) -> np.ndarray:
        """Ids of programs that somebody descends from, or that are pinned; they need not be gone."""
        parents = [part.parents for part in self._dead]
        return np.concatenate([self._living[:, _PARENT], np.array(self._pinned, np.int64), *parents])

    def _forget_leavers(self) -> None:
        """Keeps those that have descendants."""
        facts = self._leavers.facts[: self._num_leavers]
        ids, parents = facts[:, _ID].copy(), facts[:, _PARENT]
        order = np.argsort(ids)
        places = _places(ids, parents, order)
        kept = np.zeros(len(ids), bool)
        frontier = _places(ids, self._needed(), order)
        while len(frontier := frontier[frontier >= 0]):
            frontier = np.unique(frontier[~kept[frontier]])
            kept[frontier] = True
            frontier = places[frontier]
        self._dead.append(self._leavers.take(np.flatnonzero(kept)))
        self._num_leavers = 0
        self._look_at_dead()

    def _look_at_dead(self) -> None:
        """Keeps the ancestors of programs that live or are pinned, and not too many of them, if there are many."""
        if sum(len(part.fitness) for part in self._dead) <= self._dead_at_most:
            return
        pinned = np.array(self._pinned, np.int64)
        of_others = self._living[:, _PARENT], self._leavers.parents[: self._num_leavers]
        wanted = np.concatenate([*of_others, pinned])
        dead = Ancestors.joined(self._dead).of(wanted)
        if len(dead.fitness) > _MOST_ANCESTORS:
            dead, nearest = dead.thinned(_MOST_ANCESTORS // 2, pinned)
            for parents in of_others:
                parents[:] = [nearest.get(parent, parent) for parent in parents.tolist()]
        self._dead = [dead]
        self._dead_at_most = min(2 * len(dead.fitness), _MOST_ANCESTORS) + _FEW_DEAD


def most_leavers(size: int, lines: int) -> int:
    """Programs of so many lines that a population of some size puts aside before they are looked at."""
    return max(_BYTES_FOR_LEAVERS // Population.needed_bytes(1, lines), 2 * size)


def _places(ids: np.ndarray, wanted: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Where some ids stand among others, which `order` sorts, int64; -1 for those that do not."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids) if order is None else order
    places = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[places] == wanted, places, -1)
