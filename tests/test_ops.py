from __future__ import annotations

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated import regression_tasks

import azero_jax as az
from azero_jax import draws, extensions, lane_forms, mutation, ops
from azero_jax.evolution import EvolutionSettings, start, step
from azero_jax.scoring import EquivalenceSettings, Scorer
from azero_jax.search import SearchSettings
from azero_jax.settings import IslandSettings, Settings
from azero_jax.workers import Islands


def test_table_is_that_of_the_release():
    listed = json.loads((pathlib.Path(__file__).parent / "golden" / "ops.json").read_text())
    ours = [[op.name, op.inputs, op.output] for op in ops.table()[: ops.NUM_BUILT_IN_OPS]]
    assert ours == [row[:3] for row in listed]
    assert [op.id for op in ops.table()] == list(range(len(ops.table())))


def test_a_registered_op_works_everywhere(restore_table):
    op = az.register_op("squared_distance", "vv", "s", lambda a, b: jnp.sum((a - b) ** 2))
    assert op.id >= ops.NUM_BUILT_IN_OPS and ops.table()[op.id] is op
    text = "def Setup():\ndef Predict():\n  s1 = squared_distance(v0, v1)\ndef Learn():\n"
    program = az.Program.from_text(text)
    assert program.to_text() == text
    tasks = regression_tasks()
    for strategy in ("switch", "vmap"):
        fitness = az.Evaluator(tasks, dtype="float64", strategy=strategy, ops=[op.name]).evaluate([program]).fitness
        errors = np.sum(tasks.valid_features**2, axis=2) - tasks.valid_labels
        expected = 1 - 2 / np.pi * np.arctan(np.sqrt(np.mean(errors**2, axis=1)))
        np.testing.assert_allclose(fitness[0], expected, atol=1e-9)

    memory = az.MemorySize(4, 3, 0)
    names = ("squared_distance", "SCALAR_SUM")
    space = mutation.SearchSpace(memory, names, names, names, (2, 2, 2), (2, 2, 2), (2, 2, 2))
    settings = EvolutionSettings(population_size=20, child_batch_size=20)
    scorer = Scorer(az.Evaluator(tasks, memory=memory, ops=names), "mean", EquivalenceSettings())
    mutator = mutation.Mutator.of(space, settings.mutation_types)
    state = start(settings, mutator, scorer, np.random.default_rng(0))
    step(state, settings, mutator, scorer)
    assert op.id in state.population.code[..., 0]

    island = IslandSettings("scalar_linear_regression", SearchSettings(space, settings))
    with pytest.raises(ValueError, match="num_workers=1: expected 0, since workers do not know squared_distance"):
        Islands(Settings((island,)), 1, num_workers=1)


