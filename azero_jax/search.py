"""One search: a population that evolves on its tasks, step by step.

    search = Search(tasks, SearchSettings(), seed=1)
    while search.best()[1] < 0.999:
        search.step()

An experiment is one of these, or several that exchange programs (`islands`).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from azero_jax import arguments, evolution
from azero_jax.evaluator import DTYPES, STRATEGIES, Evaluator
from azero_jax.evolution import EvolutionSettings, EvolutionState
from azero_jax.initial_programs import initial_population
from azero_jax.mutation import Mutator, SearchSpace
from azero_jax.notices import tell_once
from azero_jax.program import Population, Program
from azero_jax.scoring import (
    COMBINATIONS,
    Counters,
    EquivalenceSettings,
    HurdleSettings,
    Scorer,
    TrainBudgetSettings,
)
from azero_jax.tasks import Tasks


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How programs are run.

    Attributes:
      max_abs_error: a larger error on any example gives fitness 0.
      dtype: "float32" or "float64".
      strategy: "switch", "vmap" or "auto".
      num_threads: programs that run at the same time; 0 for one per core.
    """

    max_abs_error: float = 100.0
    dtype: str = "float32"
    strategy: str = "auto"
    num_threads: int = 0

    def __post_init__(self) -> None:
        set_field = functools.partial(object.__setattr__, self)
        error = arguments.number("max_abs_error", self.max_abs_error, "a positive number", lambda value: value > 0)
        set_field("max_abs_error", error)
        arguments.one_of("dtype", self.dtype, DTYPES)
        arguments.one_of("strategy", self.strategy, STRATEGIES)
        set_field("num_threads", arguments.integer("num_threads", self.num_threads, 0))


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """Everything that decides what a search finds, but for its tasks and its seed.

    Attributes:
      space: the programs to search.
      evolution: the search method.
      evaluation: how programs are run.
      equivalence: how equivalent programs are found.
      hurdle: when poor programs stop early.
      train_budget: which programs are too expensive to run.
      fitness_combination: how fitness over tasks becomes one number, "mean" or "median".
      hall_of_fame_size: best programs ever seen that are kept, no two of the same
        fitness; at least one is.

    Raises:
      ValueError: a value out of range.
    """

    space: SearchSpace = dataclasses.field(default_factory=SearchSpace)
    evolution: EvolutionSettings = dataclasses.field(default_factory=EvolutionSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    equivalence: EquivalenceSettings = dataclasses.field(default_factory=EquivalenceSettings)
    hurdle: HurdleSettings = dataclasses.field(default_factory=HurdleSettings)
    train_budget: TrainBudgetSettings = dataclasses.field(default_factory=TrainBudgetSettings)
    fitness_combination: str = "mean"
    hall_of_fame_size: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self)[:6]:
            arguments.instance(field.name, getattr(self, field.name), field.default_factory)  # type: ignore[arg-type]
        arguments.one_of("fitness_combination", self.fitness_combination, COMBINATIONS)
        size = arguments.integer("hall_of_fame_size", self.hall_of_fame_size, 0)
        object.__setattr__(self, "hall_of_fame_size", size)


def make_evaluator(tasks: Tasks, settings: SearchSettings, random_ops_seed: int) -> Evaluator:
    """An evaluator of any tasks, as a search of these settings has it: its programs come to use every address."""
    evaluation = settings.evaluation
    if warning := tasks.beyond(evaluation.max_abs_error):
        tell_once(warning)
    evaluator = Evaluator(
        tasks,
        memory=settings.space.memory,
        max_abs_error=evaluation.max_abs_error,
        dtype=evaluation.dtype,
        strategy=evaluation.strategy,
        num_threads=evaluation.num_threads or None,
        seed=random_ops_seed,
        fingerprint=settings.equivalence.fingerprint,
        ops=settings.space.every_op,
    )
    evaluator.make_room()
    return evaluator


class HallOfFame:
    """The best programs ever seen, best first, no two of the same fitness.

    Programs that do the same have the same fitness, so that K places hold K different
    programs.

    Args:
      size: programs kept, at least 1.

    Attributes:
      programs, fitness: of the members.
    """

    def __init__(self, size: int):
        self._size = size
        self.programs: list[Program] = []
        self.fitness: list[float] = []

    def add(self, population: Population, fitness: np.ndarray) -> None:
        """Enters those of a population's programs (fitness float64 [P]) that are good enough."""
        least = self.fitness[-1] if len(self.fitness) == self._size else -np.inf
        if not fitness.max() > least:
            return
        values, first = np.unique(fitness, return_index=True)
        known = set(self.fitness)
        for value, index in zip(values[::-1][: self._size].tolist(), first[::-1][: self._size].tolist()):
            if value > least and value not in known:
                self.programs.append(population[index])
                self.fitness.append(value)
        order = np.argsort(-np.array(self.fitness), kind="stable")[: self._size]
        self.programs = [self.programs[place] for place in order]
        self.fitness = [self.fitness[place] for place in order]


