"""Checkpoints: everything a run needs to go on exactly where it was.

One file per checkpoint: arrays and a JSON text in an .npz archive. It is written
aside, synced and renamed, so that a name always holds a whole file; the last few
are kept, and a damaged newest one falls back to the one before.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import re
import warnings
import zipfile
import zlib

import numpy as np

from azero_jax.version import versions

_KEPT = 2
_NAME = re.compile(r"state-(\d{8})\.npz$")


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
    directory.mkdir(parents=True, exist_ok=True)
    existing = _files(directory)
    number = existing[-1][0] + 1 if existing else 1
    path = directory / f"state-{number:08d}.npz"
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez_compressed(buffer, **{"state.json": text}, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())
    for _, old in _files(directory)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def load(directory: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Reads the newest whole checkpoint; warns about damaged ones.

    Raises:
      ValueError: there is none.
    """
    files = _files(directory) if directory.is_dir() else []
    for _, path in reversed(files):
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return json.loads(arrays.pop("state.json").tobytes()), arrays
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            warnings.warn(
                f"{path}: damaged checkpoint ({error}); going back to the one before", RuntimeWarning, stacklevel=2
            )
    raise ValueError(f"{directory}: no checkpoint to resume from")


def check_versions(written_by: dict[str, str]) -> None:
    """Warns where the packages that a checkpoint was written with may have rounded otherwise.

    Args:
      written_by: what `versions` said then.

    Raises:
      ValueError: it was another azero_jax.
    """
    for name, version in versions().items():
        before = written_by.get(name)
        if before == version:
            continue
        if name == "azero_jax":
            raise ValueError(f"cannot resume: the checkpoint is of azero_jax {before}, this is {version}")
        warnings.warn(
            f"the checkpoint was written with {name} {before}, this is {version}: the search goes on, "
            "but perhaps not exactly as it would have",
            RuntimeWarning,
            stacklevel=2,
        )


def clear(directory: pathlib.Path) -> None:
    """Removes the checkpoints of an earlier run."""
    if directory.is_dir():
        for _, path in _files(directory):
            path.unlink()


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Writes a file so that its name never holds a part of it.

    Raises:
      OSError: it cannot be written; the error names it.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def _files(directory: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    found = [(match, path) for path in directory.iterdir() if (match := _NAME.match(path.name))]
    return sorted((int(match.group(1)), path) for match, path in found)
