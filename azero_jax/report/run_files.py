"""What the files of one run say: result.json, metrics.jsonl and ancestry.json, read and checked."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from azero_jax import records, run_state
from azero_jax.ancestry import Step
from azero_jax.files import NUMBERS_IN_JSON
from azero_jax.program import Program
from azero_jax.reporting import METRICS
from azero_jax.run_directory import ANCESTRY, RESULT
from azero_jax.settings import Settings

_NUMBER_OR_NONE = (int, float, type(None))
_IN_RESULT: dict[str, Any] = {
    "run_id": str,
    "status": str,
    "search_fitness": _NUMBER_OR_NONE,
    "select_fitness": _NUMBER_OR_NONE,
    "final_fitness": _NUMBER_OR_NONE,
    "program": (str, type(None)),
    "individuals": int,
    "experiments": int,
    "elapsed_seconds": (int, float),
    "changed_on_resume": list,
    "versions": dict,
}
_IN_REPORTS = (
    *("experiment", "individuals", "train_steps", "elapsed_seconds", "individuals_per_second"),
    *("best_fitness", "mean_fitness", "unique_programs", "hurdle_fitness", "restarts"),
)


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """A run, as far as its files tell.

    Attributes:
      path: the output directory.
      result: what result.json holds.
      settings: of the run.
      metrics: records of metrics.jsonl, in order.
      experiment: where the best program was found, from 1; None before one was.
      improvements: the programs that were the best so far.
      steps: the ancestors of the best program, and itself.
    """

    path: pathlib.Path
    result: dict[str, Any]
    settings: Settings
    metrics: list[dict[str, Any]]
    experiment: int | None
    improvements: list[Step]
    steps: list[Step]

    @property
    def program(self) -> str | None:
        """The text of the best program, without dead instructions."""
        return self.result.get("program")

    @property
    def status(self) -> str:
        """One of running, finished, interrupted and failed."""
        return str(self.result.get("status"))

    def of_experiment(self, number: int) -> list[dict[str, Any]]:
        """The records of one experiment."""
        return [record for record in self.metrics if record["experiment"] == number]

    def seconds_at(self, individuals: list[int]) -> list[float]:
        """When the experiment of the best program had made so many programs, as far as its reports tell."""
        own = self.of_experiment(self.experiment or 1)
        before = [record for record in self.metrics if record["experiment"] < (self.experiment or 1)]
        known = [(0.0, before[-1]["elapsed_seconds"] if before else 0.0)]
        known += [(float(record["individuals"]), float(record["elapsed_seconds"])) for record in own]
        return np.interp(individuals, [made for made, _ in known], [seconds for _, seconds in known]).tolist()


def read_run(path: pathlib.Path) -> RunFiles:
    """Reads the files of an output directory.

    Raises:
      ValueError: there is no run, or a file of it is damaged; the message names it.
      OSError: a file cannot be read.
    """
    result_path = path / RESULT
    if not result_path.is_file():
        raise ValueError(f"{path}: no {RESULT}: expected the output directory of a run")
    result = {name: _number(value) for name, value in _read_object(result_path).items()}
    try:
        settings = run_state.read_settings(result.get("settings"))
        _check_result(result)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{result_path}: {error}") from error
    experiment, improvements, steps = _read_ancestry(path / ANCESTRY, result.get("run_id"))
    return RunFiles(path, result, settings, _read_metrics(path / METRICS), experiment, improvements, steps)


def _check_result(result: dict[str, Any]) -> None:
    """Checks what the page shows of result.json."""
    for name, kind in _IN_RESULT.items():
        if not isinstance(result.get(name), kind) or isinstance(result[name], bool):
            raise ValueError(f"{name}: {result.get(name)!r:.60}: expected it as a run writes it")
    for name in ("final_fitness_per_task", "final_baseline_per_task"):
        values = result.get(name, [0.0])
        if not isinstance(values, list) or not values or not all(isinstance(value, (int, float)) for value in values):
            raise ValueError(f"{name}: expected a list of numbers")
    if result["program"] is not None:
        Program.from_text(result["program"])


def _read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reports that are whole; a run that was killed may have left half a line."""
    if not path.is_file():
        return []
    reports = []
    for line in path.read_bytes().splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and all(
            isinstance(report.get(name), int) for name in ("experiment", "individuals")
        ):
            reports.append({name: _number(value) for name, value in report.items()})
    return reports


def _number(value: Any) -> Any:
    return NUMBERS_IN_JSON.get(value, value) if isinstance(value, str) else value


def _read_ancestry(path: pathlib.Path, run_id: object) -> tuple[int | None, list[Step], list[Step]]:
    """What ancestry.json says of this run; nothing before there is a best program."""
    if not path.is_file():
        return None, [], []
    content = _read_object(path)
    if content.get("run_id") != run_id:
        raise ValueError(f"{path} is of run {content.get('run_id')}, result.json of {run_id}")
    try:
        experiment = records.read(int, content.get("experiment"), "experiment")
        improvements, steps = (
            [Step(*(item[name] for name in Step._fields)) for item in content[part]]
            for part in ("improvements", "ancestry")
        )
        for step in (*improvements, *steps):
            Program.from_text(step.program)
            float(step.fitness), int(step.individuals)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    return experiment, improvements, steps


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return content
