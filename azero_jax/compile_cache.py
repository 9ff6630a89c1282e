"""Where compiled machines are kept for the next start.

Compiling takes longer than most runs, so JAX's cache of executables is on for the
commands. An executable is made for one version of jaxlib and one kind of CPU, and can
crash on another, as where machines share a home directory: each has a directory of its
own. What has not been used for longest goes when all of them together grow too large.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import pathlib
import platform
import time
import warnings
from collections.abc import Callable, Iterator

import jax
import jaxlib

MOST_BYTES = 2**31
# What compiles faster than this is not worth a file.
_LEAST_SECONDS = 0.5
# What compiling takes, measured on one core of an EPYC.
_SECONDS, _SECONDS_OF_AN_OP = 5.5, 0.18


def use(directory: str | os.PathLike) -> None:
    """Lets JAX keep what it compiles below a directory, in one for this jaxlib and CPU.

    A directory that cannot be written costs a warning and compiling, not the run.
    """
    root = pathlib.Path(directory)
    own = root / f"jaxlib-{jaxlib.__version__}-{cpu_kind()}"
    try:
        own.mkdir(parents=True, exist_ok=True)
        if not os.access(own, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write to {str(own)!r}")
        prune(root, MOST_BYTES)
    except OSError as error:
        warnings.warn(f"compiled machines are not kept: {error}", RuntimeWarning, stacklevel=2)
        return
    jax.config.update("jax_compilation_cache_dir", str(own))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


@contextlib.contextmanager
def announced(tell: Callable[[str], None], num_ops: int) -> Iterator[None]:
    """Within it machines for so many ops are compiled: says so before, and how long it took after."""
    expected = _SECONDS + num_ops * _SECONDS_OF_AN_OP
    tell(f"compiling for {num_ops} ops: about {expected:.0f} s on a free core the first time, then read from the cache")
    started, before = time.monotonic(), _events.copy()
    yield
    new = _events - before
    how = "read from the cache" if new[_HIT] and not new[_MISS] else "compiled"
    tell(f"{how} in {time.monotonic() - started:.1f} s; searching")


def _count(event: str, **_: object) -> None:
    _events[event] += 1


_HIT, _MISS = "/jax/compilation_cache/cache_hits", "/jax/compilation_cache/cache_misses"
_events: collections.Counter[str] = collections.Counter()
jax.monitoring.register_event_listener(_count)


def cpu_kind(cpuinfo: str | os.PathLike = "/proc/cpuinfo") -> str:
    """A short name of the kind of CPU: of its architecture, its model and what instructions it has."""
    words = [platform.machine(), platform.system()]
    try:
        lines = pathlib.Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        words.append(platform.processor())
    else:
        # The first CPU's lines say it; "Features" is ARM's name for flags.
        for name in ("model name", "CPU part", "flags", "Features"):
            words += [line for line in lines if line.partition(":")[0].strip() == name][:1]
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
    return f"{platform.machine() or 'cpu'}-{digest}"


def prune(root: pathlib.Path, most_bytes: int) -> None:
    """Removes files that were not used for longest until those below a directory have so many bytes."""
    found = []
    for path in root.rglob("*"):
        # Another process may remove files at the same time.
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found, key=lambda some: some[0]):
        if total <= most_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
