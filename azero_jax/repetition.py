"""The scores of a run, repeated from what its result.json says."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

from azero_jax import files, records
from azero_jax.baselines import BASELINES
from azero_jax.program import Program
from azero_jax.run_directory import RESULT
from azero_jax.stages import STAGES, StageRecord
from azero_jax.task_specs import make_tasks


class Score(NamedTuple):
    """A fitness.

    Attributes:
      name: of the stage, or of the baseline on final tasks.
      reported: what result.json holds.
      again: what it is now.
    """

    name: str
    reported: float
    again: float

    @property
    def is_same(self) -> bool:
        """Whether every bit is the same."""
        return self.reported == self.again


def repeat(directory: pathlib.Path) -> list[Score]:
    """Scores a run's program again in each stage that it was scored in.

    Args:
      directory: the run's, or its result.json.

    Raises:
      ValueError: no result.json of this version, or one without a program.
      OSError: a file cannot be read.
    """
    path = directory / RESULT if directory.is_dir() else directory
    path.read_bytes()  # for the error that names it
    result = files.read_json(path)
    if result is None:
        raise ValueError(f"{path}: not the result of a run: expected an object in JSON")
    try:
        return _repeat(result)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the result of a run of this version ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _repeat(result: dict) -> list[Score]:
    if result["program"] is None:
        raise ValueError(f"no program: the run is {result['status']}")
    program = Program.from_text(result["program"])
    scores = []
    for name in STAGES:
        reported = result[f"{name}_fitness"]
        if name in result["stages"] and reported is not None:
            how = records.read(StageRecord, result["stages"][name], f"stages.{name}")
            scores.append(Score(name, reported, how.fitness(program)))
    reported = result["final_baseline_fitness"]
    if reported is not None:
        name = result["settings"]["final_baseline"]
        again = float(BASELINES[name](make_tasks(result["stages"]["final"]["tasks"])).mean())
        scores.append(Score(f"{name}", reported, again))
    return scores
