"""Writes docs/ops.md from the op table: python scripts/write_op_docs.py"""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from azero_jax import ops  # noqa: E402
from azero_jax.commands.ops import reads, writes  # noqa: E402
from azero_jax.ops import Law, Sees  # noqa: E402

_HEAD = """\
# The ops

Written by `python scripts/write_op_docs.py` from `azero_jax/ops.py`. Numbers, names
and semantics are those of the C++ release; numbers equal Table S1 of the paper.

`s`, `v`, `m` are scalars, vectors of F elements and F x F matrices. Constants in
brackets are fractions: element `int(F * x)`. No op is protected: `1 / 0` is inf and
`log(-1)` is NaN. A task gets fitness 0 if a prediction is NaN, or off by more than
`--max_abs_error`.

| op | name | printed as | reads | writes |
|---|---|---|---|---|
"""

_TAIL = """
## Meanings

- `heaviside` of a scalar is 1 at 0 and above. Of vectors and matrices it is 1 only above 0.
- `std` is sqrt(mean(x^2) - mean(x)^2). Rounding can make it NaN.
- `minimum` and `maximum` compare. With a NaN on either side, scalars and vectors give the
  first operand, matrices the second.
- `bcast(v, axis=0)` makes every column v, `axis=1` every row. `norm(m, axis=0)` is per
  column, `axis=1` per row. `mean` and `std` with `axis=1` are per row.
- `uniform(low, high)` and `gaussian(mean, stdev)` draw anew at every step and for every
  task. What is drawn follows from the seed, the step, the task and the instruction as it
  is written: its component function, op and output address, and how many live
  instructions before it there agree in these. The size of the memory, other settings of
  the evaluator and dead instructions make no difference.

## Rounding, zeros and small numbers

- Sums of zeros, as in `dot`, `matmul` and `mean`, follow IEEE 754. If all terms are -0,
  the sum is -0, and `1 / s` is -inf. Any other sum of zeros is +0. With more than 32
  features it is always +0, since such sums begin with +0.
- Whether a zero is +0 or -0 shows in @SEES@ alone, which
  divide by it. Elsewhere it changes nothing but the sign of another zero. No loss sees it.
- Arithmetic on CPUs takes denormal numbers (below 1.2e-38 in float32, 2.2e-308 in
  float64) for zeros of their sign, as operands and as results: `0.5 * 2e-38` is 0 in
  float32. Ops that only move them, as `transpose`, keep them. No op's result tells them
  from zero, and no loss does.
- The squared errors of more than 1,024 validation examples are summed in blocks of so
  many, so that float32 keeps small ones, too.

## Laws

A search recognises programs that are equal by algebra without running them
([Equivalence](equivalence.md)). It uses the laws below, which hold to the last bit.

Laws in the last column lose the sign of zero. They are used only in programs that hold no
op which shows it. Laws with a * need finite operands. They are used only where bounds
prove that no number can be infinite or NaN. The bounds start from the data, the constants
and what random ops may draw, follow each instruction, and begin anew at a prediction
whose error was no more than `--max_abs_error`. Of ops of your own nothing is assumed.

| ops | laws | but for the sign of zero |
|---|---|---|
"""

_LAWS = {
    Law.COMMUTATIVE: "f(a, b) = f(b, a)",
    Law.FIRST_IF_SECOND_ZERO: "f(a, 0) = a",
    Law.SECOND_IF_FIRST_ZERO: "f(0, b) = b",
    Law.FIRST_IF_EQUAL: "f(a, a) = a",
    Law.COMMUTATIVE_IF_FINITE: "f(a, b) = f(b, a)*",
    Law.ZERO_IF_FIRST_ZERO: "f(0, b) = 0*",
    Law.ZERO_IF_SECOND_ZERO: "f(a, 0) = 0*",
    Law.ZERO_IF_EQUAL: "f(a, a) = 0*",
}


def _law_rows() -> list[str]:
    """One row for all ops of the same laws."""
    together: dict[tuple, list[int]] = {}
    for op in ops.table():
        if any(op.laws):
            together.setdefault((op.laws, len(op.inputs)), []).append(op.id)
    rows = []
    for (laws, inputs), ids in together.items():
        texts = (", ".join(text for law, text in _LAWS.items() if law in which) or "none" for which in laws)
        row = f"| {', '.join(map(str, ids))} | {' | '.join(texts)} |"
        rows.append(row.replace("f(0, b) = 0*", "f(0) = 0") if inputs == 1 else row)
    return rows


def page() -> str:
    """The text of docs/ops.md."""
    rows = []
    for op in ops.table():
        rows.append(f"| {op.id} | {op.name} | `{ops.example(op)}` | {reads(op)} | {writes(op)} |")
    sees = ", ".join(str(op.id) for op in ops.table() if op.sees == Sees.SIGN_OF_ZERO)
    tail = _TAIL.replace("@SEES@", f"ops {sees}") + "\n".join(_law_rows()) + "\n"
    return _HEAD + "\n".join(rows) + "\n" + tail


if __name__ == "__main__":
    if len(sys.argv) > 1:
        if sys.argv[1:] == ["--help"]:
            print(__doc__)
            sys.exit(0)
        print(f"write_op_docs.py: error: unexpected argument {sys.argv[1]!r}: expected none", file=sys.stderr)
        sys.exit(2)
    (ROOT / "docs" / "ops.md").write_text(page())
