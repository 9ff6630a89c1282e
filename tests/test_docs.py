"""Every block of Python in the README and the docs runs as it is printed, the blocks of a page one after the other."""

from __future__ import annotations

import pathlib
import re

import pytest

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
    names = run(page)
    if page.stem == "README":
        assert names["fitness"] > 0.99
        assert names["result"]["individuals"] == 20_000
        assert names["learner"].predict(names["x"][400:]).shape == (100,)


def test_settings_of_flagfiles_are_those_of_the_command(tmp_path):
    demo = az.settings_from_flagfile("linear_demo")
    assert demo.islands[0].search.space.initial_sizes == (10, 2, 8)
    (tmp_path / "mine.flags").write_text("--population_size=7\n--max_individuals=50\n--random_seed=3\n")
    mine = az.settings_from_flagfile(tmp_path / "mine.flags")
    assert (mine.random_seed, mine.max_individuals) == (3, 50)
    assert mine.islands[0].search.evolution == az.EvolutionSettings(population_size=7)
    with pytest.raises(ValueError, match="did you mean linear_demo"):
        az.settings_from_flagfile("linaer_demo")
