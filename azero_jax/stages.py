"""The tasks of a run's stages, T_search, T_select and T_final, made and checked before anything starts.

Each stage has its own seed of random ops, so that luck on one is not confirmed on the
next.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from azero_jax import baselines, capacity
from azero_jax.evaluator import Evaluator
from azero_jax.initial_programs import initial_population
from azero_jax.mutation import Mutator
from azero_jax.program import MemorySize, Program
from azero_jax.scoring import Scorer, combine
from azero_jax.search_settings import SearchSettings, make_evaluator
from azero_jax.settings import Settings, island_seeds
from azero_jax.task_specs import TaskSettings, changed, given_parameters, make_tasks
from azero_jax.tasks import Tasks
from azero_jax.text import COMPONENT_FUNCTIONS

STAGES = ("search", "select", "final")
# Keeps their seeds apart from those of experiments and islands.
_STAGE_SEED = 1_000_000_009
_OWN_TASKS = "npz"  # whose seeds are in their file


class Stages(NamedTuple):
    """Tasks that candidates are scored on after the search; None for a stage that is left out.

    Attributes:
      select: T_select of the first experiment.
      final: T_final.
      notes: what a user should know of them, a line each.
    """

    select: Tasks | None
    final: Tasks | None
    notes: list[str]


def make(settings: Settings) -> Stages:
    """Makes the tasks of all stages, and checks that a run of these settings can use them.

    Raises:
      ValueError: tasks that cannot be made or do not agree, or settings that contradict
        them or each other.
      OSError: a file cannot be read.
    """
    searches = dict.fromkeys(island.search for island in settings.islands)
    capacity.check(searches, len(settings.islands), settings.max_individuals, settings.max_seconds)
    specs = {island.search_tasks: "search_tasks" for island in settings.islands}
    search = {spec: make_tasks(spec) for spec in specs}
    select = make_tasks(settings.select_tasks) if settings.select_tasks else None
    final = make_tasks(settings.final_tasks) if settings.final_tasks else None
    made = [("search_tasks", spec, tasks) for spec, tasks in search.items()]
    made += [("select_tasks", settings.select_tasks, select)] if select else []
    made += [("final_tasks", settings.final_tasks, final)] if final else []
    notes = _check_agreement(made)
    for island in dict.fromkeys(settings.islands):
        _check_search(search[island.search_tasks], island.search)
    for tasks in (select, final):
        if tasks is not None:
            _check_room(tasks, settings.islands[0].search)
    if settings.final_baseline and final is not None:
        baselines.check(settings.final_baseline, final)
    return Stages(select, final, notes)


def _check_agreement(made: list[tuple[str, str, Tasks]]) -> list[str]:
    """Checks that programs of one stage make sense in the next; returns what to say of it."""
    notes = []
    first_name, first_spec, first = made[0]
    for name, spec, tasks in made[1:]:
        if tasks.features_size != first.features_size:
            sizes = f"{name} {spec!r} have {tasks.features_size} features, {first_name} {first_spec!r} have "
            sizes += str(first.features_size)
            if not all("features_size" in given_parameters(some) for some in (spec, first_spec)):
                raise ValueError(f"{sizes}: expected as many, or features_size= in both where that is meant")
            notes.append(f"{sizes}: programs found with the one are scored with the other")
        same_data = _origin(spec) == _origin(first_spec)
        if tasks.vector_labels and first.vector_labels and tasks.num_classes != first.num_classes and not same_data:
            raise ValueError(
                f"{name} {spec!r} have {tasks.num_classes} classes, {first_name} {first_spec!r} have "
                f"{first.num_classes}: expected as many"
            )
    return notes


def _origin(spec: str) -> tuple[str | None, ...]:
    """Where the data of a specification comes from."""
    given = given_parameters(spec)
    return spec.partition(":")[0].strip(), given.get("dataset"), given.get("path")


def _check_search(tasks: Tasks, search: SearchSettings) -> None:
    """Makes all that a search is made of, but for its compiled machine."""
    evolution = search.evolution
    mutator = Mutator.of(search.space, evolution.mutation_types, evolution.constant_mutation)
    Scorer(
        make_evaluator(tasks, search, 0),
        search.fitness_combination,
        search.equivalence,
        search.hurdle,
        search.train_budget,
    )
    initial_population(evolution.initial_population, 1, mutator.space, np.random.default_rng(0))


def _check_room(tasks: Tasks, search: SearchSettings) -> None:
    make_evaluator(tasks, search, 0)


def random_op_seed(settings: Settings, stage: str) -> int:
    """The seed of random ops in a stage: the run's own in the search, one drawn from it in others."""
    if stage == STAGES[0]:
        return settings.random_seed
    words = np.random.SeedSequence([settings.random_seed, _STAGE_SEED, STAGES.index(stage)]).generate_state(1)
    return int(words[0]) >> 1


