"""Losses of users' own: refused in words, and then as good as any other."""

from __future__ import annotations

import dataclasses
import math
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_interpreter
from generated import regression_tasks
from test_machine_code import FEW, OTHERS, check_one_memory, compiled
from test_objectives import MEMORY, OPS, check_against_the_interpreter

import azero_jax as az
from azero_jax import extensions, objectives


def distance(p, y):
    return jnp.abs(p - y)


def pinball(p, y):
    return jnp.maximum(0.9 * (y - p), -0.1 * (y - p))


@pytest.fixture(autouse=True)
def forget():
    yield
    for name in objectives.registered():
        az.unregister_loss(name)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("rmse", distance), {}, "name 'rmse': a loss of that name exists already"),
        (("RMSE", distance), {}, "name 'RMSE': a loss of that name exists already"),
        (("my loss", distance), {}, "name 'my loss': expected an identifier"),
        ((5, distance), {}, "name 5: expected an identifier"),
        (("mine", 5), {}, "function of 'mine': 5: expected a function"),
        (("mine", distance), {"fitness": 5}, "fitness of 'mine': 5: expected a function"),
        (("mine", distance), {"labels": "words"}, "labels='words': expected one of 'numbers', 'binary', 'classes'"),
        (("mine", distance), {"from_scores": True}, "from_scores=True: expected labels='binary' or 'classes'"),
        (("mine", distance), {"from_scores": 1, "labels": "binary"}, "from_scores=1: expected True or False"),
        (("mine", lambda p: p), {}, "TypeError: .*takes 1 positional argument.*expected a function of prediction and"),
        (("mine", lambda p, y: p if p > 0 else y), {}, "expected .* operations that JAX can trace, such as jnp.where"),
        (("mine", lambda p, y: math.sqrt(p)), {}, "expected .* operations that JAX can trace"),
        (("mine", lambda p, y: jnp.stack([p, y])), {}, r"returned shape \(2,\): expected one number for the example"),
        (("mine", distance), {"labels": "classes"}, r"for 3 classes: returned shape \(3,\): expected one number"),
        (("mine", lambda p, y: None), {}, "returned None: expected one number"),
        (("mine", lambda p, y: p * 1j), {}, "returned complex64: expected real numbers"),
        (
            ("mine", lambda p, y: y - p),
            {},
            "returned -100 for a prediction of 50 and the label -50: expected no negative",
        ),
        (("mine", lambda p, y: p + jnp.nan), {}, "is finite for no example that was tried"),
        (("mine", distance), {"fitness": math.exp}, "fitness of 'mine': TypeError.*expected a function of arrays"),
        (("mine", distance), {"fitness": lambda mean: 0.5}, r"returned shape \(\) for means of shape"),
        (("mine", distance), {"fitness": lambda mean: 1 - mean}, "for a mean of .*: expected a number from 0 to 1"),
        (("mine", distance), {"fitness": lambda mean: mean / (1 + mean)}, "expected less for a larger mean"),
        (("mine", distance), {"fitness": lambda mean: 0 * mean + 0.5}, "0.5 for all means up to 100: expected less"),
    ],
)
def test_what_is_wrong_is_named_and_not_registered(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        az.register_loss(*arguments, **settings)
    assert not objectives.registered()


def test_only_registered_losses_are_forgotten():
    for name in ("rmse", "mine", ["mine"]):
        with pytest.raises(ValueError, match="expected the name of a loss that was registered"):
            az.unregister_loss(name)
    az.register_loss("mine", distance)
    tasks = az.make_tasks("scalar_linear_regression:loss=mine")
    az.unregister_loss("mine")
    with pytest.raises(ValueError, match="loss='mine': expected one of 'rmse'"):
        az.make_tasks("scalar_linear_regression:loss=mine")
    assert tasks.fitness(np.array([0.0]) * tasks.num_valid_examples) == 1  # tasks keep it


def squares(p, y):
    return jnp.sum((p - y) ** 2) / 2


def margin(s, y):
    return jnp.max(s - jnp.sum(s * y) + 1 - y)


# What is registered, with its plain NumPy form, of scores.
OWN = {
    "pinball": ((pinball, {}), lambda s, y: max(0.9 * (y - s), 0.1 * (s - y)), None),
    "brier": (
        (lambda p, y: (p - y) ** 2, {"labels": "binary", "fitness": lambda mean: 1 - mean}),
        lambda s, y: (reference_interpreter.sigmoid(s) - y) ** 2,
        lambda mean: 1 - mean,
    ),
    "brier_of_classes": (
        (squares, {"labels": "classes", "fitness": lambda mean: 1 - mean}),
        lambda s, y: np.sum((np.exp(s - max(s)) / np.sum(np.exp(s - max(s))) - np.eye(len(s))[int(y)]) ** 2) / 2,
        lambda mean: 1 - mean,
    ),
    "margin": (
        (margin, {"labels": "classes", "from_scores": True, "fitness": lambda mean: np.exp(-mean)}),
        lambda s, y: max(s - s[int(y)] + 1 - np.eye(len(s))[int(y)]),
        lambda mean: np.exp(-mean),
    ),
}


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("pinball", "switch"),
        pytest.param("brier", "vmap", marks=pytest.mark.slow),
        pytest.param("brier", "switch", marks=pytest.mark.slow),
        pytest.param("pinball", "vmap", marks=pytest.mark.slow),
        *(pytest.param("brier_of_classes", strategy, marks=pytest.mark.slow) for strategy in ("switch", "vmap")),
        pytest.param("margin", "switch", marks=pytest.mark.slow),
        pytest.param("margin", "vmap", marks=pytest.mark.slow),
    ],
)
def test_strategies_do_what_the_function_says(name, strategy):
    (function, settings), cost, fitness = OWN[name]
    one = az.register_loss(name, function, **settings)
    fitness = fitness or (lambda mean: 1 - 2 / np.pi * np.arctan(mean))
    check_against_the_interpreter(name, strategy, 60, (one.labels, cost, fitness))


