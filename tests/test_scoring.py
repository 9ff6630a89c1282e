"""Caches, probes, hurdles, budgets and selection."""

from __future__ import annotations

import numpy as np
import pytest
from generated import regression_tasks
from search_space import ALL_KINDS, SPACE, random_programs, scorer

from azero_jax import Evaluator, Population, Program
from azero_jax.costs import op_cost, program_costs
from azero_jax.fec import FitnessCache
from azero_jax.initial_programs import LINEAR
from azero_jax.ops import op_named
from azero_jax.scoring import EquivalenceSettings, HurdleSettings, Scorer, TrainBudgetSettings, combine
from azero_jax.selection import select


def keys(*values):
    return np.array(values, np.uint64)


def test_cache_drops_the_least_recently_used():
    cache = FitnessCache(2)
    cache.insert(keys(1, 2), np.array([0.1, 0.2]))
    assert cache.lookup(keys(1))[0].tolist() == [0.1]
    cache.insert(keys(3), np.array([0.3]))
    np.testing.assert_array_equal(cache.lookup(keys(1, 2, 3))[0], [0.1, np.nan, 0.3])
    copy = FitnessCache(2)
    copy.restore(cache.to_arrays())
    copy.insert(keys(4), np.array([0.4]))
    np.testing.assert_array_equal(copy.lookup(keys(1, 3, 4))[0], [np.nan, 0.3, 0.4])


def test_cache_forgets():
    cache = FitnessCache(10, forget_every=3)
    cache.insert(keys(7), np.array([0.7]))
    assert [bool(np.isfinite(cache.lookup(keys(7))[0][0])) for _ in range(4)] == [True, True, True, False]
    cache.insert(keys(7), np.array([0.72]))  # the next program of this key has run, and is the same
    assert cache.lookup(keys(7))[0].tolist() == [0.72]
    for settings in ({"capacity": 0}, {"capacity": 1, "forget_every": 1}, {"capacity": 1, "forget_every": -1}):
        with pytest.raises(ValueError):
            FitnessCache(**settings)


def test_keys_of_programs_that_differ_are_doubted():
    cache, scores, ran = FitnessCache(10, forget_every=2), np.array([0.9, 0.9, 0.3, 0.9, 0.3]), []

    def shared(*programs):
        def run(which):
            ran.extend(programs[index] for index in which)
            return scores[[programs[index] for index in which]]

        return cache.shared(keys(*[7] * len(programs)), run)[0].tolist()

    assert shared(0, 1) == [0.9, 0.9] and ran == [0]
    assert shared(2) == [0.9] and shared(2) == [0.9] and ran == [0]  # wrong, and not known yet
    assert shared(2) == [0.3] and ran == [0, 2]  # forgotten after two hits
    for _ in range(2):  # from now on each runs for itself, also within a batch
        ran.clear()
        assert shared(3, 4, 1) == [0.9, 0.3, 0.9] and ran == [3, 4, 1]
    copy = FitnessCache(10, forget_every=2)
    copy.restore(cache.to_arrays())
    assert copy.shared(keys(7, 7), lambda which: scores[[0, 2]])[0].tolist() == [0.9, 0.3]


def test_combination():
    fitness = np.array([[0.1, 0.4, 0.2, 0.9], [0.5, 0.5, 0.5, 0.5]])
    np.testing.assert_allclose(combine(fitness, "mean"), [0.4, 0.5])
    np.testing.assert_allclose(combine(fitness, "median"), [0.4, 0.5])  # the upper of the two in the middle
    np.testing.assert_allclose(combine(fitness[:, :3], "median"), [0.2, 0.5])


def test_scores_are_mean_fitness_and_equal_programs_run_once():
    population = random_programs(300)
    plain, cached = scorer(num_train_examples=0, num_valid_examples=0), scorer()
    expected = plain.evaluator.evaluate(population).fitness.mean(axis=1)
    np.testing.assert_array_equal(plain.score(population), expected)
    np.testing.assert_allclose(cached.score(population), expected, atol=1e-6)
    counters = cached.counters
    assert counters.evaluations <= plain.counters.evaluations < 200
    assert counters.algebraic_hits + counters.equivalence_hits + counters.evaluations == 300
    steps = counters.train_steps
    np.testing.assert_allclose(cached.score(population), expected, atol=1e-6)
    assert counters.train_steps == steps  # the second time nothing runs


