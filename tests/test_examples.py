"""Every script of examples/ runs, with small budgets, and says what its first paragraph promises."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import runpy

import numpy as np
import pandas
import pytest
from doors import run_azero, run_example

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_examples_are_short_and_say_what_they_show(path):
    text = path.read_text()
    assert text.count("\n") < 60
    said = ast.get_docstring(ast.parse(text))
    assert len(said.splitlines()[0]) > 40 and f"python examples/{path.name}" in said
    assert f"def test_{path.stem}" in pathlib.Path(__file__).read_text()


def test_make_houses():
    made = runpy.run_path(str(EXAMPLES / "make_houses.py"))
    assert made["table"]() == (EXAMPLES / "houses.csv").read_text()


@pytest.mark.thorough
def test_own_csv(tmp_path):
    printed = run_example("own_csv", "--individuals=200", f"--output={tmp_path / 'houses.py'}").stdout
    assert float(re.search(r"R² on 30 rows held out: (\S+)", printed)[1]) > 0.8
    assert printed.count("predicted ") == 3 and "def Learn():" in printed
    model = runpy.run_path(str(tmp_path / "houses.py"))["HousePrices"]()
    table = pandas.read_csv(EXAMPLES / "houses.csv")
    X = (table - table.mean()).div(table.std()).to_numpy()
    assert np.isfinite(model.fit(X[:90, :3], X[:90, 3]).predict(X[90:, :3])).all()


def test_custom_op():
    printed = run_example("custom_op", "--individuals=3000").stdout
    before, after = map(float, re.findall(r": (?:fitness )?(0\.\d+)", printed)[:2])
    assert after > before + 0.1
    assert float(re.search(r"with fitness (\S+):", printed)[1]) > 0.95 and "s1 = clip(s1)" in printed


@pytest.mark.thorough
def test_custom_loss():
    printed = run_example("custom_loss", "--individuals=3000").stdout
    (before, below), (after, above) = re.findall(r"fitness (0\.\d+), above (\d+)% of the labels", printed)
    assert float(after) > float(before) + 0.08 and abs(int(below) - 50) < 5 and abs(int(above) - 90) < 5


@pytest.mark.thorough
def test_custom_task():
    printed = run_example("custom_task", "--individuals=2000").stdout
    assert re.search(r"search fitness 0\.\d+, on tasks of other seeds 0\.\d+", printed)


def test_what_they_register_is_known_to_commands():
    ops = run_azero("ops", "clip", f"--import={EXAMPLES / 'custom_op.py'}").stdout
    assert "clip" in ops
    named = ["--loss=pinball", "--format=jax", f"--import={EXAMPLES / 'custom_loss.py'}"]
    assert "Loss: pinball" in run_azero("export", "linear", *named).stdout


@pytest.mark.thorough
def test_custom_task_is_known_to_commands(tmp_path):
    name = EXAMPLES / "custom_task.py"
    budget = [f"--output_dir={tmp_path}", "--max_individuals=2000", "--max_experiments=1", "--select_tasks="]
    tasks = "noisy_linear:features_size=4,num_tasks=10,noise_percent=20"
    run_azero("evolve", "linear_demo", f"--import={name}", f"--search_tasks={tasks}", "--final_tasks=", *budget)
    assert json.loads((tmp_path / "result.json").read_text())["stages"]["search"]["tasks"].startswith("noisy_linear")


@pytest.mark.thorough
def test_several_seeds():
    printed = run_example("several_seeds", "--seeds=2", "--individuals=2000").stdout
    assert re.search(r"populations of 1000: 0\.\d+ ± \d+\.\d+ over 2 seeds", printed)
    assert re.search(r"difference \S+ ± \S+: (no difference seen|more|less)", printed)


@pytest.mark.thorough
def test_library_search():
    printed = run_example("library_search", "--individuals=22000").stdout
    assert "21,200 programs: 0.9999" in printed and "restarts: 1" in printed
    assert "search fitness 0.9999, on fresh tasks 0.9999" in printed
