"""The control steps of the machine: load an example, reveal its label, accumulate an error, and so on.

Every value that is stored is computed from the memory as it is then, which is why
errors are found anew after each store: with values of an older memory, XLA copies all
of it. Rows that one step changes are stored one after the other, and no value is a
choice of what stands there already, which would be a masked store.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax

from azero_jax import fingerprints, lane_forms
from azero_jax.instructions import (
    EXAMPLE_HEADER,
    JUMP_TABLE,
    LABEL_VECTOR,
    PREDICTION_VECTOR,
    SCHEDULE_SHIFT,
    WORD_SIZE,
    Control,
)
from azero_jax.machine_step import MachineConfig, State, Step, bits_of, nothing, read_rows
from azero_jax.packed import at


def control_branches(config: MachineConfig) -> list[Callable[[Step], State]]:
    """The branches of all control steps, in the order of `Control`."""
    layout, lanes = config.layout, config.lanes
    dtype = np.dtype(config.dtype)
    size, classes = layout.features_size, config.num_classes
    example_rows = np.uint32(EXAMPLE_HEADER + size)
    accuracy, multiclass = config.loss == "accuracy", config.loss == "multiclass_accuracy"

    def row_of(step, row):
        return step.memory.scalars_and_matrices[row : row + 1]

    def entry_at(step, position):
        """First row and kind of the example at a position of the schedule."""
        entry = at(step.operands.words, position + np.uint32(config.words.first_position))
        return (entry >> SCHEDULE_SHIFT) * example_rows, entry & np.uint32((1 << SCHEDULE_SHIFT) - 1)

    def current_label(step):
        return read_rows(step.operands.examples, entry_at(step, step.position)[0], 1)

    def shown(step, ahead):
        """The label hidden and the features of the example so many positions ahead, and the jump of its kind."""
        first_row, kind = entry_at(step, step.position + np.uint32(ahead))
        features = read_rows(step.operands.examples, first_row + np.uint32(EXAMPLE_HEADER), size)
        field = step.program_counter * np.uint32(WORD_SIZE) + np.uint32(JUMP_TABLE) + kind
        step = step.stored(features, 0, "v")
        if multiclass:
            step = step.stored(jnp.zeros((size, lanes), dtype), LABEL_VECTOR * size, "v")
        else:
            step = step.stored(jnp.zeros((1, lanes), dtype), layout.LABEL)
        return step, at(step.operands.words, field)

    def next_position(step):
        bits = bits_of(row_of(step, layout.POSITION)[:, :1])
        return lax.bitcast_convert_type(bits + bits.dtype.type(1), dtype)

    def load(step):
        step, jump = shown(step, 0)
        return step.go(jump)

    def sigmoid(x):
        return 1 / (1 + jnp.exp(-x))

    def with_example(step, predictions, errors):
        """Stores the fingerprint after an example, of tasks that have not failed; [rows, D] each."""
        fingerprint = row_of(step, layout.FINGERPRINT)
        after = bits_of(fingerprint)
        for row in range(predictions.shape[0]):
            value = fingerprints.hashed_value(config.fingerprint, predictions[row][None], errors[row][None])
            after = fingerprints.mixed(after, value)
        alive = row_of(step, layout.STEPS) >= 0
        value = jnp.where(alive, lax.bitcast_convert_type(after, dtype), fingerprint)
        return step.stored(value, layout.FINGERPRINT)

    def start(step):
        rows = lax.broadcasted_iota(jnp.int32, (layout.FIRST_FREE, lanes), 0)
        vectors = PREDICTION_VECTOR + 1 if multiclass else 1
        step = step.stored(jnp.zeros((vectors * size, lanes), dtype), 0, "v")
        return step.write(jnp.where(rows == layout.BEST, dtype.type(np.inf), dtype.type(0)), 0)

    def zero(kind):
        if not layout.memory.of(kind):
            return nothing
        return lambda step: step.write(jnp.zeros((layout.size(kind), lanes), dtype), kind=kind)

    def check(step):
        some_alive = jnp.max(row_of(step, layout.STEPS)) >= 0
        return step.go(jnp.where(some_alive, np.uint32(0), step.word[JUMP_TABLE]))

    def one_hot(label):
        return (lax.broadcasted_iota(jnp.int32, (size, lanes), 0).astype(dtype) == label).astype(dtype)

    def predicted_classes(step):
        return step.memory.vectors[PREDICTION_VECTOR * size : PREDICTION_VECTOR * size + classes]

    def class_errors(step):
        return jnp.abs(one_hot(current_label(step))[:classes] - predicted_classes(step))

    def reveal_class(step):
        probabilities = lane_forms.softmax(predicted_classes(step))
        rest = jnp.zeros((size - classes, lanes), dtype)
        step = step.stored(jnp.concatenate([probabilities, rest]), PREDICTION_VECTOR * size, "v")
        if config.fingerprint:
            step = with_example(step, predicted_classes(step), class_errors(step))
        step = counted(step, lane_forms.maximum(class_errors(step)))
        return step.write(one_hot(current_label(step)), LABEL_VECTOR * size, kind="v")

    def is_wrong(step):
        """1 where the class predicted is another one, [1, D]: the first of the largest, and none that is no number."""
        label, scores = current_label(step), predicted_classes(step)
        row = lax.broadcasted_iota(jnp.int32, scores.shape, 0).astype(dtype)
        own = lane_forms.maximum(jnp.where(row == label, scores, -np.inf))
        beaten = (scores < own) | (scores == own) & (row >= label)
        return lane_forms.maximum(1 - beaten.astype(dtype))

    def accumulate_class(step):
        if config.fingerprint:
            errors = jnp.broadcast_to(is_wrong(step), (classes, lanes))
            step = with_example(step, predicted_classes(step), errors)
        step = step.stored(row_of(step, layout.LOSS) + is_wrong(step), layout.LOSS)
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def counted(step, error):
        """Counts an example of tasks that have not failed, and fails those with a large error."""
        steps = row_of(step, layout.STEPS)
        alive = steps >= 0
        seen = steps + alive.astype(dtype)
        # Not `error > max_abs_error`: NaN fails, too.
        new_steps = jnp.where(alive & ~(error <= config.max_abs_error), -seen, seen)
        return step.stored(new_steps, layout.STEPS)

    def shown_error(step):
        return jnp.abs(row_of(step, layout.LABEL) - row_of(step, layout.PREDICTION))

    def reveal(step):
        if accuracy:
            step = step.stored(sigmoid(row_of(step, layout.PREDICTION)), layout.PREDICTION)
        step = step.stored(current_label(step), layout.LABEL)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), shown_error(step))
        return counted(step, shown_error(step)).go()

    def next_example(step):
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def hidden_error(step):
        label, prediction = current_label(step), row_of(step, layout.PREDICTION)
        if accuracy:
            return ((sigmoid(prediction) > 0.5) != (label > 0.5)).astype(dtype)
        return jnp.abs(label - prediction)

    def accumulate(step):
        step, jump = shown(step, 1)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), hidden_error(step))
        error, steps = hidden_error(step), row_of(step, layout.STEPS)
        if accuracy:
            rows = [row_of(step, layout.LOSS) + error, steps]
        else:
            failed = (steps >= 0) & ~(error <= config.max_abs_error)
            rows = [row_of(step, layout.LOSS) + error * error, jnp.where(failed, -steps, steps)]
        first = lax.broadcasted_iota(jnp.int32, (2, lanes), 0) == 0
        step = step.stored(jnp.where(first, rows[0], rows[1]), layout.LOSS)
        return step.write(next_position(step), layout.POSITION, jump)

    def epoch(step):
        loss = row_of(step, layout.LOSS)
        best = row_of(step, layout.BEST)
        better = (row_of(step, layout.STEPS) >= 0) & (loss < best)
        step = step.stored(jnp.concatenate([jnp.where(better, loss, best), jnp.zeros_like(loss)]), layout.BEST)
        return step.write(next_position(step), layout.POSITION, step.word[JUMP_TABLE])

    def finish(step):
        rows = [
            row_of(step, layout.BEST),
            jnp.abs(row_of(step, layout.STEPS)),
            row_of(step, layout.FINGERPRINT),
        ]
        return step.write(jnp.concatenate(rows))

    def halt(step):
        return step.go(step.word[JUMP_TABLE])

    table = {
        Control.START: start,
        Control.ZERO_SCALAR: zero("s"),
        Control.ZERO_VECTOR: zero("v"),
        Control.ZERO_MATRIX: zero("m"),
        Control.LOAD: load,
        Control.CHECK: check,
        Control.REVEAL: reveal_class if multiclass else reveal,
        Control.NEXT: next_example,
        Control.ACCUMULATE: accumulate_class if multiclass else accumulate,
        Control.EPOCH: epoch,
        Control.FINISH: finish,
        Control.HALT: halt,
    }
    return [table[control] for control in Control]
