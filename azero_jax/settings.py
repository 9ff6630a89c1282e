"""What a run is asked to do: every setting of an experiment in one value.

Flags become this, results and checkpoints keep it, and a resumed run is compared by it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from azero_jax import arguments
from azero_jax.baselines import check_baseline
from azero_jax.search_settings import SearchSettings
from azero_jax.task_specs import agreed_vector_labels, same_tasks

_MOST_FUNNEL_ROUNDS = 20


@dataclasses.dataclass(frozen=True)
class IslandSettings:
    """One population of a run.

    Attributes:
      search_tasks: what it is scored on, a specification of `task_specs`.
      search: how it evolves.
    """

    search_tasks: str
    search: SearchSettings = dataclasses.field(default_factory=SearchSettings)

    def __post_init__(self) -> None:
        if not isinstance(self.search_tasks, str):
            raise TypeError(
                f"search_tasks={arguments.shown(self.search_tasks)}: expected a specification of tasks, as in "
                "'scalar_linear_regression:num_tasks=10'; az.Search takes Tasks"
            )
        arguments.instance("search", self.search, SearchSettings)


@dataclasses.dataclass(frozen=True)
class MigrationSettings:
    """How islands exchange programs (section 3.2 and supplement S3 of the paper).

    After so many programs of each island, a share of each population, drawn at random,
    goes into a pool, and each island replaces them by programs drawn from the pool.

    Attributes:
      every: programs that each island makes between exchanges, 100 to 10,000 in the
        paper; 0 for no exchange.
      share: of the population that moves, half in the paper.

    Raises:
      ValueError: a number out of range.
    """

    every: int = 10_000
    share: float = 0.5

    def __post_init__(self) -> None:
        every = arguments.integer("migrate_every", self.every, 0)
        share = arguments.number("migrate_share", self.share, "more than 0 and at most 1", lambda value: 0 < value <= 1)
        object.__setattr__(self, "every", every)
        object.__setattr__(self, "share", share)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what a run finds, and its budgets.

    Attributes:
      islands: the populations, at least one, of one search space.
      migration: how they exchange programs.
      select_tasks, final_tasks: specifications of `task_specs`; without select or final
        tasks, those steps are left out. Both always use the mean over tasks
        (run_search_experiment.cc).
      final_baseline: name of `baselines` that is scored on T_final, too; empty for none.
      funnel_rounds: rounds in which candidates are selected, on ever more of T_select.
      randomize_task_seeds: whether each experiment draws seeds for T_search and
        T_select; T_final keeps its own.
      random_seed: of everything random.
      max_experiments: 0 for any number.
      sufficient_fitness: a candidate above it on T_select ends the run. If it is
        finite, the best programs are tried on T_select during the search, too: at each
        report, and at once when one is above it on T_search.
      max_individuals, max_train_steps: of each experiment, all islands together; 0 for
        any number.
      max_stagnant_individuals: an experiment ends when so many programs have passed
        without a new best fitness; 0 never. Not in the release.
      max_seconds: of the run; 0 for any time.

    Raises:
      ValueError: settings out of range or that contradict each other.
    """

    islands: tuple[IslandSettings, ...]
    migration: MigrationSettings = dataclasses.field(default_factory=MigrationSettings)
    select_tasks: str = ""
    final_tasks: str = ""
    final_baseline: str = ""
    funnel_rounds: int = 1
    randomize_task_seeds: bool = False
    random_seed: int = 0
    max_experiments: int = 1
    sufficient_fitness: float = float("inf")
    max_individuals: int = 0
    max_train_steps: int = 80_000_000_000
    max_stagnant_individuals: int = 0
    max_seconds: float = 0.0

    def __post_init__(self) -> None:
        set_field = functools.partial(object.__setattr__, self)
        set_field(
            "islands", arguments.sequence("islands", self.islands, "IslandSettings, as in (IslandSettings(...),)")
        )
        for island in self.islands:
            arguments.instance("islands", island, IslandSettings, "IslandSettings('scalar_linear_regression')")
        if not self.islands:
            raise ValueError("islands: expected at least one")
        arguments.instance("migration", self.migration, MigrationSettings)
        for name in ("select_tasks", "final_tasks", "final_baseline"):
            arguments.text(name, getattr(self, name))
        set_field("randomize_task_seeds", arguments.boolean("randomize_task_seeds", self.randomize_task_seeds))
        for name in _COUNTS:
            set_field(name, arguments.integer(name, getattr(self, name), 0))
        set_field("funnel_rounds", arguments.integer("funnel_rounds", self.funnel_rounds))
        set_field("sufficient_fitness", arguments.number("sufficient_fitness", self.sufficient_fitness))
        seconds = arguments.number("max_seconds", self.max_seconds, "0 or more", lambda value: value >= 0)
        set_field("max_seconds", seconds)
        if any(island.search.space != self.islands[0].search.space for island in self.islands):
            raise ValueError("islands: expected one search space for all, so that they can exchange programs")
        if self.final_baseline:
            try:
                check_baseline(self.final_baseline)
            except ValueError as error:
                raise ValueError(f"final_baseline={self.final_baseline!r}: {error}") from error
        if not 1 <= self.funnel_rounds <= _MOST_FUNNEL_ROUNDS:
            raise ValueError(
                f"funnel_rounds={self.funnel_rounds}: expected a positive integer of at most {_MOST_FUNNEL_ROUNDS}, "
                "since each round keeps a quarter of the programs"
            )
        agreed_vector_labels(self._specs())
        if not (self.max_individuals or self.max_train_steps or self.max_seconds):
            raise ValueError(
                "max_individuals, max_train_steps and max_seconds are all 0: an experiment would never end"
            )

    @property
    def vector_labels(self) -> bool:
        """Whether programs see labels as vectors, v1, and predict vectors, v2."""
        return agreed_vector_labels(self._specs())

    def _specs(self) -> list[str]:
        specs = [*(island.search_tasks for island in self.islands), self.select_tasks, self.final_tasks]
        return [spec for spec in specs if spec]


