"""Losses: for each one value that says all there is to know of it, which every other module asks.

Predict leaves *scores*: a number in s1, or a number for each of C classes in v2. Before Learn
sees them they are *normalised*: a probability by a sigmoid, probabilities by softmax, or nothing
is done. Training compares normalised predictions with labels, and a task ends where they are
too far apart. Validation adds up what each example costs; the mean over the examples makes the
fitness. docs/losses.md has the formulas.

Functions of examples take many at once, one to a column: scores [K, n], where K is 1 or C, and
labels [1, n], where classes are numbers from 0. They return [1, n].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import arguments, lane_forms
from azero_jax.notices import did_you_mean

# What labels are: any numbers; 0 and 1; 0 to C - 1.
NUMBERS, BINARY, CLASSES = "numbers", "binary", "classes"
LABELS = (NUMBERS, BINARY, CLASSES)

# Beyond this, Huber's loss grows as the distance and no longer as its square.
HUBER_DELTA = 1.0


def sigmoid(x: Array) -> Array:
    """The probability that a score stands for."""
    return 1 / (1 + jnp.exp(-x))


def one_hot(label: Array, count: int) -> Array:
    """Rows of zeros with a 1 at each label, [count, n] of its dtype, from [1, n]."""
    rows = lax.broadcasted_iota(jnp.int32, (count, label.shape[1]), 0).astype(label.dtype)
    return (rows == label).astype(label.dtype)


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss.

    Attributes:
      name: what it is asked for by.
      labels: of `LABELS`. Binary labels come with sigmoid, classes with softmax, v1 and v2.
      error: of scores and labels, to a number for each validation example, which fingerprints of
        errors hash. No error is negative, and NaN counts as too large.
      mean_fitness: from the mean over the examples, float64 of NumPy, to the fitness from 0 to 1;
        the smaller the mean, the larger the fitness.
      formula: of what an example adds to the sum, and...
      fitness_formula: ...of the fitness; both for people. y is the label, p the prediction.
      added: of the error, to what is added up; None adds the error itself.
      counts: whether sums are whole numbers, which a float holds exactly.
      descent: of a score and a label, both scalars, to the direction in which gradient descent
        moves the score; None takes the gradient of `error`.
      several: the name of the like of a binary loss for more classes, if there is one.
    """

    name: str
    labels: str
    error: Callable[[Array, Array], Array] = dataclasses.field(repr=False)
    mean_fitness: Callable[[np.ndarray], np.ndarray] = dataclasses.field(repr=False)
    formula: str
    fitness_formula: str
    added: Callable[[Array], Array] | None = dataclasses.field(default=None, repr=False)
    counts: bool = False
    descent: Callable[[Array, Array], Array] | None = dataclasses.field(default=None, repr=False)
    several: str = ""

    def __reduce__(self):
        return named, (self.name,)  # its functions cannot be pickled

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes, and Learn sees probabilities."""
        return self.labels != NUMBERS

    @property
    def vector_labels(self) -> bool:
        """Whether programs see labels as vectors, v1, and predict vectors, v2 (section 4.3 of the paper)."""
        return self.labels == CLASSES

    def rows(self, num_classes: int) -> int:
        """K: how many numbers predict one example."""
        return num_classes if self.vector_labels else 1

    def normalised(self, scores: Array, softmax: Callable[[Array], Array] = jax.nn.softmax) -> Array:
        """What Learn sees of scores, of any shape; those of classes need a softmax over them."""
        if self.vector_labels:
            return softmax(scores)
        return sigmoid(scores) if self.has_classes else scores

    def checked_error(self, scores: Array, label: Array) -> tuple[Array, Array | None]:
        """The errors of validation examples, and what must not be too large; None where nothing can be."""
        error = self.error(scores, label)
        if self.has_classes:
            return error, None
        return error, error if self.error is distance else distance(scores, label)

    def summed(self, error: Array) -> Array:
        """What errors add to the sum."""
        return error if self.added is None else self.added(error)

    def direction(self, score: Array, label: Array) -> Array:
        """Where gradient descent moves a score, all scalars."""
        if self.descent is not None:
            return self.descent(score, label)
        of_score = lambda score: self.summed(self.error(score[None, None], label[None, None]))[0, 0]
        return -jax.grad(of_score)(score)

    def fitness(self, sums: np.ndarray, num_examples: int) -> np.ndarray:
        """Fitness, float64, of sums over so many examples; 0 where a sum is infinite or NaN.

        Raises:
          ValueError: a registered loss whose fitness is not from 0 to 1.
        """
        means = np.asarray(sums, np.float64) / num_examples
        finite = np.isfinite(means)
        with np.errstate(all="ignore"):
            fitness = np.where(finite, self.mean_fitness(np.where(finite, means, 0.0)), 0.0)
        wrong = ~((fitness >= 0) & (fitness <= 1))
        if wrong.any():
            where = tuple(np.argwhere(wrong)[0].tolist())
            raise ValueError(
                f"loss {self.name!r}: fitness {fitness[where]:g} of a mean loss of {means[where]:g}: "
                "expected a fitness from 0 to 1"
            )
        return fitness

    def for_classes(self, count: int) -> Objective:
        """This loss, or its like for so many classes.

        Raises:
          ValueError: there is none.
        """
        if (count > 2) == self.vector_labels and self.has_classes:
            return self
        if count > 2 and self.several:
            return named(self.several)
        raise ValueError(
            f"loss={self.name!r}: labels are {count} classes: expected one of "
            f"{', '.join(repr(one.name) for one in known() if one.labels == (BINARY if count == 2 else CLASSES))}"
        )


def distance(scores: Array, label: Array) -> Array:
    """How far predictions are from labels."""
    return jnp.abs(label - scores)


def _residual(score: Array, label: Array) -> Array:
    return label - score


def _residual_of_probability(score: Array, label: Array) -> Array:
    return label - sigmoid(score)


def _wrong_side(scores: Array, label: Array) -> Array:
    """1 where the more probable class is another one."""
    return ((sigmoid(scores) > 0.5) != (label > 0.5)).astype(scores.dtype)


def _wrong_class(scores: Array, label: Array) -> Array:
    """1 where the class predicted is another one: the first of the largest, and none that is no number."""
    row = lax.broadcasted_iota(jnp.int32, scores.shape, 0).astype(scores.dtype)
    own = lane_forms.maximum(jnp.where(row == label, scores, -np.inf))
    beaten = (scores < own) | (scores == own) & (row >= label)
    return lane_forms.maximum(1 - beaten.astype(scores.dtype))


def _one_minus(mean: np.ndarray) -> np.ndarray:
    return 1 - mean


def _squashed_root(mean: np.ndarray) -> np.ndarray:
    """FlipAndSquash of executor.h."""
    return 1 - (2 / np.pi) * np.arctan(np.sqrt(mean))


_BUILT_IN = (
    Objective(
        "rmse",
        NUMBERS,
        distance,
        _squashed_root,
        "(y - p)²",
        "1 - (2 / π) atan(√mean)",
        added=lambda error: error * error,
        descent=_residual,
    ),
    Objective(
        "accuracy",
        BINARY,
        _wrong_side,
        _one_minus,
        "1 if p > 0.5 is not y, else 0",
        "1 - mean",
        counts=True,
        descent=_residual_of_probability,
        several="multiclass_accuracy",
    ),
    Objective(
        "multiclass_accuracy",
        CLASSES,
        _wrong_class,
        _one_minus,
        "1 if the first of the largest scores is not that of y, else 0",
        "1 - mean",
        counts=True,
    ),
)

_objectives = {objective.name: objective for objective in _BUILT_IN}


def known() -> tuple[Objective, ...]:
    """All losses, the registered ones last."""
    return tuple(_objectives.values())


def named(name: object) -> Objective:
    """The loss of a name.

    Raises:
      ValueError: there is none.
    """
    if not isinstance(name, str) or name not in _objectives:
        near = did_you_mean(name, _objectives) if isinstance(name, str) else ""
        raise ValueError(f"loss={arguments.shown(name)}: expected one of {', '.join(map(repr, _objectives))}{near}")
    return _objectives[name]
