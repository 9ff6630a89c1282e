"""Constants of a found program, tuned by random search (supplement S7 of the paper).

Evolution sets constants for the tasks that it saw; before a program is compared with
models whose hyper-parameters are tuned, its own deserve the same.
"""

from __future__ import annotations

import numpy as np

from azero_jax import ops
from azero_jax.evaluator import Evaluator
from azero_jax.execution import require_memory
from azero_jax.program import Population, Program
from azero_jax.text import OP

_SCALES = (0.001, 1000.0)


def tunable(program: Program) -> np.ndarray:
    """Which constants have a scale: all but the indices of elements. bool [lines, 3]."""
    table = ops.table()
    tunable = np.zeros(program.constants.shape, bool)
    for line, op in enumerate(program.code[:, OP]):
        for place, meaning in enumerate(table[op].constants):
            tunable[line, place] = meaning != "index"
    return tunable


def tune_constants(program: Program, evaluator: Evaluator, trials: int, *, seed: int = 0) -> tuple[Program, float]:
    """The best of a program and so many copies, each constant scaled log-uniformly in [0.001, 1000].

    Args:
      program: what is tuned; its instructions stay.
      evaluator: of the tasks that it is tuned on.
      trials: copies tried.
      seed: of the scales.

    Returns:
      The best program, and its mean fitness on the evaluator's tasks.

    Raises:
      ValueError: more trials than memory has room for.
    """
    require_memory(2 * Population.needed_bytes(trials, len(program.code)), f"trials={trials}")
    rng = np.random.default_rng(seed)
    single = Population.from_programs([program])
    population = single.take(np.zeros(trials + 1, np.int64))
    low, high = np.log(_SCALES)
    scales = np.exp(rng.uniform(low, high, (trials, *program.constants.shape)))
    population.constants[1:] *= np.where(tunable(program), scales, 1.0)
    fitness = evaluator.evaluate(population).fitness.mean(axis=1)
    best = int(np.argmax(fitness))
    return population[best], float(fitness[best])
