"""The text form of programs: the one the paper and the C++ release print.

Printing and parsing are derived from the `form` column of the op table. Parsing
reduces a line to its skeleton (`s3 = s0 - s1` to `s#=s#-s#`), looks that up, and
fills in addresses and constants; both directions are exact. Other spellings that can
mean one op only, such as those of the paper's figures, are read, too, and never printed.
docs/language.md describes all of it. The time that reading takes grows with the length of
the text and no faster, whatever the text is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from azero_jax import arguments, ops

COMPONENT_FUNCTIONS = ("Setup", "Predict", "Learn")

# Columns of code arrays.
OP, IN1, IN2, OUT = 0, 1, 2, 3
# So that registers of all kinds, numbered through, and lines fit 16 bits.
MAX_ADDRESS = 9_999
MAX_LINES = 10_000
# Characters of a line without its comment; instructions have at most a hundred or so.
MAX_LINE_LENGTH = 2_000

_HEADERS = "'def Setup():', 'def Predict():' or 'def Learn():'"
_MOST_SHOWN = 80

# The possessive ++ and *+ never give back what they took: nothing is read twice.
_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER = re.compile(r"def\s++([A-Za-z_][A-Za-z0-9_]*+)\s*+\(\s*+\)\s*+:?+")
_FENCE = re.compile(r"(?:`{3,}+|~{3,}+)\s*+[A-Za-z0-9_+-]*+")
_NUMBER = r"(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+"
_REST = rf"|(?P<word>[A-Za-z_][A-Za-z0-9_]*+)|(?P<number>{_NUMBER})|(?P<space>\s++)|(?P<symbol>.)"
_TOKEN = re.compile(r"(?P<register>[svm][0-9]++(?![A-Za-z0-9_]))" + _REST, re.DOTALL)
_FORM_TOKEN = re.compile(r"(?P<register>[svm]\{[abo]\})|(?P<field>\{[xyz]\})" + _REST, re.DOTALL)
_NOTHING = (None, "")  # behind the last token
_INTEGER = re.compile(r"[0-9]++")

# Signs that typesetting puts in place of - * /, as in what is copied from a PDF or a web page.
_TYPESET = str.maketrans({"−": "-", "–": "-", "‐": "-", "‑": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "∕": "/"})  # noqa: RUF001

# Lowest address of each kind that may stand for zeros: s0 and s1, v0, and v1 and v2 of
# tasks with several classes hold something whatever the program writes.
_FIRST_ZEROS = {"s": 2, "v": 3, "m": 0}
_ZEROS = -1  # in place of such an address until all lines are read


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

    def zeros(self) -> tuple[str, ...]:
        """Operands that a literal 0 stands for."""
        return tuple(field for field, _ in zip("ab", self.op.inputs) if field not in self.registers)


class _Line(NamedTuple):
    """A line of a program's text."""

    number: int  # from 1, as editors count
    raw: str
    code: str  # without its comment, stripped

    def error(self, expected: str) -> ValueError:
        """What to raise where the line is not what was expected."""
        text = self.raw.strip()
        if len(text) > _MOST_SHOWN:
            return ValueError(
                f"line {self.number}: {text[: _MOST_SHOWN - 3] + '...'!r} ({len(text)} characters): expected {expected}"
            )
        return ValueError(f"line {self.number}: {text!r}: expected {expected}")


class _Instruction(NamedTuple):
    line: _Line
    form: _Form
    addresses: dict[str, int]  # of "a", "b" and "o"
    constants: tuple[float, ...]


