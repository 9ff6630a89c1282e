"""Programs and populations: values that hold instructions, and their checks.

A `Program` is one algorithm; a `Population` holds many as a struct of arrays,
every component function padded with no-ops to a common capacity, which is the
form that liveness, mutation and the machines work on.
"""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np

from azero_jax import arguments, ops, text
from azero_jax.execution import require_memory
from azero_jax.text import COMPONENT_FUNCTIONS, IN1, IN2, OP, OUT, Code

# Bytes of a population from which on it is worth looking whether they are there.
_MUCH = 2**28


class _MemorySize(NamedTuple):
    scalars: int = 20
    vectors: int = 20
    matrices: int = 20


class MemorySize(_MemorySize):
    """Addresses of each kind that programs may use; s0, s1 and v0 are among them.

    The C++ release sets these when it is compiled (`definitions.h`).

    Attributes:
      scalars, vectors, matrices: at least 2, 1 and 0, and at most `text.MAX_ADDRESS`.

    Raises:
      ValueError: a count that is no integer in range.
    """

    __slots__ = ()

    def __new__(cls, scalars: int = 20, vectors: int = 20, matrices: int = 20) -> MemorySize:
        """Checks the counts."""
        given = zip(cls._fields, (scalars, vectors, matrices), (2, 1, 0))
        counts = (arguments.integer(f"memory {name}", value, least, text.MAX_ADDRESS) for name, value, least in given)
        return super().__new__(cls, *counts)

    @classmethod
    def checked(cls, memory: object) -> MemorySize:
        """The sizes that somebody gave, as a MemorySize or as three integers.

        Raises:
          ValueError: neither, or a count out of range.
        """
        expected = "a MemorySize, or counts of scalars, vectors and matrices"
        counts = arguments.sequence("memory", memory, expected)
        if len(counts) != len(cls._fields):
            raise ValueError(f"memory={arguments.shown(memory)}: expected {expected}")
        return cls(*counts)

    def of(self, kind: str) -> int:
        """Addresses of a kind, "s", "v" or "m"."""
        return self[ops.KINDS.index(kind)]

    def validate(self) -> MemorySize:
        """Returns itself: what is wrong was refused when it was made."""
        return self


class _Instruction(NamedTuple):
    op: ops.Op
    in1: int = 0
    in2: int = 0
    out: int = 0
    constants: tuple[float, ...] = ()


class Instruction(_Instruction):
    """One instruction: an op, its operands' addresses and its constants.

    Attributes:
      op: row of the op table; its name does, too.
      in1, in2: input addresses; 0 where the op has no such input.
      out: output address; 0 for the no-op.
      constants: as many numbers as the op has constants.

    Raises:
      ValueError: an unknown op, an address out of range, a write to s0 or v0, another
        number of constants, or an index outside [0, 1).
      TypeError: an op that is none.
    """

    __slots__ = ()

    def __new__(
        cls, op: ops.Op | str, in1: int = 0, in2: int = 0, out: int = 0, constants: Iterable[float] = ()
    ) -> Instruction:
        """Checks and converts what was given."""
        if isinstance(op, str):
            op = ops.op_named(op)
        arguments.instance("op", op, ops.Op, "the name 'SCALAR_SUM' or a row of ops.table()")
        in1 = _operand(op, "in1", in1, op.inputs[:1])
        in2 = _operand(op, "in2", in2, op.inputs[1:2])
        out = _operand(op, "out", out, op.output)
        return super().__new__(cls, op, in1, in2, out, _constants(op, constants))

    def __str__(self) -> str:
        code = np.array([self.op.id, self.in1, self.in2, self.out], np.int16)
        return text.print_instruction(code, np.array(self.constants, np.float64))


def _operand(op: ops.Op, name: str, value: object, kind: str) -> int:
    if not kind:
        if not arguments.is_integer(value) or value != 0:
            raise ValueError(f"{name}={arguments.shown(value)} of {op.name}: expected 0, the op has no such operand")
        return 0
    address = arguments.integer(f"{name} of {op.name}", value, 0, text.MAX_ADDRESS)
    if name == "out" and kind in "sv" and address == 0:
        raise ValueError(
            f"out=0 of {op.name}: expected 1 or more, as {kind}0 holds the {'label' if kind == 's' else 'features'}"
        )
    return address


