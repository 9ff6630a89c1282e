"""What hand-designed models reach on the same tasks, for comparison."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

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
    """Accuracy of scikit-learn's logistic regression, fitted to each task's training examples.

    Args:
      tasks: with classes.

    Returns:
      Share of validation examples classified correctly, float64 [D].

    Raises:
      ValueError: tasks of regression, of which one has a single class, or scikit-learn is
        not installed.
    """
    check("logistic_regression", tasks)
    model = _sklearn_model()
    return np.array(
        [
            model(max_iter=1000)
            .fit(tasks.train_features[task], tasks.train_labels[task])
            .score(tasks.valid_features[task], tasks.valid_labels[task])
            for task in range(tasks.num_tasks)
        ]
    )


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