def test_workers_get_the_ids_of_this_process_or_are_refused(restore_table, tmp_path):
    az.register_op("before", "s", "s", jnp.sin)
    module = tmp_path / "registers_after.py"
    module.write_text("import jax.numpy as jnp\nimport azero_jax as az\naz.register_op('after', 's', 's', jnp.cos)\n")
    extensions.load(str(module))
    az.unregister_op("before")
    space = mutation.SearchSpace(az.MemorySize(4, 3, 0), ("after",), ("after",), ("after",))
    settings = Settings((IslandSettings("scalar_linear_regression", SearchSettings(space)),))
    with pytest.raises(ValueError, match="num_workers=1: expected 0, since before was unregistered"):
        Islands(settings, 1, num_workers=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("not a name", "s", "s"), "identifier"),
        (("scalar_sum", "ss", "s"), "exists already"),
        (("mine", "x", "s"), "inputs 'x'"),
        (("mine", "sss", "s"), "inputs 'sss'"),
        (("mine", "s", "q"), "output 'q'"),
        (("mine", "v", "s"), r"returned shape \(3,\) for F=3, expected \(\)"),
    ],
)
def test_registration_errors(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        az.register_op(*arguments, lambda *values: values[0])


def test_registered_forms_must_differ():
    with pytest.raises(ValueError, match="prints like SCALAR_SUM"):
        az.register_op("mine", "ss", "s", jnp.add, form="s{o} = s{a} + s{b}")
    with pytest.raises(ValueError, match="once each"):
        az.register_op("mine", "ss", "s", jnp.add, form="s{o} = s{a} ** 2")


SUMS = ("VECTOR_INNER_PRODUCT", "MATRIX_VECTOR_PRODUCT", "MATRIX_MATRIX_PRODUCT", "VECTOR_MEAN", "MATRIX_MEAN")


@pytest.mark.parametrize("features_size", [1, 2, 3, 4, 5, 6, 33])
@pytest.mark.parametrize("name", [*SUMS, "MATRIX_ROW_MEAN"])
def test_sums_of_negative_zeros_are_negative_in_both_forms(name, features_size):
    op = ops.op_named(name)
    shapes = [ops.output_shape(kind, features_size) for kind in op.inputs]
    values = [np.full(shape, value, np.float32) for shape, value in zip(shapes, (-0.0, 1.0))]
    one = jax.jit(lambda *inputs: ops.apply(op, inputs, features_size))(*values)
    all_lanes = jax.jit(lambda *inputs: lane_forms.apply(op, list(inputs), features_size))(
        *(np.repeat(value[..., None], 2, axis=-1) for value in values)
    )
    negative = features_size <= 32  # docs/ops.md
    for result in (one, all_lanes):
        assert (np.asarray(result) == 0).all()
        assert (np.signbit(result) == negative).all()


def test_unknown_ops_get_a_hint():
    with pytest.raises(ValueError, match=r"unknown op 'SCALAR_SUMM': did you mean SCALAR_SUM"):
        ops.op_named("SCALAR_SUMM")


# What is drawn, through programs: one instruction writes, the mean over elements
# becomes the prediction, and labels of zero make the fitness tell its size.


def draw(distribution, step, tasks=50, rows=400, key=7):
    bits = draws.random_bits(jnp.uint32(key), jnp.uint32(step), jnp.arange(tasks, dtype=jnp.uint32), rows)
    return np.asarray(distribution(bits, np.dtype("float32")), np.float64)


def test_uniform_numbers():
    x = draw(draws.uniform, 0)
    assert x.min() >= 0 and x.max() < 1
    assert x.mean() == pytest.approx(0.5, abs=5 * 0.289 / np.sqrt(x.size))
    assert x.std() == pytest.approx(1 / np.sqrt(12), abs=0.005)
    counts = np.histogram(x, bins=20, range=(0, 1))[0]
    chi_square = np.sum((counts - x.size / 20) ** 2) / (x.size / 20)
    assert chi_square < 45  # 19 degrees of freedom: 0.1% exceed 44


def test_gaussian_numbers():
    x = draw(draws.gaussian, 0)
    n = x.size
    assert x.mean() == pytest.approx(0, abs=4 / np.sqrt(n))
    assert x.std() == pytest.approx(1, abs=4 / np.sqrt(2 * n))
    assert np.mean(x**3) == pytest.approx(0, abs=4 * np.sqrt(15 / n))
    assert np.mean(x**4) == pytest.approx(3, abs=4 * np.sqrt(96 / n))
    for quantile, expected in ((0.975, 1.95996), (0.5, 0.0), (0.001, -3.09023)):
        assert np.quantile(x, quantile) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("distribution", [draws.uniform, draws.gaussian])
def test_numbers_are_independent(distribution):
    x = draw(distribution, 0)
    others = {
        "the next step": draw(distribution, 1),
        "another key": draw(distribution, 0, key=8),
        "the next task": np.roll(x, 1, axis=1),
        "the next element": np.roll(x, 1, axis=0),
    }
    for name, y in others.items():
        correlation = np.corrcoef(x.ravel(), y.ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(x.size), name


RANDOM_OPS = [
    ("s1 = uniform(-2.0, 3.0)", 0.5, 5 / np.sqrt(12)),
    ("s1 = gaussian(1.0, 2.0)", 1.0, 2.0),
    ("v1 = uniform(-2.0, 3.0, n_features)\n  s1 = mean(v1)", 0.5, 5 / np.sqrt(12) / 2),
    ("v1 = gaussian(1.0, 2.0, n_features)\n  s1 = mean(v1)", 1.0, 2.0 / 2),
    ("m1 = uniform(-2.0, 3.0, (n_features, n_features))\n  s1 = mean(m1)", 0.5, 5 / np.sqrt(12) / 4),
    ("m1 = gaussian(1.0, 2.0, (n_features, n_features))\n  s1 = mean(m1)", 1.0, 2.0 / 4),
]


# Of these programs, so that they share what is compiled.
DRAWING = {
    instruction.op.name
    for lines, _, _ in RANDOM_OPS
    for instruction in az.Program.from_text(f"def Predict():\n  {lines}\n").instructions("Predict")
}


@pytest.mark.parametrize(("lines", "mean", "spread"), RANDOM_OPS)
def test_random_instructions_have_the_right_mean_and_spread(lines, mean, spread):
    # With a label of 100 every error is 100 - draw, so the root mean square over
    # examples reads off the mean, and the fitness differs between tasks.
    num_tasks, num_valid = 16, 500
    shape = (num_tasks, num_valid)
    tasks = az.Tasks(
        np.zeros((num_tasks, 1, 4)), np.full((num_tasks, 1), mean), np.zeros((*shape, 4)), np.full(shape, mean)
    )
    program = az.Program.from_text(f"def Predict():\n  {lines}\n")
    fitness = az.Evaluator(tasks, dtype="float64", ops=DRAWING).evaluate([program]).fitness[0]
    root_mean_square = np.tan((1 - fitness) * np.pi / 2)  # of draw - mean
    assert root_mean_square.mean() == pytest.approx(spread, rel=0.04)
    assert len(set(fitness.tolist())) == num_tasks  # every task draws its own
    shifted = az.Tasks(tasks.train_features, tasks.train_labels, tasks.valid_features, np.full(shape, mean - 50))
    far = np.tan((1 - az.Evaluator(shifted, dtype="float64", ops=DRAWING).evaluate([program]).fitness[0]) * np.pi / 2)
    assert np.sqrt(far**2 - spread**2).mean() == pytest.approx(50, abs=0.2)


def test_draws_depend_on_the_seed_and_on_nothing_else():
    tasks = regression_tasks(num_tasks=20)
    alone = "def Setup():\n  v1 = gaussian(0.0, 1.0, n_features)\ndef Predict():\n  s1 = dot(v0, v1)\n"
    others = (
        alone.replace("def Setup():\n", "def Setup():\n  s4 = gaussian(0.0, 1.0)\n  s5 = s4 + s4\n")
        + "  s6 = s1 * s5\n"
    )
    live_others = alone.replace("def Setup():\n", "def Setup():\n  s4 = uniform(0.0, 1.0)\n  s5 = s4 - s4\n").replace(
        "  s1 = dot(v0, v1)\n", "  s1 = dot(v0, v1)\n  s1 = s1 + s5\n"
    )
    programs = [az.Program.from_text(text) for text in (alone, others, live_others)]
    fitness = az.Evaluator(tasks, seed=1, ops=[]).evaluate(programs).fitness
    np.testing.assert_array_equal(fitness[0], fitness[1])
    np.testing.assert_array_equal(fitness[0], fitness[2])
    np.testing.assert_array_equal(fitness, az.Evaluator(tasks, seed=1, ops=[]).evaluate(programs).fitness)
    assert not np.any(fitness[0] == az.Evaluator(tasks, seed=2, ops=[]).evaluate(programs).fitness[0])
    # A task's draws do not depend on how many other tasks there are.
    first = az.Tasks(
        *(getattr(tasks, name)[:3] for name in ("train_features", "train_labels", "valid_features", "valid_labels"))
    )
    np.testing.assert_allclose(
        az.Evaluator(first, seed=1, ops=[]).evaluate(programs).fitness, fitness[:, :3], rtol=1e-5
    )


@pytest.mark.parametrize("features_size", [4, 40])  # with many features programs are renumbered
@pytest.mark.parametrize("strategy", ["switch", pytest.param("vmap", marks=pytest.mark.slow)])
def test_draws_follow_from_the_text_whatever_the_memory(features_size, strategy):
    tasks = regression_tasks(num_tasks=2, features_size=features_size, num_train=2, num_valid=2)
    plain = (
        "def Setup():\n  v2 = gaussian(0.0, 1.0, n_features)\n  v3 = uniform(0.0, 1.0, n_features)\n"
        "def Predict():\n  m1 = uniform(0.0, 0.1, (n_features, n_features))\n  v1 = dot(m1, v2)\n  v1 = v1 + v3\n"
        "  s1 = dot(v0, v1)\n"
    )
    dead = plain.replace("def Predict():\n", "  v4 = uniform(0.0, 1.0, n_features)\n  v4 = v3 + v3\ndef Predict():\n")
    programs = [az.Program.from_text(text) for text in (plain, dead, plain.replace("v2", "v4"))]
    names = {
        instruction.op.name for instruction in programs[1].instructions("Setup") + programs[1].instructions("Predict")
    }
    settings = {"seed": 3, "strategy": strategy, "deduplicate": False, "ops": names}
    one, other = (
        az.Evaluator(tasks, memory=memory, **settings).evaluate(programs).fitness
        for memory in (az.MemorySize(5, 5, 2), az.MemorySize(9, 7, 3))
    )
    assert one.min() > 0
    np.testing.assert_array_equal(one[0], one[1])
    np.testing.assert_array_equal(one, other)
    assert not np.any(one[0] == one[2])  # another address draws other numbers