_COUNTS = ("random_seed", "max_experiments", "max_individuals", "max_train_steps", "max_stagnant_individuals")

# Settings that a resumed run may change: how long it goes on, and what is done with what it finds.
MAY_CHANGE = {
    "final_baseline",
    "final_tasks",
    "select_tasks",
    "max_experiments",
    "max_individuals",
    "max_train_steps",
    "max_stagnant_individuals",
    "max_seconds",
    "sufficient_fitness",
    "num_threads",
}
_SHOWN = 60


class Changes(NamedTuple):
    """What a resumed run is asked to do otherwise, a line each.

    Attributes:
      refused: what decides what a search finds.
      allowed: what it may change.
    """

    refused: list[str]
    allowed: list[str]


def island_seeds(settings: Settings, experiment: int, island: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Generators of one experiment: for the seeds of an island's tasks, and for its search."""
    where = [settings.random_seed, experiment, *([island] if island else [])]
    task_rng, search_rng = (np.random.default_rng(seed) for seed in np.random.SeedSequence(where).spawn(2))
    return task_rng, search_rng


def changes(old: Settings, new: Settings) -> Changes:
    """How settings differ in meaning: other words for the same tasks are no difference."""
    found = Changes([], [])
    _compare(dataclasses.asdict(old), dataclasses.asdict(new), "", found)
    return found


def _compare(old: Any, new: Any, name: str, found: Changes) -> None:
    """Adds how two values from `dataclasses.asdict` differ."""
    if isinstance(old, dict):
        for key in old:
            _compare(old[key], new[key], f"{name}.{key}" if name else key, found)
    elif isinstance(old, tuple) and old and isinstance(old[0], dict) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new)):
            _compare(before, after, f"{name}[{index}]", found)
    elif not (old == new or (name.endswith("_tasks") and same_tasks(old, new))):
        last = name.rpartition(".")[2]
        line = f"{name}{_difference(old, new)}"
        (found.allowed if last in MAY_CHANGE else found.refused).append(line)


def _difference(old: Any, new: Any) -> str:
    """Behind a name, how its value differs, in few words."""
    if isinstance(old, tuple) and isinstance(new, tuple) and hasattr(old, "_fields"):
        changed = [field for field in old._fields if getattr(old, field) != getattr(new, field)]
        return "".join(f".{field} was {getattr(old, field)!r}, now {getattr(new, field)!r}" for field in changed[:1])
    if isinstance(old, tuple) and isinstance(new, tuple):
        if old and isinstance(old[0], dict):
            return f": were {len(old)}, now {len(new)}"
        gone, come = ([item for item in some if item not in other] for some, other in ((old, new), (new, old)))
        words = [f"{word} {_listed(some)}" for word, some in (("without", gone), ("with", come)) if some]
        if words:
            return f": now {' and '.join(words)}"
    return f" was {_short(old)}, now {_short(new)}"


def _listed(items: list) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(map(str, items[:3])) + more


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
