"""What XLA makes of the machine: faults that change no result and make every program many times slower."""

from __future__ import annotations

import dataclasses
import re

import jax
import numpy as np
import pytest
from generated import classification_tasks, multiclass_tasks, regression_tasks

from azero_jax import Evaluator, MemorySize, calls, execution, machine
from azero_jax.fingerprints import FINGERPRINTS
from azero_jax.machine_step import MachineConfig
from azero_jax.ops import table

ALL = [op.name for op in table() if op.output]
FEW = ["SCALAR_DIFF", "VECTOR_SUM", "VECTOR_INNER_PRODUCT"]
# So large that whatever else a machine needs is small beside its memory.
MEMORY = MemorySize(4, 4, 60)
TASKS = {"rmse": regression_tasks, "accuracy": classification_tasks, "multiclass_accuracy": multiclass_tasks}
OTHERS = {"huber": "rmse", "cross_entropy": "accuracy", "multiclass_cross_entropy": "multiclass_accuracy"}


def compiled(loss: str, dtype: str, fingerprint: str, ops: list[str]) -> tuple[jax.stages.Compiled, MachineConfig]:
    """A machine, and what it was compiled for."""
    tasks = TASKS[OTHERS.get(loss, loss)](features_size=8, num_tasks=10)
    strategy = Evaluator(dataclasses.replace(tasks, loss=loss), memory=MEMORY, dtype=dtype, ops=ops)._strategy
    config = strategy._config._replace(fingerprint=fingerprint)
    with execution.precision(dtype):
        arguments = np.zeros(calls.size(config), np.uint32), strategy._groups[0].examples
        return jax.jit(machine.build(config)).lower(*arguments).compile(), config


def check_one_memory(machine_and_config: tuple[jax.stages.Compiled, MachineConfig]) -> None:
    """A copy of the memory around a branch would need as much again."""
    one, config = machine_and_config
    layout = config.layout
    rows = layout.rows_of_scalars_and_matrices + layout.rows_of_vectors
    memory = rows * config.lanes * np.dtype(config.dtype).itemsize
    assert memory < one.memory_analysis().temp_size_in_bytes - 4 * config.words.size < 1.5 * memory


def test_no_op_copies_the_memory():
    # The machine that hashes errors has the longest control steps.
    check_one_memory(compiled("rmse", "float32", "errors", ALL))


@pytest.mark.thorough
@pytest.mark.parametrize("fingerprint", ["", *FINGERPRINTS])
@pytest.mark.parametrize("loss", TASKS)
def test_no_control_step_copies_the_memory(loss, fingerprint):
    """Each loss with each fingerprint, by turns in both dtypes."""
    turn = list(TASKS).index(loss) + ["", *FINGERPRINTS].index(fingerprint)
    check_one_memory(compiled(loss, ("float32", "float64")[turn % 2], fingerprint, FEW))


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(loss, marks=getattr(pytest.mark, "thorough" if loss.startswith("multiclass") else "slow"))
        for loss in OTHERS
    ],
)
def test_no_other_loss_copies_the_memory(loss):
    check_one_memory(compiled(loss, "float32", "errors", FEW))


@pytest.mark.thorough
def test_no_op_copies_the_memory_in_double_precision():
    check_one_memory(compiled("rmse", "float64", "", ALL))


def test_a_call_does_not_look_after_hundreds_of_constants():
    text = compiled("rmse", "float32", "errors", ALL)[0].as_text()
    functions = re.split(r"\n(?=%|ENTRY)", text)
    outside = [function for function in functions if not re.match(r"%(fused|wrapped)", function)]
    assert sum(len(re.findall(r" constant\(", function)) for function in outside) < 60
