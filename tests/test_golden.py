"""Results recorded from the C++ release, and the plain NumPy interpreter, against the machine."""

from __future__ import annotations

import functools
import gzip
import json
import pathlib

import numpy as np
import pytest
import reference_interpreter
from generated import classification_tasks, random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Program, Tasks, ops
from azero_jax.program import Instruction

GOLDEN = pathlib.Path(__file__).parent / "golden"
NAMES = ("regression_f4", "regression_f16", "classification_f8")
ARRAYS = ("train_features", "train_labels", "valid_features", "valid_labels")


@functools.cache
def load(name):
    with gzip.open(GOLDEN / f"{name}.json.gz") as file:
        golden = json.load(file)
    recorded = golden["tasks"]
    tasks = Tasks(*(np.array([task[key] for task in recorded["tasks"]]) for key in ARRAYS), loss=recorded["loss"])
    programs = [Program.from_text(program["text"]) for program in golden["programs"]]
    fitness = np.array([program["fitness"] for program in golden["programs"]])
    train_steps = np.array([program["train_steps"] for program in golden["programs"]])
    return golden, tasks, programs, fitness, train_steps


def evaluator(name, **settings):
    golden, tasks, *_ = load(name)
    return Evaluator(tasks, memory=MemorySize(**golden["memory"]), max_abs_error=golden["max_abs_error"], **settings)


