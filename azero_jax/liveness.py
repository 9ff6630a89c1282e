"""Which instructions matter: liveness, and programs without their dead instructions.

An instruction is live if what it writes can reach s1 at the end of some Predict,
followed to a fixpoint over the train loop. That is exact: removing the others
changes no prediction and no random draw (supplement S6 of the paper does it by
hand, after the search). The analysis is jitted code that visits one program after
the other, so that assembling and keys can follow on the same core without Python.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import ops, xla_flags
from azero_jax.addresses import smallest_memory
from azero_jax.execution import available_cores, on_cpu, precision, run_jobs
from azero_jax.packed import (
    MAX_PROGRAMS,
    NUM_LINES,
    NUM_PROGRAMS,
    NUM_REGISTERS,
    Line,
    PackedLayout,
    Reader,
    at,
    op_table_words,
    pack,
    put,
)
from azero_jax.program import LABEL_VECTOR, PREDICTION_VECTOR, MemorySize, Population, Program
from azero_jax.text import COMPONENT_FUNCTIONS, MAX_ADDRESS

SETUP, PREDICT, LEARN = 0, 1, 2

# Marks of a line.
LIVE, IN1_DIES, IN2_DIES = 1, 2, 4


class FixedRegisters(NamedTuple):
    """The registers through which programs and tasks meet, numbered through all kinds.

    Attributes:
      label: of s0, or v1 where labels are vectors; the machine sets it before Predict
        and before Learn.
      prediction: of s1, or v2.
      features: of v0, set as the label is.
    """

    label: Array | int
    prediction: Array | int
    features: Array | int

    @classmethod
    def of(cls, memory: MemorySize, vector_labels: bool) -> FixedRegisters:
        """Those of a memory."""
        first_vector = memory.scalars
        if vector_labels:
            return cls(first_vector + LABEL_VECTOR, first_vector + PREDICTION_VECTOR, first_vector)
        return cls(0, 1, first_vector)

    def as_words(self) -> np.ndarray:
        """For jitted code: uint32 [3]."""
        return np.array(self, np.uint32)


class Scratch(NamedTuple):
    """Memory that the analysis of one program leaves to that of the next.

    Attributes:
      live: uint8 [lines], LIVE where a line's result can reach a prediction, with IN1_DIES
        and IN2_DIES where nothing reads that operand after this line.
      order: uint32 [lines], the numbers of one program's live lines.
    """

    live: Array
    order: Array

    @classmethod
    def of(cls, layout: PackedLayout) -> Scratch:
        """Enough for every program of a batch."""
        return cls(jnp.zeros(layout.lines, jnp.uint8), jnp.zeros(layout.lines, jnp.uint32))


class Liveness(NamedTuple):
    """What one program really does.

    Attributes:
      scratch: `scratch.order` begins with the program's live lines.
      ends: where those of Setup, Predict and Learn end there, uint32 [3].
      read_first: uint32 [words], a set of the registers that live code reads before it
        has written them, and that therefore must start at zero.
    """

    scratch: Scratch
    ends: Array
    read_first: Array

    @property
    def num_live(self) -> Array:
        """Live lines of the program."""
        return self.ends[LEARN]

    def lines(self, function: int) -> tuple[Array, Array]:
        """First and last + 1 of a component function's lines in `scratch.order`."""
        return (self.ends[function - 1] if function else jnp.uint32(0)), self.ends[function]


def register_set(register: Array | int, words: int) -> Array:
    """The set of one register, as bits of uint32 [words]."""
    register = jnp.asarray(register, jnp.uint32)
    bit = np.uint32(1) << (register & np.uint32(31))
    return jnp.where(np.arange(words, dtype=np.uint32) == register >> np.uint32(5), bit, np.uint32(0))


