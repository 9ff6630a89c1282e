"""Requests to stop: signals, seen at once even while the process compiles, and Ctrl-C in Python.

Python runs its signal handlers between two of its own instructions, which in the middle
of a compilation can be a minute later. A thread that the system wakes for each signal
says at once that it has been heard, and ends the process at a second one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from azero_jax import worker_process

# What ends a command: Ctrl-C, `kill`, and a terminal that is closed.
COMMAND_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Signals that ask this process to stop.

    Args:
      say: tells people that one was heard; called in another thread.
      end_at_second: whether a second signal ends the process; otherwise it raises
        KeyboardInterrupt.

    Attributes:
      number: of the first signal, or None.
      doing: what the process has to finish first, for `say`.
    """

    def __init__(self, say: Callable[[str], None], *, end_at_second: bool):
        self.number: int | None = None
        self.doing = "this step"
        self._say = say
        self._end_at_second = end_at_second
        self._heard_while = self.doing
        self._lock = threading.RLock()  # a handler may interrupt itself
        self._handled = 0
        self._may_raise = False

    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    @contextlib.contextmanager
    def heard(self, numbers: Sequence[int]) -> Iterator[Interrupts]:
        """Within it, these signals are requests; only in the main thread."""
        before = {number: signal.signal(number, self._handle) for number in numbers}
        stop_watching = _watch(numbers, self._first, self._second)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            stop_watching()

    @contextlib.contextmanager
    def at_once(self, doing: str) -> Iterator[None]:
        """Within it, a request raises KeyboardInterrupt as soon as Python can: there is nothing to lose."""
        outer, self.doing = self.doing, doing
        try:
            self._may_raise = True
            if self.requested():
                raise KeyboardInterrupt
            yield
        finally:
            self._may_raise = False
            self.doing = outer

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        self._handled += 1
        self._note(number)
        if self._may_raise or (self._handled > 1 and not self._end_at_second):
            self._may_raise = False
            raise KeyboardInterrupt

    def _note(self, number: int) -> None:
        """Remembers the first signal, by whichever thread hears of it first."""
        with self._lock:
            if self.number is None:
                self.number, self._heard_while = number, self.doing

    def _first(self, number: int) -> None:
        self._note(number)
        self._say(f"stopping after {self._heard_while}...")

    def _second(self, number: int) -> None:
        if self._end_at_second:
            end_now(128 + number)


def end_now(code: int) -> None:
    """Ends the process and those it has started, without another look at anything."""
    worker_process.kill_all()
    os._exit(code)


def _watch(numbers: Sequence[int], first: Callable[[int], None], second: Callable[[int], None]) -> Callable[[], None]:
    """Calls functions in a thread of its own at the first and later ones of some signals.

    Returns:
      What ends it.
    """
    ours, systems = socket.socketpair()
    systems.setblocking(False)
    before = signal.set_wakeup_fd(systems.fileno(), warn_on_full_buffer=False)
    if before != -1:  # somebody else, an event loop, is woken for signals
        signal.set_wakeup_fd(before)
        ours.close()
        systems.close()
        return lambda: None

    def listen() -> None:
        come = 0
        while received := ours.recv(1):
            if received[0] in numbers:
                come += 1
                (first if come == 1 else second)(received[0])

    thread = threading.Thread(target=listen, name="azero_jax signals", daemon=True)
    thread.start()

    def stop() -> None:
        signal.set_wakeup_fd(-1)
        systems.close()  # which ends `recv`
        thread.join()
        ours.close()

    return stop


def command_signals() -> list[int]:
    """`COMMAND_SIGNALS`, but for a closed terminal where somebody, `nohup`, has said to ignore that."""
    hangup = getattr(signal, "SIGHUP", None)
    return [some for some in COMMAND_SIGNALS if some != hangup or signal.getsignal(some) != signal.SIG_IGN]


@contextlib.contextmanager
def of_python(say: Callable[[str], None]) -> Iterator[Interrupts]:
    """Requests by Ctrl-C in a script or a notebook: heard where Python's own handler would raise KeyboardInterrupt.

    Elsewhere, in another thread or with somebody else's handler, a run ends with the main
    thread if Ctrl-C has ended that.
    """
    interrupts = Interrupts(say, end_at_second=False)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with interrupts.heard([signal.SIGINT]):
            yield interrupts
    else:
        if not is_main:
            interrupts.requested = _main_thread_was_interrupted  # type: ignore[method-assign]
        yield interrupts


def _main_thread_was_interrupted() -> bool:
    last: Any = getattr(sys, "last_value", None)
    return isinstance(last, KeyboardInterrupt) and not threading.main_thread().is_alive()
