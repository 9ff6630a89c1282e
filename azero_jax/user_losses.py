"""Losses of users' own: what is checked before they are known, and how they are forgotten.

A user writes a function of one example. Strategies want one of many, side by side, so it is
batched here. A loss that JAX cannot trace, that is negative, or whose fitness is none would end
a search somewhere in the middle, so each is tried when it is registered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from azero_jax import arguments, lane_forms, objectives, xla_flags
from azero_jax.execution import on_cpu, precision
from azero_jax.objectives import BINARY, CLASSES, LABELS, NUMBERS, Objective, one_hot, sigmoid, squashed

# Numbers of classes that a function is tried with.
_SIZES = (3, 5, 2)

# What a function is tried on. No two are further apart than the default of max_abs_error.
_NUMBERS = np.array([0, 0.001, 0.3, 0.5, 1, 2.5, 10, 50])
_NUMBERS = np.concatenate([-_NUMBERS[:0:-1], _NUMBERS])
_MEANS = 50

_lock = threading.RLock()


def register_loss(
    name: str,
    function: Callable[[Array, Array], Array],
    *,
    labels: str = NUMBERS,
    fitness: Callable[[np.ndarray], np.ndarray] | None = None,
    from_scores: bool = False,
) -> Objective:
    """Adds a loss of the user's, usable by its name wherever losses are.

        def pinball(prediction, label):
            error = label - prediction
            return jnp.maximum(0.9 * error, -0.1 * error)

        az.register_loss("pinball", pinball)
        az.make_tasks("scalar_linear_regression:loss=pinball")

    Args:
      name: an identifier that no other loss has.
      function: of the prediction for one validation example and its label, to what the example
        costs, with JAX operations: a number that is not negative. It sees what Learn would: for
        "numbers" the prediction and the label, scalars; for "binary" the probability of class
        1 and the label 0 or 1, scalars; for "classes" the probabilities of all classes and the
        label as a 1 among zeros, [C] both. A prediction of -0 comes as 0. What it returns is
        cast to the dtype of the prediction.
      labels: "numbers"; "binary", 0 and 1; or "classes", 0 to C - 1, for programs with labels in v1 and
        predictions in v2.
      fitness: of the mean over the validation examples, a float64 array of any shape, to the
        fitness, an array of the same shape, from 0 to 1; the larger the mean, the smaller, or the same. By
        default 1 - (2 / pi) * atan(mean). A mean that is infinite or NaN has fitness 0 in any case.
      from_scores: whether the function gets, in place of probabilities, the scores that Predict
        leaves, before sigmoid or softmax.

    Returns:
      The loss.

    Raises:
      ValueError: the name is taken or no identifier, an argument is out of range, JAX cannot
        trace the function, or what it or `fitness` returns is not as said. Nothing is then
        registered.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name {arguments.shown(name)}: expected an identifier")
    arguments.one_of("labels", labels, LABELS)
    arguments.boolean("from_scores", from_scores)
    if from_scores and labels == NUMBERS:
        raise ValueError("from_scores=True: expected labels='binary' or 'classes': numbers are their own scores")
    for what, given in (("function", function), ("fitness", fitness)):
        if not callable(given) and not (what == "fitness" and given is None):
            raise ValueError(f"{what} of {name!r}: {arguments.shown(given)}: expected a function")
    with _lock:
        if name.lower() in {one.name.lower() for one in objectives.known()}:
            raise ValueError(f"name {name!r}: a loss of that name exists already")
        _check_traces(name, function, labels)
        objective = Objective(
            name,
            labels,
            _batched(function, labels, from_scores),
            squashed if fitness is None else fitness,
            f"{name}(p, y)",
            objectives.SQUASHED if fitness is None else "as registered",
        )
        _check_fitness(objective, _check_values(objective))
        objectives.add(objective)
    return objective


def unregister_loss(name: str) -> None:
    """Forgets a loss that was registered. Tasks and evaluators that have it keep it.

    Raises:
      ValueError: no loss of that name was registered.
    """
    with _lock:
        objectives.remove(name)


@jax.custom_jvp
def _without_sign_of_zero(x: Array) -> Array:
    """The same numbers, zeros positive: some programs are known to be equal but for the sign of zero."""
    return jnp.where(x == 0, 0, x)


# A choice has no slope where it takes the constant, and linear models start there.
_without_sign_of_zero.defjvp(lambda primals, tangents: (_without_sign_of_zero(*primals), *tangents))


