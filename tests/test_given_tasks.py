"""Runs on tasks that are given as arrays, and from programs that are given."""

from __future__ import annotations

import io

import pytest
from generated import regression_tasks
from island_runs import settings

import azero_jax as az
from azero_jax import experiment, given_tasks, repeating, run_state
from azero_jax.initial_programs import LINEAR
from azero_jax.reporting import Reporter

SEARCH = regression_tasks(num_tasks=4, features_size=3)
SELECT = regression_tasks(num_tasks=5, features_size=3, seed=1)
FINAL = regression_tasks(num_tasks=6, features_size=3, seed=2)
PROGRAMS = [az.Program.from_text(LINEAR), az.Program.from_text("def Predict():\n  s1 = 0.5\n")]


def run(path=None, num_islands=1, max_individuals=1000, **arguments):
    given = {"search_tasks": SEARCH, "select_tasks": SELECT, "final_tasks": FINAL, "initial_programs": PROGRAMS}
    reporter = Reporter(path, io.StringIO())
    return experiment.run(
        settings(num_islands, max_individuals=max_individuals),
        output_dir=path,
        reporter=reporter,
        **(given | arguments),
    )


def test_a_run_on_given_tasks_from_given_programs(tmp_path):
    result = run(tmp_path)
    program = az.Program.from_text(result["program"])
    own = az.Evaluator(FINAL, memory=az.MemorySize(4, 3, 0)).evaluate([program]).fitness[0]
    assert result["final_fitness_per_task"] == pytest.approx(own.tolist(), abs=1e-5)
    assert len(own) == 6 and result["search_fitness"] > 0.35
    again = run_state.read_settings(result["settings"])
    assert repeating.command_of(again) is None
    assert "made in Python" in (tmp_path / "report.html").read_text()


def test_a_resumed_run_needs_them_again(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    steps = iter(range(1000))
    with pytest.raises(experiment.Interrupted):
        run(tmp_path / "part", stop_requested=lambda: next(steps) > 20)
    monkeypatch.setattr(given_tasks, "_KEPT", {})
    with pytest.raises(ValueError, match=r"tasks that were given as arrays in Python: expected the same again"):
        experiment.run(None, output_dir=tmp_path / "part", resume=True)
    with pytest.raises(ValueError, match=r"initial_programs with resume"):
        experiment.run(None, output_dir=tmp_path / "part", resume=True, initial_programs=PROGRAMS)
    again = experiment.run(
        None,
        output_dir=tmp_path / "part",
        resume=True,
        search_tasks=SEARCH,
        select_tasks=SELECT,
        final_tasks=FINAL,
        reporter=Reporter(tmp_path / "part", io.StringIO()),
    )
    assert again["program"] == whole["program"] and again["final_fitness"] == whole["final_fitness"]


@pytest.mark.thorough
def test_workers_get_them_too():
    spread = run(num_islands=2, num_workers=2)
    here = run(num_islands=2)
    assert spread["program"] == here["program"] and spread["final_fitness"] == here["final_fitness"]


@pytest.mark.parametrize("name", ["search_tasks", "select_tasks", "final_tasks"])
def test_what_is_no_tasks(name):
    with pytest.raises(TypeError, match=name):
        run(**{name: "scalar_linear_regression"})
