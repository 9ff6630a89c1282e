"""The form of the machine's code and memory: instructions, control steps, schedules, layout.

What the assembler writes and the machine reads.
"""

from __future__ import annotations

import dataclasses
import enum

import jax
import jax.numpy as jnp
import numpy as np

from azero_jax.packed import MAX_PROGRAMS
from azero_jax.program import MemorySize

# One instruction is WORD_SIZE unsigned 32-bit numbers: the opcode, the first rows
# of both operands and of the output, and two constants (one number each in float32,
# two in float64). Control steps that jump hold a table of distances instead, one for
# each ExampleKind, behind the opcode: from the next instruction; distances backward
# wrap around.
WORD_SIZE = 8
OPCODE, OPERAND_A, OPERAND_B, OUTPUT, CONSTANTS = 0, 1, 2, 3, 4
DRAW_KEY = OPERAND_A
JUMP_TABLE = 1

HALTED = np.uint32(0xFFFFFFFF)

# The results of one program, in rows of lanes.
RESULT_ROWS = 3
RESULT_LOSS, RESULT_STEPS, RESULT_FINGERPRINT = range(RESULT_ROWS)  # steps as the bits of an integer

# Validation examples whose errors are summed before the sum is added to that of all: in float32, a
# long sum would lose what is small beside it.
SUM_BLOCK = 1024


class Control(enum.IntEnum):
    """Control steps; their numbers are opcodes, and those of the ops follow."""

    START = 0  # zero the fixed rows
    ZERO_SCALAR = 1
    ZERO_VECTOR = 2
    ZERO_MATRIX = 3
    LOAD = 4  # features in, label hidden; jump by the example's kind
    CHECK = 5  # jump to FINISH when every task has failed
    REVEAL = 6  # check the training error, show the label
    NEXT = 7  # go to the next example, as LOAD
    ACCUMULATE = 8  # add the validation error, then as NEXT
    EPOCH = 9  # keep the best epoch's loss, jump to LOAD
    FINISH = 10  # write the results of the program
    HALT = 11  # jump to HALTED
    REVEAL_REST = 12  # reveal for this and all training examples that follow, which are predicted alike
    ACCUMULATE_REST = 13  # accumulate for this and all validation examples that follow


# Opcode of the first op of the table; behind them are those of superinstructions.
FIRST_OP = len(Control)


class ExampleKind(enum.IntEnum):
    """What a schedule entry asks for; its jump target's place in the jump table.

    Looking whether all tasks have failed costs more than most ops, so the schedule
    says before which examples it is worth it.
    """

    TRAIN = 0
    TRAIN_AFTER_CHECK = 1
    VALID = 2
    VALID_AFTER_CHECK = 3
    EPOCH_END = 4
    END = 5


# Rows of an example in front of its features: the label, and the zero that s0
# holds while the label is hidden.
EXAMPLE_HEADER = 2

# Behind all examples are the smallest and the largest label of each task.
EXTREME_LABELS = 2