def mark_live(reader: Reader, program: Array, scratch: Scratch, fixed: FixedRegisters) -> Liveness:
    """Finds what is live in one program, in jitted code.

    Args:
      reader: of the batch.
      program: uint32 scalar, which program.
      scratch: memory to use.
      fixed: label, prediction and features.
    """
    words = reader.set_words
    real = ~register_set(reader.word(NUM_REGISTERS), words)  # without "no operand"

    given = ~(register_set(fixed.label, words) | register_set(fixed.features, words))

    def back_over(number: Array, needed: Array, live: Array) -> tuple[Array, Array]:
        """Needs before a line, from those after it."""
        line = reader.line(number)
        out = register_set(line.out, words)
        matters = jnp.any(needed & out != 0)
        kept = jnp.where(line.sets_one_element, needed, needed & ~out)
        in1, in2 = register_set(line.in1, words), register_set(line.in2, words)
        marks = jnp.uint32(LIVE)
        for register, dies in ((in1, IN1_DIES), (in2, IN2_DIES)):
            marks |= jnp.where(jnp.any(kept & register != 0), np.uint32(0), np.uint32(dies))
        marks = jnp.where(matters, marks, np.uint32(0))
        return jnp.where(matters, kept | ((in1 | in2) & real), needed), put(live, number, marks)

    predict_start, predict_count = reader.span(program, PREDICT)
    learn_start, learn_count = reader.span(program, LEARN)
    one = np.uint32(1)

    def around(carry):
        """Once through Learn and Predict, backward, in one loop: nested ones compile to more and slower code."""
        carried, _, live = carry

        def after_predict(needed):
            return (needed & given) | carried | register_set(fixed.prediction, words)

        def visit(index, carry):
            needed, live = carry
            needed = jnp.where(index == learn_count, after_predict(needed), needed)
            back = jnp.where(
                index < learn_count, learn_start + learn_count, predict_start + predict_count + learn_count
            )
            return back_over(back - index - one, needed, live)

        needed, live = lax.fori_loop(jnp.uint32(0), learn_count + predict_count, visit, (carried, live))
        needed = jnp.where(predict_count == 0, after_predict(needed), needed) & given
        return needed, jnp.any(needed != carried), live

    start = jnp.zeros(words, jnp.uint32), jnp.bool_(True), scratch.live
    carried, _, live = lax.while_loop(lambda carry: carry[1], around, start)
    setup_start, setup_count = reader.span(program, SETUP)
    setup_end = setup_start + setup_count

    def visit_setup(index, carry):
        return back_over(setup_end - index - one, *carry)

    read_first, live = lax.fori_loop(jnp.uint32(0), setup_count, visit_setup, (carried, live))

    def collect(index, carry):
        order, place, setup_end, predict_end = carry
        number = setup_start + index
        order = put(order, place, number)
        place += (at(live, number) != 0).astype(jnp.uint32)
        return (
            order,
            place,
            jnp.where(number < predict_start, place, setup_end),
            jnp.where(number < learn_start, place, predict_end),
        )

    zero = jnp.uint32(0)
    carry = lax.fori_loop(zero, reader.word(NUM_LINES), collect, (scratch.order, zero, zero, zero))
    order, place, setup_end, predict_end = carry
    ends = jnp.stack([setup_end, predict_end, place])
    return Liveness(Scratch(live, order), ends, read_first)


def occurrence(reader: Reader, order: Array, line: Line, first: Array, index: Array) -> Array:
    """How many live lines before a random one have its op and output, in its component function.

    Args:
      reader: of the batch.
      order: uint32, the numbers of the program's live lines.
      line: the one at `index` of `order`.
      first: where its component function begins there.
      index: where it is itself.

    Returns:
      uint32 scalar; 0 of lines that draw nothing.
    """

    def count(place, found):
        earlier = reader.line(at(order, place))
        return found + ((earlier.op == line.op) & (earlier.out == line.out)).astype(jnp.uint32)

    start = jnp.where(line.draws, first, index).astype(jnp.uint32)
    return lax.fori_loop(start, index, count, jnp.uint32(0))


@functools.lru_cache(maxsize=32)
def _finder(layout: PackedLayout):
    """The jitted function from packed programs, op table and fixed registers to marks."""

    def find(words, table, fixed):
        reader = Reader(layout, words, table)

        def visit(program, scratch):
            return mark_live(reader, program, scratch, FixedRegisters(*fixed)).scratch

        return lax.fori_loop(jnp.uint32(0), words[NUM_PROGRAMS], visit, Scratch.of(layout)).live

    return xla_flags.jit(find)


def find_live(population: Population, memory: MemorySize, vector_labels: bool = False) -> np.ndarray:
    """Finds the live instructions of every program.

    Args:
      population: P programs of L lines.
      memory: the addresses there are.
      vector_labels: whether labels and predictions are v1 and v2.

    Returns:
      bool [P, L].

    Raises:
      ValueError: programs that are none, or do not fit the memory.
    """
    memory = _memory_with_prediction(memory, vector_labels)
    population.validate(memory)
    return find_live_in_valid(population, memory, vector_labels)


