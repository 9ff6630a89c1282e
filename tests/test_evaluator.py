from __future__ import annotations

import concurrent.futures
import time

import numpy as np
import pytest
from generated import classification_tasks, random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Population, Program, Tasks, ops, register_op
from azero_jax.initial_programs import LINEAR, NEURAL_NET
from azero_jax.instructions import RESULT_ROWS
from azero_jax.switch_strategy import SwitchStrategy
from azero_jax.text import COMPONENT_FUNCTIONS

MEMORY = MemorySize(6, 5, 4)
NOTHING = Program.from_text("def Predict():\n")


def lines_of(*programs):
    return [line for program in programs for name in COMPONENT_FUNCTIONS for line in program.instructions(name)]


def test_nothing_is_compiled_again_during_a_run():
    # A memory of its own, so that no other test has compiled this machine.
    how = {"memory": MemorySize(7, 5, 4), "ops": [op.name for op in ops.table()]}
    evaluator = Evaluator(regression_tasks(), **how)
    evaluator.evaluate([NOTHING])
    assert evaluator.num_traces == 1
    for size, lengths in ((1, (1, 1, 1)), (7, (3, 9, 2)), (700, (10, 10, 10)), (2, (0, 40, 0))):
        population = random_population(size, memory=MEMORY, lengths=lengths)
        evaluator.evaluate(population)
        assert evaluator.num_traces == 1
    evaluator.probe(population, 3, 3)
    evaluator.probe(population, 5, 2)
    assert evaluator.num_traces == 2  # the machine that hashes errors is another one
    # Tasks with more examples share it, as those of selection do.
    other = Evaluator(regression_tasks(num_tasks=4, num_train=150, num_valid=90), **how)
    other.evaluate(population)
    assert other.num_traces == 2


def test_a_program_longer_than_a_call_still_runs():
    lines = "  s2 = s2 + s3\n" * 3000
    text = f"def Setup():\n  s3 = 0.5\ndef Predict():\n{lines}  s1 = s2 - s2\n"
    tasks = regression_tasks(num_train=1, num_valid=1)
    fitness = Evaluator(tasks, ops=[]).evaluate([Program.from_text(text), NOTHING]).fitness
    np.testing.assert_array_equal(fitness[0], fitness[1])


@pytest.mark.parametrize(
    "make_tasks", [regression_tasks, pytest.param(classification_tasks, marks=pytest.mark.thorough)]
)
def test_results_do_not_depend_on_threads_duplicates_or_company(make_tasks):
    population = random_population(500, memory=MEMORY, seed=4)
    tasks = make_tasks()
    expected = Evaluator(tasks, memory=MEMORY).evaluate(population)
    for settings in ({"num_threads": 1}, {"num_threads": 3}, {"deduplicate": False}):
        other = Evaluator(tasks, memory=MEMORY, **settings).evaluate(population)
        np.testing.assert_array_equal(other.fitness, expected.fitness)
        np.testing.assert_array_equal(other.train_steps, expected.train_steps)
    evaluator = Evaluator(tasks, memory=MEMORY, ops=[op.name for op in ops.table()])
    for index in range(0, 500, 50):
        alone = evaluator.evaluate([population[index]])
        np.testing.assert_array_equal(alone.fitness[0], expected.fitness[index])


