"""Intervals: how far a mean, or a ratio of speeds, may be from the truth.

All are of 95 %. Few values have wide intervals, and one value has none: it is said in words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95
_RESAMPLES = 4999
# The medians of fewer values resample to hardly more than themselves.
FEWEST_FOR_BOOTSTRAP = 5


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its interval, by Student's t, over independent values.

    Args:
      values: at least one; of one alone the half width is NaN, which `shown` says in words.

    Raises:
      ValueError: no values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values: expected a list of at least one number, got shape {values.shape}")
    if len(values) == 1:
        return float(values[0]), float("nan")
    factor = stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)
    return float(values.mean()), float(factor * stats.sem(values))


def half_width(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """The second half of `shown`: "± 0.0038", or "n=1" for one value, which has no interval."""
    return "n=1" if len(values) == 1 else f"± {interval(values)[1]:.{digits}f}"


def shown(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """Mean and interval for a table: "0.9290 ± 0.0038", or "0.9290 (n=1)".

    Args:
      values: at least one.
      digits: behind the point.
    """
    half = half_width(values, digits)
    return f"{interval(values)[0]:.{digits}f} " + (f"({half})" if len(values) == 1 else half)


def ratio_of_medians(values: Sequence[float], to: Sequence[float]) -> tuple[float, float, float] | None:
    """Ratio of the medians of independent values, with its bootstrap interval: ratio, low, high.

    Args:
      values, to: positive numbers.

    Returns:
      None for fewer than `FEWEST_FOR_BOOTSTRAP` of either.
    """
    if min(len(values), len(to)) < FEWEST_FOR_BOOTSTRAP:
        return None
    found = stats.bootstrap(
        (values, to),
        lambda some, others, axis: np.median(some, axis=axis) / np.median(others, axis=axis),
        n_resamples=_RESAMPLES,
        vectorized=True,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=0,
    ).confidence_interval
    return float(np.median(values) / np.median(to)), float(found.low), float(found.high)


def mean_ratio(ratios: Sequence[float]) -> tuple[float, float, float] | None:
    """Geometric mean of independent ratios, with its interval, by Student's t of their logarithms: ratio, low, high.

    Args:
      ratios: positive numbers.

    Returns:
      None for fewer than two.
    """
    if len(ratios) < 2:
        return None
    mean, half = interval(np.log(ratios))
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))
