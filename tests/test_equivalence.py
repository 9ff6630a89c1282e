"""Programs that are equal by algebra, against the ops themselves and against runs."""

from __future__ import annotations

import numpy as np
import pytest
from generated import classification_tasks, random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Population, Program, ops
from azero_jax.equivalence import algebraic_keys, structural_keys
from azero_jax.ops import Law

MEMORY = MemorySize(6, 5, 4)
ZERO = "s1 = s4 + s4"  # nothing writes s4


def keys(programs, accuracy=False):
    population = programs if isinstance(programs, Population) else Population.from_programs(programs)
    return algebraic_keys(population, MEMORY, accuracy=accuracy)


def same(one, other, **settings):
    first, second = keys([Program.from_text(text) for text in (one, other)], **settings)
    return first == second


def values(op, rng):
    return [rng.standard_normal(ops.output_shape(kind, 4)).astype(np.float32) for kind in op.inputs]


@pytest.mark.parametrize("op", [op for op in ops.table() if op.function is not None], ids=lambda op: op.name)
def test_ops_obey_their_laws_and_no_others(op):
    """Every law of every op, tried on numbers, holds if and only if the table says so."""
    rng = np.random.default_rng(op.id)
    holds, finite = dict.fromkeys(Law, True), True
    for _ in range(30):
        a, *rest = values(op, rng)
        b = rest[0] if rest else None
        zero_a, zero_b = np.zeros_like(a), None if b is None else np.zeros_like(b)
        apply = lambda *inputs: np.asarray(ops.apply(op, inputs, 4))
        with np.errstate(all="ignore"):
            if b is None:
                at_zero = apply(zero_a)
                results = {Law.ZERO_IF_FIRST_ZERO: (at_zero == 0).all()}
                tried = [at_zero, apply(3 * a)]
            else:
                first_zero, second_zero = apply(zero_a, b), apply(a, zero_b)
                both_zero = apply(zero_a, zero_b)
                results = {
                    Law.ZERO_IF_FIRST_ZERO: (first_zero == 0).all() and (both_zero == 0).all(),
                    Law.ZERO_IF_SECOND_ZERO: (second_zero == 0).all(),
                }
                tried = [second_zero, both_zero]
                if a.shape == b.shape:
                    equal, result = apply(a, a), apply(a, b)
                    results |= {
                        Law.COMMUTATIVE: np.array_equal(result, apply(b, a)),
                        Law.ZERO_IF_EQUAL: (equal == 0).all(),
                    }
                    if result.shape == a.shape:
                        results |= {
                            Law.FIRST_IF_SECOND_ZERO: np.array_equal(second_zero, a),
                            Law.SECOND_IF_FIRST_ZERO: np.array_equal(first_zero, b),
                            Law.FIRST_IF_EQUAL: np.array_equal(equal, a),
                        }
        if "ST_DEV" in op.name:  # almost equal numbers, whose variance can round to less than 0
            tried.append(apply(1000 + a / 100))
        finite &= all(np.isfinite(result).all() for result in tried)
        for law in Law:
            holds[law] &= bool(results.get(law, False))
    holds[Law.NOT_ALWAYS_FINITE] = not finite
    assert {law for law, true in holds.items() if true} == set(op.laws)


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
    assert not same(nonzero + keeps, nonzero + again, accuracy=True)


@pytest.mark.parametrize("make_tasks", [regression_tasks, classification_tasks])
def test_equal_keys_mean_equal_behaviour(make_tasks):
    population = random_population(4000, memory=MEMORY, lengths=(2, 3, 2), seed=21)
    tasks = make_tasks(num_train=12, num_valid=8)
    found, first, inverse = np.unique(
        keys(population, tasks.loss == "accuracy"), return_index=True, return_inverse=True
    )
    structural = np.unique(structural_keys(population, MEMORY))
    assert len(found) < 0.9 * len(structural)
    fitness = Evaluator(tasks, memory=MEMORY).evaluate(population).fitness
    np.testing.assert_allclose(fitness, fitness[first][inverse], atol=1e-6)


def test_structure_that_is_one_has_one_key():
    population = random_population(3000, memory=MEMORY, lengths=(2, 2, 2), seed=13)
    pairs = np.stack([structural_keys(population, MEMORY), keys(population)], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(np.unique(pairs[:, 0])) > len(np.unique(pairs[:, 1]))


def test_keys_do_not_depend_on_company_or_threads():
    population = random_population(700, memory=MEMORY, seed=5)
    expected = keys(population)
    np.testing.assert_array_equal(algebraic_keys(population, MEMORY, accuracy=False, num_threads=1), expected)
    for index in (0, 255, 256, 699):
        assert keys(population.take(np.array([index])))[0] == expected[index]
