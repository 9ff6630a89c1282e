"""Splits, scaling and starting programs of the estimators; no search."""

from __future__ import annotations

import numpy as np
import pytest

from azero_jax import Program
from azero_jax.fitting import DEFAULT_INDIVIDUALS, MOST_COLUMNS, Budget, Preparation, split_tasks, starting_programs


def test_splits_use_each_row_once_and_keep_the_shares_of_classes():
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    features = np.zeros((64, 4))
    features[:, 0] = np.arange(64)
    tasks = split_tasks(features, labels, "multiclass_accuracy", 5, np.random.default_rng(0))
    assert (tasks.num_train_examples, tasks.num_valid_examples) == (48, 16)
    for task in range(5):
        rows = np.concatenate([tasks.train_features[task, :, 0], tasks.valid_features[task, :, 0]])
        assert sorted(rows) == list(range(64))
        counts = np.bincount(tasks.valid_labels[task].astype(int))
        np.testing.assert_allclose(counts, [10, 5, 1], atol=1)
    assert not np.array_equal(tasks.train_features[0], tasks.train_features[1])


def test_many_rows_are_drawn_from():
    tasks = split_tasks(np.zeros((5000, 4)), np.zeros(5000), "rmse", 2, np.random.default_rng(0))
    assert (tasks.num_train_examples, tasks.num_valid_examples) == (1000, 300)
    assert tasks.num_train_epochs == 1
    assert split_tasks(np.zeros((40, 4)), np.zeros(40), "rmse", 2, np.random.default_rng(0)).num_train_epochs == 10


def test_columns_are_scaled_with_a_constant_and_zeros_behind():
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(3, 2, 50), rng.normal(0, 1e300, 50), np.full(50, 7.0), np.full(50, np.nan)], axis=1)
    X[4, 0] = np.nan
    preparation = Preparation.of(X, True, 0)
    features = preparation.features(X)
    assert features.shape == (50, 8)  # 5 up to a power of two
    np.testing.assert_allclose(features[:, :2].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(features[:, :2].std(axis=0), 1)
    assert features[4, 0] == pytest.approx(0)  # the mean
    np.testing.assert_array_equal(features[:, 2:], np.tile([0, 0, 1, 0, 0, 0], (50, 1)))
    as_it_is = Preparation.of(X[:, :1], False, 0).features(X[:, :1])
    np.testing.assert_array_equal(as_it_is[5:, 0], X[5:, 0])


def test_many_columns_are_projected_and_many_classes_have_room():
    X = np.random.default_rng(0).normal(size=(200, 60)) * np.arange(1, 61)
    features = Preparation.of(X, True, 0).features(X)
    assert features.shape == (200, 32)
    np.testing.assert_allclose(features[:, :MOST_COLUMNS].std(axis=0), 1)
    assert Preparation.of(X[:, :3], True, 10).features_size == 16


@pytest.mark.parametrize("loss", ["rmse", "accuracy", "multiclass_accuracy"])
def test_starts_are_linear_models_and_networks_of_several_rates(loss):
    programs = starting_programs("auto", loss)
    assert len(programs) == len({program.to_text() for program in programs}) == 8
    assert [len(starting_programs(start, loss)) for start in ("linear", "neural_net", "no_op", "random")] == [
        4,
        4,
        1,
        0,
    ]
    mine = Program.from_text("def Predict():\n")
    assert starting_programs(mine, loss) == [mine]


def test_budgets():
    assert Budget(None, None).used_up(1e9, DEFAULT_INDIVIDUALS)
    assert not Budget(None, None).used_up(1e9, DEFAULT_INDIVIDUALS - 1)
    assert not Budget(None, 50_000).used_up(1e9, 20_000)
    assert not Budget(5, None).used_up(4, 10**9) and Budget(5, None).used_up(5, 1)
    assert Budget(5, 100).used_up(1, 100) and Budget(5, 100).used_up(6, 10)
    assert (Budget(5, None).population_size(), Budget(None, 7).population_size()) == (100, 7)
