"""The commands of docs/first_quarter_of_an_hour.md, as they stand there, with small budgets."""

from __future__ import annotations

import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from doors import run_azero

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "first_quarter_of_an_hour.md").read_text()

# Few programs, of few ops.
SMALL = ["--max_individuals=300", "--num_islands=1", "--max_experiments=1", "--final_baseline="]
FEW_OPS = ["--setup_ops=SCALAR_CONST_SET", "--predict_ops=VECTOR_INNER_PRODUCT"]
FEW_OPS += ["--learn_ops=SCALAR_DIFF,SCALAR_PRODUCT,SCALAR_VECTOR_PRODUCT,VECTOR_SUM"]


def commands():
    """What the page has behind the name azero, a list of arguments each."""
    return [shlex.split(line) for line in re.findall(r"^    \.venv/bin/azero (.*)$", PAGE, re.M)]


def test_the_page_has_all_steps():
    names = [arguments[0] for arguments in commands()]
    assert names == ["evolve", "evolve", "report", "export", "export", "export"]
    extras = re.search(r"pip install '\.\[(.*?)\]'", PAGE)[1].split(",")
    setup = (ROOT / "setup.cfg").read_text()
    assert all(f"\n{extra} =\n" in setup for extra in extras)


@pytest.mark.thorough
def test_its_commands_run(tmp_path):
    pytest.importorskip("onnx")
    for arguments in commands():
        # They run somewhere else than in the repository.
        there = [re.sub(r"(runs/|houses\.(?:py|onnx))", rf"{tmp_path}/\1", argument) for argument in arguments]
        there = [argument.replace("examples/", f"{ROOT}/examples/") for argument in there]
        small = [*SMALL, *(FEW_OPS if "--label=price" in there else [])] if there[0] == "evolve" else []
        (tmp_path / "runs").mkdir(exist_ok=True)
        printed = run_azero(*there, *small).stdout
        expected = {"evolve": "final fitness", "report": "report.html", "export": ""}[there[0]]
        assert expected in printed
    pytest.importorskip("onnxruntime")
    block = re.search(r"^```\n(import numpy.*?)^```", PAGE, re.M | re.S)[1]
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\s*\d+\.\d* \s*\d+\.\d*\]\n", done.stdout), done.stdout