def test_without_caches_every_program_runs():
    population = random_programs(300)
    expected = scorer().score(population)
    for settings, fewest in (({"algebra": False}, 0), ({"algebra": False, "num_train_examples": 0}, 300)):
        alone = scorer(**settings)
        np.testing.assert_allclose(alone.score(population), expected, atol=1e-6)
        assert alone.counters.algebraic_hits == 0
        assert alone.counters.equivalence_hits + alone.counters.evaluations == 300
        assert alone.counters.evaluations >= fewest


@pytest.mark.slow
def test_predictions_are_compared_to_four_digits():
    texts = ["s1 = dot(v0, v0)", "s2 = {}\n s1 = dot(v0, v0)\n s1 = s1 * s2"]
    fingerprints = {}
    for kind, strategy in (("errors", "switch"), ("predictions", "switch"), ("predictions", "vmap")):
        evaluator = Evaluator(regression_tasks(num_tasks=2), memory=SPACE.memory, fingerprint=kind, strategy=strategy)
        programs = [texts[0], texts[1].format(1.0000005), texts[1].format(1.01)]
        population = Population.from_programs([Program.from_text(f"def Predict():\n {text}\n") for text in programs])
        fingerprints[kind, strategy] = evaluator.probe(population, 5, 5)[0].tolist()
    assert len(set(fingerprints["errors", "switch"])) == 3
    for strategy in ("switch", "vmap"):
        exact, close, far = fingerprints["predictions", strategy]
        assert exact == close != far


def test_early_stops_are_counted():
    texts = ["s1 = 0.5", "s2 = 1000.0\n s1 = s2 + s2"]
    population = Population.from_programs([Program.from_text(f"def Predict():\n {text}\n") for text in texts])
    judge = scorer()
    judge.score(population)
    assert (judge.counters.evaluations, judge.counters.early_stops) == (2, 1)


def test_costs_grow_with_what_runs():
    matrix, vector, scalar = (op_cost(op_named(f"{kind}_SUM"), 16) for kind in ("MATRIX", "VECTOR", "SCALAR"))
    assert scalar < vector < matrix / 5
    assert op_cost(op_named("MATRIX_MATRIX_PRODUCT"), 16) > 2 * 16**3
    assert op_cost(op_named("VECTOR_GAUSSIAN_SET"), 16) > op_cost(op_named("VECTOR_CONST_SET"), 16)
    texts = [
        "def Predict():\n s1 = dot(v0, v1)\n",
        "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n m0 = outer(v0, v0)\n",  # dead, and so free
        "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n v1 = v0 + v1\n",
        "def Setup():\n v1 = gaussian(0.0, 1.0, n_features)\ndef Predict():\n s1 = dot(v0, v1)\n",
    ]
    population = Population.from_programs([Program.from_text(text) for text in texts])
    plain, dead, learning, drawing = program_costs(population, SPACE.memory, 4, 100)
    assert plain == dead < drawing < learning
    longer = program_costs(population, SPACE.memory, 4, 200)
    assert longer[0] == 2 * plain and drawing < longer[3] < 2 * drawing


