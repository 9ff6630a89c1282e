"""How populations run on CPUs: one program after the other, tasks as lanes, a thread per core.

Programs are assembled into linear code, which is handed to the machine in pieces
of one shape, so that nothing is compiled twice. XLA runs a piece on the thread
that calls it and releases Python's lock, so threads of one process use all cores.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import threading
from typing import NamedTuple

import jax
import numpy as np

from azero_jax import ops
from azero_jax.assembler import Assembly, assemble, link
from azero_jax.liveness import Liveness
from azero_jax.machine import OPCODE, RESULT_ROWS, Control, Layout, MachineConfig, Words, build
from azero_jax.program import MemorySize, Population
from azero_jax.tasks import Tasks

# One call of the machine: at most so many programs and so many instructions.
_PROGRAMS_PER_CALL = 256
_INSTRUCTIONS_PER_CALL = 8192

# Two AVX registers of float32. More lanes make each dispatch cheaper per task, but
# memory larger; odd numbers of lanes do not vectorise.
_MOST_LANES = 16


class RunSettings(NamedTuple):
    """What a strategy needs to know beside the tasks.

    Attributes:
      memory, max_abs_error, dtype, seed: as of `Evaluator`.
      num_positions: entries of the longest schedule.
    """

    memory: MemorySize
    max_abs_error: float
    dtype: str
    seed: int
    num_positions: int


class SwitchStrategy:
    """Runs programs on tasks with the `lax.switch` machine.

    Args:
      tasks: the tasks.
      settings: of every run.
      num_threads: pieces that run at the same time.
    """

    def __init__(self, tasks: Tasks, settings: RunSettings, num_threads: int):
        dtype = settings.dtype
        self.dtype = dtype
        self._seed = settings.seed
        self._num_tasks = tasks.num_tasks
        self._num_threads = num_threads
        self._instructions_per_call = _INSTRUCTIONS_PER_CALL
        self._thread = threading.local()
        lanes = lanes_for(tasks.num_tasks)
        self._config = MachineConfig(
            layout=Layout(settings.memory, tasks.features_size),
            loss=tasks.loss,
            max_abs_error=settings.max_abs_error,
            dtype=dtype,
            lanes=lanes,
            max_results=_PROGRAMS_PER_CALL,
            fingerprint=False,
            op_table=ops.table(),
            words=Words(_INSTRUCTIONS_PER_CALL, settings.num_positions, lanes),
        )
        with precision(dtype):
            self._groups = task_groups(tasks, lanes, dtype)

    def assemble(self, population: Population, liveness: Liveness) -> Assembly:
        """Turns programs into code."""
        return assemble(population, liveness, self._config.layout, seed=self._seed, dtype=self.dtype)

    def run(self, assembly: Assembly, programs: np.ndarray, schedule: np.ndarray, fingerprint: bool) -> np.ndarray:
        """Runs some programs (int64 [n]) by a schedule; results [n, RESULT_ROWS, D]."""
        results = np.empty((len(programs), RESULT_ROWS, self._num_tasks), self.dtype)
        if not len(programs):
            return results
        self._make_room(int(assembly.lengths.max()) + 1)
        machine = self._machine(fingerprint)
        pieces = self._pieces(assembly.lengths[programs])
        codes = link(assembly, programs, pieces, self._config.layout)
        lanes = self._config.lanes

        def run_piece(job: tuple[int, int]) -> None:
            index, group = job
            piece = pieces[index]
            num_tasks = min(lanes, self._num_tasks - group * lanes)
            words = self._fill_words(codes[index], schedule, self._groups[group].numbers)
            with precision(self.dtype):
                out = np.asarray(machine(words, self._groups[group].examples))
            first_task = group * lanes
            results[piece, :, first_task : first_task + num_tasks] = out[: piece.stop - piece.start, :, :num_tasks]

        jobs = [(index, group) for index in range(len(pieces)) for group in range(len(self._groups))]
        if len(jobs) == 1 or self._num_threads == 1:
            for job in jobs:
                run_piece(job)
        else:
            for _ in _executor(self._num_threads).map(run_piece, jobs):
                pass
        return results

    @property
    def num_traces(self) -> int:
        """How often machines like this one were traced, and so compiled, in this process."""
        return sum(self._machine(fingerprint).num_traces for fingerprint in (False, True))

    def _make_room(self, instructions: int) -> None:
        """Doubles the size of pieces until the longest program fits: the one reason to compile again."""
        size = self._config.words.instructions
        while size < instructions:
            size *= 2
        if size != self._config.words.instructions:
            words = Words(size, self._config.words.positions, self._config.lanes)
            self._config = self._config._replace(words=words)

    def _pieces(self, lengths: np.ndarray) -> list[slice]:
        """Splits programs into calls that fit, at least one for each thread, of similar length."""
        ends = np.cumsum(lengths)
        enough = self._num_threads if len(lengths) >= 16 * self._num_threads else 1
        share = min(-(-int(ends[-1]) // enough) + int(lengths.max()), self._config.words.instructions - 1)
        pieces = []
        first = 0
        while first < len(lengths):
            used = ends[first - 1] if first else 0
            last = min(int(np.searchsorted(ends, used + share, side="right")), first + _PROGRAMS_PER_CALL)
            pieces.append(slice(first, last))
            first = last
        return pieces

    def _fill_words(self, code: np.ndarray, schedule: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Code and a HALT, schedule and task numbers in one array, which belongs to this thread.

        Fresh memory of this size would cost more than the call.
        """
        layout = self._config.words
        words = getattr(self._thread, "words", None)
        if words is None or len(words) != layout.size:
            words = self._thread.words = np.zeros(layout.size, np.uint32)
        words[: code.size] = code.ravel()
        words[code.size + OPCODE] = Control.HALT
        words[layout.first_position : layout.first_task] = schedule
        words[layout.first_task :] = numbers
        return words

    def _machine(self, fingerprint: bool) -> _CompiledMachine:
        return _compiled_machine(self._config._replace(fingerprint=fingerprint))


