"""Programs in, fitness out: batching, threads, duplicates, strategies.

An `Evaluator` holds tasks on the device and one compiled machine. A call finds
what is live, drops programs that are the same as another one, assembles the
rest, hands the code out in pieces to one thread per core, and puts the results
back in order. All pieces have the same shape, so nothing is compiled twice.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from azero_jax import ops, xla_flags
from azero_jax.assembler import Assembly, assemble, link
from azero_jax.liveness import Liveness, find_live, structural_keys
from azero_jax.machine import (
    RESULT_FINGERPRINT,
    RESULT_LOSS,
    RESULT_STEPS,
    SCHEDULE_SHIFT,
    ExampleKind,
    Layout,
    MachineConfig,
    Words,
    build,
)
from azero_jax.program import MemorySize, Population, Program
from azero_jax.tasks import Tasks

DTYPES = ("float32", "float64")
STRATEGIES = ("auto", "switch", "vmap")

# One call of the machine: at most so many programs and so many instructions.
_PROGRAMS_PER_CALL = 256
_INSTRUCTIONS_PER_CALL = 8192

_MOST_LANES = 16


class Evaluation(NamedTuple):
    """What became of P programs on D tasks.

    Attributes:
      fitness: float64 [P, D], from 0 to 1, larger is better.
      train_steps: int64 [P, D], training examples seen before the task stopped.
    """

    fitness: np.ndarray
    train_steps: np.ndarray


class Analysis(NamedTuple):
    """A population, what is live in it, and its programs' structural keys (uint64 [P])."""

    population: Population
    liveness: Liveness
    keys: np.ndarray


