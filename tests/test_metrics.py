"""Reports as a table."""

from __future__ import annotations

import sys

import pytest
from island_runs import records_of, settings

import azero_jax as az


def test_a_run_is_a_row_for_each_report(tmp_path):
    records = records_of(settings(1), output_dir=tmp_path)
    reports = [record for record in records if "individuals" in record]
    frame = az.metrics_frame(tmp_path)
    assert frame["individuals"].tolist()[: len(reports)] == [record["individuals"] for record in reports][: len(frame)]
    assert frame["best_fitness"].between(0, 1).all() and frame["run_id"].nunique() == 1


def test_what_is_no_run_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="expected the output_dir of a run"):
        az.metrics_frame(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"best_fitness": "Infinity"}\n[1]\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2: expected an object"):
        az.metrics_frame(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"best_fitness": "Infinity"}\n')
    assert az.metrics_frame(tmp_path)["best_fitness"].tolist() == [float("inf")]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'azero_jax\[pandas\]'"):
        az.metrics_frame(tmp_path)
