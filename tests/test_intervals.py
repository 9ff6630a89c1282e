"""Intervals hold the truth as often as they say, and few values are not called many."""

from __future__ import annotations

import numpy as np
import pytest

from azero_jax import claims, intervals


def test_few_values_have_wide_intervals():
    # By Student's t with 1, 3 and 4 degrees of freedom, from a printed table.
    for values, factor in (([1.0, 3.0], 12.706), ([1.0, 2.0, 3.0, 4.0], 3.182), ([1.0, 2.0, 3.0, 4.0, 5.0], 2.776)):
        mean, half = claims.interval(values)
        assert mean == np.mean(values)
        assert half == pytest.approx(factor * np.std(values, ddof=1) / np.sqrt(len(values)), rel=1e-3)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_an_interval_holds_the_mean_19_times_of_20(count):
    rng = np.random.default_rng(count)
    found = [claims.interval(rng.normal(7, 2, count)) for _ in range(2000)]
    held = np.mean([abs(mean - 7) <= half for mean, half in found])
    assert held == pytest.approx(0.95, abs=0.02)


def test_one_value_has_no_interval_and_the_words_say_so():
    assert np.isnan(claims.interval([0.5])[1])
    assert intervals.shown([0.5], 3) == "0.500 (n=1)"
    assert intervals.half_width([0.5], 3) == "n=1"
    assert intervals.shown([0.4, 0.6], 3) == "0.500 ± 1.271"
    table = claims.table({"mine": [0.25], "theirs": [0.2, 0.4]})
    assert "| mine | 0.2500 | n=1 | 0.2500 | 0.2500 | 1 |" in table and "nan" not in table
    with pytest.raises(ValueError, match="at least one number"):
        claims.interval([])


def test_ratios_of_speeds():
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 0.05, 7)
    ratio, low, high = intervals.ratio_of_medians(1.5 * values, values)
    assert ratio == pytest.approx(1.5) and 1.2 < low < 1.5 < high < 1.9
    assert intervals.ratio_of_medians(values[:4], values) is None
    ratio, low, high = intervals.mean_ratio([1.0, 1.21])
    assert ratio == pytest.approx(1.1) and low < 0.4 and high > 3
    assert intervals.mean_ratio([1.2]) is None
