"""Programs that compute the same at every example run only until they do, and score as if they had run on all."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated import classification_tasks, random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Population, Program, assembler, switch_strategy
from azero_jax.liveness import FixedRegisters, Scratch, mark_live
from azero_jax.packed import PackedLayout, Reader, op_table_words, pack
from azero_jax.settling import first_settled

MEMORY = MemorySize(6, 5, 4)
LAYOUT = PackedLayout.fitting(0, 1, MEMORY)
NEVER = 0


@functools.cache
def finder(normalised: bool):
    """The jitted function from the words of one program to when it settles in training and in validation."""

    def find(words):
        reader = Reader(LAYOUT, words, jnp.asarray(op_table_words(MEMORY)))
        fixed = FixedRegisters.of(MEMORY, vector_labels=False)
        live = mark_live(reader, jnp.uint32(0), Scratch.of(LAYOUT), fixed)
        setup_end, predict_end, learn_end = live.ends
        settled = functools.partial(first_settled, reader, live.scratch.order, learn=predict_end, fixed=fixed, most=5)
        return jnp.stack(
            [
                settled((setup_end, learn_end), normalised=normalised),
                settled((setup_end, predict_end), normalised=False),
            ]
        )

    return jax.jit(find)


def settles(text: str, normalised: bool = False) -> tuple[int, int]:
    population = Population.from_programs([Program.from_text(text)])
    train, valid = np.asarray(finder(normalised)(pack(population, slice(0, 1), MEMORY, LAYOUT))).tolist()
    return train, valid


@pytest.mark.parametrize(
    "setup, predict, learn, train, valid",
    [
        ("", "", "", 1, 1),
        ("s2 = 0.5", "s1 = s2 + s2", "", 1, 1),
        ("s2 = gaussian(0, 1)", "s1 = s2 * s2", "", 1, 1),
        ("s2 = 0.5", "s1 = s2 + s3; s3 = s2 * s2", "", 2, 2),
        ("s2 = 0.5", "s1 = s3 + s2; s3 = s4 * s2; s4 = s2 + s2", "", 3, 3),
        ("", "s1 = s2 + s5", "s2 = 0.3", 2, 1),
        ("", "", "s1 = 0.3", 2, 1),
        ("", "s1 = s2 + s0", "s2 = 0.3", 2, 1),  # the label is hidden, as a zero
        # Without Learn, which sets s2 anew, each validation example adds to it.
        ("", "s1 = s2 + s3; s2 = s2 + s3; s3 = 0.1", "s2 = 0.3", 2, NEVER),
        ("s2 = 0.5", "s1 = s1 + s2", "", NEVER, NEVER),
        ("", "v1[0.5] = 0.3; s1 = norm(v1)", "", NEVER, NEVER),  # keeps the other elements
        ("", "v1 = s2 * v2; v1[0.5] = 0.3; s1 = norm(v1)", "", 1, 1),
        ("", "s1 = uniform(0, 1)", "", NEVER, NEVER),
        ("", "s1 = s2 + s5", "s2 = gaussian(0, 1)", NEVER, 1),
        ("", "s1 = norm(v0)", "", NEVER, NEVER),
        ("", "s1 = s2 + s5", "s2 = s0 + s2", NEVER, 1),
        ("", "s1 = s2 + s5", "s2 = norm(v0)", NEVER, 1),
        ("", "s2 = norm(v0); s1 = s3 + s5", "s3 = 0.1", 2, 1),  # what reads the data is dead
    ],
)
def test_when_programs_settle(setup, predict, learn, train, valid):
    functions = zip(("Setup", "Predict", "Learn"), (setup, predict, learn))
    text = "".join(f"def {name}():\n" + body.replace("; ", "\n") + "\n" for name, body in functions)
    assert settles(text) == (train, valid)


def test_long_programs_that_settle_stay_in_their_place():
    # There is no room for copies of so long a loop: written anyway, all of a call would not fit.
    lines = "  s3 = s2 + s3\n" * 30
    text = f"def Predict():\n  s1 = s4 + s3\n  s2 = 0.5\n  s3 = s2 + s2\n{lines}def Learn():\n  s4 = s3 + s2\n"
    tasks, memory = regression_tasks(num_train=5), MemorySize(5, 1, 0)
    evaluator = Evaluator(tasks, memory=memory, deduplicate=False, num_threads=1)
    fitness = evaluator.evaluate([Program.from_text(text)] * 300).fitness
    short = Program.from_text("def Predict():\n  s1 = 32.5\n")
    np.testing.assert_array_equal(fitness, np.repeat(evaluator.evaluate([short]).fitness, 300, axis=0))


def test_a_prediction_that_the_sigmoid_replaces_is_another_one_at_the_next_example():
    assert settles("def Setup():\n s1 = 0.5\n", normalised=False) == (1, 1)
    assert settles("def Setup():\n s1 = 0.5\n", normalised=True) == (NEVER, 1)
    assert settles("def Predict():\n s1 = 0.5\n", normalised=True) == (1, 1)


@pytest.mark.parametrize(
    "make_tasks, dtype",
    [
        pytest.param(regression_tasks, "float32", marks=pytest.mark.thorough),
        pytest.param(classification_tasks, "float64", marks=pytest.mark.slow),
    ],
)
def test_settling_changes_no_bit(monkeypatch, make_tasks, dtype):
    # Every third op, to compile less.
    population = random_population(600, memory=MEMORY, lengths=(3, 4, 3), seed=17, allowed=range(0, 65, 3))
    tasks = make_tasks(num_train_epochs=2)

    def results():
        switch_strategy._compiled_machine.cache_clear()
        # Errors of regression are often larger: tasks fail at different examples.
        evaluator = Evaluator(tasks, memory=MEMORY, dtype=dtype, max_abs_error=1.5, deduplicate=False)
        everything, some = evaluator.evaluate(population), evaluator.run(population, 3)
        return everything, some, evaluator.probe(population, 10, 5), evaluator.probe(population, 1, 1)

    expected = results()
    with monkeypatch.context() as patch:
        patch.setattr(assembler, "first_settled", lambda *arguments, **settings: jnp.uint32(NEVER))
        in_full = results()
    switch_strategy._compiled_machine.cache_clear()
    for ours, theirs in zip(expected, in_full):
        for values, others in zip(ours, theirs):
            np.testing.assert_array_equal(values, others)
    steps = expected[0].train_steps
    if make_tasks is regression_tasks:
        assert (steps.min(axis=1) < steps.max(axis=1)).sum() > 20