@pytest.mark.thorough
@pytest.mark.parametrize("strategy", ["switch", pytest.param("vmap", marks=pytest.mark.slow)])
def test_room_for_the_addresses_in_use_changes_no_result(monkeypatch, strategy):
    # What random ops draw goes by the address that the program says.
    small = Program.from_text(
        "def Setup():\n m2 = gaussian(0, 1, (n_features, n_features))\n s5 = uniform(0, 1)\n"
        "def Predict():\n v4 = dot(m2, v0)\n s1 = norm(v4)\n s1 = s1 * s5\n"
    )
    larger = random_population(1, memory=MemorySize(4, 5, 4), seed=3)[0]
    tasks = regression_tasks()
    how = {"memory": MEMORY, "strategy": strategy, "ops": {line.op.name for line in lines_of(small, larger)}}
    expected = Evaluator(tasks, **how).evaluate([small, larger]).fitness
    monkeypatch.setattr("azero_jax.evaluator.ROOM_FOR_ALL_FEATURES", 0)
    evaluator = Evaluator(tasks, **how)
    needed = [evaluator.needed_bytes]
    for index in (0, 1, 0):
        fitness = evaluator.evaluate([(small, larger)[index]]).fitness[0]
        np.testing.assert_array_equal(fitness, expected[index])
        needed.append(evaluator.needed_bytes)
    assert needed[0] < needed[1] < needed[2] == needed[3]
    assert (expected[0] > 0).all()
    with pytest.raises(ValueError, match="expected addresses within"):
        evaluator.make_room(Population.from_programs([Program.from_text("def Predict():\n s1 = norm(v5)\n")]))


def test_threads_that_use_one_evaluator_get_the_results_of_their_own_programs(monkeypatch):
    """With many features each new address replaces the strategy, and programs are renumbered for it."""

    def run(strategy, population, schedule, fingerprint):
        """The address that the last line writes, as the program has it, as the loss."""
        time.sleep(0.001)
        layout = strategy._config.layout
        assert (population.code[..., 3] < layout.memory.scalars).all()
        numbers = np.array(layout.addresses)[population.code[:, -1, 3]]
        return np.repeat(numbers, RESULT_ROWS * 3).reshape(-1, RESULT_ROWS, 3).astype("float32")

    monkeypatch.setattr(SwitchStrategy, "run", run)
    evaluator = Evaluator(regression_tasks(features_size=33), memory=MemorySize(90, 20, 20), deduplicate=False)
    populations = [
        Population.from_programs([Program.from_text(f"def Predict():\n s{address} = s{address} + s1\n")])
        for address in range(2, 90)
    ]

    def work(index):
        if index % 5 == 0:
            evaluator.make_room(populations[-index])
        return evaluator.run(populations[index]).fitness[0, 0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        measured = list(pool.map(work, list(range(88)) * 3))
    expected = evaluator.tasks.fitness(np.arange(2, 90, dtype=float)).tolist()
    assert measured == expected * 3


def test_threads_share_what_is_compiled():
    # Sizes of their own, so that nothing is compiled yet.
    evaluator = Evaluator(regression_tasks(num_train=22, num_valid=11), memory=MEMORY)
    programs = [random_population(40, memory=MEMORY, seed=seed) for seed in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(evaluator.evaluate, programs))
    assert evaluator.num_traces == 1
    for population, evaluation in zip(programs, together):
        np.testing.assert_array_equal(evaluation.fitness, evaluator.evaluate(population).fitness)


@pytest.mark.thorough
def test_vmap_agrees_with_switch_random_ops_included():
    # Every second op, those that draw among them: the vmap strategy compiles what it meets.
    population = random_population(150, memory=MEMORY, seed=5, allowed=[0, *range(1, 65, 2), 60, 62, 64])
    tasks = regression_tasks(num_train_epochs=2)
    switch, vmap = (
        Evaluator(tasks, memory=MEMORY, dtype="float64", strategy=strategy) for strategy in ("switch", "vmap")
    )
    expected, measured = switch.evaluate(population), vmap.evaluate(population)
    np.testing.assert_allclose(measured.fitness, expected.fitness, atol=1e-6)
    np.testing.assert_array_equal(measured.train_steps, expected.train_steps)
    groups = [np.unique(evaluator.probe(population, 5, 5)[0], return_inverse=True)[1] for evaluator in (switch, vmap)]
    # Programs that behave the same do so under both.
    assert abs(len(set(groups[0])) - len(set(groups[1]))) <= 0.05 * len(set(groups[0]))


def test_fingerprints_tell_programs_apart_that_differ_in_validation_only():
    rates = [Program.from_text(LINEAR.replace("0.01", rate)) for rate in ("0.01", "0.02", "0.010")]
    # After one training example all have made the same error.
    fingerprints = (
        Evaluator(regression_tasks(), memory=MEMORY, ops=[]).probe(Population.from_programs(rates), 1, 3).fingerprints
    )
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]


