"""Checkpoints: everything a run needs to go on exactly where it was.

One file per checkpoint: arrays and a JSON text in an .npz archive, and behind it a
checksum of it all, which is compared before anything is read. A file is written aside,
synced and renamed, so that a name always holds a whole file; the last few are kept, and
a damaged newest one falls back to the one before.
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from azero_jax.files import check_regular, directory_at_once, to_json, write_atomically
from azero_jax.version import versions

_KEPT = 2
_NAME = re.compile(r"state-(\d{8})\.npz$")
_STATE = "state.json"
_MARK = b"\nazero_jax checkpoint, sha256 "
_DIGEST_SIZE = hashlib.sha256().digest_size
_Content = TypeVar("_Content")


def save(directory: pathlib.Path, state: dict, arrays: dict[str, np.ndarray]) -> pathlib.Path:
    """Writes the next checkpoint.

    Args:
      directory: made if it does not exist.
      state: JSON values.
      arrays: by name.

    Returns:
      The file written.

    Raises:
      OSError: no room or no permission; earlier checkpoints are untouched.
    """
    existing = _files(directory)
    number = existing[-1][0] + 1 if existing else 1
    path = directory / f"state-{number:08d}.npz"
    with directory_at_once(directory) as present:
        write(present / path.name, state, arrays)
    for _, old in _files(directory)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def write(path: pathlib.Path, state: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes one file.

    Args:
      path: of the file.
      state: JSON values.
      arrays: by name.

    Raises:
      OSError: no room or no permission; what was there is untouched.
    """
    buffer = io.BytesIO()
    text = np.frombuffer(to_json(state).encode(), np.uint8)
    np.savez_compressed(buffer, **{_STATE: text}, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    write_atomically(path, content + _MARK + hashlib.sha256(content).digest())


def _as_it_is(state: dict, arrays: dict[str, np.ndarray]) -> tuple[dict, dict[str, np.ndarray]]:
    return state, arrays


def load(directory: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Reads the newest whole checkpoint; warns about damaged ones.

    Raises:
      ValueError: there is none.
    """
    return load_checked(directory, _as_it_is)


def load_checked(directory: pathlib.Path, check: Callable[[dict, dict[str, np.ndarray]], _Content]) -> _Content:
    """Reads the newest checkpoint that is whole and passes a check; warns about others.

    Args:
      directory: of the checkpoints.
      check: makes something of state and arrays, or raises ValueError or OtherVersion.

    Raises:
      ValueError: there is none, or `check` has found one of another azero_jax.
    """
    if directory.is_symlink():
        raise ValueError(f"{directory} is a symbolic link: expected a directory")
    failures: list[tuple[pathlib.Path, str]] = []
    for _, path in reversed(_files(directory)):
        try:
            content = check(*read(path))
        except OtherVersion as error:
            raise ValueError(f"cannot resume: {path}: {error}") from None
        except (OSError, ValueError) as error:
            failures.append((path, " ".join(str(error).split())))
            continue
        for damaged, reason in failures:
            warnings.warn(
                f"{damaged}: damaged checkpoint ({reason}); going back to the one before", RuntimeWarning, stacklevel=2
            )
        return content
    if failures:
        path, reason = failures[0]
        others = f", nor is any of {len(failures) - 1} before it" if len(failures) > 1 else ""
        raise ValueError(f"no checkpoint to resume from: {path} is damaged ({reason}){others}")
    raise ValueError(f"{directory}: no checkpoint to resume from")


class OtherVersion(Exception):
    """A whole checkpoint of another azero_jax."""


def read(path: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]]:
    """State and arrays of a file.

    Raises:
      ValueError: it is damaged.
      OSError: it cannot be read.
    """
    check_regular(path)
    file = path.read_bytes()
    end = len(file) - _DIGEST_SIZE
    content = file[: max(0, end - len(_MARK))]
    if end < len(_MARK) or file[len(content) : end] != _MARK:
        raise ValueError("no checksum: cut short, or of azero_jax before 0.4.0")
    if hashlib.sha256(content).digest() != file[end:]:
        raise ValueError("its checksum is wrong")
    # What has the right checksum was written as it is, though perhaps not by this module.
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads(arrays.pop(_STATE).tobytes())
    except (
        *(OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, RecursionError, MemoryError),
        *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{_STATE} is no object")
    return state, arrays


def check_version(state: dict) -> dict[str, str]:
    """The versions that wrote a state.

    Raises:
      ValueError: it does not say.
      OtherVersion: it was another azero_jax.
    """
    written_by = state.get("versions")
    if not isinstance(written_by, dict) or not all(isinstance(version, str) for version in written_by.values()):
        raise ValueError("it does not say which versions wrote it")
    now = versions()["azero_jax"]
    if written_by.get("azero_jax") != now:
        raise OtherVersion(f"the checkpoint is of azero_jax {written_by.get('azero_jax')}, this is {now}")
    return written_by


def warn_of_versions(written_by: dict[str, str]) -> None:
    """Warns where the packages that a checkpoint was written with may have rounded otherwise.

    Args:
      written_by: what `versions` said then.
    """
    for name, version in versions().items():
        before = written_by.get(name)
        if before != version:
            warnings.warn(
                f"the checkpoint was written with {name} {before}, this is {version}: the search goes on, "
                "but perhaps not exactly as it would have",
                RuntimeWarning,
                stacklevel=2,
            )


def exist(directory: pathlib.Path) -> bool:
    """Whether there are checkpoints, whole or not."""
    return bool(_files(directory))


def clear(directory: pathlib.Path, but_whole: bool = False) -> None:
    """Removes the checkpoints of an earlier run, or only the damaged ones."""
    for _, path in _files(directory):
        if not but_whole or not _is_whole(path):
            path.unlink(missing_ok=True)


def _is_whole(path: pathlib.Path) -> bool:
    try:
        read(path)
    except (OSError, ValueError):
        return False
    return True


def _files(directory: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    if not directory.is_dir():
        return []
    found = [(match, path) for path in directory.iterdir() if (match := _NAME.match(path.name))]
    return sorted((int(match.group(1)), path) for match, path in found)
