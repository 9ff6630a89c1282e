"""Where a run is: what its checkpoints hold, and how that is read back.

Nothing that was read is used before all of it was checked.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import pathlib
from typing import Any

import numpy as np

from azero_jax import checkpoint, records, snapshots
from azero_jax.ancestry import Ancestry
from azero_jax.files import to_json
from azero_jax.program import Program
from azero_jax.settings import MAY_CHANGE, Settings
from azero_jax.snapshots import Snapshot
from azero_jax.version import __version__, versions

_LARGEST = 2**63 - 1


@dataclasses.dataclass
class Candidate:
    """A program that may win.

    Attributes:
      program: its text.
      search_fitness: on T_search.
      select_fitness: on T_select; NaN before it was selected.
      experiment, island: where it was found, from 1 and from 0.
    """

    program: str
    search_fitness: float
    select_fitness: float = math.nan
    experiment: int = 1
    island: int = 0


@dataclasses.dataclass
class Progress:
    """What changes while a run goes on, apart from the islands themselves.

    Attributes:
      experiment: its number, from 1.
      individuals_before: of finished experiments.
      seconds_before: of the processes that ran before this one.
      target: programs of each island when they next meet.
      last_report: individuals of this experiment at the last report.
      num_reports: of the run.
      winner: the best candidate so far.
      ancestry: how it was found.
      candidate: the last that was scored on T_select.
      best_fitness: ever seen in this experiment.
      improved_at: individuals when it was first seen.
      tried: programs last tried on T_select.
      told: the best program of the last report that had one.
    """

    experiment: int = 1
    individuals_before: int = 0
    seconds_before: float = 0.0
    target: int = 0
    last_report: int = 0
    num_reports: int = 0
    winner: Candidate | None = None
    ancestry: Ancestry | None = None
    candidate: Candidate | None = None
    best_fitness: float = 0.0
    improved_at: int = 0
    tried: list[str] = dataclasses.field(default_factory=list)
    told: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run is made, which changes none of its results.

    Attributes:
      num_workers: processes that the islands are spread over; 0 for this one.
      progress_every: individuals between reports.
      checkpoint_seconds: time between checkpoints.
      tensorboard: whether TensorBoard's files are written.

    Raises:
      ValueError: a number out of range.
    """

    num_workers: int = 0
    progress_every: int = 10_000
    checkpoint_seconds: float = 60.0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, least in (("num_workers", 0), ("progress_every", 1), ("checkpoint_seconds", 0)):
            value = getattr(self, name)
            kinds = (int, float) if name == "checkpoint_seconds" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
                what = "a number" if float in kinds else "an integer"
                raise ValueError(f"{name}={value!r}: expected {what} of at least {least}")

    def changed(self, **given: Any) -> Options:
        """The same, but for what is not None."""
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclasses.dataclass
class RunState:
    """A run between two steps.

    Attributes:
      run_id: which run it is.
      settings: what it does.
      options: how.
      progress: how far it is.
      snapshots: where its islands are; None before the experiment's first step.
      changed: what resumed parts of the run did otherwise, a line each.
    """

    run_id: str
    settings: Settings
    options: Options
    progress: Progress
    snapshots: list[Snapshot] | None = None
    changed: list[str] = dataclasses.field(default_factory=list)

    @property
    def individuals(self) -> int:
        """Programs made so far."""
        return self.progress.individuals_before + sum(values["individuals"] for values, _ in self.snapshots or [])

    def copy(self) -> RunState:
        """The same, for a run to go on from; snapshots are shared, since nobody writes to them."""
        return dataclasses.replace(self, progress=copy.deepcopy(self.progress), changed=list(self.changed))

    def best(self) -> Candidate | None:
        """The winner, or the best program of the islands; None before the first step."""
        if self.progress.winner is not None or not self.snapshots:
            return self.progress.winner
        found = [snapshots.best(snapshot) for snapshot in self.snapshots]
        island = int(np.argmax([fitness for _, fitness in found]))
        return Candidate(*found[island], experiment=self.progress.experiment, island=island)


def id_of(settings: Settings) -> str:
    """Which run it is: equal for runs that find the same, whatever their budgets."""
    # Read as from a checkpoint, which makes 50 of type float 50.0.
    content = dataclasses.asdict(records.read(Settings, dataclasses.asdict(settings)))
    return hashlib.sha256(to_json([__version__, _deciding(content)]).encode()).hexdigest()[:16]


def _deciding(value: Any) -> Any:
    """What of settings decides what a run finds."""
    if isinstance(value, dict):
        return {name: _deciding(item) for name, item in value.items() if name not in MAY_CHANGE}
    if isinstance(value, (list, tuple)):
        return [_deciding(item) for item in value]
    return value