def test_more_tasks_than_lanes():
    tasks = regression_tasks(num_tasks=37)
    fitness = Evaluator(tasks, ops=[]).evaluate([Program.from_text(LINEAR), NOTHING]).fitness
    assert fitness.shape == (2, 37)
    for task in (0, 15, 16, 36):
        single = Tasks(
            *(
                a[task : task + 1]
                for a in (tasks.train_features, tasks.train_labels, tasks.valid_features, tasks.valid_labels)
            )
        )
        np.testing.assert_allclose(
            Evaluator(single, ops=[]).evaluate([Program.from_text(LINEAR)]).fitness[0, 0], fitness[0, task], rtol=1e-5
        )


def test_a_task_stops_at_a_large_error_and_others_go_on():
    tasks = regression_tasks(num_tasks=2, num_train=10, num_valid=5)
    labels = np.array(tasks.train_labels)
    labels[0, 3] = 500.0
    tasks = Tasks(tasks.train_features, labels, tasks.valid_features, tasks.valid_labels)
    evaluation = Evaluator(tasks, max_abs_error=100, ops=[]).evaluate([NOTHING])
    assert evaluation.train_steps.tolist() == [[4, 10]]
    assert evaluation.fitness[0, 0] == 0 < evaluation.fitness[0, 1]
    assert Evaluator(tasks, max_abs_error=1000, ops=[]).evaluate([NOTHING]).fitness[0, 0] > 0


def test_not_a_number_fails_a_task():
    nan = Program.from_text("def Predict():\n  s1 = s2 / s3\n")
    for tasks in (regression_tasks(), classification_tasks()):
        evaluation = Evaluator(tasks, ops=[]).evaluate([nan])
        assert (evaluation.train_steps == 1).all()
        assert (evaluation.fitness == 0).all()


def test_the_best_epoch_counts():
    # Learns the first labels it sees in epoch one, and leaves them in epoch two.
    tasks = regression_tasks(num_train=3, num_valid=3, num_tasks=2)
    text = "def Setup():\n  s3 = 1.0\ndef Predict():\n  s1 = s2 * s2\ndef Learn():\n  s2 = s2 + s3\n"
    once = Evaluator(tasks, dtype="float64", ops=[]).evaluate([Program.from_text(text)])
    arrays = (tasks.train_features, tasks.train_labels, tasks.valid_features, tasks.valid_labels)
    often = Evaluator(Tasks(*arrays, num_train_epochs=4), dtype="float64", ops=[]).evaluate([Program.from_text(text)])
    np.testing.assert_array_equal(often.fitness, once.fitness)
    assert (often.train_steps > once.train_steps).all()
    # Failing in a later epoch (12 * 12 is above 100) keeps the best so far.
    assert (often.train_steps == [[10, 10]]).all() or (often.train_steps <= 12).all()


def test_linear_and_neural_net_learn():
    tasks = regression_tasks(num_train=1000, num_valid=100)
    linear, network = (
        Evaluator(tasks, ops=[]).evaluate([Program.from_text(LINEAR), Program.from_text(NEURAL_NET)]).fitness
    )
    assert (linear > 0.99).all()
    assert (network > 0.7).all()
    digits = classification_tasks(num_train=500, num_valid=200)
    assert (Evaluator(digits, ops=[]).evaluate([Program.from_text(LINEAR)]).fitness > 0.9).all()


