"""What `run` gives to its caller can be asked by name, and shown in a notebook."""

from __future__ import annotations

import io
import json

import pytest
from island_runs import settings

from azero_jax import experiment
from azero_jax.reporting import Reporter


def test_reports_and_results_have_names(tmp_path):
    reports = []
    result = experiment.run(
        settings(1, max_individuals=1000),
        output_dir=tmp_path,
        progress_every=500,
        on_report=reports.append,
        reporter=Reporter(tmp_path, io.StringIO()),
    )
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [report.best_fitness for report in reports] == [line["best_fitness"] for line in written]
    assert reports[0] == written[0] and "best_fitness" in dir(reports[0])
    assert result.search_fitness == json.loads((tmp_path / "result.json").read_text())["search_fitness"]
    with pytest.raises(AttributeError, match="RunResult has no 'fitness', but run_id, status"):
        _ = result.fitness
    shown = result._repr_html_()
    assert f"{result.search_fitness:.4f}" in shown and "def Predict():" in shown and "1,000" in shown
    assert "none" in shown  # there were no final tasks
