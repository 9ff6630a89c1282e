"""Hand-designed models with optax, constants that are tuned, and programs scored beside them."""

from __future__ import annotations

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from doors import run_script
from generated import classification_tasks, regression_tasks
from reference_interpreter import _functions, _Machine

from azero_jax import Evaluator, MemorySize, Program, claims, gradient_descent, make_tasks, simplify
from azero_jax.execution import available_memory
from azero_jax.gradient_descent import Hyperparameters, Linear, TwoLayers
from azero_jax.initial_programs import LINEAR, NEURAL_NET
from azero_jax.tuning import tunable, tune_constants

ROOT = pathlib.Path(__file__).parent.parent
F = 4


def start(seed=0):
    rng = np.random.default_rng(seed)
    return TwoLayers(0.3 * rng.standard_normal((F, F)), np.zeros(F), 0.3 * rng.standard_normal(F), np.zeros(()))


def trained(model, tasks, learning_rate, task=0):
    """A model after one pass over a task's training examples, in float64."""
    with jax.enable_x64(True):
        step = jax.jit(gradient_descent.train_step, static_argnames="objective")
        model = jax.tree.map(jnp.asarray, model)
        for features, label in zip(tasks.train_features[task], tasks.train_labels[task]):
            model, _ = step(model, jnp.asarray(features), jnp.asarray(label), learning_rate, objective=tasks.objective)
        return jax.tree.map(np.asarray, model)


def registers_after(text, tasks, registers, task=0):
    """What the interpreter that shares no code with the package has in its registers after the same pass."""
    machine = _Machine(F, {"scalars": 5, "vectors": 9, "matrices": 2})
    functions = _functions(text)
    for line in functions["Setup"]:
        if "gaussian" not in line:
            machine.execute(line)
    for register, value in registers.items():
        machine.write(register, value)
    for features, label in zip(tasks.train_features[task], tasks.train_labels[task]):
        machine.write("s0", 0)
        machine.write("v0", features)
        for line in functions["Predict"]:
            machine.execute(line)
        if tasks.loss == "accuracy":
            machine.write("s1", 1 / (1 + np.exp(-machine.read("s1"))))
        machine.write("s0", label)
        for line in functions["Learn"]:
            machine.execute(line)
    return machine


