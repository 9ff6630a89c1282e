"""scikit-learn's interface: what a user of it expects of a classifier and a regressor."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import azero_jax as az
from azero_jax import estimators

BOTH = (az.AutoMLZeroClassifier, az.AutoMLZeroRegressor)
FEW = {"max_individuals": 200, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """X [120, 3] far from 0, labels in words, large numbers; fits of 90 rows share compiled machines."""
    X = np.random.default_rng(0).normal(1000, [1, 10, 100], (120, 3))
    score = (X - 1000) / [1, 10, 100] @ [2.0, -1.0, 0.5] + 0.5
    return X, np.where(score > 0, "yes", "no"), 1e6 + 5e4 * score


def same(record):
    """A record of a search without its seconds."""
    return dataclasses.replace(record, seconds=0)


def test_classes_are_predicted_in_words_and_the_same_each_time(data):
    X, labels, _ = data
    model = az.AutoMLZeroClassifier(**FEW).fit(X[:90], labels[:90])
    assert model.score(X[90:], labels[90:]) > 0.85
    assert model.classes_.tolist() == ["no", "yes"] and set(model.predict(X)) == {"no", "yes"}
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    assert model.n_features_in_ == 3 and model.search_.individuals == 200 and not model.search_.trivial
    assert model.search_.text == model.program_.to_text() and 0.8 < model.search_.select_fitness <= 1
    again = clone(model).fit(X[:90], labels[:90])
    assert same(again.search_) == same(model.search_)
    for other in (again, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X), probabilities)


@pytest.mark.slow
def test_three_classes_start_from_softmax_regression(data):
    X, _, numbers = data
    labels = np.digitize(numbers, np.quantile(numbers, [0.3, 0.6])) * 5
    model = az.AutoMLZeroClassifier(**FEW, initial_population="softmax_regression").fit(X[:90], labels[:90])
    assert model.score(X[90:], labels[90:]) > 0.7
    assert model.classes_.tolist() == [0, 5, 10] and model.predict_proba(X).shape == (120, 3)


def test_a_loss_is_one_of_such_labels(data, monkeypatch):
    X, two, numbers = data
    for estimator, y, message in (
        (az.AutoMLZeroRegressor(loss="cross_entropy"), numbers, "labels are numbers: expected one of 'rmse', 'mae'"),
        (az.AutoMLZeroClassifier(loss="huber"), two, "loss='huber': labels are 2 classes: expected one of 'accuracy'"),
        (az.AutoMLZeroRegressor(loss="mea"), numbers, "did you mean mae"),
    ):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, y)
    asked = []
    monkeypatch.setattr(estimators.fitting, "fit", lambda X, y, loss, **how: asked.append(loss) or (None, None))
    for estimator, y in (
        (az.AutoMLZeroRegressor(loss="mae"), numbers),
        (az.AutoMLZeroClassifier(loss="cross_entropy"), two),
        (az.AutoMLZeroClassifier(loss="cross_entropy"), np.arange(120) % 3),
        (az.AutoMLZeroClassifier(), two),
    ):
        with pytest.raises(AttributeError):  # there is no learner
            estimator.fit(X, y)
    assert asked == ["mae", "cross_entropy", "multiclass_cross_entropy", "accuracy"]


def test_numbers_are_scaled_and_scaled_back(data):
    X, _, numbers = data
    model = az.AutoMLZeroRegressor(**FEW, initial_population="linear").fit(X[:90], numbers[:90])
    assert model.score(X[90:], numbers[90:]) > 0.98
    assert same(clone(model).fit(X[:90], numbers[:90]).search_) == same(model.search_)
    # Nothing to learn is said to be trivial.
    noise = np.random.default_rng(1).normal(size=90)
    assert az.AutoMLZeroRegressor(max_individuals=1, initial_population="no_op").fit(X[:90], noise).search_.trivial


def test_missing_values_are_refused_or_filled(data):
    X, _, numbers = data
    X, numbers = X[:90].copy(), numbers[:90]
    X[3, 1] = np.nan
    model = az.AutoMLZeroRegressor(**FEW)
    with pytest.raises(ValueError, match="missing='mean' fills missing values"):
        model.fit(X, numbers)
    model.set_params(missing="mean").fit(X, numbers)
    filled = X[:4].copy()
    filled[3, 1] = np.nanmean(X[:, 1])
    np.testing.assert_allclose(model.predict(X[:4]), model.predict(filled), rtol=1e-6)


def test_names_of_columns_are_kept(data):
    pandas = pytest.importorskip("pandas")
    X, labels, _ = data
    X, labels = X[:90], labels[:90]
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    model = az.AutoMLZeroClassifier(**FEW).fit(table, pandas.Series(labels == "yes"))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"] and model.predict(table).dtype == bool
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["b", "a", "c"]])


@pytest.mark.thorough
def test_it_goes_where_estimators_go(data):
    X, _, numbers = data
    X, numbers = X[:90], numbers[:90]
    pipeline = make_pipeline(StandardScaler(), az.AutoMLZeroRegressor(**FEW, scale=False))
    assert cross_val_score(pipeline, X, numbers, cv=2).mean() > 0.9
    grid = GridSearchCV(az.AutoMLZeroRegressor(**FEW), {"initial_population": ["no_op", "linear"]}, cv=2)
    assert grid.fit(X, numbers).best_params_ == {"initial_population": "linear"}


def test_time_ends_a_search(data):
    X, _, numbers = data
    model = az.AutoMLZeroRegressor(max_seconds=1e-6, max_individuals=10**9).fit(X[:90], numbers[:90])
    assert model.search_.individuals == 100 and model.score(X, numbers) > 0.9


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_seconds": 0}, "max_seconds=0: expected a positive number"),
        ({"max_individuals": 2.5}, "max_individuals=2.5: expected an integer"),
        ({"initial_population": "liner"}, "initial_population='liner': expected one of 'auto'"),
        ({"initial_population": "softmax_regression"}, "expected three classes or more"),
        ({"scale": "yes"}, "scale='yes': expected True or False"),
        ({"missing": "drop"}, "missing='drop': expected one of 'refuse', 'mean'"),
        ({"num_threads": 0}, "num_threads=0"),
    ],
)
def test_arguments_are_checked(estimator, arguments, message):
    with pytest.raises(ValueError, match=message):
        estimator(**arguments).fit(np.eye(4), [0, 1, 0, 1])


def test_labels_are_checked():
    with pytest.raises(ValueError, match="y holds 1 class, 'a'"):
        az.AutoMLZeroClassifier().fit(np.eye(3), ["a", "a", "a"])
    with pytest.raises(ValueError, match="y holds 200 classes: expected at most 128"):
        az.AutoMLZeroClassifier().fit(np.zeros((600, 1)), np.arange(600) // 3)
    with pytest.raises(NotFittedError):
        az.AutoMLZeroClassifier().predict(np.eye(3))


def test_scikit_learn_is_an_extra():
    code = """
