"""Programs and populations: values that hold instructions, and their checks.

A `Program` is one algorithm; a `Population` holds many as a struct of arrays,
every component function padded with no-ops to a common capacity, which is the
form that liveness, mutation and the machines work on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from azero_jax import ops, text
from azero_jax.execution import require_memory
from azero_jax.text import COMPONENT_FUNCTIONS, IN1, IN2, OP, OUT, Code

# Bytes of a population from which on it is worth looking whether they are there.
_MUCH = 2**28


class MemorySize(NamedTuple):
    """Addresses of each kind that programs may use; s0, s1 and v0 are among them.

    The C++ release sets these when it is compiled (`definitions.h`).
    """

    scalars: int = 20
    vectors: int = 20
    matrices: int = 20

    def of(self, kind: str) -> int:
        """Addresses of a kind, "s", "v" or "m"."""
        return self[ops.KINDS.index(kind)]

    def validate(self) -> MemorySize:
        """Returns itself.

        Raises:
          ValueError: a count is no integer in range. At least s0, s1 and v0 exist.
        """
        for field, value, least in zip(self._fields, self, (2, 1, 0)):
            if not isinstance(value, (int, np.integer)) or not least <= value <= text.MAX_ADDRESS:
                raise ValueError(f"memory {field}={value!r}: expected an integer from {least} to {text.MAX_ADDRESS}")
        return self


class Instruction(NamedTuple):
    """One instruction: an op, its operands' addresses and its constants.

    Attributes:
      op: row of the op table.
      in1, in2: input addresses; 0 where the op has no such input.
      out: output address; 0 for the no-op.
      constants: as many numbers as the op has constants.
    """

    op: ops.Op
    in1: int = 0
    in2: int = 0
    out: int = 0
    constants: tuple[float, ...] = ()

    def __str__(self) -> str:
        code = np.array([self.op.id, self.in1, self.in2, self.out], np.int16)
        return text.print_instruction(code, np.array(self.constants, np.float64))


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """An algorithm: the component functions Setup, Predict and Learn.

    Attributes:
      code: int16 [n, 4], the instructions of the three functions behind each
        other; columns op id, in1, in2, out.
      constants: float64 [n, 3].
      lengths: instructions of Setup, Predict and Learn.
    """

    code: np.ndarray
    constants: np.ndarray
    lengths: tuple[int, int, int]

    @classmethod
    def from_text(cls, source: str, memory: MemorySize | None = None) -> Program:
        """Parses the form that the paper and the C++ release print.

        Args:
          source: the text.
          memory: if given, addresses must be within it.

        Raises:
          ValueError: a line that does not parse, writes to s0 or v0 or uses an
            address out of range, with its number, text and what was expected.
        """
        return cls(*text.parse(source, None if memory is None else dict(zip(ops.KINDS, memory))))

    @classmethod
    def from_instructions(
        cls,
        setup: Iterable[Instruction] = (),
        predict: Iterable[Instruction] = (),
        learn: Iterable[Instruction] = (),
    ) -> Program:
        """Builds a program from instructions."""
        functions = [list(setup), list(predict), list(learn)]
        flat = [instruction for function in functions for instruction in function]
        code = np.array([(i.op.id, i.in1, i.in2, i.out) for i in flat], np.int16).reshape(-1, 4)
        padding = (0.0,) * ops.MAX_CONSTANTS
        constants = np.array([(i.constants + padding)[: ops.MAX_CONSTANTS] for i in flat], np.float64)
        lengths = (len(functions[0]), len(functions[1]), len(functions[2]))
        return cls(code, constants.reshape(-1, ops.MAX_CONSTANTS), lengths)

    def to_text(self) -> str:
        """The program in the form that `from_text` reads."""
        return text.print_program(Code(self.code, self.constants, self.lengths))

    def instructions(self, function: str) -> tuple[Instruction, ...]:
        """The instructions of "Setup", "Predict" or "Learn"."""
        which = COMPONENT_FUNCTIONS.index(function)
        start = sum(self.lengths[:which])
        table = ops.table()
        return tuple(
            Instruction(
                table[self.code[i, OP]],
                int(self.code[i, IN1]),
                int(self.code[i, IN2]),
                int(self.code[i, OUT]),
                tuple(self.constants[i, : len(table[self.code[i, OP]].constants)].tolist()),
            )
            for i in range(start, start + self.lengths[which])
        )

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Program.from_text({self.to_text()!r})"

    def _content(self) -> tuple:
        return self.lengths, self.code.tobytes(), self.constants.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """Many programs as a struct of arrays.

    Attributes:
      code: int16 [P, L, 4], columns op id, in1, in2, out. Setup occupies the first
        `capacity[0]` of the L lines, then Predict, then Learn; each is padded
        with no-ops.
      constants: float64 [P, L, 3].
      lengths: int64 [P, 3], instructions of Setup, Predict and Learn.
      capacity: lines reserved for each component function; their sum is L.
    """

    code: np.ndarray
    constants: np.ndarray
    lengths: np.ndarray
    capacity: tuple[int, int, int]

    @classmethod
    def from_programs(cls, programs: Sequence[Program], capacity: tuple[int, int, int] | None = None) -> Population:
        """Stacks programs.

        Args:
          programs: any number of programs.
          capacity: lines for each component function; by default the longest's.

        Raises:
          ValueError: a program is longer than the capacity.
        """
        lengths = np.array([program.lengths for program in programs], np.int64).reshape(-1, 3)
        longest = lengths.max(axis=0, initial=0)
        if capacity is None:
            capacity = (int(longest[0]), int(longest[1]), int(longest[2]))
        elif np.any(longest > capacity):
            raise ValueError(
                f"a program has (setup, predict, learn) sizes {tuple(longest.tolist())}, the capacity is {capacity}"
            )
        population = cls.empty(len(programs), capacity)
        if programs:
            lines = population.occupied(lengths)
            population.code[lines] = np.concatenate([program.code for program in programs])
            population.constants[lines] = np.concatenate([program.constants for program in programs])
            population.lengths[:] = lengths
        return population

    @classmethod
    def empty(cls, size: int, capacity: Sequence[int]) -> Population:
        """Programs without instructions.

        Raises:
          ValueError: more lines than a program may have.
        """
        lines = sum(capacity)
        if lines > text.MAX_LINES:
            raise ValueError(f"{lines} instructions: expected at most {text.MAX_LINES} of all component functions")
        if (needed := cls.needed_bytes(size, lines)) > _MUCH:
            require_memory(needed, f"{size} programs")
        return cls(
            np.zeros((size, lines, 4), np.int16),
            np.zeros((size, lines, ops.MAX_CONSTANTS), np.float64),
            np.zeros((size, 3), np.int64),
            (int(capacity[0]), int(capacity[1]), int(capacity[2])),
        )

    @staticmethod
    def needed_bytes(size: int, lines: int) -> int:
        """Memory that so many programs of so many lines take."""
        return size * (lines * (4 * 2 + ops.MAX_CONSTANTS * 8) + 3 * 8)

    @property
    def starts(self) -> tuple[int, int, int]:
        """First line of each component function."""
        return (0, self.capacity[0], self.capacity[0] + self.capacity[1])

    @property
    def functions(self) -> np.ndarray:
        """Component function of each line, 0, 1 or 2, int64 [L]."""
        return np.repeat(np.arange(3), self.capacity)

    def occupied(self, lengths: np.ndarray | None = None) -> np.ndarray:
        """Which lines hold instructions (no-ops among them), not padding: bool [P, L]."""
        lengths = self.lengths if lengths is None else lengths
        line = np.arange(self.code.shape[1]) - np.repeat(self.starts, self.capacity)
        return line[None, :] < np.repeat(lengths, self.capacity, axis=1)

    def __len__(self) -> int:
        return self.code.shape[0]

    def __getitem__(self, index: int) -> Program:
        lines = self.occupied(self.lengths[index : index + 1])[0]
        lengths = tuple(self.lengths[index].tolist())
        return Program(self.code[index][lines], self.constants[index][lines], lengths)

    def __iter__(self) -> Iterator[Program]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: np.ndarray) -> Population:
        """The programs at some indices, copied."""
        return Population(self.code[indices], self.constants[indices], self.lengths[indices], self.capacity)

    def check_addresses(self, memory: MemorySize) -> None:
        """Checks that every instruction is known and stays within the memory.

        Raises:
          ValueError: the first instruction that does not, with its program,
            component function, line and text.
        """
        columns = op_columns().kinds
        num_ops = len(columns[IN1])
        op = self.code[..., OP]
        limits = np.array([*memory, text.MAX_ADDRESS + 1])
        wrong = (op < 0) | (op >= num_ops)
        known = np.where(wrong, 0, op)
        for column in (IN1, IN2, OUT):
            kind = columns[column][known]
            address = self.code[..., column]
            lowest = FIRST_OUTPUT[kind] if column == OUT else 0
            wrong |= (address < lowest) | (address >= limits[kind])
        if wrong.any():
            index, line = np.argwhere(wrong)[0]
            function = int(self.functions[line])
            where = f"program {index}, {COMPONENT_FUNCTIONS[function]} line {line - self.starts[function] + 1}"
            if not 0 <= op[index, line] < num_ops:
                raise ValueError(f"{where}: op id {op[index, line]}: expected 0 to {num_ops - 1}")
            shown = text.print_instruction(self.code[index, line], self.constants[index, line])
            raise ValueError(
                f"{where}: {shown!r}: expected addresses within {memory.scalars} scalars, {memory.vectors} vectors "
                f"and {memory.matrices} matrices, and no write to s0 or v0"
            )


# Kinds as numbers, for lookups by array: scalar, vector, matrix, none.
NO_KIND = 3
FIRST_OUTPUT = np.array([1, 1, 0, 0])  # s0 and v0 are read-only (definitions.h)


class OpColumns(NamedTuple):
    """The op table as arrays over op ids, for lookups by whole batches.

    Attributes:
      kinds: for IN1, IN2 and OUT the operand's kind, 0 to 2, or NO_KIND.
      num_constants: int64, constants of each op.
      num_indices: int64, how many of those are indices.
      draws: bool, random ops.
    """

    kinds: dict[int, np.ndarray]
    num_constants: np.ndarray
    num_indices: np.ndarray
    draws: np.ndarray


def op_columns() -> OpColumns:
    """The columns of the table as it is now."""
    return _op_columns(*ops.version())


@functools.lru_cache(maxsize=2)
def _op_columns(num_ops: int, last_name: str) -> OpColumns:
    numbers = {kind: number for number, kind in enumerate(ops.KINDS)} | {"": NO_KIND}
    table = ops.table()
    return OpColumns(
        kinds={
            IN1: np.array([numbers[op.inputs[0:1]] for op in table]),
            IN2: np.array([numbers[op.inputs[1:2]] for op in table]),
            OUT: np.array([numbers[op.output] for op in table]),
        },
        num_constants=np.array([len(op.constants) for op in table]),
        num_indices=np.array([op.constants.count("index") for op in table]),
        draws=np.array([op.draws is not None for op in table]),
    )
