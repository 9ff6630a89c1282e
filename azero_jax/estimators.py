"""`AutoMLZeroClassifier` and `AutoMLZeroRegressor`: scikit-learn's estimators around a search.

scikit-learn is an extra, and this module the only one that needs it to be imported; the
package imports it when one of the two names is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from azero_jax import arguments, fitting, objectives
from azero_jax.learner import Learner
from azero_jax.objectives import Objective
from azero_jax.program import Program

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "AutoMLZeroClassifier and AutoMLZeroRegressor need scikit-learn 1.6 or newer: pip install 'azero_jax[sklearn]' "
        f"({error})"
    ) from error

_MISSING = ("refuse", "mean")
# Vectors hold a number for each class, and matrices their square.
_MOST_CLASSES = 128


class _AutoMLZero(BaseEstimator):
    """What classifier and regressor share."""

    learner_: Learner

    def __init__(
        self,
        *,
        max_seconds: float | None = None,
        max_individuals: int | None = None,
        initial_population: str | Program = "auto",
        scale: bool = True,
        missing: str = "refuse",
        loss: str = "auto",
        num_threads: int | None = None,
        random_state: Any = None,
    ):
        self.max_seconds = max_seconds
        self.max_individuals = max_individuals
        self.initial_population = initial_population
        self.scale = scale
        self.missing = missing
        self.loss = loss
        self.num_threads = num_threads
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "mean"
        tags.non_deterministic = self.max_seconds is not None
        return tags

    def _budget(self) -> fitting.Budget:
        """The budget, once all arguments are known to be right."""
        seconds = self.max_seconds
        if seconds is not None:
            seconds = arguments.number("max_seconds", seconds, "a positive number or None", lambda value: value > 0)
        individuals = self.max_individuals
        if individuals is not None:
            individuals = arguments.integer("max_individuals", individuals, 1)
        if not isinstance(self.initial_population, Program):
            arguments.one_of("initial_population", self.initial_population, fitting.STARTS, ", or a Program")
        arguments.boolean("scale", self.scale)
        arguments.one_of("missing", self.missing, _MISSING)
        if self.loss != "auto":
            objectives.named(self.loss)
        if self.num_threads is not None:
            arguments.integer("num_threads", self.num_threads, 1)
        return fitting.Budget(seconds, individuals)

    def _checked(self, X: Any, **how: Any) -> Any:
        """X as float64, and y if it is given; NaN where a value is missing, if that is allowed."""
        allowed: bool | str = "allow-nan" if self.missing == "mean" else True
        try:
            return validate_data(self, X, dtype=np.float64, ensure_all_finite=allowed, **how)
        except ValueError as error:
            if "X contains NaN" not in str(error) or self.missing == "mean":
                raise
            raise ValueError(f"{error}\nmissing='mean' fills missing values with the mean of their column.") from None

    def _objective(self, num_classes: int) -> Objective:
        """The loss, for labels of so many classes, 0 for numbers.

        Raises:
          ValueError: the loss is of other labels.
        """
        named = objectives.usual(num_classes) if self.loss == "auto" else objectives.named(self.loss)
        return named.for_labels(num_classes)

    def _search(self, X: np.ndarray, labels: np.ndarray, objective: Objective, num_classes: int | None) -> None:
        """Sets what a search comes to."""
        budget = self._budget()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._preparation = fitting.Preparation.of(X, self.scale, num_classes or 0)
        self.learner_, self.search_ = fitting.fit(
            self._preparation.features(X),
            labels,
            objective.name,
            start=self.initial_population,
            budget=budget,
            seed=seed,
            num_classes=num_classes,
            num_threads=self.num_threads or 0,
        )
        self.program_ = self.learner_.program

    def _features(self, X: Any) -> np.ndarray:
        """What the program sees of new rows."""
        return self._preparation.features(self._checked(X, reset=False))


_ARGUMENTS = """
    Args:
      max_seconds: the search ends then; compiling counts, and choosing and training the
        winner come after it. Two fits then differ.
      max_individuals: the search ends after so many programs; with `random_state` the result is
        the same every time. With both, at the first; with neither, after 10,000 programs.
      initial_population: where the search starts: "linear", linear, logistic or softmax regression
        by gradient descent; "neural_net", with one hidden layer; "auto", both, with several
        learning rates; "softmax_regression", of three classes or more; "no_op"; "random"; or a Program.
      scale: whether each column is scaled to mean 0 and deviation 1.
      missing: "refuse" raises where X holds NaN; "mean" fills in the mean of the column in the rows fitted.
      loss: what the search minimises, by its name (docs/losses.md), such as "cross_entropy" for
        classes, "mae" or "huber" for numbers; "auto" is the accuracy, or the root of the mean squared error.
      num_threads: programs that run at the same time; by default one per core.
      random_state: of the splits, the search and the programs' random numbers.

    Attributes:
      program_: the winner, a `Program`.
      search_: its fitness, select fitness, individuals, seconds, whether it is trivial, and text.
      learner_: the trained `Learner`; its features are scaled, with a 1 and zeros behind them.
      n_features_in_, feature_names_in_: as of every estimator.