def _constants(op: ops.Op, given: object) -> tuple[float, ...]:
    meanings = ", ".join(op.constants) or "none"
    expected = f"{len(op.constants)} numbers of {op.name} ({meanings})"
    values = arguments.sequence("constants", given, expected)
    if len(values) != len(op.constants):
        raise ValueError(f"constants={arguments.shown(given)}: expected {expected}")
    return tuple(
        arguments.number(f"constant {place} of {op.name}", value, "an index in [0, 1)", lambda x: 0 <= x < 1)
        if meaning == "index"
        else arguments.number(f"constant {place} of {op.name}", value, accepts=lambda x: True)
        for place, (value, meaning) in enumerate(zip(values, op.constants), start=1)
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """An algorithm: the component functions Setup, Predict and Learn.

    Attributes:
      code: int16 [n, 4], the instructions of the three functions behind each
        other; columns op id, in1, in2, out.
      constants: float64 [n, 3].
      lengths: instructions of Setup, Predict and Learn.

    Raises:
      ValueError: arrays of other shapes, or instructions that are none: an unknown op, an
        address out of range, a write to s0 or v0, an index outside [0, 1).
    """

    code: np.ndarray
    constants: np.ndarray
    lengths: tuple[int, int, int]

    def __post_init__(self) -> None:
        lengths = arguments.sequence("lengths", self.lengths, "the sizes of Setup, Predict and Learn")
        if len(lengths) != len(COMPONENT_FUNCTIONS):
            raise ValueError(f"lengths={arguments.shown(lengths)}: expected the sizes of Setup, Predict and Learn")
        lengths = tuple(arguments.integer("lengths", length, 0, text.MAX_LINES) for length in lengths)
        object.__setattr__(self, "lengths", lengths)
        for name, kinds, dtype, width in (("code", "iu", np.int64, 4), ("constants", "iuf", np.float64, 3)):
            array = np.asarray(getattr(self, name))
            if array.dtype.kind not in kinds or isinstance(getattr(self, name), np.ma.MaskedArray):
                expected = "integers" if name == "code" else "numbers"
                raise ValueError(f"{name}: {type(getattr(self, name)).__name__} of {array.dtype}: expected {expected}")
            if array.shape != (sum(lengths), width):
                raise ValueError(f"{name}: shape {array.shape}: expected {(sum(lengths), width)} for lengths {lengths}")
            object.__setattr__(self, name, array.astype(dtype))
        self._check_instructions()
        object.__setattr__(self, "code", self.code.astype(np.int16))

    def _check_instructions(self) -> None:
        columns = op_columns()
        num_ops = len(columns.num_constants)
        op = self.code[:, OP]
        unknown = (op < 0) | (op >= num_ops)
        if unknown.any():
            line = int(np.argmax(unknown))
            raise ValueError(f"code, line {line + 1}: op id {op[line]}: expected 0 to {num_ops - 1}")
        for column, name in ((IN1, "in1"), (IN2, "in2"), (OUT, "out")):
            kind, address = columns.kinds[column][op], self.code[:, column]
            least = FIRST_OUTPUT[kind] if column == OUT else np.zeros(len(op), np.int64)
            wrong = (address < least) | (address > text.MAX_ADDRESS)
            if wrong.any():
                line = int(np.argmax(wrong))
                raise ValueError(
                    f"code, line {line + 1}: {name}={address[line]} of {ops.table()[op[line]].name}: expected an "
                    f"address from {least[line]} to {text.MAX_ADDRESS}"
                )
        is_index = np.arange(ops.MAX_CONSTANTS) < columns.num_indices[op][:, None]
        wrong = is_index & ~((self.constants >= 0) & (self.constants < 1))
        if wrong.any():
            line, which = np.argwhere(wrong)[0]
            raise ValueError(
                f"constants, line {line + 1}: index {self.constants[line, which]} of {ops.table()[op[line]].name}: "
                "expected a number in [0, 1)"
            )

    @classmethod
    def from_text(cls, source: str, memory: MemorySize | None = None, *, features_size: int | None = None) -> Program:
        """Parses the form that the paper and the C++ release print; docs/language.md describes it.

        Args:
          source: the text.
          memory: if given, addresses must be within it.
          features_size: F, if element indices may be integers, as in `v3[5] = -2.4`.

        Raises:
          ValueError: a line that does not parse, writes to s0 or v0 or uses an
            address out of range, with its number, text and what was expected.
          TypeError: an argument of another type.
        """
        limits = None if memory is None else dict(zip(ops.KINDS, MemorySize.checked(memory)))
        return cls(*text.parse(source, limits, features_size))

    @classmethod
    def from_instructions(
        cls,
        setup: Iterable[Instruction] = (),
        predict: Iterable[Instruction] = (),
        learn: Iterable[Instruction] = (),
    ) -> Program:
        """Builds a program from instructions.

        Raises:
          TypeError: something else than instructions.
        """
        functions = []
        for name, given in zip(("setup", "predict", "learn"), (setup, predict, learn)):
            items = arguments.sequence(name, () if isinstance(given, Instruction) else given, "a list of instructions")
            if isinstance(given, Instruction):
                raise TypeError(f"{name}={arguments.shown(given)}: expected a list of instructions")
            for index, item in enumerate(items):
                arguments.instance(f"{name}[{index}]", item, Instruction)
            functions.append(items)
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
        """The instructions of "Setup", "Predict" or "Learn".

        Raises:
          ValueError: another function.
        """
        arguments.one_of("function", function, COMPONENT_FUNCTIONS)
        which = COMPONENT_FUNCTIONS.index(function)
        start = sum(self.lengths[:which])
        table, kinds = ops.table(), op_columns().kinds

        def operand(line: int, column: int) -> int:
            return int(self.code[line, column]) if kinds[column][self.code[line, OP]] != NO_KIND else 0

        return tuple(
            Instruction(
                table[self.code[i, OP]],
                operand(i, IN1),
                operand(i, IN2),
                operand(i, OUT),
                tuple(self.constants[i, : len(table[self.code[i, OP]].constants)].tolist()),
            )
            for i in range(start, start + self.lengths[which])
        )

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        """What notebooks show: the program as it is written."""
        return f"<pre>{html.escape(self.to_text())}</pre>"

    def __repr__(self) -> str:
        return f"Program.from_text({self.to_text()!r})"

    def check_arrays(self, name: str = "program") -> None:
        """Checks shapes, dtypes and lengths; `Population.validate` then checks the instructions.

        Args:
          name: what the message calls the program.

        Raises:
          ValueError: one of them is not as it should be.
        """
        _check_array(f"{name} code", self.code, np.int16, (None, 4))
        _check_array(f"{name} constants", self.constants, np.float64, (len(self.code), ops.MAX_CONSTANTS))
        _check_lines(f"{name} lengths", self.lengths)
        if sum(self.lengths) != len(self.code):
            raise ValueError(
                f"{name} lengths {self.lengths}: expected {len(self.code)} together, the lines of the code"
            )

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
          TypeError: something that is no sequence of programs.
          ValueError: a program is longer than the capacity, or its arrays are none of a program.
        """
        if isinstance(programs, Program) or not isinstance(programs, Iterable):
            given = "one Program" if isinstance(programs, Program) else repr(programs)
            raise TypeError(f"programs: expected a sequence of programs, as [program], got {given}")
        programs = list(programs)
        for index, program in enumerate(programs):
            if not isinstance(program, Program):
                raise TypeError(f"programs: expected Program at index {index}, got {program!r:.80}")
            program.check_arrays(f"program {index}")
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
          ValueError: more lines than a program may have, or a capacity that is none.
        """
        _check_lines("capacity", capacity)
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

    @overload
    def __getitem__(self, index: int) -> Program: ...

    @overload
    def __getitem__(self, index: slice) -> Population: ...

    def __getitem__(self, index: int | slice) -> Program | Population:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = arguments.integer("index", index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index}: expected {-len(self)} to {len(self) - 1}")
        index %= len(self)
        lines = self.occupied(self.lengths[index : index + 1])[0]
        lengths = tuple(self.lengths[index].tolist())
        return Program(self.code[index][lines], self.constants[index][lines], lengths)

    def __iter__(self) -> Iterator[Program]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: np.ndarray) -> Population:
        """The programs at some indices, copied."""
        return Population(self.code[indices], self.constants[indices], self.lengths[indices], self.capacity)

    def validate(self, memory: MemorySize) -> None:
        """Checks everything that code which runs or analyses programs relies on.

        Raises:
          ValueError: as `check_arrays` and `check_addresses`.
        """
        self.check_arrays()
        self.check_addresses(memory)

    def check_arrays(self) -> None:
        """Checks shapes, dtypes, lengths and capacity.

        Raises:
          ValueError: one of them is not as it should be; the message names it, and the program.
        """
        _check_lines("population capacity", self.capacity)
        _check_array("population code", self.code, np.int16, (None, sum(self.capacity), 4))
        size, lines = self.code.shape[:2]
        _check_array("population constants", self.constants, np.float64, (size, lines, ops.MAX_CONSTANTS))
        _check_array("population lengths", self.lengths, np.int64, (size, len(COMPONENT_FUNCTIONS)))
        wrong = (self.lengths < 0) | (self.lengths > self.capacity)
        if wrong.any():
            index = int(np.argwhere(wrong)[0, 0])
            raise ValueError(
                f"population lengths {tuple(self.lengths[index].tolist())} of program {index}: "
                f"expected 0 to the capacity, {self.capacity}"
            )

    def check_addresses(self, memory: MemorySize) -> None:
        """Checks that every instruction is known, stays within the memory and has indices that are some.

        Raises:
          ValueError: the first instruction that does not, with its program,
            component function, line and text.
        """
        columns = op_columns()
        num_ops = len(columns.draws)
        op = self.code[..., OP]
        unknown = op.view(np.uint16) >= num_ops  # or negative
        if unknown.any():
            index, line = np.argwhere(unknown)[0]
            raise ValueError(f"{self._place(index, line)}: op id {op[index, line]}: expected 0 to {num_ops - 1}")
        removed = columns.removed.take(op)
        if removed.any():
            index, line = np.argwhere(removed)[0]
            gone = ops.table()[op[index, line]]
            raise ValueError(f"{self._place(index, line)}: op id {gone.id}: {gone.name!r} was unregistered")
        lowest, count = _address_bounds(memory, *ops.version())
        # Below the lowest one, the unsigned difference is larger than any count.
        outside = (self.code[..., IN1:] - lowest.take(op, axis=0)).view(np.uint16) >= count.take(op, axis=0)
        if outside.any():
            index, line = np.argwhere(outside)[0, :2]
            raise ValueError(
                f"{self._place(index, line)}: {self._line(index, line)!r}: expected addresses within "
                f"{memory.scalars} scalars, {memory.vectors} vectors and {memory.matrices} matrices, "
                "and no write to s0 or v0"
            )
        indexed = np.nonzero(columns.num_indices.take(op))
        if len(indexed[0]):
            fractions = self.constants[indexed][:, :MAX_INDICES]
            used = np.arange(MAX_INDICES) < columns.num_indices[op[indexed]][:, None]
            wrong = used & ~((fractions >= 0) & (fractions < 1))  # NaN, too
            if wrong.any():
                row = np.argwhere(wrong)[0, 0]
                index, line = int(indexed[0][row]), int(indexed[1][row])
                raise ValueError(
                    f"{self._place(index, line)}: {self._line(index, line)!r}: expected indices as fractions in [0, 1)"
                )

    def _place(self, index: int, line: int) -> str:
        function = int(self.functions[line])
        return f"program {index}, {COMPONENT_FUNCTIONS[function]} line {line - self.starts[function] + 1}"

    def _line(self, index: int, line: int) -> str:
        return text.print_instruction(self.code[index, line], self.constants[index, line])


