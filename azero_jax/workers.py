"""Where the islands of an experiment live: in this process, or spread over worker processes.

A worker answers calls of the methods of its `IslandGroup`. It looks for messages between
steps, too, so that it pauses when it is told to. Signals are for this process alone.

No worker can hold up the run: one that shows no sign of life, or finishes no step, within a
deadline is killed, and counts as dead like one that ended by itself. And none outlives this
process: it is killed on every ordinary way out, and where this process is killed itself, as
`worker_process` says.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

import jax

from azero_jax import extensions, given_tasks, notices, ops, worker_process
from azero_jax.execution import available_cores
from azero_jax.islands import Finalists, IslandGroup, IslandReport, IslandStatus, arrivals
from azero_jax.search import History
from azero_jax.settings import Settings
from azero_jax.snapshots import Snapshot
from azero_jax.task_specs import given_parameters
from azero_jax.tasks import Tasks

# Deadlines. A worker's own thread beats every second, also while it compiles; one that has not
# for so long is stopped, or waits for memory.
SILENT_SECONDS = 20.0
# One that beats but finishes no step is stuck. It has this long, or the longest step that it
# has done times the factor. Its first step is to import JAX, to compile and to score the first
# population, which takes minutes where machines are busy or populations large.
STEP_SECONDS = 60.0
STEP_FACTOR = 10.0
START_SECONDS = 1800.0

_CACHE_OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
_POLL_SECONDS = 0.05
# Between two looks at a worker no more is counted: this process may have been stopped itself.
_MOST_COUNTED_SECONDS = 1.0
_END_SECONDS = 2.0


class WorkerDied(Exception):
    """A worker process ended without being told to, or did nothing for so long that it was killed."""


# What goes through the pipe to a worker: the module path, `_serve` with its arguments, and then these.


class _Advance(NamedTuple):
    """Asks for `IslandGroup.advance`; any message behind it pauses it."""

    target: int


class _Pause(NamedTuple):
    """Pauses an advance; nothing where there is none."""


class _Ask(NamedTuple):
    """Asks for another method of `IslandGroup`."""

    method: Callable[..., Any]
    arguments: tuple


# And back: beats, as tuples, and an answer to every question.


class _Answer(NamedTuple):
    """What a method returned."""

    value: Any


class _Failure(NamedTuple):
    """What it raised."""

    error: Exception


def check_workers(settings: Settings, num_workers: int) -> None:
    """Checks that islands can be spread over so many processes.

    Raises:
      ValueError: more workers than islands, ops that only this process knows, or ops that a worker
        would give other ids.
    """
    count = len(settings.islands)
    if not 0 <= num_workers <= count:
        raise ValueError(f"num_workers={num_workers}: expected 0 to {count}, the number of islands")
    registered = ops.table()[ops.NUM_BUILT_IN_OPS :]
    unknown = [op.name for op in registered if not op.removed and not extensions.provides(op.name)]
    if num_workers and unknown:
        raise ValueError(
            f"num_workers={num_workers}: expected 0, since workers do not know {unknown[0]}, an op that this process "
            "has registered; they know what --import, or extensions.load, has loaded"
        )
    for island in settings.islands:
        loss = given_parameters(island.search_tasks).get("loss", "")
        if num_workers and not extensions.provides_loss(loss):
            raise ValueError(
                f"num_workers={num_workers}: expected 0, since workers do not know {loss}, a loss that this process "
                "has registered; they know what --import, or extensions.load, has loaded"
            )
    gone = [op.name for op in registered if op.removed]
    if num_workers and gone:
        raise ValueError(
            f"num_workers={num_workers}: expected 0, since {gone[-1]} was unregistered and ops registered after it: "
            "workers, which never knew it, would give them other ids"
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
      WorkerDied: a worker ended or did nothing until its deadline; every method raises it, too.
    """

    def __init__(
        self, settings: Settings, experiment: int, num_workers: int = 0, snapshots: Sequence[Snapshot] | None = None
    ):
        check_workers(settings, num_workers)
        count = len(settings.islands)
        self._settings = settings
        self._experiment = experiment
        self._hosts: list[_Here | _Worker] = []
        self._news = threading.Event()  # something came from a worker
        if num_workers == 0:
            self._hosts = [_Here(settings, experiment, range(count), snapshots)]
            return
        num_threads = max(1, available_cores() // num_workers)
        try:
            for worker in range(num_workers):
                numbers = range(count * worker // num_workers, count * (worker + 1) // num_workers)
                some = [snapshots[number] for number in numbers] if snapshots else None
                self._hosts.append(_Worker(settings, experiment, numbers, some, num_threads, self._news))
            self._results()  # of starting
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
            host.advance(target, pause)
        return self._results(pause)

    def exchange(self, number: int) -> None:
        """Lets programs migrate; `number` counts the exchanges of the experiment."""
        leaving = self._ask(IslandGroup.emigrants)
        arriving = iter(arrivals(self._settings, self._experiment, number, leaving))
        for host in self._hosts:
            host.ask(IslandGroup.immigrate, [next(arriving) for _ in host.numbers])
        self._results()

    def status(self) -> list[IslandStatus]:
        """How far each island is."""
        return self._ask(IslandGroup.status)

    def report(self) -> list[IslandReport]:
        """What each island tells of itself."""
        return self._ask(IslandGroup.report)

    def best(self) -> list[Finalists]:
        """The best program of each island's population."""
        return self._ask(IslandGroup.best)

    def finalists(self) -> list[Finalists]:
        """What each island proposes at the end."""
        return self._ask(IslandGroup.finalists)

    def histories(self) -> list[History]:
        """How each island found its best programs."""
        return self._ask(IslandGroup.histories)

    def snapshot(self) -> list[Snapshot]:
        """Where each island is."""
        return self._ask(IslandGroup.snapshot)

    def close(self) -> None:
        """Ends the workers."""
        hosts, self._hosts = self._hosts, []
        for host in hosts:
            host.end()
        deadline = time.monotonic() + _END_SECONDS
        for host in hosts:
            host.close(deadline)

    def _ask(self, method: Callable[[IslandGroup], list]) -> list:
        for host in self._hosts:
            host.ask(method)
        return self._results()

    def _results(self, pause: Callable[[], bool] | None = None) -> list:
        """What all hosts answer, island by island; if `pause` says so before, they are told to pause."""
        while True:
            self._news.clear()
            if all([host.has_answered() for host in self._hosts]):  # each is asked, and may be found dead
                return [value for host in self._hosts for value in host.result() or []]
            if pause is not None and pause():
                for host in self._hosts:
                    host.pause()
                pause = None
            self._news.wait(_POLL_SECONDS)


class _Here:
    """Islands in this process."""

    def __init__(
        self, settings: Settings, experiment: int, numbers: Sequence[int], snapshots: Sequence[Snapshot] | None
    ):
        self.numbers = numbers
        self._group = IslandGroup(settings, experiment, numbers, snapshots)
        self._answer: Any = None

    def advance(self, target: int, pause: Callable[[], bool]) -> None:
        self._answer = self._group.advance(target, pause)

    def ask(self, method: Callable[..., Any], *arguments: Any) -> None:
        self._answer = method(self._group, *arguments)

    def pause(self) -> None:
        pass

    def has_answered(self) -> bool:
        return True

    def result(self) -> Any:
        return self._answer

    def end(self) -> None:
        pass

    def close(self, deadline: float) -> None:
        pass


class Patience:
    """How long a worker is waited for, with one question.

    Args:
      now: seconds of a clock.
    """

    def __init__(self, now: float):
        self._looked = now
        self._silent = self._stuck = 0.0
        self._beats = self._steps = 0

    def ends(self, now: float, beats: int, steps: int, longest_step: float) -> str | None:
        """Why the worker counts as dead, or None.

        Args:
          now: seconds of the same clock.
          beats, steps: how many the worker has made, in all.
          longest_step: seconds.
        """
        waited, self._looked = min(now - self._looked, _MOST_COUNTED_SECONDS), now
        self._silent = 0.0 if beats != self._beats else self._silent + waited
        self._stuck = 0.0 if steps != self._steps else self._stuck + waited
        self._beats, self._steps = beats, steps
        if self._silent > SILENT_SECONDS:
            return f"showed no sign of life for {self._silent:.0f} s"
        if self._stuck > (max(STEP_SECONDS, STEP_FACTOR * longest_step) if steps else START_SECONDS):
            before = f", where {longest_step:.1f} s was the most before" if steps else ""
            return f"finished no step for {self._stuck:.0f} s{before}"
        return None


class _Incoming:
    """What a thread has read from a worker."""

    def __init__(self) -> None:
        self.beats, self.steps, self.longest_step = 0, 0, 0.0
        self.answers: queue.SimpleQueue[_Answer | _Failure] = queue.SimpleQueue()
        self.ended = False

    def read_all(self, file: BinaryIO, news: threading.Event) -> None:
        """Reads until the pipe ends, and says when there is something."""
        with file, contextlib.suppress(EOFError, OSError):
            while True:
                message = pickle.loads(worker_process.read_message(file))
                if isinstance(message, (_Answer, _Failure)):
                    self.answers.put(message)
                    news.set()
                else:
                    self.steps, self.longest_step = message
                    self.beats += 1
        self.ended = True
        news.set()


class _Worker:
    """Islands in a process of their own; arguments as of `IslandGroup`, and what is set when something comes.

    Threads read and write, since a worker that is stopped halfway through a message would else
    stop this process, too.
    """

    def __init__(
        self,
        settings: Settings,
        experiment: int,
        numbers: Sequence[int],
        snapshots: Sequence[Snapshot] | None,
        num_threads: int,
        news: threading.Event,
    ):
        self.numbers = numbers
        self.name = f"azero_jax islands {numbers[0]} to {numbers[-1]}"
        self._process = worker_process.start(self.name)
        # When this process ends, or forgets about the worker.
        self._killed = weakref.finalize(self, _kill, self._process)
        self._incoming = _Incoming()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._incoming.read_all, args=(self._process.stdout, news), daemon=True),
            threading.Thread(target=_write_all, args=(self._process.stdin, self._outgoing), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._patience = Patience(time.monotonic())
        cache = {name: getattr(jax.config, name) for name in _CACHE_OPTIONS}
        group = (settings, experiment, numbers, snapshots, num_threads)
        self._send(sys.path)
        self._send((_serve, (extensions.loaded(), given_tasks.kept(), cache, group)))

    def advance(self, target: int, pause: Callable[[], bool]) -> None:
        self._patience = Patience(time.monotonic())
        self._send(_Advance(target))

    def ask(self, method: Callable[..., Any], *arguments: Any) -> None:
        self._patience = Patience(time.monotonic())
        self._send(_Ask(method, arguments))

    def pause(self) -> None:
        self._send(_Pause())

    def has_answered(self) -> bool:
        """Whether there is a result.

        Raises:
          WorkerDied: there will be none.
        """
        come = self._incoming
        ended = come.ended  # before the look at the answers, of which the last may have just come
        if not come.answers.empty():
            return True
        if ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            self._killed()
            raise WorkerDied(f"{self.name}: the process ended with exit code {self._process.returncode}")
        if why := self._patience.ends(time.monotonic(), come.beats, come.steps, come.longest_step):
            self._killed()
            raise WorkerDied(f"{self.name}: the process {self._process.pid} {why}, and was killed")
        return False

    def result(self) -> Any:
        answer = self._incoming.answers.get()
        if isinstance(answer, _Failure):
            raise answer.error
        return answer.value

    def end(self) -> None:
        """Lets the process end: an idle one does so at once."""
        self._outgoing.put(None)

    def close(self, deadline: float) -> None:
        """Kills the process if it has not ended by then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self._killed()
        for thread in self._threads:
            thread.join(_END_SECONDS)  # the pipes have ended with the process

    def _send(self, message: Any) -> None:
        self._outgoing.put(pickle.dumps(message))


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    # The kernel may still wait for a disk.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)


def _write_all(file: BinaryIO, messages: queue.SimpleQueue[bytes | None]) -> None:
    """Writes messages, and closes the pipe behind the last; one that is gone, the thread that reads sees, too."""
    with contextlib.suppress(OSError), file:
        while (message := messages.get()) is not None:
            worker_process.write_message(file, message)


def _serve(
    link: worker_process.Link, modules: Sequence[str], tasks: dict[str, Tasks], cache: dict, group_arguments: tuple
) -> None:
    """What a worker does: answers until the pipe is closed."""
    notices.leave_to_parent()
    for name, value in cache.items():
        jax.config.update(name, value)
    groups: list[IslandGroup] = []

    def must_pause() -> bool:
        link.step()
        return link.has_news()

    def begin() -> None:
        for module in modules:
            extensions.load(module)
        given_tasks.keep_all(tasks)
        groups.append(IslandGroup(*group_arguments))

    _answer(link, begin)
    link.step()
    while groups:
        message = link.receive()
        if isinstance(message, _Advance):
            _answer(link, groups[0].advance, message.target, must_pause)
        elif isinstance(message, _Ask):
            _answer(link, message.method, groups[0], *message.arguments)


def _answer(link: worker_process.Link, function: Callable, *arguments: Any) -> None:
    """Sends what a function returns, or the error it raises."""
    try:
        answer: _Answer | _Failure = _Answer(function(*arguments))
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        answer = _Failure(_as_data(error))
    link.send(answer)


def _as_data(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # whatever the error's own class does
        return RuntimeError(f"{type(error).__name__}: {error}")
