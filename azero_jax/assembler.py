"""From packed programs to linear code for the machine, in jitted code.

One program becomes: start, zero what is read first, Setup, load; Predict, reveal,
Learn, next; Predict again for the validation examples, accumulate; finish. Only
live instructions are emitted.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from azero_jax import draws, ops
from azero_jax.instructions import (
    FIRST_OP,
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
    Scratch,
    mark_live,
    register_set,
)
from azero_jax.packed import NUM_PROGRAMS, Line, Reader, at
from azero_jax.program import MemorySize
from azero_jax.superinstructions import first_pair, opcodes

_CONTROL_STEPS = 10


def most_instructions(lengths: np.ndarray, memory: MemorySize) -> int:
    """Instructions of the longest program, if all its lines are live.

    Args:
      lengths: int64 [P, 3], lines of each program.
      memory: the addresses there are.
    """
    lines = lengths[:, SETUP] + 2 * lengths[:, PREDICT] + lengths[:, LEARN]
    return int(lines.max(initial=0)) + sum(memory) + _CONTROL_STEPS


def assemble(reader: Reader, code: Array, layout: Layout, num_ops: int, seed: Array) -> Array:
    """Emits the code of all programs of a batch, and a halt behind it.

    Args:
      reader: of the batch.
      code: uint32, where it goes: WORD_SIZE numbers for each instruction, from the start.
      layout: where registers and results live in the machine's memory.
      num_ops: ops that the machine knows, which may be fewer than there are by now.
      seed: uint32 scalar, of the random ops.

    Returns:
      `code` with the programs in it; results of program i go to the i-th place.
    """
    fixed = FixedRegisters.of(layout.memory, layout.vector_labels)
    zeroed = {0, 1, *fixed}  # by START: s0, s1, v0, and v1 and v2 where they are label and prediction
    rows = jnp.asarray(np.concatenate([layout.rows(kind) for kind in ops.KINDS] + [[0]]).astype(np.uint32))
    zeroing = np.repeat([Control.ZERO_SCALAR, Control.ZERO_VECTOR, Control.ZERO_MATRIX], layout.memory)
    zero_steps = jnp.asarray(zeroing.astype(np.uint32))
    in_place, pairs = (jnp.asarray(codes.ravel()) for codes in opcodes(num_ops))

    def emit(code, place, *fields):
        words = [jnp.asarray(field, jnp.uint32) for field in fields]
        words += [jnp.uint32(0)] * (WORD_SIZE - len(words))
        return lax.dynamic_update_slice(code, jnp.stack(words), (place * np.uint32(WORD_SIZE),))

    def pair(scratch: Scratch, line: Line, index: Array) -> Array:
        """The opcode of a line together with the one at an index of `order`, or 0."""
        number = at(scratch.order, index)
        second = reader.line(number)
        marks = at(scratch.live, number).astype(jnp.uint32)
        fields = at(pairs, line.op * np.uint32(num_ops) + second.op)
        found = jnp.uint32(0)
        for place, (read, other, dies) in enumerate(
            ((second.in1, second.in2, IN1_DIES), (second.in2, second.in1, IN2_DIES))
        ):
            fits = (read == line.out) & (other != line.out) & (marks & np.uint32(dies) != 0)
            for rewrites in (False, True):
                index = fields >> np.uint32(8 * (place + 2 * rewrites)) & np.uint32(0xFF)
                usable = fits & (other == second.out) if rewrites else fits
                found = jnp.where(usable & (index != 0), index, found)
        return jnp.where(found != 0, found + np.uint32(first_pair(num_ops) - 1), np.uint32(0))

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
        code = emit(code, start, Control.START)
        code, body = zero(code, start + one)
        setup_end, predict_end, learn_end = liveness.ends
        num_predict = predict_end - setup_end
        load = body + setup_end
        train_check = load + one
        reveal = train_check + one + num_predict
        next_ = reveal + one + (learn_end - predict_end)
        valid_check = next_ + one
        accumulate = valid_check + one + num_predict

        def line(slot, code):
            """Emits Setup, Predict, Learn and Predict again, around the control steps."""
            again = slot >= learn_end
            index = jnp.where(again, slot - learn_end + setup_end, slot)
            past = lambda end: (slot >= end).astype(jnp.uint32)
            place = body + slot + 2 * past(setup_end) + past(predict_end) + 2 * past(learn_end)
            function = past(setup_end) + jnp.where(again, np.uint32(0), past(predict_end))
            first = jnp.where(function == SETUP, np.uint32(0), jnp.where(function == PREDICT, setup_end, predict_end))
            line = reader.line(at(order, index))
            is_last = index + one == at(liveness.ends, function)
            opcode = np.uint32(FIRST_OP) + line.op
            for special in (
                jnp.where(line.in1 == line.out, at(in_place, line.op), np.uint32(0)),
                jnp.where(is_last, np.uint32(0), pair(liveness.scratch, line, index + one)),
            ):
                opcode = jnp.where(special != 0, special, opcode)
            return emit(
                code, place, opcode, *_operands(reader, order, line, function, first, index, rows, layout, seed)
            )

        code = lax.fori_loop(jnp.uint32(0), learn_end + num_predict, line, code)
        epoch = accumulate + one
        finish = epoch + one
        targets = {
            ExampleKind.TRAIN: train_check + one,
            ExampleKind.TRAIN_AFTER_CHECK: train_check,
            ExampleKind.VALID: valid_check + one,
            ExampleKind.VALID_AFTER_CHECK: valid_check,
            ExampleKind.EPOCH_END: epoch,
            ExampleKind.END: finish,
        }
        for step, place in ((Control.LOAD, load), (Control.NEXT, next_), (Control.ACCUMULATE, accumulate)):
            code = emit(code, place, step, *(targets[kind] - (place + one) for kind in ExampleKind))
        code = emit(code, train_check, Control.CHECK, finish - (train_check + one))
        code = emit(code, valid_check, Control.CHECK, finish - (valid_check + one))
        code = emit(code, reveal, Control.REVEAL)
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

    def count_same(place, occurrence):
        earlier = reader.line(at(order, place))
        return occurrence + ((earlier.op == line.op) & (earlier.out == line.out)).astype(jnp.uint32)

    start = jnp.where(line.draws, first, index).astype(jnp.uint32)
    occurrence = lax.fori_loop(start, index, count_same, jnp.uint32(0))
    numbers = layout.register_numbers
    register = at(jnp.asarray(np.array(numbers, np.uint32)), line.out) if numbers else line.out
    key = draws.instruction_key(seed, function, line.op, register, occurrence)
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
