"""Binary and multi-class tasks from datasets of several classes, by Gaussian random projection.

As section 3.1 and supplement S4 of the paper: a pair of classes, a random projection to F
features, standardised on the training part. What comes of files is kept on disk, so that
many processes and later runs need not read and project them again.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from azero_jax import datasets
from azero_jax.datasets import Dataset
from azero_jax.tasks import ARRAYS, Tasks

# The pairs of ten classes that the C++ release holds out of the search (run_baseline.sh).
FINAL_PAIRS = ((0, 5), (0, 9), (1, 8), (2, 9), (3, 5), (3, 6), (3, 8), (4, 6), (8, 9))
# Nine others, each class in at least one, held out for selection.
SELECT_PAIRS = ((0, 2), (1, 7), (2, 7), (3, 9), (4, 9), (5, 8), (6, 8), (5, 6), (0, 4))
GROUPS = ("search", "select", "final", "all")

# Shares of each pair's examples for training and validation; the rest are for the final
# evaluation where the dataset has no test split of its own.
_SHARES = (0.6, 0.2)
_SHARES_WITH_TEST = (0.8, 0.2)


def class_pairs(num_classes: int, group: str, held_out: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """The pairs of classes of a group.

    Args:
      num_classes: of the dataset.
      group: "search", "select" or "final", which share no pair, or "all".
      held_out: the pairs of "final", of which the others then have none; by default
        those of the release, which needs ten classes.

    Raises:
      ValueError: an unknown group, a pair of classes that there are not, or no pair is left.
    """
    every = list(itertools.combinations(range(num_classes), 2))
    for pair in held_out:
        if pair not in every:
            raise ValueError(f"held_out_pairs: {pair[0]}-{pair[1]}: expected smaller-larger of 0 to {num_classes - 1}")
    if group not in GROUPS:
        raise ValueError(f"pairs={group!r}: expected one of {', '.join(GROUPS)}")
    if group == "all":
        return every
    ten = num_classes == 10
    final = list(held_out) or (list(FINAL_PAIRS) if ten else [])
    select = [pair for pair in SELECT_PAIRS if pair not in final] if ten else []
    pairs = {"search": [pair for pair in every if pair not in final + select], "select": select, "final": final}[group]
    if not pairs:
        raise ValueError(
            f"pairs={group}: {num_classes} classes have no such pairs: expected pairs=all, positive_class and "
            "negative_class, or held_out_pairs"
        )
    return pairs


def projected_examples(
    dataset: Dataset,
    classes: Sequence[int],
    *,
    features_size: int,
    num_train_examples: int,
    num_valid_examples: int,
    seed: int,
    test: bool,
) -> list[np.ndarray]:
    """Examples of some classes for one task.

    Examples of the classes fall into disjoint parts for training, validation and test, the
    same for every seed; each seed projects anew and picks examples of the parts.

    Args:
      dataset: with classes.
      classes: their numbers, which are also the labels.
      features_size: F, the dimension to project to; 0 keeps the dataset's.
      num_train_examples, num_valid_examples: examples of the task.
      seed: of projection and choice.
      test: whether the validation examples come from the test part.

    Returns:
      train_features [N, F], train_labels [N], valid_features [M, F], valid_labels [M].

    Raises:
      ValueError: a part has fewer examples than asked for.
    """
    train_share, valid_share = _SHARES if dataset.test is None else _SHARES_WITH_TEST
    chosen = np.flatnonzero(np.isin(dataset.train.labels, classes))
    chosen = np.random.default_rng((2020, *classes)).permutation(chosen)
    train, valid, rest = np.split(
        chosen, [int(train_share * len(chosen)), int((train_share + valid_share) * len(chosen))]
    )
    held_back = (dataset.train, rest)
    if dataset.test is not None:
        held_back = (dataset.test, np.flatnonzero(np.isin(dataset.test.labels, classes)))
    rng = np.random.default_rng((1, seed, *classes))
    parts = []
    for name, (split, part), count in (
        ("num_train_examples", (dataset.train, train), num_train_examples),
        ("num_valid_examples", held_back if test else (dataset.train, valid), num_valid_examples),
    ):
        if count > len(part):
            listed = " and ".join(map(str, classes)) if len(classes) == 2 else f"0 to {len(classes) - 1}"
            raise ValueError(f"{name}={count}: classes {listed} have {len(part)} examples in that part")
        picked = rng.permutation(part)[:count]
        parts.append((split.features[picked].astype(np.float64), split.labels[picked].astype(np.float64)))
    if features_size:
        projection = rng.standard_normal((dataset.train.features.shape[1], features_size))
        parts = [(features @ projection, labels) for features, labels in parts]
    (train_features, train_labels), (valid_features, valid_labels) = parts
    mean = train_features.mean(axis=0)
    deviation = train_features.std(axis=0)
    deviation[deviation == 0] = 1  # a pixel that never changes stays at zero
    return [(train_features - mean) / deviation, train_labels, (valid_features - mean) / deviation, valid_labels]


def projected_binary_tasks(
    name: str,
    path: str,
    *,
    group: str,
    pair: tuple[int, int] | None,
    held_out: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    num_train_epochs: int,
    cache_dir: str,
    **settings: int,
) -> Tasks:
    """Tasks for seeds, over the pairs of classes in turn; the second class of a pair is positive.

    Args:
      name, path: of the dataset, as of `datasets.load`.
      group, held_out: as of `class_pairs`.
      pair: the negative and the positive class, instead of a group's pairs.
      seeds: one for each task.
      num_train_epochs: passes over the training examples.
      cache_dir: where projections of files are kept; empty for nowhere.
      settings: as of `projected_examples`.

    Raises:
      ValueError: see `datasets.load`, `class_pairs` and `projected_examples`.
      OSError: a file cannot be read.
    """

    def make(dataset: Dataset) -> list[list[np.ndarray]]:
        pairs = class_pairs(dataset.num_classes, group, held_out) if pair is None else [pair]
        for number in pair or ():
            if not 0 <= number < dataset.num_classes:
                raise ValueError(f"class {number}: expected 0 to {dataset.num_classes - 1}")
        made = []
        for i, seed in enumerate(seeds):
            two = pairs[i % len(pairs)]
            parts = projected_examples(dataset, two, seed=seed, **settings)  # type: ignore[arg-type]
            made.append([part if part.ndim == 2 else (part == two[1]).astype(np.float64) for part in parts])
        return made

    asked = [name, group, pair, [list(some) for some in held_out], list(seeds), sorted(settings.items())]
    arrays = _kept_or_made(name, path, cache_dir, asked, make)
    return Tasks(arrays[0], arrays[1], arrays[2], arrays[3], "accuracy", num_train_epochs)


def projected_multiclass_tasks(
    name: str, path: str, *, seeds: Sequence[int], num_train_epochs: int, cache_dir: str, **settings: int
) -> Tasks:
    """Tasks of all classes of a dataset, one for each seed; arguments as of `projected_binary_tasks`.

    Raises:
      ValueError: see `datasets.load` and `projected_examples`; more classes than features.
      OSError: a file cannot be read.
    """

    def make(dataset: Dataset) -> list[list[np.ndarray]]:
        features_size = settings["features_size"] or dataset.train.features.shape[1]
        if features_size < dataset.num_classes:
            raise ValueError(
                f"features_size={features_size}: expected at least {dataset.num_classes}, the classes of {name}, "
                "since a vector holds as many numbers"
            )
        classes = range(dataset.num_classes)
        return [projected_examples(dataset, classes, seed=seed, **settings) for seed in seeds]  # type: ignore[arg-type]

    asked = [name, "all classes", list(seeds), sorted(settings.items())]
    arrays = _kept_or_made(name, path, cache_dir, asked, make)
    return Tasks(arrays[0], arrays[1], arrays[2], arrays[3], "multiclass_accuracy", num_train_epochs)


def _kept_or_made(
    name: str, path: str, cache_dir: str, asked: object, make: Callable[[Dataset], list[list[np.ndarray]]]
) -> list[np.ndarray]:
    """The arrays of `tasks.ARRAYS` for what was asked: those on disk, if the data is in files, or new ones."""
    files = datasets.files(name, path)
    kept = pathlib.Path(cache_dir) / f"{_digest(files, asked)}.npz" if files and cache_dir else None
    if kept is not None and kept.is_file():
        with np.load(kept) as arrays:
            return [arrays[array] for array in ARRAYS]
    dataset = datasets.load(name, path)
    if not dataset.num_classes:
        raise ValueError(f"dataset {name}: its labels are numbers: expected classes")
    made = [np.stack(parts) for parts in zip(*make(dataset))]
    if kept is not None:
        _keep(kept, made)
    return made


def _digest(files: Sequence[pathlib.Path], asked: object) -> str:
    """Identifies the content of files and what is made of them."""
    digest = hashlib.sha256(json.dumps(["1", asked]).encode())
    for file in files:
        with open(file, "rb") as content:
            digest.update(f"{file.name}:".encode())
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _keep(path: pathlib.Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes a file aside, under a name of its own, since several processes may write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **dict(zip(ARRAYS, arrays)))  # type: ignore[arg-type]
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
        file.write(buffer.getvalue())
    os.replace(file.name, path)
