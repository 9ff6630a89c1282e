"""Instructions that run together give what they give one by one."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated import random_population, regression_tasks

from azero_jax import Evaluator, MemorySize, Program, ops, superinstructions, switch_strategy
from azero_jax.assembler import assemble
from azero_jax.instructions import WORD_SIZE, Layout
from azero_jax.packed import PackedLayout, Reader, op_table_words, pack
from azero_jax.program import Instruction, Population
from azero_jax.superinstructions import PAIRS, InstructionSet
from azero_jax.task_specs import make_tasks
from azero_jax.text import OP

MEMORY = MemorySize(8, 8, 8)
FEATURES_SIZE = 3

FILL = """
def Setup():
  s2 = gaussian(0.3, 0.1)
  s3 = gaussian(0.3, 0.1)
  s4 = gaussian(0.3, 0.1)
  v2 = gaussian(0.1, 0.1, n_features)
  v3 = gaussian(0.1, 0.1, n_features)
  v4 = gaussian(0.1, 0.1, n_features)
  m2 = gaussian(0.1, 0.1, (n_features, n_features))
  m3 = gaussian(0.1, 0.1, (n_features, n_features))
  m4 = gaussian(0.1, 0.1, (n_features, n_features))
def Predict():
"""
TO_PREDICTION = {"s": "  s1 = s{} + s2\n", "v": "  s1 = norm(v{})\n", "m": "  s1 = norm(m{})\n"}


def instruction(name: str, inputs: list[int], output: int) -> str:
    """A line of text of an op that has no constants."""
    return f"  {Instruction(ops.op_named(name), *inputs, *[0] * (2 - len(inputs)), output)}\n"


def pair_text(pair: superinstructions.Pair, place: int, read_again: bool = False) -> str:
    """A program whose Predict holds the pair, with the first result at address 6."""
    first, second = ops.op_named(pair.first), ops.op_named(pair.second)
    output = 4 if pair.in_place else 5
    inputs = [6, 4] if place == 0 else [4, 6]
    text = FILL + instruction(pair.first, [2, 3][: len(first.inputs)], 6)
    text += instruction(pair.second, inputs, output) + TO_PREDICTION[second.output].format(output)
    if read_again:
        text += TO_PREDICTION[first.output].format(6).replace("s1", "s7") + "  s1 = s1 + s7\n"
    return text


PAIR_TEXTS = [(pair, place) for pair in PAIRS for place in ((0, 1) if pair.commutes else (pair.place,))]


LAYOUT = PackedLayout.fitting(0, 1, MEMORY)
EVERY_OP = InstructionSet(ops.table(), tuple(range(len(ops.table()))))


@functools.cache
def assembler():
    """The jitted function from the words of programs to code."""
    table = op_table_words(MEMORY)

    def code_of(words):
        reader = Reader(LAYOUT, words, jnp.asarray(table))
        code = jnp.zeros(100 * WORD_SIZE, jnp.uint32)
        return assemble(reader, code, Layout(MEMORY, FEATURES_SIZE), EVERY_OP, jnp.uint32(0), normalised=False)

    return jax.jit(code_of)


def opcodes_of(text: str) -> set[int]:
    """The opcodes of a program's code."""
    population = Population.from_programs([Program.from_text(text)])
    code = assembler()(pack(population, slice(0, 1), MEMORY, LAYOUT))
    return set(np.asarray(code).reshape(-1, WORD_SIZE)[:, 0].tolist())


@pytest.mark.parametrize("pair, place", PAIR_TEXTS, ids=[f"{p.first}-{p.second}-{i}" for p, i in PAIR_TEXTS])
def test_a_pair_is_found_unless_its_first_result_is_read_again(pair, place):
    found = {EVERY_OP.first_pair + PAIRS.index(other) for other in PAIRS if other[:2] == pair[:2]}
    assert found & opcodes_of(pair_text(pair, place))
    assert not found & opcodes_of(pair_text(pair, place, read_again=True))


@pytest.mark.thorough
def test_running_together_changes_no_bit(monkeypatch):
    texts = [pair_text(pair, place) for pair, place in PAIR_TEXTS]
    texts += [
        FILL + f"  {kind}{output} = {kind}4 {operator} {kind}3\n" + TO_PREDICTION[kind].format(output)
        for kind in "vm"
        for operator in "+-*"
        for output in (4, 5)
    ]
    tasks = make_tasks(
        f"scalar_linear_regression:features_size={FEATURES_SIZE},num_tasks=3,num_train_examples=9,num_valid_examples=7"
    )

    def fitness() -> np.ndarray:
        switch_strategy._compiled_machine.cache_clear()
        evaluator = Evaluator(tasks, memory=MEMORY, deduplicate=False)
        return evaluator.evaluate([Program.from_text(text) for text in texts]).fitness

    together = fitness()
    with monkeypatch.context() as patch:
        patch.setattr(superinstructions, "PAIRS", ())
        patch.setattr(superinstructions, "IN_PLACE_OPS", ())
        one_by_one = fitness()
    switch_strategy._compiled_machine.cache_clear()
    np.testing.assert_array_equal(together, one_by_one)
    assert (together > 0).all()


def test_a_machine_with_few_ops_gives_what_the_one_with_all_does():
    tasks = regression_tasks(num_tasks=3)
    population = random_population(300, lengths=(4, 5, 5), seed=3)
    few = sorted({*superinstructions.USUAL_OPS, ops.op_named("VECTOR_NORM").id})
    population.code[..., OP] = np.where(np.isin(population.code[..., OP], few), population.code[..., OP], 0)
    population.code[population.code[..., OP] == 0] = 0
    evaluator = Evaluator(tasks, memory=MemorySize(6, 5, 4), deduplicate=False)
    alone = evaluator.evaluate(population).fitness
    assert evaluator.num_traces == 1
    # The first programs' ops are compiled with the usual ones; another op brings all.
    evaluator.evaluate([Program.from_text("def Predict():\n  s1 = sin(s2)\n")])
    np.testing.assert_array_equal(evaluator.evaluate(population).fitness, alone)
    evaluator.evaluate([Program.from_text("def Predict():\n  s1 = cos(s2)\n")])
    assert evaluator.num_traces == 1
    assert len(np.unique(alone)) > 20