@pytest.mark.parametrize("strategy", ["switch", "vmap"])
def test_a_memory_without_matrices(strategy):
    tasks = regression_tasks(features_size=40, num_train=100)
    evaluator = Evaluator(tasks, memory=MemorySize(4, 3, 0), strategy=strategy)
    fitness = evaluator.evaluate([Program.from_text(LINEAR), NOTHING]).fitness
    assert (fitness[0] > fitness[1]).all()


def test_train_steps_are_exact_where_float32_has_no_odd_numbers():
    rng = np.random.default_rng(0)
    examples, epochs = 20_001, 840
    x, y = np.zeros((1, examples, 1)), rng.standard_normal((1, examples))
    tasks = Tasks(x, y, x[:, :1], y[:, :1], num_train_epochs=epochs)
    each_example = Program.from_text("def Predict():\n s1 = s2 - s3\ndef Learn():\n s2 = s0 - s1\n")
    evaluator = Evaluator(tasks, memory=MemorySize(4, 1, 0), max_abs_error=np.inf, ops=[])
    steps = evaluator.evaluate([each_example, NOTHING]).train_steps
    assert steps.tolist() == [[examples * epochs]] * 2
    assert examples * epochs > 2**24


def test_many_validation_examples_do_not_blur_the_fitness():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 300_000, 1)).astype(np.float32)
    y = (3 * x[..., 0] + rng.standard_normal((1, 300_000))).astype(np.float32)
    tasks = Tasks(x[:, :1], y[:, :1], x, y)
    programs = [NOTHING, Program.from_text("def Predict():\n s1 = norm(v0)\n")]
    fitness = Evaluator(tasks, memory=MemorySize(4, 1, 0), ops=[]).evaluate(programs).fitness[:, 0]
    errors = np.stack([y[0], y[0] - np.abs(x[0, :, 0])]).astype(float)
    expected = 1 - 2 / np.pi * np.arctan(np.sqrt(np.mean(errors**2, axis=1)))
    np.testing.assert_allclose(fitness, expected, atol=1e-6)


def test_blocks_of_validation_examples_in_both_strategies_and_every_epoch():
    shared = {"num_train": 3, "num_valid": 2500, "num_tasks": 2, "num_train_epochs": 3}
    tasks = regression_tasks(**shared)
    # The last settles, the others do not.
    texts = ("s1 = mean(v0)", "s2 = s1 * s1\n s1 = mean(v0)\n s1 = s1 + s2", "s1 = 0.25")
    programs = [Program.from_text(f"def Predict():\n {text}\n") for text in texts]
    fitness = [
        Evaluator(tasks, memory=MemorySize(4, 1, 0), strategy=strategy, ops=[]).evaluate(programs).fitness
        for strategy in ("switch", "vmap")
    ]
    np.testing.assert_allclose(*fitness, atol=1e-6)
    for index, predict in ((0, lambda x: x.mean(axis=2)), (2, lambda x: 0.25)):
        errors = tasks.valid_labels - predict(tasks.valid_features)
        expected = 1 - 2 / np.pi * np.arctan(np.sqrt(np.mean(errors**2, axis=1)))
        np.testing.assert_allclose(fitness[0][index], expected, atol=1e-6)


@pytest.mark.parametrize("strategy", ["switch", "vmap"])
def test_sums_of_negative_zeros_are_negative(strategy):
    sums = (
        "s1 = dot(v1, v2)",
        "s1 = mean(v1)",
        "s1 = mean(m1)",
        "v3 = mean(m1, axis=1)\n s1 = mean(v3)",
        "v3 = dot(m1, v2)\n s1 = mean(v3)",
        "m2 = matmul(m1, m3)\n s1 = mean(m2)",
    )
    minus_zero = "s2 = -1.0\n s3 = 1.0\n s4 = s5 * s2\n v1 = bcast(s4)\n v2 = bcast(s3)\n"
    matrices = "m1 = bcast(v1, axis=0)\n m3 = bcast(v2, axis=0)\n"
    programs = [
        Program.from_text(
            f"def Setup():\n {minus_zero} {matrices}def Predict():\n {line}\n s1 = s3 / s1\n s1 = arctan(s1)"
        )
        for line in sums
    ]
    tasks = regression_tasks()
    labels = [np.full_like(y, -np.pi / 2) for y in (tasks.train_labels, tasks.valid_labels)]
    tasks = Tasks(tasks.train_features, labels[0], tasks.valid_features, labels[1])
    fitness = Evaluator(tasks, memory=MEMORY, strategy=strategy, ops=[]).evaluate(programs).fitness
    np.testing.assert_allclose(fitness, 1, atol=1e-6)


