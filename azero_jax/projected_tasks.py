"""Binary and multi-class tasks from datasets of several classes, by Gaussian random projection.

As section 3.1 and supplement S4 of the paper: a pair of classes, a random projection to F
features, standardised on the training part. What comes of files is kept on disk, so that
many processes and later runs need not read and project them again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from azero_jax import datasets, tables
from azero_jax.datasets import Dataset, Source
from azero_jax.execution import require_memory
from azero_jax.notices import did_you_mean, shortened, tell_once
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

_CACHE_VERSION = "2"
_CHECKSUM_SIZE = hashlib.sha256().digest_size


def class_pairs(num_classes: int, group: str, held_out: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """The pairs of classes of a group.

    Args:
      num_classes: of the dataset.
      group: "search", "select" or "final", which share no pair, or "all". Two classes are
        one pair, which every group has; its examples are divided instead.
      held_out: the pairs of "final", of which the others then have none; by default
        those of the release, which needs ten classes.

    Raises:
      ValueError: an unknown group, a pair of classes that there are not, or no pair is left.
    """
    if group not in GROUPS:
        raise ValueError(f"pairs={group!r}: expected one of {', '.join(GROUPS)}")
    if num_classes == 2 and not held_out:
        return [(0, 1)]
    every = list(itertools.combinations(range(num_classes), 2))
    for pair in held_out:
        if not 0 <= pair[0] < pair[1] < num_classes:
            raise ValueError(f"held_out_pairs: {pair[0]}-{pair[1]}: expected smaller-larger of 0 to {num_classes - 1}")
    if group == "all":
        return every
    ten = num_classes == 10
    final = list(held_out) or (list(FINAL_PAIRS) if ten else [])
    select = [pair for pair in SELECT_PAIRS if pair not in final] if ten else []
    others = {*final, *select}
    pairs = {"search": [pair for pair in every if pair not in others], "select": select, "final": final}[group]
    if not pairs:
        raise ValueError(
            f"pairs={group}: {num_classes} classes have no such pairs: expected pairs=all, positive_class and "
            "negative_class, or held_out_pairs"
        )
    return pairs


def named_class(dataset: Dataset, name: str) -> int:
    """The number of a class that was named as the dataset has it.

    Raises:
      ValueError: no class has that name.
    """
    if name in dataset.class_names:
        return dataset.class_names.index(name)
    near = did_you_mean(name, dataset.class_names)
    raise ValueError(f"class {shortened(name)}: expected {_every_class(dataset)}{near}")


def _every_class(dataset: Dataset) -> str:
    if dataset.class_names == tuple(map(str, range(dataset.num_classes))):
        return f"0 to {dataset.num_classes - 1}"
    listed = ", ".join(shortened(name, 40) for name in dataset.class_names[:10])
    return listed + (" ..." if dataset.num_classes > 10 else "")


def named_pair(dataset: Dataset, text: str) -> tuple[int, int]:
    """The numbers of two classes whose names are joined by `-`, which names may hold, too.

    Raises:
      ValueError: there is no such pair.
    """
    names = dataset.class_names
    for position in [position for position, character in enumerate(text) if character == "-"]:
        low, high = text[:position], text[position + 1 :]
        if low in names and high in names:
            if names.index(low) >= names.index(high):
                raise ValueError(f"held_out_pairs: {text}: expected smaller-larger of {_every_class(dataset)}")
            return names.index(low), names.index(high)
    raise ValueError(
        f"held_out_pairs={shortened(text)!r}: expected pairs as in {names[0]}-{names[min(5, len(names) - 1)]}"
    )


def _parts(
    labels: np.ndarray, classes: Sequence[int], shares: tuple[float, float], ordered: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the classes' examples, divided into training, validation and the rest."""
    chosen = np.flatnonzero(np.isin(labels, classes))
    if not ordered:
        chosen = np.random.default_rng((2020, *classes)).permutation(chosen)
    ends = [int(shares[0] * len(chosen)), int(sum(shares) * len(chosen))]
    train, valid, rest = np.split(chosen, ends)
    return train, valid, rest


