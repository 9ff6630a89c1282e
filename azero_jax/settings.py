"""What a run is asked to do: every setting of an experiment in one value.

Flags become this, results and checkpoints keep it, and a resumed run is compared by it.
"""

from __future__ import annotations

import dataclasses

from azero_jax.baselines import BASELINES
from azero_jax.evolution import EvolutionSettings
from azero_jax.mutation import SearchSpace
from azero_jax.scoring import COMBINATIONS, EquivalenceSettings, HurdleSettings


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


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what a run finds, and its budgets.

    Attributes:
      space: the programs to search.
      evolution: the search method.
      evaluation: how programs are run.
      equivalence: how equivalent programs are found.
      hurdle: when poor programs stop early.
      fitness_combination: of T_search, "mean" or "median"; T_select and T_final
        always use the mean (run_search_experiment.cc).
      search_tasks, select_tasks, final_tasks: specifications of `task_specs`; without
        select or final tasks, those steps are left out.
      final_baseline: name of `baselines` that is scored on T_final, too; empty for none.
      randomize_task_seeds: whether each experiment draws seeds for T_search and
        T_select; T_final keeps its own.
      random_seed: of everything random.
      max_experiments: 0 for any number.
      sufficient_fitness: a candidate above it on T_select ends the run. If it is
        finite, the best program is tried on T_select during the search, too: at each
        report, and at once when it is above it on T_search.
      max_individuals, max_train_steps: of each experiment; 0 for any number.
      max_stagnant_individuals: an experiment ends when so many programs have passed
        without a new best fitness; 0 never. Not in the release.
      max_seconds: of the run; 0 for any time.
    """

    space: SearchSpace
    evolution: EvolutionSettings
    evaluation: EvaluationSettings
    equivalence: EquivalenceSettings
    hurdle: HurdleSettings
    fitness_combination: str
    search_tasks: str
    select_tasks: str
    final_tasks: str
    final_baseline: str
    randomize_task_seeds: bool
    random_seed: int
    max_experiments: int
    sufficient_fitness: float
    max_individuals: int
    max_train_steps: int
    max_stagnant_individuals: int
    max_seconds: float

    def __post_init__(self) -> None:
        if self.fitness_combination not in COMBINATIONS:
            raise ValueError(
                f"fitness_combination={self.fitness_combination!r}: expected one of {', '.join(COMBINATIONS)}"
            )
        if self.final_baseline and self.final_baseline not in BASELINES:
            raise ValueError(f"final_baseline={self.final_baseline!r}: expected one of {', '.join(BASELINES)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")
        if not (self.max_individuals or self.max_train_steps or self.max_seconds):
            raise ValueError(
                "max_individuals, max_train_steps and max_seconds are all 0: an experiment would never end"
            )


_NOT_NEGATIVE = (
    "random_seed",
    "max_experiments",
    "max_individuals",
    "max_train_steps",
    "max_stagnant_individuals",
    "max_seconds",
)

# Settings that a resumed run may change: how long it goes on, not what it does.
_MAY_CHANGE = {
    "final_baseline",
    "max_experiments",
    "max_individuals",
    "max_train_steps",
    "max_seconds",
    "sufficient_fitness",
}
# Nor does the number of threads change any result.
_MAY_CHANGE_EVALUATION = {"num_threads"}


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Settings that a resumed run changes and may not.

    Args:
      old, new: `dataclasses.asdict` of both; the old one may come from JSON.
      prefix: of the names, in nested settings.

    Returns:
      A line for each, with both values.
    """
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{name}.")
        elif name not in _MAY_CHANGE | _MAY_CHANGE_EVALUATION and _as_json(before) != _as_json(after):
            lines.append(f"{prefix}{name} was {before!r}, now {after!r}")
    return lines


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
