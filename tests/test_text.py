from __future__ import annotations

import pytest
from generated import random_population

from azero_jax import Instruction, MemorySize, Program, ops
from azero_jax.initial_programs import LINEAR, NEURAL_NET

LINEAR_WITHOUT_COMMENT = LINEAR.replace("  # learning rate", "")


def test_prints_what_it_reads():
    assert Program.from_text(LINEAR).to_text() == LINEAR_WITHOUT_COMMENT
    assert str(Program.from_text(LINEAR)) == LINEAR_WITHOUT_COMMENT


def test_random_programs_survive_the_round_trip_exactly():
    for program in random_population(300, seed=3):
        assert Program.from_text(program.to_text()) == program


@pytest.mark.parametrize("value", ["1e-05", "-3.25", "0.1", "1e+300", "inf", "-inf", "5e-324"])
def test_constants_survive_the_round_trip(value):
    program = Program.from_text(f"def Setup():\n s2 = {value}\n")
    assert program.instructions("Setup")[0].constants == (float(value),)
    assert Program.from_text(program.to_text()) == program


def test_layout_does_not_matter():
    loose = """
    # a comment
    def  Learn( ) :
    s3=s0-s1   # the error
        NoOp()

    def Predict():
      s1 = dot( v0 ,v1 )
    """
    program = Program.from_text(loose)
    assert program.lengths == (0, 1, 2)
    assert program.to_text() == (
        "def Setup():\ndef Predict():\n  s1 = dot(v0, v1)\ndef Learn():\n  s3 = s0 - s1\n  NoOp()\n"
    )


def test_every_op_has_its_own_form():
    for op in ops.table():
        constants = tuple(0.25 * (i + 1) for i in range(len(op.constants)))
        instruction = Instruction(
            op, 3 if op.inputs else 0, 2 if len(op.inputs) > 1 else 0, 4 if op.output else 0, constants
        )
        program = Program.from_text(f"def Learn():\n{instruction}")
        assert program.instructions("Learn") == (instruction,)
        assert Program.from_instructions(learn=[instruction]) == program


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s3 = s0 - ", "expected an instruction such as 's3 = s1 - s2'"),
        ("s3 = foo(v1)", "expected an instruction"),
        ("s1 = dot(s1, s2)", "expected an instruction"),
        ("s0 = s1 + s2", "expected an output other than s0"),
        ("v0 = v1 + v2", "expected an output other than v0"),
        ("s20 = s1 + s2", "s0 to s19"),
        ("s2 = norm(m20)", "m0 to m19"),
        ("v1 = heaviside(v2, 2.0)", "'v3 = heaviside(v1, 1.0)'"),
        ("v1[1.5] = 2", "fractions in [0, 1)"),
        ("def Foo():", "Setup, Predict, Learn"),
        ("def Predict():", "each component function once"),
        ("import os", "expected an instruction"),
    ],
)
def test_a_bad_line_is_named(line, expected):
    with pytest.raises(ValueError) as error:
        Program.from_text(f"def Predict():\n  s1 = s2 + s3\n  {line}\n", MemorySize())
    assert str(error.value).startswith(f"line 3: {line.strip()!r}: ")
    assert expected in str(error.value)


def test_an_instruction_needs_a_function():
    with pytest.raises(ValueError, match=r"line 1: 's1 = s2 \+ s3'.*before the first instruction"):
        Program.from_text("s1 = s2 + s3")
    with pytest.raises(ValueError, match="no component function"):
        Program.from_text("\n# nothing\n")


def test_hand_written_programs_fit_the_releases_memory():
    assert Program.from_text(LINEAR, MemorySize(4, 3, 0)).lengths == (1, 1, 4)
    assert Program.from_text(NEURAL_NET, MemorySize(5, 9, 2)).lengths == (3, 5, 11)
