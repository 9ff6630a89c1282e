"""Requests to stop, in one process."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from azero_jax import interrupts
from azero_jax.interrupts import Interrupts, command_signals


@pytest.fixture
def python_handler():
    """Python's own handler of Ctrl-C, whatever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)


def test_the_first_is_a_request_and_the_second_raises(python_handler):
    said = []
    with interrupts.of_python(said.append) as heard:
        assert not heard.requested()
        press()
        assert heard.requested() and said == ["stopping after this step..."]
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_nothing_can_be_lost_the_first_raises(python_handler):
    said = []
    with interrupts.of_python(said.append) as heard:
        with pytest.raises(KeyboardInterrupt), heard.at_once("the compilation"):
            press()
        time.sleep(0.05)
        assert said == ["stopping after the compilation..."] and heard.doing == "this step"
        with pytest.raises(KeyboardInterrupt), heard.at_once("the next"):
            raise AssertionError("not reached")


def test_handlers_and_event_loops_of_others_stay(python_handler):
    handled = []
    signal.signal(signal.SIGINT, lambda number, frame: handled.append(number))
    with interrupts.of_python(handled.append) as heard:
        press()
        assert handled == [signal.SIGINT] and not heard.requested()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    try:
        with interrupts.of_python(handled.append) as heard:
            press()
            assert heard.requested()
            assert ours.recv(10) == bytes([signal.SIGINT])
        assert signal.set_wakeup_fd(-1) == theirs.fileno()
    finally:
        signal.set_wakeup_fd(-1)
        ours.close()
        theirs.close()


def test_other_threads_need_no_handler():
    seen = []

    def work():
        with interrupts.of_python(seen.append) as heard:
            seen.append(heard.requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in command_signals() and signal.SIGTERM in command_signals()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in command_signals()


def test_a_second_signal_ends_a_command_at_once(monkeypatch):
    codes, ended = [], threading.Event()
    monkeypatch.setattr(interrupts, "end_now", lambda code: (codes.append(code), ended.set()))
    heard = Interrupts(lambda text: None, end_at_second=True)
    with heard.heard([signal.SIGTERM]):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
        assert ended.wait(5)
    assert codes == [143] and heard.number == signal.SIGTERM
