"""Processes as Linux lists them."""

from __future__ import annotations

import os
import pathlib
import signal
import time


def children(pid):
    """Processes that a process has started, itself or through another."""
    status = {path.parent.name: _status(path) for path in pathlib.Path("/proc").glob("[0-9]*/stat")}
    return [int(child) for child, fields in status.items() if fields and int(fields[1]) == pid]


def alive(pid):
    """Whether a process is there and not only its exit code; a stopped one is."""
    fields = _status(pathlib.Path(f"/proc/{pid}/stat"))
    return bool(fields) and fields[0] != "Z"


def stop(pid):
    """Stops a process, and waits until the kernel has done so."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _status(pathlib.Path(f"/proc/{pid}/stat"))[0] == "T")


def wait_until(condition, seconds=120):
    """Waits for something that must come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _status(path):
    """State, parent and so on; nothing where the process has gone."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
