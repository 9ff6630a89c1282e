"""How the best program came about, for the page: programs without dead code, and what changed between them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from typing import NamedTuple

from azero_jax.ancestry import Step
from azero_jax.liveness import simplify
from azero_jax.program import Program

_UNCHANGED_AROUND = 1


class DiffLine(NamedTuple):
    """A line of a difference.

    Attributes:
      sign: "+", "-", or " " for a line that stayed.
      text: the line.
    """

    sign: str
    text: str


class Change(NamedTuple):
    """One step of an ancestry.

    Attributes:
      number: of the step among all that are told, from 1.
      individuals: programs that were made by then.
      fitness: of the program.
      gain: what it has over the step before; 0 for the first.
      island: where it lived.
      lines: what changed in it.
      program: its text, without dead code.
    """

    number: int
    individuals: int
    fitness: float
    gain: float
    island: int
    lines: list[DiffLine]
    program: str


@functools.lru_cache(maxsize=20_000)
def live_text(program: str, vector_labels: bool) -> str:
    """A program's text without its dead instructions."""
    return simplify(Program.from_text(program), vector_labels=vector_labels).to_text()


def num_instructions(text: str) -> int:
    """How many instructions a program's text has."""
    return sum(not line.startswith("def ") for line in text.splitlines() if line.strip())


def changes(steps: Sequence[Step], vector_labels: bool, most: int) -> tuple[list[Change], int]:
    """The steps at which live code changed, and how many there are in all.

    Args:
      steps: first to last.
      vector_labels: of the tasks.
      most: to tell: the first, the last and those between that changed fitness most.
    """
    texts = [live_text(step.program, vector_labels) for step in steps]
    places = [place for place in range(len(steps)) if place == 0 or texts[place] != texts[place - 1]]
    told = places
    if len(places) > most:
        by_gain = sorted(
            range(1, len(places) - 1),
            key=lambda index: -abs(steps[places[index]].fitness - steps[places[index - 1]].fitness),
        )
        told = [places[index] for index in sorted({0, len(places) - 1, *by_gain[: most - 2]})]
    found = []
    for number, place in enumerate(told, 1):
        step = steps[place]
        before = told[number - 2] if number > 1 else None
        found.append(
            Change(
                number,
                step.individuals,
                step.fitness,
                step.fitness - steps[before].fitness if before is not None else 0.0,
                step.island,
                _difference(texts[before] if before is not None else "", texts[place]),
                texts[place],
            )
        )
    return found, len(places)


def _difference(before: str, after: str) -> list[DiffLine]:
    """Lines that came and went, with the heads of their component functions and a line around."""
    told = difflib.ndiff(before.splitlines(), after.splitlines())
    lines = [DiffLine(line[0], line[2:]) for line in told if line[0] != "?"]
    wanted: set[int] = set()
    for place, line in enumerate(lines):
        if line.sign != " ":
            wanted |= set(range(place - _UNCHANGED_AROUND, place + _UNCHANGED_AROUND + 1))
            wanted |= {max((head for head in range(place + 1) if lines[head].text.startswith("def ")), default=0)}
    return [line for place, line in enumerate(lines) if place in wanted]
