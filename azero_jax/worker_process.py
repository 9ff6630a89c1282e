"""What a worker process runs first: signs of life, a watch over its parent, and messages between the two.

This file is run, not imported, so that all of it works before the seconds that the import
of JAX takes. It then calls the function that its parent sends. Standard input and output
are the pipes to the parent; what the function prints goes to the standard error output.

A parent that is killed takes its workers with it. On Linux they ask the kernel to be killed
then, as soon as they run. Everywhere they see the end of their pipe. A stopped one would not;
but each is a process group of its own, and the kernel continues the stopped ones of groups
that lose their parents.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from typing import Any, BinaryIO

# Between two signs of life.
BEAT_SECONDS = 1.0
# A worker has so long to end by itself when its pipe is closed.
END_SECONDS = 5.0
# For the parent alone, which tells its workers when to stop.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_LENGTH = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1

_started: weakref.WeakSet[subprocess.Popen] = weakref.WeakSet()


def start(name: str) -> subprocess.Popen:
    """Starts a worker, which waits for the module path and for a function with its arguments.

    Args:
      name: for people who list processes.
    """
    with _held_back_signals():
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0 if os.name == "posix" else None,
        )
    _started.add(process)
    return process


def kill_all() -> None:
    """Kills all workers of this process, which is about to end without another look at anything."""
    for process in list(_started):
        process.kill()


@contextlib.contextmanager
def _held_back_signals() -> Iterator[None]:
    """Within it, processes start with our signals held back, until they can ignore them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_message(file: BinaryIO, content: bytes) -> None:
    """Writes bytes with their length before them.

    Raises:
      OSError: nobody reads any more.
    """
    file.write(_LENGTH.pack(len(content)))
    file.write(content)
    file.flush()


def read_message(file: BinaryIO) -> bytes:
    """Reads what `write_message` wrote.

    Raises:
      EOFError: the other side is gone; a part of a message is dropped.
    """
    (size,) = _LENGTH.unpack(_read(file, _LENGTH.size))
    return _read(file, size)


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content


class Link:
    """A worker's side of the pipes to its parent.

    A thread sends a beat every second: a tuple of the steps done so far and the seconds that
    the longest took, which tells a worker at work from one that is stopped or stuck. Another
    thread reads, so that the process ends with its parent, whatever it is doing.

    Args:
      incoming, outgoing: the pipes.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO):
        self._incoming, self._outgoing = incoming, outgoing
        self._messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._steps, self._longest, self._since = 0, 0.0, time.monotonic()
        for work in (self._read_all, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def send(self, message: Any) -> None:
        """Sends an object.

        Raises:
          OSError: the parent is gone.
        """
        content = pickle.dumps(message)
        with self._writing:
            write_message(self._outgoing, content)

    def receive(self) -> Any:
        """The next object from the parent, as soon as there is one; the time until then is in no step.

        Raises:
          EOFError: the parent is gone, or wants no more.
        """
        content = self._messages.get()
        self._since = time.monotonic()
        if content is None:
            raise EOFError
        return pickle.loads(content)

    def has_news(self) -> bool:
        """Whether the parent has sent something, or is gone."""
        return not self._messages.empty()

    def step(self) -> None:
        """Counts a step that is done."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._since)
        self._since = now
        self._steps += 1

    def _beat(self) -> None:
        try:
            while True:
                self.send((self._steps, self._longest))
                time.sleep(BEAT_SECONDS)
        except OSError:
            pass  # the thread that reads sees it, too

    def _read_all(self) -> None:
        try:
            while True:
                self._messages.put(read_message(self._incoming))
        except (EOFError, OSError):
            self._messages.put(None)
            time.sleep(END_SECONDS)
            os._exit(1)


def main() -> None:
    """Gets the module path and then a function with its arguments, and calls it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    # Whatever prints must not write into the pipe.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    code = 1
    try:
        link = Link(incoming, outgoing)
        sys.path[:] = link.receive()
        function, arguments = link.receive()
        function(link, *arguments)
        code = 0
    except (EOFError, OSError):
        code = 0  # the parent is gone, and whatever was not in its checkpoint with it
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # threads of ours wait for the pipe, and Python would wait for them


if __name__ == "__main__":
    main()
