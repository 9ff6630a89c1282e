"""Workers change no result, are replaced when they die or hang, and end with their parent."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from island_runs import records_of, settings
from processes import alive, children, stop, wait_until

from azero_jax import execution, experiment, workers
from azero_jax.reporting import Reporter
from azero_jax.workers import Islands, WorkerDied

ROOT = pathlib.Path(__file__).parent.parent


def signal_workers(number):
    """Sends a signal to all workers of this process, and returns their numbers."""
    found = [pid for pid in children(os.getpid()) if "azero_jax islands" in command_of(pid)]
    for pid in found:
        os.kill(pid, number)
    return found


def command_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.thorough
def test_workers_change_nothing():
    here = records_of(settings(), num_workers=0)
    assert here[-1]["individuals"] >= 3000 and here[-2]["migrations"] == 5
    assert len(here[-2]["islands"]) == 3
    assert records_of(settings(), num_workers=2) == here


@pytest.mark.thorough
def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SILENT_SECONDS", 5.0)
    whole = records_of(settings(2))
    told, hit = [], {}

    def on_report(record):
        told.append(record)
        # The first dies, the second hangs.
        for number, individuals in ((signal.SIGKILL, 1000), (signal.SIGSTOP, 2000)):
            if record["individuals"] > individuals and number not in hit:
                (hit[number],) = signal_workers(number)
                return

    lines = io.StringIO()
    reporter = Reporter(tmp_path, lines)
    result = records_of(settings(2), num_workers=1, output_dir=tmp_path, on_report=on_report, reporter=reporter)
    assert len(hit) == 2 and result[-1] == whole[-1]
    # What was told between the last checkpoint and the death is told again, and stands in the file once.
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(whole) - 1 < len(told)
    assert "azero_jax islands 0 to 1: the process ended with exit code -9; going on from" in lines.getvalue()
    assert f"azero_jax islands 0 to 1: the process {hit[signal.SIGSTOP]} showed no sign of life" in lines.getvalue()
    assert not any(alive(worker) for worker in hit.values()) and not signal_workers(0)


@pytest.mark.slow
def test_a_hung_worker_holds_no_run_beyond_its_time(monkeypatch):
    monkeypatch.setattr(workers, "SILENT_SECONDS", 5.0)
    stopped = []

    def stop(record):
        if not stopped:
            stopped.extend(signal_workers(signal.SIGSTOP))

    endless = settings(1, max_individuals=0, max_seconds=1e-3)
    result = experiment.run(endless, num_workers=1, progress_every=1, on_report=stop, reporter=silent())
    assert stopped and result["status"] == "finished" and not signal_workers(0)


def test_workers_that_do_nothing_again_and_again_end_the_run(monkeypatch):
    monkeypatch.setattr(workers, "START_SECONDS", 0.3)
    with pytest.raises(WorkerDied, match=r"the process \d+ finished no step for 0 s, and was killed; 3 workers died"):
        experiment.run(settings(1), num_workers=1, reporter=silent())
    assert not signal_workers(0)


def test_patience_ends_with_silence_or_without_steps():
    def outcome(seconds, beat, step, longest=0.0, steps=1, apart=0.5):
        patience = workers.Patience(0.0)
        for look in range(1, int(seconds / apart)):
            if why := patience.ends(look * apart, look if beat else 5, steps + look * step, longest):
                return why
        return None

    assert outcome(workers.SILENT_SECONDS - 1, beat=False, step=False) is None
    assert outcome(workers.SILENT_SECONDS + 3, beat=False, step=True) == "showed no sign of life for 20 s"
    assert outcome(10_000, beat=True, step=True) is None
    assert outcome(workers.STEP_SECONDS - 1, beat=True, step=False) is None
    why = "finished no step for 60 s, where 0.1 s was the most before"
    assert outcome(workers.STEP_SECONDS + 3, beat=True, step=False, longest=0.1) == why
    assert outcome(workers.STEP_FACTOR * 100 - 1, beat=True, step=False, longest=100.0) is None
    assert outcome(workers.STEP_FACTOR * 100 + 3, beat=True, step=False, longest=100.0)
    assert outcome(workers.START_SECONDS - 1, beat=True, step=False, steps=0) is None
    assert outcome(workers.START_SECONDS + 3, beat=True, step=False, steps=0) == "finished no step for 1800 s"
    # This process was stopped itself, as after Ctrl-Z and fg, or for the night: each time counts as a second.
    assert outcome(10 * 40_000, beat=False, step=False, apart=40_000) is None


def test_errors_of_workers_reach_the_user():
    wrong = dataclasses.replace(settings().islands[0], search_tasks="npz:path=/no/such.npz")
    with pytest.raises((ValueError, OSError), match=r"/no/such\.npz"):
        Islands(dataclasses.replace(settings(), islands=(wrong,)), 1, num_workers=1)
    with pytest.raises(ValueError, match="num_workers=4: expected 0 to 3, the number of islands"):
        Islands(settings(), 1, num_workers=4)


def silent():
    return Reporter(None, io.StringIO())


# The command.

# With a short deadline, so that nobody has to wait for it.
IMPATIENT = """
import runpy, sys
from azero_jax import workers
workers.SILENT_SECONDS = 5.0
runpy.run_path(sys.argv[0], run_name="__main__")
"""
FLAGS = [
    f"--flagfile={ROOT / 'scripts' / 'flagfiles' / 'linear_demo.flags'}",
    "--max_experiments=1",
    "--population_size=200",
    "--child_batch_size=100",
    "--sufficient_fitness=inf",
    "--max_stagnant_individuals=0",
    "--migrate_every=3000",
    "--random_seed=3",
    f"--compilation_cache_dir={execution.user_cache_dir()}",
]


@pytest.fixture
def start():
    """Starts the command; what a failed test leaves running is killed."""
    processes = []

    def begin(*flags):
        script = ["import sys; sys.argv = sys.argv[1:]" + IMPATIENT, str(ROOT / "scripts" / "evolve.py")]
        process = subprocess.Popen(
            [sys.executable, "-c", *script, *FLAGS, *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def checkpoints(directory):
    return set((directory / "checkpoint").glob("*.npz"))


def test_no_worker_is_left_behind(start):
    """However the command ends, and whatever its workers do: here they are stopped as soon as they are there."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start("--num_islands=2", "--num_workers=2")
        wait_until(lambda pid=process.pid: len(children(pid)) == 2)
        found = children(process.pid)
        for worker in found:
            stop(worker)
        while process.poll() is None:  # the second SIGTERM ends it at once
            process.send_signal(number)
            time.sleep(0.1)
        process.communicate()
        wait_until(lambda found=found: not any(alive(worker) for worker in found), 10)