class Evaluator:
    """Evaluates programs on tasks.

    Args:
      tasks: the tasks.
      memory: the addresses that programs may use.
      max_abs_error: a task on which an example's absolute error exceeds this, or is
        NaN, stops with fitness 0 (its best epoch, if one was completed).
      dtype: "float32" or "float64".
      seed: of the random ops.
      strategy: "switch" runs programs one after the other with real branches, for
        CPUs; "vmap" runs all side by side, for accelerators; "auto" picks by platform.
      num_threads: programs that run at the same time; by default one per core.
      deduplicate: whether programs that are the same but for dead instructions and
        names are run once. Results do not depend on it.

    Raises:
      ValueError: an argument out of range.
    """

    def __init__(
        self,
        tasks: Tasks,
        *,
        memory: MemorySize = MemorySize(),
        max_abs_error: float = 100.0,
        dtype: str = "float32",
        seed: int = 0,
        strategy: str = "auto",
        num_threads: int | None = None,
        deduplicate: bool = True,
    ):
        if not isinstance(tasks, Tasks):
            raise ValueError(f"tasks: expected Tasks, got {type(tasks).__name__}")
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(map(repr, DTYPES))}")
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy={strategy!r}: expected one of {', '.join(map(repr, STRATEGIES))}")
        if not max_abs_error > 0:
            raise ValueError(f"max_abs_error={max_abs_error}: expected a positive number")
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads={num_threads}: expected a positive integer")
        xla_flags.apply()
        self.tasks = tasks
        self.memory = MemorySize(*memory).validate()
        self.dtype = dtype
        self.seed = seed
        self.max_abs_error = float(max_abs_error)
        self.deduplicate = deduplicate
        self.strategy = strategy if strategy != "auto" else ("switch" if jax.default_backend() == "cpu" else "vmap")
        self.num_threads = num_threads or available_cores()
        self._layout = Layout(self.memory, tasks.features_size)
        self._op_table = ops.table()
        self._instructions_per_call = _INSTRUCTIONS_PER_CALL
        self._lanes = lanes_for(tasks.num_tasks)
        self._lock = threading.Lock()
        self._thread = threading.local()
        with self._precision():
            self._groups = _task_groups(tasks, self._lanes, dtype)

    def evaluate(self, programs: Sequence[Program] | Population) -> Evaluation:
        """Trains and validates programs on all tasks.

        Args:
          programs: any number of programs.

        Returns:
          Fitness and train steps of every program on every task.

        Raises:
          ValueError: an instruction uses an address outside the memory, or an op
            that was registered after this evaluator was made.
        """
        population = programs if isinstance(programs, Population) else Population.from_programs(programs)
        if not len(population):
            nothing = (0, self.tasks.num_tasks)
            return Evaluation(np.zeros(nothing), np.zeros(nothing, np.int64))
        population.check_addresses(self.memory)
        analysis = self.analyze(population)
        if not self.deduplicate:
            return self.run(self.assemble(analysis))
        _, first, inverse = np.unique(analysis.keys, return_index=True, return_inverse=True)
        evaluation = self.run(self.assemble(analysis, first))
        return Evaluation(evaluation.fitness[inverse], evaluation.train_steps[inverse])

    def analyze(self, population: Population) -> Analysis:
        """Finds live instructions and structural keys; addresses must be valid."""
        liveness = find_live(population, self.memory)
        return Analysis(population, liveness, structural_keys(population, liveness.live, self.memory))

    def assemble(self, analysis: Analysis, indices: np.ndarray | None = None) -> Assembly:
        """Code of the programs at some indices (int64 [n]; by default all)."""
        population, liveness, _ = analysis
        if indices is not None:
            population = population.take(indices)
            liveness = Liveness(liveness.live[indices], liveness.read_first[indices])
        return assemble(population, liveness, self._layout, seed=self.seed, dtype=self.dtype)

    def run(self, assembly: Assembly, programs: np.ndarray | None = None) -> Evaluation:
        """Evaluates assembled programs.

        Args:
          assembly: from `assemble`.
          programs: int64 [n], which of them; by default all.
        """
        tasks = self.tasks
        results = self._run(assembly, programs, self._schedule(tasks.num_train_examples, tasks.num_valid_examples, tasks.num_train_epochs), False)
        loss = results[:, RESULT_LOSS]
        return Evaluation(self._fitness(loss), results[:, RESULT_STEPS].astype(np.int64))

    def probe(self, assembly: Assembly, num_train_examples: int, num_valid_examples: int) -> tuple[np.ndarray, np.ndarray]:
        """Fingerprints of behaviour: hashes of the errors on the first few examples.

        Args:
          assembly: P programs.
          num_train_examples, num_valid_examples: examples to run, at most the tasks'.

        Returns:
          Fingerprints uint64 [P], and train steps int64 [P, D]. Programs whose
          errors are equal bit for bit on all tasks have equal fingerprints.
        """
        schedule = self._schedule(num_train_examples, num_valid_examples, 1)
        results = self._run(assembly, None, schedule, True)
        bits = np.ascontiguousarray(results[:, RESULT_FINGERPRINT])
        bits = bits.view(np.uint32 if self.dtype == "float32" else np.uint64).astype(np.uint64)
        fingerprints = np.zeros(len(bits), np.uint64)
        for task in range(bits.shape[1]):
            fingerprints = (fingerprints ^ bits[:, task]) * np.uint64(0x9E3779B97F4A7C15)
            fingerprints ^= fingerprints >> np.uint64(29)
        return fingerprints, results[:, RESULT_STEPS].astype(np.int64)

    def compile(self) -> None:
        """Compiles the machine now, instead of at the first evaluation."""
        self.evaluate([Program.from_text("def Predict():\n")])

    def _fitness(self, loss: np.ndarray) -> np.ndarray:
        """Fitness [P, D] of the best epoch's loss; infinite where none was completed."""
        share = loss.astype(np.float64) / self.tasks.num_valid_examples
        if self.tasks.loss == "accuracy":
            return np.where(np.isfinite(share), 1 - share, 0.0)
        # FlipAndSquash of executor.h.
        return np.where(np.isfinite(share), 1 - (2 / np.pi) * np.arctan(np.sqrt(share)), 0.0)

    def _schedule(self, num_train: int, num_valid: int, num_epochs: int) -> np.ndarray:
        """Positions of a run: uint32, padded to the length that the machine was compiled for."""
        tasks = self.tasks
        entries = []
        for epoch in range(num_epochs):
            order = np.arange(num_train)
            if epoch:
                order = np.random.default_rng((tasks.shuffle_seed, epoch)).permutation(num_train)
            # Many programs fail at once; later, looking at every 8th example is enough.
            place = np.arange(num_train)
            checked = (place % 8 == 0) | np.isin(place, (1, 2, 4))
            checked[0] = epoch > 0
            kinds = np.where(checked, ExampleKind.TRAIN_AFTER_CHECK, ExampleKind.TRAIN)
            entries.append(order << SCHEDULE_SHIFT | kinds)
            kinds = np.where(np.arange(num_valid) == 0, ExampleKind.VALID_AFTER_CHECK, ExampleKind.VALID)
            entries.append((tasks.num_train_examples + np.arange(num_valid)) << SCHEDULE_SHIFT | kinds)
            entries.append(np.array([ExampleKind.EPOCH_END]))
        flat = np.concatenate(entries)
        schedule = np.full(self._num_positions(), ExampleKind.END, np.uint32)
        schedule[: len(flat)] = flat
        return schedule

    def _run(self, assembly: Assembly, programs: np.ndarray | None, schedule: np.ndarray, fingerprint: bool) -> np.ndarray:
        """Results [P, RESULT_ROWS, D] of assembled programs."""
        chosen = np.arange(len(assembly.lengths)) if programs is None else programs
        results = np.empty((len(chosen), 3, self.tasks.num_tasks), self.dtype)
        longest = int(assembly.lengths.max(initial=0)) + 1
        with self._lock:
            while self._instructions_per_call < longest:
                self._instructions_per_call *= 2
        if not len(chosen):
            return results
        pieces = self._pieces(assembly.lengths[chosen])
        codes = link(assembly, chosen, pieces, self._layout)

        def run_piece(job: tuple[int, int]) -> None:
            index, group = job
            piece = pieces[index]
            first_task = group * self._lanes
            num_tasks = min(self._lanes, self.tasks.num_tasks - first_task)
            out = self._call(codes[index], schedule, group, fingerprint)
            results[piece, :, first_task : first_task + num_tasks] = out[: piece.stop - piece.start, :, :num_tasks]

        jobs = [(index, group) for index in range(len(pieces)) for group in range(len(self._groups))]
        if len(jobs) == 1 or self.num_threads == 1:
            for job in jobs:
                run_piece(job)
        else:
            for _ in _executor(self.num_threads).map(run_piece, jobs):
                pass
        return results

    def _pieces(self, lengths: np.ndarray) -> list[slice]:
        """Splits programs into calls that fit, at least one for each thread, of similar length."""
        ends = np.cumsum(lengths)
        enough = self.num_threads if len(lengths) >= 16 * self.num_threads else 1
        share = min(-(-int(ends[-1]) // enough) + int(lengths.max()), self._instructions_per_call - 1)
        pieces = []
        first = 0
        while first < len(lengths):
            used = ends[first - 1] if first else 0
            last = min(int(np.searchsorted(ends, used + share, side="right")), first + _PROGRAMS_PER_CALL)
            pieces.append(slice(first, last))
            first = last
        return pieces

    def _call(self, code: np.ndarray, schedule: np.ndarray, group: int, fingerprint: bool) -> np.ndarray:
        """Runs linked code on one group of tasks, on this thread."""
        words_layout = self._words()
        words = getattr(self._thread, "words", None)
        if words is None or len(words) != words_layout.size:
            # Kept per thread: fresh memory of this size costs more than the call.
            words = self._thread.words = np.zeros(words_layout.size, np.uint32)
        words[: code.size] = code.ravel()
        words[words_layout.first_position : words_layout.first_task] = schedule
        words[words_layout.first_task :] = self._groups[group].numbers
        with self._precision():
            return np.asarray(self._machine(fingerprint)(words, self._groups[group].examples))

    def _words(self) -> Words:
        return Words(self._instructions_per_call, self._num_positions(), self._lanes)

    def _num_positions(self) -> int:
        tasks = self.tasks
        return tasks.num_train_epochs * (tasks.num_train_examples + tasks.num_valid_examples + 1) + 1

    def _machine(self, fingerprint: bool) -> _CompiledMachine:
        config = MachineConfig(
            layout=self._layout,
            loss=self.tasks.loss,
            max_abs_error=self.max_abs_error,
            dtype=self.dtype,
            lanes=self._lanes,
            max_results=_PROGRAMS_PER_CALL,
            fingerprint=fingerprint,
            op_table=self._op_table,
            words=self._words(),
        )
        return _compiled_machine(config)

    @property
    def num_traces(self) -> int:
        """How often machines like this evaluator's were traced, and so compiled, in this process."""
        return sum(self._machine(fingerprint).num_traces for fingerprint in (False, True))

    def _precision(self) -> contextlib.AbstractContextManager:
        wanted = self.dtype == "float64"
        return contextlib.nullcontext() if jax.config.jax_enable_x64 == wanted else jax.enable_x64(wanted)


class _CompiledMachine:
    """A jitted machine that counts how often it was traced."""

    def __init__(self, config: MachineConfig):
        self.num_traces = 0
        run = build(config)

        def traced(words, examples):
            self.num_traces += 1
            return run(words, examples)

        self._jitted = jax.jit(traced)

    def __call__(self, words, examples) -> jax.Array:
        return self._jitted(words, examples)


@functools.lru_cache(maxsize=32)
def _compiled_machine(config: MachineConfig) -> _CompiledMachine:
    """The machine of a configuration, shared by evaluators of tasks of the same sizes."""
    return _CompiledMachine(config)


@functools.cache
def _executor(num_threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(num_threads, "evaluator")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes_for(num_tasks: int) -> int:
    """Tasks that run side by side."""
    if num_tasks <= _MOST_LANES:
        return 1 << (num_tasks - 1).bit_length()
    return _MOST_LANES


class _TaskGroup(NamedTuple):
    """Tasks that run side by side.

    Attributes:
      examples: [rows, lanes], on the device.
      numbers: uint32 [lanes], which task each lane runs.
    """

    examples: jax.Array
    numbers: np.ndarray


def _task_groups(tasks: Tasks, lanes: int, dtype: str) -> list[_TaskGroup]:
    """The tasks in groups of as many as there are lanes.

    Each example is its label, a zero and its features; training examples come first.
    Lanes without a task repeat the group's first, so that they stop with it.
    """
    groups = []
    for first in range(0, tasks.num_tasks, lanes):
        numbers = np.arange(first, first + lanes)
        numbers[numbers >= tasks.num_tasks] = first
        parts = []
        for features, labels in ((tasks.train_features, tasks.train_labels), (tasks.valid_features, tasks.valid_labels)):
            label = labels[numbers, :, None]
            examples = np.concatenate([label, np.zeros_like(label), features[numbers]], axis=2)
            parts.append(examples.transpose(1, 2, 0).reshape(-1, lanes))
        groups.append(_TaskGroup(jax.device_put(np.concatenate(parts).astype(dtype)), numbers.astype(np.uint32)))
    return groups