def test_no_programs():
    evaluation = Evaluator(regression_tasks(), ops=[]).evaluate([])
    assert evaluation.fitness.shape == (0, 3)


def test_errors_name_what_is_wrong():
    tasks = regression_tasks()
    evaluator = Evaluator(tasks, memory=MEMORY)
    with pytest.raises(
        ValueError, match=r"program 1, Learn line 2: 's9 = s0 - s1': expected addresses within 6 scalars"
    ):
        evaluator.evaluate([NOTHING, Program.from_text("def Learn():\n NoOp()\n s9 = s0 - s1\n")])
    population = Population.from_programs([Program.from_text("def Learn():\n s3 = s0 - s1\n")])
    population.code[0, 0, 3] = 0
    with pytest.raises(ValueError, match="no write to s0 or v0"):
        evaluator.evaluate(population)
    population.code[0, 0, 0] = 99
    with pytest.raises(ValueError, match="op id 99"):
        evaluator.evaluate(population)
    for settings, message in (
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"strategy": "fast"}, "strategy='fast'"),
        ({"max_abs_error": 0}, "max_abs_error=0"),
        ({"num_threads": 0}, "num_threads=0"),
        ({"memory": (1, 1, 1)}, "memory scalars=1"),
        ({"memory": 5}, "memory=5: expected a MemorySize"),
        ({"memory": "abc"}, "memory='abc'"),
        ({"memory": (3, 3)}, r"memory=\(3, 3\)"),
        ({"memory": (3.0, 3, 3)}, "memory scalars=3.0"),
        ({"dtype": None}, "dtype=None: expected one of 'float32', 'float64'"),
        ({"strategy": None}, "strategy=None"),
        ({"fingerprint": 1}, "fingerprint=1"),
        ({"seed": "1"}, "seed='1': expected an integer"),
        ({"seed": None}, "seed=None"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"seed": True}, "seed=True"),
        ({"num_threads": 1.5}, "num_threads=1.5"),
        ({"num_threads": "2"}, "num_threads='2'"),
        ({"num_threads": True}, "num_threads=True"),
        ({"deduplicate": "no"}, "deduplicate='no'"),
        ({"ops": "SCALAR_SUM"}, "ops='SCALAR_SUM': expected names of ops"),
        ({"max_abs_error": "100"}, "max_abs_error='100'"),
        ({"max_abs_error": None}, "max_abs_error=None"),
        ({"max_abs_error": float("nan")}, "max_abs_error=nan"),
        ({"max_abs_error": -np.inf}, "max_abs_error=-inf"),
        ({"max_abs_error": 1e39}, r"max_abs_error=1e\+39: expected .* to 3.403e\+38, what float32 holds"),
        ({"max_abs_error": 1e-50}, "max_abs_error=1e-50"),
    ):
        with pytest.raises(ValueError, match=message):
            Evaluator(tasks, **settings)
    with pytest.raises(ValueError, match="expected Tasks"):
        Evaluator("tasks")
    for count in (21, -1, 2.5, "3"):
        with pytest.raises(ValueError, match=f"num_train_examples={count!r}: expected an integer from 0 to 20"):
            evaluator.probe(Population.from_programs([NOTHING]), count, 3)


