"""scripts/compare_batch_sizes.py, as a process; and that every script has its help."""

from __future__ import annotations

import pytest
from doors import run_script


def test_sizes_are_compared():
    small = [
        "--max_individuals=2000",
        "--population_size=100",
        "--child_batch_size=50",
        "--seeds=2",
        "--batch_sizes=50,100",
    ]
    done = run_script("compare_batch_sizes", "linear_demo", *small)
    assert not done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(
        "batch    50: 0 of 2 seeds within 2,000 programs, no median; no success in 4,000 programs; "
    )
    assert second.startswith("batch   100: ") and " ± " in second and "nan" not in done.stdout


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
    errors = run_script("compare_batch_sizes", "linear_demo", *arguments, code=2).stderr
    assert message in errors and len(errors.splitlines()) == 1, errors


def test_every_script_has_help():
    shown = {
        "benchmark": "--against",
        "compare_batch_sizes": "--batch_sizes",
        "compare_with_interpreter": "--num_processes",
        "evaluate": "--tune_tasks",
        "reproduce": "figure4_linear",
        "write_op_docs": "docs/ops.md",
    }
    for script, words in shown.items():
        done = run_script(script, "--help")
        assert words in done.stdout and not done.stderr
    assert "unexpected argument '--out=x'" in run_script("write_op_docs", "--out=x", code=2).stderr
