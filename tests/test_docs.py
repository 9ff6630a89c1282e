"""Every block of Python in the README and the docs runs as it is printed, the blocks of a page one after the other."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import pytest
import stand_ins
import yaml
from doors import run_script

import azero_jax as az
from azero_jax.commands import COMMANDS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [path for path in PAGES if "```python" in path.read_text()]
# Pages that compile machines of their own.
LONG = ("estimators", "library", "losses", "own_data", "predictions")


def run(page: pathlib.Path) -> dict:
    """What the names of a page stand for once all of its blocks have run."""
    names: dict = {}
    text = page.read_text()
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
        first_line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * first_line + block.group(1), str(page), "exec"), names)
    return names


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.thorough if page.stem in LONG else (), id=page.stem) for page in PAGES],
)
def test_what_is_printed_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT if page.stem == "README" else tmp_path)  # the README reads examples/, and writes nothing
    tracked = (stand_ins.wandb(monkeypatch), stand_ins.mlflow(monkeypatch)) if page.stem == "tracking" else None
    names = run(page)
    if tracked:
        check_tracking(names, *tracked)
    if page.stem == "README":
        assert names["model"].score(names["X"][90:], names["y"][90:]) > 0.98
    if page.stem == "library":
        assert names["fitness"] > 0.99
        assert names["result"]["individuals"] == 20_000
        assert names["learner"].predict(names["x"][400:]).shape == (100,)


def anchors(page: pathlib.Path) -> set[str]:
    """Where links into a page can lead."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_outside_of_the_site_lead_somewhere(page):
    """mkdocs --strict, which CI runs, checks those of the site."""
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            assert (ROOT / path).exists(), link
            assert not anchor or anchor in anchors(ROOT / path), link


def test_the_readme_is_read_in_a_minute():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_site_has_every_page():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = [page for part in site["nav"] for pages in part.values() for page in pages_of(pages)]
    made = {"flags.md", "changelog.md", "contributing.md"}
    assert sorted(listed) == sorted({path.name for path in (ROOT / "docs").glob("*.md")} | made)


def pages_of(part) -> list[str]:
    return [part] if isinstance(part, str) else [page for entry in part for page in entry.values()]


def test_the_api_page_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text()
    shown = re.findall(r"^::: azero_jax\.(?:estimators\.)?(\w+)$", page, re.M)
    assert sorted(shown) == sorted({*az.__all__, *az._ESTIMATORS} - {"__version__"})


def test_the_page_of_flags_is_made_of_the_commands():
    page = run_script("docs_hooks").stdout
    assert [line for line in page.splitlines() if line.startswith("## ")] == [f"## azero {name}" for name in COMMANDS]
    for row in ("| `--population_size` | `1000` | programs of each population |", "| `--[no]fec_algebra` | `true` |"):
        assert row in page
    assert "one of `release`, `paper`" in page and "flags above under *The run*" in page


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