def _memory_with_prediction(memory: MemorySize, vector_labels: bool) -> MemorySize:
    """A memory, if labels and predictions have a place in it."""
    memory = MemorySize.checked(memory)
    if vector_labels and memory.vectors <= PREDICTION_VECTOR:
        raise ValueError(
            f"memory vectors={memory.vectors}: expected at least {PREDICTION_VECTOR + 1} for vector_labels: "
            "features, label and prediction"
        )
    return memory


def find_live_in_valid(population: Population, memory: MemorySize, vector_labels: bool) -> np.ndarray:
    """As `find_live`, of programs that were checked."""
    num_lines = population.code.shape[1]
    layout = PackedLayout.fitting(num_lines, 0, memory)
    fixed = FixedRegisters.of(memory, vector_labels).as_words()
    finder = _finder(layout)
    table = op_table_words(memory)
    live = np.zeros(population.code.shape[:2], bool)

    def run(programs: slice) -> None:
        with precision("float32"), on_cpu():
            marks = np.asarray(finder(pack(population, programs, memory, layout), table, fixed))
        count = programs.stop - programs.start
        live[programs] = marks[: count * num_lines].reshape(count, num_lines) != 0

    run_jobs(run, layout.batches(population, MAX_PROGRAMS), available_cores())
    return live & population.occupied()


def simplify(program: Program, memory: MemorySize | None = None, vector_labels: bool | None = None) -> Program:
    """The same function without its dead instructions.

    Fitness is unchanged to the last bit, random ops included.

    Args:
      program: any program.
      memory: its memory; by default as many addresses as it uses.
      vector_labels: whether labels and predictions are v1 and v2, as for several classes, or
        s0 and s1. By default the program decides: if it may be one for several classes (Predict
        writes v2, and not s1; or Learn reads v1, which nothing writes), all stays that matters
        in either reading.

    Raises:
      TypeError: no program.
      ValueError: a program whose arrays are none, or that does not fit the memory.
    """
    if not isinstance(program, Program):
        hint = ": use Program.from_text(text)" if isinstance(program, str) else ""
        raise TypeError(f"program: expected a Program, got {program!r:.80}{hint}")
    if vector_labels is not None and not isinstance(vector_labels, (bool, np.bool_)):
        raise TypeError(f"vector_labels={vector_labels!r}: expected True, False or None")
    population = Population.from_programs([program])
    if memory is None:
        population.validate(_LARGEST_MEMORY)

    def live_lines(reading: bool) -> np.ndarray:
        size = smallest_memory(population, reading) if memory is None else memory
        return find_live(population, size, reading)[0]

    live = live_lines(bool(vector_labels))
    if vector_labels is None and _predicts_a_vector(program):
        needed = live_lines(True)
        if not _writes(program, "Predict", "s1") or _sees_labels_in_v1(population, needed):
            live |= needed
    functions = population.functions[live]
    lengths = tuple(int((functions == function).sum()) for function in range(3))
    return Program(population.code[0][live], population.constants[0][live], lengths)  # type: ignore[arg-type]


_LARGEST_MEMORY = MemorySize(*[MAX_ADDRESS] * len(ops.KINDS))


def _writes(program: Program, function: str, register: str) -> bool:
    """Whether a component function writes a register, such as "s1"."""
    return any(f"{line.op.output}{line.out}" == register for line in program.instructions(function))


def _predicts_a_vector(program: Program) -> bool:
    return _writes(program, "Predict", f"v{PREDICTION_VECTOR}")


def _sees_labels_in_v1(population: Population, needed: np.ndarray) -> bool:
    """Whether Learn reads v1, on a line that is needed if v2 is the prediction, and nothing writes it."""
    (program,) = population
    label = f"v{LABEL_VECTOR}"
    (learn_lines,) = np.nonzero(needed[population.functions == LEARN])
    learn = program.instructions("Learn")
    reads = any(
        f"{kind}{address}" == label
        for line in learn_lines
        for kind, address in zip(learn[line].op.inputs, (learn[line].in1, learn[line].in2))
    )
    return reads and not any(_writes(program, function, label) for function in COMPONENT_FUNCTIONS)
