"""What exported Python sources share: which values are kept, literals, templates with helpers."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping
from types import ModuleType

from azero_jax import dataflow
from azero_jax.export.subject import Subject
from azero_jax.text import COMPONENT_FUNCTIONS


def kept_addresses(subject: Subject) -> set[str]:
    """Addresses whose value goes from one function to another."""
    functions = {function: dataflow.instructions_of(subject.program, function) for function in COMPONENT_FUNCTIONS}
    kept = set().union(*(dataflow.read_before_written(lines) for lines in functions.values()))
    if subject.prediction not in dataflow.written(functions["Predict"]):
        kept.add(subject.prediction)
    return kept - {"v0", subject.label}


def literal(constant: float) -> str:
    """A number in Python."""
    return repr(float(constant)) if abs(constant) < float("inf") else f"float('{constant!r}')"


def indented(lines: Iterable[str], spaces: int) -> str:
    """Lines of a block, but for the indentation of the first."""
    return ("\n" + " " * spaces).join(lines)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with its places @NAME@ filled; without the line of a place where there is nothing to say."""
    for name, value in parts.items():
        if value:
            template = template.replace(f"@{name}@", value)
        else:
            template = re.sub(rf"^ *@{name}@\n", "", template, flags=re.MULTILINE)
    return template


def sources_of(module: ModuleType) -> dict[str, str]:
    """The source of each function of a module."""
    functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
    return {name: inspect.getsource(value).replace("  # fmt: skip", "") for name, value in functions.items()}


def with_helpers(text: str, helpers: Mapping[str, str]) -> str:
    """A module with the helpers that it calls, and those that they call, at its line @HELPERS@."""
    wanted: set[str] = set()
    todo = [text]
    while todo:
        for name in _called(todo.pop()) & set(helpers) - wanted:
            wanted.add(name)
            todo.append(helpers[name])
    used = "\n\n".join(source for name, source in helpers.items() if name in wanted)
    return text.replace("@HELPERS@\n", f"{used}\n\n" if used else "")


def _called(text: str) -> set[str]:
    """Names of plain functions that a piece of Python calls."""
    calls = (node for node in ast.walk(ast.parse(text.replace("@HELPERS@", ""))) if isinstance(node, ast.Call))
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}