def parse(text: str, addresses: Mapping[str, int] | None = None, features_size: int | None = None) -> Code:
    """Reads a program.

    Args:
      text: component functions in any order, each once; one that is absent is
        empty. `#` starts a comment; blank lines and indentation do not matter.
      addresses: how many addresses there are of each kind; by default any number.
      features_size: F, if element indices may be integers, as in `v3[5] = -2.4`.

    Raises:
      ValueError: a line is not understood, writes to s0 or v0 or uses an address
        out of range; the message names its number, its text and what was expected.
      TypeError: an argument of another type.
    """
    if not isinstance(text, str):
        raise TypeError(f"program text: expected a string, got {type(text).__name__}")
    if features_size is not None:
        features_size = arguments.integer("features_size", features_size, 1)
    if addresses is None:
        addresses = dict.fromkeys(ops.KINDS, MAX_ADDRESS + 1)
    function: str | None = None
    functions: dict[str, list[_Instruction]] = {}
    for number, raw in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        code = raw.partition("#")[0].strip()
        if not code or (code[0] in "`~" and _FENCE.fullmatch(code)):
            continue
        line = _Line(number, raw, code)
        if len(line.code) > MAX_LINE_LENGTH:
            raise line.error(f"at most {MAX_LINE_LENGTH} characters before the comment")
        if line.code.startswith("def") and (header := _HEADER.fullmatch(line.code)):
            function = _component_function(line, header.group(1))
            if function in functions:
                raise line.error(f"each component function once, {function} was defined before")
            functions[function] = []
        elif function is None:
            raise line.error(f"{_HEADERS} before the first instruction")
        elif line.code != "pass":
            functions[function].append(_parse_instruction(line, addresses, features_size))
            if sum(map(len, functions.values())) > MAX_LINES:
                raise line.error(f"at most {MAX_LINES} instructions of all component functions")
    if not functions:
        raise ValueError("program text has no component function; expected 'def Predict():' and its instructions")
    ordered = [instruction for name in COMPONENT_FUNCTIONS for instruction in functions.get(name, [])]
    _choose_zeros(ordered, addresses)
    return Code(
        code=np.array([(i.form.op.id, *i.addresses.values()) for i in ordered], np.int16).reshape(-1, 4),
        constants=np.array([i.constants for i in ordered], np.float64).reshape(-1, ops.MAX_CONSTANTS),
        lengths=tuple(len(functions.get(name, [])) for name in COMPONENT_FUNCTIONS),  # type: ignore[arg-type]
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


def _component_function(line: _Line, name: str) -> str:
    for function in COMPONENT_FUNCTIONS:
        if name.lower() == function.lower():
            return function
    raise line.error(f"a component function named one of {', '.join(COMPONENT_FUNCTIONS)}")


class _Skeleton(NamedTuple):
    """A line with addresses and numbers replaced by #, and both, in printed order."""

    text: str
    registers: tuple[str, ...]  # "s12", or of a form "s{a}"
    numbers: tuple[str, ...]  # "-0.5", "inf", or of a form "{x}"


def _skeleton(code: str, token: re.Pattern = _TOKEN) -> _Skeleton:
    tokens = [(match.lastgroup, match.group()) for match in token.finditer(code)]
    tokens = [token for token in tokens if token[0] != "space"]
    parts: list[str] = []
    registers: list[str] = []
    numbers: list[str] = []
    sign = ""
    after_operand = False
    for (kind, value), following, behind in zip(tokens, [*tokens[1:], _NOTHING], [*tokens[2:], _NOTHING, _NOTHING]):
        if _is_number(kind, value, following):
            parts.append("#")
            numbers.append(sign + value)
            sign = ""
        elif kind == "register":
            parts.append(value[0] + "#")
            registers.append(value)
        elif value in ("+", "-") and not after_operand and _is_number(*following, behind):
            sign = value
        else:
            parts.append(value)
        after_operand = kind != "symbol" or value in (")", "]")
    return _Skeleton("".join(parts), tuple(registers), tuple(numbers))


def _is_number(kind: str | None, value: str, following: tuple[str | None, str]) -> bool:
    if kind == "word":  # a function of that name could be registered
        return value in ("inf", "nan") and following[1] != "("
    return kind in ("number", "field")


def _read_form(op: ops.Op, form: str) -> tuple[str, _Form]:
    """The skeleton of a form of the op, and what it means."""
    skeleton = _skeleton(form, _FORM_TOKEN)
    meaning = tuple(text[1] if text[0] == "{" else float(text) for text in skeleton.numbers)
    return skeleton.text, _Form(op, tuple(register[2] for register in skeleton.registers), meaning)


def _other_spellings() -> list[tuple[str, str]]:
    """Names of built-in ops, and forms that can mean nothing else: the paper's, NumPy's, and short ones."""
    spellings = [("NO_OP", form) for form in ("NoOp", "no_op", "no_op()", "NO_OP", "NO_OP()")]
    for kind, name in ops.KIND_NAMES.items():
        name = name.upper()
        spellings.append((f"{name}_HEAVISIDE", f"{kind}{{o}} = heaviside({kind}{{a}})"))
        for short in ("min", "max"):
            for word in (short, f"{short}imum"):
                form = f"{kind}{{o}} = {word}"
                spellings += [
                    (f"{name}_{short.upper()}", f"{form}({kind}{{a}}, {kind}{{b}})"),
                    (f"{name}_{short.upper()}", f"{form}(0, {kind}{{b}})"),
                    (f"{name}_{short.upper()}", f"{form}({kind}{{a}}, 0)"),
                ]
    for kind in "vm":
        name = ops.KIND_NAMES[kind].upper()
        spellings.append((f"SCALAR_{name}_PRODUCT", f"{kind}{{o}} = {kind}{{b}} * s{{a}}"))
        sizes = ["n_features", "num_features", "features_size", "n", "F"]
        sizes = sizes if kind == "v" else [f"({size}, {size})" for size in sizes]
        for draw in ("uniform", "gaussian"):
            for size in ["", *(f", {size}" for size in sizes)]:
                spellings.append((f"{name}_{draw.upper()}_SET", f"{kind}{{o}} = {draw}({{x}}, {{y}}{size})"))
    spellings.append(("MATRIX_MATRIX_PRODUCT", "m{o} = dot(m{a}, m{b})"))
    spellings.append(("MATRIX_VECTOR_PRODUCT", "v{o} = matmul(m{a}, v{b})"))
    return spellings


@functools.lru_cache(maxsize=4)
def _forms(*version) -> dict[str, list[_Form]]:
    """Forms by skeleton, printed ones first, for one version of the table."""
    forms: dict[str, list[_Form]] = {}
    printed = [(op, op.form) for op in ops.known()]
    for op, form in [*printed, *((ops.op_named(name), form) for name, form in _other_spellings())]:
        skeleton, meaning = _read_form(op, form)
        known = forms.setdefault(skeleton, [])
        if meaning not in known:
            known.append(meaning)
    return forms


def _parse_instruction(line: _Line, limits: Mapping[str, int], features_size: int | None) -> _Instruction:
    skeleton = _skeleton(line.code.translate(_TYPESET))
    candidates = _forms(*ops.version()).get(skeleton.text, [])
    if not candidates:
        raise line.error(_what_was_meant(skeleton))
    values = [_number(line, text) for text in skeleton.numbers]
    for form in candidates:
        if all(value == token for token, value in zip(form.numbers, values) if isinstance(token, float)):
            break
    else:
        if any(form.zeros() for form in candidates):
            raise line.error("addresses as operands, or 0, for which an address that nothing writes is taken")
        raise line.error("an instruction such as " + " or ".join(dict.fromkeys(map(_example, candidates))))
    addresses = dict.fromkeys("abo", 0) | dict.fromkeys(form.zeros(), _ZEROS)
    for field, register in zip(form.registers, skeleton.registers):
        addresses[field] = _address(line, register, limits)
    if form.op.output in ("s", "v") and addresses["o"] == 0:
        holds = "label" if form.op.output == "s" else "features"
        raise line.error(f"an output other than {form.op.output}0, which holds the {holds} and is read-only")
    constants = dict.fromkeys("xyz", 0.0)
    meanings = dict(zip("xyz", form.op.constants))
    for token, text, value in zip(form.numbers, skeleton.numbers, values):
        if isinstance(token, str):
            constants[token] = _index(line, text, value, features_size) if meanings[token] == "index" else value
    return _Instruction(line, form, addresses, tuple(constants.values()))


def _number(line: _Line, text: str) -> float:
    value = float(text)
    if abs(value) == np.inf and "inf" not in text:
        raise line.error("numbers below 1.8e308, or 'inf' where infinity is meant")
    return value


def _index(line: _Line, text: str, value: float, features_size: int | None) -> float:
    """The fraction that stands for an element: given as such, or as an integer below `features_size`."""
    if features_size is not None and _INTEGER.fullmatch(text):
        if value < features_size:
            return (value + 0.5) / features_size
        raise line.error(f"element indices from 0 to {features_size - 1}, or fractions in [0, 1)")
    if not 0 <= value < 1:
        raise line.error(
            "indices as fractions in [0, 1) of the number of features F, since programs run with any F; "
            "element i is (i + 0.5) / F, which Program.from_text(text, features_size=F) does"
        )
    return value


def _address(line: _Line, register: str, limits: Mapping[str, int]) -> int:
    kind, digits = register[0], register[1:].lstrip("0") or "0"
    limit = limits[kind]
    if len(digits) > len(str(MAX_ADDRESS)) or int(digits) >= limit:
        known = f"{kind}0 to {kind}{limit - 1}" if limit else "none"
        cut = register if len(register) <= 12 else register[:9] + "..."
        raise line.error(f"{ops.KIND_NAMES[kind]} addresses within range ({known}), not {cut}")
    return int(digits)


def _choose_zeros(instructions: list[_Instruction], limits: Mapping[str, int]) -> None:
    """Gives every literal 0 that stands for an operand the lowest address that nothing writes."""
    written = {(i.form.op.output, i.addresses["o"]) for i in instructions}
    chosen: dict[str, int | None] = {}
    for line, form, addresses, _ in instructions:
        for field in form.zeros():
            kind = form.op.inputs["ab".index(field)]
            if kind not in chosen:
                free = (a for a in range(_FIRST_ZEROS[kind], limits[kind]) if (kind, a) not in written)
                chosen[kind] = next(free, None)
            address = chosen[kind]
            if address is None:
                name = ops.KIND_NAMES[kind]
                raise line.error(
                    f"a {name} address in place of 0; the memory has {limits[kind]} {name} addresses, and none from "
                    f"{kind}{_FIRST_ZEROS[kind]} on that nothing writes and so holds zeros"
                )
            addresses[field] = address


def _example(form: _Form) -> str:
    return repr(ops.example(form.op))


def _what_was_meant(skeleton: _Skeleton) -> str:
    """What to expect of a line that has no form."""
    import difflib

    forms = _forms(*ops.version())
    if skeleton.text.startswith("def"):
        return f"{_HEADERS}, alone in its line"
    if skeleton.text in ("s#=s#", "v#=v#", "m#=m#"):
        kind = skeleton.text[0]
        return f"an op: nothing copies, {kind}3 = {kind}1 + {kind}2 does where nothing writes {kind}2"
    if skeleton.text in ("s#=-s#", "v#=-v#", "m#=-m#"):
        kind = skeleton.text[0]
        return f"an op: nothing negates, {kind}3 = {kind}1 - {kind}2 does where nothing writes {kind}1"
    target, equals, rest = skeleton.text.partition("=")
    if equals and "#" in rest:
        for kind in "svm":
            # `s3 = 2 * s4` is `s3 = s2 * s4` but for the constant.
            with_address = re.sub(r"(?<![svm])#", f"{kind}#", rest)
            if with_address != rest and f"{target}={with_address}" in forms:
                meant = _example(forms[f"{target}={with_address}"][0])
                return f"addresses, not constants, as operands, such as {meant}; s2 = 0.5 sets one"
    close = difflib.get_close_matches(skeleton.text[:_MOST_SHOWN], list(forms), n=3, cutoff=0.6)
    if not close:
        return "an instruction in one of the forms of docs/ops.md, such as 's3 = s0 - s1'"
    return "an instruction such as " + " or ".join(dict.fromkeys(_example(forms[match][0]) for match in close))
