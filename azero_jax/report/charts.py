"""Charts as SVG text, made here so that a page needs no script and no network.

Colours and fonts are classes of the page's style sheet, so that charts follow its dark
and light form.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 46
_FEWEST_TICKS = 4


class Series(NamedTuple):
    """A line of a chart.

    Attributes:
      name: for the legend; "" for a line that has no entry there.
      points: x and y.
      style: class of the line.
      steps: whether y stays until the next point, and then jumps.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    steps: bool = False


class Mark(NamedTuple):
    """A point that leads somewhere.

    Attributes:
      x, y: where it is.
      link: where it leads on the page, without "#".
      words: what it is.
    """

    x: float
    y: float
    link: str
    words: str


def line_chart(label: str, series: Sequence[Series], x_name: str, y_name: str, marks: Sequence[Mark] = ()) -> str:
    """Lines and marks over two axes.

    Args:
      label: what the chart shows, for those who do not see it.
      series: the lines.
      x_name, y_name: of the axes.
      marks: points that lead to other places of the page.
    """
    xs = [x for line in series for x, _ in line.points] + [mark.x for mark in marks]
    ys = [y for line in series for _, y in line.points] + [mark.y for mark in marks]
    x_axis, y_axis = _Axis.around(xs, _LEFT, _WIDTH - _RIGHT), _Axis.around(ys, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(x_axis, y_axis, x_name, y_name)]
    for line in series:
        if line.points:
            parts.append(f'<path class="line {line.style}" d="{_path(line, x_axis, y_axis)}"/>')
    for mark in marks:
        words = html.escape(mark.words, quote=True)
        at = f'cx="{x_axis.place(mark.x):.1f}" cy="{y_axis.place(mark.y):.1f}"'
        parts.append(
            f'<a href="#{mark.link}" aria-label="{words}"><title>{words}</title>'
            f'<circle class="target" {at} r="9"/><circle class="mark" {at} r="4"/></a>'
        )
    return _svg(label, _HEIGHT, "".join(parts)) + _legend([line for line in series if line.name])


class Bar(NamedTuple):
    """A share of a bar that is cut into parts.

    Attributes:
      name, amount: of the part.
      style: class of it.
    """

    name: str
    amount: float
    style: str


def parts_chart(label: str, parts: Sequence[Bar]) -> str:
    """One bar that is cut into parts, with a legend that says how large they are."""
    whole = sum(part.amount for part in parts) or 1.0
    drawn, at = [], 0.0
    for part in parts:
        width = _WIDTH * part.amount / whole
        words = f"{part.name}: {part.amount / whole:.1%}"
        drawn.append(
            f'<rect class="{part.style}" x="{at:.1f}" y="0" width="{width:.1f}" height="28">'
            f"<title>{html.escape(words)}</title></rect>"
        )
        at += width
    entries = [
        f'<li><span class="swatch {part.style}"></span>{html.escape(part.name)} '
        f"<b>{part.amount / whole:.1%}</b> ({part.amount:,.0f})</li>"
        for part in parts
    ]
    return _svg(label, 28, "".join(drawn)) + f'<ul class="legend">{"".join(entries)}</ul>'


class Scores(NamedTuple):
    """What one model scored on some tasks.

    Attributes:
      name: of the model.
      values: fitness of each task.
      mean, low, high: of all, with its interval.
      style: class of the points.
    """

    name: str
    values: Sequence[float]
    mean: float
    low: float
    high: float
    style: str


def scores_chart(label: str, models: Sequence[Scores], x_name: str) -> str:
    """A row of points for each model, with the mean and its interval."""
    axis = _Axis.around([value for model in models for value in model.values], _LEFT + 60, _WIDTH - _RIGHT)
    row, parts = 54, []
    height = row * len(models) + _BOTTOM
    for tick in axis.ticks:
        x = f"{axis.place(tick):.1f}"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{height - _BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{x}" y="{height - _BOTTOM + 18}" text-anchor="middle">{_short(tick)}</text>'
        )
    for number, model in enumerate(models):
        middle = row * number + row / 2
        parts.append(f'<text class="tick" x="0" y="{middle + 4:.1f}">{html.escape(model.name)}</text>')
        for place, value in enumerate(model.values):
            y = middle + 12 * math.sin(place * 2.4)  # apart, so that equal ones are seen
            parts.append(f'<circle class="dot {model.style}" cx="{axis.place(value):.1f}" cy="{y:.1f}" r="3"/>')
        low, high = axis.place(model.low), axis.place(model.high)
        parts.append(f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>')
        parts.append(f'<circle class="mean" cx="{axis.place(model.mean):.1f}" cy="{middle:.1f}" r="5"/>')
    centre = (_LEFT + 60 + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="name" x="{centre:.1f}" y="{height - 6}" text-anchor="middle">{html.escape(x_name)}</text>'
    )
    return _svg(label, height, "".join(parts))


class _Axis(NamedTuple):
    """Numbers from `low` to `high` at places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[float]

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if low == high:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        step = _round_step((high - low) / _FEWEST_TICKS)
        first, last = math.floor(low / step), math.ceil(high / step)
        return cls(first * step, last * step, start, end, [number * step for number in range(first, last + 1)])

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, not larger than twice `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (10, 5, 2, 1) if factor * power <= least * 1.0000001)


def _short(value: float) -> str:
    """A number of few characters."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g}{unit}"
    return f"{value:.4g}"


def _frame(x_axis: _Axis, y_axis: _Axis, x_name: str, y_name: str) -> str:
    """Grid, numbers and names of the axes."""
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_short(tick)}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_name)}</text>')
    y = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {y})" text-anchor="middle"'
    parts.append(f'<text class="name" x="12" y="{y}" {turned}>{html.escape(y_name)}</text>')
    return "".join(parts)


def _path(line: Series, x_axis: _Axis, y_axis: _Axis) -> str:
    drawn: list[str] = []
    last_y = 0.0
    for x, y in line.points:
        at_x, at_y = x_axis.place(x), y_axis.place(y)
        if drawn and line.steps:
            drawn.append(f"L{at_x:.1f} {last_y:.1f}")
        drawn.append(f"{'L' if drawn else 'M'}{at_x:.1f} {at_y:.1f}")
        last_y = at_y
    return "".join(drawn)


def _svg(label: str, height: float, inside: str) -> str:
    words = html.escape(label, quote=True)
    return f'<svg role="img" aria-label="{words}" viewBox="0 0 {_WIDTH} {height:.0f}">{inside}</svg>'


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    entries = "".join(f'<li><span class="swatch {line.style}"></span>{html.escape(line.name)}</li>' for line in series)
    return f'<ul class="legend">{entries}</ul>'
