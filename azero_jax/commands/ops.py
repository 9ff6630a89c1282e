"""Lists the ops that programs are made of: azero ops, or azero ops VECTOR_SUM for one."""

from __future__ import annotations

from azero_jax import ops
from azero_jax.command_line import Command, one_of


def define() -> None:
    """It has no flags of its own."""


def run(arguments: list[str]) -> None:
    """Prints the table, or all there is about the ops that were named."""
    known = {op.name.upper(): op for op in ops.table()}
    for name in arguments:
        if name.upper() not in known:
            raise ValueError(f"unknown op {name!r}: {one_of(name.upper(), list(known))}")
    for name in arguments:
        print(_about(known[name.upper()]))
    if not arguments:
        print(f"{'op':>3}  {'name':<32}{'printed as':<32}{'reads':<18}writes")
        for op in ops.table():
            print(f"{op.id:>3}  {op.name:<32}{ops.example(op):<32}{reads(op):<18}{writes(op)}")


def _about(op: ops.Op) -> str:
    rows = (("printed as", ops.example(op)), ("reads", reads(op)), ("writes", writes(op)))
    return "\n".join([f"{op.name}, op {op.id}", *(f"  {what:<12}{value}" for what, value in rows)])


def reads(op: ops.Op) -> str:
    """What an op reads."""
    return ", ".join(ops.KIND_NAMES[kind] for kind in op.inputs) or ", ".join(op.constants) or "nothing"


def writes(op: ops.Op) -> str:
    """What an op writes."""
    return ("one element of a " if op.writes_one_element else "") + ops.KIND_NAMES.get(op.output, "nothing")


COMMAND = Command(
    usage="[NAME ...]",
    what="Lists the ops that programs are made of, or says what those of some names do. docs/ops.md has the rules.",
    examples=("VECTOR_SUM SCALAR_DIVISION",),
    define=define,
    run=run,
    needs_arguments=False,
)
