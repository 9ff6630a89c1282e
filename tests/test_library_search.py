"""A search as a library: asked and told, saved and loaded, started from programs of one's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from generated import regression_tasks
from island_runs import SPACE, search_settings

from azero_jax import Program
from azero_jax.initial_programs import LINEAR, initial_population, text_of_programs
from azero_jax.search import Search


@pytest.fixture(scope="module")
def tasks():
    return regression_tasks(num_tasks=4, features_size=3)


def test_ask_and_tell_do_what_a_step_does(tasks):
    stepped, told = Search(tasks, search_settings(), seed=3), Search(tasks, search_settings(), seed=3)
    for _ in range(20):
        stepped.step()
        programs = told.ask()
        assert len(programs) == 20
        told.tell(told.scorer.score(programs))
    ours, theirs = stepped.snapshot(), told.snapshot()
    assert ours[0] == theirs[0]
    for name, array in ours[1].items():
        np.testing.assert_array_equal(array, theirs[1][name])


def size_fitness(programs):
    """The fewer instructions of Learn, the better."""
    return 1 / (1 + programs.lengths[:, 2])


def test_fitness_of_ones_own(tasks):
    how = search_settings(mutation_types=("insert_instruction", "remove_instruction"))
    search = Search(tasks, how, seed=1, own_fitness=True)
    with pytest.raises(ValueError, match="no fitness was told yet"):
        search.best()
    with pytest.raises(ValueError, match=r"own_fitness=True: .* expected ask and tell"):
        search.step()
    for _ in range(60):
        programs = search.ask()
        search.tell(size_fitness(programs))
    program, fitness = search.best()
    assert fitness == 1 / (1 + program.lengths[2]) and program.lengths[2] <= 1
    assert search.scorer.counters.evaluations == 0 and search.individuals == 40 + 59 * 20
    assert search.finalists() == ([search.state.best()[0]], [search.state.best()[1]])
    assert search.ancestry()[-1].fitness == fitness


def test_wrong_asks_and_tells(tasks):
    search = Search(tasks, search_settings(), seed=1)
    with pytest.raises(ValueError, match="tell: no programs were asked for"):
        search.tell([0.5])
    search.ask()
    for call in (search.ask, search.step, search.snapshot):
        with pytest.raises(ValueError, match="expected tell first"):
            call()
    with pytest.raises(ValueError, match=r"fitness of shape \(3,\): expected 20 numbers"):
        search.tell([0.1, 0.2, 0.3])
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="of program 4: expected 0 to 1"):
            search.tell([wrong if place == 4 else 0.5 for place in range(20)])
    search.tell([0.5] * 20)
    search.step()


def test_a_saved_search_goes_on(tasks, tmp_path):
    search = Search(tasks, search_settings(), seed=5, random_ops_seed=2)
    search.run(400)
    path = tmp_path / "search.npz"
    search.save(path)
    again = Search.load(path, tasks)
    assert again.settings == search.settings and again.individuals == search.individuals
    assert search.run(600) == again.run(600)
    assert search.ancestry() == again.ancestry()


def test_a_search_that_was_told_its_fitness_is_saved_as_one(tasks, tmp_path):
    search = Search(tasks, search_settings(), seed=5, own_fitness=True)
    search.tell(size_fitness(search.ask()))
    search.save(tmp_path / "search.npz")
    again = Search.load(tmp_path / "search.npz", tasks)
    assert [program.to_text() for program in again.ask()] == [program.to_text() for program in search.ask()]
    with pytest.raises(ValueError, match="own_fitness"):
        again.step()
    restarting = search_settings(restart_stagnant_individuals=100, restart_from="initial")
    with pytest.raises(ValueError, match="restart_from='initial' with own_fitness=True: expected 'best'"):
        Search(tasks, restarting, own_fitness=True)


def test_wrong_files_of_searches(tasks, tmp_path):
    path = tmp_path / "search.npz"
    with pytest.raises(FileNotFoundError):
        Search.load(path, tasks)
    Search(tasks, search_settings(), seed=5).save(path)
    with pytest.raises(ValueError, match=r"search\.npz: saved with other tasks than these"):
        Search.load(path, regression_tasks(num_tasks=5, features_size=3))
    content = path.read_bytes()
    for damaged in (content[:-40], content[:100], b"", bytes([content[200] ^ 1]) + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"search\.npz: "):
            Search.load(path, tasks)
    with pytest.raises(TypeError, match="tasks"):
        Search.load(path, "scalar_linear_regression")


def test_a_search_starts_from_programs(tasks):
    mine = [Program.from_text(LINEAR), Program.from_text("def Predict():\n  s1 = 0.5\n")]
    wide = dataclasses.replace(search_settings(), space=dataclasses.replace(SPACE, max_sizes=(5, 5, 6)))
    search = Search(tasks, wide, seed=1, initial=mine)
    texts = [program.to_text() for program in search.state.population]
    assert len(set(texts)) == 2 and texts[0] == texts[2] and texts[1] == texts[3]
    assert search.best()[1] > 0.4
    with pytest.raises(ValueError, match="programs: none"):
        Search(tasks, wide, initial=[])
    with pytest.raises(TypeError, match="expected a sequence of programs"):
        Search(tasks, wide, initial=mine[0])
    with pytest.raises(ValueError, match=r"initial programs: Learn has 7 instructions, the search space allows"):
        Search(
            tasks,
            search_settings(),
            initial=[Program.from_text(LINEAR + 3 * "  v1 = v1 + v2\n")],
        )


def test_files_of_several_programs(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text(
        "def Predict():\n  s1 = 1.0\n---\ndef Predict():\n  s1 = 2.0\n-----  \ndef Predict():\n  s1 = 3.0\n"
    )
    population = initial_population(str(path), 5, SPACE, np.random.default_rng(0))
    values = [program.instructions("Predict")[0].constants[0] for program in population]
    assert values == [1.0, 2.0, 3.0, 1.0, 2.0]
    path.write_text("def Predict():\n  s1 = 1.0\n---\ndef Predict():\n  nonsense\n")
    with pytest.raises(ValueError, match=r"some\.txt, program 2: line 3"):
        initial_population(str(path), 5, SPACE, np.random.default_rng(0))
    assert text_of_programs([Program.from_text("def Predict():\n  s1 = 1.0\n")] * 2).count("---") == 1
