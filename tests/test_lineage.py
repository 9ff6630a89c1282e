"""Which program each program of a search comes from, through restarts, islands and snapshots."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from generated import regression_tasks
from island_runs import search_settings, settings

from azero_jax import Program, lineage
from azero_jax.islands import IslandGroup, arrivals
from azero_jax.lineage import Ancestors, Lineage, Parents
from azero_jax.program import Population
from azero_jax.search import Search


@pytest.fixture
def small_room(monkeypatch):
    """Programs that are gone are looked at often."""
    monkeypatch.setattr(lineage, "_BYTES_FOR_LEAVERS", 1)
    monkeypatch.setattr(lineage, "_FEW_DEAD", 20)


def programs_of(values):
    """A population of programs that differ by a constant."""
    return Population.from_programs([Program.from_text(f"def Predict():\n  s1 = {value}\n") for value in values])


class Family:
    """A lineage, and beside it every program that ever was."""

    def __init__(self, size, seed):
        self.rng = np.random.default_rng(seed)
        self.population = programs_of(range(size))
        self.fitness = self.rng.random(size)
        self.lineage = Lineage(self.population)
        self.parent_of = dict.fromkeys(range(size))
        self.value_of_id = {id: id for id in self.lineage.ids.tolist()}
        self.made = size

    def step(self, slots, parents):
        """Puts children of the programs at some slots in place of others."""
        values = list(range(self.made, self.made + len(slots)))
        self.made += len(slots)
        of = [self.value_of_id[id] for id in self.lineage.ids[parents].tolist()]
        self.parent_of |= dict(zip(values, of))
        known = self.lineage.parents_at(parents)
        ids = self.lineage.replace(self.population, self.fitness, slots, known, self.made)
        self.value_of_id |= dict(zip(ids.tolist(), values))
        children = programs_of(values)
        self.population.code[slots], self.population.constants[slots] = children.code, children.constants
        self.fitness[slots] = self.rng.random(len(slots))

    def way_to(self, value):
        """From the first ancestor."""
        way = []
        while value is not None:
            way.append(value)
            value = self.parent_of[value]
        return way[::-1]


def values_of(way):
    return [ancestor.program.instructions("Predict")[0].constants[0] for ancestor in way]


@pytest.mark.parametrize("in_order", [True, False])
def test_the_way_to_every_living_program_is_known(small_room, in_order):
    family = Family(12, 1)
    for step in range(400):
        slots = (4 * step + np.arange(4)) % 12 if in_order else family.rng.choice(12, 4, replace=False)
        family.step(slots, family.rng.integers(0, 12, 4))
    history = family.lineage.history(family.population, family.fitness, family.lineage.ids)
    assert len(history.fitness) < 1000
    for program in family.population:
        value = int(program.instructions("Predict")[0].constants[0])
        way = history.way_to(program)
        assert values_of(way) == family.way_to(value)
        assert [step.individuals for step in way] == sorted(step.individuals for step in way)
    assert history.way_to(Program.from_text("def Predict():\n  s1 = -1\n")) == []


def test_the_best_are_remembered_when_their_descendants_are_gone(small_room):
    family = Family(6, 2)
    best = family.lineage.ids[3:4].tolist()
    family.lineage.pin(best, best)
    for step in range(100):
        family.step((2 * step + np.arange(2)) % 6, np.array([0, 0]) if step < 1 else family.rng.integers(0, 6, 2))
    pinned = family.lineage.history(family.population, family.fitness, np.array(best))
    assert values_of(pinned.way_to(programs_of([3])[0])) == [3]
    parents = family.lineage.parent(best[0], 2)
    assert parents.ids.tolist() == best * 2 and parents.generations.tolist() == [0, 0]


def test_long_ways_lose_steps_that_changed_no_fitness_first(monkeypatch, small_room):
    monkeypatch.setattr(lineage, "_MOST_ANCESTORS", 60)
    family = Family(2, 3)
    for step in range(600):
        family.step(np.array([step % 2]), np.array([(step + 1) % 2]))
        if step % 20:
            family.fitness[step % 2] = 0.5
    history = family.lineage.history(family.population, family.fitness, family.lineage.ids)
    way = history.way_to(family.population[0])
    whole = family.way_to(values_of(way)[-1])
    assert len(way) <= 100 < len(whole)
    assert [value for value in whole if value in set(values_of(way))] == values_of(way)  # in order
    assert len({step.fitness for step in way}) > 15


def test_a_search_knows_how_its_best_program_came_about():
    how = dataclasses.replace(search_settings(restart_stagnant_individuals=300), hall_of_fame_size=3)
    search = Search(regression_tasks(num_tasks=4, features_size=3), how, seed=1)
    search.run(3000)
    way = search.ancestry()
    assert way[-1].program == search.best()[0] and way[-1].fitness == search.best()[1]
    assert way[0].individuals == 40 and len(way) > 3
    for before, after in itertools.pairwise(way):
        changed = sum(abs(a - b) for a, b in zip(before.program.lengths, after.program.lengths))
        assert changed <= 6 and before.individuals <= after.individuals
    improvements = search.history().improvements
    assert [step.fitness for step in improvements] == sorted({step.fitness for step in improvements})
    assert improvements[-1].program == search.best()[0]
    assert improvements[-1].individuals == search.improved_at
    assert search.restarts and search.ancestry(search.state.population[0])


def test_ancestry_is_the_same_after_a_snapshot(small_room):
    tasks, how = regression_tasks(num_tasks=4, features_size=3), search_settings()
    search = Search(tasks, how, seed=4)
    search.run(500)
    copy = Search.from_snapshot(tasks, how, *search.snapshot())
    search.run(1500)
    copy.run(1500)
    assert search.ancestry() == copy.ancestry()
    assert search.history().improvements == copy.history().improvements


def test_migrants_bring_their_ancestors(small_room):
    run = settings(3)
    group = IslandGroup(run, 1, range(3))
    for number in range(1, 6):
        group.advance(number * 200, lambda: False)
        group.immigrate(arrivals(run, 1, number, group.emigrants()))
    group.advance(1200, lambda: False)
    islands = set()
    for history, finalists in zip(group.histories(), group.finalists()):
        way = history.ancestors.way_to(Program.from_text(finalists.programs[0]))
        assert way[0].individuals == 40 and way[-1].fitness == finalists.fitness[0]
        islands |= {step.island for step in way}
    assert islands == {0, 1, 2}


def test_parents_of_programs_made_from_nothing():
    parents = Parents.none(2)
    assert parents.ids.tolist() == [lineage.NO_PARENT] * 2 and parents.generations.tolist() == [-1, -1]
    none = Ancestors.room(0, (1, 1, 1))
    assert Ancestors.joined([none, none]).of(np.zeros(0, np.int64)).way_to(Program.from_text("def Predict():\n")) == []


def test_recording_changes_nothing_that_a_search_finds(monkeypatch):
    tasks = regression_tasks(num_tasks=4, features_size=3)
    usual = Search(tasks, search_settings(), seed=7)
    usual.run(2000)
    monkeypatch.setattr(Lineage, "replace", lambda self, population, fitness, slots, *rest: self.ids[slots])
    unrecorded = Search(tasks, search_settings(), seed=7)
    unrecorded.run(2000)
    assert unrecorded.best() == usual.best()
    np.testing.assert_array_equal(usual.state.population.code, unrecorded.state.population.code)