def to_checkpoint(state: RunState, elapsed: float) -> tuple[dict, dict[str, np.ndarray]]:
    """JSON values and arrays of a run that has taken so many seconds."""
    islands = state.snapshots
    record = {
        "run_id": state.run_id,
        "versions": versions(),
        "settings": dataclasses.asdict(state.settings),
        "options": dataclasses.asdict(state.options),
        "progress": dataclasses.asdict(state.progress) | {"seconds_before": elapsed},
        "changed": state.changed,
        "islands": None if islands is None else [values for values, _ in islands],
    }
    arrays = {
        f"{island}.{name}": array for island, (_, some) in enumerate(islands or []) for name, array in some.items()
    }
    return record, arrays


def load(directory: pathlib.Path) -> RunState:
    """The run of the newest checkpoint in a directory that can be used; warns about others, and of other versions.

    Raises:
      ValueError: there is none, or it is of another azero_jax.
    """

    def check(record: dict, arrays: dict[str, np.ndarray]) -> tuple[RunState, dict[str, str]]:
        written_by = checkpoint.check_version(record)
        return from_checkpoint(record, arrays), written_by

    state, written_by = checkpoint.load_checked(directory, check)
    checkpoint.warn_of_versions(written_by)
    return state


def from_checkpoint(record: dict, arrays: dict[str, np.ndarray]) -> RunState:
    """The run that `to_checkpoint` saw.

    Raises:
      ValueError: something is missing, of another type or size, or out of range.
    """
    for name in ("run_id", "settings", "options", "progress", "changed", "islands"):
        if name not in record:
            raise ValueError(f"no {name}")
    settings = records.read(Settings, record["settings"], "settings")
    state = RunState(
        records.read(str, record["run_id"], "run_id"),
        settings,
        records.read(Options, record["options"], "options"),
        records.read(Progress, record["progress"], "progress"),
        None if record["islands"] is None else _snapshots(record["islands"], arrays, settings),
        records.read(list[str], record["changed"], "changed"),
    )
    if state.run_id != id_of(settings):
        raise ValueError(f"run_id={state.run_id!r}: not that of its settings")
    _check_progress(state)
    return state


def _snapshots(islands: Any, arrays: dict[str, np.ndarray], settings: Settings) -> list[Snapshot]:
    if not isinstance(islands, list) or len(islands) != len(settings.islands):
        raise ValueError(f"islands: expected a list of {len(settings.islands)}")
    found: list[Snapshot] = [(values, {}) for values in islands]
    for name, array in arrays.items():
        island, _, own_name = name.partition(".")
        if island not in map(str, range(len(found))):
            raise ValueError(f"array {name!r}: of no island")
        found[int(island)][1][own_name] = array
    for number, snapshot in enumerate(found):
        try:
            snapshots.check(snapshot, settings.islands[number].search)
        except ValueError as error:
            raise ValueError(f"island {number}: {error}") from error
    return found


def _check_progress(state: RunState) -> None:
    progress, settings = state.progress, state.settings
    numbers = ("experiment", "individuals_before", "target", "last_report", "num_reports", "improved_at")
    for name in (*numbers, "seconds_before", "best_fitness"):
        value = getattr(progress, name)
        if not (1 if name == "experiment" else 0) <= value <= (1 if name == "best_fitness" else _LARGEST):
            raise ValueError(f"progress.{name}={value}: out of range")
    individuals = state.individuals - progress.individuals_before
    if progress.last_report > individuals or progress.improved_at > individuals:
        raise ValueError(f"progress: a report at {progress.last_report} of {individuals} individuals")
    for text in [*progress.tried, *filter(None, [progress.told])]:
        Program.from_text(text, settings.islands[0].search.space.memory)
    if progress.ancestry is not None:
        _check_ancestry(progress.ancestry, settings, progress.experiment)
    for candidate in filter(None, (progress.winner, progress.candidate)):
        Program.from_text(candidate.program, settings.islands[0].search.space.memory)
        if not 0 <= candidate.search_fitness <= 1 or candidate.select_fitness > 1 or candidate.select_fitness < 0:
            raise ValueError(f"a candidate of fitness {candidate.search_fitness}, {candidate.select_fitness}")
        if not (1 <= candidate.experiment <= progress.experiment and 0 <= candidate.island < len(settings.islands)):
            raise ValueError(f"a candidate of experiment {candidate.experiment}, island {candidate.island}")


def _check_ancestry(ancestry: Ancestry, settings: Settings, experiment: int) -> None:
    if not 1 <= ancestry.experiment <= experiment:
        raise ValueError(f"an ancestry of experiment {ancestry.experiment}")
    for step in (*ancestry.improvements, *ancestry.steps):
        Program.from_text(step.program, settings.islands[0].search.space.memory)
        if not 0 <= step.fitness <= 1 or step.individuals < 0 or not 0 <= step.island < len(settings.islands):
            raise ValueError(f"an ancestor of fitness {step.fitness}, at {step.individuals}, of island {step.island}")


def read_settings(value: Any) -> Settings:
    """Settings from what result.json holds of them.

    Raises:
      ValueError: something is missing, wrong or out of range.
    """
    return records.read(Settings, value, "settings")
