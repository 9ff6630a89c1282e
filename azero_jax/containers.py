"""What a container allows: the CPU quota and the memory limit of Linux control groups.

Docker, Kubernetes and batch systems limit a process by control groups (version 2, or 1 on
older systems). Neither the affinity mask nor /proc/meminfo knows of these limits. A group
is also limited by the groups around it. Elsewhere than on Linux there are none.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

_ROOT = pathlib.Path("/")
# Version 1 writes "no limit" as the largest number of whole pages.
_NO_LIMIT = 2**62


def cpu_quota(root: pathlib.Path = _ROOT) -> float | None:
    """CPUs that this process may use on average, such as 1.5; None without a limit.

    Args:
      root: where `proc` and `sys` are.
    """
    quotas = []
    for group in _groups(root, "cpu"):
        quota, period = (
            _words(group / "cpu.max", 2)
            or (
                *_words(group / "cpu.cfs_quota_us", 1),
                *_words(group / "cpu.cfs_period_us", 1),
            )
            or ("max", "")
        )
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_left(root: pathlib.Path = _ROOT) -> int | None:
    """Bytes that this process and others of its groups may still take; None without a limit.

    Pages of files that the system can drop count as free.

    Args:
      root: where `proc` and `sys` are.
    """
    left = []
    for group in _groups(root, "memory"):
        for limit_name, usage_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, usage = _words(group / limit_name, 1), _words(group / usage_name, 1)
            if limit and limit[0].isdecimal() and int(limit[0]) < _NO_LIMIT and usage and usage[0].isdecimal():
                left.append(max(0, int(limit[0]) - max(0, int(usage[0]) - _droppable(group))))
    return min(left, default=None)


def _groups(root: pathlib.Path, controller: str) -> Iterator[pathlib.Path]:
    """Directories of this process's group and of those around it, of both versions."""
    mounts = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 names no controllers, and stands beside version 1 as "unified".
        bases = [mounts / controllers, mounts / controller] if controllers else [mounts, mounts / "unified"]
        for base in bases:
            if not base.is_dir():
                continue
            # A container may see its own group as the root, whatever the path says.
            parts = pathlib.PurePosixPath(path).parts[1:]
            for length in range(len(parts), -1, -1):
                directory = base.joinpath(*parts[:length])
                if directory.is_dir():
                    yield directory
            break


def _words(path: pathlib.Path, count: int) -> tuple[str, ...]:
    """The words of a small file, if there are so many."""
    with contextlib.suppress(OSError):
        words = tuple(path.read_text(encoding="ascii").split())
        return words if len(words) == count else ()
    return ()


def _droppable(group: pathlib.Path) -> int:
    """Bytes of files that the group has not used for long."""
    with contextlib.suppress(OSError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file") and value.isdecimal():
                return int(value)
    return 0
