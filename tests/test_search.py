"""Mutation, caches, scoring and regularized evolution."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from generated import regression_tasks

from azero_jax import Evaluator, MemorySize, Population, Program
from azero_jax.costs import op_cost, program_costs
from azero_jax.evolution import EvolutionSettings, start, step
from azero_jax.fec import FitnessCache
from azero_jax.initial_programs import LINEAR, initial_population
from azero_jax.mutation import MUTATION_TYPES, Mutator, SearchSpace
from azero_jax.ops import op_named
from azero_jax.scoring import EquivalenceSettings, HurdleSettings, Scorer, TrainBudgetSettings, combine
from azero_jax.selection import select

OPS = (
    "SCALAR_CONST_SET",
    "VECTOR_INNER_PRODUCT",
    "SCALAR_DIFF",
    "SCALAR_PRODUCT",
    "SCALAR_VECTOR_PRODUCT",
    "VECTOR_SUM",
)
ALL_KINDS = (
    *OPS,
    "VECTOR_CONST_SET",
    "MATRIX_CONST_SET",
    "VECTOR_UNIFORM_SET",
    "MATRIX_GAUSSIAN_SET",
    "MATRIX_VECTOR_PRODUCT",
)
SPACE = SearchSpace(MemorySize(4, 3, 2), ALL_KINDS, OPS, ALL_KINDS, (3, 2, 4), (1, 1, 2), (6, 4, 8))


def random_programs(size=400, space=SPACE, seed=0):
    return initial_population("random", size, space, np.random.default_rng(seed))


def changed_lines(before, after):
    return (before.code != after.code).any(axis=2) | (before.constants != after.constants).any(axis=2)


def mutate(name, space=SPACE, size=400):
    before = random_programs(size, space)
    after = before.take(np.arange(size))
    Mutator.of(space, (name,)).mutate(after, np.arange(size), np.random.default_rng(1))
    after.check_addresses(space.memory)
    assert not after.code[~after.occupied()].any() and not after.constants[~after.occupied()].any()
    return before, after


def test_random_programs_stay_in_their_space():
    population = random_programs(1000)
    population.check_addresses(SPACE.memory)
    for program in population:
        assert program.lengths == SPACE.initial_sizes
        for function, names in zip(("Setup", "Predict", "Learn"), SPACE.op_names):
            assert {instruction.op.name for instruction in program.instructions(function)} <= set(names)
    # Every op, and every address that may be written, is used about equally often.
    setup = population.code[:, :3, 0].ravel()
    counts = np.unique(setup, return_counts=True)[1]
    assert len(counts) == len(ALL_KINDS)
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()


def test_alter_parameter_changes_one_operand_or_constant():
    before, after = mutate("alter_parameter")
    assert (changed_lines(before, after).sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(before.code[..., 0], after.code[..., 0])
    differences = (before.code != after.code).sum(axis=(1, 2)) + (before.constants != after.constants).sum(axis=(1, 2))
    assert 0.5 < (differences > 0).mean() <= 1
    assert (differences <= 2).all()  # two when the bounds of a uniform distribution are put in order


def test_constants_mutate_as_in_the_release():
    space = dataclasses.replace(SPACE, setup_ops=("SCALAR_CONST_SET",), predict_ops=(), learn_ops=())
    before, after = mutate("alter_parameter", space, size=4000)
    old, new = before.constants[:, :3, 0], after.constants[:, :3, 0]
    ratio = new[old != new] / old[old != new]
    flipped = ratio < 0
    np.testing.assert_allclose(ratio[flipped], -1)
    assert flipped.mean() == pytest.approx(0.1, abs=0.03)
    logarithm = np.log(ratio[~flipped])
    assert logarithm.mean() == pytest.approx(0, abs=0.1) and logarithm.std() == pytest.approx(1, abs=0.1)


def test_constants_mutate_as_in_the_paper():
    space = dataclasses.replace(
        SPACE, setup_ops=("SCALAR_CONST_SET", "VECTOR_GAUSSIAN_SET"), predict_ops=(), learn_ops=()
    )
    before = random_programs(4000, space)
    after = before.take(np.arange(4000))
    Mutator.of(space, ("alter_parameter",), "paper").mutate(after, np.arange(4000), np.random.default_rng(1))
    old, new = before.constants[:, :3, 0], after.constants[:, :3, 0]  # constants and means
    ratio = new[old != new] / old[old != new]
    assert (ratio < 0).mean() == pytest.approx(0.1, abs=0.02)
    assert 0.5 <= np.abs(ratio).min() < 0.55 and 1.95 < np.abs(ratio).max() < 2
    assert np.abs(ratio).mean() == pytest.approx(1.25, abs=0.05)
    gaussian = before.code[:, :3, 0] == op_named("VECTOR_GAUSSIAN_SET").id
    assert (after.constants[:, :3][gaussian][:, 1] >= 0).all()  # standard deviations keep their sign


def test_randomize_instruction_changes_one_line():
    before, after = mutate("randomize_instruction")
    assert (changed_lines(before, after).sum(axis=1) <= 1).all()
    assert (before.code[..., 0] != after.code[..., 0]).any()


def test_randomize_component_function_changes_one_function():
    before, after = mutate("randomize_component_function")
    changed = changed_lines(before, after)
    functions = np.stack([changed[:, before.functions == f].any(axis=1) for f in range(3)], axis=1)
    assert (functions.sum(axis=1) == 1).mean() > 0.95
    np.testing.assert_array_equal(before.lengths, after.lengths)
    assert functions.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.1)


def test_identity_changes_nothing():
    assert not changed_lines(*mutate("identity")).any()


@pytest.mark.parametrize(("name", "added"), [("insert_instruction", 1), ("remove_instruction", -1)])
def test_insertion_and_removal(name, added):
    before, after = mutate(name)
    assert ((after.lengths - before.lengths).sum(axis=1) == added).all()
    for old, new in zip(before, after):
        longer, shorter = (new, old) if added > 0 else (old, new)
        for function in ("Setup", "Predict", "Learn"):
            long, short = longer.instructions(function), shorter.instructions(function)
            if len(long) != len(short):
                assert any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
            else:
                assert long == short


def test_sizes_stay_within_their_limits():
    population = random_programs(100)
    rng = np.random.default_rng(0)
    for name, limit in (("insert_instruction", SPACE.max_sizes), ("remove_instruction", SPACE.min_sizes)):
        mutator = Mutator.of(SPACE, (name,))
        for _ in range(100):
            mutator.mutate(population, np.arange(100), rng)
        assert (population.lengths == limit).all()
        population.check_addresses(SPACE.memory)


def test_trade_keeps_sizes():
    before, after = mutate("trade_instruction")
    np.testing.assert_array_equal(before.lengths, after.lengths)
    assert changed_lines(before, after).any(axis=1).mean() > 0.9


def test_randomize_algorithm_changes_everything():
    assert changed_lines(*mutate("randomize_algorithm"))[:, :3].mean() > 0.8


def test_functions_without_ops_are_frozen():
    space = dataclasses.replace(SPACE, predict_ops=(), setup_ops=())
    for name in MUTATION_TYPES:
        before, after = mutate(name, space)
        assert not changed_lines(before, after)[:, : before.starts[2]].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setup_ops": ("SCALAR_SUMM",)}, "unknown op 'SCALAR_SUMM': did you mean SCALAR_SUM"),
        ({"memory": MemorySize(4, 3, 0)}, "MATRIX_CONST_SET needs at least 1 matrix addresses, the memory has 0"),
        ({"memory": MemorySize(4, 1, 2)}, "needs at least 2 vector addresses, the memory has 1"),
        ({"initial_sizes": (9, 2, 4)}, "setup sizes: expected 0 <= min <= initial <= max, got min=1, initial=9, max=6"),
    ],
)
def test_search_space_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPACE, **changes)


def test_mutator_errors():
    with pytest.raises(ValueError, match="mutation types 'crossover': expected some of alter_parameter"):
        Mutator.of(SPACE, ("crossover",))
    with pytest.raises(ValueError, match="nothing can be mutated"):
        Mutator.of(dataclasses.replace(SPACE, setup_ops=(), predict_ops=(), learn_ops=()), ("identity",))


def test_initial_programs(tmp_path):
    rng = np.random.default_rng(0)
    linear = initial_population("linear", 3, SPACE, rng)[2]
    assert linear.to_text().startswith("def Setup():\n  s2 = 0.01\n  NoOp()\n  NoOp()\n")
    assert initial_population("no_op", 2, SPACE, rng)[0].to_text().count("NoOp()") == sum(SPACE.initial_sizes)
    roomy = dataclasses.replace(SPACE, memory=MemorySize(5, 9, 2), max_sizes=(6, 5, 11))
    whole, damaged = (initial_population(name, 1, roomy, rng)[0] for name in ("neural_net", "damaged_neural_net"))
    assert whole.to_text().count("gaussian") == 2 and damaged.to_text().count("gaussian") == 0
    assert whole.lengths == (3, 5, 11) and damaged.instructions("Learn") == whole.instructions("Learn")
    learning = dataclasses.replace(SPACE, setup_ops=(), predict_ops=())
    some = initial_population("random:linear", 50, learning, rng)
    assert len({program.instructions("Learn") for program in some}) > 40
    assert {program.instructions("Setup") + program.instructions("Predict") for program in some} == {
        linear.instructions("Setup") + linear.instructions("Predict")
    }
    path = tmp_path / "program.txt"
    path.write_text(linear.to_text())
    assert initial_population(str(path), 1, SPACE, rng)[0] == linear
    path.write_text("def Predict():\n s9 = s1 + s1\n")
    with pytest.raises(ValueError, match=r"program.txt: line 2: 's9 = s1 \+ s1'"):
        initial_population(str(path), 1, SPACE, rng)
    path.write_text("def Predict():\n" + " NoOp()\n" * 5)
    with pytest.raises(ValueError, match="Predict has 5 instructions, the search space allows 4"):
        initial_population(str(path), 1, SPACE, rng)
    with pytest.raises(OSError):
        initial_population(str(tmp_path / "missing.txt"), 1, SPACE, rng)


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


def scorer(tasks=None, **equivalence):
    evaluator = Evaluator(tasks or regression_tasks(), memory=SPACE.memory)
    return Scorer(evaluator, "mean", EquivalenceSettings(**equivalence))


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


def test_a_funnel_finds_what_all_tasks_find():
    tasks = regression_tasks(num_tasks=32)
    programs = list(random_programs(40))
    sizes = []

    def evaluator_of(some):
        sizes.append(some.num_tasks)
        return Evaluator(some, memory=SPACE.memory)

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
    with pytest.raises(ValueError, match="fec num_train_examples=30: expected 0 to 20"):
        scorer(num_train_examples=30)


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
