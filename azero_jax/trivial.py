"""Programs that learned nothing about features: their predictions do not depend on them.

A constant, the majority class or a running mean can be the best that a search finds. Its
fitness alone does not tell, so whoever shows a program asks here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from azero_jax import ops
from azero_jax.evaluator import Evaluator
from azero_jax.program import Program
from azero_jax.tasks import Tasks
from azero_jax.text import IN1, IN2, OP, OUT

# Exchanges of features that all leave a score as it was by accident: less than once in a
# thousand programs with one task of ten examples, never with several tasks.
_EXCHANGES = 8

NOTE = "this program is trivial: its predictions do not depend on the features"


def is_trivial(program: Program, tasks: Tasks, evaluator_of: Callable[[Tasks], Evaluator]) -> bool:
    """Whether predictions do not depend on the features of the example that they are for.

    They do not if nothing that Predict computes from v0 reaches the prediction, whatever the
    numbers. Else features are exchanged between validation examples, which changes no
    label and nothing about training: if no task's fitness ever changes, they do not matter.

    Args:
      program: what is judged.
      tasks: that it is run on.
      evaluator_of: makes the evaluator of some tasks.
    """
    if not reads_features(program, tasks.vector_labels):
        return True
    fitness = evaluator_of(tasks).evaluate([program]).fitness
    for distance in _distances(tasks.num_valid_examples):
        exchanged = dataclasses.replace(tasks, valid_features=np.roll(tasks.valid_features, distance, axis=1))
        if not np.array_equal(evaluator_of(exchanged).evaluate([program]).fitness, fitness):
            return False
    return True


def reads_features(program: Program, vector_labels: bool = False) -> bool:
    """Whether what Predict computes from v0 reaches the prediction, s1 or v2, when it ends."""
    tainted = {("v", 0)}
    for row in program.code[program.lengths[0] : program.lengths[0] + program.lengths[1]]:
        op = ops.table()[row[OP]]
        if not op.output:
            continue
        reads = {(kind, int(row[place])) for kind, place in zip(op.inputs, (IN1, IN2))}
        out = (op.output, int(row[OUT]))
        if reads & tainted:
            tainted.add(out)
        elif not op.writes_one_element:
            tainted.discard(out)
    return (("v", 2) if vector_labels else ("s", 1)) in tainted


def _distances(num_examples: int) -> list[int]:
    """How far features move, evenly spread; none brings them back."""
    count = min(_EXCHANGES, num_examples - 1)
    return [max(1, num_examples * number // (count + 1)) for number in range(1, count + 1)]