def _check_array(name: str, array: object, dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    """Checks a NumPy array's dtype and shape, in which None is any size."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"{name}: {type(array).__name__}: expected a NumPy array")
    if array.dtype != dtype:
        raise ValueError(f"{name}: dtype {array.dtype}: expected {np.dtype(dtype)}, as .astype({np.dtype(dtype)})")
    if array.ndim != len(shape) or any(want not in (None, size) for want, size in zip(shape, array.shape)):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: shape {array.shape}: expected ({expected})")


def _check_lines(name: str, lines: object) -> None:
    """Checks that there are three numbers of lines."""
    if (
        not isinstance(lines, Sequence)
        or len(lines) != len(COMPONENT_FUNCTIONS)
        or any(not isinstance(count, (int, np.integer)) or count < 0 for count in lines)
    ):
        raise ValueError(f"{name} {lines!r}: expected lines of Setup, Predict and Learn, integers from 0")


@functools.lru_cache(maxsize=8)
def _address_bounds(memory: MemorySize, num_ops: int, changes: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest address of in1, in2 and out of each op, int16 [ops, 3], and how many there are, uint16 [ops, 3]."""
    kinds = np.stack([op_columns().kinds[column] for column in (IN1, IN2, OUT)], axis=1)
    lowest = np.zeros_like(kinds)
    lowest[:, 2] = FIRST_OUTPUT[kinds[:, 2]]
    count = np.array([*memory, text.MAX_ADDRESS + 1])[kinds] - lowest
    return lowest.astype(np.int16), np.maximum(count, 0).astype(np.uint16)


# Indices that an op has at most; they are its first constants.
MAX_INDICES = 2

# Kinds as numbers, for lookups by array: scalar, vector, matrix, none.
NO_KIND = 3
FIRST_OUTPUT = np.array([1, 1, 0, 0])  # s0 and v0 are read-only (definitions.h)

# Addresses of label and prediction where they are vectors.
LABEL_VECTOR, PREDICTION_VECTOR = 1, 2


class OpColumns(NamedTuple):
    """The op table as arrays over op ids, for lookups by whole batches.

    Attributes:
      kinds: for IN1, IN2 and OUT the operand's kind, 0 to 2, or NO_KIND.
      num_constants: int64, constants of each op.
      num_indices: int64, how many of those are indices.
      draws: bool, random ops.
      removed: bool, ops that were unregistered.
    """

    kinds: dict[int, np.ndarray]
    num_constants: np.ndarray
    num_indices: np.ndarray
    draws: np.ndarray
    removed: np.ndarray


def op_columns() -> OpColumns:
    """The columns of the table as it is now."""
    return _op_columns(*ops.version())


@functools.lru_cache(maxsize=2)
def _op_columns(num_ops: int, changes: int) -> OpColumns:
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
        removed=np.array([op.removed for op in table]),
    )
