"""Programs that are equal by algebra, against the ops themselves and against runs."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated import classification_tasks, edited, random_population, regression_tasks, special_population

import azero_jax as az
from azero_jax import Evaluator, MemorySize, Population, Program, Tasks, lane_forms, ops
from azero_jax.equivalence import Known, algebraic_keys, structural_keys
from azero_jax.evolution import EvolutionSettings
from azero_jax.execution import precision
from azero_jax.mutation import SearchSpace
from azero_jax.ops import Law, Rule, Sees
from azero_jax.scoring import EquivalenceSettings, HurdleSettings
from azero_jax.search import EvaluationSettings, Search, SearchSettings

MEMORY = MemorySize(6, 5, 4)
# As many examples as keys follow.
TASKS = regression_tasks(num_train=5, num_valid=3)
CLASSES = classification_tasks(num_train=5, num_valid=3)
EVERY_OP = tuple(op.name for op in ops.table())
ZERO = "s1 = s4 + s4"  # nothing writes s4
FEATURES_SIZE = 4


def keys(programs, tasks=TASKS, max_abs_error=100.0, dtype="float32", **settings):
    population = programs if isinstance(programs, Population) else Population.from_programs(programs)
    known = Known.of(tasks, max_abs_error=max_abs_error, dtype=dtype)
    return algebraic_keys(population, MEMORY, known, **settings)


def same(one, other, **settings):
    first, second = keys([Program.from_text(text) for text in (one, other)], **settings)
    return first == second


# What the op table says of each op, tried on numbers, by the forms that the machine uses.

DTYPES = ["float32", pytest.param("float64", marks=pytest.mark.slow)]
WITH_FUNCTION = [op for op in ops.table()[: ops.NUM_BUILT_IN_OPS] if op.function is not None]
LANES = 128


@functools.cache
def machine_form(op, dtype):
    return jax.jit(lambda *inputs: lane_forms.apply(op, list(inputs), FEATURES_SIZE))


def apply(op, inputs, dtype):
    with precision(dtype):
        return np.asarray(machine_form(op, dtype)(*(x.astype(dtype) for x in inputs)))


def edge_cases(dtype):
    """Finite numbers from the ends of the range, and around where functions change; then those that are not finite."""
    about = np.finfo(dtype)
    finite = [
        0.0,
        1.0,
        0.5,
        2.0,
        3.0,
        1.5707963,
        1e-5,
        100.0,
        float(about.tiny),
        float(about.max),
        float(about.max) / 3,
    ]
    finite += [float(np.sqrt(about.max)) * 1.01, np.log(float(about.max)) * 1.01]
    finite += [0.0] * 3
    return np.array([*finite, *(-x for x in finite)]), np.array([np.inf, -np.inf, np.nan])


def operands(op, rng, numbers):
    return [rng.choice(numbers, (*ops.output_shape(kind, FEATURES_SIZE), LANES)) for kind in op.inputs]


def equal(x, y, signs=True):
    """Whether all bits are, if one NaN is as good as another and, if asked, +0 as good as -0."""
    zeros = np.signbit(x) == np.signbit(y) if signs else True
    return bool(np.all((x == y) & ((x != 0) | zeros) | np.isnan(x) & np.isnan(y)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", WITH_FUNCTION, ids=lambda op: op.name)
def test_ops_obey_their_laws_and_no_others(op, dtype):
    """Every law of every op holds if and only if the table says so, with the sign of zero or without it."""
    rng = np.random.default_rng(op.id)
    finite, others = edge_cases(dtype)
    everything = np.concatenate([finite, others])
    run = lambda *inputs: apply(op, inputs, dtype)
    exact, but_for_sign = dict.fromkeys(Law, True), dict.fromkeys(Law, True)

    def tried(law, got, expected):
        if got.shape != np.shape(expected) and np.shape(expected):
            exact[law] = but_for_sign[law] = False
        else:
            exact[law] &= equal(got, expected)
            but_for_sign[law] &= equal(got, expected, signs=False)

    for numbers in (finite, everything):
        for _ in range(4):
            a, *rest = operands(op, rng, numbers)
            if not rest:
                tried(Law.ZERO_IF_FIRST_ZERO, run(np.zeros_like(a)), 0.0)
                continue
            b = rest[0]
            zero_a, zero_b = np.zeros_like(a), np.zeros_like(b)
            tried(Law.FIRST_IF_SECOND_ZERO, run(a, zero_b), a.astype(dtype))
            tried(Law.SECOND_IF_FIRST_ZERO, run(zero_a, b), b.astype(dtype))
            if a.shape == b.shape:
                tried(Law.COMMUTATIVE, run(a, b), run(b, a))
                tried(Law.FIRST_IF_EQUAL, run(a, a), a.astype(dtype))
            if numbers is finite:
                tried(Law.ZERO_IF_FIRST_ZERO, run(zero_a, b), 0.0)
                tried(Law.ZERO_IF_SECOND_ZERO, run(a, zero_b), 0.0)
                if a.shape == b.shape:
                    tried(Law.COMMUTATIVE_IF_FINITE, run(a, b), run(b, a))
                    tried(Law.ZERO_IF_EQUAL, run(a, a), 0.0)
    binary, alike = len(op.inputs) == 2, len(set(op.inputs)) == 1
    need_alike = {Law.COMMUTATIVE, Law.COMMUTATIVE_IF_FINITE, Law.FIRST_IF_EQUAL, Law.ZERO_IF_EQUAL}
    possible = set(Law) - {Law.ZERO} - (set() if alike else need_alike) if binary else {Law.ZERO_IF_FIRST_ZERO}
    assert {law for law in possible if exact[law]} - implied(op.laws.exact) == set(op.laws.exact)
    inexact = {law for law in possible if but_for_sign[law] and not exact[law]}
    assert inexact - implied(op.laws.exact | op.laws.but_for_sign) == set(op.laws.but_for_sign)


def implied(laws):
    return {Law.COMMUTATIVE_IF_FINITE} if Law.COMMUTATIVE in laws else set()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", WITH_FUNCTION, ids=lambda op: op.name)
def test_ops_see_what_the_table_says(op, dtype):
    """Whether the sign of zero shows, or numbers that arithmetic takes for zero do."""
    rng = np.random.default_rng(op.id)
    numbers = np.concatenate(edge_cases(dtype))
    smallest = float(np.finfo(dtype).tiny)
    seen = {"sign": False, "denormal": False}
    for _ in range(4):
        inputs = operands(op, rng, numbers)
        zeros = [rng.random(x.shape) < 0.4 for x in inputs]

        def with_zeros(zero, inputs=inputs, zeros=zeros):
            return [np.where(mask, zero(x), x) for mask, x in zip(zeros, inputs)]

        result = apply(op, with_zeros(np.zeros_like), dtype)
        for name, zero in (
            ("sign", lambda x: np.where(rng.random(x.shape) < 0.5, -0.0, 0.0)),
            ("denormal", lambda x: np.full_like(x, smallest / 4)),
        ):
            other = apply(op, with_zeros(zero), dtype)
            seen[name] |= not equal(*(np.where(np.abs(x) < smallest, 0, x) for x in (result, other)))
    assert seen == {"sign": op.sees == Sees.SIGN_OF_ZERO, "denormal": False}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", WITH_FUNCTION, ids=lambda op: op.name)
def test_results_are_as_small_as_the_table_says(op, dtype):
    """Tried where results are just below the largest numbers, at the ends of the operands' ranges."""
    rule, more, sums, squares = op.magnitude
    if rule == Rule.UNKNOWN:
        inputs = operands(op, np.random.default_rng(0), edge_cases(dtype)[0])
        results = [apply(op, inputs, dtype)]
        if "ST_DEV" in op.name:  # numbers that are almost equal
            results.append(apply(op, [1000 + np.random.default_rng(0).random(x.shape) / 100 for x in inputs], dtype))
        if op.name != "SCALAR_TAN":  # which is very large, and would be infinite with a coarser pi
            assert not all(np.isfinite(result).all() for result in results)
        return
    rng = np.random.default_rng(op.id)
    largest = np.finfo(dtype).maxexp - 1
    more += 2 * sums  # log2(F)
    room = largest - more
    cases = {
        Rule.LARGEST: [(room // (2 if squares else 1),) * 2, (3, 0), (0, 0)],
        Rule.PRODUCT: [(room - 20, 20), (1, room - 1), (2, 3), (0, 0)],
        Rule.EXPONENTIAL: [(int(np.log2(room / 1.5)), 0), (1, 0), (0, 0)],
        Rule.BOUNDED: [(largest, largest), (9, 0), (0, 0)],
        Rule.ALWAYS_BOUNDED: [(largest, largest)],
    }[rule]
    for exponents in cases:
        inputs = []
        for kind, e in zip(op.inputs, exponents):
            x = rng.uniform(-1, 1, (*ops.output_shape(kind, FEATURES_SIZE), LANES))
            x[..., : LANES // 2] = np.sign(x[..., : LANES // 2])
            x[..., : LANES // 4] = 1
            inputs.append(np.ldexp(x, e))
        e = {
            Rule.LARGEST: max(exponents[: len(inputs)]) + more,
            Rule.PRODUCT: sum(exponents) + more,
            Rule.EXPONENTIAL: 1.5 * 2 ** exponents[0],
        }.get(rule, more)
        assert np.max(np.abs(apply(op, inputs, dtype))) <= 2.0**e
    if rule == Rule.ALWAYS_BOUNDED:
        assert np.max(np.abs(apply(op, operands(op, rng, np.concatenate(edge_cases(dtype))), dtype))) <= 2.0**more


# Which programs have one key.


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("s1 = s0 + s1", "s1 = s1 + s0", True),
        ("s2 = dot(v0, v1)\n s1 = s2 + s1", "s1 = s1 + s4", True),  # nothing writes v1: dot(v0, v1) is 0
        ("s2 = norm(v0)\n s3 = s2 - s2\n s1 = s3 + s2", "s1 = norm(v0)", True),
        ("s2 = 0.0\n s1 = norm(v0)\n s1 = s1 * s2", ZERO, True),
        ("s2 = norm(v0)\n s3 = mean(v0)\n s1 = s2 - s3", "s4 = mean(v0)\n s2 = norm(v0)\n s1 = s2 - s4", True),
        ("s2 = norm(v0)\n s3 = mean(v0)\n s1 = s2 - s3", "s4 = mean(v0)\n s2 = norm(v0)\n s1 = s4 - s2", False),
        ("s2 = 1 / s3\n s1 = s2 * s4", ZERO, False),  # inf * 0 is not 0
        ("s1 = s3 / s4", ZERO, False),  # 0 / 0 is not 0
        ("s1 = s4 / s0", ZERO, False),  # s0 may be 0, too
        ("s2 = norm(v0)\n s2 = log(s2)\n s1 = s2 * s3", ZERO, False),
        ("s2 = log(s3)\n s2 = s2 - s2\n s1 = s2 + s2", ZERO, False),
        ("s2 = 0.5\n s1 = s1 + s2", "s2 = 0.25\n s1 = s1 + s2", False),
        ("s1 = cos(s2)", ZERO, False),
        ("v1[0.1] = 2\n s1 = norm(v1)", "v1[0.9] = 2\n s1 = norm(v1)", False),
        ("v1 = bcast(s1)\n v1[0.1] = 2\n s1 = norm(v1)", "v1[0.1] = 2\n s1 = norm(v1)", False),
        ("s2 = gaussian(0, 1)\n s1 = s1 + s2", "s3 = gaussian(0, 1)\n s1 = s1 + s3", False),  # other draws
        ("s2 = gaussian(0, 1)\n s1 = s2 * s4", ZERO, True),
        ("s2 = gaussian(0, 1)\n s1 = s2 - s2", ZERO, True),
        ("s1 = uniform(0, 1)\n s2 = uniform(0, 1)\n s1 = s1 - s2", ZERO, False),
    ],
)
def test_laws_decide_which_predictions_are_one(one, other, expected):
    assert same(f"def Predict():\n {one}\n", f"def Predict():\n {other}\n") == expected


def test_what_learn_does_shows_in_later_predictions():
    learns = "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n {}\n"
    does = "s2 = s0 - s1\n v2 = s2 * v0\n v1 = v1 + v2"
    assert not same(learns.format(does), learns.format("s2 = s0 + s1"))
    assert same(learns.format("s2 = s0 + s1"), learns.format("v2 = v0 * v0"))
    swapped = "s3 = s0 - s1\n v3 = s3 * v0\n v1 = v3 + v1"
    assert same(learns.format(does), learns.format(swapped))


def test_learn_sees_the_sigmoid_only_in_accuracy_tasks():
    keeps = "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n v2 = s1 * v0\n v1 = v1 + v2\n"
    again = "def Predict():\n s1 = dot(v0, v1)\ndef Learn():\n s2 = dot(v0, v1)\n v2 = s2 * v0\n v1 = v1 + v2\n"
    nonzero = "def Setup():\n v1[0.1] = 1\n"
    assert same(nonzero + keeps, nonzero + again)
    assert not same(nonzero + keeps, nonzero + again, tasks=CLASSES)


S3_IS_NAN = "s2 = -1.0\n s3 = log(s2)\n "
ONE = "s2 = 1.0\n "


@pytest.mark.parametrize(
    ("one", "other", "known"),
    [
        # No number: whichever is compared first.
        (S3_IS_NAN + "s1 = minimum(s3, s4)", S3_IS_NAN + "s1 = minimum(s4, s3)", {}),
        (S3_IS_NAN + "v1 = bcast(s3)\n v2 = maximum(v1, v0)\n s1 = mean(v2)",
         S3_IS_NAN + "v1 = bcast(s3)\n v2 = maximum(v0, v1)\n s1 = mean(v2)", {}),
        # inf - inf, 0 * inf.
        ("s2 = 1 / s4\n s1 = s2 - s2", ZERO, {}),
        ("s2 = 200.0\n s2 = exp(s2)\n s1 = s2 * s4", ZERO, {}),
        ("s2 = 1e39\n s1 = s2 * s4", ZERO, {}),
        ("s2 = 1e39\n s1 = s2 - s2", ZERO, {}),
        ("s2 = 1e25\n s2 = s2 * s2\n s1 = s2 - s2", ZERO, {}),
        ("s2 = 1e25\n v1 = bcast(s2)\n s2 = norm(v1)\n s1 = s2 - s2", ZERO, {}),  # in its squares
        ("s2 = 2e38\n v1 = bcast(s2)\n s2 = mean(v1)\n s1 = s2 - s2", ZERO, {}),  # in its sum
        ("s2 = 2e38\n v1 = bcast(s2)\n v2 = v1 + v1\n s1 = dot(v2, v3)", ZERO, {}),
        ("s2 = uniform(-3e38, 3e38)\n s1 = s2 - s2", ZERO, {}),
        ("s2 = gaussian(0.0, 2e38)\n s1 = s2 - s2", ZERO, {}),
        ("v1 = v0 - v0\n s1 = mean(v1)", ZERO, {"tasks": "large"}),  # features of 1e39
        ("s2 = norm(v0)\n s1 = s2 - s2", ZERO, {"tasks": "middling"}),  # features of 1e25
        # The sign of zero, which 1 / s shows.
        ("s2 = -1.0\n s2 = s2 * s4\n s1 = 1 / s2", "s1 = 1 / s4", {}),
        ("s2 = -0.0\n s2 = s2 + s4\n s2 = 1 / s2\n s1 = heaviside(s2, 1.0)",
         "s2 = -0.0\n s2 = 1 / s2\n s1 = heaviside(s2, 1.0)", {}),
        ("s2 = -0.0\n s3 = maximum(s2, s4)\n s3 = 1 / s3\n s1 = arctan(s3)",
         "s2 = -0.0\n s3 = maximum(s4, s2)\n s3 = 1 / s3\n s1 = arctan(s3)", {}),
    ],
)  # fmt: skip
def test_laws_are_used_where_they_hold_only(one, other, known):
    x = np.full((1, 2, 4), {"large": 1e39, "middling": 1e25}.get(known.get("tasks"), 1.0))
    tasks = Tasks(x, np.zeros((1, 2)), x, np.zeros((1, 2))) if known else TASKS
    one, other = f"def Predict():\n {one}\n", f"def Predict():\n {other}\n"
    assert not same(one, other, tasks=tasks)
    if "e25" in one or "2e38" in one:
        assert same(one, other, tasks=tasks, dtype="float64")


def test_what_has_passed_the_check_of_its_error_is_finite():
    reads = "def Predict():\n s1 = 1 / s3\ndef Learn():\n s4 = s1 - s1\n s3 = s3 + s4\n s3 = s3 + s0\n"
    without = "def Predict():\n s1 = 1 / s3\ndef Learn():\n s3 = s3 + s0\n"
    assert not same(reads, without)  # s3 + 0 may change the sign of zero, which 1 / s3 shows
    reads, without = (text.replace("1 / s3", "log(s3)") for text in (reads, without))
    assert same(reads, without)
    assert not same(reads, without, max_abs_error=np.inf)
    assert same(reads, without, tasks=CLASSES, max_abs_error=np.inf)  # a probability


def test_draws_are_told_apart_as_the_machine_does():
    one = "def Predict():\n s2 = uniform(0.0, 1.0)\n s1 = s2 + s1\n"
    first = one.replace("Predict():\n", "Predict():\n s2 = uniform(0.0, 1.0)\n s3 = s2 * s4\n s1 = s1 + s3\n")
    assert not same(one, first)  # the second draw of s2, after one that is multiplied by 0
    dead = one.replace("Predict():\n", "Predict():\n s2 = uniform(0.0, 1.0)\n")
    assert same(one, dead)
    other = one.replace("Predict():\n", "Predict():\n s3 = uniform(0.0, 1.0)\n s3 = s3 * s4\n s1 = s1 + s3\n")
    assert same(one, other)  # the first draw of s2 in both
    fitness = evaluator_of(TASKS).evaluate([Program.from_text(text) for text in (one, first, dead, other)])
    assert fitness.fitness[0, 0] != fitness.fitness[1, 0]
    np.testing.assert_array_equal(fitness.fitness[[0, 0]], fitness.fitness[2:])


def test_nothing_is_known_of_registered_ops(restore_table):
    az.register_op("lg", "s", "s", jnp.log)
    az.register_op("mine", "ss", "s", jnp.copysign)
    for one, other in (
        ("s2 = -1.0\n s2 = lg(s2)\n s1 = s2 * s4", ZERO),
        ("s2 = lg(s4)\n s1 = s2 - s2", ZERO),
        ("s2 = norm(v0)\n s3 = mean(v0)\n s1 = mine(s2, s3)", "s2 = norm(v0)\n s3 = mean(v0)\n s1 = mine(s3, s2)"),
        ("s2 = -1.0\n s2 = s2 * s4\n s3 = norm(v0)\n s1 = mine(s3, s2)", "s3 = norm(v0)\n s1 = mine(s3, s4)"),
        ("s2 = log(s4)\n s3 = s2 - s2\n s3 = s3 + s2\n s1 = mine(s3, s3)",
         "s2 = log(s4)\n s3 = s2 - s2\n s3 = s2 + s3\n s1 = mine(s3, s3)"),
        ("s2 = log(s4)\n s3 = s2 - s4\n s1 = mine(s3, s3)", "s2 = log(s4)\n s1 = mine(s2, s2)"),
    ):  # fmt: skip
        assert not same(f"def Predict():\n {one}\n", f"def Predict():\n {other}\n")
    one, other = (f"def Predict():\n s2 = norm(v0)\n s3 = mean(v0)\n s2 = {text}\n s1 = lg(s2)\n"
                  for text in ("s2 + s3", "s3 + s2"))  # fmt: skip
    assert same(one, other)


def evaluator_of(tasks, dtype="float32"):
    return Evaluator(tasks, memory=MEMORY, dtype=dtype, deduplicate=False, ops=EVERY_OP)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [TASKS, pytest.param(CLASSES, marks=pytest.mark.slow)], ids=lambda tasks: tasks.loss)
def test_equal_keys_mean_equal_bits(tasks, dtype):
    """Programs with special numbers in them, beside the same with operands changed or lines replaced."""
    found = 0
    for seed in range(2):
        population = special_population(3000, memory=MEMORY, lengths=(3, 4, 3), seed=seed)
        other = edited(population, seed, memory=MEMORY)
        alike = np.flatnonzero(keys(population, tasks, dtype=dtype) == keys(other, tasks, dtype=dtype))
        alike = alike[(structural_keys(population, MEMORY) != structural_keys(other, MEMORY))[alike]]
        one, two = (
            evaluator_of(tasks, dtype).evaluate(programs.take(alike)).fitness for programs in (population, other)
        )
        np.testing.assert_array_equal(one, two)
        found += np.sum(one.any(axis=1))
    assert found > 100  # that do not just fail


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [TASKS, CLASSES], ids=lambda tasks: tasks.loss)
def test_equal_keys_mean_equal_behaviour(tasks, dtype):
    for population in (
        random_population(4000, memory=MEMORY, lengths=(2, 3, 2), seed=21),
        special_population(4000, memory=MEMORY, lengths=(2, 3, 2), seed=22),
    ):
        found, first, inverse = np.unique(keys(population, tasks, dtype=dtype), return_index=True, return_inverse=True)
        structural = np.unique(structural_keys(population, MEMORY))
        assert len(found) < 0.95 * len(structural)
        fitness = evaluator_of(tasks, dtype).evaluate(population).fitness
        np.testing.assert_array_equal(fitness, fitness[first][inverse])


