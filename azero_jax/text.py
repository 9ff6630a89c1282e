"""The text form of programs: the one the paper and the C++ release print.

Printing and parsing are derived from the `form` column of the op table. Parsing
reduces a line to its skeleton (`s3 = s0 - s1` to `s#=s#-s#`), looks that up, and
fills in addresses and constants; both directions are exact.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from azero_jax import ops

COMPONENT_FUNCTIONS = ("Setup", "Predict", "Learn")

# Columns of code arrays.
OP, IN1, IN2, OUT = 0, 1, 2, 3
# So that registers of all kinds, numbered through, and lines fit 16 bits.
MAX_ADDRESS = 9_999
MAX_LINES = 10_000

_HEADER = re.compile(r"def\s+(\w+)\s*\(\s*\)\s*:$")
_TOKEN = re.compile(
    r"(?P<register>(?<![A-Za-z0-9_])[svm]\d+(?![A-Za-z0-9_]))"
    r"|(?P<number>(?<![A-Za-z0-9_)\].])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![A-Za-z0-9_])"
    r"|(?<![A-Za-z0-9_])[-+]?(?:inf|nan)(?![A-Za-z0-9_(]))"
    r"|(?P<field>\{[abo]\}|\{[xyz]\})"
)


class Code(NamedTuple):
    """Instructions of one program as arrays.

    Attributes:
      code: int16 [n, 4], columns OP, IN1, IN2, OUT.
      constants: float64 [n, 3].
      lengths: instructions of Setup, Predict and Learn; their sum is n.
    """

    code: np.ndarray
    constants: np.ndarray
    lengths: tuple[int, int, int]


class _Form(NamedTuple):
    """One op's printed form: what each register and number of it stands for."""

    op: ops.Op
    registers: tuple[str, ...]  # "a", "b" or "o", in printed order
    numbers: tuple[str | float, ...]  # "x", "y", "z", or the literal that is printed


def parse(text: str, addresses: Mapping[str, int] | None = None) -> Code:
    """Reads a program.

    Args:
      text: component functions in any order, each once; one that is absent is
        empty. `#` starts a comment; blank lines and indentation do not matter.
      addresses: how many addresses there are of each kind; by default any number.

    Raises:
      ValueError: a line is not understood, writes to s0 or v0 or uses an address
        out of range; the message names its number, its text and what was expected.
    """
    if addresses is None:
        addresses = dict.fromkeys(ops.KINDS, MAX_ADDRESS + 1)
    function: str | None = None
    lines: dict[str, list[tuple[tuple[int, ...], tuple[float, ...]]]] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        header = _HEADER.match(line)
        if header:
            function = header.group(1)
            if function not in COMPONENT_FUNCTIONS:
                raise _error(number, raw, f"a component function named one of {', '.join(COMPONENT_FUNCTIONS)}")
            if function in lines:
                raise _error(number, raw, f"each component function once, {function} was defined before")
            lines[function] = []
        elif function is None:
            raise _error(number, raw, "'def Setup():', 'def Predict():' or 'def Learn():' before the first instruction")
        else:
            lines[function].append(_parse_instruction(number, raw, line, addresses))
    if not lines:
        raise ValueError("program text has no component function; expected 'def Predict():' and its instructions")
    ordered = [instruction for name in COMPONENT_FUNCTIONS for instruction in lines.get(name, [])]
    return Code(
        code=np.array([code for code, _ in ordered], np.int16).reshape(-1, 4),
        constants=np.array([constants for _, constants in ordered], np.float64).reshape(-1, ops.MAX_CONSTANTS),
        lengths=tuple(len(lines.get(name, [])) for name in COMPONENT_FUNCTIONS),  # type: ignore[arg-type]
    )


def print_program(code: Code) -> str:
    """The text of a program; `parse` gives back the same arrays."""
    out = []
    start = 0
    for name, length in zip(COMPONENT_FUNCTIONS, code.lengths):
        out.append(f"def {name}():")
        out += ["  " + print_instruction(code.code[i], code.constants[i]) for i in range(start, start + length)]
        start += length
    return "\n".join(out) + "\n"


