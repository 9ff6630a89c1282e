"""Where and how jitted functions run: cores, a pool of threads, the CPU, JAX's settings, the cache.

XLA runs a function on the thread that calls it, as `xla_flags` asks, and releases
Python's lock, so threads of one process use all cores. What users set in JAX for
their own functions does not reach those of this package.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import math
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax._src import config as jax_config
from jax._src import xla_bridge

from azero_jax import containers

_Job = TypeVar("_Job")


def available_cores() -> int:
    """Cores that this process may use: of its affinity mask, and at most what a container's CPU quota pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = containers.cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def available_memory() -> int:
    """Bytes of memory that this process could still use, as far as the system and a container's limit tell."""
    left = containers.memory_left()
    return _system_memory() if left is None else min(_system_memory(), left)


def _system_memory() -> int:
    """Bytes that the system could give, whatever the limits of this process."""
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

    Raises:
      RuntimeError: this process was forked from one that had used JAX.
    """
    check_not_forked()
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


# Settings of JAX that change results, raise where numbers are not finite, or make the machine
# run step by step, and the values that this package can do with, the first of them when it has to
# set one. Those that only tell (log_compiles) or say where (platforms, devices, caches) stay the user's.
_WANTED_SETTINGS: dict[str, tuple[Any, ...]] = {
    "jax_debug_nans": (False,),
    "jax_debug_infs": (False,),
    "jax_disable_jit": (False,),
    "jax_no_tracing": (False,),
    "jax_enable_checks": (False,),
    "jax_check_tracer_leaks": (False,),
    "jax_debug_key_reuse": (False,),
    "jax_error_checking_behavior_nan": ("ignore",),
    "jax_error_checking_behavior_divide": ("ignore",),
    "jax_error_checking_behavior_oob": ("ignore",),
    "jax_numpy_dtype_promotion": ("standard",),
    "jax_numpy_rank_promotion": ("allow",),
    "jax_default_matmul_precision": (None,),
    "jax_default_prng_impl": ("threefry2x32",),
    "jax_threefry_partitionable": (True,),
    "jax_random_seed_offset": (0,),
    "jax_transfer_guard_host_to_device": ("allow", None),
    "jax_transfer_guard_device_to_device": ("allow", None),
    "jax_transfer_guard_device_to_host": ("allow", None),
    "jax_transfer_guard": ("allow", None),
}
# Another version of JAX may not have all of them.
_states = tuple(jax_config.config_states[name] for name in _WANTED_SETTINGS if name in jax_config.config_states)
_wanted = tuple(values for name, values in _WANTED_SETTINGS.items() if name in jax_config.config_states)
_value_of = operator.attrgetter("value")
# Settings as they are when nobody has touched them, which a call compares by one look.
_untouched = [tuple(values[-1] for values in _wanted), tuple(values[0] for values in _wanted)]


def precision(dtype: str) -> contextlib.AbstractContextManager:
    """Within it, JAX computes in a dtype, "float32" or "float64", whatever the user has set for other functions.

    Raises:
      RuntimeError: this process was forked from one that had used JAX.
    """
    check_not_forked()
    wanted = dtype == "float64"
    if tuple(map(_value_of, _states)) in _untouched:  # entering takes longer than looking
        return contextlib.nullcontext() if jax.enable_x64.value == wanted else jax.enable_x64(wanted)
    stack = contextlib.ExitStack()
    stack.enter_context(jax.enable_x64(wanted))
    for state, values in zip(_states, _wanted):
        if state.value not in values:
            stack.enter_context(state(values[0]))
    return stack


_forked = False


def _note_fork() -> None:
    """In a child: JAX's threads, and ours, are those of the parent, and calls that wait for them never return."""
    global _forked
    _forked = _forked or xla_bridge.backends_are_initialized() or _thread_pool.cache_info().currsize > 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def check_not_forked() -> None:
    """Refuses what would hang.

    Raises:
      RuntimeError: this process was forked from one that had used JAX.
    """
    if _forked:
        raise RuntimeError(
            "this process was forked from one in which JAX had started, by azero_jax or otherwise, and its threads do "
            "not survive a fork: start processes with multiprocessing.get_context('spawn') or 'forkserver', or fork "
            "before the first use"
        )


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
