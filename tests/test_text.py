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


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        # Table S1 of the paper.
        ("s2=s3+s0", "s2 = s3 + s0"),
        ("s4=1/s8", "s4 = 1 / s8"),
        ("m7=heaviside(m3)", "m7 = heaviside(m3, 1.0)"),
        ("s3=heaviside(s4)", "s3 = heaviside(s4, 1.0)"),
        ("v5=heaviside(v4, 1)", "v5 = heaviside(v4, 1.0)"),
        ("m2=bcast(v0,axis=0)", "m2 = bcast(v0, axis=0)"),
        ("s2=0.7", "s2 = 0.7"),
        ("v1=uniform(0.4,0.8)", "v1 = uniform(0.4, 0.8, n_features)"),
        ("m2=gaussian(-2,1.3)", "m2 = gaussian(-2.0, 1.3, (n_features, n_features))"),
        ("no_op", "NoOp()"),
        ("NoOp", "NoOp()"),
        # Its figures, and how people write them.
        ("v4 = gaussian(\u22120.033, 1e\u22122)", "v4 = gaussian(-0.033, 0.01, n_features)"),
        ("v8 = gaussian(0.1, 0.2, n)", "v8 = gaussian(0.1, 0.2, n_features)"),
        ("m1 = uniform(-1, 1, (F, F))", "m1 = uniform(-1.0, 1.0, (n_features, n_features))"),
        ("s3 = max(s1, s2)", "s3 = maximum(s1, s2)"),
        ("m3 = min(m1, m2)", "m3 = minimum(m1, m2)"),
        ("v2 = v3 \xd7 s1", "v2 = s1 * v3"),
        ("m1 = dot(m2, m3)", "m1 = matmul(m2, m3)"),
        ("s3 = - 4.1", "s3 = -4.1"),
        ("s2 = -inf", "s2 = -inf"),
        ("v2[0] = 1", "v2[0.0] = 1.0"),
    ],
)
def test_other_spellings_mean_one_op(line, printed):
    program = Program.from_text(f"def Learn():\n  {line}\n")
    assert str(program.instructions("Learn")[0]) == printed


def test_figure_5_of_the_paper():
    program = Program.from_text(
        """```python
        # sX/vX/mX = scalar/vector/matrix at address X.
        def Setup():
          # Initialize variables.
          m1 = gaussian(-1e-10, 9e-09) # 1st layer weights
          s3 = 4.1 # Set learning rate
          v4 = gaussian(-0.033, 0.01) # 2nd layer weights
        def Predict() : # v0=features
          v6 = dot(m1, v0)
          v7 = maximum(0, v6)
          s1 = dot(v7, v4)
        def Learn(): # v0=features; s0=label
          v3 = heaviside(v6, 1.0)
          s1 = s0 - s1
          s2 = s1 * s3
          v2 = s2 * v3
          v3 = v2 * v4
          m0 = outer(v3, v0)
          m1 = m1 + m0
          v4 = v2 + v4
        ```""",
        MemorySize(4, 8, 2),
    )
    assert program.lengths == (3, 3, 8)
    assert "v7 = maximum(v5, v6)" in program.to_text()  # nothing writes v5


def test_zeros_need_an_address_that_nothing_writes():
    with pytest.raises(ValueError, match=r"^line 2: 'v1 = maximum\(0, v2\)': expected a vector address in place of 0"):
        Program.from_text("def Predict():\n  v1 = maximum(0, v2)\n", MemorySize(4, 3, 0))


def test_integers_are_elements_where_the_number_of_features_is_known():
    text = "def Setup():\n  v3[5]=-2.4\n  m2[5,1]=-0.03\n"
    with pytest.raises(ValueError, match=r"line 2: .*features_size=F"):
        Program.from_text(text)
    program = Program.from_text(text, features_size=6)
    (element, _), (row, column, _) = (i.constants for i in program.instructions("Setup"))
    assert [int(6 * index) for index in (element, row, column)] == [5, 5, 1]
    with pytest.raises(ValueError, match=r"line 2: .*from 0 to 4"):
        Program.from_text(text, features_size=5)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s2 = 1e400", "'inf' where infinity is meant"),
        ("s2 = -1" + "0" * 400, "'inf' where infinity is meant"),
        ("s2 = ١٢", "expected an instruction"),
        ("s2 = ５", "expected an instruction"),  # noqa: RUF001
        ("s2 = {x}", "such as 's3 = 0.25'"),
        ("s{o} = s{a} + s{b}", "expected an instruction"),
        ("s2 = s" + "9" * 1500 + " + s1", "scalar addresses within range"),
        ("s2 = " + "1" * 1900 + "x", "expected an instruction"),
        ("s2 = " + "(" * 1900, "expected an instruction"),
        ("s2 = " + "1" * 32_000 + "x", "at most 2000 characters"),
        ("s2 = " + "(" * 10_000_000, "at most 2000 characters"),
        ("s2 = s1\x00 + s3", "expected an instruction"),
        ("\ufeffs2 = s1 + s3", "expected an instruction"),
        ("s3 = 2 * s4", "addresses, not constants"),
        ("v3 = maximum(1, v4)", "expected addresses as operands, or 0"),
        ("s3 = -s4", "nothing negates"),
        ("v3 = v4", "nothing copies"),
        ("s3 = C1", "expected an instruction"),
        ("def Learn(): s3 = s0 - s1", "alone in its line"),
        ("s0 = arcsin(s4)", "expected an output other than s0"),
        ("...", "expected an instruction"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_short_words(line, expected):
    with pytest.raises(ValueError) as error:
        Program.from_text(f"def Predict():\r\n  {line}  # \u2028 \x00 \u0661\n")
    assert str(error.value).startswith("line 2: ")
    assert expected in str(error.value)
    assert len(str(error.value)) < 400


def test_line_numbers_are_those_of_an_editor():
    text = "\ufeff# \u2028 \u2029 \x85 \x0b \x0c \x1e\rdef Predict():\r\n\t s1 = s2\x0c+\xa0s3\n\ns2 = oops\n"
    with pytest.raises(ValueError, match=r"^line 5: 's2 = oops'"):
        Program.from_text(text)


@pytest.mark.parametrize("text", [None, b"def Predict():", 5, ["def Predict():"]])
def test_text_is_a_string(text):
    with pytest.raises(TypeError, match="program text: expected a string, got"):
        Program.from_text(text)


def test_a_program_has_so_many_lines_at_most():
    with pytest.raises(ValueError, match=r"^line 10002: 'NoOp': expected at most 10000 instructions"):
        Program.from_text("def Predict():\n" + "NoOp\n" * 10_001)


def test_an_instruction_needs_a_function():
    with pytest.raises(ValueError, match=r"line 1: 's1 = s2 \+ s3'.*before the first instruction"):
        Program.from_text("s1 = s2 + s3")
    with pytest.raises(ValueError, match="no component function"):
        Program.from_text("\n# nothing\n")


def test_hand_written_programs_fit_the_releases_memory():
    assert Program.from_text(LINEAR, MemorySize(4, 3, 0)).lengths == (1, 1, 4)
    assert Program.from_text(NEURAL_NET, MemorySize(5, 9, 2)).lengths == (3, 5, 11)
