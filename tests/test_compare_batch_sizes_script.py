"""scripts/compare_batch_sizes.py, as a process; and that every script has its help."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parent.parent / "scripts"


def start(script, *arguments):
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_sizes_are_compared():
    small = [
        "--max_individuals=2000",
        "--population_size=100",
        "--child_batch_size=50",
        "--seeds=2",
        "--batch_sizes=50,100",
    ]
    output, errors = start("compare_batch_sizes.py", "linear_demo", *small).communicate(timeout=300)
    assert not errors
    first, second = output.splitlines()
    assert first.startswith(
        "batch    50: 0 of 2 seeds within 2,000 programs, no median; no success in 4,000 programs; "
    )
    assert second.startswith("batch   100: ") and " ± " in second and "nan" not in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch_sizes=ten"], "--batch_sizes: 'ten': expected whole numbers, at least 1"),
        (["--batch_sizes=100000"], "child_batch_size=100000"),
        (["--max_individuals=9", "--select_tasks="], "--select_tasks: expected the tasks that decide"),
        (["--max_individuals=0", "--max_seconds=5"], "--max_individuals=0: expected how many programs"),
        (["--num_islands=2", "--max_individuals=9"], "--num_islands=2: expected 1"),
        (["--seed=1"], "unknown flag --seed"),
    ],
)
def test_wrong_input_is_one_line(arguments, message):
    process = start("compare_batch_sizes.py", "linear_demo", *arguments)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2 and message in errors and len(errors.splitlines()) == 1, errors


def test_every_script_has_help():
    shown = {
        "benchmark.py": "--against",
        "compare_batch_sizes.py": "--batch_sizes",
        "evaluate.py": "--tune_tasks",
        "reproduce.py": "figure4_linear",
        "write_op_docs.py": "docs/ops.md",
    }
    for process, words in [(start(script, "--help"), words) for script, words in shown.items()]:
        output, errors = process.communicate(timeout=100)
        assert process.returncode == 0 and words in output and not errors, errors
    process = start("write_op_docs.py", "--out=x")
    assert "unexpected argument '--out=x'" in process.communicate(timeout=100)[1] and process.returncode == 2
