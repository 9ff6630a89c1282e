"""How a run found its best program: the file ancestry.json.

Searches remember which program came from which (`lineage`). Here the memories of one
experiment's islands become two lists of steps: the programs that were the best so far,
one after the other, and the programs that the best one was made from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from azero_jax.lineage import Ancestor
from azero_jax.program import Program
from azero_jax.search import History


class Step(NamedTuple):
    """A program on the way to the best one.

    Attributes:
      program: its text.
      fitness: on the search tasks of its island.
      individuals: programs that the experiment had made by then, over all islands.
      island: where it lived.
    """

    program: str
    fitness: float
    individuals: int
    island: int


@dataclasses.dataclass(frozen=True)
class Ancestry:
    """How one program was found.

    Attributes:
      experiment: where, from 1.
      improvements: programs that were better than all before, on any island.
      steps: the program's ancestors, first to last, and itself. Copies are left out.
    """

    experiment: int
    improvements: list[Step]
    steps: list[Step]

    def as_json(self) -> dict:
        """What ancestry.json holds of it."""
        return {
            "experiment": self.experiment,
            "improvements": [step._asdict() for step in self.improvements],
            "ancestry": [step._asdict() for step in self.steps],
        }


def ancestry_of(program: Program, island: int, experiment: int, histories: Sequence[History]) -> Ancestry:
    """How a program was found that an island proposes.

    Args:
      program: the program.
      island: its number.
      experiment: of the islands, from 1.
      histories: of all islands.
    """
    count = len(histories)
    steps = _steps(histories[island].ancestors.way_to(program), count)
    all_improvements = _steps((step for history in histories for step in history.improvements), count)
    improvements: list[Step] = []
    for step in sorted(all_improvements, key=lambda step: (step.individuals, step.island)):
        if not improvements or step.fitness > improvements[-1].fitness:
            improvements.append(step)
    return Ancestry(experiment, improvements, [step for place, step in enumerate(steps) if _is_new(steps, place)])


def _steps(ancestors: Iterable[Ancestor], num_islands: int) -> list[Step]:
    # Islands are equally far, give or take a step.
    return [
        Step(ancestor.program.to_text(), ancestor.fitness, ancestor.individuals * num_islands, ancestor.island)
        for ancestor in ancestors
    ]


def _is_new(steps: Sequence[Step], place: int) -> bool:
    return place == 0 or steps[place].program != steps[place - 1].program