@pytest.mark.parametrize("make", [regression_tasks, classification_tasks])
def test_optax_and_our_programs_agree_after_1000_steps(make):
    tasks = make(num_tasks=1, num_train=1000, seed=3)
    model = start()
    network = trained(model, tasks, 0.01)
    program = simplify(Program.from_text(NEURAL_NET)).to_text()
    machine = registers_after(program, tasks, {"m0": model.matrix, "v2": model.weights})
    for register, parameter in zip(("m0", "v1", "v2", "s2"), network):
        np.testing.assert_allclose(machine.read(register), parameter, atol=1e-5)
        assert np.abs(parameter).max() > 0.01
    linear = trained(Linear(np.zeros(F)), tasks, 0.01)
    machine = registers_after(Program.from_text(LINEAR).to_text(), tasks, {})
    np.testing.assert_allclose(machine.read("v1"), linear.weights, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("make", [regression_tasks, pytest.param(classification_tasks, marks=pytest.mark.slow)])
def test_optax_and_the_evaluator_give_the_same_fitness(make):
    tasks = make(num_tasks=3, num_train=300, num_train_epochs=3)
    rates = np.array([0.003, 0.01, 0.1, 3.0])
    found = gradient_descent.evaluate("linear", tasks, Hyperparameters(rates, rates), dtype="float64")
    programs = [Program.from_text(LINEAR.replace("0.01", str(rate))) for rate in rates]
    expected = Evaluator(tasks, dtype="float64").evaluate(programs).fitness
    np.testing.assert_allclose(found, expected, atol=1e-9)

    # The network with its first weights written out, so that both start the same.
    model = start()
    lines = [f"v2[{(i + 0.5) / F}] = {model.weights[i]}" for i in range(F)]
    lines += [f"m0[{(i + 0.5) / F}, {(j + 0.5) / F}] = {model.matrix[i, j]}" for i in range(F) for j in range(F)]
    text = "".join(line for line in NEURAL_NET.splitlines(keepends=True) if "gaussian" not in line)
    text = text.replace("def Setup():\n", "def Setup():\n" + "".join(f"  {line}\n" for line in lines))
    once = make(num_tasks=3, num_train=300)
    for task in range(3):
        network = trained(model, once, 0.01, task)
        with jax.enable_x64(True):
            outputs = np.array([gradient_descent.predict(network, features) for features in once.valid_features[task]])
        labels = once.valid_labels[task]
        errors = (outputs > 0) != (labels > 0.5) if once.loss == "accuracy" else (outputs - labels) ** 2
        evaluation = Evaluator(once, dtype="float64").evaluate([Program.from_text(text)])
        assert evaluation.fitness[0, task] == pytest.approx(float(once.fitness(np.array(errors.sum()))), abs=1e-9)


def test_tuned_models_learn():
    tasks = make_tasks("scalar_2layer_nn_regression:num_tasks=4,num_train_examples=1000,num_valid_examples=50")
    rate, stdev = gradient_descent.tune("neural_net", tasks, 40, seed=1)
    best = gradient_descent.evaluate("neural_net", tasks, Hyperparameters(np.array([rate]), np.array([stdev])), seed=1)
    worst = gradient_descent.evaluate("neural_net", tasks, Hyperparameters(np.array([1e-4]), np.array([0.01])))
    assert best.mean() > worst.mean() + 0.2
    with pytest.raises(ValueError, match="model 'forest': expected one of linear, neural_net"):
        gradient_descent.tune("forest", tasks, 3)


def test_constants_are_tuned_and_nothing_else():
    text = "def Setup():\n  v1[0.5] = 0.3\n  s2 = 1e-05\n" + LINEAR.partition("learning rate\n")[2]
    program = Program.from_text(text)
    assert tunable(program).sum() == 2
    tasks = regression_tasks(num_tasks=4, num_train=100)
    evaluator = Evaluator(tasks, memory=MemorySize(4, 3, 0))
    before = evaluator.evaluate([program]).fitness.mean()
    tuned, fitness = tune_constants(program, evaluator, 300, seed=1)
    assert fitness > before + 0.1
    assert evaluator.evaluate([tuned]).fitness.mean() == pytest.approx(fitness)
    np.testing.assert_array_equal(tuned.code, program.code)
    assert tuned.constants[0, 0] == 0.5
    scales = tuned.constants[tunable(program)] / program.constants[tunable(program)]
    assert ((scales >= 0.001) & (scales <= 1000)).all() and (scales != 1).all()
    assert tune_constants(program, evaluator, 0)[0] == program


@pytest.mark.slow
def test_large_features_run_in_the_memory_that_a_program_needs():
    spec = "scalar_linear_regression:features_size=1000,num_tasks=3,num_train_examples=20,num_valid_examples=10"
    tasks = make_tasks(spec)
    network = Program.from_text(NEURAL_NET.replace("0.01", "1e-05"))
    evaluator = claims.evaluator_of(network, tasks)
    assert evaluator.memory == MemorySize(5, 9, 2)
    # Against the same in plain NumPy, but for the weights that are drawn: of those, nothing is left at zero.
    still = Program.from_text(NEURAL_NET.replace("0.1", "0.0"))
    expected = 1 - 2 / np.pi * np.arctan(np.sqrt((tasks.valid_labels**2).mean(axis=1)))
    learned = evaluator.evaluate([still, network]).fitness
    assert learned[0].mean() == pytest.approx(expected.mean(), abs=0.02)
    assert np.isfinite(learned).all()
    line = Program.from_text(LINEAR.replace("0.01", "0.0001"))
    same = gradient_descent.evaluate("linear", tasks, Hyperparameters(np.array([1e-4]), np.array([0.0])))
    np.testing.assert_allclose(claims.evaluator_of(line, tasks).evaluate([line]).fitness, same, atol=1e-4)
    assert claims.evaluator_of(line, tasks).needed_bytes < evaluator.needed_bytes / 10
    assert evaluator.needed_bytes < available_memory()
    every = Evaluator(tasks, memory=MemorySize(5, 9, 9999))
    assert every.needed_bytes < evaluator.needed_bytes
    np.testing.assert_array_equal(every.evaluate([still]).fitness, evaluator.evaluate([still]).fitness)
    with pytest.raises(ValueError, match=r"features_size=1000 with 9999 matrices.* needs about .* GiB, .* are avail"):
        every.make_room()
    assert every.needed_bytes == evaluator.needed_bytes


SPEC = "projected_digits:features_size=8,num_train_examples=60,num_valid_examples=20,num_tasks=6"


def evaluate_script(*flags, code=0):
    return run_script("evaluate", *flags, code=code)


@pytest.mark.slow
def test_a_program_beside_tuned_models(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(LINEAR)
    done = evaluate_script(
        f"--program={path}",
        "--baselines=linear,neural_net",
        "--trials=50",
        f"--tune_tasks={SPEC},pairs=select",
        f"--tasks={SPEC},pairs=final,test=true",
        f"--tasks={SPEC.replace('features_size=8', 'features_size=0')},pairs=final,test=true",
        f"--json={tmp_path / 'scores.json'}",
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert len(scores) == 2
    for some in scores.values():
        assert set(some) == {"mine", "tuned program", "linear by optax", "neural_net by optax"}
        for values in some.values():
            assert len(values) == 6 and 0.6 < np.mean(values) <= 1
    projected = next(iter(scores.values()))
    assert f"| mine | {np.mean(projected['mine']):.4f} | ±" in done.stdout
    assert "linear by optax: learning rate" in done.stdout and "s1 = dot(v1, v0)" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "nothing to do: try"),
        (["--program=linear"], "--program and --tasks are needed"),
        (["--program=/no/such.txt", f"--tasks={SPEC}"], "/no/such.txt"),
        (["--program=linear", "--tasks=mnist"], "tasks 'mnist': unknown generator"),
        (["--program=linear", f"--tasks={SPEC}", "--trials=5"], "--trials needs --tune_tasks"),
        (["--program=linear", f"--tasks={SPEC}", "--baselines=linear"], "--baselines needs --trials"),
        (["--program=linear", f"--tasks={SPEC}", "--baselines=tree"], "--baselines: 'tree': expected some of linear"),
    ],
)
def test_wrong_input_is_named(flags, message):
    done = evaluate_script(*flags, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
