"""Programs in, fitness out: analysis, duplicates, schedules, and the choice of a strategy.

A call finds what is live, drops programs that are the same as another one, has
the strategy assemble and run the rest, and puts the results back in order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from azero_jax import ops as op_table
from azero_jax import xla_flags
from azero_jax.addresses import AddressesInUse
from azero_jax.equivalence import structural_keys
from azero_jax.execution import available_cores, check_not_forked, on_cpu, precision, require_memory
from azero_jax.fingerprints import FINGERPRINTS
from azero_jax.instructions import (
    EXTREME_LABELS,
    RESULT_FINGERPRINT,
    RESULT_LOSS,
    RESULT_STEPS,
    SCHEDULE_COUNTS,
    SCHEDULE_SHIFT,
    SUM_BLOCK,
    ExampleKind,
)
from azero_jax.program import MemorySize, Population, Program
from azero_jax.recorder import Recorder
from azero_jax.superinstructions import USUAL_OPS
from azero_jax.switch_strategy import RunSettings, SwitchStrategy, lanes_for, task_groups
from azero_jax.tasks import ARRAYS, Tasks
from azero_jax.text import OP
from azero_jax.vmap_strategy import VmapStrategy

DTYPES = ("float32", "float64")
DEFAULT_MEMORY = MemorySize()
STRATEGIES = ("auto", "switch", "vmap")

# Up to so many features there is room for every address from the start: it costs little,
# and a machine for each set of addresses would cost compiling.
ROOM_FOR_ALL_FEATURES = 32

# Examples of a run, over all epochs: they are counted in 32 bits, and each takes some bytes
# while a schedule is made.
_MOST_EXAMPLES = 2**31
_SCHEDULE_BYTES = 24

# Programs that a notebook shows of an evaluation.
_MOST_ROWS = 10


class Evaluation(NamedTuple):
    """What became of P programs on D tasks.

    Attributes:
      fitness: float64 [P, D], from 0 to 1, larger is better.
      train_steps: int64 [P, D], training examples seen before the task stopped.
    """

    fitness: np.ndarray
    train_steps: np.ndarray

    def _repr_html_(self) -> str:
        """What notebooks show: of the best programs mean fitness and training examples over the tasks."""
        mean, steps = (np.mean(part, axis=1) for part in self)
        best = np.argsort(-mean, kind="stable")[:_MOST_ROWS]
        rows = "".join(f"<tr><td>{i}</td><td>{mean[i]:.6f}</td><td>{steps[i]:,.1f}</td></tr>" for i in best)
        head = "<tr><th>program</th><th>mean fitness</th><th>mean train steps</th></tr>"
        count, num_tasks = self.fitness.shape
        return f"<table>{head}{rows}</table><p>{len(best)} of {count} programs, best first; {num_tasks} tasks</p>"


class Probe(NamedTuple):
    """What P programs did on the first few examples of D tasks.

    Attributes:
      fingerprints: uint64 [P]. Programs whose errors are equal bit for bit (or whose
        predictions are to about four digits) on all tasks have equal ones.
      train_steps: int64 [P, D], training examples seen before the task stopped.
      fitness: float64 [P, D], what `Evaluator.run` would say if that is known by now: of a
        task that has failed while training, and of all if the probe had all examples. NaN
        elsewhere.
    """

    fingerprints: np.ndarray
    train_steps: np.ndarray
    fitness: np.ndarray


class _Room(NamedTuple):
    """The addresses that there is room for, and the strategy whose memory has it."""

    in_use: AddressesInUse
    strategy: SwitchStrategy | VmapStrategy


class Evaluator:
    """Evaluates programs on tasks; any number of threads may use one at once.

    Args:
      tasks: the tasks.
      memory: the addresses that programs may use. With more than 32 features there is
        only room for those in use by the programs that came so far.
      max_abs_error: a task on which an example's absolute error exceeds this, or is
        NaN, stops with fitness 0 (its best epoch, if one was completed).
      dtype: "float32" or "float64".
      seed: of the random ops, any integer.
      strategy: "switch" runs programs one after the other with real branches, for
        CPUs; "vmap" runs all side by side, for accelerators; "auto" picks by platform.
      num_threads: programs that run at the same time; by default one per core.
      deduplicate: whether programs that are the same but for dead instructions and
        names are run once. Results do not depend on it.
      fingerprint: what `probe` hashes, "errors" or "predictions".
      ops: names of the ops that programs are expected to hold; by default those of linear
        models and networks. The machine is compiled with these and the first programs'
        ops, which takes a third of the time of all, and once more with all if other
        programs need it. Results do not depend on it.

    Raises:
      ValueError: an argument out of range, features or labels that the dtype cannot hold, or
        more memory is needed than there is.
      RuntimeError: this process was forked from one that had used JAX.
    """

    def __init__(
        self,
        tasks: Tasks,
        *,
        memory: MemorySize = DEFAULT_MEMORY,
        max_abs_error: float = 100.0,
        dtype: str = "float32",
        seed: int = 0,
        strategy: str = "auto",
        num_threads: int | None = None,
        deduplicate: bool = True,
        fingerprint: str = "errors",
        ops: Iterable[str] | None = None,
    ):
        if not isinstance(tasks, Tasks):
            raise ValueError(f"tasks: expected Tasks, got {type(tasks).__name__}")
        for name, value, choices in (
            ("dtype", dtype, DTYPES),
            ("strategy", strategy, STRATEGIES),
            ("fingerprint", fingerprint, FINGERPRINTS),
        ):
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")
        _check_max_abs_error(max_abs_error, dtype)
        if not _is_integer(seed):
            raise ValueError(f"seed={seed!r}: expected an integer")
        if num_threads is not None and not (_is_integer(num_threads) and num_threads >= 1):
            raise ValueError(f"num_threads={num_threads!r}: expected a positive integer, or None for one per core")
        if not isinstance(deduplicate, (bool, np.bool_)):
            raise ValueError(f"deduplicate={deduplicate!r}: expected True or False")
        if isinstance(ops, str):
            raise ValueError(f"ops={ops!r}: expected names of ops, as [{ops!r}]")
        memory = MemorySize.checked(memory)
        _check_range(tasks, dtype)
        check_not_forked()
        _check_length(tasks)
        xla_flags.apply()
        self.tasks = tasks
        self.memory = memory
        if tasks.vector_labels and self.memory.vectors < 3:
            raise ValueError(
                f"memory vectors={self.memory.vectors}: expected at least 3 for tasks of several classes: "
                "features, label and prediction"
            )
        self.dtype = dtype
        self.seed = int(seed)
        self.max_abs_error = float(max_abs_error)
        self.deduplicate = deduplicate
        self.num_threads = int(num_threads or available_cores())
        self._num_ops = len(op_table.table())
        expected = USUAL_OPS if ops is None else {0, *(op_table.op_named(name).id for name in ops)}
        self._expected_ops = tuple(sorted(expected))
        self._schedules: dict[tuple[int, int, int], np.ndarray] = {}
        self.strategy = strategy if strategy != "auto" else ("switch" if jax.default_backend() == "cpu" else "vmap")
        self._fingerprint = fingerprint
        small = tasks.features_size <= ROOM_FOR_ALL_FEATURES
        # Replaced as a whole, under the lock: a thread that goes on with the one before needs its addresses, too.
        self._room = self._room_for(
            AddressesInUse.all_of(self.memory) if small else AddressesInUse.always(tasks.vector_labels)
        )
        self._lock = threading.Lock()

    @property
    def _strategy(self) -> SwitchStrategy | VmapStrategy:
        return self._room.strategy

    def _room_for(self, in_use: AddressesInUse) -> _Room:
        """A strategy with room for these addresses."""
        settings = RunSettings(
            in_use.memory,
            self.max_abs_error,
            self.dtype,
            self.seed,
            self._fingerprint,
            self._num_positions(),
            in_use.of_registers,
            self._expected_ops,
        )
        if self.strategy == "vmap":
            return _Room(in_use, VmapStrategy(self.tasks, settings))
        return _Room(in_use, SwitchStrategy(self.tasks, settings, self.num_threads))

    def make_room(self, population: Population | None = None) -> None:
        """Makes room for all addresses that programs use, or for all of the memory's; `needed_bytes` then counts them.

        Evaluating does it too, but who calls this knows before what it will take.

        Raises:
          ValueError: an address outside the memory, or more memory is needed than there is.
        """
        if population is not None:
            self._check(population)
        self._with_room(population)

    def _with_room(self, population: Population | None) -> _Room:
        """Room for all addresses that valid programs use, or for all of the memory's."""
        room = self._room
        if room.in_use.memory == self.memory:
            return room
        if population is None:
            wanted = AddressesInUse.all_of(self.memory)
        else:
            wanted = AddressesInUse.of(population, self.tasks.vector_labels)
        if room.in_use | wanted == room.in_use:
            return room
        with self._lock:
            in_use = self._room.in_use | wanted
            if in_use == self._room.in_use:
                return self._room
            try:
                room = self._room_for(in_use)
            except ValueError:  # perhaps they fit without those of earlier programs
                room = self._room_for(wanted)
            self._room = room
            return room

    def _results(self, population: Population, schedule: np.ndarray, fingerprint: bool) -> np.ndarray:
        """What the strategy's `run` returns."""
        check_not_forked()
        room = self._with_room(population)
        if room.in_use.memory != self.memory:
            population = room.in_use.renumbered(population)
        return room.strategy.run(population, schedule, fingerprint)

    def evaluate(self, programs: Sequence[Program] | Population) -> Evaluation:
        """Trains and validates programs on all tasks.

        Args:
          programs: any number of programs.

        Returns:
          Fitness and train steps of every program on every task.

        Raises:
          TypeError: something that is no sequence of programs.
          ValueError: an instruction uses an address outside the memory, or an op
            that was registered after this evaluator was made; or arrays of a population
            that are none of one.
        """
        population = programs if isinstance(programs, Population) else Population.from_programs(programs)
        self._check(population)
        if not len(population):
            nothing = (0, self.tasks.num_tasks)
            return Evaluation(np.zeros(nothing), np.zeros(nothing, np.int64))
        if not self.deduplicate:
            return self.run(population, known_valid=True)
        keys = structural_keys(population, self.memory, self.num_threads, self.tasks.vector_labels)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        evaluation = self.run(population.take(first), known_valid=True)
        return Evaluation(evaluation.fitness[inverse], evaluation.train_steps[inverse])

    def _check(self, population: Population, known_valid: bool = False) -> None:
        """Refuses what this evaluator cannot run; of a population known to be valid, only what costs nothing to see."""
        if not isinstance(population, Population):
            raise TypeError(f"population: expected a Population, got {type(population).__name__}")
        if not known_valid:
            population.validate(self.memory)
            self._check_ops(population)

    def _check_ops(self, population: Population) -> None:
        later = np.argwhere(population.code[..., OP] >= self._num_ops)
        if len(later):
            op = op_table.table()[population.code[later[0][0], later[0][1], OP]]
            raise ValueError(f"program {later[0][0]}: {op.name} was registered after this evaluator was made")

    def run(
        self, population: Population, num_train_examples: int | None = None, *, known_valid: bool = False
    ) -> Evaluation:
        """Evaluates programs, each for itself.

        Args:
          population: P programs.
          num_train_examples: trains on so many examples, once; by default on all, for
            as many epochs as the tasks say.
          known_valid: whether the programs need no checks, as a search knows of its own.

        Raises:
          ValueError: as `evaluate`, or more examples than there are.
        """
        tasks = self.tasks
        self._check(population, known_valid)
        if num_train_examples is None:
            schedule = self._schedule(tasks.num_train_examples, tasks.num_valid_examples, tasks.num_train_epochs)
        else:
            schedule = self._schedule(num_train_examples, tasks.num_valid_examples, 1)
        results = self._results(population, schedule, False)
        loss = results[:, RESULT_LOSS]
        return Evaluation(tasks.fitness(loss.astype(np.float64)), self._steps(results))

    def _steps(self, results: np.ndarray) -> np.ndarray:
        """Training examples seen, int64 [P, D]."""
        bits = np.ascontiguousarray(results[:, RESULT_STEPS])
        return bits.view(np.int32 if self.dtype == "float32" else np.int64).astype(np.int64)

    def predictions(self, programs: Sequence[Program] | Population) -> np.ndarray:
        """What programs predict for every validation example: the numbers that fitness is computed from.

        They come from the machine that runs one program after the other, whatever the strategy, with
        predictions kept; it is compiled at the first call, and slower than that of `evaluate`.

        Args:
          programs: P programs.

        Returns:
          [P, D, M] of the evaluator's dtype: for losses of numbers what is in s1; for those of two
          classes the probability of class 1, sigmoid(s1); for those of several [P, D, M, C], the
          scores in v2, of which the first of the largest is the class predicted. After several
          epochs those of the best, which fitness counts. NaN for tasks that failed before
          they had completed one; their fitness is 0.

        Raises:
          TypeError, ValueError: as `evaluate`.
        """
        population = programs if isinstance(programs, Population) else Population.from_programs(programs)
        self._check(population)
        tasks = self.tasks
        lanes = lanes_for(tasks.num_tasks)
        schedule = self._schedule(tasks.num_train_examples, tasks.num_valid_examples, tasks.num_train_epochs)
        shape = len(population), tasks.num_tasks, tasks.num_valid_examples
        out = np.empty(shape + ((tasks.num_classes,) if tasks.vector_labels else ()), self.dtype)
        with precision(self.dtype), on_cpu():
            groups = task_groups(tasks, lanes, self.dtype)
        for index, program in enumerate(population):
            recorder = Recorder(
                program,
                features_size=tasks.features_size,
                objective=tasks.objective,
                num_classes=tasks.num_classes,
                max_abs_error=self.max_abs_error,
                memory=self.memory,
                dtype=self.dtype,
                seed=self.seed,
                num_valid=tasks.num_valid_examples,
                num_positions=self._num_positions(),
                lanes=lanes,
            )
            for number, group in enumerate(groups):
                examples = np.asarray(group.examples)[:-EXTREME_LABELS]
                after = recorder.run(schedule, examples, group.numbers, recorder.fresh_memory())
                of_group = out[index, number * lanes : (number + 1) * lanes]
                of_group[:] = recorder.predictions(after, best_epoch=True)[: len(of_group), : tasks.num_valid_examples]
        return out

    def probe(
        self, population: Population, num_train_examples: int, num_valid_examples: int, *, known_valid: bool = False
    ) -> Probe:
        """Runs programs on the first few examples, to tell which behave alike.

        Args:
          population: P programs.
          num_train_examples: training examples to run, at most the tasks'.
          num_valid_examples: validation examples to run, at most the tasks'.
          known_valid: whether the programs need no checks, as a search knows of its own.

        Raises:
          ValueError: as `evaluate`, or more examples than there are.
        """
        tasks = self.tasks
        self._check(population, known_valid)
        schedule = self._schedule(num_train_examples, num_valid_examples, 1)
        results = self._results(population, schedule, True)
        bits = np.ascontiguousarray(results[:, RESULT_FINGERPRINT])
        bits = bits.view(np.uint32 if self.dtype == "float32" else np.uint64).astype(np.uint64)
        fingerprints = np.zeros(len(bits), np.uint64)
        for task in range(bits.shape[1]):
            fingerprints = (fingerprints ^ bits[:, task]) * np.uint64(0x9E3779B97F4A7C15)
            fingerprints ^= fingerprints >> np.uint64(29)
        steps = self._steps(results)
        asked = num_train_examples, num_valid_examples, 1
        if asked == (tasks.num_train_examples, tasks.num_valid_examples, tasks.num_train_epochs):
            return Probe(fingerprints, steps, tasks.fitness(results[:, RESULT_LOSS].astype(np.float64)))
        # The first epoch begins with the same examples in the same order.
        return Probe(fingerprints, steps, np.where(steps < num_train_examples, 0.0, np.nan))

    @property
    def num_traces(self) -> int:
        """How often machines like this evaluator's were traced, and so compiled, in this process."""
        return self._strategy.num_traces

    @property
    def needed_bytes(self) -> int:
        """Memory for programs and examples, about; with many features, of the programs there is room for."""
        return self._strategy.needed_bytes

    def compile(self) -> None:
        """Compiles the machine now, with room for all addresses, instead of at the first evaluation."""
        self.make_room()
        self.evaluate([Program.from_text("def Predict():\n")])

    def _schedule(self, num_train: int, num_valid: int, num_epochs: int) -> np.ndarray:
        """Positions of a run, padded to as many as the machine was compiled for, and its counts: uint32."""
        key = (num_train, num_valid, num_epochs)
        if key not in self._schedules:  # making one takes a tenth of a small call
            for name, count, most in (
                ("num_train_examples", num_train, self.tasks.num_train_examples),
                ("num_valid_examples", num_valid, self.tasks.num_valid_examples),
            ):
                if not (_is_integer(count) and 0 <= count <= most):
                    raise ValueError(f"{name}={count!r}: expected an integer from 0 to {most}, the tasks'")
            self._schedules[key] = self._make_schedule(*key)
        return self._schedules[key]

    def _make_schedule(self, num_train: int, num_valid: int, num_epochs: int) -> np.ndarray:
        tasks = self.tasks
        entries = []
        for epoch in range(num_epochs):
            order = tasks.train_order(epoch) if num_train == tasks.num_train_examples else np.arange(num_train)
            # Many programs fail at once; later, looking at every 8th example is enough.
            place = np.arange(num_train)
            checked = (place % 8 == 0) | np.isin(place, (1, 2, 4))
            checked[0] = epoch > 0
            kinds = np.where(checked, ExampleKind.TRAIN_AFTER_CHECK, ExampleKind.TRAIN)
            entries.append(order << SCHEDULE_SHIFT | kinds)
            first_of_block = np.arange(num_valid) % SUM_BLOCK == 0
            kinds = np.where(first_of_block, ExampleKind.VALID_AFTER_CHECK, ExampleKind.VALID)
            entries.append((tasks.num_train_examples + np.arange(num_valid)) << SCHEDULE_SHIFT | kinds)
            entries.append(np.array([ExampleKind.EPOCH_END]))
        flat = np.concatenate(entries)
        schedule = np.full(self._num_positions() + SCHEDULE_COUNTS, ExampleKind.END, np.uint32)
        schedule[: len(flat)] = flat
        schedule[-SCHEDULE_COUNTS:] = num_train, num_valid
        return schedule

    def _num_positions(self) -> int:
        tasks = self.tasks
        return tasks.num_train_epochs * (tasks.num_train_examples + tasks.num_valid_examples + 1) + 1