import sys, azero_jax
assert "sklearn" not in sys.modules
from azero_jax import *
sys.modules["sklearn"] = None
try:
    azero_jax.AutoMLZeroClassifier
except ImportError as error:
    assert "pip install 'azero_jax[sklearn]'" in str(error), error
else:
    raise SystemExit("no error")
assert "AutoMLZeroRegressor" in dir(azero_jax) and not hasattr(azero_jax, "AutoMLZero")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Those that fit nothing, or nothing but two classes or numbers of few columns.
QUICK = (
    *("check_parameters_default_constructible", "check_estimator_cloneable", "check_estimator_repr"),
    *("check_no_attributes_set_in_init", "check_mixin_order", "check_requires_y_none", "check_estimators_unfitted"),
    *("check_classifiers_one_label", "check_do_not_raise_errors_in_init_or_set_param"),
    *("check_fit2d_1sample", "check_fit1d", "check_complex_data"),
)


@pytest.mark.parametrize("estimator", BOTH)
def test_checks_of_scikit_learn_in_short(estimator):
    ran = set()
    for instance, check in estimator_checks_generator(estimator(max_individuals=100)):
        name = getattr(check, "func", check).__name__
        if name in QUICK:
            ran.add(name)
            check(instance)
    assert len(ran) >= 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", BOTH)
def test_every_check_of_scikit_learn(estimator):
    results = check_estimator(estimator(max_individuals=200), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 40
