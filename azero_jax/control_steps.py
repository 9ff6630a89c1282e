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
    EXTREME_LABELS,
    JUMP_TABLE,
    SCHEDULE_COUNTS,
    SCHEDULE_SHIFT,
    WORD_SIZE,
    Control,
    ExampleKind,
)
from azero_jax.machine_step import MachineConfig, State, Step, bits_of, count_of, nothing, read_rows
from azero_jax.objectives import distance, one_hot
from azero_jax.packed import at
from azero_jax.program import LABEL_VECTOR, PREDICTION_VECTOR


def control_branches(config: MachineConfig) -> list[Callable[[Step], State]]:
    """The branches of all control steps, in the order of `Control`."""
    layout, lanes = config.layout, config.lanes
    dtype = np.dtype(config.dtype)
    size, classes = layout.features_size, config.num_classes
    example_rows = np.uint32(EXAMPLE_HEADER + size)
    objective = config.objective
    vectors = objective.vector_labels

    def row_of(step, row):
        return step.memory.scalars_and_matrices[row : row + 1]

    def entry_at(step, position):
        """First row and kind of the example at a position of the schedule."""
        if layout.recorded:
            position -= bits_of(row_of(step, layout.base)[0, 0]).astype(jnp.uint32)
        entry = at(step.operands.words, position + np.uint32(config.words.first_position))
        return (entry >> SCHEDULE_SHIFT) * example_rows, entry & np.uint32((1 << SCHEDULE_SHIFT) - 1)

    def steps_of(step):
        """Training examples seen; the complement, which is negative, for a task that has failed: integers, [1, D]."""
        return count_of(row_of(step, layout.STEPS))

    def as_row(steps):
        return lax.bitcast_convert_type(steps, dtype)

    def current_label(step):
        return read_rows(step.operands.examples, entry_at(step, step.position)[0], 1)

    def shown(step, ahead):
        """The label hidden and the features of the example so many positions ahead, and the jump of its kind."""
        first_row, kind = entry_at(step, step.position + np.uint32(ahead))
        features = read_rows(step.operands.examples, first_row + np.uint32(EXAMPLE_HEADER), size)
        field = step.program_counter * np.uint32(WORD_SIZE) + np.uint32(JUMP_TABLE) + kind
        step = step.stored(features, 0, "v")
        if vectors:
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

    def fingerprint_after(fingerprint, steps, predictions, errors):
        """The fingerprint after an example, of tasks that have not failed; [rows, D] each."""
        after = bits_of(fingerprint)
        for row in range(predictions.shape[0]):
            value = fingerprints.hashed_value(config.fingerprint, predictions[row][None], errors[row][None])
            after = fingerprints.mixed(after, value)
        return jnp.where(steps >= 0, lax.bitcast_convert_type(after, dtype), fingerprint)

    def with_example(step, predictions, errors):
        fingerprint, steps = row_of(step, layout.FINGERPRINT), steps_of(step)
        return step.stored(fingerprint_after(fingerprint, steps, predictions, errors), layout.FINGERPRINT)

    def start(step):
        rows = lax.broadcasted_iota(jnp.int32, (layout.FIRST_FREE, lanes), 0)
        fixed_vectors = PREDICTION_VECTOR + 1 if vectors else 1
        step = step.stored(jnp.zeros((fixed_vectors * size, lanes), dtype), 0, "v")
        if layout.sums_blocks:
            step = step.stored(jnp.zeros((1, lanes), dtype), layout.blocks)
        return step.write(jnp.where(rows == layout.BEST, dtype.type(np.inf), dtype.type(0)), 0)

    def start_or_resume(step):
        """As `start`, but a memory in which Setup has run stays as it is; then to the first example."""
        resumed = row_of(step, layout.resumed)[:, :1] != 0
        fixed_vectors = PREDICTION_VECTOR + 1 if vectors else 1
        fixed = step.memory.scalars_and_matrices[: layout.FIRST_FREE]
        rows = lax.broadcasted_iota(jnp.int32, fixed.shape, 0)
        fresh = jnp.where(rows == layout.BEST, dtype.type(np.inf), dtype.type(0))
        nothing_yet = jnp.full((2 * layout.recorded, lanes), np.nan, dtype)
        step = step.stored(jnp.where(resumed, step.memory.vectors[: fixed_vectors * size], dtype.type(0)), 0, "v")
        step = step.stored(jnp.where(resumed, fixed, fresh), 0)
        step = step.stored(nothing_yet, layout.first_recorded)
        return step.go(jnp.where(resumed[0, 0], step.word[JUMP_TABLE], np.uint32(0)))

    def recorded(step):
        """With the prediction for a validation example where it is kept."""
        if not layout.recorded:
            return step
        prediction = predicted_classes(step) if vectors else objective.normalised(row_of(step, layout.PREDICTION))
        num_train = at(step.operands.words, config.words.first_count)
        index = entry_at(step, step.position)[0] // example_rows - num_train
        row = np.uint32(layout.first_recorded) + index * np.uint32(prediction.shape[0])
        return step._replace(memory=step.memory.stored("s", row, prediction))

    def zero(kind):
        if not layout.memory.of(kind):
            return nothing
        return lambda step: step.write(jnp.zeros((layout.size(kind), lanes), dtype), kind=kind)

    def check(step):
        if layout.sums_blocks:  # the schedule has a check in front of every block
            step = step.stored(row_of(step, layout.blocks) + row_of(step, layout.LOSS), layout.blocks)
            step = step.stored(jnp.zeros((1, lanes), dtype), layout.LOSS)
        some_alive = jnp.max(steps_of(step)) >= 0
        return step.go(jnp.where(some_alive, np.uint32(0), step.word[JUMP_TABLE]))

    def predicted_classes(step):
        return step.memory.vectors[PREDICTION_VECTOR * size : PREDICTION_VECTOR * size + classes]

    def class_errors(step):
        return jnp.abs(one_hot(current_label(step), size)[:classes] - predicted_classes(step))

    def reveal_class(step):
        probabilities = objective.normalised(predicted_classes(step), lane_forms.softmax)
        rest = jnp.zeros((size - classes, lanes), dtype)
        step = step.stored(jnp.concatenate([probabilities, rest]), PREDICTION_VECTOR * size, "v")
        if config.fingerprint:
            step = with_example(step, predicted_classes(step), class_errors(step))
        step = counted(step, lane_forms.maximum(class_errors(step)))
        return step.write(one_hot(current_label(step), size), LABEL_VECTOR * size, kind="v")

    def class_error(step):
        label = current_label(step)
        return objective.error(predicted_classes(step), label)

    def accumulate_class(step):
        step = recorded(step)
        if config.fingerprint:
            errors = jnp.broadcast_to(class_error(step), (classes, lanes))
            step = with_example(step, predicted_classes(step), errors)
        step = step.stored(row_of(step, layout.LOSS) + objective.summed(class_error(step)), layout.LOSS)
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def steps_after(steps, error):
        """Counts an example of tasks that have not failed, and fails those with a large error."""
        alive = steps >= 0
        seen = steps + alive.astype(steps.dtype)
        # Not `error > max_abs_error`: NaN fails, too.
        return jnp.where(alive & ~(error <= config.max_abs_error), ~seen, seen)

    def counted(step, error):
        return step.stored(as_row(steps_after(steps_of(step), error)), layout.STEPS)

    def training_error(step):
        label = current_label(step)
        return distance(row_of(step, layout.PREDICTION), label)

    def reveal(step):
        # The label is stored last: newer versions of XLA copy the memory where what was stored is read again.
        if objective.has_classes:
            step = step.stored(objective.normalised(row_of(step, layout.PREDICTION)), layout.PREDICTION)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), training_error(step))
        step = counted(step, training_error(step))
        return step.write(current_label(step), layout.LABEL)

    def next_example(step):
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def accumulated(loss, steps, error, checked):
        """Loss and steps after a validation example."""
        if checked is None:
            return loss + objective.summed(error), steps
        failed = (steps >= 0) & ~(checked <= config.max_abs_error)
        return loss + objective.summed(error), jnp.where(failed, ~steps, steps)

    def validation_error(step):
        label = current_label(step)
        return objective.checked_error(row_of(step, layout.PREDICTION), label)

    def accumulate(step):
        step = recorded(step)
        step, jump = shown(step, 1)
        if config.fingerprint:
            step = with_example(step, row_of(step, layout.PREDICTION), validation_error(step)[0])
        loss, steps = accumulated(row_of(step, layout.LOSS), steps_of(step), *validation_error(step))
        first = lax.broadcasted_iota(jnp.int32, (2, lanes), 0) == 0
        step = step.stored(jnp.where(first, loss, as_row(steps)), layout.LOSS)
        return step.write(next_position(step), layout.POSITION, jump)

    def at_rest(step, prediction, validation):
        """Stores what this and the examples of an epoch that follow change if all have one prediction, [1, D].

        All from the memory as it is now, in one store; the position is then that of the last.
        """
        words = step.operands.words
        num_train, num_valid = (at(words, config.words.first_count + index) for index in range(SCHEDULE_COUNTS))
        place = step.position % (num_train + num_valid + np.uint32(1))
        count = num_train + (num_valid if validation else np.uint32(0)) - place
        fingerprint, loss, steps = row_of(step, layout.FINGERPRINT), row_of(step, layout.LOSS), steps_of(step)
        in_blocks = layout.sums_blocks and validation
        blocks = row_of(step, layout.blocks) if in_blocks else loss
        errors_of = objective.checked_error if validation else lambda *example: (distance(*example), None)

        def visit(index, carry):
            fingerprint, loss, steps, blocks = carry
            first_row, kind = entry_at(step, step.position + index)
            label = read_rows(step.operands.examples, first_row, 1)
            if in_blocks:  # what the check does in front of a block, and has done in front of this example
                new = (kind == np.uint32(ExampleKind.VALID_AFTER_CHECK)) & (index > 0)
                blocks, loss = jnp.where(new, blocks + loss, blocks), jnp.where(new, dtype.type(0), loss)
            error, checked = errors_of(prediction, label)
            if config.fingerprint:
                fingerprint = fingerprint_after(fingerprint, steps, prediction, error)
            if validation:
                loss, steps = accumulated(loss, steps, error, checked)
            else:
                steps = steps_after(steps, error)
            return fingerprint, loss, steps, blocks

        one_by_one = count
        if not validation and not config.fingerprint:
            # If neither the smallest nor the largest label is too far away, no task fails.
            extremes = [step.operands.examples[-row][None] for row in range(1, EXTREME_LABELS + 1)]
            alike = [(jnp.abs(label - prediction) <= config.max_abs_error) | (steps < 0) for label in extremes]
            one_by_one = jnp.where(jnp.all(alike[0] & alike[1]), np.uint32(0), count)
        carry = lax.fori_loop(jnp.uint32(0), one_by_one, visit, (fingerprint, loss, steps, blocks))
        fingerprint, loss, after, blocks = carry
        after = jnp.where((one_by_one == 0) & (after >= 0), after + count.astype(after.dtype), after)
        bits = bits_of(row_of(step, layout.POSITION))
        position = lax.bitcast_convert_type(bits + (count - np.uint32(1)).astype(bits.dtype), dtype)
        rows = [fingerprint, prediction, row_of(step, layout.BEST), loss, as_row(after), position]
        if in_blocks:
            step = step.stored(blocks, layout.blocks)
        return step.stored(jnp.concatenate(rows), layout.FINGERPRINT)

    def reveal_rest(step):
        prediction = row_of(step, layout.PREDICTION)
        return at_rest(step, objective.normalised(prediction), validation=False).go()

    def accumulate_rest(step):
        step = at_rest(step, row_of(step, layout.PREDICTION), validation=True)
        step, jump = shown(step, 1)
        return step.write(next_position(step), layout.POSITION, jump)

    def epoch(step):
        loss = row_of(step, layout.LOSS)
        best = row_of(step, layout.BEST)
        if layout.sums_blocks:
            loss += row_of(step, layout.blocks)
        better = (steps_of(step) >= 0) & (loss < best)
        if layout.recorded:
            first, count = layout.first_recorded, layout.recorded
            both = step.memory.scalars_and_matrices[first : first + 2 * count]
            step = step.stored(jnp.where(better, both[:count], both[count:]), first + count)
        step = step.stored(jnp.concatenate([jnp.where(better, loss, best), jnp.zeros_like(loss)]), layout.BEST)
        if layout.sums_blocks:
            step = step.stored(jnp.zeros((1, lanes), dtype), layout.blocks)
        return step.write(next_position(step), layout.POSITION, step.word[JUMP_TABLE])

    def finish(step):
        steps = steps_of(step)
        rows = [
            row_of(step, layout.BEST),
            as_row(jnp.where(steps < 0, ~steps, steps)),
            row_of(step, layout.FINGERPRINT),
        ]
        return step.write(jnp.concatenate(rows))

    def halt(step):
        return step.go(step.word[JUMP_TABLE])

    table = {
        Control.START: start_or_resume if layout.recorded else start,
        Control.ZERO_SCALAR: zero("s"),
        Control.ZERO_VECTOR: zero("v"),
        Control.ZERO_MATRIX: zero("m"),
        Control.LOAD: load,
        Control.CHECK: check,
        Control.REVEAL: reveal_class if vectors else reveal,
        Control.NEXT: next_example,
        Control.ACCUMULATE: accumulate_class if vectors else accumulate,
        Control.EPOCH: epoch,
        Control.FINISH: finish,
        Control.HALT: halt,
        Control.REVEAL_REST: nothing if vectors else reveal_rest,
        Control.ACCUMULATE_REST: nothing if vectors else accumulate_rest,
    }
    return [table[control] for control in Control]
