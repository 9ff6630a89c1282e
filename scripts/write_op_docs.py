"""Writes docs/ops.md from the op table: python scripts/write_op_docs.py"""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from azero_jax import ops  # noqa: E402
from azero_jax.commands.ops import reads, writes  # noqa: E402

_HEAD = """\
# The ops

Written by `python scripts/write_op_docs.py` from `azero_jax/ops.py`. Numbers, names
and semantics are those of the C++ release; numbers equal Table S1 of the paper.

`s`, `v`, `m` are scalars, vectors of F elements and F x F matrices. Constants in
brackets are fractions: element `int(F * x)`. Nothing is protected: `1 / 0` is inf,
`log(-1)` is NaN, and a task whose prediction is NaN or off by more than
`--max_abs_error` gets fitness 0.

| op | name | printed as | reads | writes |
|---|---|---|---|---|
"""

_TAIL = """
- `heaviside` is 1 from 0 on for scalars, and only above 0 for vectors and matrices.
- `std` is sqrt(mean(x^2) - mean(x)^2), which rounding can make NaN.
- `minimum` and `maximum` compare: with a NaN on either side scalars and vectors give
  the first operand, matrices the second.
- `bcast(v, axis=0)` makes every column v, `axis=1` every row. `norm(m, axis=0)` is per
  column, `axis=1` per row; `mean` and `std` with `axis=1` are per row.
- `uniform(low, high)` and `gaussian(mean, stdev)` draw anew at every step and for
  every task, as a function of the seed, the step, the task and the instruction.
"""


def main() -> None:
    """Writes the page."""
    rows = []
    for op in ops.table():
        rows.append(f"| {op.id} | {op.name} | `{ops.example(op)}` | {reads(op)} | {writes(op)} |")
    (ROOT / "docs" / "ops.md").write_text(_HEAD + "\n".join(rows) + "\n" + _TAIL)


if __name__ == "__main__":
    main()
