"""What the flags of a resumed run mean beside the settings that it has."""

from __future__ import annotations

import dataclasses

import pytest
from absl.flags import FlagValues

from azero_jax import flags
from azero_jax.settings import changes

TASKS = "scalar_linear_regression:features_size=4,num_tasks=3"
FRESH = [
    f"--search_tasks={TASKS}",
    "--mutate_prob=0.5",
    "--max_individuals=100",
    "--island_flags=",
    "--island_flags=--tournament_size=3 --method=paper",
]


def parsed(*arguments):
    values = FlagValues()
    flags.define(values)
    values(["evolve", *arguments])
    return values


def settings(*arguments, stored=None):
    return flags.settings(parsed(*arguments), stored=stored)


@pytest.fixture(scope="module")
def stored():
    return settings(*FRESH)


def test_without_flags_everything_is_as_it_was(stored):
    assert settings(stored=stored) == stored
    assert settings("--resume", "--output_dir=x", stored=stored) == stored
    assert stored.random_seed != settings(*FRESH).random_seed


@pytest.mark.parametrize(
    "given",
    [
        FRESH,
        ["--mutate_prob=0.5"],
        ["--tournament_size=3"],  # of one island
        ["--method=paper"],
        ["--search_tasks=scalar_linear_regression: num_tasks=3 ,num_train_epochs=1"],
        ["--setup_size_init=10", "--num_islands=2"],
    ],
)
def test_the_same_in_other_words_is_no_change(stored, given):
    found = changes(stored, settings(*given, stored=stored))
    assert found.refused == [] and found.allowed == []


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (["--mutate_prob=0.9"], [f"islands[{n}].search.evolution.mutate_prob was 0.5, now 0.9" for n in (0, 1)]),
        (["--random_seed=-0"], ["random_seed was "]),
        (["--max_vector_addresses=5"], [f"islands[{n}].search.space.memory.vectors was 20, now 5" for n in (0, 1)]),
        (["--setup_ops=SCALAR_SUM"], [f"islands[{n}].search.space.setup_ops: now without " for n in (0, 1)]),
        (["--method=release"], ["islands[1].search."]),
        (["--search_tasks=scalar_affine_regression"], ["islands[0].search_tasks was ", "islands[1].search_tasks was "]),
    ],
)
def test_what_differs_is_listed_in_short_lines(stored, given, refused):
    if given == ["--random_seed=-0"]:
        stored = dataclasses.replace(stored, random_seed=1)
    if given == ["--method=release"]:
        stored = dataclasses.replace(stored, islands=stored.islands[1:])
        refused = ["islands[0].search."]
    found = changes(stored, settings(*given, stored=stored))
    assert found.allowed == []
    assert len(found.refused) >= len(refused)
    assert all(line.startswith(start) for line, start in zip(found.refused, refused))
    assert max(map(len, found.refused)) < 200


def test_budgets_and_tasks_of_later_stages_may_change(stored):
    given = ["--max_individuals=200", "--max_stagnant_individuals=50", "--final_tasks=scalar_linear_regression"]
    found = changes(stored, settings(*given, "--sufficient_fitness=0.9", "--num_threads=3", stored=stored))
    assert found.refused == []
    assert [line.partition(" was ")[0] for line in found.allowed] == [
        "islands[0].search.evaluation.num_threads",
        "islands[1].search.evaluation.num_threads",
        "final_tasks",
        "sufficient_fitness",
        "max_individuals",
        "max_stagnant_individuals",
    ]


def test_another_number_of_islands_is_refused(stored):
    for given in (["--num_islands=3"], ["--island_flags="] * 3):
        with pytest.raises(ValueError, match="islands: were 2, now 3"):
            settings(*given, stored=stored)
