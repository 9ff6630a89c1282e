"""Costs of programs, estimated without running them: the train budget's measure.

As `compute_cost.cc` and `train_budget.cc`: the cost of Setup plus, for each training
example, that of Predict and Learn. There a table of measured times stands behind it;
here XLA counts what each op's function does, so that ops of users have costs, too,
and only live instructions count, since only they run.
"""

from __future__ import annotations

import functools

import jax
import numpy as np

from azero_jax import ops
from azero_jax.execution import on_cpu, precision
from azero_jax.liveness import find_live
from azero_jax.program import MemorySize, Population
from azero_jax.text import OP

# In additions of two numbers, about: fetching an instruction, a function like exp or
# sqrt, and drawing a random number.
_DISPATCH = 10.0
_TRANSCENDENTAL = 10.0
_RANDOM_NUMBER = 20.0


@functools.cache
def op_cost(op: ops.Op, features_size: int) -> float:
    """Cost of one instruction on one task with F features, in additions of two numbers, about."""
    if not op.output:
        return 0.0
    shapes = [ops.output_shape(kind, features_size) for kind in (*op.inputs, op.output)]
    cost = _DISPATCH + sum(float(np.prod(shape)) for shape in shapes)
    if op.draws:
        return cost + _RANDOM_NUMBER * float(np.prod(shapes[-1]))
    if op.function is None:
        return cost
    with precision("float32"), on_cpu():
        operands = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes[:-1]]
        counted = jax.jit(op.function).lower(*operands).cost_analysis() or {}
    return cost + counted.get("flops", 0.0) + _TRANSCENDENTAL * counted.get("transcendentals", 0.0)


def program_costs(
    population: Population,
    memory: MemorySize,
    features_size: int,
    num_train_examples: int,
    vector_labels: bool = False,
) -> np.ndarray:
    """Cost of each program on one task, float64 [P].

    Args:
      population: P programs, with addresses within the memory.
      memory: the addresses there are.
      features_size: F.
      num_train_examples: examples trained on, over all epochs.
      vector_labels: whether labels and predictions are v1 and v2.
    """
    code = population.code[..., OP]
    table = ops.table()
    by_op = np.zeros(len(table))
    for op in np.unique(code):
        by_op[op] = op_cost(table[op], features_size)
    lines = by_op[code] * find_live(population, memory, vector_labels)
    setup, predict, learn = (lines[:, population.functions == function].sum(axis=1) for function in range(3))
    return setup + num_train_examples * (predict + learn)
