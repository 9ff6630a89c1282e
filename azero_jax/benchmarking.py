"""Measurements for `scripts/benchmark.py`: programs per second, and time per op.

Every measurement is a dict of plain numbers and strings, ready for JSON. Times are
of a warm machine; what compiling took stands apart.
"""

from __future__ import annotations

import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from azero_jax import objectives, ops
from azero_jax.evaluator import Evaluator
from azero_jax.execution import in_one_loop, precision, require_memory
from azero_jax.initial_programs import HAND_WRITTEN, initial_population
from azero_jax.instructions import (
    FIRST_OP,
    HALTED,
    JUMP_TABLE,
    OPCODE,
    OPERAND_A,
    OUTPUT,
    RESULT_ROWS,
    WORD_SIZE,
    Control,
    ExampleKind,
    Layout,
    Words,
)
from azero_jax.liveness import find_live
from azero_jax.machine import build_interpreter
from azero_jax.machine_step import MachineConfig
from azero_jax.mutation import SearchSpace
from azero_jax.packed import MAX_PROGRAMS, PackedLayout
from azero_jax.program import MemorySize, Population, Program
from azero_jax.superinstructions import InstructionSet
from azero_jax.switch_strategy import lanes_for
from azero_jax.task_specs import make_tasks

MEMORY = MemorySize(20, 20, 20)
WORKLOADS = ("random", *HAND_WRITTEN, "evolved")

_COPIES_OF_AN_OP = 8000
_COPIES_OF_MATRICES = 18


def programs_of(workload: str, count: int, evolved: pathlib.Path | None = None) -> Population:
    """The programs of a workload.

    Args:
      workload: "random" (all ops, 10 + 10 + 10 instructions), the name of a hand-written
        program, which is repeated, or "evolved".
      count: how many.
      evolved: a file of programs with an empty line between them, repeated as often as
        needed.

    Raises:
      ValueError: an unknown name, or a program that does not parse.
      OSError: the file cannot be read.
    """
    if workload in HAND_WRITTEN:
        return Population.from_programs([Program.from_text(HAND_WRITTEN[workload])] * count)
    if workload == "evolved" and evolved is not None:
        programs = [Program.from_text(text) for text in evolved.read_text().split("\n\n") if text.strip()]
        return Population.from_programs([programs[index % len(programs)] for index in range(count)])
    if workload != "random":
        raise ValueError(f"--workloads: {workload!r}: expected some of {', '.join(WORKLOADS)}, search")
    every_op = tuple(op.name for op in ops.known())
    space = SearchSpace(MEMORY, every_op, every_op, every_op, (10, 10, 10), (10, 10, 10), (10, 10, 10))
    return initial_population("random", count, space, np.random.default_rng(0))


def measure_programs(population: Population, evaluator: Evaluator, repeats: int) -> dict:
    """Times evaluations of a population.

    Args:
      population: what is evaluated.
      evaluator: by what.
      repeats: timed evaluations, after one that is not timed.

    Returns:
      compile_seconds, seconds of each repeat, and what follows from their median:
      programs_per_second, spread (slowest less fastest, as a share of it), gpops_per_second
      (1e9 live instructions x examples x tasks per second), ns_per_instruction (for all
      tasks together), ns_per_instruction_and_task.
    """
    tasks = evaluator.tasks
    started = time.perf_counter()
    evaluation = evaluator.evaluate(population)
    first_seconds = time.perf_counter() - started
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        evaluator.evaluate(population)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    live = find_live(population, evaluator.memory, tasks.vector_labels)
    setup, predict, learn = (live[:, population.functions == function].sum(axis=1) for function in range(3))
    trained = evaluation.train_steps.max(axis=1)
    executed = int((setup + trained * (predict + learn) + tasks.num_valid_examples * predict).sum())
    return {
        "compile_seconds": first_seconds - median,
        "seconds": seconds,
        "spread": (max(seconds) - min(seconds)) / median,
        "programs_per_second": len(population) / median,
        "gpops_per_second": executed * tasks.num_tasks / median / 1e9,
        "ns_per_instruction": median / max(executed, 1) * 1e9,
        "ns_per_instruction_and_task": median / max(executed, 1) / tasks.num_tasks * 1e9,
    }


