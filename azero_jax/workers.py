"""Where the islands of an experiment live: in this process, or spread over worker processes.

A worker answers calls of the methods of its `IslandGroup` that come through a pipe. It
looks at the pipe between steps, too, so that it pauses when it is told to, and ends when
this process is gone. Signals are for this process alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from azero_jax import extensions, ops
from azero_jax.execution import available_cores
from azero_jax.islands import Finalists, IslandGroup, IslandReport, IslandStatus, Snapshot, arrivals
from azero_jax.settings import Settings

_PAUSE = ("pause", ())
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_CACHE_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
_POLL_SECONDS = 0.05
_END_SECONDS = 5.0


class WorkerDied(Exception):
    """A worker process ended without being told to."""


def check_workers(settings: Settings, num_workers: int) -> None:
    """Checks that islands can be spread over so many processes.

    Raises:
      ValueError: more workers than islands, or ops that only this process knows.
    """
    count = len(settings.islands)
    if not 0 <= num_workers <= count:
        raise ValueError(f"num_workers={num_workers}: expected 0 to {count}, the number of islands")
    unknown = [op.name for op in ops.table()[ops.NUM_BUILT_IN_OPS :] if not extensions.provides(op.name)]
    if num_workers and unknown:
        raise ValueError(
            f"num_workers={num_workers}: expected 0, since workers do not know {unknown[0]}, an op that this process "
            "has registered; they know what --import, or extensions.load, has loaded"
        )


class Islands:
    """All islands of one experiment.

    Args:
      settings: of the run.
      experiment: its number, from 1.
      num_workers: processes for the islands; 0 for this one.
      snapshots: where the islands go on; by default they start.

    Raises:
      ValueError: more workers than islands, ops that only this process knows, or
        settings that contradict each other or the tasks.
      WorkerDied: a worker ended; every method raises it, too.
    """

    def __init__(
        self, settings: Settings, experiment: int, num_workers: int = 0, snapshots: Sequence[Snapshot] | None = None
    ):
        check_workers(settings, num_workers)
        count = len(settings.islands)
        self._settings = settings
        self._experiment = experiment
        self._hosts: list[_Host | _Worker] = []
        if num_workers == 0:
            self._hosts = [_Host(settings, experiment, range(count), snapshots)]
            return
        num_threads = max(1, available_cores() // num_workers)
        try:
            for worker in range(num_workers):
                numbers = range(count * worker // num_workers, count * (worker + 1) // num_workers)
                some = [snapshots[number] for number in numbers] if snapshots else None
                self._hosts.append(_Worker(settings, experiment, numbers, some, num_threads))
            for host in self._hosts:
                host.result()  # of starting
        except BaseException:
            self.close()
            raise

    def advance(self, target: int, pause: Callable[[], bool]) -> list[IslandStatus]:
        """Steps every island until it has made `target` programs.

        Args:
          target: programs of each island.
          pause: asked often; if it says so, islands stop after the step they are in.

        Returns:
          How far each island is.
        """
        for host in self._hosts:
            host.call("advance", target, pause)
        return [status for host in self._hosts for status in host.result(pause)]

    def exchange(self, number: int) -> None:
        """Lets programs migrate; `number` counts the exchanges of the experiment."""
        leaving = self._ask("emigrants")
        arriving = iter(arrivals(self._settings, self._experiment, number, leaving))
        for host in self._hosts:
            host.call("immigrate", [next(arriving) for _ in host.numbers])
        for host in self._hosts:
            host.result()

    def status(self) -> list[IslandStatus]:
        """How far each island is."""
        return self._ask("status")

    def report(self) -> list[IslandReport]:
        """What each island tells of itself."""
        return self._ask("report")

    def best(self) -> list[Finalists]:
        """The best program of each island's population."""
        return self._ask("best")

    def finalists(self) -> list[Finalists]:
        """What each island proposes at the end."""
        return self._ask("finalists")

    def snapshot(self) -> list[Snapshot]:
        """Where each island is."""
        return self._ask("snapshot")

    def close(self) -> None:
        """Ends the workers."""
        for host in self._hosts:
            host.close()
        self._hosts = []

    def _ask(self, method: str) -> list:
        for host in self._hosts:
            host.call(method)
        return [answer for host in self._hosts for answer in host.result()]


