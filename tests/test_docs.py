"""Every block of Python in the README and the docs runs as it is printed, the blocks of a page one after the other."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import pytest
import stand_ins

import azero_jax as az

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [path for path in PAGES if "```python" in path.read_text()]


def run(page: pathlib.Path) -> dict:
    """What the names of a page stand for once all of its blocks have run."""
    names: dict = {}
    text = page.read_text()
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        first_line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * first_line + block.group(1), str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_printed_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracked = (stand_ins.wandb(monkeypatch), stand_ins.mlflow(monkeypatch)) if page.stem == "tracking" else None
    names = run(page)
    if tracked:
        check_tracking(names, *tracked)
    if page.stem == "README":
        assert names["fitness"] > 0.99
        assert names["result"]["individuals"] == 20_000
        assert names["learner"].predict(names["x"][400:]).shape == (100,)


def check_tracking(names, wandb, mlflow):
    """That both packages were told of every report, and of the result."""
    reports = az.metrics_frame("runs/wandb")
    assert [data["individuals"] for (data,) in wandb.named("log")] == list(reports["individuals"]) == [10_000, 20_000]
    assert wandb.named("init")[0][0] == "azero" and wandb[-1] == ("finish",)
    assert wandb.named("define_metric") == [["*", "individuals"]]
    result = names["result"]
    summary = wandb.named("run")[0][0].summary
    assert summary["final_fitness"] == result["final_fitness"] and "def Learn():" in summary["program"]
    assert [step for _, step in mlflow.named("log_metrics")[:-1]] == [10_000, 20_000]
    assert mlflow.named("log_metrics")[-1] == [{"final_fitness": result["final_fitness"]}]
    assert mlflow.named("log_text")[0][1] == "best_after_10000.txt"
    assert mlflow.named("log_artifact") == [["runs/mlflow/result.json"]]


def test_an_exception_in_on_report_loses_nothing(tmp_path):
    settings = dataclasses.replace(
        az.settings_from_flagfile("linear_demo"), random_seed=14, max_individuals=6000, max_experiments=1
    )

    def fails(record):
        raise ConnectionError("no network")

    with pytest.raises(ConnectionError):
        az.run(settings, output_dir=tmp_path / "run", on_report=fails, progress_every=2000)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "failed" and "def Learn():" in result["program"] and "no network" in result["error"]
    resumed = az.run(output_dir=tmp_path / "run", resume=True)
    assert resumed["individuals"] == 6000 and resumed["status"] == "finished"


def test_settings_of_flagfiles_are_those_of_the_command(tmp_path):
    demo = az.settings_from_flagfile("linear_demo")
    assert demo.islands[0].search.space.initial_sizes == (10, 2, 8)
    (tmp_path / "mine.flags").write_text("--population_size=7\n--max_individuals=50\n--random_seed=3\n")
    mine = az.settings_from_flagfile(tmp_path / "mine.flags")
    assert (mine.random_seed, mine.max_individuals) == (3, 50)
    assert mine.islands[0].search.evolution == az.EvolutionSettings(population_size=7)
    with pytest.raises(ValueError, match="did you mean linear_demo"):
        az.settings_from_flagfile("linaer_demo")
