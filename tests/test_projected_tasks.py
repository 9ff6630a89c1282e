"""Draws of examples, and projections on disk."""

from __future__ import annotations

import os

import numpy as np
import pytest

from azero_jax import make_tasks, notices, projected_tasks
from azero_jax.datasets import Dataset, Split


def dataset(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.random.default_rng(seed).normal(size=(len(labels), 4))
    return Dataset("mine", Split(features, labels), None, len(counts))


def asked(seeds, train, valid, **changed):
    return projected_tasks.Asked(tuple(seeds), 1, 0, train, valid, **changed)


@pytest.mark.parametrize("counts", [(500, 3), (3, 500), (40, 12), (1000, 5)])
@pytest.mark.parametrize("test", [False, True])
def test_both_classes_are_in_every_part_of_every_task(counts, test):
    tasks = projected_tasks.binary_tasks(dataset(counts), asked(range(60), 8, 2, test=test))
    for labels in (*tasks.train_labels, *tasks.valid_labels):
        assert set(labels) == {0, 1}


def test_the_parts_share_no_example():
    for counts in ((500, 3), (60, 60)):
        rows = {}
        for test in (False, True):
            tasks = projected_tasks.binary_tasks(dataset(counts), asked(range(30), 20, 8, test=test))
            # Standardised by each task's own training examples: compare what they come from.
            rows[test] = tasks.train_labels.shape, tasks.valid_labels.shape
        assert rows[False] == rows[True]
        shares = projected_tasks._SHARES
        mine = dataset(counts)
        parts = projected_tasks._divided_by_class(mine, (0, 1), shares, True)
        indices = np.concatenate(parts)
        assert len(set(indices)) == len(indices) == sum(counts)


def test_training_has_every_class_there_is_room_for():
    tasks = projected_tasks.multiclass_tasks(dataset((300, 300, 4, 4)), asked(range(40), 10, 6))
    for labels in tasks.train_labels:
        assert set(labels) == {0, 1, 2, 3}
    for labels in tasks.valid_labels:
        assert len(set(labels)) > 1


@pytest.mark.parametrize(
    ("counts", "train", "valid", "message"),
    [
        ((50, 2), 8, 2, "class 1 has 2 examples: expected at least 3, one for each of training, validation and test"),
        ((50, 50), 80, 2, "num_train_examples=80: classes 0 and 1 have 60 examples in that part: expected at most 60"),
        ((50, 50), 8, 1, "num_valid_examples=1: expected at least 2, of two classes"),
        ((50,), 8, 2, "all 50 labels are 0: one class, expected at least two"),
    ],
)
def test_tasks_that_cannot_be_made(counts, train, valid, message):
    with pytest.raises(ValueError, match=message):
        projected_tasks.binary_tasks(dataset(counts), asked([1], train, valid))


def test_a_sparse_file_of_terabytes_is_refused_at_once(tmp_path):
    for size, message in ((2**33, "holds a NUL byte at 0"), (2**43, r"needs about 8\.0 TiB of memory")):
        with open(tmp_path / "sparse.csv", "wb") as file:
            file.truncate(size)
        with pytest.raises(ValueError, match=message):
            make_tasks(f"projected_binary_classification:dataset=csv,path={tmp_path}/sparse.csv")


@pytest.fixture
def spec(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3))
    np.savetxt(tmp_path / "mine.csv", np.c_[x, x[:, 0] > 0], delimiter=",", fmt="%.4f")
    return (
        f"projected_binary_classification:dataset=csv,path={tmp_path}/mine.csv,features_size=4,num_tasks=2,"
        f"num_train_examples=20,num_valid_examples=6,cache_dir={tmp_path}/cache"
    )


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: b"x" * len(data), "bit"])
def test_a_damaged_cache_is_told_and_made_again(tmp_path, spec, capsys, damage):
    notices._TOLD.clear()
    first = make_tasks(spec)
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    wrong = bytearray(content)
    wrong[len(wrong) // 2] ^= 1
    kept.write_bytes(bytes(wrong) if damage == "bit" else damage(content))
    again = make_tasks(spec)
    np.testing.assert_array_equal(again.train_features, first.train_features)
    assert capsys.readouterr().err.count(f"{kept}: damaged: projections are made again\n") == 1
    assert kept.read_bytes() == content
    kept_tasks = make_tasks(spec)
    np.testing.assert_array_equal(kept_tasks.valid_labels, first.valid_labels)
    assert kept_tasks.description == first.description and "200 rows" in first.description


def test_a_cache_that_cannot_be_written_costs_a_line(tmp_path, spec, capsys, monkeypatch):
    notices._TOLD.clear()
    expected = make_tasks(spec)
    (tmp_path / "file").write_text("no directory")
    for _ in range(2):
        tasks = make_tasks(spec.replace("/cache", "/file"))
        np.testing.assert_array_equal(tasks.train_features, expected.train_features)
    told = capsys.readouterr().err
    assert told.count("projections are not kept in") == 1

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    tasks = make_tasks(spec.replace("/cache", "/other"))
    np.testing.assert_array_equal(tasks.train_features, expected.train_features)
    assert "No space left" in capsys.readouterr().err and not list((tmp_path / "other").iterdir())