def test_any_integer_is_a_seed_and_any_error_that_the_dtype_holds_a_limit():
    tasks = regression_tasks()
    for seed in (np.int64(7), np.uint8(7), -1, 2**100):
        Evaluator(tasks, seed=seed, memory=(np.int64(4), 4, 4), num_threads=np.int32(1))
    Evaluator(tasks, max_abs_error=1e39, dtype="float64")
    for error in (np.float32(3), 5, np.inf):
        Evaluator(tasks, max_abs_error=error)


@pytest.mark.parametrize("name", ["train_features", "train_labels", "valid_features", "valid_labels"])
def test_tasks_that_the_dtype_cannot_hold_are_refused(name):
    tasks = regression_tasks()
    arrays = {
        key: getattr(tasks, key).copy() for key in ("train_features", "train_labels", "valid_features", "valid_labels")
    }
    arrays[name][1, 2] = -1e300
    with pytest.raises(ValueError, match=rf"{name}: -1e\+300 at index \(1, 2.*float32 holds.*dtype='float64'"):
        Evaluator(Tasks(**arrays))
    Evaluator(Tasks(**arrays), dtype="float64")


def test_an_evaluator_does_not_know_ops_registered_later():
    from azero_jax import ops

    evaluator = Evaluator(regression_tasks(), memory=MemorySize(9, 9, 2))
    before = list(ops._table)
    try:
        register_op("late", "s", "s", lambda s: s)
        with pytest.raises(ValueError, match="registered after this evaluator was made"):
            evaluator.evaluate([Program.from_text("def Predict():\n s1 = late(s2)\n")])
        # Its machine is compiled only now, and still has the opcodes of before.
        known = [Program.from_text(text) for text in (NEURAL_NET, LINEAR)]
        fitness = evaluator.evaluate(known).fitness
    finally:
        ops._table[:] = before
    np.testing.assert_array_equal(
        fitness, Evaluator(regression_tasks(), memory=MemorySize(9, 9, 2)).evaluate(known).fitness
    )


@pytest.mark.parametrize("operator", ["+", "-", "*"])
def test_a_matrix_changed_in_place_is_what_it_is_elsewhere(operator):
    setup = (
        "def Setup():\n m1 = uniform(0, 1, (n_features, n_features))\n m3 = uniform(0, 1, (n_features, n_features))\n"
    )
    predict = "def Predict():\n s1 = norm({})\n"
    in_place = f"{setup} m1 = m1 {operator} m3\n{predict.format('m1')}"
    elsewhere = f"{setup} m2 = m1 {operator} m3\n{predict.format('m2')}"
    evaluator = Evaluator(regression_tasks(), memory=MEMORY)
    fitness = evaluator.evaluate([Program.from_text(text) for text in (in_place, elsewhere)]).fitness
    np.testing.assert_array_equal(fitness[0], fitness[1])
    assert (fitness > 0).all()


@pytest.mark.thorough
def test_equal_random_lines_draw_by_their_order_in_both_strategies():
    program = Program.from_text(
        """
        def Setup():
          s2 = gaussian(0, 1)
          s3 = s2 * s2
          s2 = gaussian(0, 1)
          s3 = s3 + s2
          s4 = gaussian(0, 1)
          s2 = gaussian(0, 1)
          s3 = s3 - s2
        def Predict():
          s2 = uniform(0, 1)
          s4 = s4 + s2
          s2 = uniform(0, 1)
          s1 = s4 * s2
          s1 = s1 + s3
        """
    )
    memory = MemorySize(40, 20, 20)  # registers in several words
    fitness = [
        Evaluator(regression_tasks(), memory=memory, dtype="float64", strategy=strategy, seed=5, ops=[])
        .evaluate([program])
        .fitness
        for strategy in ("switch", "vmap")
    ]
    np.testing.assert_allclose(*fitness, atol=1e-12)