def _check_length(tasks: Tasks) -> None:
    """Refuses runs of more examples than a machine can count, or a schedule has room for."""
    epochs = tasks.num_train_epochs
    examples = epochs * (tasks.num_train_examples + tasks.num_valid_examples + 1)
    if examples >= _MOST_EXAMPLES:
        raise ValueError(
            f"num_train_epochs={epochs}: makes {examples:,} examples for each program and task, "
            f"expected fewer than {_MOST_EXAMPLES:,}"
        )
    require_memory(_SCHEDULE_BYTES * examples, f"num_train_epochs={epochs}")


def _is_integer(value: object) -> bool:
    """Whether a value is an integer, of Python or NumPy."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_max_abs_error(value: object, dtype: str) -> None:
    """Refuses a largest error that is none in a dtype."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not value > 0:
        raise ValueError(f"max_abs_error={value!r}: expected a positive number")
    least, most = float(np.finfo(dtype).smallest_normal), float(np.finfo(dtype).max)
    if value != np.inf and not least <= value <= most:
        raise ValueError(
            f"max_abs_error={value!r}: expected {least:.4g} to {most:.4g}, what {dtype} holds, or infinity"
        )


def _check_range(tasks: Tasks, dtype: str) -> None:
    """Refuses tasks with numbers that are too large for a dtype."""
    most = float(np.finfo(dtype).max)
    for name in ARRAYS:
        array = getattr(tasks, name)
        if max(-array.min(), array.max()) > most:
            where = tuple(np.argwhere(np.abs(array) > most)[0].tolist())
            raise ValueError(
                f"{name}: {array[where]} at index {where}: expected at most {most:.4g}, what {dtype} holds; "
                "scale the data, or take dtype='float64'"
            )
