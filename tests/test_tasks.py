from __future__ import annotations

import numpy as np
import pytest
from generated import regression_tasks

from azero_jax import Tasks, make_tasks, projected_tasks

X, Y = np.ones((2, 5, 3)), np.zeros((2, 5))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_features": np.ones((5, 3))}, r"train_features: shape \(5, 3\): expected 3 axes"),
        ({"train_labels": np.zeros((2, 4))}, r"train_labels: shape \(2, 4\): expected \(2, 5\)"),
        ({"valid_labels": np.zeros((3, 5))}, r"valid_labels: shape \(3, 5\): expected \(2, 5\)"),
        ({"valid_features": np.ones((2, 5, 4))}, r"valid_features: shape \(2, 5, 4\): expected \(2, 5, 3\)"),
        ({"train_features": np.full((2, 5, 3), np.nan)}, r"train_features: nan at index \(0, 0, 0\)"),
        ({"train_features": np.ones((0, 5, 3))}, "at least one of each"),
        ({"train_labels": "labels"}, "train_labels: expected an array of numbers"),
        (
            {"train_labels": np.array([["1.5"] * 5] * 2)},
            "train_labels: expected .*, found <U3, such as '1.5'",
        ),
        ({"train_labels": [["1.5"] * 5, [1.5] * 5]}, "train_labels: expected an array of numbers, found"),
        ({"train_labels": np.array([[None] * 5] * 2)}, "train_labels: expected .*, found object, such as None"),
        ({"valid_features": X * 1j}, "valid_features: expected an array of numbers, found complex128"),
        ({"train_labels": np.zeros((2, 5), "M8[D]")}, "train_labels: expected an array of numbers, found datetime64"),
        ({"valid_features": np.ma.masked_equal(X, 1)}, "valid_features: expected .*, found masked values"),
        ({"train_labels": list(np.ma.masked_equal(Y, 0))}, "train_labels: expected .*, found masked values"),
        ({"train_labels": [[1.0], [1.0, 2.0]]}, "train_labels: expected an array of numbers"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"num_train_epochs": 0}, "num_train_epochs=0"),
        ({"train_labels": Y + 2, "loss": "accuracy"}, r"train_labels: 2.0 at index \(0, 0\): expected 0 or 1"),
    ],
)
def test_bad_arrays_are_named(changed, message):
    arguments = {"train_features": X, "train_labels": Y, "valid_features": X, "valid_labels": Y} | changed
    with pytest.raises(ValueError, match=message):
        Tasks(**arguments)


