from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from generated import random_population, regression_tasks
from jax import lax

from azero_jax import Evaluator, MemorySize, Population, Program, ops, simplify, switch_strategy
from azero_jax.equivalence import structural_keys
from azero_jax.liveness import Liveness, Scratch, find_live
from azero_jax.packed import NUM_REGISTERS, put

MEMORY = MemorySize(6, 5, 4)


@pytest.fixture(scope="module")
def evaluator():
    # Without deduplication, so that every program really runs.
    return Evaluator(regression_tasks(num_train=12, num_valid=6), memory=MEMORY, deduplicate=False, seed=3)


def keys(population, memory=MEMORY):
    return structural_keys(population, memory)


def test_simplify_changes_no_bit_of_fitness(evaluator):
    population = random_population(1000, memory=MEMORY, seed=10)
    simplified = [simplify(program, MEMORY) for program in population]
    assert sum(sum(program.lengths) for program in simplified) < 0.7 * population.lengths.sum()
    before, after = evaluator.evaluate(population), evaluator.evaluate(simplified)
    np.testing.assert_array_equal(before.fitness, after.fitness)
    np.testing.assert_array_equal(before.train_steps, after.train_steps)
    assert len(np.unique(before.fitness)) > 300


def test_dead_lines_run_without_changing_a_bit(evaluator, monkeypatch):
    """The machine runs every line, dead ones too, and scores the same."""
    population = random_population(1000, memory=MEMORY, seed=16)
    expected = evaluator.evaluate(population)

    def everything(reader, program, scratch, fixed):
        order, ends = scratch.order, []
        place = jnp.uint32(0)
        for function in range(3):
            start, count = reader.span(program, function)
            order = lax.fori_loop(jnp.uint32(0), count, lambda i, o: put(o, place + i, start + i), order)  # noqa: B023
            place += count
            ends.append(place)
        every_register = (jnp.uint32(1) << reader.word(NUM_REGISTERS)) - 1
        return Liveness(Scratch(scratch.live, order), jnp.stack(ends), every_register[None])

    monkeypatch.setattr("azero_jax.assembler.mark_live", everything)
    evaluator = Evaluator(regression_tasks(num_train=12, num_valid=6), memory=MEMORY, deduplicate=False, seed=3)
    switch_strategy._compiled_machine.cache_clear()
    measured = evaluator.evaluate(population)
    switch_strategy._compiled_machine.cache_clear()
    # A random op that stands twice draws by its order among the live ones.
    draws = np.array([op.draws is not None for op in ops.table()])[population.code[..., 0]]
    identity = np.where(
        draws, population.functions * 10**7 + population.code[..., 0] * 10**4 + population.code[..., 3], -1
    )
    repeated = np.array([len(set(row[row >= 0])) < (row >= 0).sum() for row in identity])
    assert repeated.mean() < 0.2
    np.testing.assert_array_equal(measured.fitness[~repeated], expected.fitness[~repeated])
    np.testing.assert_array_equal(measured.train_steps[~repeated], expected.train_steps[~repeated])


def test_simplify_does_not_need_to_know_the_memory():
    for program in random_population(100, memory=MEMORY, seed=11):
        assert simplify(program) == simplify(program, MEMORY)
        assert simplify(simplify(program)) == simplify(program)


SOFTMAX = """
def Setup():
  s2 = 0.05
  s3 = 0.5
def Predict():
  v2 = dot(m3, v0)
def Learn():
  v4 = v1 - v2
  v4 = s2 * v4
  m4 = outer(v4, v0)
  m3 = m3 + m4
"""


def test_programs_for_several_classes_are_not_emptied():
    useful = (1, 1, 4)
    assert simplify(Program.from_text(SOFTMAX)).lengths == useful
    assert simplify(Program.from_text(SOFTMAX), vector_labels=True).lengths == useful
    assert simplify(Program.from_text(SOFTMAX), vector_labels=False).lengths == (0, 0, 0)
    # With s1 in use for something else.
    elsewhere = SOFTMAX.replace("s2", "s1")
    assert simplify(Program.from_text(elsewhere)).lengths == useful
    in_predict = SOFTMAX.replace("v2 = dot(m3, v0)", "v2 = dot(m3, v0)\n  s1 = norm(v2)\n  v3 = s1 * v2")
    assert simplify(Program.from_text(in_predict)).lengths == (1, 2, 4)


def test_programs_for_one_label_lose_what_only_other_programs_would_need():
    text = "def Predict():\n  v2 = v0 * v1\n  v3 = v1 + v1\n  s1 = norm(v1)\ndef Learn():\n  v1 = s0 * v0\n"
    assert simplify(Program.from_text(text)).lengths == (0, 1, 1)


