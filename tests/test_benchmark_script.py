"""scripts/benchmark.py, as a process."""

from __future__ import annotations

import csv
import json
import pathlib
import signal
import subprocess
import sys
import types

import pytest
from doors import run_script
from processes import alive, children

from azero_jax.commands import benchmark as benchmark_command

SCRIPT = pathlib.Path(__file__).parent.parent / "scripts" / "benchmark.py"


def benchmark(*arguments, **how):
    return run_script("benchmark", "--repeats=1", "--num_examples=5", "--programs=40", *arguments, **how)


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
    # A long setting has a short name of its own.
    _, legend, _, *lines = table.splitlines()
    assert legend == f"xla1: {own}" and len(lines) == len(numbers["rows"])
    assert [line.split()[7] for line in lines] == ["ours", "ours", "xla1", "xla1"]
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
    lines = done.stdout.splitlines()[2:-1]
    assert len(lines) == 4
    assert all(line.endswith(" 3.00  n=1, interval from 5") for line in lines)


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_measured(tmp_path):
    path = tmp_path / "numbers.json"
    command = [sys.executable, str(SCRIPT), "--repeats=1", "--num_examples=5", "--programs=40", f"--json={path}"]
    process = subprocess.Popen(
        [*command, "--workloads=linear", "--features_sizes=2,3,4,5,6,7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = ""
    while not line.strip().startswith("linear"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
    measuring = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    rows = json.loads(path.read_text())["rows"]
    assert rows[0]["features_size"] == 2 and len(rows) < 6
    assert measuring and not any(alive(some) for some in measuring)


def test_searches_have_seeds_of_their_own(monkeypatch):
    commands = []

    def run(command, **how):
        commands.append(command)
        (directory,) = [part.partition("=")[2] for part in command if part.startswith("--output_dir=")]
        pathlib.Path(directory).mkdir()
        seed = len(commands)
        reports = [{"individuals": 1000 * number, "elapsed_seconds": 2.0 + number / seed} for number in (0, 1, 1)]
        (pathlib.Path(directory) / "metrics.jsonl").write_text("".join(json.dumps(some) + "\n" for some in reports))

    monkeypatch.setattr(benchmark_command.subprocess, "run", run)
    monkeypatch.setattr(
        benchmark_command, "FLAGS", types.SimpleNamespace(repeats=3, search_individuals=6000), raising=True
    )
    measured = benchmark_command.measure_search(1, "float32", "auto")
    seeds = [part for command in commands for part in command if part.startswith("--random_seed")]
    assert seeds == ["--random_seed=1", "--random_seed=2", "--random_seed=3"]
    assert measured["seconds"] == pytest.approx([6.0, 3.0, 2.0]) and measured["spread"] > 1
    assert measured["programs_per_second"] == pytest.approx(2000)


@pytest.mark.slow
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
            "--xla: 'our --xla_dump_to=d': expected ours, late, default, or flags that begin",
        ),
        (["--platforms=abacus"], "abacus"),
        (["--workloads="], "--workloads: '': expected some of random"),
        (["--task_counts=0"], "--task_counts: '0': expected whole numbers, at least 1"),
        (["--json=/no/such/directory/x.json"], "--json=/no/such/directory/x.json: expected a file in a directory"),
        (["--plot=speed.png"], "--plot needs matplotlib"),
        (["--against=no-such-revision"], "--against=no-such-revision: "),
        (["--repeat=3"], "unknown flag --repeat: did you mean --repeats?"),
        (["--compare=missing.json,missing.json"], "missing.json"),
        (["--compare=one.json"], "--compare: expected two files, got one.json"),
    ],
)
def test_wrong_input_is_named(arguments, message, tmp_path):
    # As if matplotlib were not installed.
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('No module named matplotlib')")
    done = benchmark("--features_sizes=2", "--workloads=linear", *arguments, code=2, path=tmp_path)
    assert not done.stdout
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
