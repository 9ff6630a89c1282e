"""Whether slow machines are told from those that are as they must be."""

from __future__ import annotations

import time
import warnings

import jax.numpy as jnp
import pytest
from generated import multiclass_tasks, regression_tasks

from azero_jax import Evaluator, MemorySize, self_check


def config_of(make_tasks, ops):
    return Evaluator(make_tasks(), memory=MemorySize(2, 3, 1), ops=ops)._strategy._config


@pytest.fixture
def anew(monkeypatch):
    monkeypatch.setattr(self_check, "_warned", False)


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("make_tasks, op", [(regression_tasks, "SCALAR_SUM"), (multiclass_tasks, "VECTOR_SUM")])
@pytest.mark.parametrize("seconds, slow", [(1e-7, False), (1e-4, True)])
def test_time_that_grows_with_the_examples_is_what_counts(make_tasks, op, seconds, slow):
    config = config_of(make_tasks, [op])

    def run(words, examples):
        entries = words[config.packed.size :][: config.words.positions]
        time.sleep(1e-3 + seconds * (entries == 0).sum())  # of what a call takes nothing is the machine's
        return examples

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            self_check.check(run, config, jnp.zeros(1))
    assert len(caught) == slow
    if slow:
        assert "times slower than it should be" in str(caught[0].message)


def test_without_a_simple_op_there_is_no_check():
    config = config_of(regression_tasks, ["MATRIX_SUM"])
    assert self_check.seconds_of_an_example(None, config, None) is None
