"""From packed programs to linear code for the machine, in jitted code.

One program becomes: start, zero what is read first, Setup, load; Predict, reveal,
Learn, next; Predict again for the validation examples, accumulate; finish. Only
live instructions are emitted. Of a program that settles at the third training example
all from Predict to next is there three times, and the last reveal is that of all
examples which remain; so it is with validation.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import draws, ops
from azero_jax.instructions import (
    HALTED,
    RESULT_ROWS,
    WORD_SIZE,
    Control,
    ExampleKind,
    Layout,
    element_index,
)
from azero_jax.liveness import (
    IN1_DIES,
    IN2_DIES,
    LEARN,
    PREDICT,
    SETUP,
    FixedRegisters,
    Liveness,
    Scratch,
    mark_live,
    occurrence,
    register_set,
)
from azero_jax.packed import NUM_PROGRAMS, Line, Reader, at
from azero_jax.program import MemorySize
from azero_jax.settling import first_settled
from azero_jax.superinstructions import InstructionSet

_CONTROL_STEPS = 10
_STEPS_OF_TRAINING = 3  # check, reveal, next
_STEPS_OF_VALIDATION = 2  # check, accumulate

# A program must settle by these examples, and its copies of the loop fit in some more instructions.
_LATEST_TRAIN, _LATEST_VALID = 3, 2
_ROOM_FOR_COPIES = 10


def most_instructions(lengths: np.ndarray, memory: MemorySize) -> int:
    """Instructions of the longest program, if all its lines are live, or of one that settles.

    Args:
      lengths: int64 [P, 3], lines of each program.
      memory: the addresses there are.
    """
    return int(_room(lengths.T, memory).max(initial=0))


def _room(lines: Iterable[Any], memory: MemorySize) -> Any:
    """Instructions that there is room for, of programs with so many lines of Setup, Predict and Learn."""
    setup, predict, learn = lines
    return setup + predict + learn + predict + np.uint32(sum(memory) + _CONTROL_STEPS + _ROOM_FOR_COPIES)


def assemble(
    reader: Reader, code: Array, layout: Layout, instruction_set: InstructionSet, seed: Array, normalised: bool
) -> Array:
    """Emits the code of all programs of a batch, and a halt behind it.

    Args:
      reader: of the batch.
      code: uint32, where it goes: WORD_SIZE numbers for each instruction, from the start.
      layout: where registers and results live in the machine's memory.
      instruction_set: of the machine; the programs hold no other ops.
      seed: uint32 scalar, of the random ops.
      normalised: whether predictions become probabilities before Learn.

    Returns:
      `code` with the programs in it; results of program i go to the i-th place.
    """
    fixed = FixedRegisters.of(layout.memory, layout.vector_labels)
    zeroed = {0, 1, *fixed}  # by START: s0, s1, v0, and v1 and v2 where they are label and prediction
    rows = jnp.asarray(np.concatenate([layout.rows(kind) for kind in ops.KINDS] + [[0]]).astype(np.uint32))
    zeroing = np.repeat([Control.ZERO_SCALAR, Control.ZERO_VECTOR, Control.ZERO_MATRIX], layout.memory)
    zero_steps = jnp.asarray(zeroing.astype(np.uint32))
    single, in_place, pairs = (jnp.asarray(codes.ravel()) for codes in instruction_set.opcodes())
    num_ops = np.uint32(len(instruction_set.op_table))

    def emit(code, place, *fields):
        words = [jnp.asarray(field, jnp.uint32) for field in fields]
        words += [jnp.uint32(0)] * (WORD_SIZE - len(words))
        return lax.dynamic_update_slice(code, jnp.stack(words), (place * np.uint32(WORD_SIZE),))

    def pair(scratch: Scratch, line: Line, index: Array) -> Array:
        """The opcode of a line together with the one at an index of `order`, or 0."""
        number = at(scratch.order, index)
        second = reader.line(number)
        marks = at(scratch.live, number).astype(jnp.uint32)
        fields = at(pairs, line.op * num_ops + second.op)
        found = jnp.uint32(0)
        for place, (read, other, dies) in enumerate(
            ((second.in1, second.in2, IN1_DIES), (second.in2, second.in1, IN2_DIES))
        ):
            fits = (read == line.out) & (other != line.out) & (marks & np.uint32(dies) != 0)
            for rewrites in (False, True):
                index = fields >> np.uint32(8 * (place + 2 * rewrites)) & np.uint32(0xFF)
                usable = fits & (other == second.out) if rewrites else fits
                found = jnp.where(usable & (index != 0), index, found)
        return jnp.where(found != 0, found + np.uint32(instruction_set.first_pair - 1), np.uint32(0))

    def settled(liveness: Liveness) -> tuple[Array, Array]:
        """At which training, and at which validation example a program settles."""
        if layout.vector_labels or layout.recorded:
            return jnp.uint32(0), jnp.uint32(0)
        setup_end, predict_end, learn_end = liveness.ends
        find = functools.partial(first_settled, reader, liveness.scratch.order, learn=predict_end, fixed=fixed)
        return (
            find((setup_end, learn_end), normalised=normalised, most=_LATEST_TRAIN),
            find((setup_end, predict_end), normalised=False, most=_LATEST_VALID),
        )

    def visit(program, carry):
        code, scratch, start = carry
        liveness = mark_live(reader, program, scratch, fixed)
        order = liveness.scratch.order
        read_first = liveness.read_first
        for register in zeroed:
            read_first &= ~register_set(register, reader.set_words)

        def zero(code, place):
            """Emits the steps that zero what is read first, from a place on."""

            def some(word, carry):
                def one(carry):
                    left, code, place = carry
                    lowest = left & (~left + np.uint32(1))
                    register = word * np.uint32(32) + np.uint32(31) - lax.clz(lowest)
                    code = emit(code, place, at(zero_steps, register), 0, 0, at(rows, register))
                    return left ^ lowest, code, place + np.uint32(1)

                return lax.while_loop(lambda carry: carry[0] != 0, one, (at(read_first, word), *carry))[1:]

            return lax.fori_loop(jnp.uint32(0), jnp.uint32(reader.set_words), some, (code, place))

        one = np.uint32(1)
        code, body = zero(code, start + one)
        setup_end, predict_end, learn_end = liveness.ends
        num_predict, num_both = predict_end - setup_end, learn_end - setup_end
        train_settled, valid_settled = settled(liveness)
        load = body + setup_end
        code = emit(code, start, Control.START, load - (start + one))
        train_size = num_both + np.uint32(_STEPS_OF_TRAINING)
        valid_size = num_predict + np.uint32(_STEPS_OF_VALIDATION)
        first_train = load + one

        def epoch_behind(train_settled, valid_settled):
            """Where the epoch ends, behind so many copies."""
            copies = jnp.maximum(train_settled, one) * train_size + jnp.maximum(valid_settled, one) * valid_size
            return first_train + copies

        lines = [reader.span(program, function)[1] for function in range(3)]
        fits = epoch_behind(train_settled, valid_settled) + one < start + _room(lines, layout.memory)
        train_settled, valid_settled = (
            jnp.where(fits, number, np.uint32(0)) for number in (train_settled, valid_settled)
        )
        epoch = epoch_behind(train_settled, valid_settled)
        finish = epoch + one
        train_copies, valid_copies = jnp.maximum(train_settled, one), jnp.maximum(valid_settled, one)
        first_valid = first_train + train_copies * train_size

        def line(slot, code):
            """Emits Setup, copies of Predict and Learn, and copies of Predict, around the control steps."""
            in_setup = slot < setup_end
            in_loop = slot - setup_end
            in_train = in_loop < train_copies * num_both
            in_valid = in_loop - train_copies * num_both
            train_copy = sum((in_loop >= np.uint32(k) * num_both).astype(jnp.uint32) for k in range(1, _LATEST_TRAIN))
            valid_copy = sum(
                (in_valid >= np.uint32(k) * num_predict).astype(jnp.uint32) for k in range(1, _LATEST_VALID)
            )
            index = jnp.where(in_train, in_loop - train_copy * num_both, in_valid - valid_copy * num_predict)
            in_learn = in_train & (index >= num_predict)
            copy = jnp.where(in_train, first_train + train_copy * train_size, first_valid + valid_copy * valid_size)
            # Behind the check, and in Learn behind the reveal, too.
            place = jnp.where(in_setup, body + slot, copy + one + index + in_learn.astype(jnp.uint32))
            index = jnp.where(in_setup, slot, index + setup_end)
            function = jnp.where(in_setup, np.uint32(SETUP), jnp.where(in_learn, np.uint32(LEARN), np.uint32(PREDICT)))
            first = jnp.where(function == SETUP, np.uint32(0), jnp.where(function == PREDICT, setup_end, predict_end))
            line = reader.line(at(order, index))
            is_last = index + one == at(liveness.ends, function)
            opcode = at(single, line.op)
            if not layout.recorded:  # every result is to be seen in memory afterwards
                for special in (
                    jnp.where(line.in1 == line.out, at(in_place, line.op), np.uint32(0)),
                    jnp.where(is_last, np.uint32(0), pair(liveness.scratch, line, index + one)),
                ):
                    opcode = jnp.where(special != 0, special, opcode)
            return emit(
                code, place, opcode, *_operands(reader, order, line, function, first, index, rows, layout, seed)
            )

        num_lines = setup_end + train_copies * num_both + valid_copies * num_predict
        code = lax.fori_loop(jnp.uint32(0), num_lines, line, code)

        def jumps(place, train_copy, valid_copy):
            """The table of a step at a place: where the next example of each kind runs."""
            train, valid = first_train + train_copy * train_size, first_valid + valid_copy * valid_size
            targets = {
                ExampleKind.TRAIN: train + one,
                ExampleKind.TRAIN_AFTER_CHECK: train + (train_settled != 0).astype(jnp.uint32),
                ExampleKind.VALID: valid + one,
                ExampleKind.VALID_AFTER_CHECK: valid,
                ExampleKind.EPOCH_END: epoch,
                ExampleKind.END: finish,
            }
            return [targets[kind] - (place + one) for kind in ExampleKind]

        def next_copy(copy, copies):
            return jnp.where(copy + one < copies, copy + one, np.uint32(0))

        def control_training(copy, code):
            check = first_train + copy * train_size
            reveal, next_ = check + one + num_predict, check + train_size - one
            rest = (train_settled != 0) & (copy + one == train_copies)
            code = emit(code, check, Control.CHECK, finish - (check + one))
            code = emit(code, reveal, jnp.where(rest, np.uint32(Control.REVEAL_REST), np.uint32(Control.REVEAL)))
            return emit(code, next_, Control.NEXT, *jumps(next_, next_copy(copy, train_copies), np.uint32(0)))

        def control_validation(copy, code):
            check = first_valid + copy * valid_size
            place = check + valid_size - one
            rest = (valid_settled != 0) & (copy + one == valid_copies)
            step = jnp.where(rest, np.uint32(Control.ACCUMULATE_REST), np.uint32(Control.ACCUMULATE))
            code = emit(code, check, Control.CHECK, finish - (check + one))
            return emit(code, place, step, *jumps(place, np.uint32(0), next_copy(copy, valid_copies)))

        code = emit(code, load, Control.LOAD, *jumps(load, np.uint32(0), np.uint32(0)))
        code = lax.fori_loop(jnp.uint32(0), train_copies, control_training, code)
        code = lax.fori_loop(jnp.uint32(0), valid_copies, control_validation, code)
        code = emit(code, epoch, Control.EPOCH, load - (epoch + one))
        result = np.uint32(layout.first_result) + np.uint32(RESULT_ROWS) * program
        code = emit(code, finish, Control.FINISH, 0, 0, result)
        return code, liveness.scratch, finish + one

    carry = code, Scratch.of(reader.layout), jnp.uint32(0)
    code, _, end = lax.fori_loop(jnp.uint32(0), reader.word(NUM_PROGRAMS), visit, carry)
    return emit(code, end, Control.HALT, HALTED - (end + np.uint32(1)))


def _operands(
    reader: Reader,
    order: Array,
    line: Line,
    function: Array,
    first: Array,
    index: Array,
    rows: Array,
    layout: Layout,
    seed: Array,
) -> tuple[Array, ...]:
    """The words behind the opcode of the live line at an index of `order`; those of its function begin at `first`."""
    number = at(order, index)
    constants = [reader.constant(number, index) for index in range(ops.MAX_CONSTANTS)]
    # v[x] = y and m[x, y] = z: indices become the row to write.
    row, column = (element_index(_number(constant), layout.features_size) for constant in constants[:2])
    two_indices = line.num_constants == 3
    element = jnp.where(two_indices, row * np.uint32(layout.features_size) + column, row)
    out = at(rows, line.out) + jnp.where(line.sets_one_element, element, np.uint32(0))
    payload = jnp.where(line.sets_one_element, constants[1], constants[0])
    payload = jnp.where(two_indices, constants[2], payload)

    address = at(jnp.asarray(layout.written_addresses), line.out)
    key = draws.instruction_key(seed, function, line.op, address, occurrence(reader, order, line, first, index))
    return (
        jnp.where(line.draws, key, at(rows, line.in1)),
        at(rows, line.in2),
        out,
        *payload,
        *constants[1],
    )


def _number(constant: Array) -> Array:
    """The float that the words of a constant hold."""
    if constant.shape[0] == 1:
        return lax.bitcast_convert_type(constant[0], jnp.float32)
    return lax.bitcast_convert_type(constant, jnp.float64)
