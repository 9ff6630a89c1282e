"""What people should know although nothing is wrong: lines on standard error, each once per process."""

from __future__ import annotations

import difflib
import multiprocessing
import sys
from collections.abc import Iterable

_TOLD: set[str] = set()
_is_worker = False


def tell_once(text: str) -> None:
    """Prints a line to standard error, unless this process has done so before, or is a worker of one that has."""
    if text in _TOLD or sys.stderr is None or _is_worker or multiprocessing.parent_process() is not None:
        return
    _TOLD.add(text)
    print(text, file=sys.stderr, flush=True)


def leave_to_parent() -> None:
    """Tells nothing from now on: this process is a worker of one that has."""
    global _is_worker
    _is_worker = True


def shortened(text: object, length: int = 80) -> str:
    """A value as text for a message: one line, its middle left out where it is long."""
    whole = str(text)
    if len(whole) > length:
        whole = f"{whole[: length // 2]}...{whole[-(length // 4) :]}"
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in whole)


def counted(count: int, noun: str) -> str:
    """A number with its noun, as in "1 row" or "2,000 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the end of a message, where a known name is near an unknown one; else empty."""
    near = difflib.get_close_matches(name[:80], list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
