"""The small form of scripts/compare_with_interpreter.py."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import vectorised_interpreter
from doors import run_script

PATH = pathlib.Path(__file__).parent.parent / "scripts" / "compare_with_interpreter.py"
_spec = importlib.util.spec_from_file_location("compare_with_interpreter", PATH)
script = importlib.util.module_from_spec(_spec)
sys.modules["compare_with_interpreter"] = script
_spec.loader.exec_module(script)

# As other tests have it, so that they share what is compiled.
SETTING = script.Setting(
    seed=1,
    number=0,
    features_size=4,
    num_tasks=3,
    num_train=5,
    num_valid=4,
    num_epochs=2,
    loss="rmse",
    dtype="float64",
    memory=(6, 5, 4),
    lengths=(6, 6, 6),
    max_abs_error=100.0,
    scale=1.0,
    programs=400,
)


def test_generated_programs_agree():
    counts, faults = script.compare(SETTING)
    assert not faults
    assert counts["equal"] > 380 and counts.total() == 400


@pytest.mark.slow
def test_an_op_that_is_wrong_is_found(monkeypatch):
    wrong = {"std": lambda machine, kind, axis, a: machine.mean(abs(a), tuple(range(1, a.ndim)))}
    monkeypatch.setattr(vectorised_interpreter, "_OPS", vectorised_interpreter._OPS | wrong)
    counts, faults = script.compare(SETTING._replace(programs=100))
    assert counts["fault"] == len(faults) > 0
    assert "std(" in faults[0] and "seed=1, number=0" in faults[0]


def test_settings_follow_from_the_seed():
    first, again = (list(script.settings_for(3, 50_000)) for _ in range(2))
    assert first == again != list(script.settings_for(4, 50_000))
    assert sum(how.programs for how in first) == 50_000
    assert len({how.features_size for how in first}) > 3


@pytest.mark.parametrize("only_live", [False, True])
def test_noise_moves_what_rounding_can(only_live):
    interpreter = script.interpreter_of(SETTING, script.tasks_of(SETTING))
    stable = "def Setup():\n  s2 = 0.5\ndef Predict():\n  s1 = dot(v0, v1)\ndef Learn():\n  v1 = s2 * v0\n"
    # The difference of two equal means is all rounding.
    unstable = "def Predict():\n  s2 = std(v0)\n  v2 = s2 * v0\n  v2 = v2 - v2\n  s3 = std(v1)\n  s1 = 1 / s3\n"
    spreads = []
    for text in (stable, unstable):
        runs = [interpreter.run(text, run, only_live)[0] for run in range(5)]
        spreads.append(np.ptp(runs, axis=0).max())
    assert spreads[0] < 1e-9


def test_settings_that_there_are_not_cannot_be_skipped():
    done = run_script("compare_with_interpreter", "--programs=100", "--skip_settings=1", code=2)
    assert "--skip_settings=1: expected fewer than 1" in done.stderr and "Traceback" not in done.stderr
