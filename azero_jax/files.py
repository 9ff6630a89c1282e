"""Files that are always whole: replaced at once, grown by whole lines, in strict JSON, never through a link.

Strict JSON has no infinity and no NaN: here infinity is the string "Infinity" (or
"-Infinity"), and what is not a number is null.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import pathlib
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

# Windows knows no such flags; there links need rights that users do not have.
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_ASIDE = re.compile(r"\.[0-9a-f]{16}\.tmp$")


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON, which every parser reads."""
    return json.dumps(_strict(value), indent=indent, allow_nan=False)


# What stands in strict JSON for numbers that it does not have.
NUMBERS_IN_JSON = {"Infinity": math.inf, "-Infinity": -math.inf, None: math.nan}


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Writes a file so that its name never holds a part of it; a link of that name is replaced, not followed.

    Raises:
      OSError: it cannot be written; the error names it.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o666), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def directory_at_once(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a directory to write to; one that is new gets its name when it is left, with what is in it.

    Raises:
      OSError: it cannot be made; the error names it.
    """
    if path.is_dir():
        yield path
        return
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        aside.mkdir()
        yield aside
        os.rename(aside, path)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        within = pathlib.Path(error.filename or aside)
        named = path / within.name if within.parent == aside else path
        raise OSError(error.errno, error.strerror, str(named)) from error


def remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what was being written aside when a process was killed."""
    if directory.is_dir():
        for path in directory.iterdir():
            if _ASIDE.search(path.name):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def check_regular(path: pathlib.Path) -> None:
    """Checks that a file can be written where there is nothing or a file, not a link, a pipe or a directory.

    Raises:
      ValueError: there is something else.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory"}
        kind = kinds.get(stat.S_IFMT(mode), "no file")
        raise ValueError(f"{path} is {kind}: expected a file or nothing, since a run writes there")


class JsonLines:
    """A file of JSON objects, one a line, that grows by whole lines only.

    Args:
      path: made if it does not exist.

    Raises:
      ValueError: a link, or no file.
      OSError: it cannot be opened; methods raise it, too, and name the file.
    """

    def __init__(self, path: pathlib.Path):
        check_regular(path)
        self._path = path
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o666)
        self.position = os.fstat(self._number).st_size

    def append(self, record: dict) -> None:
        """Adds a line, or nothing if there is no room for it."""
        line = to_json(record).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.write(self._number, line[written:])
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._number, self.position)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self._path)) from error
            raise
        self.position += len(line)

    def cut(self, position: int) -> None:
        """Drops the lines behind one of its earlier positions."""
        self.position = min(position, self.position)
        os.ftruncate(self._number, self.position)

    def close(self) -> None:
        """Closes the file."""
        if self._number >= 0:
            number, self._number = self._number, -1
            os.close(number)


class Kept(NamedTuple):
    """What was left of a file of JSON lines.

    Attributes:
      records: lines kept.
      damaged: whole lines that were no JSON objects, now dropped.
    """

    records: int
    damaged: int


def keep_lines(path: pathlib.Path, wanted: Callable[[dict], bool]) -> Kept:
    """Cuts a file of JSON lines, down to whole lines that are wanted.

    Args:
      path: of the file; without one there is nothing to keep.
      wanted: of a record; the first that is not wanted, and all behind it, goes.

    Raises:
      ValueError: a link, or no file; or what `wanted` raises.
      OSError: it cannot be read or written.
    """
    check_regular(path)
    kept, damaged, size = [], 0, 0
    try:
        with open(path, "rb") as file:
            for line in file:
                size += len(line)
                record = _record(line)
                if record is None:
                    damaged += line.endswith(b"\n")
                elif wanted(record):
                    kept.append(line)
                else:
                    break
    except FileNotFoundError:
        return Kept(0, 0)
    content = b"".join(kept)
    if damaged or size - len(content) > 0:
        with open(path, "rb") as file:
            is_prefix = file.read(len(content)) == content
        if is_prefix:
            os.truncate(path, len(content))
        else:
            write_atomically(path, content)
    return Kept(len(kept), damaged)


def _record(line: bytes) -> dict | None:
    """The object of a whole line, or None."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_json(path: pathlib.Path) -> dict | None:
    """The object that a file holds; None if there is no such file, or something else in it."""
    try:
        check_regular(path)
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def is_closed_pipe(error: OSError) -> bool:
    """Whether nobody reads any more what was written: a pipe, or a terminal that is gone."""
    return isinstance(error, BrokenPipeError) or error.errno == errno.EIO
