"""Binary tasks from images of several classes, by Gaussian random projection.

As section 3.1 and supplement S4 of the paper: a pair of classes, a random
projection to F features, standardised on the training part. The images here are
the handwritten digits that scikit-learn contains (1,797 of 8 x 8 pixels), so that
nothing is downloaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

# The pairs that the C++ release holds out of the search (run_baseline.sh).
FINAL_PAIRS = ((0, 5), (0, 9), (1, 8), (2, 9), (3, 5), (3, 6), (3, 8), (4, 6), (8, 9))
# Nine others, each class in at least one, held out for selection.
SELECT_PAIRS = ((0, 2), (1, 7), (2, 7), (3, 9), (4, 9), (5, 8), (6, 8), (5, 6), (0, 4))
SEARCH_PAIRS = tuple(pair for pair in itertools.combinations(range(10), 2) if pair not in FINAL_PAIRS + SELECT_PAIRS)
PAIRS = {"search": SEARCH_PAIRS, "select": SELECT_PAIRS, "final": FINAL_PAIRS}

# Shares of each pair's images; the rest are for the final evaluation.
_TRAIN_SHARE, _VALID_SHARE = 0.6, 0.2


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn: images float64 [1797, 64] and classes int64 [1797].

    Raises:
      ValueError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ValueError("projected_digits: needs scikit-learn, from `pip install scikit-learn`") from error
    images, classes = datasets.load_digits(return_X_y=True)
    return images, classes


def projected_binary_task(
    images: np.ndarray,
    classes: np.ndarray,
    pair: tuple[int, int],
    *,
    features_size: int,
    num_train_examples: int,
    num_valid_examples: int,
    seed: int,
    test: bool,
) -> tuple[np.ndarray, ...]:
    """One task: class pair[1] is positive.

    Images of the pair fall into disjoint parts for training, validation and test,
    the same for every seed; each seed projects anew and picks examples of the parts.

    Args:
      images, classes: float64 [n, pixels], int64 [n].
      pair: the two classes.
      features_size: F, the dimension to project to; 0 keeps the pixels.
      num_train_examples, num_valid_examples: examples of the task.
      seed: of projection and choice.
      test: whether the validation examples come from the test part.

    Returns:
      train_features [N, F], train_labels [N], valid_features [M, F], valid_labels [M].

    Raises:
      ValueError: a part has fewer examples than asked for.
    """
    chosen = np.flatnonzero(np.isin(classes, pair))
    chosen = np.random.default_rng((2020, *pair)).permutation(chosen)
    ends = [int(_TRAIN_SHARE * len(chosen)), int((_TRAIN_SHARE + _VALID_SHARE) * len(chosen))]
    train, valid, held_back = np.split(chosen, ends)
    rng = np.random.default_rng((1, seed, *pair))
    parts = []
    for name, part, count in (
        ("num_train_examples", train, num_train_examples),
        ("num_valid_examples", held_back if test else valid, num_valid_examples),
    ):
        if count > len(part):
            raise ValueError(f"{name}={count}: classes {pair[0]} and {pair[1]} have {len(part)} images in that part")
        parts.append(rng.permutation(part)[:count])
    projection = np.eye(images.shape[1])
    if features_size:
        projection = rng.standard_normal((images.shape[1], features_size))
    train_features, valid_features = (images[part] @ projection for part in parts)
    mean = train_features.mean(axis=0)
    deviation = train_features.std(axis=0)
    deviation[deviation == 0] = 1  # a pixel that never changes stays at zero
    labels = [(classes[part] == pair[1]).astype(np.float64) for part in parts]
    return (train_features - mean) / deviation, labels[0], (valid_features - mean) / deviation, labels[1]


def projected_binary_tasks(
    images: np.ndarray, classes: np.ndarray, pairs: Sequence[tuple[int, int]], seeds: Sequence[int], **settings
) -> list[tuple[np.ndarray, ...]]:
    """Tasks for seeds, over the pairs in turn; settings as of `projected_binary_task`."""
    return [
        projected_binary_task(images, classes, pairs[i % len(pairs)], seed=seed, **settings)
        for i, seed in enumerate(seeds)
    ]
