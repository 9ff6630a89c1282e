"""A program as LaTeX, for papers: one aligned line for each instruction."""

from __future__ import annotations

from azero_jax import dataflow, ops
from azero_jax.export.forms import FORMS
from azero_jax.export.subject import Subject
from azero_jax.program import Instruction, MemorySize, Program
from azero_jax.text import COMPONENT_FUNCTIONS

_SYMBOLS = {"s": "s_{%d}", "v": r"\mathbf{v}_{%d}", "m": r"\mathbf{M}_{%d}"}
_SPACES = {"s": "", "v": "^{F}", "m": r"^{F \times F}"}
_ROLES = {
    False: {"v0": r"\mathbf{x}", "s0": "y", "s1": r"\hat{y}"},
    True: {"v0": r"\mathbf{x}", "v1": r"\mathbf{y}", "v2": r"\hat{\mathbf{y}}"},
}


def to_latex(program: Program, *, loss: str = "rmse", memory: MemorySize | None = None, roles: bool = True) -> str:
    """An `aligned` environment, for display math with the package amsmath.

    Args:
      program: what to print; dead instructions are left out.
      loss: where label and prediction are, as of `Tasks`.
      memory: the addresses there are.
      roles: features, label and prediction are x, y and y-hat, not the addresses that hold them.

    Raises:
      TypeError: no program.
      ValueError: an unknown loss, or an address outside the memory.
    """
    subject = Subject.of(program, loss, memory)
    names = _ROLES[subject.vector_labels] if roles else {}
    rows = []
    for function in COMPONENT_FUNCTIONS:
        lines = dataflow.instructions_of(subject.program, function)
        if lines:
            rows.append(rf"&\textbf{{{function}}}")
            rows += [r"&\quad " + _line(line, names) for line in lines]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n"


def _line(instruction: Instruction, names: dict[str, str]) -> str:
    """One instruction."""
    op, numbers = instruction.op, [_number(constant) for constant in instruction.constants]
    out = _address(dataflow.output_of(instruction), names)
    if op.draws:
        of = rf"\mathcal{{U}}\left({numbers[0]}, {numbers[1]}\right)"
        if op.draws == "gaussian":
            of = rf"\mathcal{{N}}\left({numbers[0]}, {{{numbers[1]}}}^{{2}}\right)"
        return rf"{out} \sim {of}{_SPACES[op.output]}"
    if op.writes_one_element:
        places = ", ".join(rf"\lfloor {fraction} F \rfloor" for fraction in numbers[:-1])
        return rf"\left[{out}\right]_{{{places}}} \leftarrow {numbers[-1]}"
    if op.constants:
        return rf"{out} \leftarrow {numbers[0]}"
    operands = [_address(name, names) for name in dataflow.inputs_of(instruction)]
    if op.id < ops.NUM_BUILT_IN_OPS:
        value = FORMS[op.name].latex.format(**dict(zip("ab", operands)))
    else:
        escaped = op.name.replace("_", r"\_")
        value = rf"\operatorname{{{escaped}}}\left({', '.join(operands)}\right)"
    return rf"{out} \leftarrow {value}"


def _address(name: str, names: dict[str, str]) -> str:
    """The symbol of an address."""
    return names.get(name) or _SYMBOLS[name[0]] % int(name[1:])


def _number(constant: float) -> str:
    """A number, with powers of ten written out."""
    digits = f"{constant:.6g}"
    if "inf" in digits or "nan" in digits:
        return digits.replace("inf", r"\infty").replace("nan", r"\mathrm{NaN}")
    mantissa, _, exponent = digits.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
