from __future__ import annotations

import importlib.util

import pytest

from azero_jax import IslandSettings, Settings, baselines


def test_a_baseline_that_cannot_be_had_is_said_before_the_run(monkeypatch):
    islands = (IslandSettings("scalar_linear_regression"),)
    with pytest.raises(
        ValueError, match=r"final_baseline=.logistic_regresion.: expected one of logistic_regression; did you mean"
    ):
        Settings(islands, final_baseline="logistic_regresion")
    baselines.check_baseline("logistic_regression")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="final_baseline='logistic_regression': needs scikit-learn, from `pip install"):
        Settings(islands, final_baseline="logistic_regression")
