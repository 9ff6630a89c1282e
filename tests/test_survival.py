"""Runs that are killed, lose their disk or their workers: nothing found is lost, and they go on exactly."""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from processes import alive, children

from azero_jax import Program, execution
from azero_jax.experiment import load

ROOT = pathlib.Path(__file__).parent.parent
FLAGS = [
    f"--flagfile={ROOT / 'scripts' / 'flagfiles' / 'linear_demo.flags'}",
    "--max_experiments=1",
    "--population_size=200",
    "--child_batch_size=100",
    "--progress_every=2000",
    "--hurdle_percentile=75",
    "--hall_of_fame_size=5",
    "--fec_num_train_examples=10",
    "--sufficient_fitness=inf",
    "--max_stagnant_individuals=0",
    "--random_seed=3",
]


@pytest.fixture(scope="module")
def cache():
    """The compilation cache of these tests, for all processes."""
    return f"--compilation_cache_dir={execution.user_cache_dir()}"


# A process whose files may not grow beyond 60 kB: to it, the disk is full.
_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
os.execv(sys.argv[1], sys.argv[1:])
"""


def start(*flags, before=None, **arguments):
    command = [sys.executable, str(ROOT / "scripts" / "evolve.py"), *FLAGS, *map(str, flags)]
    if before:
        command = [sys.executable, "-c", before, *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **arguments)


def finish(process, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, output + errors
    return output, errors


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)


def found(directory):
    """What a run found and told, but for times, and how often it wrote checkpoints."""
    times = ("elapsed_seconds", "individuals_per_second", "changed_on_resume")
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    lines.append(json.loads((directory / "result.json").read_text()))
    timeless = [{name: value for name, value in line.items() if name not in times} for line in lines]
    return timeless, (directory / "best_program.txt").read_bytes()


def kill_again_and_again(tmp_path, flags, kills, rng):
    """Whether a run killed so often ends like one left in peace."""
    finish(start(*flags, f"--output_dir={tmp_path / 'whole'}"))
    directory = tmp_path / "killed"
    parts = [*flags, f"--output_dir={directory}"]
    checkpoints = directory / "checkpoint"
    resume, interrupted = [], 0
    for _ in range(kills):
        before = set(checkpoints.glob("*.npz"))
        process = start(*parts, *resume, "--checkpoint_seconds=0")
        wait_for(lambda before=before: set(checkpoints.glob("*.npz")) - before, process)
        time.sleep(rng.uniform(0, 0.3))  # checkpoints are being written most of the time
        process.kill()
        process.communicate()
        interrupted += process.returncode == -signal.SIGKILL
        resume = ["--resume"]
    finish(start(*parts, *resume, "--checkpoint_seconds=60"))
    assert interrupted == kills
    assert found(tmp_path / "whole") == found(directory)


def test_killed_runs_go_on_exactly(tmp_path, cache):
    kill_again_and_again(tmp_path, [cache, "--max_individuals=30000"], 2, random.Random(1))


@pytest.mark.thorough
def test_killed_islands_go_on_exactly(tmp_path, cache):
    islands = ["--num_islands=2", "--migrate_every=3000", "--max_individuals=30000", "--num_workers=1"]
    kill_again_and_again(tmp_path, [cache, *islands], 2, random.Random(2))


@pytest.mark.slow
def test_a_run_killed_twenty_times(tmp_path, cache):
    kill_again_and_again(tmp_path, [cache, "--max_individuals=400000"], 20, random.Random(3))


@pytest.mark.thorough
def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, cache):
    flags = [cache, "--max_individuals=30000"]
    finish(start(*flags, f"--output_dir={tmp_path / 'whole'}"))
    directory = tmp_path / "full"

    small = ["--checkpoint_seconds=0", f"--output_dir={directory}"]
    output, errors = finish(start(*flags, *small, before=_SMALL_FILES), code=2)
    assert f"File too large: '{directory}/checkpoint/state-" in errors and "Traceback" not in errors
    assert "stopped; best program so far, with search fitness 0." in output
    Program.from_text(output[output.index("def Setup") :])
    assert not list(directory.rglob("*.tmp"))
    finish(start(*flags, f"--output_dir={directory}", "--resume", "--checkpoint_seconds=60"))
    assert found(tmp_path / "whole") == found(directory)


def test_a_removed_directory_ends_the_run_and_the_program_is_printed(tmp_path, cache):
    directory = tmp_path / "gone"
    process = start(cache, f"--output_dir={directory}", "--checkpoint_seconds=0.5", "--max_individuals=100000000")
    wait_for(lambda: (directory / "checkpoint").is_dir(), process)
    shutil.rmtree(directory)
    output, errors = finish(process, code=2)
    assert "No such file or directory" in errors and str(directory) in errors and "Traceback" not in errors
    assert "stopped; best program so far" in output
    Program.from_text(output[output.index("def Setup") :])


@pytest.mark.thorough
def test_workers_end_with_the_command(tmp_path, cache):
    islands = ["--num_islands=2", "--num_workers=2", "--max_individuals=100000000"]
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        directory = tmp_path / str(number)
        process = start(cache, *islands, f"--output_dir={directory}", start_new_session=True)
        metrics = directory / "metrics.jsonl"
        wait_for(lambda metrics=metrics: metrics.exists() and metrics.stat().st_size, process)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.send_signal(number)
        finish(process, code)
        deadline = time.monotonic() + 30
        while any(alive(worker) for worker in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_an_interrupt_of_all_processes_is_for_the_command(tmp_path, cache):
    """As a terminal sends it: to the command and its workers at once, whatever they are doing."""
    islands = ["--num_islands=2", "--num_workers=2", "--max_individuals=100000000"]
    for delay in (0, 4):
        directory = tmp_path / str(delay)
        process = start(cache, *islands, f"--output_dir={directory}", start_new_session=True)
        wait_for(lambda pid=process.pid: len(children(pid)) >= 2, process)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = finish(process, 130)
        assert "Traceback" not in errors
        assert json.loads((directory / "result.json").read_text())["status"] == "interrupted"


def status_of(directory):
    return json.loads((directory / "result.json").read_text())["status"]


def has_reported(directory):
    path = directory / "metrics.jsonl"
    return lambda: path.exists() and path.stat().st_size


@pytest.mark.thorough
def test_a_running_directory_is_refused_and_resumed_by_its_name_alone(tmp_path, cache):
    """A second run, a mistyped command and then `kill -9` take nothing; what is left is locked by nobody."""
    whole, directory = tmp_path / "whole", tmp_path / "killed"
    finish(start(cache, f"--output_dir={whole}", "--max_individuals=30000"))
    process = start(cache, f"--output_dir={directory}", "--max_individuals=30000", "--checkpoint_seconds=0.3")
    wait_for(has_reported(directory), process)
    process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
    for flags in (["--overwrite"], ["--overwrite", "--search_tasks=mnist"]):
        _, errors = finish(start(cache, f"--output_dir={directory}", *flags), code=2)
        assert errors.count("\n") == 1
        assert f"process {process.pid} on " in errors or "mnist" in errors
    process.kill()
    process.communicate()
    assert (directory / "run.lock").exists() and status_of(directory) == "running"
    command = [sys.executable, str(ROOT / "scripts" / "evolve.py"), cache, f"--output_dir={directory}", "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert found(whole) == found(directory)
    assert not (directory / "run.lock").exists()
    before, flags = found(directory), ["--mutate_prob=0.5", "--predict_ops=SCALAR_SUM", "--random_seed=4"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "cannot resume with other settings:" in done.stderr
    assert len(done.stderr.splitlines()) == 4 and max(map(len, done.stderr.splitlines())) < 150
    assert found(directory) == before


@pytest.mark.thorough
def test_a_closed_terminal_and_a_closed_pipe_end_a_run_like_ctrl_c(tmp_path, cache):
    for name, code in (("terminal", 129), ("pipe", 141)):
        directory = tmp_path / name
        process = start(cache, f"--output_dir={directory}", "--max_individuals=100000000")
        wait_for(has_reported(directory), process)
        if name == "terminal":
            process.send_signal(signal.SIGHUP)
        else:
            process.stdout.readline()
            process.stdout.close()  # as head does
        _, errors = finish(process, code)
        assert "Traceback" not in errors and "Exception" not in errors
        assert status_of(directory) == "interrupted"
        Program.from_text((directory / "best_program.txt").read_text())
        assert len(list((directory / "checkpoint").iterdir())) == 2


def test_an_interrupt_while_compiling_is_said_at_once_and_a_second_one_ends(tmp_path):
    directory = tmp_path / "run"
    process = start(f"--compilation_cache_dir={tmp_path / 'cache'}", f"--output_dir={directory}")
    wait_for(lambda: (directory / "checkpoint").is_dir(), process)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    assert process.stderr.readline() == "stopping after the compilation...\n"
    assert time.monotonic() - asked < 2
    process.send_signal(signal.SIGINT)
    finish(process, 130)
    assert time.monotonic() - asked < 4
    assert status_of(directory) in ("running", "interrupted")
    assert load(directory).individuals == 0
