"""Islands: the populations of one experiment, how far they are, and what they exchange.

An `IslandGroup` holds some islands in one process. `workers` spreads all islands of an
experiment over groups, in this process or in others, which changes no result: an island
depends on its settings, its seeds and what migrates to it, at fixed counts of programs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from azero_jax.equivalence import structural_keys
from azero_jax.lineage import Ancestors, Parents
from azero_jax.program import Population
from azero_jax.search import History, Migrants, Search
from azero_jax.settings import Settings, island_seeds
from azero_jax.snapshots import Snapshot
from azero_jax.task_specs import make_tasks

# Keeps the draws of exchanges apart from those of islands.
_EXCHANGE_SEED = 1_000_000_007


class IslandStatus(NamedTuple):
    """How far an island is.

    Attributes:
      individuals: programs made.
      train_steps: training examples seen, over all tasks.
      best_fitness: of the population.
      best_ever: fitness of the best program ever seen.
      mean_fitness: of the population.
      cache_hits: programs whose fitness was known.
    """

    individuals: int
    train_steps: int
    best_fitness: float
    best_ever: float
    mean_fitness: float
    cache_hits: int


class Finalists(NamedTuple):
    """What an island proposes: programs as text, best first, and their fitness on its search tasks."""

    programs: list[str]
    fitness: list[float]


class IslandReport(NamedTuple):
    """What an island tells of itself now and then.

    Attributes:
      status: how far it is.
      fitness: of the population, float64 [P].
      unique_programs: programs of the population that differ by more than names and
        dead instructions.
      hurdle_fitness: below this a program stops early.
      restarts: how often the population started anew.
      counters: fields of `scoring.Counters`.
      best: the best of the population.
    """

    status: IslandStatus
    fitness: np.ndarray
    unique_programs: int
    hurdle_fitness: float
    restarts: int
    counters: dict[str, int]
    best: Finalists


class IslandGroup:
    """Some islands of one experiment, in this process.

    Args:
      settings: of the run.
      experiment: its number, from 1.
      numbers: which islands.
      snapshots: where they go on, one for each; by default they start.
      num_threads: of each evaluator, where the settings leave it open with 0.

    Raises:
      ValueError: settings that contradict each other or the tasks.
    """

    def __init__(
        self,
        settings: Settings,
        experiment: int,
        numbers: Sequence[int],
        snapshots: Sequence[Snapshot] | None = None,
        num_threads: int = 0,
    ):
        self._searches = [
            _make_search(settings, experiment, number, snapshots[place] if snapshots else None, num_threads)
            for place, number in enumerate(numbers)
        ]
        self._leaving: list[np.ndarray] = [np.zeros(0, np.int64)] * len(self._searches)
        self._migrate_share = settings.migration.share

    def advance(self, target: int, pause: Callable[[], bool]) -> list[IslandStatus]:
        """Steps every island until it has made `target` programs, or, after a step at least, `pause` says so."""
        for search in self._searches:
            while search.individuals < target:
                search.step()
                if pause():
                    break
        return self.status()

    def status(self) -> list[IslandStatus]:
        """How far each island is."""
        return [_status(search) for search in self._searches]

    def report(self) -> list[IslandReport]:
        """What each island tells."""
        return [
            IslandReport(
                _status(search),
                search.state.fitness.copy(),
                _count_unique(search),
                search.scorer.hurdle_fitness,
                search.restarts,
                dataclasses.asdict(search.scorer.counters),
                _best_of_population(search),
            )
            for search in self._searches
        ]

    def best(self) -> list[Finalists]:
        """The best program of each population."""
        return [_best_of_population(search) for search in self._searches]

    def finalists(self) -> list[Finalists]:
        """What each island proposes at the end."""
        return [
            Finalists([program.to_text() for program in programs], fitness)
            for programs, fitness in (search.finalists() for search in self._searches)
        ]

    def emigrants(self) -> list[Migrants]:
        """Copies of the programs that leave each island; `immigrate` fills their places."""
        programs = []
        for place, search in enumerate(self._searches):
            count = max(1, round(self._migrate_share * len(search.state.population)))
            self._leaving[place], leaving = search.emigrants(count)
            programs.append(leaving)
        return programs

    def immigrate(self, programs: Sequence[Migrants]) -> None:
        """Puts programs in the places of those that left, as many for each island."""
        for search, places, arriving in zip(self._searches, self._leaving, programs):
            search.immigrate(places, arriving)

    def histories(self) -> list[History]:
        """How each island found its best programs."""
        return [search.history() for search in self._searches]

    def snapshot(self) -> list[Snapshot]:
        """Where each island is, for a group that goes on from there."""
        return [search.snapshot() for search in self._searches]


def _make_search(
    settings: Settings, experiment: int, number: int, snapshot: Snapshot | None, num_threads: int
) -> Search:
    island = settings.islands[number]
    task_rng, search_rng = island_seeds(settings, experiment, number)
    tasks = make_tasks(island.search_tasks, random_seeds=task_rng if settings.randomize_task_seeds else None)
    search = island.search
    if not search.evaluation.num_threads:
        search = dataclasses.replace(search, evaluation=dataclasses.replace(search.evaluation, num_threads=num_threads))
    if snapshot is None:
        return Search(tasks, search, seed=search_rng, random_ops_seed=settings.random_seed, island=number)
    return Search.from_snapshot(tasks, search, *snapshot, random_ops_seed=settings.random_seed)


def _status(search: Search) -> IslandStatus:
    counters = search.scorer.counters
    return IslandStatus(
        search.individuals,
        counters.train_steps,
        float(search.state.fitness.max()),
        search.best()[1],
        float(search.state.fitness.mean()),
        counters.algebraic_hits + counters.equivalence_hits,
    )


def _best_of_population(search: Search) -> Finalists:
    program, fitness = search.state.best()
    return Finalists([program.to_text()], [fitness])


def _count_unique(search: Search) -> int:
    evaluator = search.scorer.evaluator
    keys = structural_keys(
        search.state.population, evaluator.memory, evaluator.num_threads, evaluator.tasks.vector_labels
    )
    return len(np.unique(keys))


def arrivals(settings: Settings, experiment: int, exchange: int, leaving: Sequence[Migrants]) -> list[Migrants]:
    """What each island gets in an exchange: as many programs as left it, drawn from those of all islands.

    Args:
      settings: of the run.
      experiment, exchange: their numbers.
      leaving: of each island.
    """
    rng = np.random.default_rng([settings.random_seed, experiment, _EXCHANGE_SEED, exchange])
    pool = Population(
        np.concatenate([migrants.programs.code for migrants in leaving]),
        np.concatenate([migrants.programs.constants for migrants in leaving]),
        np.concatenate([migrants.programs.lengths for migrants in leaving]),
        leaving[0].programs.capacity,
    )
    ids, generations = (np.concatenate(parts) for parts in zip(*(migrants.parents for migrants in leaving)))
    ancestors = Ancestors.joined([migrants.ancestors for migrants in leaving])
    arriving = []
    for migrants in leaving:
        drawn = rng.choice(len(pool), len(migrants.programs), replace=False)
        parents = Parents(ids[drawn], generations[drawn])
        arriving.append(Migrants(pool.take(drawn), parents, ancestors.of(parents.ids)))
    return arriving