def search_settings(equivalence=None, hurdle=None, dtype="float32", **evolution):
    evolution = {"population_size": 100, "child_batch_size": 50, "initial_population": "random"} | evolution
    return SearchSettings(
        space=SearchSpace(MEMORY, EVERY_OP, EVERY_OP, EVERY_OP, (3, 4, 4), (2, 2, 2), (5, 6, 6)),
        evolution=EvolutionSettings(**evolution),
        evaluation=EvaluationSettings(dtype=dtype),
        equivalence=EquivalenceSettings(**({"num_train_examples": 0, "num_valid_examples": 0} | (equivalence or {}))),
        hurdle=HurdleSettings(**(hurdle or {})),
        hall_of_fame_size=10,
    )


PROBE = {"num_train_examples": 3, "num_valid_examples": 2}
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("tasks", "settings", "steps"),
    [
        (TASKS, search_settings(), 60),
        (
            TASKS,
            search_settings(
                {"cache_size": 50, "forget_every": 3},
                {"percentile": 40, "move_every": 200, "train_share": 0.5},
                restart_stagnant_individuals=500,
            ),
            60,
        ),
        SLOW(TASKS, search_settings({"algebra": False}), 500),
        SLOW(TASKS, search_settings(dtype="float64"), 1000),
        SLOW(CLASSES, search_settings({"forget_every": 0}), 1000),
        SLOW(CLASSES, search_settings(hurdle={"percentile": 75, "move_every": 100}, dtype="float64"), 1000),
        SLOW(TASKS, search_settings(PROBE), 1000),
        SLOW(TASKS, search_settings({"num_train_examples": 5, "num_valid_examples": 3, "forget_every": 0}), 1000),
        SLOW(TASKS, search_settings(PROBE | {"fingerprint": "predictions"}, restart_stagnant_individuals=900), 1000),
    ],
)
def test_a_search_stores_what_a_fresh_evaluation_gives(tasks, settings, steps):
    """Of two islands that exchange programs, all members and halls of fame; of the hurdle, what it said then."""
    islands = [Search(tasks, settings, seed=seed) for seed in (1, 2)]
    for step in range(steps):
        for island in islands:
            island.step()
        if step % 10 == 9:
            (places, first), (other_places, second) = (island.emigrants(10) for island in islands)
            islands[0].immigrate(places, second)
            islands[1].immigrate(other_places, first)
    evaluator = evaluator_of(tasks, settings.evaluation.dtype)
    until_hurdle = max(1, int(tasks.num_train_examples * settings.hurdle.train_share))
    for island in islands:
        hall = Population.from_programs(island.hall_of_fame.programs)
        for programs, stored in ((island.state.population, island.state.fitness), (hall, island.hall_of_fame.fitness)):
            fresh = evaluator.evaluate(programs).fitness.mean(axis=1)
            early = evaluator.run(programs, until_hurdle).fitness.mean(axis=1)
            # Fingerprints of predictions take those for equal that are to four digits.
            tolerance = 1e-3 if settings.equivalence.fingerprint == "predictions" else 0
            expected = np.abs(fresh - stored) <= tolerance
            if settings.hurdle.percentile:
                expected |= early == stored
            np.testing.assert_array_equal(expected, True)
        assert island.scorer.counters.algebraic_hits or not settings.equivalence.algebra
        assert bool(island.scorer.counters.hurdle_stops) == bool(settings.hurdle.percentile)


def test_structure_that_is_one_has_one_key():
    population = random_population(3000, memory=MEMORY, lengths=(2, 2, 2), seed=13)
    pairs = np.stack([structural_keys(population, MEMORY), keys(population)], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(np.unique(pairs[:, 0])) > len(np.unique(pairs[:, 1]))


def test_keys_do_not_depend_on_company_or_threads():
    population = random_population(700, memory=MEMORY, seed=5)
    expected = keys(population)
    np.testing.assert_array_equal(keys(population, num_threads=1), expected)
    for index in (0, 255, 256, 699):
        assert keys(population.take(np.array([index])))[0] == expected[index]
