"""One run per directory: a lock that ends with its process, however that ends.

Where there is `fcntl.flock` the system holds the lock, and nothing of a process that is
gone is left but its file. Elsewhere the file itself is the lock, and names the process
by its id and the time of its start, so that another process of the same id is not taken
for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import socket
import sys
import threading
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# File systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held: set[str] = set()
_guard = threading.Lock()


class Held(ValueError):
    """Somebody else has the lock."""


class Lock:
    """A lock file of this process.

    Args:
      path: of the file, in a directory that exists.

    Attributes:
      stale: whether a process that is gone has left the file.

    Raises:
      Held: another run has it; the message says which process on which machine.
      OSError: the file cannot be made.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._before = b""
        self._number = -1
        self.stale = False
        try:
            locked = fcntl is not None and self._lock_by_system()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        if not locked:
            self._lock_by_file()

    def _lock_by_system(self) -> bool:
        """Takes the lock; False where files cannot be locked."""
        while True:
            existed = self._path.exists()
            number = os.open(self._path, _OPEN | os.O_CREAT, 0o666)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have removed the file in between.
                if not _is_open(self._path, number):
                    os.close(number)
                    continue
                self._before, self.stale = os.pread(number, 10_000, 0), existed
                os.ftruncate(number, 0)
                os.write(number, _own_name())
            except OSError as error:
                holder = os.pread(number, 10_000, 0)
                os.close(number)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise _held_by(self._path, holder) from None
                if error.errno in _NO_LOCKS:
                    if not existed:
                        self._path.unlink(missing_ok=True)
                    return False
                raise
            self._number = number
            return True

    def _lock_by_file(self) -> None:
        name = str(self._path.resolve())
        with _guard:
            if name in _held:
                raise _held_by(self._path, _own_name())
            for _ in range(2):
                try:
                    number = os.open(self._path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666)
                except FileExistsError:
                    self._before = self._path.read_bytes()
                    if _is_running(self._before):
                        raise _held_by(self._path, self._before) from None
                    self.stale = True
                    self._path.unlink(missing_ok=True)
                    continue
                os.write(number, _own_name())
                os.close(number)
                _held.add(name)
                return
        raise Held(f"{self._path}: another run has just started in this directory")

    def release(self, restore: bool = False) -> None:
        """Gives the lock back.

        Args:
          restore: leave a stale file as it was.
        """
        try:
            if self._number >= 0 and not _is_open(self._path, self._number):
                return  # the directory has gone
            if restore and self.stale:
                self._path.write_bytes(self._before)
            else:
                self._path.unlink(missing_ok=True)
        except OSError:
            pass  # the directory has gone or can no longer be written; who comes next sees that it is stale
        finally:
            if self._number >= 0:
                os.close(self._number)
                self._number = -1
            with _guard, contextlib.suppress(OSError):
                _held.discard(str(self._path.resolve()))


def _is_open(path: pathlib.Path, number: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False


def _own_name() -> bytes:
    own = {"pid": os.getpid(), "host": socket.gethostname(), "started": process_start(os.getpid())}
    return json.dumps(own).encode()


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _held_by(path: pathlib.Path, content: bytes) -> Held:
    holder = _parse(content)
    who = f"process {holder['pid']} on {holder.get('host', 'another machine')}" if "pid" in holder else "a process"
    return Held(
        f"{path.parent}: another run, {who}, is writing to this directory: "
        "wait for it, stop it, or choose another output directory"
    )


def _is_running(content: bytes) -> bool:
    """Whether the process that wrote a lock file goes on; of other machines one cannot know."""
    holder = _parse(content)
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False  # killed while it wrote the file
    if holder.get("host") != socket.gethostname():
        return True
    if pid == os.getpid():
        return False  # not in `_held`: an earlier process of this id
    start = process_start(pid)
    return start is not None and start == holder.get("started", start)


def process_start(pid: int) -> str | None:
    """When a process started, in units of the system, "" where that cannot be told; None if there is none."""
    if sys.platform == "win32":
        return _start_on_windows(pid)
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return text.rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it is somebody else's
    return ""


def _start_on_windows(pid: int) -> str | None:
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    limited_information, still_active = 0x1000, 259
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(limited_information, False, pid)
    if not handle:
        return None
    try:
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code))
        if code.value != still_active:
            return None
        times = [ctypes.c_ulonglong() for _ in range(4)]
        kernel.GetProcessTimes(ctypes.c_void_p(handle), *(ctypes.byref(time) for time in times))
        return str(times[0].value)
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
