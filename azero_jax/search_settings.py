"""Settings of one search, and how it evaluates programs."""

from __future__ import annotations

import dataclasses
import functools

from azero_jax import arguments
from azero_jax.evaluator import DTYPES, STRATEGIES, Evaluator
from azero_jax.evolution import EvolutionSettings
from azero_jax.mutation import SearchSpace
from azero_jax.notices import tell_once
from azero_jax.scoring import COMBINATIONS, EquivalenceSettings, HurdleSettings, TrainBudgetSettings
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
