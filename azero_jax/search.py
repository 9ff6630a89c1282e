"""One search: a population that evolves on its tasks, step by step.

    search = Search(tasks, SearchSettings(), seed=1)
    while search.best()[1] < 0.999:
        search.step()

An experiment is one of these, or several that exchange programs (`islands`).
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from azero_jax import arguments, evolution, snapshots
from azero_jax.evolution import Children, EvolutionState
from azero_jax.hall_of_fame import HallOfFame
from azero_jax.initial_programs import initial_population, text_of_programs
from azero_jax.lineage import Ancestor, Ancestors, Lineage, Parents
from azero_jax.mutation import Mutator
from azero_jax.program import Population, Program
from azero_jax.scoring import Counters, Scorer
from azero_jax.search_settings import EvaluationSettings as EvaluationSettings
from azero_jax.search_settings import SearchSettings as SearchSettings
from azero_jax.search_settings import make_evaluator as make_evaluator
from azero_jax.snapshots import Snapshot
from azero_jax.tasks import Tasks

# Beyond, every second of the earlier ones is forgotten.
_MOST_IMPROVEMENTS = 1000


class Migrants(NamedTuple):
    """Copies of programs on their way from one search to another.

    Attributes:
      programs: n of them.
      parents: the programs that they are copies of.
      ancestors: these and all their ancestors.
    """

    programs: Population
    parents: Parents
    ancestors: Ancestors


class History(NamedTuple):
    """What a search remembers of how its best programs were found.

    Attributes:
      improvements: the programs that became the best ever seen, first to last.
      ancestors: of the programs that the search proposes.
    """

    improvements: list[Ancestor]
    ancestors: Ancestors


class Search:
    """A population and everything that makes it evolve.

    Args:
      tasks: what programs are scored on.
      settings: of the search.
      seed: of everything random in it: an integer or a generator, used from then on.
      random_ops_seed: of the random ops that programs may hold.
      initial: programs to start from, again and again until the population is full; by
        default what the settings say.
      own_fitness: whether the caller scores all programs. `ask` then gives the initial
        population first, and `step` and `run` are refused.
      island: its number, among searches that exchange programs.

    Attributes:
      tasks, settings: as given.
      state: population, fitness and counts.
      scorer: caches and counters.
      hall_of_fame: the best programs ever seen.
      improved_at: individuals made when the best fitness was first seen.
      restarts: how often the population started anew.

    Raises:
      ValueError: settings that contradict each other or the tasks.
    """

    def __init__(
        self,
        tasks: Tasks,
        settings: SearchSettings,
        *,
        seed: int | np.random.Generator = 0,
        random_ops_seed: int = 0,
        initial: Sequence[Program] | None = None,
        own_fitness: bool = False,
        island: int = 0,
        restored: Snapshot | None = None,
    ):
        arguments.instance("tasks", tasks, Tasks, "az.make_tasks('scalar_linear_regression')")
        arguments.instance("settings", settings, SearchSettings)
        if not isinstance(seed, np.random.Generator):
            seed = arguments.integer("seed", seed, 0)
        if initial is not None:
            settings = dataclasses.replace(
                settings,
                evolution=dataclasses.replace(settings.evolution, initial_population=text_of_programs(initial)),
            )
        if (
            own_fitness
            and settings.evolution.restart_from == "initial"
            and settings.evolution.restart_stagnant_individuals
        ):
            raise ValueError("restart_from='initial' with own_fitness=True: expected 'best'")
        self.tasks = tasks
        self.settings = settings
        self._random_ops_seed = random_ops_seed
        self._mutator = Mutator.of(
            settings.space, settings.evolution.mutation_types, settings.evolution.constant_mutation
        )
        self.scorer = Scorer(
            make_evaluator(tasks, settings, random_ops_seed),
            settings.fitness_combination,
            settings.equivalence,
            settings.hurdle,
            settings.train_budget,
        )
        self.hall_of_fame = HallOfFame(max(1, settings.hall_of_fame_size))
        self.improved_at = self._restarted_at = self.restarts = 0
        self._improvements: list[tuple[int, int]] = []  # id, individuals
        self._own_fitness = own_fitness
        self._asked: Children | None = None
        if restored is not None:
            self._restore(*restored)
            return
        scorer = None if own_fitness else self.scorer
        self.state = evolution.start(settings.evolution, self._mutator, scorer, np.random.default_rng(seed), island)
        if not own_fitness:
            self._remember(self.state.population, self.state.fitness, self.state.lineage.ids)

    @classmethod
    def from_snapshot(
        cls,
        tasks: Tasks,
        settings: SearchSettings,
        record: dict,
        arrays: dict[str, np.ndarray],
        *,
        random_ops_seed: int = 0,
    ) -> Search:
        """A search that goes on exactly where `snapshot` was taken, with the same arguments as then."""
        return cls(tasks, settings, random_ops_seed=random_ops_seed, restored=(record, arrays))

    # Going on.

    def step(self) -> None:
        """Makes and scores `child_batch_size` children, after a restart if one is due.

        Raises:
          ValueError: fitness is the caller's, or programs are asked for and not told of.
        """
        if self._own_fitness:
            raise ValueError("own_fitness=True: this search cannot score programs itself: expected ask and tell")
        self._refuse_if_asked("step")
        if self._is_stagnant():
            self._restart()
        self._remember(*evolution.step(self.state, self.settings.evolution, self._mutator, self.scorer))

    def run(self, individuals: int) -> tuple[Program, float]:
        """Steps until at least so many more programs are made, and returns `best`.

        Raises:
          ValueError: fewer than one.
        """
        end = self.individuals + arguments.integer("individuals", individuals, 1)
        while self.individuals < end:
            self.step()
        return self.best()

    def ask(self) -> Population:
        """Programs to score: the next children, or the initial population where fitness is the caller's own.

        They enter the population with `tell`. `ask` and `tell` with
        `scorer.score(programs)` between them do what `step` does.

        Raises:
          ValueError: the fitness of those asked for before was not told.
        """
        self._refuse_if_asked("ask")
        if self.hall_of_fame.programs:
            if self._is_stagnant():
                self._restart()
            self._asked = evolution.make_children(self.state, self.settings.evolution, self._mutator)
        else:
            self._asked = Children(self.state.population, Parents.none(len(self.state.population)))
        return self._asked.programs.take(np.arange(len(self._asked.programs)))

    def tell(self, fitness: Sequence[float] | np.ndarray) -> None:
        """Lets the programs that were asked for into the population.

        Args:
          fitness: of each, float64 [n], from 0 to 1, the best.

        Raises:
          ValueError: nothing was asked for, or the fitness is of another number of programs or out of range.
        """
        children, state = self._asked, self.state
        if children is None:
            raise ValueError("tell: no programs were asked for: expected ask first")
        values = np.array(fitness, np.float64)
        if values.shape != (len(children.programs),):
            raise ValueError(f"fitness of shape {values.shape}: expected {len(children.programs)} numbers")
        if not ((values >= 0) & (values <= 1)).all():
            wrong = int(np.flatnonzero(~((values >= 0) & (values <= 1)))[0])
            raise ValueError(f"fitness {values[wrong]} of program {wrong}: expected 0 to 1")
        self._asked = None
        if children.programs is state.population:  # the initial one
            state.fitness, ids, before = values, state.lineage.ids, -1
        else:
            before = state.individuals
            ids = evolution.let_in(state, children, values)
        self.scorer.move_hurdle(state.fitness, before, state.individuals)
        self._remember(children.programs, values, ids)

    # What it has found.

    def best(self) -> tuple[Program, float]:
        """The best program ever seen, and its fitness."""
        if not self.hall_of_fame.programs:
            raise ValueError("best: no fitness was told yet: expected ask and tell first")
        return self.hall_of_fame.programs[0], self.hall_of_fame.fitness[0]

    @property
    def individuals(self) -> int:
        """Programs made so far, the initial ones and cache hits included."""
        return self.state.individuals

    def finalists(self) -> tuple[list[Program], list[float]]:
        """What the search proposes: the hall of fame, or without one the best of the population."""
        if self.settings.hall_of_fame_size:
            return list(self.hall_of_fame.programs), list(self.hall_of_fame.fitness)
        return self._best_that_is_as_good_as_it_says()

    def _best_that_is_as_good_as_it_says(self) -> tuple[list[Program], list[float]]:
        """The best of the population by what they score themselves, not what an equivalent program did."""
        fitness = self.state.fitness.copy()
        checked = np.zeros(len(fitness), bool)
        while not checked[best := int(np.argmax(fitness))]:
            equal = np.flatnonzero((fitness == fitness[best]) & ~checked)
            if not self._own_fitness:
                fitness[equal] = self.scorer.score_without_caches(self.state.population.take(equal))
            checked[equal] = True
        return [self.state.population[best]], [float(fitness[best])]

    def ancestry(self, program: Program | None = None) -> list[Ancestor]:
        """The programs that a program was made from, first to last, and itself.

        Args:
          program: of the population or the hall of fame; by default the best.

        Returns:
          Its ancestors, each the child of the one before. Of more than 10,000 those that
          changed no fitness may be missing. Empty for a program that is not remembered.
        """
        wanted = self.best()[0] if program is None else program
        return self._ancestors(self.state.lineage.ids).way_to(wanted)

    def history(self) -> History:
        """How the best programs were found."""
        ancestors = self._ancestors(self.state.lineage.ids)
        places = {id: place for place, id in enumerate(ancestors.ids.tolist())}
        improvements = [
            ancestors.at(places[id])._replace(individuals=individuals)
            for id, individuals in self._improvements
            if id in places
        ]
        return History(improvements, ancestors)

    def _ancestors(self, ids: np.ndarray) -> Ancestors:
        """Some programs of the population and the best ever seen, with their ancestors."""
        kept = [id for id, _ in self._improvements] + self.hall_of_fame.ids
        state = self.state
        return state.lineage.history(state.population, state.fitness, np.concatenate([ids, np.array(kept, np.int64)]))

    # Programs that come and go.

    def emigrants(self, count: int) -> tuple[np.ndarray, Migrants]:
        """Copies of `count` programs, drawn at random without repeats.

        Returns:
          Their slots, int64 [count], and the programs.
        """
        state = self.state
        slots = state.rng.choice(len(state.population), count, replace=False)
        parents = state.lineage.parents_at(slots)
        ancestors = state.lineage.history(state.population, state.fitness, parents.ids)
        return slots, Migrants(state.population.take(slots), parents, ancestors)

    def immigrate(self, slots: np.ndarray, migrants: Migrants) -> None:
        """Puts programs from elsewhere into slots (int64 [n]), scored on this search's own tasks."""
        fitness = self.scorer.score(migrants.programs)
        self._put(slots, Children(migrants.programs, migrants.parents), fitness)
        self.state.lineage.adopt(migrants.ancestors)

    def _put(self, slots: np.ndarray, children: Children, fitness: np.ndarray) -> None:
        self._remember(children.programs, fitness, evolution.replace(self.state, slots, children, fitness))

    def _remember(self, programs: Population, fitness: np.ndarray, ids: np.ndarray) -> None:
        before = self.hall_of_fame.fitness[:1]
        entered = self.hall_of_fame.add(programs, fitness, ids)
        if not entered:
            return
        if self.hall_of_fame.fitness[:1] != before:
            self.improved_at = self.state.individuals
            if len(self._improvements) == _MOST_IMPROVEMENTS:
                self._improvements = self._improvements[::2]
            self._improvements.append((self.hall_of_fame.ids[0], self.improved_at))
        self.state.lineage.pin(entered, [id for id, _ in self._improvements] + self.hall_of_fame.ids)

    def _is_stagnant(self) -> bool:
        limit = self.settings.evolution.restart_stagnant_individuals
        return bool(limit) and self.state.individuals - max(self.improved_at, self._restarted_at) >= limit

    def _restart(self) -> None:
        settings, state = self.settings.evolution, self.state
        size = settings.population_size
        if settings.restart_from == "initial":
            programs = initial_population(settings.initial_population, size, self.settings.space, state.rng)
            parents, fitness = Parents.none(size), self.scorer.score(programs)
        else:
            program, best_fitness = self.best()
            single = Population.from_programs([program], state.population.capacity)
            programs, fitness = single.take(np.zeros(size, np.int64)), np.full(size, best_fitness)
            parents = state.lineage.parent(self.hall_of_fame.ids[0], size)
        self._restarted_at = state.individuals
        self.restarts += 1
        self._put(np.arange(size), Children(programs, parents), fitness)

    def _refuse_if_asked(self, name: str) -> None:
        if self._asked is not None:
            raise ValueError(f"{name}: programs were asked for, and their fitness was not told: expected tell first")

    # Snapshots.

    def save(self, path: str | os.PathLike) -> None:
        """Writes everything that `load` needs to a file, whole or not at all.

        Raises:
          ValueError: programs are asked for and not told of.
          OSError: the file cannot be written.
        """
        record, arrays = self.snapshot()
        snapshots.save(pathlib.Path(path), self.tasks, self.settings, self._random_ops_seed, (record, arrays))

    @classmethod
    def load(cls, path: str | os.PathLike, tasks: Tasks) -> Search:
        """A search that goes on exactly where `save` was called.

        Args:
          path: of the file.
          tasks: the same as then.

        Raises:
          ValueError: the file is damaged, or of other tasks or another azero_jax.
          OSError: it cannot be read.
        """
        arguments.instance("tasks", tasks, Tasks, "az.make_tasks('scalar_linear_regression')")
        saved = snapshots.load(pathlib.Path(path), tasks)
        return cls(tasks, saved.settings, random_ops_seed=saved.random_ops_seed, restored=saved.snapshot)

    def snapshot(self) -> Snapshot:
        """Everything that `from_snapshot` needs: JSON values and arrays by name.

        Raises:
          ValueError: programs are asked for and not told of.
        """
        self._refuse_if_asked("snapshot")
        state, scorer = self.state, self.scorer
        hall = Population.from_programs(self.hall_of_fame.programs, state.population.capacity)
        arrays = {
            "fitness": state.fitness,
            "hall.fitness": np.array(self.hall_of_fame.fitness),
            "hall.ids": np.array(self.hall_of_fame.ids, np.int64),
            "improvements": np.array(self._improvements, np.int64).reshape(-1, 2),
        }
        for prefix, population in (("", state.population), ("hall.", hall)):
            arrays |= {f"{prefix}{name}": getattr(population, name) for name in ("code", "constants", "lengths")}
        for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
            arrays |= {f"{name}.{key}": value for key, value in cache.to_arrays().items()}
        arrays |= {f"lineage.{name}": array for name, array in state.lineage.to_arrays().items()}
        record = {
            "capacity": state.population.capacity,
            "oldest": state.oldest,
            "individuals": state.individuals,
            "rng": state.rng.bit_generator.state,
            "counters": dataclasses.asdict(scorer.counters),
            "hurdle_fitness": scorer.hurdle_fitness,
            "improved_at": self.improved_at,
            "restarted_at": self._restarted_at,
            "restarts": self.restarts,
            "own_fitness": self._own_fitness,
        }
        return record, {name: array.copy() for name, array in arrays.items()}

    def _restore(self, record: dict, arrays: dict[str, np.ndarray]) -> None:
        capacity = tuple(record["capacity"])
        population, hall = (
            Population(arrays[f"{prefix}code"], arrays[f"{prefix}constants"], arrays[f"{prefix}lengths"], capacity)
            for prefix in ("", "hall.")
        )
        rng = np.random.default_rng()
        rng.bit_generator.state = record["rng"]
        lineage = Lineage.restore(
            {name.removeprefix("lineage."): array for name, array in arrays.items() if name.startswith("lineage.")},
            population,
        )
        self.state = EvolutionState(
            population, arrays["fitness"], record["oldest"], record["individuals"], rng, lineage
        )
        self.hall_of_fame.programs = list(hall)
        self.hall_of_fame.fitness = arrays["hall.fitness"].tolist()
        self.hall_of_fame.ids = arrays["hall.ids"].tolist()
        self._improvements = [(id, individuals) for id, individuals in arrays["improvements"].tolist()]
        self.improved_at, self._restarted_at = record["improved_at"], record["restarted_at"]
        self.restarts, self._own_fitness = record["restarts"], record["own_fitness"]
        scorer = self.scorer
        scorer.counters = Counters(**record["counters"])
        scorer.hurdle_fitness = record["hurdle_fitness"]
        for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
            cache.restore({key: arrays[f"{name}.{key}"] for key in ("keys", "fitness", "hits")})