def test_files(tmp_path):
    tasks = regression_tasks()
    tasks.save(tmp_path / "tasks.npz")
    loaded = Tasks.load(tmp_path / "tasks.npz")
    np.testing.assert_array_equal(loaded.train_features, tasks.train_features)
    assert make_tasks(f"npz:path={tmp_path}/tasks.npz,loss=rmse").num_tasks == 3
    with pytest.raises(ValueError, match=r"tasks\.npz: loss='accuracy': expected 'rmse', with which"):
        make_tasks(f"npz:path={tmp_path}/tasks.npz,loss=accuracy")
    Tasks(X, Y, X, Y, "accuracy", num_train_epochs=3, shuffle_seed=7).save(tmp_path / "epochs.npz")
    loaded = Tasks.load(tmp_path / "epochs.npz")
    assert (loaded.loss, loaded.num_train_epochs, loaded.shuffle_seed) == ("accuracy", 3, 7)
    assert make_tasks(f"npz:path={tmp_path}/epochs.npz,loss=accuracy").num_train_epochs == 3
    assert Tasks.load(tmp_path / "epochs.npz", num_train_epochs=2).num_train_epochs == 2

    np.savez(tmp_path / "part.npz", train_features=X)
    with pytest.raises(
        ValueError, match=r"part.npz: no array train_labels, valid_features, valid_labels; it holds train_f"
    ):
        Tasks.load(tmp_path / "part.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text.npz: not an .npz file"):
        Tasks.load(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", X)
    with pytest.raises(ValueError, match="found a single array"):
        Tasks.load(tmp_path / "array.npy")
    with pytest.raises(OSError):
        Tasks.load(tmp_path / "missing.npz")


def test_linear_tasks_are_linear_and_reproducible():
    tasks = make_tasks("scalar_linear_regression:num_tasks=10,num_train_examples=30,features_size=3")
    assert tasks.train_features.shape == (10, 30, 3)
    for x, y in zip(tasks.train_features, tasks.train_labels):
        assert np.linalg.lstsq(x, y)[1] < 1e-20
    again = make_tasks("scalar_linear_regression:num_tasks=12,num_train_examples=30,features_size=3")
    np.testing.assert_array_equal(again.train_labels[:10], tasks.train_labels)
    assert len(set(again.train_labels[:, 0].tolist())) == 12


def test_seeds():
    one = make_tasks("scalar_affine_regression:num_tasks=3,data_seeds=5+9,param_seeds=1")
    other = make_tasks("scalar_affine_regression:num_tasks=2,data_seeds=9,param_seeds=2")
    np.testing.assert_array_equal(one.train_features[1:], other.train_features)  # seeds 9 and 10
    np.testing.assert_array_equal(one.train_labels[1:], other.train_labels)
    drawn = make_tasks("scalar_affine_regression:num_tasks=3", random_seeds=np.random.default_rng(0))
    assert not np.array_equal(drawn.train_features, make_tasks("scalar_affine_regression:num_tasks=3").train_features)


def test_the_teacher_network_has_dead_units_0_and_2():
    tasks = make_tasks("scalar_2layer_nn_regression:num_tasks=1,features_size=4,param_seeds=3")
    rng = np.random.default_rng(3)
    matrix, weights = rng.standard_normal((4, 4)), rng.standard_normal(4)
    hidden = np.maximum(tasks.train_features[0] @ matrix.T, 0)
    np.testing.assert_allclose(tasks.train_labels[0], hidden[:, [1, 3]] @ weights[[1, 3]])


def test_digit_pairs_are_disjoint_and_complete():
    pairs = [pair for group in ("search", "select", "final") for pair in projected_tasks.class_pairs(10, group)]
    assert len(pairs) == len(set(pairs)) == 45
    assert len(projected_tasks.FINAL_PAIRS) == len(projected_tasks.SELECT_PAIRS) == 9


def test_digits_are_projected_standardised_and_split():
    settings = "features_size=16,num_train_examples=200,num_valid_examples=60,num_tasks=5"
    tasks = make_tasks(f"projected_digits:{settings}")
    assert tasks.train_features.shape == (5, 200, 16)
    np.testing.assert_allclose(tasks.train_features.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(tasks.train_features.std(axis=1), 1)
    assert set(np.unique(tasks.train_labels)) == {0.0, 1.0}

    # At 64 dimensions a row is an image: the three parts share none.
    rows = {}
    for name, extra in (("valid", "test=false"), ("test", "test=true")):
        full = make_tasks(
            f"projected_digits:features_size=0,num_train_examples=200,num_valid_examples=60,num_tasks=1,{extra}"
        )
        rows["train"], rows[name] = (
            {row.tobytes() for row in features.round(9)}
            for features in (full.train_features[0], full.valid_features[0])
        )
    assert not rows["train"] & rows["valid"] and not rows["train"] & rows["test"] and not rows["valid"] & rows["test"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cifar", "unknown generator 'cifar'"),
        ("scalar_linear_regression:size=4", "'size=4': expected name=value with a name among features_size"),
        ("scalar_linear_regression:num_tasks=many", "num_tasks='many': expected an integer"),
        ("scalar_linear_regression:num_tasks=0", "num_tasks=0: expected a positive integer"),
        ("scalar_linear_regression:features_size=0", "features_size=0"),
        ("scalar_linear_regression:data_seeds=1;2", "data_seeds='1;2': expected integers joined by"),
        ("projected_digits:pairs=most,num_valid_examples=9,features_size=4", "pairs='most'"),
        ("projected_digits:num_train_examples=8000", "num_train_examples=8000: classes 0 and 1 have"),
        ("npz", "path is missing"),
    ],
)
def test_bad_specifications_are_repeated(spec, message):
    with pytest.raises(ValueError, match=message) as error:
        make_tasks(spec)
    assert repr(spec) in str(error.value)


def test_labels_beyond_the_error_that_ends_a_program_are_said():
    tasks = Tasks(X, Y + 250, X, Y)
    assert tasks.beyond(250) == "" and Tasks(X, Y, X, Y + 1, "accuracy").beyond(0.5) == ""
    assert "labels are as large as 250: " in tasks.beyond(100) and "--max_abs_error=500" in tasks.beyond(100)