def evaluator(settings: Settings, stage: str, tasks: Tasks) -> Evaluator:
    """What programs are scored with in a stage, as on the first island."""
    return make_evaluator(tasks, settings.islands[0].search, random_op_seed(settings, stage))


def specs(settings: Settings, experiment: int, island: int) -> dict[str, str]:
    """The specification of each stage's tasks in an experiment, with the seeds that were drawn for it."""
    search = settings.islands[island].search_tasks
    select = settings.select_tasks
    if settings.randomize_task_seeds:
        search = with_drawn_seeds(search, island_seeds(settings, experiment, island)[0])
        if select:
            drawn, _ = island_seeds(settings, experiment, 0)
            with_drawn_seeds(settings.islands[0].search_tasks, drawn)  # T_search draws first
            select = with_drawn_seeds(select, drawn)
    return {"search": search, "select": select, "final": settings.final_tasks}


def with_drawn_seeds(spec: str, rng: np.random.Generator) -> str:
    """A specification whose tasks are those of `make_tasks(spec, random_seeds=rng)`."""
    num_tasks = int(given_parameters(spec).get("num_tasks", TaskSettings.num_tasks))
    drawn = rng.integers(0, 2**31, (2, num_tasks)).tolist()
    if spec.strip().startswith(f"{_OWN_TASKS}:"):
        return spec
    data_seeds, param_seeds = ("+".join(map(str, some)) for some in drawn)
    return changed(spec, f"data_seeds={data_seeds},param_seeds={param_seeds}")


@dataclasses.dataclass(frozen=True)
class StageRecord:
    """What repeats a program's fitness in a stage, to the last bit.

    Attributes:
      tasks: their specification, with the seeds that were drawn.
      random_op_seed: of random ops.
      fitness_combination: how fitness over tasks became one number.
      max_abs_error, dtype, strategy, memory: as of `Evaluator`.
    """

    tasks: str
    random_op_seed: int
    fitness_combination: str
    max_abs_error: float
    dtype: str
    strategy: str
    memory: MemorySize

    def fitness(self, program: Program) -> float:
        """The fitness of a program, scored anew."""
        evaluator = Evaluator(
            make_tasks(self.tasks),
            memory=self.memory,
            max_abs_error=self.max_abs_error,
            dtype=self.dtype,
            strategy=self.strategy,
            seed=self.random_op_seed,
            ops={instruction.op.name for name in COMPONENT_FUNCTIONS for instruction in program.instructions(name)},
        )
        return float(combine(evaluator.evaluate([program]).fitness, self.fitness_combination)[0])


def describe(settings: Settings, experiment: int, island: int) -> dict[str, StageRecord]:
    """How a program of an experiment's island was scored in each stage."""
    described = {}
    for stage, spec in specs(settings, experiment, island).items():
        search = settings.islands[island if stage == STAGES[0] else 0].search
        described[stage] = StageRecord(
            spec,
            random_op_seed(settings, stage),
            search.fitness_combination if stage == STAGES[0] else "mean",
            search.evaluation.max_abs_error,
            search.evaluation.dtype,
            search.evaluation.strategy,
            search.space.memory,
        )
    return {stage: how for stage, how in described.items() if how.tasks}
