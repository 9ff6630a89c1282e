"""Random programs, mutation, and where a search starts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from search_space import ALL_KINDS, SPACE, random_programs

from azero_jax import MemorySize
from azero_jax.initial_programs import initial_population
from azero_jax.mutation import MUTATION_TYPES, Mutator
from azero_jax.ops import op_named


def changed_lines(before, after):
    return (before.code != after.code).any(axis=2) | (before.constants != after.constants).any(axis=2)


def mutate(name, space=SPACE, size=400):
    before = random_programs(size, space)
    after = before.take(np.arange(size))
    Mutator.of(space, (name,)).mutate(after, np.arange(size), np.random.default_rng(1))
    after.check_addresses(space.memory)
    assert not after.code[~after.occupied()].any() and not after.constants[~after.occupied()].any()
    return before, after


def test_random_programs_stay_in_their_space():
    population = random_programs(1000)
    population.check_addresses(SPACE.memory)
    for program in population:
        assert program.lengths == SPACE.initial_sizes
        for function, names in zip(("Setup", "Predict", "Learn"), SPACE.op_names):
            assert {instruction.op.name for instruction in program.instructions(function)} <= set(names)
    # Every op, and every address that may be written, is used about equally often.
    setup = population.code[:, :3, 0].ravel()
    counts = np.unique(setup, return_counts=True)[1]
    assert len(counts) == len(ALL_KINDS)
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()


def test_alter_parameter_changes_one_operand_or_constant():
    before, after = mutate("alter_parameter")
    assert (changed_lines(before, after).sum(axis=1) <= 1).all()
    np.testing.assert_array_equal(before.code[..., 0], after.code[..., 0])
    differences = (before.code != after.code).sum(axis=(1, 2)) + (before.constants != after.constants).sum(axis=(1, 2))
    assert 0.5 < (differences > 0).mean() <= 1
    assert (differences <= 2).all()  # two when the bounds of a uniform distribution are put in order


def test_constants_mutate_as_in_the_release():
    space = dataclasses.replace(SPACE, setup_ops=("SCALAR_CONST_SET",), predict_ops=(), learn_ops=())
    before, after = mutate("alter_parameter", space, size=4000)
    old, new = before.constants[:, :3, 0], after.constants[:, :3, 0]
    ratio = new[old != new] / old[old != new]
    flipped = ratio < 0
    np.testing.assert_allclose(ratio[flipped], -1)
    assert flipped.mean() == pytest.approx(0.1, abs=0.03)
    logarithm = np.log(ratio[~flipped])
    assert logarithm.mean() == pytest.approx(0, abs=0.1) and logarithm.std() == pytest.approx(1, abs=0.1)


def test_constants_mutate_as_in_the_paper():
    space = dataclasses.replace(
        SPACE, setup_ops=("SCALAR_CONST_SET", "VECTOR_GAUSSIAN_SET"), predict_ops=(), learn_ops=()
    )
    before = random_programs(4000, space)
    after = before.take(np.arange(4000))
    Mutator.of(space, ("alter_parameter",), "paper").mutate(after, np.arange(4000), np.random.default_rng(1))
    old, new = before.constants[:, :3, 0], after.constants[:, :3, 0]  # constants and means
    ratio = new[old != new] / old[old != new]
    assert (ratio < 0).mean() == pytest.approx(0.1, abs=0.02)
    assert 0.5 <= np.abs(ratio).min() < 0.55 and 1.95 < np.abs(ratio).max() < 2
    assert np.abs(ratio).mean() == pytest.approx(1.25, abs=0.05)
    gaussian = before.code[:, :3, 0] == op_named("VECTOR_GAUSSIAN_SET").id
    assert (after.constants[:, :3][gaussian][:, 1] >= 0).all()  # standard deviations keep their sign


def test_randomize_instruction_changes_one_line():
    before, after = mutate("randomize_instruction")
    assert (changed_lines(before, after).sum(axis=1) <= 1).all()
    assert (before.code[..., 0] != after.code[..., 0]).any()


def test_randomize_component_function_changes_one_function():
    before, after = mutate("randomize_component_function")
    changed = changed_lines(before, after)
    functions = np.stack([changed[:, before.functions == f].any(axis=1) for f in range(3)], axis=1)
    assert (functions.sum(axis=1) == 1).mean() > 0.95
    np.testing.assert_array_equal(before.lengths, after.lengths)
    assert functions.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.1)


def test_identity_changes_nothing():
    assert not changed_lines(*mutate("identity")).any()


@pytest.mark.parametrize(("name", "added"), [("insert_instruction", 1), ("remove_instruction", -1)])
def test_insertion_and_removal(name, added):
    before, after = mutate(name)
    assert ((after.lengths - before.lengths).sum(axis=1) == added).all()
    for old, new in zip(before, after):
        longer, shorter = (new, old) if added > 0 else (old, new)
        for function in ("Setup", "Predict", "Learn"):
            long, short = longer.instructions(function), shorter.instructions(function)
            if len(long) != len(short):
                assert any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
            else:
                assert long == short


def test_sizes_stay_within_their_limits():
    population = random_programs(100)
    rng = np.random.default_rng(0)
    for name, limit in (("insert_instruction", SPACE.max_sizes), ("remove_instruction", SPACE.min_sizes)):
        mutator = Mutator.of(SPACE, (name,))
        for _ in range(100):
            mutator.mutate(population, np.arange(100), rng)
        assert (population.lengths == limit).all()
        population.check_addresses(SPACE.memory)


def test_trade_keeps_sizes():
    before, after = mutate("trade_instruction")
    np.testing.assert_array_equal(before.lengths, after.lengths)
    assert changed_lines(before, after).any(axis=1).mean() > 0.9


def test_randomize_algorithm_changes_everything():
    assert changed_lines(*mutate("randomize_algorithm"))[:, :3].mean() > 0.8


def test_functions_without_ops_are_frozen():
    space = dataclasses.replace(SPACE, predict_ops=(), setup_ops=())
    for name in MUTATION_TYPES:
        before, after = mutate(name, space)
        assert not changed_lines(before, after)[:, : before.starts[2]].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setup_ops": ("SCALAR_SUMM",)}, "unknown op 'SCALAR_SUMM': did you mean SCALAR_SUM"),
        ({"memory": MemorySize(4, 3, 0)}, "MATRIX_CONST_SET needs at least 1 matrix addresses, the memory has 0"),
        ({"memory": MemorySize(4, 1, 2)}, "needs at least 2 vector addresses, the memory has 1"),
        ({"initial_sizes": (9, 2, 4)}, "setup sizes: expected 0 <= min <= initial <= max, got min=1, initial=9, max=6"),
    ],
)
def test_search_space_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPACE, **changes)


def test_mutator_errors():
    with pytest.raises(ValueError, match="mutation types 'crossover': expected some of alter_parameter"):
        Mutator.of(SPACE, ("crossover",))
    with pytest.raises(ValueError, match="nothing can be mutated"):
        Mutator.of(dataclasses.replace(SPACE, setup_ops=(), predict_ops=(), learn_ops=()), ("identity",))


def test_initial_programs(tmp_path):
    rng = np.random.default_rng(0)
    linear = initial_population("linear", 3, SPACE, rng)[2]
    assert linear.to_text().startswith("def Setup():\n  s2 = 0.01\n  NoOp()\n  NoOp()\n")
    assert initial_population("no_op", 2, SPACE, rng)[0].to_text().count("NoOp()") == sum(SPACE.initial_sizes)
    roomy = dataclasses.replace(SPACE, memory=MemorySize(5, 9, 2), max_sizes=(6, 5, 11))
    whole, damaged = (initial_population(name, 1, roomy, rng)[0] for name in ("neural_net", "damaged_neural_net"))
    assert whole.to_text().count("gaussian") == 2 and damaged.to_text().count("gaussian") == 0
    assert whole.lengths == (3, 5, 11) and damaged.instructions("Learn") == whole.instructions("Learn")
    learning = dataclasses.replace(SPACE, setup_ops=(), predict_ops=())
    some = initial_population("random:linear", 50, learning, rng)
    assert len({program.instructions("Learn") for program in some}) > 40
    assert {program.instructions("Setup") + program.instructions("Predict") for program in some} == {
        linear.instructions("Setup") + linear.instructions("Predict")
    }
    path = tmp_path / "program.txt"
    path.write_text(linear.to_text())
    assert initial_population(str(path), 1, SPACE, rng)[0] == linear
    path.write_text("def Predict():\n s9 = s1 + s1\n")
    with pytest.raises(ValueError, match=r"program.txt: line 2: 's9 = s1 \+ s1'"):
        initial_population(str(path), 1, SPACE, rng)
    path.write_text("def Predict():\n" + " NoOp()\n" * 5)
    with pytest.raises(ValueError, match="Predict has 5 instructions, the search space allows 4"):
        initial_population(str(path), 1, SPACE, rng)
    with pytest.raises(OSError):
        initial_population(str(tmp_path / "missing.txt"), 1, SPACE, rng)