@pytest.mark.thorough
def test_a_hung_worker_holds_up_no_signal(tmp_path, start):
    islands = ["--num_islands=2", "--num_workers=1", "--max_individuals=100000000"]
    process = start(*islands, f"--output_dir={tmp_path}", "--checkpoint_seconds=0")
    wait_until(lambda: len(checkpoints(tmp_path)) == 2 and children(process.pid))
    found = children(process.pid)
    os.kill(found[0], signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, output + errors
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "interrupted" and result["individuals"] > 0
    assert not any(alive(worker) for worker in found)


def attack(process, directory, times, rng):
    """Stops or kills a worker so often, or until the run has ended; says how often."""
    for number in range(times):
        before = checkpoints(directory)
        # Three deaths without a checkpoint between them would end the run.
        wait_until(lambda before=before: process.poll() is not None or checkpoints(directory) - before)
        wait_until(lambda: process.poll() is not None or len(children(process.pid)) == 2)
        time.sleep(rng.uniform(0, 0.5))
        if process.poll() is not None:
            return number
        os.kill(rng.choice(children(process.pid)), rng.choice([signal.SIGSTOP, signal.SIGKILL]))
    return times


@pytest.mark.slow
def test_a_run_whose_workers_are_stopped_and_killed_at_random(tmp_path, start):
    """It ends like one left in peace."""
    results, attacks = [], 0
    for name in ("peace", "attacked"):
        directory = tmp_path / name
        islands = ["--num_islands=4", "--num_workers=2", "--max_individuals=400000"]
        process = start(*islands, f"--output_dir={directory}", "--checkpoint_seconds=0.5")
        if name == "attacked":
            attacks = attack(process, directory, 12, random.Random(5))
        output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, output + errors
        assert not children(process.pid)
        result = json.loads((directory / "result.json").read_text())
        names = ("search_fitness", "select_fitness", "final_fitness", "individuals", "experiments", "program")
        results.append({name: result[name] for name in names})
    assert output.count("with new workers") >= attacks - 1 >= 6
    assert results[0] == results[1]