class _CompiledMachine:
    """A jitted machine that counts how often it was traced."""

    def __init__(self, config: MachineConfig):
        self.num_traces = 0
        run = build(config)

        def traced(words: jax.Array, examples: jax.Array) -> jax.Array:
            self.num_traces += 1
            return run(words, examples)

        self._jitted = jax.jit(traced)

    def __call__(self, words: np.ndarray, examples: jax.Array) -> jax.Array:
        return self._jitted(words, examples)


@functools.lru_cache(maxsize=32)
def _compiled_machine(config: MachineConfig) -> _CompiledMachine:
    """The machine of a configuration, shared by evaluators of tasks of the same sizes."""
    return _CompiledMachine(config)


@functools.cache
def _executor(num_threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(num_threads, "evaluator")


def precision(dtype: str) -> contextlib.AbstractContextManager:
    """Within it, JAX computes in a dtype, "float32" or "float64"."""
    wanted = dtype == "float64"
    return contextlib.nullcontext() if jax.config.read("jax_enable_x64") == wanted else jax.enable_x64(wanted)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes_for(num_tasks: int) -> int:
    """Tasks that run side by side: the next power of two, up to 16."""
    return min(_MOST_LANES, 1 << (num_tasks - 1).bit_length())


class TaskGroup(NamedTuple):
    """Tasks that run side by side.

    Attributes:
      examples: [rows, lanes], on the device.
      numbers: uint32 [lanes], which task each lane runs.
    """

    examples: jax.Array
    numbers: np.ndarray


def task_groups(tasks: Tasks, lanes: int, dtype: str) -> list[TaskGroup]:
    """The tasks in groups of as many as there are lanes.

    Each example is its label, a zero and its features; training examples come first.
    Lanes without a task repeat the group's first, so that they stop with it.
    """
    groups = []
    for first in range(0, tasks.num_tasks, lanes):
        numbers = np.arange(first, first + lanes)
        numbers[numbers >= tasks.num_tasks] = first
        parts = []
        for features, labels in (
            (tasks.train_features, tasks.train_labels),
            (tasks.valid_features, tasks.valid_labels),
        ):
            label = labels[numbers, :, None]
            examples = np.concatenate([label, np.zeros_like(label), features[numbers]], axis=2)
            parts.append(examples.transpose(1, 2, 0).reshape(-1, lanes))
        examples_on_device = jax.device_put(np.concatenate(parts).astype(dtype))
        groups.append(TaskGroup(examples_on_device, numbers.astype(np.uint32)))
    return groups
