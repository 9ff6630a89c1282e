"""A process that beats, watches its parent and does what it is sent; without JAX, so in no time."""

from __future__ import annotations

import pathlib
import pickle
import signal
import subprocess
import sys
import time

import pytest
from processes import alive, stop, wait_until

from azero_jax import worker_process

JOBS = """
import time

def work(link, seconds):
    print("not for the pipe")
    for number in iter(link.receive, None):
        link.send(number + 1)
    link.step()
    link.send("working")
    time.sleep(seconds)
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """A module that the process has to find by the path it is sent."""
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    import jobs

    yield jobs
    del sys.modules["jobs"]


def start(jobs, seconds):
    process = worker_process.start("test")
    for message in (sys.path, (jobs.work, (seconds,))):
        send(process, message)
    return process


def send(process, message):
    worker_process.write_message(process.stdin, pickle.dumps(message))


def receive(process, kind):
    """The next message of a kind, and how many others came before it."""
    others = 0
    while not isinstance(message := pickle.loads(worker_process.read_message(process.stdout)), kind):
        others += 1
    return message, others


def test_messages_and_beats(jobs):
    with start(jobs, seconds=0.2) as process:
        for number in (1, 2):
            send(process, number)
            assert receive(process, int)[0] == number + 1
        send(process, None)
        assert receive(process, str)[0] == "working"
        with pytest.raises(EOFError):  # it is done
            receive(process, str)
        assert process.wait() == 0


def test_beats_tell_the_longest_step(jobs):
    with start(jobs, seconds=100) as process:
        assert receive(process, tuple)[0] == (0, 0.0)
        send(process, None)
        receive(process, str)
        started = time.monotonic()
        (steps, longest), _ = receive(process, tuple)
        assert steps == 1 and 0 <= longest < 10
        receive(process, tuple)
        assert 0.5 < time.monotonic() - started < 20
        process.kill()


def test_a_busy_process_ends_with_its_pipe(jobs, monkeypatch):
    with start(jobs, seconds=100) as process:
        send(process, None)
        receive(process, str)
        process.send_signal(signal.SIGTERM)  # which is for its parent alone
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert process.wait(60) == 1


@pytest.mark.parametrize("moment", ["at once", "at work"])
def test_a_stopped_process_ends_with_a_killed_parent(moment):
    """Also when it has not yet run an instruction of ours."""
    parent = (
        "import runpy, sys, time\n"
        "worker = runpy.run_path(sys.argv[1])['start']('test')\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(100)"
    )
    command = [sys.executable, "-c", parent, worker_process.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        worker = int(process.stdout.readline())
        if moment == "at work":
            wait_until(lambda: ignores(worker, signal.SIGTERM))
        stop(worker)
        process.kill()
    wait_until(lambda: not alive(worker), 20)


def ignores(pid, number):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return int(mask.split()[1], 16) >> (number - 1) & 1
