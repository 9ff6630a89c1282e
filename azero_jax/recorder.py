"""One program run so that it can be looked at: what it predicts for each example, its memory, and going on from there.

The machine is that of `switch_strategy` with rows for predictions. It runs a program's
live instructions one by one, over the examples that it is given, and a later call goes
on where an earlier one ended. Numbers are those of a search to the bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from azero_jax import calls, draws, ops, xla_flags
from azero_jax.addresses import AddressesInUse
from azero_jax.assembler import most_instructions
from azero_jax.execution import on_cpu, precision, require_memory
from azero_jax.instructions import (
    EXAMPLE_HEADER,
    SCHEDULE_SHIFT,
    ExampleKind,
    Layout,
    Words,
)
from azero_jax.machine import build_recorder
from azero_jax.machine_step import MachineConfig, Memory
from azero_jax.objectives import Objective
from azero_jax.packed import PackedLayout, RegisterNumbers, power_of_two
from azero_jax.program import MemorySize, Population, Program
from azero_jax.superinstructions import USUAL_OPS, InstructionSet
from azero_jax.text import OP

# Up to so many features there is room for every address: machines are then shared by programs.
ROOM_FOR_ALL_FEATURES = 32

# The least that there is room for, so that programs and data of most sizes share a machine.
_FEWEST_LINES = 128
_FEWEST_VALID = 512
_FEWEST_POSITIONS = 1024


def _ops_to_compile(population: Population) -> tuple[int, ...]:
    """Ids of the usual ops, or of all if a program has others: two machines serve all programs."""
    known = range(len(ops.table()))
    return tuple(sorted(USUAL_OPS) if np.isin(population.code[..., OP], list(USUAL_OPS)).all() else known)


class Recorder:
    """Runs one program on up to so many examples at a time.

    Args:
      program: with addresses within the memory.
      features_size: F.
      objective: the loss.
      num_classes: C, of losses with classes.
      max_abs_error: a larger error on any example stops a task.
      memory: the addresses there are.
      dtype: "float32" or "float64".
      seed: of the random ops.
      num_valid: validation examples of a call, at most.
      num_positions: entries of the longest schedule.
      lanes: tasks that run side by side.

    Raises:
      ValueError: an address outside the memory, or more memory is needed than there is.
    """

    def __init__(
        self,
        program: Program,
        *,
        features_size: int,
        objective: Objective,
        num_classes: int,
        max_abs_error: float,
        memory: MemorySize,
        dtype: str,
        seed: int,
        num_valid: int,
        num_positions: int,
        lanes: int = 1,
    ):
        self._arguments = (
            program,
            {
                "features_size": features_size,
                "objective": objective,
                "num_classes": num_classes,
                "max_abs_error": max_abs_error,
                "memory": memory,
                "dtype": dtype,
                "seed": seed,
                "num_valid": num_valid,
                "num_positions": num_positions,
                "lanes": lanes,
            },
        )
        num_valid = power_of_two(max(_FEWEST_VALID, num_valid))
        num_positions = power_of_two(max(_FEWEST_POSITIONS, num_positions))
        population = Population.from_programs([program])
        population.check_addresses(memory)
        if features_size <= ROOM_FOR_ALL_FEATURES:
            self.in_use = AddressesInUse.all_of(memory)
        else:
            self.in_use = AddressesInUse.of(population, objective.vector_labels)
            population = self.in_use.renumbered(population)
        self.layout = Layout(
            self.in_use.memory,
            features_size,
            objective.vector_labels,
            self.in_use.of_registers,
            num_valid * objective.rows(num_classes),
        )
        rows = self.layout.rows_of_scalars_and_matrices + self.layout.rows_of_vectors
        rows += num_positions * (EXAMPLE_HEADER + features_size)
        require_memory(3 * rows * lanes * np.dtype(dtype).itemsize, f"features_size={features_size}")
        self.objective, self.num_classes = objective, num_classes
        self.dtype = dtype
        self._population = population
        self._seed_word = draws.seed_word(seed)
        registers = power_of_two(RegisterNumbers.of(self.in_use.memory).total + 1)
        packed = PackedLayout(
            max(_FEWEST_LINES, power_of_two(population.code.shape[1])),
            np.dtype(dtype).itemsize // 4,
            max(PackedLayout.fitting(0, 1, MemorySize(2, 1, 0)).registers, registers),
        )
        instructions = most_instructions(population.lengths, self.in_use.memory) + 1
        self._config = MachineConfig(
            layout=self.layout,
            objective=objective,
            num_classes=num_classes,
            max_abs_error=max_abs_error,
            dtype=dtype,
            lanes=lanes,
            fingerprint="",
            instruction_set=InstructionSet(ops.table(), _ops_to_compile(population)),
            packed=packed,
            words=Words(power_of_two(max(2 * _FEWEST_LINES, instructions)), num_positions, lanes),
        )

    def __getstate__(self) -> tuple[Program, dict[str, Any]]:
        return self._arguments  # the ops' functions cannot be pickled

    def __setstate__(self, arguments: tuple[Program, dict[str, Any]]) -> None:
        program, settings = arguments
        self.__init__(program, **settings)  # type: ignore[misc]

    def value(self, memory: Memory, kind: str, address: int) -> np.ndarray:
        """The value of an address on the first task, float64, of shape (), (F,) or (F, F)."""
        row, rows = self._place(kind, address), self.layout.size(kind)
        value = np.asarray(memory[kind == "v"])[row : row + rows, 0]
        return value.astype(np.float64).reshape(ops.output_shape(kind, self.layout.features_size))

    def set_value(self, memory: Memory, kind: str, address: int, value: np.ndarray) -> None:
        """Puts a value into memory, on the first task."""
        row, rows = self._place(kind, address), self.layout.size(kind)
        memory[kind == "v"][row : row + rows, 0] = np.asarray(value).ravel()

    def _place(self, kind: str, address: int) -> int:
        return int(self.layout.rows(kind)[self.in_use[ops.KINDS.index(kind)].index(address)])

    def fresh_memory(self) -> Memory:
        """Memory of a program that has not begun, [rows, lanes] of each array."""
        rows = self.layout.rows_of_scalars_and_matrices, self.layout.rows_of_vectors
        return Memory(*(np.zeros((count, self._config.lanes), self.dtype) for count in rows))  # type: ignore[arg-type]

    def run(self, schedule: np.ndarray, examples: np.ndarray, numbers: np.ndarray, memory: Memory) -> Memory:
        """Runs the program by a schedule.

        Args:
          schedule: uint32, entries and SCHEDULE_COUNTS numbers of examples.
          examples: [rows, lanes], as of `TaskGroup`; the smallest and largest label are not needed.
          numbers: uint32 [lanes], of the tasks.
          memory: to begin with; the row `Layout.resumed` says whether Setup has run.

        Returns:
          The memory afterwards, arrays of NumPy that may be written to.
        """
        config = self._config
        rows = config.words.positions * (EXAMPLE_HEADER + self.layout.features_size)
        padded = np.zeros((rows, config.lanes), self.dtype)
        padded[: len(examples)] = examples
        full = calls.full_schedule(schedule, config)
        words = calls.write(self._population, slice(0, 1), full, numbers, self._seed_word, config)
        with precision(self.dtype), on_cpu():
            after = _compiled_recorder(config)(words, padded, memory)
            return Memory(*(np.array(array) for array in after))  # type: ignore[arg-type]

    def run_examples(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        kind: ExampleKind,
        memory: Memory | None,
        position: int,
        loss: float = 0.0,
    ) -> Memory:
        """Runs one task's examples; the program has one lane.

        Args:
          features, labels: [n, F] and [n] of the recorder's dtype; n is at most `num_valid`.
          kind: TRAIN or VALID.
          memory: to go on from; None before Setup, which then runs first.
          position: of the first example in the program's life: the step of its random ops.
          loss: what that of the examples is added to.

        Returns:
          The memory afterwards. There `steps_in` and the row `Layout.LOSS` say how many
          training examples were seen, the complement if one failed, and the loss.
        """
        layout, count = self.layout, len(features)
        examples = np.zeros((count, EXAMPLE_HEADER + layout.features_size), self.dtype)
        examples[:, 0], examples[:, EXAMPLE_HEADER:] = labels, features
        # At the end the last example is shown once more; nothing is run.
        end = (count - 1) << SCHEDULE_SHIFT | ExampleKind.END
        counts = (count, 0) if kind == ExampleKind.TRAIN else (0, count)
        schedule = np.array([*(np.arange(count) << SCHEDULE_SHIFT | kind), end, *counts], np.uint32)
        start = self.fresh_memory() if memory is None else Memory(*(np.array(array) for array in memory))  # type: ignore[arg-type]
        rows = start.scalars_and_matrices
        if memory is not None:
            bits = np.array([position], np.uint32 if self.dtype == "float32" else np.uint64).view(self.dtype)
            rows[layout.resumed], rows[layout.base], rows[layout.POSITION] = 1, bits, bits
            rows[layout.STEPS], rows[layout.LOSS] = 0, loss
        return self.run(schedule, examples.reshape(-1, 1), np.zeros(1, np.uint32), start)

    def steps_in(self, memory: Memory) -> int:
        """Training examples that the last call has seen; the complement, which is negative, if the task failed."""
        row = np.asarray(memory.scalars_and_matrices)[self.layout.STEPS]
        return int(row.view(np.int32 if self.dtype == "float32" else np.int64)[0])

    def predictions(self, memory: Memory, best_epoch: bool) -> np.ndarray:
        """Those that memory holds, of the last validation or of that which was best: [lanes, num_valid(, C)].

        NaN where there are none: the task failed before.
        """
        first = self.layout.first_recorded + (self.layout.recorded if best_epoch else 0)
        rows = np.asarray(memory.scalars_and_matrices)[first : first + self.layout.recorded].T
        if self.objective.vector_labels:
            return rows.reshape(len(rows), -1, self.num_classes)
        return rows


@functools.lru_cache(maxsize=32)
def _compiled_recorder(config: MachineConfig) -> Callable[..., Memory]:
    """The machine of a configuration, shared by programs."""
    return xla_flags.jit(build_recorder(config))
