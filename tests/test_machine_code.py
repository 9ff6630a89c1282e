"""What XLA makes of the machine: faults that change no result and make every program many times slower."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from generated import multiclass_tasks, regression_tasks

from azero_jax import Evaluator, MemorySize, machine
from azero_jax.machine_step import MachineConfig


def compiled_probe(make_tasks, memory: MemorySize) -> tuple[jax.stages.Compiled, MachineConfig]:
    """The machine that hashes errors, which has the longest control steps."""
    strategy = Evaluator(make_tasks(features_size=8, num_tasks=10), memory=memory)._strategy
    config = strategy._config._replace(fingerprint="errors")
    words = config.packed.size + config.words.size - config.words.first_position + 1
    arguments = np.zeros(words, np.uint32), strategy._groups[0].examples
    return jax.jit(machine.build(config)).lower(*arguments).compile(), config


@pytest.mark.parametrize("make_tasks", [regression_tasks, pytest.param(multiclass_tasks, marks=pytest.mark.thorough)])
def test_no_branch_copies_the_memory(make_tasks):
    needed, memory = [], []
    for matrices in (2, 4):
        compiled, config = compiled_probe(make_tasks, MemorySize(4, 4, matrices))
        needed.append(compiled.memory_analysis().temp_size_in_bytes - 4 * config.words.size)
        memory.append(4 * config.lanes * config.layout.rows_of_scalars_and_matrices)
    # Two more matrices make what the machine needs larger once, not once more for a copy.
    assert needed[1] - needed[0] == pytest.approx(memory[1] - memory[0], rel=0.1)


def test_a_call_does_not_look_after_hundreds_of_constants():
    text = compiled_probe(regression_tasks, MemorySize(4, 4, 4))[0].as_text()
    functions = re.split(r"\n(?=%|ENTRY)", text)
    outside = [function for function in functions if not re.match(r"%(fused|wrapped)", function)]
    assert sum(len(re.findall(r" constant\(", function)) for function in outside) < 60