# A schedule entry is (example << SCHEDULE_SHIFT) | kind. Behind all entries is how many
# training and how many validation examples an epoch has.
SCHEDULE_SHIFT = 3
SCHEDULE_COUNTS = 2


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where each register lives: the first row of every address, in the array of its kind.

    Vectors have an array, and scalars and matrices another, because XLA copies what an op
    reads from the array that it writes. In the second are first fingerprint, s1, best,
    loss, steps, position and s0, then all other scalars, then matrices, then the results;
    the last row of both is one that nothing depends on. `steps` counts the training examples
    seen, as the bits of an integer, of which a task that has failed holds the complement, which is
    negative; `position` holds the bits of the position in the schedule, which is the step of
    random ops.

    Attributes:
      memory: the addresses there are.
      features_size: F.
      vector_labels: whether labels and predictions are v1 and v2 instead of s0 and s1.
      addresses: of each register, its address as written in the programs, which random ops know it by;
        as they are numbered, if empty.
      recorded: rows in which the predictions of validation are kept; a machine that has
        some runs one program a call, and can go on from the memory of an earlier one.
      sums_blocks: whether there is a row for the loss of earlier blocks of SUM_BLOCK examples.
    """

    memory: MemorySize
    features_size: int
    vector_labels: bool = False
    addresses: tuple[int, ...] = ()
    recorded: int = 0
    sums_blocks: bool = False

    FINGERPRINT = 0
    PREDICTION = 1
    BEST = 2
    LOSS = 3
    STEPS = 4
    POSITION = 5
    LABEL = 6
    FIRST_FREE = 7

    @property
    def written_addresses(self) -> np.ndarray:
        """Of each register, its address as written in the programs, uint32 [registers]."""
        return np.array(self.addresses or [i for count in self.memory for i in range(count)], np.uint32)

    def size(self, kind: str) -> int:
        """Rows of one register of a kind."""
        return self.features_size ** {"s": 0, "v": 1, "m": 2}[kind]

    def rows(self, kind: str) -> np.ndarray:
        """First row of each address of a kind, int64 [addresses]."""
        addresses = np.arange(self.memory.of(kind))
        if kind == "s":
            # s0 and s1 are among the fixed rows.
            return np.where(
                addresses < 2, np.array([self.LABEL, self.PREDICTION])[addresses % 2], addresses + self.FIRST_FREE - 2
            )
        return addresses * self.size(kind) + (self._first_matrix if kind == "m" else 0)

    @property
    def _first_matrix(self) -> int:
        return self.FIRST_FREE + max(self.memory.scalars - 2, 0)

    @property
    def first_result(self) -> int:
        """The row where results begin."""
        return self._first_matrix + self.memory.matrices * self.size("m")

    @property
    def base(self) -> int:
        """With recorded rows: the row of the position, as bits, that the first entry of the schedule has."""
        return self.first_result + MAX_PROGRAMS * RESULT_ROWS

    @property
    def resumed(self) -> int:
        """With recorded rows: the row that is 1 where memory is that of an earlier call, and Setup has run."""
        return self.base + 1

    @property
    def first_recorded(self) -> int:
        """Where the predictions of this epoch are; behind them are those of the best one."""
        return self.base + 2

    @property
    def first_spare(self) -> int:
        """The first of F rows for vectors on their way to their array."""
        return self.first_recorded + 2 * self.recorded if self.recorded else self.base

    @property
    def blocks(self) -> int:
        """The row of the loss of earlier blocks, if these are summed."""
        return self.first_spare + self.size("v")

    @property
    def rows_of_scalars_and_matrices(self) -> int:
        """Rows of their array."""
        return self.blocks + self.sums_blocks + 1

    @property
    def rows_of_vectors(self) -> int:
        """Rows of their array."""
        return self.memory.vectors * self.size("v") + 1


@dataclasses.dataclass(frozen=True)
class Words:
    """The layout of the unsigned numbers that a machine reads: code, schedule, task numbers.

    Attributes:
      instructions: instructions that there is room for, WORD_SIZE numbers each.
      positions: entries of the schedule; SCHEDULE_COUNTS numbers follow.
      lanes: D; the tasks' numbers are next.
    """

    instructions: int
    positions: int
    lanes: int

    @property
    def first_position(self) -> int:
        """Where the schedule begins."""
        return self.instructions * WORD_SIZE

    @property
    def first_count(self) -> int:
        """Where the numbers of examples are."""
        return self.first_position + self.positions

    @property
    def first_task(self) -> int:
        """Where the numbers of the tasks begin."""
        return self.first_count + SCHEDULE_COUNTS

    @property
    def size(self) -> int:
        """All numbers."""
        return self.first_task + self.lanes


def element_index(fraction: jax.Array | np.ndarray, features_size: int) -> jax.Array:
    """The element that a fraction in [0, 1) stands for: int(F * x) in float32, as executor.h; uint32."""
    scaled = (np.float32(features_size) * fraction.astype(np.float32)).astype(np.int32)
    # A fraction just below 1 rounds to 1 in float32.
    return jnp.minimum(scaled.astype(np.uint32), np.uint32(features_size - 1))