"""


class AutoMLZeroClassifier(ClassifierMixin, _AutoMLZero):
    """Finds a learning algorithm for classes, trains it and predicts with it.

    `classes_` are the labels, sorted.
    """

    def fit(self, X: Any, y: Any) -> AutoMLZeroClassifier:
        """Searches within the budget on splits of these rows, then trains the winner on all of them.

        Args:
          X: [n, C] of numbers, an array, lists or a DataFrame.
          y: [n] of labels of any type, at least two different ones.

        Raises:
          ValueError: arguments or data that are not as said.
          FitError: no program that was found can be trained on all rows.
        """
        self._budget()
        X, y = self._checked(X, y=y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(f"y holds 1 class, {arguments.shown(self.classes_.tolist()[0])}: expected two or more")
        if count > _MOST_CLASSES:
            raise ValueError(f"y holds {count} classes: expected at most {_MOST_CLASSES}: numbers need a regressor")
        self._search(X, labels, self._objective(count), None if count == 2 else count)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row, each predicted for itself."""
        check_is_fitted(self)
        return self.classes_[self.learner_.predict(self._features(X), independent=True)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class of `classes_`, [n, number of classes]; rows add up to 1."""
        check_is_fitted(self)
        return self.learner_.predict_proba(self._features(X), independent=True)


class AutoMLZeroRegressor(RegressorMixin, _AutoMLZero):
    """Finds a learning algorithm for numbers, trains it and predicts with it.

    Targets are scaled to mean 0 and deviation 1 for the search, and predictions back.
    """

    def fit(self, X: Any, y: Any) -> AutoMLZeroRegressor:
        """Searches within the budget on splits of these rows, then trains the winner on all of them.

        Args:
          X: [n, C] of numbers, an array, lists or a DataFrame.
          y: [n] of numbers.

        Raises:
          ValueError: arguments or data that are not as said.
          FitError: no program that was found can be trained on all rows.
        """
        self._budget()
        X, y = self._checked(X, y=y, y_numeric=True, ensure_min_samples=2)
        # As for features: the columns of one target.
        target = fitting.Preparation.of(np.asarray(y, np.float64)[:, None], True, 0)
        self._shift, self._spread = float(target.shift[0]), float(target.spread[0])
        self._search(X, (y - self._shift) / self._spread, self._objective(0), None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The number of each row, float64 [n], each predicted for itself."""
        check_is_fitted(self)
        return self.learner_.predict(self._features(X), independent=True) * self._spread + self._shift


for _class in (AutoMLZeroClassifier, AutoMLZeroRegressor):
    _class.__doc__ = f"{(_class.__doc__ or '').rstrip()}\n{_ARGUMENTS}"
