"""Hand-designed models, trained as programs are: one example at a time, by gradient descent.

A linear model and a two-layer ReLU network, with optax, in the protocol of the
evaluator: examples in the same order, validation after every epoch, the best epoch
counts. Their hyper-parameters are tuned by random search. The programs `linear` and
`neural_net` of `initial_programs` do the same, step by step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from azero_jax.execution import precision, require_memory
from azero_jax.objectives import Objective
from azero_jax.tasks import Tasks

_TRIALS_AT_ONCE = 64
# Of a trial, with one task at least: exponents, parameters, fitness.
_TRIAL_BYTES = 64


class Linear(NamedTuple):
    """A prediction w . x.

    Attributes:
      weights: [F].
    """

    weights: jax.Array


class TwoLayers(NamedTuple):
    """A prediction u . relu(M x + b) + c.

    Attributes:
      matrix: M, [F, F].
      biases: b, [F].
      weights: u, [F].
      bias: c, a scalar.
    """

    matrix: jax.Array
    biases: jax.Array
    weights: jax.Array
    bias: jax.Array


class Hyperparameters(NamedTuple):
    """What is tuned, each an array [trials].

    Attributes:
      learning_rate: of gradient descent.
      stdev: of the Gaussian that initial weights are drawn from.
    """

    learning_rate: np.ndarray
    stdev: np.ndarray


def linear_start(key: jax.Array, features_size: int, stdev: jax.Array) -> Linear:
    """A linear model, which starts at zero."""
    return Linear(jnp.zeros(features_size))


def two_layers_start(key: jax.Array, features_size: int, stdev: jax.Array) -> TwoLayers:
    """A network with random weights and biases of zero."""
    first, last = jax.random.split(key)
    return TwoLayers(
        stdev * jax.random.normal(first, (features_size, features_size)),
        jnp.zeros(features_size),
        stdev * jax.random.normal(last, (features_size,)),
        jnp.zeros(()),
    )


def predict(model: Any, features: jax.Array) -> jax.Array:
    """The prediction for one example, features [F]; of losses with classes it goes through a sigmoid."""
    if isinstance(model, Linear):
        return model.weights @ features
    hidden = jax.nn.relu(model.matrix @ features + model.biases)
    return model.weights @ hidden + model.bias


def train_step(
    model: Any, features: jax.Array, label: jax.Array, learning_rate: jax.Array, objective: Objective
) -> Any:
    """The model after one example, and the error it made.

    For "rmse" the gradient is that of half the squared error, for "accuracy" that of
    cross-entropy behind the sigmoid: in both, the error times the gradient of the
    prediction. Other losses have their own gradient. As in the release's network, the first
    layer's gradient passes through the last layer as the example has just left it.
    """
    output = predict(model, features)
    error = label - objective.normalised(output)
    move = objective.direction(output, label)
    optimizer = optax.sgd(learning_rate)

    def updated(model):
        direction = jax.tree.map(lambda slope: -move * slope, jax.grad(predict)(model, features))
        updates, _ = optimizer.update(direction, optimizer.init(model))
        return optax.apply_updates(model, updates)

    if isinstance(model, Linear):
        return updated(model), error
    last = updated(model)
    model = model._replace(weights=last.weights, bias=last.bias)
    first = updated(model)
    return model._replace(matrix=first.matrix, biases=first.biases), error


_STARTS: dict[str, Callable] = {"linear": linear_start, "neural_net": two_layers_start}
MODELS = tuple(_STARTS)


def evaluate(
    name: str,
    tasks: Tasks,
    hyperparameters: Hyperparameters,
    *,
    seed: int = 0,
    max_abs_error: float = 100.0,
    dtype: str = "float32",
) -> np.ndarray:
    """Fitness of a model on each task, float64 [trials, D], as `Evaluator` defines it.

    Args:
      name: of `MODELS`.
      tasks: D tasks.
      hyperparameters: of each trial.
      seed: of initial weights.
      max_abs_error: a larger error on any example ends training; the best epoch before counts.
      dtype: "float32" or "float64".

    Raises:
      ValueError: an unknown name, or tasks of several classes.
    """
    if name not in _STARTS:
        raise ValueError(f"model {name!r}: expected one of {', '.join(MODELS)}")
    if tasks.vector_labels:
        raise ValueError(f"model {name!r} predicts one number: expected tasks with two classes, or of regression")
    with precision(dtype):
        run = _compiled(name, tasks.objective, max_abs_error)
        orders = np.stack([tasks.train_order(epoch) for epoch in range(tasks.num_train_epochs)])
        data = [
            jnp.asarray(array, dtype)
            for array in (tasks.train_features, tasks.train_labels, tasks.valid_features, tasks.valid_labels)
        ]
        losses = []
        for first in range(0, len(hyperparameters.learning_rate), _TRIALS_AT_ONCE):
            chosen = np.arange(first, min(first + _TRIALS_AT_ONCE, len(hyperparameters.learning_rate)))
            padded = np.resize(chosen, _TRIALS_AT_ONCE)
            keys = jax.vmap(lambda trial: jax.random.fold_in(jax.random.key(seed), trial))(jnp.asarray(padded))
            rate, stdev = (jnp.asarray(values[padded], dtype) for values in hyperparameters)
            losses.append(np.asarray(run(rate, stdev, keys, orders, *data))[: len(chosen)])
    return tasks.fitness(np.concatenate(losses).astype(np.float64))


@functools.cache
def _compiled(name: str, objective: Objective, max_abs_error: float) -> Callable:
    start = _STARTS[name]

    def run_task(rate, stdev, key, orders, train_x, train_y, valid_x, valid_y):
        """The best epoch's sum of losses on one task."""

        def example(carry, index):
            model, alive = carry
            model, error = train_step(model, train_x[index], train_y[index], rate, objective)
            return (model, alive & (jnp.abs(error) <= max_abs_error)), None

        def epoch(carry, order):
            model, alive, best = carry
            (model, alive), _ = jax.lax.scan(example, (model, alive), order)
            outputs = jax.vmap(lambda features: predict(model, features))(valid_x)
            errors, checked = objective.checked_error(outputs[None], valid_y[None])
            total = jnp.sum(objective.summed(errors[0]))
            if checked is not None:
                alive &= jnp.all(checked <= max_abs_error)
            return (model, alive, jnp.where(alive & (total < best), total, best)), None

        model = start(key, train_x.shape[1], stdev)
        (_, _, best), _ = jax.lax.scan(epoch, (model, jnp.bool_(True), jnp.asarray(jnp.inf, train_x.dtype)), orders)
        return best

    def run_trial(rate, stdev, key, orders, *data):
        keys = jax.random.split(key, data[0].shape[0])
        return jax.vmap(run_task, in_axes=(None, None, 0, None, 0, 0, 0, 0))(rate, stdev, keys, orders, *data)

    return jax.jit(jax.vmap(run_trial, in_axes=(0, 0, 0, None, None, None, None, None)))


def tune(name: str, tasks: Tasks, trials: int, *, seed: int = 0, **settings: Any) -> tuple[float, float]:
    """The best of so many random hyper-parameters, by mean fitness.

    Learning rates are drawn log-uniformly from 1e-4 to 1, standard deviations from 0.01
    to 1.

    Args:
      name: of `MODELS`.
      tasks: what it is tuned on.
      trials: hyper-parameters tried.
      seed: of the draws and initial weights.
      settings: of `evaluate`.

    Returns:
      Learning rate and standard deviation.

    Raises:
      ValueError: more trials than memory has room for.
    """
    require_memory(_TRIAL_BYTES * trials, f"trials={trials}")
    # Row by row, so that more trials begin with the same ones.
    exponents = np.random.default_rng(seed).uniform((-4, -2), (0, 0), (trials, 2))
    drawn = Hyperparameters(*(10**exponents).T)
    best = int(np.argmax(evaluate(name, tasks, drawn, seed=seed, **settings).mean(axis=1)))
    return float(drawn.learning_rate[best]), float(drawn.stdev[best])