def test_what_does_not_fit_or_is_no_program_is_refused():
    program = Program.from_text("def Predict():\n s9 = s0 + s0\n s1 = s9 + s9\n")
    with pytest.raises(ValueError, match=r"program 0, Predict line 1: .*within 3 scalars"):
        simplify(program, MemorySize(3, 3, 3))
    with pytest.raises(ValueError, match="memory vectors=2: expected at least 3 for vector_labels"):
        simplify(program, MemorySize(10, 2, 2), vector_labels=True)
    for memory in (5, "abc", (3, 3), (3, 3, 1.5), (0, 3, 3)):
        with pytest.raises(ValueError, match="memory"):
            simplify(program, memory)
    for wrong, message in (
        ("def Predict():", "expected a Program, got 'def Predict():': use Program.from_text"),
        (None, "got None"),
    ):
        with pytest.raises(TypeError, match=message.replace("(", r"\(").replace(")", r"\)")):
            simplify(wrong)
    with pytest.raises(TypeError, match="vector_labels='yes'"):
        simplify(program, vector_labels="yes")
    assert simplify(program, (10, 3, 3)).lengths == (0, 2, 0)


def test_removing_a_live_line_matters(evaluator):
    """Liveness is not just safe: it does not keep everything. Many registers are zero, so not every line shows."""
    population = random_population(200, memory=MEMORY, seed=12, random_ops=False)
    live = find_live(population, MEMORY)
    rows, lines = np.nonzero(live)
    changed = population.take(rows)
    changed.code[np.arange(len(rows)), lines] = 0
    before = evaluator.evaluate(population).fitness[rows]
    differs = (evaluator.evaluate(changed).fitness != before).any(axis=1)
    scored = (before > 0).any(axis=1)
    assert differs[scored].mean() > 0.25


def test_a_value_carried_to_the_next_example_is_live():
    program = Program.from_text(
        """
        def Setup():
          s4 = 0.5
          s5 = 0.25
        def Predict():
          s1 = s2 + s3
        def Learn():
          s3 = s6 * s4
          s6 = s0 - s1
          s5 = s4 + s4
        """
    )
    assert simplify(program).to_text() == (
        "def Setup():\n  s4 = 0.5\ndef Predict():\n  s1 = s2 + s3\ndef Learn():\n  s3 = s6 * s4\n  s6 = s0 - s1\n"
    )


def test_setting_an_element_keeps_the_others_live():
    program = Program.from_text(
        "def Setup():\n v1 = bcast(s2)\n v1[0.5] = 2\n v2 = v1 + v1\n v1 = bcast(s3)\ndef Predict():\n s1 = norm(v2)\n"
    )
    assert simplify(program).lengths == (3, 1, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("s3 = s0 - s1\n s1 = s3 * s3", "s4 = s0 - s1\n s1 = s4 * s4", True),
        ("s1 = s3 + s4", "s1 = s5 + s5", True),  # nothing writes s3, s4, s5: all are zero
        ("s3 = s0 - s1\n s1 = s3 * s3", "s3 = s0 - s1\n s4 = exp(s3)\n s1 = s3 * s3", True),
        ("s3 = s0 - s1\n s1 = s3 * s3", "s3 = s1 - s0\n s1 = s3 * s3", False),
        ("s3 = 0.5\n s1 = s1 + s3", "s3 = 0.25\n s1 = s1 + s3", False),
        ("s3 = s1 + s1\n s1 = s3 * s2", "s3 = s1 + s1\n s1 = s3 * s3", False),
        ("s3 = gaussian(0, 1)\n s1 = s1 + s3", "s4 = gaussian(0, 1)\n s1 = s1 + s4", False),
        ("v1[0.1] = 2\n s1 = norm(v1)", "v1[0.9] = 2\n s1 = norm(v1)", False),
    ],
)
def test_structural_keys(one, other, same):
    programs = [Program.from_text(f"def Predict():\n {lines}\n") for lines in (one, other)]
    first, second = keys(Population.from_programs(programs))
    assert (first == second) == same


def test_equal_keys_mean_equal_fitness(evaluator):
    population = random_population(3000, memory=MEMORY, lengths=(2, 2, 2), seed=13)
    _, first, inverse = np.unique(keys(population), return_index=True, return_inverse=True)
    assert len(first) < 2500  # there are duplicates to compare
    fitness = evaluator.evaluate(population).fitness
    np.testing.assert_array_equal(fitness, fitness[first][inverse])


@pytest.mark.thorough
def test_more_than_64_registers():
    memory = MemorySize(40, 40, 3)
    program = Program.from_text(
        "def Setup():\n v39 = bcast(s39)\n s38 = 1.0\ndef Predict():\n s1 = dot(v39, v0)\n s37 = s38 + s38\n"
    )
    assert simplify(program, memory).lengths == (1, 1, 0)
    population = random_population(200, memory=memory, seed=14)
    evaluator = Evaluator(regression_tasks(), memory=memory, deduplicate=False)
    simplified = [simplify(program, memory) for program in population]
    np.testing.assert_array_equal(evaluator.evaluate(population).fitness, evaluator.evaluate(simplified).fitness)