@pytest.mark.parametrize("name", [pytest.param(NAMES[0], marks=pytest.mark.thorough), *NAMES[1:]])
def test_float64_agrees_with_the_release(name):
    _, _, programs, fitness, train_steps = load(name)
    evaluation = evaluator(name, dtype="float64").evaluate(programs)
    np.testing.assert_allclose(evaluation.fitness, fitness, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(evaluation.train_steps, train_steps)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_within_rounding(name):
    _, _, programs, fitness, _ = load(name)
    evaluation = evaluator(name).evaluate(programs)
    close = np.abs(evaluation.fitness - fitness).max(axis=1) <= 1e-3
    assert close.mean() >= 0.99


@pytest.mark.thorough
def test_vmap_strategy_agrees_with_the_release():
    _, _, programs, fitness, train_steps = load("classification_f8")
    chosen = slice(0, None, 7)  # every op probe and every other kind in turn, in one batch
    evaluation = evaluator("classification_f8", dtype="float64", strategy="vmap").evaluate(programs[chosen])
    np.testing.assert_allclose(evaluation.fitness, fitness[chosen], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(evaluation.train_steps, train_steps[chosen])


def test_every_deterministic_op_is_probed():
    used = {op for _, _, programs, *_ in map(load, NAMES) for program in programs for op in program.code[:, 0].tolist()}
    assert used == {op.id for op in ops.table()[: ops.NUM_BUILT_IN_OPS] if op.draws is None}


@pytest.mark.parametrize("name", NAMES)
def test_interpreter_agrees_with_the_release(name):
    golden, *_ = load(name)
    for program in golden["programs"][::10]:
        task = golden["tasks"]["tasks"][1]
        fitness, steps = reference_interpreter.evaluate(
            program["text"], [task[key] for key in ARRAYS], golden["memory"], golden["tasks"]["loss"]
        )
        assert fitness == pytest.approx(program["fitness"][1], abs=1e-6)
        assert steps == program["train_steps"][1]


@pytest.mark.thorough
@pytest.mark.parametrize("make_tasks", [regression_tasks, classification_tasks])
def test_generated_programs_agree_with_the_interpreter(make_tasks):
    memory = MemorySize(6, 5, 4)
    tasks = make_tasks()
    population = random_population(150, memory=memory, random_ops=False, seed=1)
    evaluation = Evaluator(tasks, memory=memory, dtype="float64").evaluate(population)
    for index, program in enumerate(population):
        for task in range(tasks.num_tasks):
            arrays = [getattr(tasks, name)[task] for name in ARRAYS]
            fitness, steps = reference_interpreter.evaluate(program.to_text(), arrays, memory._asdict(), tasks.loss)
            message = f"task {task} of\n{program}"
            assert evaluation.fitness[index, task] == pytest.approx(fitness, abs=1e-6), message
            assert evaluation.train_steps[index, task] == steps, message


@pytest.mark.thorough
def test_several_epochs_agree_with_the_interpreter():
    memory = MemorySize(6, 5, 4)
    tasks = regression_tasks(num_train_epochs=3, shuffle_seed=5)
    population = random_population(100, memory=memory, random_ops=False, seed=2)
    evaluation = Evaluator(tasks, memory=memory, dtype="float64", max_abs_error=3.0).evaluate(population)
    orders = [np.arange(20)] + [np.random.default_rng((5, epoch)).permutation(20) for epoch in (1, 2)]
    for index, program in enumerate(population):
        arrays = [getattr(tasks, name)[0] for name in ARRAYS]
        fitness, steps = reference_interpreter.evaluate(
            program.to_text(), arrays, memory._asdict(), "rmse", 3.0, orders
        )
        assert evaluation.fitness[index, 0] == pytest.approx(fitness, abs=1e-6), program
        assert evaluation.train_steps[index, 0] == steps, program


def test_ops_that_write_matrices_in_pieces_agree_with_the_interpreter():
    """Also where they write to what they read; 10 features make pieces of different sizes."""
    memory = MemorySize(4, 4, 4)
    tasks = regression_tasks(num_tasks=1, features_size=10, num_train=3, num_valid=4)
    start = "def Predict():\n  s2 = 0.7\n  v3 = bcast(s2)\n  v1 = v3 + v0\n  m1 = outer(v0, v1)\n  m2 = outer(v1, v1)\n"
    end = "\n  v2 = dot(m{}, v0)\n  s1 = norm(v2)\n  s1 = s2 * s1\n"

    def operands(op: ops.Op) -> list[int]:
        return [2 if kind == "s" else 1 + place for place, kind in enumerate(op.inputs)] + [0] * (2 - len(op.inputs))

    programs = [
        Program.from_text(f"{start}  {Instruction(op, *operands(op), output)}{end.format(output)}")
        for op in ops.table()
        if op.output == "m" and op.function is not None
        for output in (1, 2, 3)
    ]
    fitness = Evaluator(tasks, memory=memory, dtype="float64", max_abs_error=1e9).evaluate(programs).fitness[:, 0]
    arrays = [getattr(tasks, name)[0] for name in ARRAYS]
    for program, measured in zip(programs, fitness):
        expected, _ = reference_interpreter.evaluate(program.to_text(), arrays, memory._asdict(), "rmse", 1e9)
        assert measured == pytest.approx(expected, rel=1e-6), program


def test_a_deviation_overflows_no_sooner_than_its_terms():
    """The square of the mean is less than the mean of squares; that of the sum, which XLA would take, is more."""
    features, labels = np.tile([1.0, 0.5, 0.25, 0.75], (3, 20, 1)), np.ones((3, 20))
    program = Program.from_text("def Predict():\n  s2 = 1.3e19\n  v1 = s2 * v0\n  s3 = std(v1)\n  s1 = s3 / s3\n")
    tasks = Tasks(features, labels, features[:, :10], labels[:, :10])
    np.testing.assert_array_equal(Evaluator(tasks, memory=MemorySize(6, 5, 4)).evaluate([program]).fitness, 1)


def test_a_norm_of_one_number_overflows_as_its_square_does():
    features, labels = np.full((3, 20, 1), 1.0), np.ones((3, 20))
    lines = (
        "s3 = norm(v1)",
        "m1 = outer(v1, v0)\n  s3 = norm(m1)",
        "m1 = outer(v1, v0)\n  v1 = norm(m1, axis=0)\n  s3 = dot(v1, v0)",
    )
    texts = [f"def Predict():\n  s2 = 1e30\n  v1 = s2 * v0\n  {line}\n  s1 = s3 / s2\n" for line in lines]
    tasks = Tasks(features, labels, features[:, :10], labels[:, :10])
    programs = [Program.from_text(text) for text in texts]
    for strategy in ("switch", "vmap"):
        evaluator = Evaluator(
            tasks,
            memory=MemorySize(6, 5, 4),
            strategy=strategy,
            ops=["VECTOR_NORM", "MATRIX_NORM", "MATRIX_COLUMN_NORM"],
        )
        np.testing.assert_array_equal(evaluator.evaluate(programs).fitness, 0, err_msg=strategy)
