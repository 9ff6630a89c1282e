"""What one call of the machine reads, as words: packed programs, the schedule, the tasks' numbers and the seed.

    | packed programs | entries of the schedule, its counts | number of each lane's task | seed |

The first part is as `packed` says, the second as `Words` says from its first position on.
"""

from __future__ import annotations

import jax
import numpy as np

from azero_jax.instructions import SCHEDULE_COUNTS
from azero_jax.machine_step import MachineConfig
from azero_jax.packed import at, pack
from azero_jax.program import Population


def size(config: MachineConfig) -> int:
    """Words of a call."""
    return config.packed.size + _behind_programs(config) + 1


def full_schedule(schedule: np.ndarray, config: MachineConfig) -> np.ndarray:
    """A schedule of as many entries as the machine has room for; its last one, an END, is repeated.

    Args:
      schedule: uint32, entries and SCHEDULE_COUNTS numbers of examples.
      config: of the machine.
    """
    entries, counts = schedule[:-SCHEDULE_COUNTS], schedule[-SCHEDULE_COUNTS:]
    full = np.full(config.words.positions + SCHEDULE_COUNTS, entries[-1], np.uint32)
    full[: len(entries)] = entries
    full[-SCHEDULE_COUNTS:] = counts
    return full


def write(
    population: Population,
    programs: slice,
    schedule: np.ndarray,
    task_numbers: np.ndarray,
    seed_word: int,
    config: MachineConfig,
) -> np.ndarray:
    """The words of a call.

    Args:
      population: any programs with addresses within the memory.
      programs: which of them.
      schedule: uint32, as `full_schedule` makes it.
      task_numbers: uint32 [lanes].
      seed_word: of the random ops.
      config: of the machine.

    Returns:
      uint32; it belongs to this thread, and the next call writes into it.
    """
    words = pack(population, programs, config.layout.memory, config.packed, _behind_programs(config) + 1)
    words[config.packed.size : -config.lanes - 1] = schedule
    words[-config.lanes - 1 : -1] = task_numbers
    words[-1] = seed_word
    return words


def read(words: jax.Array, config: MachineConfig) -> tuple[jax.Array, jax.Array]:
    """In jitted code, what stands behind the programs: schedule and task numbers in one, and the seed."""
    first = config.packed.size
    return words[first : first + _behind_programs(config)], at(words, words.shape[0] - 1)


def _behind_programs(config: MachineConfig) -> int:
    """Words of the schedule, its counts and the tasks' numbers."""
    return config.words.size - config.words.first_position
