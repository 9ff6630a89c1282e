"""Searches step by step, islands and what they exchange."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from generated import regression_tasks
from island_runs import SPACE, TASKS, records_of, search_settings, settings

from azero_jax import MemorySize, Program
from azero_jax.evolution import EvolutionSettings
from azero_jax.hall_of_fame import HallOfFame
from azero_jax.islands import arrivals
from azero_jax.lineage import Ancestors, Parents
from azero_jax.program import Population
from azero_jax.search import Migrants, Search, SearchSettings
from azero_jax.settings import IslandSettings, MigrationSettings, Settings
from azero_jax.workers import Islands

# A search as a library.


def test_a_search_step_by_step():
    tasks = regression_tasks(num_tasks=4, features_size=3)
    search = Search(tasks, search_settings(), seed=1)
    assert search.individuals == 40
    start = search.best()[1]
    for _ in range(60):
        search.step()
    assert search.individuals == 40 + 60 * 20
    program, fitness = search.best()
    assert fitness > start
    assert search.scorer.evaluator.evaluate([program]).fitness.mean() == pytest.approx(fitness, abs=1e-6)
    again = Search(tasks, search_settings(), seed=1)
    assert again.run(1190) == (program, fitness)  # whole batches
    assert again.individuals == search.individuals
    with pytest.raises(ValueError, match="individuals=0: expected an integer of at least 1"):
        again.run(0)


def test_a_search_goes_on_from_a_snapshot():
    tasks, how = regression_tasks(num_tasks=4, features_size=3), search_settings(restart_stagnant_individuals=300)
    how = dataclasses.replace(how, hall_of_fame_size=3)
    search = Search(tasks, how, seed=1)
    for _ in range(20):
        search.step()
    copy = Search.from_snapshot(tasks, how, *search.snapshot())
    for _ in range(60):
        search.step()
        copy.step()
    assert search.restarts > 0
    ours, theirs = search.snapshot(), copy.snapshot()
    assert ours[0] == theirs[0]
    for name, array in ours[1].items():
        np.testing.assert_array_equal(array, theirs[1][name])


@pytest.mark.parametrize("restart_from", ["best", "initial"])
def test_restarts(restart_from):
    how = search_settings(mutate_prob=0.0, restart_stagnant_individuals=200, restart_from=restart_from)
    search = Search(regression_tasks(features_size=3), how, seed=2)
    best = search.best()
    for _ in range(12):  # of copies: the best stays what it was at 40
        search.step()
        assert search.restarts == (search.individuals >= 40 + 220)
    if restart_from == "best":
        assert set(search.state.fitness) == {best[1]}
        assert all(program == best[0] for program in search.state.population)
    assert search.best()[1] >= best[1]


def test_the_hall_of_fame_keeps_the_best_of_all_times():
    texts = [f"def Predict():\n  s1 = {number}.0\n" for number in range(6)]
    population = Population.from_programs([Program.from_text(text) for text in texts])
    hall = HallOfFame(3)
    hall.add(population, np.array([0.1, 0.5, 0.5, 0.2, 0.4, 0.3]), np.arange(6))
    assert hall.fitness == [0.5, 0.4, 0.3]
    assert hall.programs == [population[1], population[4], population[5]]
    hall.add(population, np.array([0.35, 0.5, 0.9, 0.0, 0.0, 0.0]), np.arange(6, 12))
    assert hall.fitness == [0.9, 0.5, 0.4]
    assert hall.programs == [population[2], population[1], population[4]]
    assert hall.ids == [8, 1, 4]


def test_finalists_are_the_last_population_or_the_hall_of_fame():
    tasks = regression_tasks(features_size=3)
    plain = Search(tasks, search_settings(mutate_prob=1.0, mutation_types=("randomize_algorithm",)), seed=3)
    famed = Search(tasks, dataclasses.replace(plain.settings, hall_of_fame_size=4), seed=3)
    for _ in range(10):
        plain.step()
        famed.step()
    programs, fitness = plain.finalists()
    assert programs == [plain.state.best()[0]] and fitness == [plain.state.fitness.max()]
    programs, fitness = famed.finalists()
    assert len(programs) == 4 and fitness == sorted(fitness, reverse=True)
    assert fitness[0] == famed.best()[1] > plain.state.fitness.max()  # random search forgets its best


def test_a_finalist_is_as_good_as_it_says():
    """Fitness in the population may be that of an equivalent program, which differs later."""
    search = Search(regression_tasks(features_size=3), search_settings(), seed=3)
    for _ in range(20):
        search.step()
    (honest,), (fitness,) = search.finalists()
    worst = int(np.argmin(search.state.fitness))
    search.state.fitness[worst] = 1.0
    assert search.state.best()[1] == 1.0
    assert search.finalists() == ([honest], [fitness])
    assert search.scorer.evaluator.evaluate([honest]).fitness.mean() == pytest.approx(fitness, abs=1e-6)


# Exchanges.


def test_programs_migrate_to_random_islands():
    def numbered(first, count):
        return Population.from_programs(
            [Program.from_text(f"def Predict():\n  s1 = {first + number}.0\n") for number in range(count)]
        )

    def values(population):
        return population.constants[:, 0, 0].astype(int).tolist()

    leaving = [
        Migrants(numbered(start, count), Parents.none(count), Ancestors.room(0, (1, 1, 1)))
        for start, count in ((0, 20), (100, 20), (200, 10))
    ]
    run = settings()
    first = [values(some.programs) for some in arrivals(run, 1, 1, leaving)]
    assert [len(some) for some in first] == [20, 20, 10]
    assert all(len(set(some)) == len(some) for some in first)
    origins = collections.Counter(value // 100 for some in first for value in some)
    assert set(origins) == {0, 1, 2}
    assert first == [values(some.programs) for some in arrivals(run, 1, 1, leaving)]
    assert first != [values(some.programs) for some in arrivals(run, 1, 2, leaving)]
    assert first != [values(some.programs) for some in arrivals(run, 2, 1, leaving)]


def test_immigrants_take_the_places_of_emigrants_and_are_scored_anew():
    search = Search(regression_tasks(features_size=3), search_settings(), seed=1)
    slots, leaving = search.emigrants(15)
    assert len(set(slots.tolist())) == 15
    for slot, program in zip(slots.tolist(), leaving.programs):
        assert search.state.population[slot] == program
    before = [program.to_text() for program in search.state.population]
    arriving = search.state.population.take(np.arange(15))
    search.immigrate(slots, Migrants(arriving, leaving.parents, leaving.ancestors))
    for slot in range(40):
        expected = arriving[slots.tolist().index(slot)].to_text() if slot in slots else before[slot]
        assert search.state.population[slot].to_text() == expected
    scored = search.scorer.evaluator.evaluate(search.state.population).fitness.mean(axis=1)
    np.testing.assert_allclose(search.state.fitness[slots], scored[slots], atol=1e-6)


def test_islands_help_each_other():
    run = settings(2, migration=MigrationSettings(every=100, share=0.5))
    alone = settings(2, migration=MigrationSettings(every=0))
    islands, apart = Islands(run, 1), Islands(alone, 1)
    for number in range(1, 4):
        islands.advance(number * 100, lambda: False)
        apart.advance(number * 100, lambda: False)
        assert all(status.individuals >= number * 100 for status in islands.status())
        islands.exchange(number)
    rows = [[program.to_text() for program in Population(*_population(some))] for some in islands.snapshot()]
    assert set(rows[0]) & set(rows[1])
    rows = [[program.to_text() for program in Population(*_population(some))] for some in apart.snapshot()]
    assert not set(rows[0]) & set(rows[1])


def _population(snapshot):
    values, arrays = snapshot
    return arrays["code"], arrays["constants"], arrays["lengths"], tuple(values["capacity"])


# Whole runs.


@pytest.mark.thorough
def test_pauses_change_nothing(tmp_path):
    here = records_of(settings())
    assert records_of(settings(), output_dir=tmp_path, checkpoint_seconds=0) == here


def test_islands_share_their_search_space():
    other = dataclasses.replace(search_settings(), space=dataclasses.replace(SPACE, memory=MemorySize(5, 3, 0)))
    with pytest.raises(ValueError, match="islands: expected one search space"):
        Settings((IslandSettings(TASKS, search_settings()), IslandSettings(TASKS, other)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MigrationSettings(every=-1), "migrate_every=-1: expected an integer of at least 0"),
        (lambda: MigrationSettings(share=0.0), "migrate_share=0.0: expected more than 0"),
        (lambda: settings(0), "islands: expected at least one"),
        (lambda: settings(funnel_rounds=0), "funnel_rounds=0: expected a positive integer"),
        (lambda: EvolutionSettings(restart_stagnant_individuals=-1), "restart_stagnant_individuals=-1"),
        (lambda: EvolutionSettings(restart_from="worst"), "restart_from='worst': expected one of 'best', 'initial'"),
        (lambda: EvolutionSettings(constant_mutation="mine"), "constant_mutation='mine'"),
        (lambda: SearchSettings(hall_of_fame_size=-1), "hall_of_fame_size=-1"),
        (lambda: SearchSettings(fitness_combination="max"), "fitness_combination='max'"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
