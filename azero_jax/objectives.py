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
from azero_jax.ops import tree

# What labels are: any numbers; 0 and 1; 0 to C - 1.
NUMBERS, BINARY, CLASSES = "numbers", "binary", "classes"
LABELS = (NUMBERS, BINARY, CLASSES)

# Beyond this, Huber's loss grows as the distance and no longer as its square.
HUBER_DELTA = 1.0

# The fitness that `squashed` computes, for people.
SQUASHED = "1 - (2 / π) atan(mean)"


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
                "expected a loss that is never negative, and a fitness from 0 to 1"
            )
        return fitness

    def for_labels(self, num_classes: int) -> Objective:
        """This loss, or its like for more classes, of labels of so many classes; 0 says that they are numbers.

        Raises:
          ValueError: it is of other labels, and has no such like.
        """
        wanted = CLASSES if num_classes > 2 else BINARY if num_classes else NUMBERS
        if self.labels == wanted:
            return self
        if wanted == CLASSES and self.several:
            return named(self.several)
        labels = f"{num_classes} classes" if num_classes else "numbers"
        raise ValueError(f"loss={self.name!r}: labels are {labels}: expected {_one_of(names(wanted))}")


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


def _huber(error: Array) -> Array:
    delta = error.dtype.type(HUBER_DELTA)
    return jnp.where(error <= delta, error * error / 2, delta * (error - delta / 2))


def _cross_entropy(scores: Array, label: Array) -> Array:
    """log(1 + exp(z)), z the score of the wrong class, in a form that does not overflow."""
    wrong = jnp.where(label > 0.5, -scores, scores)
    return jnp.maximum(wrong, 0) + jnp.log1p(jnp.exp(-jnp.abs(wrong)))


def _cross_entropy_of_classes(scores: Array, label: Array) -> Array:
    """log(sum(exp(scores))) less the score of the label's class; neither of the terms that are added is negative."""
    row = lax.broadcasted_iota(jnp.int32, scores.shape, 0).astype(scores.dtype)
    count, largest = scores.shape[0], lane_forms.maximum(scores)
    own = tree(jnp.add, jnp.split(jnp.where(row == label, scores, 0), count))
    return jnp.log(tree(jnp.add, jnp.split(jnp.exp(scores - largest), count))) + (largest - own)


def _one_minus(mean: np.ndarray) -> np.ndarray:
    return 1 - mean


def _squashed_root(mean: np.ndarray) -> np.ndarray:
    """FlipAndSquash of executor.h."""
    return 1 - (2 / np.pi) * np.arctan(np.sqrt(mean))


def squashed(mean: np.ndarray) -> np.ndarray:
    """Any number that is not negative as a fitness."""
    return 1 - (2 / np.pi) * np.arctan(mean)


def _likelihood(mean: np.ndarray) -> np.ndarray:
    """The geometric mean of the probabilities that were given to the classes that are right."""
    return np.exp(-mean)


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
    Objective("mae", NUMBERS, distance, squashed, "|y - p|", SQUASHED),
    Objective(
        "huber",
        NUMBERS,
        distance,
        squashed,
        "(y - p)² / 2 if |y - p| ≤ 1, else |y - p| - 1/2",
        SQUASHED,
        added=_huber,
    ),
    Objective(
        "cross_entropy",
        BINARY,
        _cross_entropy,
        _likelihood,
        "-log(p) if y is 1, else -log(1 - p)",
        "exp(-mean)",
        descent=_residual_of_probability,
        several="multiclass_cross_entropy",
    ),
    Objective(
        "multiclass_cross_entropy",
        CLASSES,
        _cross_entropy_of_classes,
        _likelihood,
        "-log(p of the class y)",
        "exp(-mean)",
    ),
)

_objectives = {objective.name: objective for objective in _BUILT_IN}


def known() -> tuple[Objective, ...]:
    """All losses, the registered ones last."""
    return tuple(_objectives.values())


def names(*labels: str) -> list[str]:
    """The names of all losses of these kinds of labels, or of any."""
    return [objective.name for objective in known() if objective.labels in (labels or LABELS)]


def named(name: object) -> Objective:
    """The loss of a name.

    Raises:
      ValueError: there is none.
    """
    if not isinstance(name, str) or name not in _objectives:
        near = did_you_mean(name, _objectives) if isinstance(name, str) else ""
        raise ValueError(f"loss={arguments.shown(name)}: expected {_one_of(names())}{near}")
    return _objectives[name]


def registered() -> tuple[str, ...]:
    """The names of the losses that users have added."""
    return tuple(name for name, one in _objectives.items() if one not in _BUILT_IN)


def add(objective: Objective) -> None:
    """Makes a loss known by its name."""
    _objectives[objective.name] = objective


def remove(name: str) -> None:
    """Forgets a loss that was added.

    Raises:
      ValueError: none of that name was.
    """
    if name not in registered():
        raise ValueError(f"name {arguments.shown(name)}: expected the name of a loss that was registered")
    del _objectives[name]


def usual(num_classes: int) -> Objective:
    """The loss of labels of so many classes, 0 for numbers, where none is named."""
    first = named("accuracy" if num_classes else "rmse")
    return first.for_labels(num_classes)


def named_for(name: str, labels: str) -> Objective:
    """The loss of a name, of one kind of labels.

    Raises:
      ValueError: there is none, or it is of other labels.
    """
    objective = named(name)
    if objective.labels != labels:
        raise ValueError(f"loss={name!r}: expected {_one_of(names(labels))}, for labels that are {_WORDS[labels]}")
    return objective


_WORDS = {NUMBERS: "numbers", BINARY: "two classes", CLASSES: "several classes"}


def _one_of(choices: list[str]) -> str:
    return ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
