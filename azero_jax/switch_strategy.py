"""How populations run on CPUs: one program after the other, tasks as lanes, a thread per core.

Programs are packed and handed to the machine in pieces of one shape, so that
nothing is compiled twice.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from typing import NamedTuple

import jax
import numpy as np

from azero_jax import calls, draws, ops, self_check, xla_flags
from azero_jax.assembler import most_instructions
from azero_jax.execution import available_memory, precision, run_jobs
from azero_jax.instructions import (
    EXAMPLE_HEADER,
    RESULT_ROWS,
    SUM_BLOCK,
    Layout,
    Words,
)
from azero_jax.machine import build
from azero_jax.machine_step import MachineConfig
from azero_jax.packed import PackedLayout, power_of_two
from azero_jax.program import MemorySize, Population
from azero_jax.superinstructions import InstructionSet
from azero_jax.tasks import Tasks
from azero_jax.text import OP

# Room for instructions: so many programs of a usual length, should all their lines be live.
_PROGRAMS_OF_A_CALL = 64
_USUAL_LENGTH = 50

# Programs of one call: fewer leave a thread idle at the end, more pay for the call.
_FEWEST_PROGRAMS_PER_CALL = 16
_CALLS_PER_THREAD = 2

# Memory of the programs that one thread runs side by side.
_MOST_BYTES = 2**28

# Room for examples and for entries of the schedule. Tasks of fewer share one compiled machine, as
# those of search and selection, unless their examples would take too many bytes so.
_FEWEST_EXAMPLES = 256
_MOST_BYTES_OF_ROOM = 2**26

# Two AVX registers of float32. More lanes make each dispatch cheaper per task, but
# memory larger; odd numbers of lanes do not vectorise.
_MOST_LANES = 16


class RunSettings(NamedTuple):
    """What a strategy needs to know beside the tasks.

    Attributes:
      memory, max_abs_error, dtype, seed: as of `Evaluator`.
      fingerprint: what a probe hashes, of `FINGERPRINTS`.
      num_positions: entries of the longest schedule.
      addresses: of each register of the memory, its address as written in the programs,
        which random ops know it by.
      expected_ops: ids of the ops that programs are expected to hold.
    """

    memory: MemorySize
    max_abs_error: float
    dtype: str
    seed: int
    fingerprint: str
    num_positions: int
    addresses: tuple[int, ...]
    expected_ops: tuple[int, ...] = ()


class _Machines(NamedTuple):
    """A configuration and what was compiled for it, with fingerprints and without."""

    config: MachineConfig
    compiled: dict[bool, _CompiledMachine]


class SwitchStrategy:
    """Runs programs on tasks with the `lax.switch` machine; any number of threads may call it at once.

    Args:
      tasks: the tasks.
      settings: of every run.
      num_threads: pieces that run at the same time.
    """

    def __init__(self, tasks: Tasks, settings: RunSettings, num_threads: int):
        dtype = settings.dtype
        self.dtype = dtype
        self._seed_word = draws.seed_word(settings.seed)
        self._tasks = tasks
        self._num_threads = num_threads
        layout = Layout(
            settings.memory,
            tasks.features_size,
            tasks.vector_labels,
            settings.addresses,
            sums_blocks=tasks.num_valid_examples > SUM_BLOCK and not tasks.objective.counts,
        )
        bytes_of_a_task = (layout.rows_of_scalars_and_matrices + layout.rows_of_vectors) * np.dtype(dtype).itemsize
        lanes = lanes_for(tasks.num_tasks, bytes_of_a_task)
        # The loop's memory stands beside what it started with.
        self.needed_bytes = check_memory(2 * num_threads * lanes * bytes_of_a_task, tasks, settings)
        self._room = _room_for_examples(tasks, lanes, dtype)
        config = MachineConfig(
            layout=layout,
            objective=tasks.objective,
            num_classes=tasks.num_classes,
            max_abs_error=settings.max_abs_error,
            dtype=dtype,
            lanes=lanes,
            fingerprint="",
            instruction_set=InstructionSet(ops.table(), settings.expected_ops),
            packed=PackedLayout.fitting(0, np.dtype(dtype).itemsize // 4, settings.memory),
            words=Words(
                power_of_two(_PROGRAMS_OF_A_CALL * (sum(settings.memory) + _USUAL_LENGTH)),
                power_of_two(max(_FEWEST_EXAMPLES, settings.num_positions)),
                lanes,
            ),
        )
        self._fingerprint = settings.fingerprint
        self._machines = _Machines(config, {})  # replaced as a whole, so that each call sees one state of it
        self._lock = threading.Lock()

    @property
    def _config(self) -> MachineConfig:
        return self._machines.config

    @functools.cached_property
    def _groups(self) -> list[TaskGroup]:
        with precision(self.dtype):
            return task_groups(self._tasks, self._config.lanes, self.dtype, self._room)

    def run(self, population: Population, schedule: np.ndarray, fingerprint: bool) -> np.ndarray:
        """Runs programs by a schedule; results [P, RESULT_ROWS, D]."""
        results = np.empty((len(population), RESULT_ROWS, self._tasks.num_tasks), self.dtype)
        if not len(population):
            return results
        most = most_instructions(population.lengths, self._config.layout.memory)
        held = np.flatnonzero(np.bincount(population.code[..., OP].ravel()))
        machines = self._with_room(population.code.shape[1], most + 1, held)
        config, groups = machines.config, self._groups
        machine = self._machine(machines, fingerprint)
        per_call = self._programs_per_call(len(population), (config.words.instructions - 1) // most)
        jobs = [(piece, i) for piece in config.packed.batches(population, per_call) for i in range(len(groups))]

        full = calls.full_schedule(schedule, config)

        def run_piece(job: tuple[slice, int]) -> None:
            piece, group = job
            first_task = group * config.lanes
            num_tasks = min(config.lanes, self._tasks.num_tasks - first_task)
            words = calls.write(population, piece, full, groups[group].numbers, self._seed_word, config)
            with precision(self.dtype):
                out = np.asarray(machine(words, groups[group].examples))
            tasks = slice(first_task, first_task + num_tasks)
            results[piece, :, tasks] = out[: piece.stop - piece.start, :, :num_tasks]

        run_jobs(run_piece, jobs, self._num_threads)
        return results

    def _programs_per_call(self, num_programs: int, most: int) -> int:
        """Programs of each call, at most so many; as many calls for each thread."""
        wanted = min(self._num_threads * _CALLS_PER_THREAD, -(-num_programs // _FEWEST_PROGRAMS_PER_CALL))
        calls = max(wanted, -(-num_programs // most))
        if calls > 1:
            calls = -(-calls // self._num_threads) * self._num_threads
        return -(-num_programs // calls)

    @property
    def num_traces(self) -> int:
        """How often machines like this one were traced, and so compiled, in this process."""
        machines = self._machines
        return sum(self._machine(machines, fingerprint).num_traces for fingerprint in (False, True))

    def _with_room(self, lines: int, instructions: int, wanted: np.ndarray) -> _Machines:
        """Machines whose pieces hold the longest program, and that know some ops: the two reasons to compile again.

        The second time they know all ops, so that there is no third.
        """
        machines = self._machines
        if _fits(machines.config, lines, instructions) and _knows(machines.config, wanted):
            return machines
        with self._lock:
            machines = self._machines  # another thread may have changed them meanwhile
            config = machines.config
            if not _fits(config, lines, instructions):
                size = max(config.words.instructions, power_of_two(instructions))
                packed = PackedLayout.fitting(
                    max(lines, config.packed.lines), config.packed.constant_words, config.layout.memory
                )
                config = config._replace(packed=packed, words=dataclasses.replace(config.words, instructions=size))
            if not _knows(config, wanted):
                instruction_set = config.instruction_set.with_ops(wanted, grown=bool(machines.compiled))
                config = config._replace(instruction_set=instruction_set)
            if config is not machines.config:
                self._machines = _Machines(config, {})
            return self._machines

    def _machine(self, machines: _Machines, fingerprint: bool) -> _CompiledMachine:
        machine = machines.compiled.get(fingerprint)
        if machine is None:  # looking up a configuration takes longer than a small call
            config = machines.config._replace(fingerprint=self._fingerprint if fingerprint else "")
            with _machines_lock:
                machine = machines.compiled[fingerprint] = _compiled_machine(config)
        return machine


def _fits(config: MachineConfig, lines: int, instructions: int) -> bool:
    """Whether a piece has room for a program of so many lines, and for its instructions."""
    return lines <= config.packed.lines and instructions <= config.words.instructions


def _knows(config: MachineConfig, wanted: np.ndarray) -> bool:
    """Whether a machine is compiled with some ops."""
    return config.instruction_set.with_ops(wanted, grown=False) is config.instruction_set


class _CompiledMachine:
    """A jitted machine that counts how often it was traced."""

    def __init__(self, config: MachineConfig):
        self.num_traces = 0
        self._ready = False
        self._compiling = threading.Lock()
        self._config = config
        run = build(config)

        def traced(words: jax.Array, examples: jax.Array) -> jax.Array:
            self.num_traces += 1
            return run(words, examples)

        self._jitted = xla_flags.jit(traced)

    def __call__(self, words: np.ndarray, examples: jax.Array) -> jax.Array:
        if self._ready:
            return self._jitted(words, examples)
        with self._compiling:  # or every thread that comes meanwhile would compile it, too
            results = self._jitted(words, examples)
            if not self._ready:
                results.block_until_ready()  # the check measures alone
                self._ready = True
                self_check.check(self._jitted, self._config, examples)
            return results


_machines_lock = threading.Lock()  # `lru_cache` may call its function twice for two threads


@functools.lru_cache(maxsize=32)
def _compiled_machine(config: MachineConfig) -> _CompiledMachine:
    """The machine of a configuration, shared by evaluators of tasks of like sizes."""
    return _CompiledMachine(config)


def lanes_for(num_tasks: int, bytes_of_a_task: int = 0) -> int:
    """Tasks that run side by side: the next power of two, up to 16, fewer if their memory is large.

    Args:
      num_tasks: D.
      bytes_of_a_task: memory of a program on one task.
    """
    lanes = min(_MOST_LANES, power_of_two(num_tasks))
    while lanes > 1 and lanes * bytes_of_a_task > _MOST_BYTES:
        lanes //= 2
    return lanes


class TaskGroup(NamedTuple):
    """Tasks that run side by side.

    Attributes:
      examples: [rows, lanes], on the device.
      numbers: uint32 [lanes], which task each lane runs.
    """

    examples: jax.Array
    numbers: np.ndarray


def check_memory(needed: int, tasks: Tasks, settings: RunSettings) -> int:
    """Refuses what does not fit, before anything is allocated.

    Args:
      needed: bytes for the memory of programs; the examples come on top.
      tasks, settings: of the evaluator.

    Returns:
      Bytes needed in all.

    Raises:
      ValueError: more bytes are needed than there are.
    """
    examples = tasks.num_tasks * (tasks.num_train_examples + tasks.num_valid_examples)
    needed += examples * (EXAMPLE_HEADER + tasks.features_size) * np.dtype(settings.dtype).itemsize
    available = available_memory()
    if needed > available:
        raise ValueError(
            f"features_size={tasks.features_size} with {settings.memory.matrices} matrices, "
            f"{settings.memory.vectors} vectors and {tasks.num_tasks} tasks needs about {needed / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} GiB are available: expected fewer features, tasks or addresses"
        )
    return needed


def _room_for_examples(tasks: Tasks, lanes: int, dtype: str) -> int:
    """Examples that there is room for in a group of tasks."""
    examples = tasks.num_train_examples + tasks.num_valid_examples
    room = power_of_two(max(_FEWEST_EXAMPLES, examples))
    groups = -(-tasks.num_tasks // lanes)
    size = groups * lanes * room * (EXAMPLE_HEADER + tasks.features_size) * np.dtype(dtype).itemsize
    return room if size <= _MOST_BYTES_OF_ROOM else examples


def task_groups(tasks: Tasks, lanes: int, dtype: str, room: int = 0) -> list[TaskGroup]:
    """The tasks in groups of as many as there are lanes.

    Each example is its label, a zero and its features; training examples come first, and
    behind all, and zeros where there is room for more, the smallest and the largest label.
    Lanes without a task repeat the group's first, so that they stop with it.

    Args:
      tasks: D of them.
      lanes: of each group.
      dtype: of the examples.
      room: examples that there is room for, if they are more than those of the tasks.
    """
    free = max(0, room - tasks.num_train_examples - tasks.num_valid_examples)
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
        parts.append(np.zeros((free * (EXAMPLE_HEADER + tasks.features_size), lanes)))
        labels = np.concatenate([tasks.train_labels[numbers], tasks.valid_labels[numbers]], axis=1)
        parts.append(np.stack([labels.min(axis=1), labels.max(axis=1)]))
        examples_on_device = jax.device_put(np.concatenate(parts).astype(dtype))
        groups.append(TaskGroup(examples_on_device, numbers.astype(np.uint32)))
    return groups
