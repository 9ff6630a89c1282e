"""examples/first_steps.ipynb runs from top to bottom, and what is stored in it is small and what it gives."""

from __future__ import annotations

import os
import pathlib
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"


def printed(notebook):
    """What code cells have put out, as one text."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            texts.append(output.get("text", "") or output["data"].get("text/latex") or output["data"]["text/plain"])
    return "\n".join(texts)


def stored():
    return pytest.importorskip("nbformat").read(NOTEBOOK, as_version=4)


def test_what_is_stored_is_whole_and_small():
    notebook = stored()
    pytest.importorskip("nbformat").validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs or cell.source.endswith(";") for cell in code)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    text = NOTEBOOK.read_text()
    assert len(text) < 100_000 and "<pre>def Setup():" in text and "image/png" in text
    assert not re.search(r"/home/|/tmp/|/root/|\\u001b", text)


@pytest.mark.thorough
def test_it_runs(monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("matplotlib")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    # The kernel finds what other tests have compiled; a user's compiles.
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    notebook = stored()
    before = printed(notebook)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    after = printed(notebook)
    for name, least in (("R² on 30 rows held out", 0.9), ("final fitness", 0.999)):
        values = [float(re.search(rf"{name}:? (\d\.\d+)", text)[1]) for text in (before, after)]
        assert min(values) > least, name
    for text in (before, after):
        assert "def Learn():" in text and r"\textbf{Learn}" in text and text.count(" programs: ") > 3
