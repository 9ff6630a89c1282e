"""What `run` gives to its caller: reports while it goes on, and the result.

Both are dictionaries, as they stand in metrics.jsonl and result.json, whose values are also
attributes: `report.best_fitness`.
"""

from __future__ import annotations

import html
from typing import Any


class _Named(dict):
    """A dictionary whose values are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}, but {', '.join(self)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


class RunReport(_Named):
    """A line of metrics.jsonl, which docs/runs.md describes."""


class RunResult(_Named):
    """What result.json holds, which docs/runs.md describes."""

    def _repr_html_(self) -> str:
        """What notebooks show: fitness, what it took, and the program."""
        shown = (
            *(("search fitness", self["search_fitness"]), ("select fitness", self["select_fitness"])),
            *(("final fitness", self["final_fitness"]), ("programs made", self["individuals"])),
            ("seconds", self["elapsed_seconds"]),
        )
        rows = "".join(f"<tr><td>{name}</td><td>{_number(value)}</td></tr>" for name, value in shown)
        return f"<table>{rows}</table><pre>{html.escape(self['program'] or 'no program yet')}</pre>"


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