def _batched(function: Callable[[Array, Array], Array], labels: str, from_scores: bool) -> Callable:
    """The `Objective.error` of a function of one example."""

    def error(scores: Array, label: Array) -> Array:
        if labels == NUMBERS or from_scores:
            predictions = _without_sign_of_zero(scores)
        else:
            predictions = sigmoid(scores) if labels == BINARY else lane_forms.softmax(scores)
        if labels == CLASSES:
            costs = jax.vmap(function, in_axes=1)(predictions, one_hot(label, scores.shape[0]))
        else:
            costs = jax.vmap(function)(predictions[0], label[0])
        return costs.astype(scores.dtype)[None]

    return error


def _check_traces(name: str, function: Callable[[Array, Array], Array], labels: str) -> None:
    """Tries a function as strategies call it: traced, for several examples at once."""
    for dtype in ("float32", "float64"):
        for count in _SIZES if labels == CLASSES else (0,):
            shape = (count,) if count else ()
            where = f"function of {name!r}: in {dtype}{f' for {count} classes' if count else ''}"
            one, several = (jax.ShapeDtypeStruct(some, dtype) for some in (shape, (*shape, 2)))
            try:
                with precision(dtype):
                    result = jax.eval_shape(function, one, one)
                    jax.eval_shape(jax.vmap(function, in_axes=-1), several, several)
            except Exception as error:
                raise ValueError(
                    f"{where}: {_first_line(error)}: expected a function of prediction and label, with operations that "
                    "JAX can trace, such as jnp.where for `if`"
                ) from error
            if getattr(result, "shape", None) != ():
                returned = f"shape {result.shape}" if hasattr(result, "shape") else arguments.shown(result)
                raise ValueError(f"{where}: returned {returned}: expected one number for the example, of shape ()")
            if not any(jnp.issubdtype(result.dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating)):
                raise ValueError(f"{where}: returned {result.dtype}: expected real numbers")


def _check_values(objective: Objective) -> np.ndarray:
    """What a loss says of some examples, where that is finite, float64 [n].

    Raises:
      ValueError: a negative number, or none that is finite.
    """
    xla_flags.apply()  # this may be what starts JAX
    if objective.labels == NUMBERS:
        scores, label = (part.ravel() for part in np.meshgrid(_NUMBERS, _NUMBERS))
        scores = scores[None]
    elif objective.labels == BINARY:
        scores, label = (part.ravel() for part in np.meshgrid(_NUMBERS, [0.0, 1.0]))
        scores = scores[None]
    else:
        scores = np.stack([part.ravel() for part in np.meshgrid(_NUMBERS, _NUMBERS, [0.0], [0.0, 1.0, 2.0])])
        scores, label = scores[:3], scores[3]
    with precision("float64"), on_cpu():
        costs = np.asarray(objective.error(jnp.asarray(scores), jnp.asarray(label[None])))[0]
    finite = np.isfinite(costs)
    if not finite.any():
        raise ValueError(f"function of {objective.name!r}: is finite for no example that was tried")
    if (costs[finite] < 0).any():
        where = int(np.nanargmin(np.where(finite, costs, np.nan)))
        what = "a prediction" if objective.labels == NUMBERS else "scores"
        shown = ", ".join(f"{number:g}" for number in scores[:, where])
        raise ValueError(
            f"function of {objective.name!r}: returned {costs[where]:g} for {what} of {shown} and the label "
            f"{label[where]:g}: expected no negative number"
        )
    return costs[finite]


def _check_fitness(objective: Objective, costs: np.ndarray) -> None:
    """Tries the fitness on means that there can be."""
    largest = float(costs.max())
    means = np.concatenate([[0.0], np.geomspace(min(1e-6, largest or 1.0), largest or 1.0, _MEANS)])
    where = f"fitness of {objective.name!r}"
    try:
        returned: Any = objective.mean_fitness(means.copy())
        fitness = np.asarray(returned, np.float64)
    except Exception as error:
        raise ValueError(f"{where}: {_first_line(error)}: expected a function of arrays, as np.exp is") from error
    if fitness.shape != means.shape:
        raise ValueError(f"{where}: returned shape {fitness.shape} for means of shape {means.shape}: expected the same")
    wrong = ~((fitness >= 0) & (fitness <= 1))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(f"{where}: {fitness[first]:g} for a mean of {means[first]:g}: expected a number from 0 to 1")
    if fitness[0] == fitness[-1]:
        raise ValueError(f"{where}: {fitness[0]:g} for all means up to {largest:g}: expected less for larger ones")
    rises = np.diff(fitness) > 0
    if rises.any():
        first, last = int(np.argmax(rises)), int(np.argmax(rises)) + 1
        raise ValueError(
            f"{where}: {fitness[first]:g} for a mean {means[first]:g}, {fitness[last]:g} for {means[last]:g}: "
            "expected less for a larger mean, or the same"
        )


def _first_line(error: Exception) -> str:
    """What an error says, short."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
