"""Exported programs against the evaluator, of all modules of the folder."""

from __future__ import annotations

import numpy as np

from azero_jax import Evaluator, MemorySize
from azero_jax.export import to_jax, to_python

MEMORY = MemorySize(6, 5, 4)


def python_model(program, **settings):
    """An object of the class that is exported."""
    names: dict = {}
    exec(compile(to_python(program, **settings), "exported", "exec"), names)
    return names["Model"]()


def python_predictions(program, tasks, nudge=0.0, **settings):
    """Raw predictions of validation examples of the first task; None where training stopped."""
    model = python_model(program, loss=tasks.loss, **settings)
    try:
        model.fit(tasks.train_features[0] * (1 + nudge), tasks.train_labels[0])
    except ArithmeticError:
        return None
    return model.raw_predictions(tasks.valid_features[0] * (1 + nudge))


def jax_predictions(program, tasks, **settings):
    """As `python_predictions`."""
    functions = to_jax(program, loss=tasks.loss, num_classes=tasks.num_classes, dtype="float64", **settings)
    state = functions.train(functions.setup(tasks.features_size), tasks.train_features[0], tasks.train_labels[0])
    if state["failed"]:
        return None
    return np.asarray(functions.predict(state, tasks.valid_features[0]))


def agree(one, other):
    """Whether predictions are the same within 1e-6."""
    if one is None or other is None:
        return one is other
    return np.allclose(one, other, rtol=1e-6, atol=1e-6, equal_nan=True)


def comparable(program, predictions):
    """The evaluator's predictions, None where they are missing."""
    return None if np.isnan(predictions).all() else predictions


def check(tasks, population, exported, least):
    """Compares exported programs with the evaluator; those may differ whose numbers hang on the last bit."""
    evaluator = Evaluator(tasks, memory=MEMORY, dtype="float64")
    expected = evaluator.predictions(population)[:, 0]
    failed = evaluator.evaluate(population).fitness[:, 0] == 0
    compared = 0
    for program, wanted, stopped in zip(population, expected, failed):
        measured = exported(program, tasks, memory=MEMORY)
        if stopped and (measured is None or (tasks.loss == "rmse" and not np.isfinite(measured).all())):
            continue
        if tasks.loss == "accuracy" and measured is not None and exported is python_predictions:
            with np.errstate(over="ignore"):
                measured = 1 / (1 + np.exp(-measured))
        compared += 1
        if not agree(measured, wanted):
            # The same program with features changed by a rounding error has other numbers, too.
            nudged = [python_predictions(program, tasks, nudge, memory=MEMORY) for nudge in (3e-16, -3e-16, 1e-15)]
            own = python_predictions(program, tasks, memory=MEMORY)
            assert not all(agree(own, other) for other in nudged), program
    assert compared >= least
