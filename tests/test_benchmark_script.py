"""scripts/benchmark.py, as a process."""

from __future__ import annotations

import csv
import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent.parent / "scripts" / "benchmark.py"


def benchmark(*arguments):
    command = [sys.executable, str(SCRIPT), "--repeats=1", "--num_examples=5", "--programs=40", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    directory = tmp_path_factory.mktemp("benchmark")
    json_file, csv_file = directory / "numbers.json", directory / "table.csv"
    # XLA_FLAGS of one's own come before ours, in a process of their own.
    own = "--xla_cpu_copy_insertion_use_region_analysis=false"
    done = benchmark(
        "--workloads=linear,evolved",
        "--features_sizes=2",
        f"--xla=ours;{own}",
        f"--json={json_file}",
        f"--csv={csv_file}",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json_file, csv_file, own


def test_every_setting_is_a_row(measured):
    table, json_file, csv_file, own = measured
    numbers = json.loads(json_file.read_text())
    assert [(row["workload"], row["xla"]) for row in numbers["rows"]] == [
        (workload, xla) for xla in ("ours", own) for workload in ("linear", "evolved")
    ]
    assert numbers["versions"]["jax"] in table
    for row in numbers["rows"]:
        assert row["programs_per_second"] > 0
        assert len(row["seconds"]) == 1
        # GPops/s and nanoseconds per instruction and task are the same number, inverted.
        assert row["gpops_per_second"] * row["ns_per_instruction_and_task"] == pytest.approx(1)
    assert len(table.splitlines()) == 2 + len(numbers["rows"])
    with open(csv_file, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["programs_per_second"]) for row in rows] == [
        row["programs_per_second"] for row in numbers["rows"]
    ]


def test_two_files_compare_row_by_row(measured, tmp_path):
    _, json_file, _, _ = measured
    numbers = json.loads(json_file.read_text())
    for row in numbers["rows"]:
        row["programs_per_second"] *= 3
    faster = tmp_path / "faster.json"
    faster.write_text(json.dumps(numbers))
    done = benchmark(f"--compare={json_file},{faster}")
    assert done.returncode == 0
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 4
    assert all(line.endswith(" 3.00") for line in lines)


def test_every_op_is_timed(tmp_path):
    path = tmp_path / "ops.json"
    done = benchmark("--mode=ops", "--features_sizes=2", f"--json={path}")
    assert done.returncode == 0, done.stderr
    rows = {row["op"]: row for row in json.loads(path.read_text())["rows"]}
    assert len(rows) == 65
    assert rows["MATRIX_SUM"]["floor_nanoseconds"] == pytest.approx(4 * rows["SCALAR_SUM"]["floor_nanoseconds"])
    assert rows["MATRIX_GAUSSIAN_SET"]["nanoseconds"] > rows["SCALAR_SUM"]["nanoseconds"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads=linaer"], "--workloads: 'linaer': expected some of random"),
        (["--dtypes=float16"], "--dtypes: 'float16': expected some of float32"),
        (["--features_sizes=four"], "--features_sizes: 'four': expected whole numbers"),
        (["--xla=--xla_no_such_flag=1"], "the process ended with"),
        (
            ["--xla=ours;our --xla_dump_to=d"],
            "--xla: 'our --xla_dump_to=d': expected ours, default, or flags that begin",
        ),
        (["--platforms=abacus"], "abacus"),
        (["--compare=missing.json,missing.json"], "missing.json"),
        (["--compare=one.json"], "--compare: expected two files, got one.json"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    done = benchmark("--features_sizes=2", "--workloads=linear", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