def _divided_by_class(
    dataset: Dataset, classes: Sequence[int], shares: tuple[float, float], with_rest: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_parts`, with something of each class in each part."""
    parts: list[list[np.ndarray]] = [[], [], []]
    for number in classes:
        chosen = np.flatnonzero(dataset.train.labels == number)
        least = 2 + with_rest
        if len(chosen) < least:
            raise ValueError(
                f"class {shortened(dataset.class_names[number])} has {len(chosen)} example{'s' * (len(chosen) != 1)}: "
                f"expected at least {least}, one for each of training, validation{' and test' * with_rest}"
            )
        chosen = np.random.default_rng((2020, number)).permutation(chosen)
        num_valid = max(1, int(shares[1] * len(chosen)))
        num_rest = max(1, int((1 - sum(shares)) * len(chosen))) if with_rest else 0
        for part, some in zip(parts, np.split(chosen, [len(chosen) - num_valid - num_rest, len(chosen) - num_rest])):
            part.append(some)
    train, valid, rest = (
        np.random.default_rng((2020, index, *classes)).permutation(np.concatenate(part))
        for index, part in enumerate(parts)
    )
    return train, valid, rest


def _with_every_class(order: np.ndarray, labels: np.ndarray, count: int, classes: Sequence[int]) -> np.ndarray:
    """The first `count` of an order of examples; a class that is missing gets the place of the commonest's last."""
    picked = order[:count].copy()
    for number in classes:
        if (labels[picked] == number).any():
            continue
        candidates = order[labels[order] == number]
        if not len(candidates):
            continue
        counts = np.bincount(labels[picked])
        if counts.max() > 1:
            picked[np.flatnonzero(labels[picked] == counts.argmax())[-1]] = candidates[0]
    return picked


def projected_examples(
    dataset: Dataset,
    classes: Sequence[int],
    *,
    features_size: int,
    num_train_examples: int,
    num_valid_examples: int,
    seed: int,
    test: bool,
    ordered: bool = False,
) -> list[np.ndarray]:
    """Examples of some classes for one task.

    Examples of the classes fall into disjoint parts for training, validation and test, the
    same for every seed; each seed projects anew and picks examples of the parts. A class
    too rare to be in each part by chance is divided on its own, and one that a pick misses
    gets a place in it: training has every class that there is room for, validation at
    least two.

    Args:
      dataset: with classes.
      classes: their numbers, which are also the labels.
      features_size: F, the dimension to project to; 0 keeps the dataset's.
      num_train_examples, num_valid_examples: examples of the task.
      seed: of projection and choice.
      test: whether the validation examples come from the test part.
      ordered: whether examples keep their order: the first are for training, those after
        them for validation, the last for test.

    Returns:
      train_features [N, F], train_labels [N], valid_features [M, F], valid_labels [M].

    Raises:
      ValueError: a part has fewer examples than asked for, or a class none.
    """
    shares = _SHARES if dataset.test is None else _SHARES_WITH_TEST
    train, valid, rest = _parts(dataset.train.labels, classes, shares, ordered)
    found = [len(np.unique(dataset.train.labels[part])) for part in (train, valid, rest)]
    lacking = found[0] < len(classes) or found[1] < 2 or (dataset.test is None and found[2] < 2)
    if lacking and not ordered:
        train, valid, rest = _divided_by_class(dataset, classes, shares, dataset.test is None)
    held_back = (dataset.train, rest)
    if dataset.test is not None:
        held_back = (dataset.test, np.flatnonzero(np.isin(dataset.test.labels, classes)))
    rng = np.random.default_rng((1, seed, *classes))
    parts = []
    for name, (split, part), count in (
        ("num_train_examples", (dataset.train, train), num_train_examples),
        ("num_valid_examples", held_back if test else (dataset.train, valid), num_valid_examples),
    ):
        listed = _listed(dataset, classes)
        if count > len(part):
            raise ValueError(
                f"{name}={count}: {listed} have {len(part)} examples in that part: expected at most {len(part)}"
            )
        if count < 2:
            raise ValueError(f"{name}={count}: expected at least 2, of two classes")
        order = rng.permutation(part)
        wanted = classes if name == "num_train_examples" else _first_two(split.labels[order])
        picked = _with_every_class(order, split.labels, count, wanted)
        if len(np.unique(split.labels[picked])) < 2:
            where = " in their order" if ordered else ""
            raise ValueError(f"{name}={count}: {listed} have examples of one class only in that part{where}")
        picked = np.sort(picked) if ordered else picked
        parts.append((split.features[picked].astype(np.float64), split.labels[picked].astype(np.float64)))
    if features_size:
        projection = rng.standard_normal((dataset.train.features.shape[1], features_size))
        parts = [(features @ projection, labels) for features, labels in parts]
    (train_features, train_labels), (valid_features, valid_labels) = parts
    mean = train_features.mean(axis=0)
    deviation = train_features.std(axis=0)
    deviation[deviation == 0] = 1  # a pixel that never changes stays at zero
    return [(train_features - mean) / deviation, train_labels, (valid_features - mean) / deviation, valid_labels]


def _first_two(labels: np.ndarray) -> list[int]:
    """The first two classes that come up in an order."""
    return list(dict.fromkeys(labels.tolist()))[:2]


def _listed(dataset: Dataset, classes: Sequence[int]) -> str:
    names = [shortened(dataset.class_names[number], 40) for number in classes]
    if len(names) == 2:
        return f"classes {names[0]} and {names[1]}"
    return f"classes {names[0]} to {names[-1]}"


class Asked(NamedTuple):
    """What tasks of a dataset are to be like.

    Attributes:
      seeds: one for each task.
      num_train_epochs: passes over the training examples.
      features_size, num_train_examples, num_valid_examples, test, ordered: as of
        `projected_examples`.
    """

    seeds: tuple[int, ...]
    num_train_epochs: int
    features_size: int
    num_train_examples: int
    num_valid_examples: int
    test: bool = False
    ordered: bool = False

    def examples(self, dataset: Dataset, classes: Sequence[int], seed: int) -> list[np.ndarray]:
        """`projected_examples` of one task."""
        return projected_examples(
            dataset,
            classes,
            seed=seed,
            features_size=self.features_size,
            num_train_examples=self.num_train_examples,
            num_valid_examples=self.num_valid_examples,
            test=self.test,
            ordered=self.ordered,
        )


def binary_tasks(
    dataset: Dataset, asked: Asked, *, group: str = "search", pair: Sequence[str] = (), held_out: Sequence[str] = ()
) -> Tasks:
    """Tasks for seeds, over the pairs of classes in turn; the second class of a pair is positive.

    Args:
      dataset: with classes.
      asked: how many tasks, of which sizes.
      group: as of `class_pairs`.
      pair: names of the negative and the positive class, instead of a group's pairs.
      held_out: pairs of names of classes joined by `-`, as `class_pairs` has them.

    Raises:
      ValueError: see `class_pairs` and `projected_examples`.
    """
    _check_classes(dataset)
    if pair:
        pairs = [(named_class(dataset, pair[0]), named_class(dataset, pair[1]))]
        if pairs[0][0] == pairs[0][1]:
            raise ValueError(f"positive_class and negative_class are both {pair[0]}: expected two classes")
    else:
        pairs = class_pairs(dataset.num_classes, group, [named_pair(dataset, text) for text in held_out])
    made = []
    for i, seed in enumerate(asked.seeds):
        two = pairs[i % len(pairs)]
        parts = asked.examples(dataset, two, seed)
        made.append([part if part.ndim == 2 else (part == two[1]).astype(np.float64) for part in parts])
    return _tasks(made, "accuracy", asked, dataset)


def multiclass_tasks(dataset: Dataset, asked: Asked) -> Tasks:
    """Tasks of all classes of a dataset, one for each seed; arguments as of `binary_tasks`.

    Raises:
      ValueError: see `projected_examples`; more classes than features.
    """
    _check_classes(dataset)
    features_size = asked.features_size or dataset.train.features.shape[1]
    if features_size < dataset.num_classes:
        raise ValueError(
            f"features_size={features_size}: expected at least {dataset.num_classes}, the classes of {dataset.name}, "
            "since a vector holds as many numbers"
        )
    classes = range(dataset.num_classes)
    made = [asked.examples(dataset, classes, seed) for seed in asked.seeds]
    return _tasks(made, "multiclass_accuracy", asked, dataset)


def _check_classes(dataset: Dataset) -> None:
    if not dataset.num_classes:
        raise ValueError(f"dataset {dataset.name}: its labels are numbers: expected classes")
    if dataset.num_classes == 1:
        raise ValueError(
            f"dataset {dataset.name}: all {len(dataset.train.labels):,} labels are {dataset.class_names[0]}: one "
            "class, expected at least two; the label of a table is expected in its last column, label=NAME or "
            "label=POSITION (0 is the first column) names another"
        )


def _tasks(made: Sequence[Sequence[np.ndarray]], loss: str, asked: Asked, dataset: Dataset) -> Tasks:
    arrays = [np.stack(parts) for parts in zip(*made)]
    return Tasks(
        arrays[0], arrays[1], arrays[2], arrays[3], loss, asked.num_train_epochs, description=dataset.description
    )


def kept_or_made(source: Source, asked: object, cache_dir: str, make: Callable[[], Tasks]) -> Tasks:
    """Tasks from disk if they were made before of the same files, else new ones, which are then kept.

    A kept file that is damaged is made again, and a directory that cannot be written is no
    error, since the tasks are there: both are told.

    Args:
      source: of the data; only what comes of files is kept.
      asked: everything else that decides the tasks, as JSON can hold it.
      cache_dir: where to keep them; empty for nowhere.
      make: makes them.
    """
    files = datasets.files(source.dataset, source.path)
    if not files or not cache_dir:
        return make()
    # What cannot be tasks is refused before all of it is read for its checksum.
    require_memory(sum(file.stat().st_size for file in files), ", ".join(map(str, files)))
    if source.dataset == "csv":
        tables.encoding_of(files[0], source.encoding)
    kept = pathlib.Path(cache_dir).expanduser() / f"{_digest(files, [dataclasses.asdict(source), asked])}.npz"
    if (tasks := _read_kept(kept)) is not None:
        return tasks
    tasks = make()
    try:
        _keep(kept, tasks)
    except OSError as error:
        tell_once(f"projections are not kept in {cache_dir} ({error}): they are made anew in each run")
    return tasks


def _digest(files: Sequence[pathlib.Path], asked: object) -> str:
    """Identifies the content of files and what is made of them."""
    digest = hashlib.sha256(json.dumps([_CACHE_VERSION, asked]).encode())
    for file in files:
        with open(file, "rb") as content:
            digest.update(f"{file.name}:".encode())
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _read_kept(path: pathlib.Path) -> Tasks | None:
    """Kept tasks; None where there are none, or damaged ones."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        tell_once(f"{path}: cannot be read ({error}): projections are made again")
        return None
    packed, checksum = content[:-_CHECKSUM_SIZE], content[-_CHECKSUM_SIZE:]
    if hashlib.sha256(packed).digest() != checksum:
        tell_once(f"{path}: damaged: projections are made again")
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        settings = json.loads(str(arrays["settings"]))
        return Tasks(*(arrays[name] for name in ARRAYS), **settings)


def _keep(path: pathlib.Path, tasks: Tasks) -> None:
    """Writes a file aside, under a name of its own, since several processes may write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(tasks, name) for name in ("loss", "num_train_epochs", "description")}
    arrays = {name: getattr(tasks, name) for name in ARRAYS} | {"settings": np.array(json.dumps(settings))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    packed = buffer.getvalue()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
        try:
            file.write(packed + hashlib.sha256(packed).digest())
            file.close()
            os.replace(file.name, path)
        except BaseException:
            pathlib.Path(file.name).unlink(missing_ok=True)
            raise