def test_numbers_that_are_too_far_away_end_a_task_in_validation_too():
    one = az.register_loss("mine", pinball)
    error, checked = one.checked_error(jnp.array([[3.0, -1.0]]), jnp.ones((1, 2)))
    np.testing.assert_allclose(error, [[0.2, 1.8]], rtol=1e-6)
    assert checked.tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("name", "like"),
    [
        pytest.param("pinball", "rmse", marks=pytest.mark.slow),
        pytest.param("brier", "accuracy", marks=pytest.mark.slow),
        pytest.param("brier_of_classes", "multiclass_accuracy", marks=pytest.mark.slow),
    ],
)
def test_the_machine_makes_no_copies_for_them(name, like, monkeypatch):
    (function, settings), *_ = OWN[name]
    az.register_loss(name, function, **settings)
    monkeypatch.setitem(OTHERS, name, like)
    check_one_memory(compiled(name, "float32", "errors", FEW))


@pytest.mark.thorough
def test_another_function_of_the_same_name_is_another_loss():
    tasks = regression_tasks()
    program = az.Program.from_text("def Predict():\n s1 = dot(v0, v1)\n")
    fitness = []
    for factor in (1.0, 2.0):
        az.register_loss("mine", lambda p, y, factor=factor: factor * jnp.abs(p - y))
        evaluator = az.Evaluator(dataclasses.replace(tasks, loss="mine"), memory=MEMORY, strategy="vmap", ops=OPS)
        fitness.append(evaluator.evaluate([program]).fitness[0])
        az.unregister_loss("mine")
    means = np.abs(tasks.valid_labels).mean(axis=1)
    np.testing.assert_allclose(fitness, [1 - 2 / np.pi * np.arctan(factor * means) for factor in (1, 2)], rtol=1e-6)


def test_the_sign_of_zero_is_never_seen():
    """Programs that are equal but for it are run once."""
    one = az.register_loss("signs", lambda p, y: jnp.where(jnp.signbit(p), 1.0, 0.5))
    assert jax.jit(one.error)(jnp.array([[0.0, -0.0, -1.0]]), jnp.zeros((1, 3))).tolist() == [[0.5, 0.5, 1]]


def test_numbers_that_are_no_fitness_are_refused_when_they_come():
    one = az.register_loss("mine", lambda p, y: jnp.abs(p - y) - jnp.where(p == 0.123, 10, 0))
    with pytest.raises(ValueError, match=r"fitness .* of a mean loss of -2: expected a loss that is never negative"):
        one.fitness(np.array([3.0, -4.0]), 2)


def test_gradient_descent_follows_its_slope():
    az.register_loss("mine", pinball)
    directions = [objectives.named("mine").direction(jnp.asarray(score), jnp.asarray(1.0)) for score in (0.0, 3.0)]
    np.testing.assert_allclose(directions, [0.9, -0.1], rtol=1e-6)


def test_workers_know_what_was_imported(tmp_path):
    settings = az.Settings((az.IslandSettings("scalar_linear_regression:loss=mine"),), max_individuals=100)
    az.register_loss("mine", distance)
    with pytest.raises(ValueError, match="num_workers=1: expected 0, since workers do not know mine, a loss"):
        az.run(settings, num_workers=1)
    az.unregister_loss("mine")
    (tmp_path / "my_losses.py").write_text(
        "import jax.numpy as jnp\nimport azero_jax as az\naz.register_loss('imported', lambda p, y: jnp.abs(p - y))\n"
    )
    extensions.load(str(tmp_path / "my_losses.py"))
    assert extensions.provides_loss("imported") and extensions.provides_loss("rmse")
    assert pickle.loads(pickle.dumps(objectives.named("imported"))) is objectives.named("imported")


@pytest.mark.thorough
def test_a_command_and_its_workers_know_it_by_name(tmp_path):
    (tmp_path / "my_losses.py").write_text(
        "import jax.numpy as jnp\nimport azero_jax as az\n"
        "az.register_loss('mine', lambda p, y: jnp.maximum(0.9 * (y - p), -0.1 * (y - p)))\n"
    )
    command = [sys.executable, "-m", "azero_jax", "evolve", "linear_demo", f"--import={tmp_path / 'my_losses.py'}"]
    tasks = "scalar_linear_regression:features_size=4,num_tasks=3,num_train_examples=20,num_valid_examples=10,loss=mine"
    command += [f"--{stage}_tasks={tasks}" for stage in ("search", "select", "final")]
    command += ["--max_individuals=2000", "--max_experiments=1", "--random_seed=1", "--num_workers=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "final fitness" in done.stdout, done.stdout + done.stderr
    assert "JAX had started" not in done.stderr  # to try the function, which would cost speed
    done = subprocess.run([*command[:5], *command[6:]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "loss='mine': expected one of" in done.stderr
    assert "Traceback" not in done.stderr
