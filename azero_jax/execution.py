"""Where jitted functions run: the cores there are, a pool of threads, the CPU, the precision, the cache.

XLA runs a function on the thread that calls it, as `xla_flags` asks, and releases
Python's lock, so threads of one process use all cores.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

_Job = TypeVar("_Job")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that this process could still use, as far as the system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**63


def require_memory(needed: float, what: str) -> None:
    """Refuses what does not fit, before it is tried.

    Args:
      needed: bytes.
      what: what they are for, with the number that a user would change.

    Raises:
      ValueError: there is less memory than that.
    """
    available = available_memory()
    if needed > available:
        raise ValueError(
            f"{what}: needs about {bytes_in_words(needed)} of memory, there are {bytes_in_words(available)}"
        )


def bytes_in_words(size: float) -> str:
    """A number of bytes for people, as in "3.2 GiB"."""
    units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    size /= 1024
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:,.0f} {units[0]}" if size >= 10 else f"{size:,.1f} {units[0]}"


def user_cache_dir() -> str:
    """Where the package keeps what it can make again: compiled machines, projected datasets."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "azero_jax")


def run_jobs(function: Callable[[_Job], None], jobs: Sequence[_Job], num_threads: int) -> None:
    """Calls a function for every job, several at a time.

    Args:
      function: what to do; it may raise.
      jobs: its arguments.
      num_threads: calls at the same time, of this thread and others.
    """
    remaining = iter(jobs)

    def work() -> None:
        try:
            for job in remaining:
                function(job)
        finally:
            for _ in remaining:  # after an error nothing new starts
                pass

    helpers = [_thread_pool(num_threads).submit(work) for _ in range(min(num_threads, len(jobs)) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


def in_one_loop(compute: Callable[[Array, Array], Array], needed: Array, result: Array) -> Array:
    """Computes inside a loop that runs once, in jitted code.

    XLA makes one native function of all that is in a loop. Outside of loops every array that
    is filled is a task for threads of XLA's own, and waking them takes longer than the task.

    The result is a choice between the new and the old one, so that its memory is in use from the
    start. XLA would else keep copies of operands there, and it lies elsewhere at each call: where
    addresses agree in their last 12 bits, reads wait for writes.

    Args:
      compute: from a zero (uint32) that XLA does not know and a result not yet made to one
        that is. XLA moves out of the loop what depends on neither.
      needed: uint32; with 0, nothing is computed.
      result: what is returned then, and its shape and dtype.
    """

    def once(zero: Array, old: Array) -> Array:
        return jnp.where(zero == 0, compute(zero, old), old)

    return lax.fori_loop(jnp.uint32(0), jnp.minimum(needed, 1).astype(jnp.uint32), once, result)


@functools.cache
def _thread_pool(num_threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(num_threads, "azero_jax")


def precision(dtype: str) -> contextlib.AbstractContextManager:
    """Within it, JAX computes in a dtype, "float32" or "float64"."""
    wanted = dtype == "float64"
    return contextlib.nullcontext() if jax.config.read("jax_enable_x64") == wanted else jax.enable_x64(wanted)


def on_cpu() -> contextlib.AbstractContextManager:
    """Within it, jitted functions run on the CPU, also where JAX prefers an accelerator.

    Raises:
      RuntimeError: JAX was told to leave out the CPU.
    """
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError as error:
        raise RuntimeError(
            "programs are analysed on the CPU, which JAX_PLATFORMS leaves out: add it, as in JAX_PLATFORMS=cuda,cpu"
        ) from error
