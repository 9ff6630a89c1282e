"""The directory of a run: whether it is free, whose files are in it, and who may write to it.

A run takes its directory in two steps: it locks it, which leaves all files as they are,
and, after everything was checked, it takes it over.
"""

from __future__ import annotations

import contextlib
import os
import pathlib

from azero_jax import checkpoint
from azero_jax.ancestry import Ancestry
from azero_jax.files import check_regular, read_json, remove_leftovers, to_json, write_atomically
from azero_jax.locks import Lock
from azero_jax.reporting import METRICS, TENSORBOARD

BEST_PROGRAM, RESULT, CHECKPOINT, LOCK = "best_program.txt", "result.json", "checkpoint", "run.lock"
ANCESTRY, REPORT = "ancestry.json", "report.html"
_FILES = (RESULT, METRICS, BEST_PROGRAM, ANCESTRY, REPORT)
_DIRECTORIES = (CHECKPOINT, TENSORBOARD)


class RunDirectory:
    """A directory that this process writes a run to; a context, which holds the lock.

    Args:
      path: of the directory, made if it does not exist.
      resume: whether an earlier run goes on.
      overwrite: whether an earlier run's files may be removed.

    Raises:
      ValueError: there is a run, or with `resume` none, or another process is writing to
        one; or something that is no file stands where a file is to be written.
      OSError: it cannot be made or written.
    """

    def __init__(self, path: pathlib.Path, *, resume: bool = False, overwrite: bool = False):
        self.path = path
        self._taken = False
        if resume and not path.is_dir():
            raise ValueError(f"{path}: no such directory: nothing to resume")
        self._made = _make(path)
        try:
            self._lock = Lock(path / LOCK)
        except BaseException:
            self._unmake()
            raise
        try:
            for name in _FILES:
                check_regular(path / name)
            for name in _DIRECTORIES:
                _check_directory(path / name)
            found = self.found()
            if found and not (resume or overwrite):
                raise ValueError(
                    f"{path} holds a run ({found[0]}): go on with it by --resume, remove it by --overwrite, "
                    "or choose another directory"
                )
        except BaseException:
            self.close()
            raise

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where checkpoints are."""
        return self.path / CHECKPOINT

    def found(self) -> list[str]:
        """Files of a run that are there."""
        names = [name for name in _FILES if (self.path / name).exists()]
        if checkpoint.exist(self.checkpoints):
            names.append(f"{CHECKPOINT}/")
        if any(_events(self.path / TENSORBOARD)):
            names.append(f"{TENSORBOARD}/")
        return names

    def take_over(self, result: dict, resume: bool) -> None:
        """Makes the directory this run's: from now on its result.json says so.

        Args:
          result: what result.json is to hold.
          resume: whether other files stay.
        """
        self.write_result(result)
        self._taken = True
        remove_leftovers(self.path)
        remove_leftovers(self.checkpoints)
        checkpoint.clear(self.checkpoints, but_whole=resume)
        if not resume:
            old = [self.path / name for name in _FILES if name != RESULT]
            for path in (*old, *_events(self.path / TENSORBOARD)):
                path.unlink(missing_ok=True)

    def read_result(self) -> dict | None:
        """What result.json holds, if it can be read."""
        return read_json(self.path / RESULT)

    def write_result(self, result: dict) -> None:
        """Writes result.json."""
        write_atomically(self.path / RESULT, (to_json(result, indent=2) + "\n").encode())

    def write_best_program(self, text: str) -> None:
        """Writes best_program.txt."""
        write_atomically(self.path / BEST_PROGRAM, text.encode())

    def write_ancestry(self, run_id: str, ancestry: Ancestry) -> None:
        """Writes ancestry.json."""
        content = {"run_id": run_id, **ancestry.as_json()}
        write_atomically(self.path / ANCESTRY, (to_json(content) + "\n").encode())

    def close(self) -> None:
        """Gives the directory back; as it was, if it was not taken over."""
        self._lock.release(restore=not self._taken)
        if not self._taken:
            self._unmake()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unmake(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _make(path: pathlib.Path) -> list[pathlib.Path]:
    """Makes a directory and those above it; returns the ones made, innermost first."""
    missing = [some for some in (path, *path.parents) if not some.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    return missing


def _check_directory(path: pathlib.Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ValueError(f"{path} is no directory of its own: expected one or nothing, since a run writes there")


def _events(directory: pathlib.Path) -> list[pathlib.Path]:
    """TensorBoard's files."""
    return sorted(directory.glob("events.out.tfevents.*")) if directory.is_dir() else []


def as_path(output_dir: str | os.PathLike | None) -> pathlib.Path | None:
    """An output directory as a path; None stays None.

    Raises:
      TypeError: it is no path.
    """
    if output_dir is None:
        return None
    if not isinstance(output_dir, (str, os.PathLike)) or isinstance(os.fspath(output_dir), bytes):
        raise TypeError(f"output_dir={output_dir!r}: expected a path or its text")
    if not os.fspath(output_dir):
        raise ValueError("output_dir='': expected a path")
    return pathlib.Path(output_dir)
