"""One run per directory, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from azero_jax import locks
from azero_jax.locks import Held, Lock, process_start

ROOT = pathlib.Path(__file__).parent.parent
HOLDER = """
import pathlib, sys, time
from azero_jax import locks
if sys.argv[2] == "file":
    locks.fcntl = None
lock = locks.Lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(100)
"""


@pytest.fixture(params=["system", "file"])
def how(request, monkeypatch):
    """Locks of the system, and those where it has none."""
    if request.param == "file":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


def test_another_process_is_kept_out_until_it_is_killed(tmp_path, how):
    path = tmp_path / "run.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "held\n"
    content = path.read_bytes()
    with pytest.raises(Held, match=f"process {process.pid} on {socket.gethostname()}"):
        Lock(path)
    assert path.read_bytes() == content
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lock = Lock(path)
    assert lock.stale
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release(restore=True)
    assert path.read_bytes() == content
    Lock(path).release()
    assert not path.exists()


def test_this_process_is_kept_out_too(tmp_path, how):
    first = Lock(tmp_path / "run.lock")
    with pytest.raises(Held, match=f"process {os.getpid()}"):
        Lock(tmp_path / "run.lock")
    first.release()
    Lock(tmp_path / "run.lock").release()


def test_a_lock_file_names_a_process_not_only_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    path, pid = tmp_path / "run.lock", os.getppid()
    for started, free in (("before", True), (process_start(pid), False)):
        path.write_text(json.dumps({"pid": pid, "host": socket.gethostname(), "started": started}))
        if free:
            Lock(path).release()
        else:
            with pytest.raises(Held, match=f"process {pid}"):
                Lock(path)
    path.write_text(json.dumps({"pid": pid, "host": "elsewhere", "started": "before"}))
    with pytest.raises(Held, match=f"process {pid} on elsewhere"):
        Lock(path)
    for damaged in ("", "[]", "{", '{"pid": "x"}'):
        path.write_text(damaged)
        Lock(path).release()


def test_the_start_of_a_process():
    assert process_start(os.getpid()) == process_start(os.getpid()) != process_start(1)
    assert process_start(2**22 + 1) is None


def test_a_link_is_no_lock(tmp_path):
    (tmp_path / "foreign").write_text("mine")
    (tmp_path / "run.lock").symlink_to(tmp_path / "foreign")
    with pytest.raises(OSError, match=r"run\.lock"):
        Lock(tmp_path / "run.lock")
    assert (tmp_path / "foreign").read_text() == "mine"
