"""What hand-designed models reach on the same tasks, for comparison."""

from __future__ import annotations

import importlib.util
from typing import Any

import jax.numpy as jnp
import numpy as np

from azero_jax.execution import on_cpu, precision
from azero_jax.notices import did_you_mean
from azero_jax.tasks import Tasks


def _sklearn_model() -> Any:
    """The class of scikit-learn's logistic regression.

    Raises:
      ValueError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ValueError("logistic_regression: needs scikit-learn, from `pip install scikit-learn`") from error
    return LogisticRegression


def logistic_regression(tasks: Tasks) -> np.ndarray:
    """Fitness of scikit-learn's logistic regression, fitted to each task's training examples.

    Args:
      tasks: with classes.

    Returns:
      Of each task, by its loss: for accuracies the share of validation examples classified
      correctly; for others what the scores of the classes come to. float64 [D].

    Raises:
      ValueError: tasks of regression, of which one has a single class, or scikit-learn is
        not installed.
    """
    check("logistic_regression", tasks)
    model = _sklearn_model()
    fitness = []
    for task in range(tasks.num_tasks):
        fitted = model(max_iter=1000).fit(tasks.train_features[task], tasks.train_labels[task])
        if tasks.objective.counts:
            fitness.append(fitted.score(tasks.valid_features[task], tasks.valid_labels[task]))
        else:
            fitness.append(_fitness_of_scores(fitted, tasks, task))
    return np.array(fitness)


def _fitness_of_scores(fitted: Any, tasks: Tasks, task: int) -> float:
    """What the scores of a fitted model's classes come to; a class that it never saw is impossible."""
    decided = fitted.decision_function(tasks.valid_features[task])
    if not tasks.vector_labels:
        scores = decided[None]
    else:
        scores = np.full((tasks.num_classes, tasks.num_valid_examples), -np.inf)
        scores[fitted.classes_.astype(int)] = np.stack([0 * decided, decided]) if decided.ndim == 1 else decided.T
    with precision("float64"), on_cpu():
        error = tasks.objective.error(jnp.asarray(scores), jnp.asarray(tasks.valid_labels[task][None]))
        total = np.asarray(tasks.objective.summed(error)).sum()
    return float(tasks.objective.fitness(total, tasks.num_valid_examples))


def check_baseline(name: str) -> None:
    """Refuses a baseline that cannot be had here, before anything is run.

    Raises:
      ValueError: an unknown name, or scikit-learn is not installed.
    """
    if name not in BASELINES:
        raise ValueError(f"expected one of {', '.join(BASELINES)}{did_you_mean(name, BASELINES)}")
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError("needs scikit-learn, from `pip install scikit-learn`")


BASELINES = {"logistic_regression": logistic_regression}


def check(name: str, tasks: Tasks) -> None:
    """Checks that a baseline can be fitted to tasks, without doing it.

    Args:
      name: of `BASELINES`.
      tasks: to score it on.

    Raises:
      ValueError: it cannot be.
    """
    if not tasks.objective.has_classes:
        raise ValueError(f"{name}: expected tasks with classes, got loss {tasks.loss!r}")
    single = np.flatnonzero((tasks.train_labels == tasks.train_labels[:, :1]).all(axis=1))
    if len(single):
        raise ValueError(f"{name}: task {single[0]} has a single class in its training examples: expected two or more")
    _sklearn_model()
