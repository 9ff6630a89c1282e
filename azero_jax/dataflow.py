"""What the instructions of one program read and write, by the names of addresses: s3, v0, m1.

For whoever needs a program's data flow in Python: exports, and the question whether a
prediction depends on the ones before.
"""

from __future__ import annotations

from collections.abc import Iterable

from azero_jax.program import Instruction, Program


def inputs_of(instruction: Instruction) -> tuple[str, ...]:
    """Addresses of the operands, in order."""
    addresses = (instruction.in1, instruction.in2)
    return tuple(f"{kind}{address}" for kind, address in zip(instruction.op.inputs, addresses))


def output_of(instruction: Instruction) -> str:
    """The address that is written; "" for the no-op."""
    return f"{instruction.op.output}{instruction.out}" if instruction.op.output else ""


def reads_of(instruction: Instruction) -> tuple[str, ...]:
    """Addresses whose values matter: the operands, and the output where only one element of it is set."""
    kept = (output_of(instruction),) if instruction.op.writes_one_element else ()
    return inputs_of(instruction) + kept


def instructions_of(program: Program, function: str) -> tuple[Instruction, ...]:
    """Those of "Setup", "Predict" or "Learn", without no-ops."""
    return tuple(instruction for instruction in program.instructions(function) if instruction.op.output)


def written(instructions: Iterable[Instruction]) -> set[str]:
    """Addresses that are written."""
    return {output_of(instruction) for instruction in instructions} - {""}


def read_before_written(instructions: Iterable[Instruction]) -> set[str]:
    """Addresses whose values of before matter."""
    seen: set[str] = set()
    found: set[str] = set()
    for instruction in instructions:
        found |= set(reads_of(instruction)) - seen
        seen.add(output_of(instruction))
    return found


def prediction_address(vector_labels: bool) -> str:
    """Where Predict leaves its result."""
    return "v2" if vector_labels else "s1"


def label_address(vector_labels: bool) -> str:
    """Where Learn finds the label, and Predict zero."""
    return "v1" if vector_labels else "s0"


def carried_by_predict(program: Program, vector_labels: bool = False) -> set[str]:
    """Addresses by which one prediction changes the next: Predict reads what an earlier Predict has written.

    Args:
      program: without dead instructions.
      vector_labels: whether labels and predictions are v1 and v2.
    """
    predict = instructions_of(program, "Predict")
    return (read_before_written(predict) & written(predict)) - {"v0", label_address(vector_labels)}


def draws_in_predict(program: Program) -> bool:
    """Whether Predict draws random numbers, which are others for each example."""
    return any(instruction.op.draws for instruction in instructions_of(program, "Predict"))
