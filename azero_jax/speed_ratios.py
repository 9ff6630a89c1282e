"""How much faster one measurement of `azero benchmark` is than another, and whether that is sure.

A row is a dict of numbers and strings, as `benchmarking` makes it. Two rows are of the same
thing where everything agrees but the numbers.
"""

from __future__ import annotations

import json
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from azero_jax.intervals import FEWEST_FOR_BOOTSTRAP, mean_ratio, ratio_of_medians

SETTINGS = ("platform", "xla", "threads", "dtype", "strategy")
KEY = ("op", "workload", "features_size", "num_tasks", *SETTINGS)
NO_DIFFERENCE = "no difference seen"

_LONGEST_NAME = 8


class Ratio(NamedTuple):
    """How much faster, with its interval if there are enough values.

    Attributes:
      value: above 1 is faster.
      interval: low and high, or None.
      few: why there is none.
    """

    value: float
    interval: tuple[float, float] | None
    few: str = ""

    def verdict(self) -> str:
        """In words."""
        if self.interval is None:
            return self.few
        low, high = self.interval
        words = NO_DIFFERENCE if low <= 1 <= high else "faster" if low > 1 else "slower"
        return f"{low:.2f} to {high:.2f}, {words}"


def key(row: dict) -> tuple:
    """What a row is of."""
    return tuple(row.get(name) for name in KEY)


def speed(row: dict) -> float:
    """Programs per second, or the inverse of an op's nanoseconds."""
    return 1 / row["nanoseconds"] if "op" in row else row["programs_per_second"]


def spread(row: dict) -> float:
    """Slowest less fastest timed run, as a share of the median; NaN where they were not kept."""
    seconds = row.get("seconds") or [math.nan]
    return (max(seconds) - min(seconds)) / statistics.median(seconds)


def ratio(before: dict, after: dict) -> Ratio:
    """Of two rows, from the timed runs in each."""
    times = [_times(row) for row in (before, after)]
    found = ratio_of_medians(*times)
    if found is None:
        return Ratio(
            speed(after) / speed(before), None, f"n={min(map(len, times))}, interval from {FEWEST_FOR_BOOTSTRAP}"
        )
    return Ratio(found[0], found[1:])


def paired_ratio(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """Of speeds that were measured in turn, from the ratios of the pairs."""
    ratios = [new / old for old, new in zip(before, after)]
    found = mean_ratio(ratios)
    return Ratio(ratios[0], None, "n=1, interval from 2") if found is None else Ratio(found[0], found[1:])


def _times(row: dict) -> list[float]:
    """What a program, or an op, took in each timed run; runs of other numbers of programs compare, too."""
    seconds = row.get("seconds") or [1.0]
    typical = min(seconds) if "op" in row else statistics.median(seconds)
    return [some / typical / speed(row) for some in seconds]


def read_rows(path: str) -> list[dict]:
    """The rows of a file that `--json` wrote.

    Raises:
      ValueError: it is another file, or a damaged one; one line says why.
      OSError: it cannot be read.
    """
    try:
        rows = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["rows"]
        if not isinstance(rows, list) or not rows:
            raise ValueError("no rows")
        for number, row in enumerate(rows, 1):
            _check(number, row)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = "no rows" if isinstance(error, (KeyError, TypeError)) else str(error).splitlines()[0]
        raise ValueError(f"{path}: expected a file that --json wrote, whole and unchanged: {why}") from error
    return rows


def _check(number: int, row: Any) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("op", row.get("workload")), str):
        raise ValueError(f"row {number} has no op or workload")
    seconds = row.get("seconds", [])
    numbers: list[Any] = [row.get("nanoseconds" if "op" in row else "programs_per_second"), row.get("features_size")]
    numbers += [row.get("num_tasks"), *(seconds if isinstance(seconds, list) else [None])]
    if not all(type(some) in (int, float) and math.isfinite(some) and some > 0 for some in numbers):
        raise ValueError(f"row {number}, {row.get('op') or row.get('workload')}: a number is missing or not above 0")
    if not all(type(row.get(name)) in (str, int, type(None)) for name in KEY):
        raise ValueError(f"row {number}: a setting is no text")


def names_of_xla(settings: Iterable[str]) -> dict[str, str]:
    """Short names for XLA settings, each of its own: itself if it is short, else xla1, xla2 and so on."""
    some = list(dict.fromkeys(settings))
    long = [setting for setting in some if len(setting) > _LONGEST_NAME]
    return {setting: f"xla{long.index(setting) + 1}" if setting in long else setting for setting in some}


def legend(names: dict[str, str]) -> list[str]:
    """Lines that say what the names stand for, where they are not the settings themselves."""
    return [f"{name}: {setting}" for setting, name in names.items() if name != setting]


def table(rows: Sequence[tuple[dict, float, float, str, Ratio]]) -> list[str]:
    """Lines of a table of ratios.

    Args:
      rows: for each a row of `benchmarking`, speeds before and after, what to say of their
        spreads, and the ratio.
    """
    names = names_of_xla(str(row["xla"]) for row, *_ in rows if row.get("xla"))
    lines = [
        *legend(names),
        f"{'':>24} {'F':>4} {'D':>4} {'settings':<32} {'before':>11} {'after':>11} {'spreads':>13} {'faster':>7}  95 %",
    ]
    for row, before, after, spreads, found in rows:
        # Ops are shown in nanoseconds.
        old, new = (1 / before, 1 / after) if "op" in row else (before, after)
        shown = (names.get(str(row.get(part)), row.get(part)) for part in SETTINGS)
        lines.append(
            f"{row.get('op') or row['workload']:>24} {row['features_size']:>4} {row['num_tasks']:>4} "
            f"{' '.join(str(part or '-') for part in shown):<32} {old:>11,.0f} {new:>11,.0f} {spreads:>13} "
            f"{found.value:>7.2f}  {found.verdict()}"
        )
    return lines


def compare(before: str, after: str) -> list[str]:
    """Lines that say how much faster the rows of one file are than the same rows of another.

    Raises:
      ValueError: a file that is not of --json, one file twice, or no row in common.
      OSError: a file cannot be read.
    """
    paths = (before, after)
    tables = [{key(row): row for row in read_rows(path)} for path in paths]
    if pathlib.Path(before).samefile(after):
        raise ValueError(f"{before} and {after} are the same file: expected two")
    common = [some for some in tables[0] if some in tables[1]]
    if not common:
        raise ValueError(f"{before} and {after} have no row in common")
    pairs = [(tables[0][some], tables[1][some]) for some in common]
    lines = table(
        [
            (old, speed(old), speed(new), f"{_share(spread(old))} {_share(spread(new))}", ratio(old, new))
            for old, new in pairs
        ]
    )
    for path, own, other in ((before, *tables), (after, *reversed(tables))):
        missing = [f"{some[0] or some[1]} F={some[2]} D={some[3]}" for some in own if some not in other]
        if missing:
            lines.append(f"only in {path}: {', '.join(dict.fromkeys(missing))}")
    return [*lines, "Intervals are over the timed runs of one process each; --against alternates processes."]


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"
