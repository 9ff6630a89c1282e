"""Programs and populations, and what is said about arrays that are none of either."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from generated import random_population, regression_tasks

from azero_jax import Evaluator, Instruction, MemorySize, Population, Program, ops
from azero_jax.evaluator import Evaluation
from azero_jax.liveness import find_live

MEMORY = MemorySize(6, 5, 4)
TEXT = "def Setup():\n  s2 = 0.5\n  v1[0.25] = 2.0\ndef Predict():\n  m1[0.0, 0.75] = 1.5\n  s1 = s2 + s2\n"


def population(**changed) -> Population:
    return dataclasses.replace(Population.from_programs([Program.from_text(TEXT)] * 3), **changed)


def with_value(name, index, value) -> Population:
    array = getattr(population(), name).copy()
    array[index] = value
    return population(**{name: array})


ARRAYS = population()
BAD = {
    "code int64": (population(code=ARRAYS.code.astype(np.int64)), "population code: dtype int64: expected int16, as"),
    "code int32": (population(code=ARRAYS.code.astype(np.int32)), "population code: dtype int32"),
    "code big-endian": (population(code=ARRAYS.code.astype(">i2")), "population code: dtype >i2"),
    "code float": (population(code=ARRAYS.code.astype(float)), "population code: dtype float64"),
    "code list": (population(code=ARRAYS.code.tolist()), "population code: list: expected a NumPy array"),
    "code flat": (population(code=ARRAYS.code[0]), r"population code: shape \(4, 4\)"),
    "code lines": (population(code=ARRAYS.code[:, 1:]), r"population code: shape \(3, 3, 4\): expected \(any, 4, 4\)"),
    "constants masked": (population(constants=np.ma.array(ARRAYS.constants)), "population constants: MaskedArray"),
    "constants complex": (population(constants=ARRAYS.constants + 0j), "population constants: dtype complex128"),
    "constants float32": (population(constants=ARRAYS.constants.astype("f")), "population constants: dtype float32"),
    "constants few": (population(constants=ARRAYS.constants[:2]), r"population constants: shape \(2, 4, 3\)"),
    "lengths float": (population(lengths=ARRAYS.lengths + 0.5), "population lengths: dtype float64"),
    "lengths flat": (population(lengths=ARRAYS.lengths[0]), r"population lengths: shape \(3,\)"),
    "lengths negative": (with_value("lengths", (2, 1), -1), r"lengths \(2, -1, 0\) of program 2: expected 0 to"),
    "lengths large": (with_value("lengths", (1, 0), 3), r"lengths \(3, 2, 0\) of program 1: expected 0 to"),
    "capacity short": (population(capacity=(2, 2)), r"population capacity \(2, 2\): expected lines of Setup"),
    "capacity float": (population(capacity=(2, 1.5, 0.5)), r"population capacity \(2, 1.5, 0.5\)"),
    "capacity negative": (population(capacity=(2, 3, -1)), r"population capacity \(2, 3, -1\)"),
    "index 1.5": (with_value("constants", (1, 1, 0), 1.5), r"program 1, Setup line 2: 'v1\[1.5\] = 2.0': .* \[0, 1\)"),
    "index 1": (with_value("constants", (1, 1, 0), 1.0), r"program 1, Setup line 2"),
    "index -0.4": (with_value("constants", (2, 2, 1), -0.4), r"program 2, Predict line 1: 'm1\[0.0, -0.4\] = 1.5'"),
    "index NaN": (with_value("constants", (0, 1, 0), np.nan), r"program 0, Setup line 2: 'v1\[nan\] = 2.0'"),
    "op unknown": (with_value("code", (1, 3, 0), 999), "program 1, Predict line 2: op id 999: expected 0 to"),
    "op negative": (with_value("code", (1, 3, 0), -1), "program 1, Predict line 2: op id -1: expected 0 to"),
    "address": (with_value("code", (2, 3, 1), 6), "program 2, Predict line 2: 's1 = s6 .*expected addresses within 6"),
    "address negative": (with_value("code", (2, 3, 2), -5), "program 2, Predict line 2: .*expected addresses within"),
    "output": (with_value("code", (0, 0, 3), 0), "program 0, Setup line 1: 's0 = 0.5': .*no write to s0 or v0"),
}


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(regression_tasks(), memory=MEMORY)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_population_is_refused_wherever_it_is_used(evaluator, name):
    bad, message = BAD[name]
    for use in (
        evaluator.evaluate,
        evaluator.run,
        evaluator.make_room,
        lambda programs: evaluator.probe(programs, 2, 2),
        lambda programs: find_live(programs, MEMORY),
    ):
        with pytest.raises(ValueError, match=message):
            use(bad)


def test_memory_order_of_arrays_does_not_matter(evaluator):
    programs = random_population(50, memory=MEMORY, seed=21)
    expected = evaluator.run(programs).fitness
    others = [
        dataclasses.replace(
            programs, **{name: np.asfortranarray(getattr(programs, name)) for name in ("code", "constants", "lengths")}
        ),
        programs.take(np.repeat(np.arange(50), 2)),
    ]
    others[1] = dataclasses.replace(
        others[1], **{name: getattr(others[1], name)[::2] for name in ("code", "constants", "lengths")}
    )
    for other in others:
        np.testing.assert_array_equal(evaluator.run(other).fitness, expected)


def test_what_is_no_sequence_of_programs_is_refused(evaluator):
    program = Program.from_text(TEXT)
    for programs, message in (
        (program, r"expected a sequence of programs, as \[program\], got one Program"),
        (TEXT, "expected Program at index 0, got 'd'"),
        ([program, TEXT], "expected Program at index 1, got 'def Setup"),
        (5, "expected a sequence of programs, .*got 5"),
        (None, "expected a sequence of programs, .*got None"),
    ):
        with pytest.raises(TypeError, match=message):
            evaluator.evaluate(programs)
    both = evaluator.evaluate(program for _ in range(2)).fitness  # any iterable does
    np.testing.assert_array_equal(both[0], both[1])


@pytest.mark.parametrize("counts", [(1, 1, 0), (2, 0, 0), (2, 1, -1), (10_000, 1, 1)])
def test_memory_out_of_range(counts):
    with pytest.raises(ValueError, match=r"^memory (scalars|vectors|matrices)=.*: expected an integer from"):
        MemorySize(*counts)


@pytest.mark.parametrize("count", [None, "4", 4.0, True, float("nan"), np.float64(4)])
def test_memory_is_counted_in_integers(count):
    with pytest.raises(ValueError, match=r"^memory vectors="):
        MemorySize(vectors=count)


def test_memory_accepts_numpys_integers():
    memory = MemorySize(*np.array([4, 3, 1], np.int32))
    assert memory == (4, 3, 1)
    assert all(type(count) is int for count in memory)
    for wrong in (5, None, "abc", (1, 2), (4, 3, 1, 1)):
        with pytest.raises(ValueError, match=r"^memory.*: expected"):
            MemorySize.checked(wrong)


SUM, CONSTANT, ELEMENT = (ops.op_named(name) for name in ("SCALAR_SUM", "SCALAR_CONST_SET", "VECTOR_CONST_SET"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SCALAR_SUMM", 1, 2, 3), "unknown op 'SCALAR_SUMM'.*SCALAR_SUM"),
        ((None, 1, 2, 3), "op=None: expected an Op"),
        ((SUM, 40_000, 2, 3), "in1 of SCALAR_SUM=40000: expected an integer from 0 to 9999"),
        ((SUM, 1, -2, 3), "in2 of SCALAR_SUM=-2"),
        ((SUM, 1, 2.0, 3), "in2 of SCALAR_SUM=2.0"),
        ((SUM, 1, 2, True), "out of SCALAR_SUM=True"),
        ((SUM, 1, 2, 0), "out=0 of SCALAR_SUM: expected 1 or more"),
        ((SUM, 1, 2, 3, (0.5,)), r"constants=\(0.5,\): expected 0 numbers"),
        ((CONSTANT, 1, 0, 3, (0.5,)), "in1=1 of SCALAR_CONST_SET: expected 0"),
        ((CONSTANT, 0, 0, 3), r"constants=\(\): expected 1 numbers of SCALAR_CONST_SET \(value\)"),
        ((CONSTANT, 0, 0, 3, 0.5), "constants=0.5: expected 1 numbers"),
        ((CONSTANT, 0, 0, 3, ("a",)), "constant 1 of SCALAR_CONST_SET='a'"),
        ((ELEMENT, 0, 0, 3, (1.5, 2)), r"constant 1 of VECTOR_CONST_SET=1.5: expected an index in \[0, 1\)"),
        ((ELEMENT, 0, 0, 3, (float("nan"), 2)), "constant 1 of VECTOR_CONST_SET=nan"),
        ((ELEMENT, 0, 0, 3, (0.5, 2, 3)), r"constants=\(0.5, 2, 3\): expected 2 numbers"),
    ],
)
def test_wrong_instructions(arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Instruction(*arguments)


def test_instructions_take_names_and_numpys_numbers():
    instruction = Instruction("vector_const_set", out=np.int64(3), constants=np.array([0.5, 2], np.float32))
    assert str(instruction) == "v3[0.5] = 2.0"
    assert instruction == Instruction(ELEMENT, 0, 0, 3, (0.5, 2.0))


def test_programs_are_made_of_instructions():
    for given in ([SUM], "text", 5, Instruction(SUM, 1, 2, 3), None):
        with pytest.raises((TypeError, ValueError), match=r"^predict"):
            Program.from_instructions(predict=given)
    with pytest.raises(ValueError, match=r"^function='predict': expected one of 'Setup'"):
        Program.from_instructions().instructions("predict")


CODE, CONSTANTS = np.array([[1, 1, 2, 3], [57, 0, 0, 3]]), np.array([[0, 0, 0], [0.5, 2, 0]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"code": CODE.astype(float)}, "code: ndarray of float64: expected integers"),
        ({"code": CODE[:1]}, r"code: shape \(1, 4\): expected \(2, 4\)"),
        ({"code": CODE + np.array([99, 0, 0, 0])}, "code, line 1: op id 100: expected 0 to"),
        ({"code": CODE + np.array([0, 70_000, 0, 0])}, "code, line 1: in1=70001 of SCALAR_SUM"),
        ({"code": CODE * [1, 1, 1, 0]}, "code, line 1: out=0 of SCALAR_SUM: expected an address from 1"),
        ({"constants": np.array([["a"] * 3] * 2)}, "constants: ndarray of <U1: expected numbers"),
        ({"constants": CONSTANTS + 0.5}, "constants, line 2: index 1.0 of VECTOR_CONST_SET"),
        ({"lengths": (2, 1, 0)}, "code: shape"),
        ({"lengths": (3, -1, 0)}, "lengths=-1"),
        ({"lengths": (1.0, 1, 0)}, "lengths=1.0"),
        ({"lengths": 2}, "lengths=2"),
    ],
)
def test_wrong_arrays_of_a_program(changed, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        Program(**({"code": CODE, "constants": CONSTANTS, "lengths": (1, 1, 0)} | changed))


def test_a_program_of_numpys_default_integers_is_the_same_program():
    program = Program(CODE, CONSTANTS, np.array([1, 1, 0]))
    assert program.code.dtype == np.int16
    assert program == Program.from_text("def Setup():\n s3 = s1 + s2\ndef Predict():\n v3[0.5] = 2\n")


def test_populations_are_indexed_as_lists():
    population = random_population(5)
    programs = list(population)
    assert population[-1] == population[np.int64(4)] == programs[4]
    assert list(population[1:-1]) == programs[1:-1]
    assert list(population[::-2]) == programs[::-2]
    assert isinstance(population[:0], Population) and len(population[:0]) == 0
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index}: expected -5 to 4"):
            population[index]
    with pytest.raises(ValueError, match="index='1'"):
        population["1"]


def test_notebooks_show_programs_as_they_are_written():
    program = Program.from_text("def Predict():\n  s1 = 0.5\n")
    assert program._repr_html_() == "<pre>def Setup():\ndef Predict():\n  s1 = 0.5\ndef Learn():\n</pre>"


def test_notebooks_show_the_best_of_an_evaluation():
    evaluation = Evaluation(np.array([[0.2, 0.4], [0.6, 0.8]]), np.array([[1, 2], [1000, 2000]]))
    shown = evaluation._repr_html_()
    assert shown.index("<td>1</td><td>0.700000</td><td>1,500.0</td>") < shown.index("<td>0</td><td>0.300000</td>")
    assert "2 of 2 programs, best first; 2 tasks" in shown
    assert Evaluation(np.zeros((0, 2)), np.zeros((0, 2), np.int64))._repr_html_().startswith("<table>")
