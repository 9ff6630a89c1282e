"""Selection: which of an experiment's finalists is best on T_select.

With one round, every finalist runs on all tasks, as in the release. With more, each
round runs a quarter of the finalists of the round before on four times as many tasks,
a funnel as in the search for Lion (arXiv 2302.06675, section 2.3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from azero_jax.evaluator import Evaluator
from azero_jax.program import Program
from azero_jax.tasks import ARRAYS, Tasks

_FACTOR = 4


def first_tasks(tasks: Tasks, count: int) -> Tasks:
    """The first `count` tasks."""
    return dataclasses.replace(tasks, **{name: getattr(tasks, name)[:count] for name in ARRAYS})


def select(
    programs: Sequence[Program], tasks: Tasks, rounds: int, evaluator_of: Callable[[Tasks], Evaluator]
) -> tuple[int, float]:
    """Finds the best of some programs.

    Args:
      programs: at least one.
      tasks: T_select.
      rounds: of the funnel.
      evaluator_of: makes the evaluator of some tasks.

    Returns:
      The index of the best program and its mean fitness over all tasks.
    """
    left = np.arange(len(programs))
    for remaining in range(rounds - 1, 0, -1):
        kept = max(1, len(programs) // _FACTOR ** (rounds - remaining))
        if kept < len(left):
            some = first_tasks(tasks, max(1, tasks.num_tasks // _FACTOR**remaining))
            fitness = evaluator_of(some).evaluate([programs[index] for index in left.tolist()]).fitness.mean(axis=1)
            left = left[np.argsort(-fitness, kind="stable")[:kept]]
    fitness = evaluator_of(tasks).evaluate([programs[index] for index in left.tolist()]).fitness.mean(axis=1)
    best = int(np.argmax(fitness))
    return int(left[best]), float(fitness[best])
