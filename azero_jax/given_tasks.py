"""Tasks that somebody gives as arrays in Python, and their names in specifications.

Settings name their tasks by text, which files can hold. Tasks without such a text are kept
here under what identifies their content, and `given:tasks=...` asks for them. A run that is
resumed needs them given again.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from azero_jax.tasks import Tasks

NAME = "given"

_KEPT: dict[str, Tasks] = {}


def keep(tasks: Tasks) -> str:
    """Keeps tasks for as long as the process lives, and returns the specification that asks for them."""
    name = digest(tasks)[:16]
    _KEPT[name] = tasks
    return f"{NAME}:tasks={name},loss={tasks.loss}"


def find(name: str) -> Tasks:
    """Tasks that were kept.

    Raises:
      ValueError: none of that name were.
    """
    if name not in _KEPT:
        raise ValueError(
            "tasks that were given as arrays in Python: expected the same again, as in az.run(..., search_tasks=tasks)"
        )
    return _KEPT[name]


def kept() -> dict[str, Tasks]:
    """All tasks that were kept, by name."""
    return dict(_KEPT)


def keep_all(tasks: dict[str, Tasks]) -> None:
    """Keeps what another process has kept."""
    _KEPT.update(tasks)


def digest(tasks: Tasks) -> str:
    """What identifies the content of tasks, hexadecimal."""
    found = hashlib.sha256()
    for field in dataclasses.fields(tasks):
        value = getattr(tasks, field.name)
        if isinstance(value, np.ndarray):
            found.update(f"{field.name} {value.dtype} {value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        else:
            found.update(f"{field.name} {value!r}".encode())
    return found.hexdigest()