class _Host:
    """Islands in this process."""

    def __init__(
        self, settings: Settings, experiment: int, numbers: Sequence[int], snapshots: Sequence[Snapshot] | None
    ):
        self.numbers = numbers
        self._group = IslandGroup(settings, experiment, numbers, snapshots)
        self._answer: Any = None

    def call(self, method: str, *arguments: Any) -> None:
        self._answer = getattr(self._group, method)(*arguments)

    def result(self, pause: Callable[[], bool] | None = None) -> Any:
        return self._answer

    def close(self) -> None:
        pass


class _Worker:
    """Islands in a process of their own; arguments as of `IslandGroup`."""

    def __init__(
        self,
        settings: Settings,
        experiment: int,
        numbers: Sequence[int],
        snapshots: Sequence[Snapshot] | None,
        num_threads: int,
    ):
        self.numbers = numbers
        # Not fork: JAX's threads do not survive it.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        cache = {name: getattr(jax.config, name) for name in _CACHE_OPTIONS}
        group = (extensions.loaded(), settings, experiment, numbers, snapshots, num_threads)
        self._process = context.Process(
            target=_serve,
            args=(theirs, cache, group),
            daemon=True,
            name=f"azero_jax islands {numbers[0]} to {numbers[-1]}",
        )
        with _held_back_signals():
            self._process.start()
        theirs.close()

    def call(self, method: str, *arguments: Any) -> None:
        # What pauses an advance is asked on this side of the pipe.
        self._send((method, arguments[:1] if method == "advance" else arguments))

    def result(self, pause: Callable[[], bool] | None = None) -> Any:
        while pause is not None and not self._connection.poll(_POLL_SECONDS):
            if pause():
                self._send(_PAUSE)
                pause = None
        try:
            ok, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death() from error
        if not ok:
            raise answer
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _send(self, message: tuple) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._death() from error

    def _death(self) -> WorkerDied:
        self._process.join(_END_SECONDS)
        return WorkerDied(f"{self._process.name}: the process ended with exit code {self._process.exitcode}")


@contextlib.contextmanager
def _held_back_signals() -> Iterator[None]:
    """Within it, processes start with our signals held back, until they can ignore them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Starting the first process would start this, too, which lets signals through again.
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: multiprocessing.connection.Connection, cache: dict, group_arguments: tuple) -> None:
    """What a worker does: answers calls until the pipe is closed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for name, value in cache.items():
        jax.config.update(name, value)
    try:
        group = _answer(connection, _make_group, *group_arguments)
        while group is not None:
            method, arguments = connection.recv()
            if method == "advance":
                # Anything in the pipe, its end included, ends the advance.
                arguments = (*arguments, connection.poll)
            if (method, arguments) != _PAUSE:
                _answer(connection, getattr(group, method), *arguments)
    except (EOFError, OSError):
        pass  # the other side is gone, and whatever was not in its checkpoint with it


def _make_group(modules: Sequence[str], *group_arguments: Any) -> IslandGroup:
    """The islands, once this process knows the ops and tasks that its parent has loaded."""
    for name in modules:
        extensions.load(name)
    return IslandGroup(*group_arguments)


def _answer(connection: multiprocessing.connection.Connection, function: Callable, *arguments: Any) -> Any:
    """Sends what a function returns, or the error it raises; returns it."""
    try:
        result = function(*arguments)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        connection.send((False, error))
        return None
    connection.send((True, None if isinstance(result, IslandGroup) else result))
    return result
