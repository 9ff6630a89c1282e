"""What a run has reported, as a table: `metrics_frame`."""

from __future__ import annotations

import json
import os
import pathlib
from typing import TYPE_CHECKING

from azero_jax.files import NUMBERS_IN_JSON
from azero_jax.reporting import METRICS

if TYPE_CHECKING:
    import pandas


def metrics_frame(output_dir: str | os.PathLike) -> pandas.DataFrame:
    """The reports of a run, finished or not, a row each; columns as in `metrics.jsonl`.

    Where a report does not have a value, as `best_program` where it has not changed, there is
    pandas' mark of a missing one. Infinity is a float again.

    Args:
      output_dir: of the run.

    Raises:
      FileNotFoundError: no run has written there.
      ValueError: a line that is no report; the message names it.
      ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("metrics_frame needs pandas: pip install 'azero_jax[pandas]'") from error
    path = pathlib.Path(output_dir) / METRICS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: expected the output_dir of a run")
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}: line {number}: expected an object, as in a report of a run")
        records.append({name: _number(value) for name, value in record.items()})
    return pandas.DataFrame.from_records(records)


def _number(value: object) -> object:
    """What stands for infinity in JSON is a number again; anything else stays."""
    return NUMBERS_IN_JSON.get(value, value) if isinstance(value, str) else value
