"""Regularized evolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from search_space import SPACE, scorer

from azero_jax.evolution import EvolutionSettings, start, step
from azero_jax.mutation import Mutator


def run_evolution(steps=30, tasks=None, seed=0, **settings):
    settings = EvolutionSettings(**({"population_size": 50, "child_batch_size": 10} | settings))
    mutator = Mutator.of(SPACE, settings.mutation_types)
    judge = scorer(tasks)
    state = start(settings, mutator, judge, np.random.default_rng(seed))
    history = [state.fitness.copy()]
    for _ in range(steps):
        step(state, settings, mutator, judge)
        history.append(state.fitness.copy())
    return state, history


def test_the_oldest_are_replaced_in_order():
    state, history = run_evolution(steps=7, mutate_prob=1.0, mutation_types=("randomize_algorithm",))
    assert state.individuals == 50 + 7 * 10
    assert state.oldest == 20
    for index, (before, after) in enumerate(itertools.pairwise(history)):
        slots = (10 * index + np.arange(10)) % 50
        kept = np.setdiff1d(np.arange(50), slots)
        np.testing.assert_array_equal(before[kept], after[kept])


def test_children_come_from_winners():
    _, history = run_evolution(steps=40, mutate_prob=0.0, tournament_size=10)
    assert history[-1].min() >= np.sort(history[0])[25]  # copies of winners only
    assert history[-1].max() <= history[0].max()


def test_evolution_improves_and_repeats():
    state, history = run_evolution(steps=200)
    assert history[-1].max() > history[0].max()
    again, _ = run_evolution(steps=200)
    np.testing.assert_array_equal(state.fitness, again.fitness)
    np.testing.assert_array_equal(state.population.code, again.population.code)
    other, _ = run_evolution(steps=200, seed=1)
    assert not np.array_equal(state.population.code, other.population.code)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tournament_size": 60}, "tournament_size=60: expected 1 to population_size=50"),
        ({"child_batch_size": 60}, "child_batch_size=60: expected 1 to population_size=50"),
        ({"population_size": 0}, "population_size=0"),
        ({"mutate_prob": 1.5}, "mutate_prob=1.5"),
    ],
)
def test_evolution_settings_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        EvolutionSettings(**({"population_size": 50, "child_batch_size": 10} | settings))
