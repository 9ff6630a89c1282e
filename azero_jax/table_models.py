"""A program trained on a table, with what its columns go through before: a model that can leave this package.

Columns are standardised as in the tasks that `own_data` makes of a table, over all rows; numbers to predict likewise.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from azero_jax import datasets, objectives, own_data
from azero_jax.datasets import Dataset, Source
from azero_jax.export import Columns
from azero_jax.learner import Learner, PredictionWarning
from azero_jax.objectives import BINARY, CLASSES, NUMBERS
from azero_jax.program import Program

# What labels are, in words, and the loss that they ask for where nothing else does.
_IN_WORDS = {NUMBERS: "numbers", BINARY: "two classes", CLASSES: "several classes"}
_LOSSES = {NUMBERS: "rmse", BINARY: "accuracy", CLASSES: "multiclass_accuracy"}

# A row that is predicted alone may take a call of the machine, a third of a millisecond.
_MOST_SCORED = 1000


class TableModel(NamedTuple):
    """A program that has learned from a table.

    Attributes:
      learner: fitted.
      columns: what the table goes through before.
      rows: that it has learned from.
      description: a line on the table.
      fitness: on the first of the rows that it has learned from, each predicted alone; of classes
        the share that is right.
    """

    learner: Learner
    columns: Columns
    rows: int
    description: str
    fitness: float


def train(
    program: Program,
    source: Source,
    *,
    kind: str = "auto",
    loss: str = "",
    features_size: int | None = None,
    epochs: int = 0,
    examples: int = 0,
    seed: int = 0,
    max_abs_error: float = 100.0,
    dtype: str = "float32",
) -> TableModel:
    """Trains a program on all rows of a table, in random order, or as they come where they are in time.

    Args:
      program: what learns.
      source: of the table.
      kind: "classes", "numbers", or "auto" for what labels look like.
      loss: that the program was found for; empty for what the labels ask for.
      features_size: F to project to, 0 for the columns themselves, None for what a search on
        the table would see.
      epochs: passes over the rows; 0 for those that show about `examples` of them.
      examples: training examples to see, but at least all rows once; 0 for as many as in a
        search on the table.
      seed: of random ops, of the order of rows and of a projection.
      max_abs_error, dtype: as of `Learner`.

    Raises:
      ValueError: data that cannot be read, or labels of another kind than the program's.
      OSError: a file is missing.
      FitError: the program cannot be trained on the rows.
    """
    if loss and kind == "auto":
        kind = "classes" if objectives.named(loss).has_classes else "numbers"
    dataset = datasets.load_source(source, kind)
    name = source.path or source.dataset
    loss = _checked_loss(dataset, name, loss)
    table, labels = dataset.train.features.astype(np.float64), dataset.train.labels.astype(np.float64)
    order = np.arange(len(labels))
    if source.split != "ordered":
        order = np.random.default_rng(seed).permutation(order)
    table, labels = table[order], labels[order]
    columns = _columns(table, labels, dataset, source, features_size, seed)
    epochs = epochs or max(1, round((examples or own_data.examples_seen(len(table))) / len(table)))
    learner = Learner(
        program,
        loss=loss,
        epochs=epochs,
        num_classes=dataset.num_classes or None,
        max_abs_error=max_abs_error,
        seed=seed,
        dtype=dtype,
    )
    features = columns.features(table)
    targets = (labels - columns.label_shift) / columns.label_spread
    learner.fit(features, targets)
    fitness = _fitness(learner, features[:_MOST_SCORED], targets[:_MOST_SCORED])
    return TableModel(learner, columns, len(table), dataset.description or name, fitness)


def _fitness(learner: Learner, features: np.ndarray, targets: np.ndarray) -> float:
    """Of rows that are predicted alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)
        predicted = learner.predict(features, independent=True)
    if learner.objective.has_classes:
        return float(np.mean(predicted == targets))
    errors = learner.objective.error(jnp.asarray(predicted)[None], jnp.asarray(targets)[None])
    return float(learner.objective.fitness(np.asarray(learner.objective.summed(errors)).sum(), len(targets)))


def _checked_loss(dataset: Dataset, name: str, loss: str) -> str:
    """The loss of a dataset's labels, which has to be the program's, if that has one."""
    labels = dataset.train.labels
    if dataset.num_classes == 1 or labels.min() == labels.max():
        raise ValueError(f"{name}: all {len(labels):,} labels are the same: nothing to learn (--label names another)")
    needed = {0: NUMBERS, 2: BINARY}.get(dataset.num_classes, CLASSES)
    wanted = objectives.named(loss).labels if loss else needed
    if wanted != needed and (wanted, needed) != (CLASSES, BINARY):
        raise ValueError(
            f"{name}: labels are {_IN_WORDS[needed]}, and the program was found for {_IN_WORDS[wanted]}: expected "
            "labels of that kind (--label and --kind say which)"
        )
    return loss or objectives.usual(dataset.num_classes).name


def _columns(
    table: np.ndarray, labels: np.ndarray, dataset: Dataset, source: Source, features_size: int | None, seed: int
) -> Columns:
    """What the columns of a table go through."""
    size = own_data.features_size(table.shape[1], dataset.num_classes) if features_size is None else features_size
    projection = np.random.default_rng(seed).standard_normal((table.shape[1], size)) if size else None
    projected = table if projection is None else table @ projection
    spread = projected.std(axis=0)
    numbers = dataset.num_classes == 0
    return Columns(
        shift=projected.mean(axis=0),
        spread=np.where(spread > 0, spread, 1.0),
        projection=projection,
        fill=table.mean(axis=0) if source.missing == "mean" else None,
        label_shift=float(labels.mean()) if numbers else 0.0,
        label_spread=float(labels.std()) if numbers else 1.0,
        class_names=dataset.class_names,
        feature_names=dataset.feature_names,
    )