def test_programs_over_the_train_budget_do_not_run():
    population = random_programs(300)
    judge = scorer(num_train_examples=0)
    costs = program_costs(population, SPACE.memory, 4, 20)
    expected = judge.score(population)
    baseline = Population.from_programs([Program.from_text(LINEAR)])
    limit = 0.5 * program_costs(baseline, SPACE.memory, 4, 20)[0]
    assert 30 < (costs > limit).sum() < 270
    thrifty = Scorer(judge.evaluator, "mean", judge.equivalence, train_budget=TrainBudgetSettings("linear", 0.5))
    np.testing.assert_array_equal(thrifty.score(population), np.where(costs > limit, 0, expected))
    assert thrifty.counters.budget_stops > 0
    assert thrifty.counters.evaluations < judge.counters.evaluations
    for wrong, message in (
        ({"baseline": "perceptron"}, "train_budget_baseline='perceptron'"),
        ({"threshold_factor": 0}, "train_budget_threshold_factor=0"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainBudgetSettings(**wrong)


@pytest.mark.slow
def test_a_funnel_finds_what_all_tasks_find():
    tasks = regression_tasks(num_tasks=32)
    programs = list(random_programs(40))
    sizes = []

    def evaluator_of(some):
        sizes.append(some.num_tasks)
        return Evaluator(some, memory=SPACE.memory, ops=ALL_KINDS)

    fitness = evaluator_of(tasks).evaluate(programs).fitness.mean(axis=1)
    for rounds, expected in ((1, [32]), (2, [8, 32]), (3, [2, 8, 32])):
        sizes.clear()
        best, select_fitness = select(programs, tasks, rounds, evaluator_of)
        assert sizes == expected
        assert select_fitness == pytest.approx(fitness[best], abs=1e-9)
        assert best == fitness.argmax() or rounds > 1
        assert select_fitness >= np.sort(fitness)[-5]
    sizes.clear()
    assert select(programs[:1], tasks, 3, evaluator_of)[0] == 0 and sizes == [32]


def test_programs_below_the_hurdle_stop_early():
    population = random_programs(300)
    tasks = regression_tasks(num_train=20)
    plain = scorer(tasks, num_train_examples=0)
    expected = plain.score(population)
    hurdled = Scorer(plain.evaluator, "mean", plain.equivalence, HurdleSettings(percentile=75, train_share=0.25))
    np.testing.assert_array_equal(hurdled.score(population), expected)  # nothing is known of the population yet
    hurdled.move_hurdle(expected, 300, 999)
    assert hurdled.hurdle_fitness == 0
    hurdled.move_hurdle(expected, 999, 1000)
    assert hurdled.hurdle_fitness == np.percentile(np.unique(expected), 75)
    others = random_programs(300, seed=9)
    hurdled = Scorer(plain.evaluator, "mean", plain.equivalence, hurdled.hurdle)
    hurdled.move_hurdle(expected, 0, 1000)
    early = plain.evaluator.run(others, 5).fitness.mean(axis=1)
    full = plain.evaluator.run(others).fitness.mean(axis=1)
    found = hurdled.score(others)
    np.testing.assert_allclose(found, np.where(early < hurdled.hurdle_fitness, early, full), atol=1e-6)
    assert hurdled.counters.hurdle_stops > hurdled.counters.evaluations
    assert hurdled.counters.train_steps < plain.evaluator.run(others).train_steps.sum() / 2


@pytest.mark.parametrize("wrong", [{"percentile": 101}, {"train_share": 1}, {"train_share": 0}, {"move_every": 0}])
def test_wrong_hurdles_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"hurdle_{name}={value}: expected"):
        HurdleSettings(**wrong)


def test_train_steps_count_probes():
    tasks = regression_tasks(num_tasks=3, num_train=20)
    lone = Population.from_programs([Program.from_text("def Predict():\n s1 = dot(v0, v1)\n")])
    with_probe, without = scorer(tasks), scorer(tasks, num_train_examples=0)
    with_probe.score(lone)
    without.score(lone)
    assert without.counters.train_steps == 3 * 20
    assert with_probe.counters.train_steps == 3 * (20 + 10)


def test_programs_of_equal_behaviour_have_equal_fingerprints():
    texts = [
        "s1 = dot(v0, v0)",
        "v1 = v0 + v2\n s1 = dot(v1, v0)",
        "v1 = v0 + v0\n s1 = dot(v1, v0)",
        "s2 = 1.5\n s3 = s2 - s2\n s1 = dot(v0, v0)",
    ]
    population = Population.from_programs([Program.from_text(f"def Predict():\n {text}\n") for text in texts])
    evaluator = scorer().evaluator
    probe = evaluator.probe(population, 10, 10)
    assert probe.fingerprints[0] == probe.fingerprints[1] == probe.fingerprints[3] != probe.fingerprints[2]
    assert (probe.train_steps == 10).all() and np.isnan(probe.fitness).all()


@pytest.mark.slow
def test_what_a_probe_knows_is_not_run_again():
    population = random_programs(300)
    huge = Program.from_text("def Predict():\n s2 = 1000.0\n s1 = s2 + s2\n")
    evaluator = Evaluator(regression_tasks(), memory=SPACE.memory, max_abs_error=2.0)
    in_full = evaluator.run(population).fitness
    some, everything = evaluator.probe(population, 10, 5).fitness, evaluator.probe(population, 20, 10).fitness
    known = ~np.isnan(some)
    assert known.any(axis=1).sum() > 20 and not known.all()
    np.testing.assert_array_equal(some[known], in_full[known])
    np.testing.assert_array_equal(everything, in_full)
    judge = Scorer(evaluator, "mean", EquivalenceSettings(algebra=False))
    assert judge.score(Population.from_programs([huge])) == 0
    assert judge.counters.train_steps == evaluator.tasks.num_tasks  # one example of each task, once


def test_probes_must_fit_the_tasks():
    with pytest.raises(ValueError, match="fec_num_train_examples=30: expected at most 20"):
        scorer(num_train_examples=30)
