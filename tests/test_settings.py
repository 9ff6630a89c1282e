from __future__ import annotations

import numpy as np
import pytest

import azero_jax as az

XOR = np.array([[[1, 1], [1, 0], [0, 1], [0, 0.0]]]), np.array([[0, 1, 1, 0.0]])


def test_defaults_fit_small_inputs():
    tasks = az.Tasks(*XOR, *XOR, loss="accuracy")
    ops = ("SCALAR_SUM",)
    space = az.SearchSpace(setup_ops=ops, predict_ops=ops, learn_ops=ops)
    evolution = az.EvolutionSettings(population_size=5)
    assert (evolution.tournament_size, evolution.child_batch_size) == (5, 5)
    search = az.Search(tasks, az.SearchSettings(space, evolution), seed=1)
    search.step()
    assert search.individuals == 10
    with pytest.raises(ValueError, match="fec_num_train_examples=10: expected at most 4, the training examples"):
        az.Search(tasks, az.SearchSettings(equivalence=az.EquivalenceSettings(num_train_examples=10)))


def test_sizes_are_those_of_the_start_unless_they_are_given():
    space = az.SearchSpace(initial_sizes=(3, np.int64(2), 4))
    assert space.min_sizes == space.max_sizes == space.initial_sizes == (3, 2, 4)


def test_integers_of_numpy_are_integers():
    assert az.EvolutionSettings(population_size=np.int32(7)) == az.EvolutionSettings(population_size=7)
    island = az.IslandSettings("scalar_linear_regression")
    assert isinstance(az.Settings([island], random_seed=np.uint8(3)).random_seed, int)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: az.EvolutionSettings(population_size=10.0), "population_size=10.0: expected an integer"),
        (lambda: az.EvolutionSettings(population_size=True), "population_size=True"),
        (lambda: az.EvolutionSettings(population_size=5, child_batch_size=6), "child_batch_size=6: expected 1 to"),
        (lambda: az.EvolutionSettings(mutate_prob=float("nan")), "mutate_prob=nan: expected 0 to 1"),
        (lambda: az.EvolutionSettings(mutation_types="alter_parameter"), "mutation_types='alter_parameter'"),
        (lambda: az.EvolutionSettings(initial_population=None), "initial_population=None"),
        (lambda: az.EquivalenceSettings(cache_size="many"), "fec_cache_size='many'"),
        (lambda: az.EquivalenceSettings(fingerprint=1), "fec_fingerprint=1: expected one of 'errors'"),
        (lambda: az.HurdleSettings(percentile="75"), "hurdle_percentile='75': expected 0 to 100"),
        (lambda: az.TrainBudgetSettings(baseline=None), "train_budget_baseline=None: expected one of"),
        (lambda: az.EvaluationSettings(max_abs_error=None), "max_abs_error=None: expected a positive number"),
        (lambda: az.EvaluationSettings(num_threads=1.5), "num_threads=1.5: expected an integer"),
        (lambda: az.SearchSpace(memory=5), "memory=5"),
        (lambda: az.SearchSpace(setup_ops="SCALAR_SUM"), "setup_ops='SCALAR_SUM': expected names of ops"),
        (lambda: az.SearchSpace(initial_sizes=(1, 2)), r"initial_sizes=\(1, 2\): expected three integers"),
        (lambda: az.SearchSettings(evolution={}), "evolution={}: expected an EvolutionSettings"),
        (lambda: az.SearchSettings(hall_of_fame_size=-1), "hall_of_fame_size=-1"),
        (lambda: az.MigrationSettings(every=0.5), "migrate_every=0.5"),
        (lambda: az.IslandSettings(az.Tasks(*XOR, *XOR)), "search_tasks=.*: expected a specification of tasks"),
        (lambda: az.Settings(az.IslandSettings("npz:path=x")), "islands=.*: expected IslandSettings"),
        (lambda: az.Settings(("scalar_linear_regression",)), "islands='scalar.*: expected an IslandSettings"),
        (lambda: az.Settings((az.IslandSettings("scalar_linear_regression"),), max_seconds="1"), "max_seconds='1'"),
        (lambda: az.Search("scalar_linear_regression", az.SearchSettings()), "tasks='scalar.*: expected a Tasks"),
        (lambda: az.Search(az.Tasks(*XOR, *XOR), az.EvolutionSettings()), "settings=.*: expected a SearchSettings"),
        (lambda: az.Search(az.Tasks(*XOR, *XOR), az.SearchSettings(), seed="x"), "seed='x'"),
    ],
)
def test_wrong_values_are_named(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()