def print_instruction(code: np.ndarray, constants: np.ndarray) -> str:
    """The text of one instruction, given its row of code and of constants."""
    op = ops.table()[code[OP]]
    fields = {"a": code[IN1], "b": code[IN2], "o": code[OUT]}
    fields |= {name: repr(float(value)) for name, value in zip("xyz", constants)}
    return op.form.format(**fields)


def _error(number: int, raw: str, expected: str) -> ValueError:
    return ValueError(f"line {number}: {raw.strip()!r}: expected {expected}")


def _skeleton(line: str) -> tuple[str, list[str], list[str]]:
    """The line with registers and numbers replaced, and both, in printed order."""
    registers: list[str] = []
    numbers: list[str] = []

    def replace(match: re.Match) -> str:
        token = match.group()
        if match.lastgroup == "register":
            registers.append(token)
            return token[0] + "#"
        if match.lastgroup == "field" and token[1] in "abo":
            registers.append(token[1])
            return "#"
        numbers.append(token.strip("{}"))
        return "#"

    skeleton = _TOKEN.sub(replace, line)
    return re.sub(r"\s+", "", skeleton), registers, numbers


@functools.lru_cache(maxsize=4)
def _forms(num_ops: int, changes: int) -> dict[str, list[_Form]]:
    """Forms by skeleton, for one version of the table."""
    forms: dict[str, list[_Form]] = {}
    for op in ops.known():
        skeleton, registers, numbers = _skeleton(op.form)
        meaning = tuple(token if token in "xyz" else float(token) for token in numbers)
        forms.setdefault(skeleton, []).append(_Form(op, tuple(registers), meaning))
    return forms


def _parse_instruction(
    number: int, raw: str, line: str, limits: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    skeleton, registers, numbers = _skeleton(line)
    candidates = _forms(*ops.version()).get(skeleton, [])
    if not candidates:
        raise _error(number, raw, _closest_form(skeleton))
    for form in candidates:
        literals = [(token, float(text)) for token, text in zip(form.numbers, numbers)]
        if all(value == token for token, value in literals if isinstance(token, float)):
            break
    else:
        raise _error(number, raw, "an instruction such as " + " or ".join(f"{ops.example(f.op)!r}" for f in candidates))
    addresses = dict.fromkeys("abo", 0)
    for field, register in zip(form.registers, registers):
        addresses[field] = int(register[1:])
        if addresses[field] >= limits[register[0]]:
            known = f"{register[0]}0 to {register[0]}{limits[register[0]] - 1}" if limits[register[0]] else "none"
            raise _error(number, raw, f"{ops.KIND_NAMES[register[0]]} addresses within range ({known}), not {register}")
    if form.op.output in ("s", "v") and addresses["o"] == 0:
        holds = "label" if form.op.output == "s" else "features"
        raise _error(number, raw, f"an output other than {form.op.output}0, which holds the {holds} and is read-only")
    constants = dict.fromkeys("xyz", 0.0) | {token: value for token, value in literals if isinstance(token, str)}
    for kind, name in zip(form.op.constants, "xyz"):
        if kind == "index" and not 0 <= constants[name] < 1:
            raise _error(number, raw, "indices as fractions in [0, 1)")
    return (form.op.id, addresses["a"], addresses["b"], addresses["o"]), tuple(constants.values())


def _closest_form(skeleton: str) -> str:
    import difflib

    forms = _forms(*ops.version())
    close = difflib.get_close_matches(skeleton, list(forms), n=3, cutoff=0.6)
    if not close:
        return "an instruction in one of the forms of docs/ops.md, such as 's3 = s0 - s1'"
    return "an instruction such as " + " or ".join(repr(ops.example(forms[match][0].op)) for match in close)