def regression_tasks(features_size: int, num_tasks: int, num_examples: int):
    """The tasks that programs are timed on: linear regression, so many training and validation examples."""
    return make_tasks(
        f"scalar_linear_regression:features_size={features_size},num_tasks={num_tasks},"
        f"num_train_examples={num_examples},num_valid_examples={num_examples}"
    )


def measure_ops(features_size: int, num_tasks: int, dtype: str, repeats: int) -> list[dict]:
    """Times every op in the `lax.switch` machine on one core.

    Args:
      features_size: F.
      num_tasks: D, at most what runs side by side.
      dtype: "float32" or "float64".
      repeats: timed runs of each, of which the fastest counts.

    Returns:
      For each: op, features_size, seconds of each run, nanoseconds, and floor_nanoseconds, what it takes to
      read the operands and write the result once at the speed of copying in the
      level-1 cache.
    """
    lanes = lanes_for(num_tasks)
    # The memory, what the loop started with, and copies of matrices between the two.
    require_memory(_COPIES_OF_MATRICES * lanes * 8 * features_size**2, f"features_sizes={features_size}")
    layout = Layout(MemorySize(6, 6, 6), features_size)
    config = MachineConfig(
        layout=layout,
        objective=objectives.named("rmse"),
        num_classes=2,
        max_abs_error=100.0,
        dtype=dtype,
        lanes=lanes,
        fingerprint="",
        instruction_set=InstructionSet(ops.table(), tuple(range(len(ops.table())))),
        packed=PackedLayout.fitting(0, np.dtype(dtype).itemsize // 4, layout.memory),
        words=Words(2 * _COPIES_OF_AN_OP, 1, lanes),
    )
    examples = np.zeros((2 + features_size, lanes), dtype)
    bytes_per_nanosecond = _copy_speed()
    with precision(dtype):
        run = build_interpreter(config)
        no_results = jnp.zeros((MAX_PROGRAMS, RESULT_ROWS, lanes), dtype)
        machine = jax.jit(
            lambda code, examples: in_one_loop(lambda zero, _: run(code | zero, examples), code[WORD_SIZE], no_results)
        )

        def run_times(copies: int, instruction: np.ndarray) -> list[float]:
            code = np.zeros(config.words.size, np.uint32)
            words = code[: config.words.first_position].reshape(-1, WORD_SIZE)
            words[0, OPCODE] = Control.START
            words[1 : copies + 1] = instruction
            words[copies + 1, [OPCODE, JUMP_TABLE]] = Control.HALT, HALTED - (copies + 2)
            code[config.words.first_position] = ExampleKind.END
            on_device = jax.device_put(code)
            seconds = []
            for _ in range(repeats + 1):
                started = time.perf_counter()
                np.asarray(machine(on_device, examples))
                seconds.append(time.perf_counter() - started)
            return seconds[1:]

        rows = []
        for op in ops.table():
            instruction = np.zeros(WORD_SIZE, np.uint32)
            instruction[OPCODE] = FIRST_OP + op.id
            for index, kind in enumerate(op.inputs):
                instruction[OPERAND_A + index] = layout.rows(kind)[2 + index]
            if op.output:
                instruction[OUTPUT] = layout.rows(op.output)[4]
            # The difference of two counts leaves out what a call costs.
            short = min(run_times(_COPIES_OF_AN_OP // 8, instruction))
            seconds = [some - short for some in run_times(_COPIES_OF_AN_OP, instruction)]
            values = sum(layout.size(kind) for kind in op.inputs)
            values += 1 if op.writes_one_element else layout.size(op.output) if op.output else 0
            rows.append(
                {
                    "op": op.name,
                    "features_size": features_size,
                    "seconds": seconds,
                    "nanoseconds": min(seconds) / (_COPIES_OF_AN_OP - _COPIES_OF_AN_OP // 8) * 1e9,
                    "floor_nanoseconds": values * lanes * np.dtype(dtype).itemsize / bytes_per_nanosecond,
                }
            )
    return rows


def _copy_speed() -> float:
    """Bytes read and written per nanosecond by a copy within the level-1 cache."""

    def fastest(size: int) -> float:
        source, target = (np.zeros(size, np.uint8) for _ in range(2))
        seconds = []
        for _ in range(50):
            started = time.perf_counter()
            for _ in range(100):
                np.copyto(target, source)
            seconds.append(time.perf_counter() - started)
        return min(seconds) / 100 * 1e9

    small, large = 2048, 12288
    return 2 * (large - small) / (fastest(large) - fastest(small))
