"""Whether a compiled machine came out as it must: the time of an example of a tiny program.

What XLA makes of the machine hangs on settings and on its version. Where it copies the memory
around every instruction, or hands parts of the loop to its threads, results are the same and
take 20 to 300 times as long. A few milliseconds of measuring tell the two apart.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jaxlib
import numpy as np

from azero_jax import calls
from azero_jax.instructions import SCHEDULE_COUNTS, ExampleKind
from azero_jax.machine_step import MachineConfig
from azero_jax.program import Population, Program

# Examples of the tiny program, and how often it runs: the fastest counts, which other processes disturb least.
_MOST_EXAMPLES = 1024
_REPEATS = 12
# What an example takes on one core of an EPYC: four instructions, and the numbers that they
# move, by their bytes. What takes so many times as long is no machine as it should be.
_SECONDS, _SECONDS_OF_A_BYTE = 1.5e-7, 1e-10
_TOO_SLOW = 7.0
# With a longer schedule a call takes so long by itself that nothing can be told.
_MOST_POSITIONS = 2**20

_warned = False


def check(run: Callable[..., Any], config: MachineConfig, examples: jax.Array) -> None:
    """Warns, once per process, if a machine is far slower than it should be on a CPU.

    Args:
      run: the compiled machine, of words and examples.
      config: what it was compiled for.
      examples: [rows, lanes], any.
    """
    global _warned
    if _warned or any(device.platform != "cpu" for device in examples.devices()):
        return
    seconds = seconds_of_an_example(run, config, examples)
    if seconds is None or seconds <= _TOO_SLOW * expected_seconds(config):
        return
    _warned = True
    warnings.warn(
        f"the compiled machine is about {seconds / expected_seconds(config):.0f} times slower than it should be "
        f"({1e6 * seconds:.1f} us for an example of a program with one instruction): XLA of jaxlib "
        f"{jaxlib.__version__} did not make one loop of it. Results are right. Start Python without XLA_FLAGS of "
        "your own, call azero_jax.set_xla_flags() before anything uses JAX, or install the jaxlib of requirements.txt.",
        RuntimeWarning,
        stacklevel=2,
    )


def expected_seconds(config: MachineConfig) -> float:
    """What an example of the tiny program should take on a machine of some configuration."""
    rows = config.layout.features_size * (2 if config.layout.vector_labels else 1)
    moved = rows * config.lanes * np.dtype(config.dtype).itemsize
    return _SECONDS + moved * _SECONDS_OF_A_BYTE


def seconds_of_an_example(run: Callable[..., Any], config: MachineConfig, examples: jax.Array) -> float | None:
    """What an example of a program with one instruction takes on a compiled machine.

    None if the machine has no op that is simple enough, or a very long schedule.
    """
    program = _tiny_program(config)
    if program is None or config.words.positions > _MOST_POSITIONS:
        return None
    count = min(config.words.positions - 1, _MOST_EXAMPLES)
    none, all_of_them = (_seconds_of_a_call(run, program, config, examples, number) for number in (0, count))
    # What a call takes by itself, long where schedules are, varies by more than a few examples take.
    return (all_of_them - none) / count if all_of_them > 2 * none else 0.0


def _seconds_of_a_call(
    run: Callable[..., Any], program: Program, config: MachineConfig, examples: jax.Array, count: int
) -> float:
    """The fastest of some calls that train on the first example so many times, and then end."""
    schedule = np.array([ExampleKind.TRAIN] * count + [ExampleKind.END] + [0] * SCHEDULE_COUNTS, np.uint32)
    full = calls.full_schedule(schedule, config)
    tasks = np.zeros(config.lanes, np.uint32)
    words = calls.write(Population.from_programs([program]), slice(0, 1), full, tasks, 0, config)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run(words, examples).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _tiny_program(config: MachineConfig) -> Program | None:
    """A program whose Learn sets the prediction from the label or the features, so that each example counts."""
    output = "v" if config.layout.vector_labels else "s"
    for op in config.instruction_set.single:
        if op.output == output and op.inputs and set(op.inputs) <= {"s", "v"} and not op.constants:
            prediction = 2 if config.layout.vector_labels else 1
            return Program.from_text("def Learn():\n  " + op.form.format(a=0, b=0, o=prediction))
    return None