class Search:
    """A population and everything that makes it evolve.

    Args:
      tasks: what programs are scored on.
      settings: of the search.
      seed: of everything random in it: an integer or a generator, used from then on.
      random_ops_seed: of the random ops that programs may hold.

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
        restored: tuple[dict, dict[str, np.ndarray]] | None = None,
    ):
        arguments.instance("tasks", tasks, Tasks, "az.make_tasks('scalar_linear_regression')")
        arguments.instance("settings", settings, SearchSettings)
        if not isinstance(seed, np.random.Generator):
            seed = arguments.integer("seed", seed, 0)
        self.tasks = tasks
        self.settings = settings
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
        if restored is not None:
            self._restore(*restored)
            return
        self.state = evolution.start(settings.evolution, self._mutator, self.scorer, np.random.default_rng(seed))
        self._remember(self.state.population, self.state.fitness)

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

    def step(self) -> None:
        """Makes and scores `child_batch_size` children, after a restart if one is due."""
        settings, state = self.settings.evolution, self.state
        since = state.individuals - max(self.improved_at, self._restarted_at)
        if settings.restart_stagnant_individuals and since >= settings.restart_stagnant_individuals:
            self._restart()
        self._remember(*evolution.step(state, settings, self._mutator, self.scorer))

    def run(self, individuals: int) -> tuple[Program, float]:
        """Steps until at least so many more programs are made, and returns `best`.

        Raises:
          ValueError: fewer than one.
        """
        end = self.individuals + arguments.integer("individuals", individuals, 1)
        while self.individuals < end:
            self.step()
        return self.best()

    def best(self) -> tuple[Program, float]:
        """The best program ever seen, and its fitness."""
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
            fitness[equal] = self.scorer.score_without_caches(self.state.population.take(equal))
            checked[equal] = True
        return [self.state.population[best]], [float(fitness[best])]

    def emigrants(self, count: int) -> tuple[np.ndarray, Population]:
        """Copies of `count` programs, drawn at random without repeats.

        Returns:
          Their slots, int64 [count], and the programs.
        """
        slots = self.state.rng.choice(len(self.state.population), count, replace=False)
        return slots, self.state.population.take(slots)

    def immigrate(self, slots: np.ndarray, programs: Population) -> None:
        """Puts programs from elsewhere into slots (int64 [n]), scored on this search's own tasks."""
        fitness = self.scorer.score(programs)
        evolution.replace(self.state, slots, programs, fitness)
        self._remember(programs, fitness)

    def _remember(self, programs: Population, fitness: np.ndarray) -> None:
        before = self.hall_of_fame.fitness[:1]
        self.hall_of_fame.add(programs, fitness)
        if self.hall_of_fame.fitness[:1] != before:
            self.improved_at = self.state.individuals

    def _restart(self) -> None:
        settings, state = self.settings.evolution, self.state
        size = settings.population_size
        if settings.restart_from == "initial":
            programs = initial_population(settings.initial_population, size, self.settings.space, state.rng)
            fitness = self.scorer.score(programs)
        else:
            program, best_fitness = self.best()
            single = Population.from_programs([program], state.population.capacity)
            programs, fitness = single.take(np.zeros(size, np.int64)), np.full(size, best_fitness)
        evolution.replace(state, np.arange(size), programs, fitness)
        self._restarted_at = state.individuals
        self.restarts += 1
        self._remember(programs, fitness)

    # Snapshots.

    def snapshot(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Everything that `from_snapshot` needs: JSON values and arrays by name."""
        state, scorer = self.state, self.scorer
        hall = Population.from_programs(self.hall_of_fame.programs, state.population.capacity)
        arrays = {"fitness": state.fitness, "hall.fitness": np.array(self.hall_of_fame.fitness)}
        for prefix, population in (("", state.population), ("hall.", hall)):
            arrays |= {f"{prefix}{name}": getattr(population, name) for name in ("code", "constants", "lengths")}
        for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
            arrays |= {f"{name}.{key}": value for key, value in cache.to_arrays().items()}
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
        self.state = EvolutionState(population, arrays["fitness"], record["oldest"], record["individuals"], rng)
        self.hall_of_fame.programs = list(hall)
        self.hall_of_fame.fitness = arrays["hall.fitness"].tolist()
        self.improved_at, self._restarted_at = record["improved_at"], record["restarted_at"]
        self.restarts = record["restarts"]
        scorer = self.scorer
        scorer.counters = Counters(**record["counters"])
        scorer.hurdle_fitness = record["hurdle_fitness"]
        for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
            cache.restore({key: arrays[f"{name}.{key}"] for key in ("keys", "fitness", "hits")})
