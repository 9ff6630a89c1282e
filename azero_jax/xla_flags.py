"""The XLA flags that let XLA's CPU backend run the machine as one native loop, on the thread that calls it.

XLA reads its flags once, when the first backend starts, and ends the process on
a flag it does not know. So they go into XLA_FLAGS before that, only those that
the installed jaxlib knows, and never over what the user has set there. Where JAX has
started before, as in many notebooks, each of our functions is compiled with them as
options of its own. Without them the machine gives the same results 20 to 300 times slower.
"""

from __future__ import annotations

import functools
import mmap
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax

from azero_jax.compile_options import EXTRA, allow_extra_options
from azero_jax.notices import tell_once

# The loop runs as one function instead of one call per operation, however large
# its memory; and full unrolling, which turns short copies into scalar code, is off.
_EXTRA_OPTIONS = {
    "xla_cpu_small_while_loop_byte_threshold": str(10**18),
    "xla_cpu_disable_loop_unrolling": "",
}
_FLAGS: dict[str, bool | int | str] = {
    # No copy of the whole memory around every branch.
    "xla_cpu_copy_insertion_use_region_analysis": True,
    # Reductions stay in the loop instead of becoming library calls that end it.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # 16 tasks in float32 are one register where the CPU has AVX-512; elsewhere this changes nothing.
    "xla_cpu_prefer_vector_width": 512,
}
# For functions compiled after JAX has started without our flags; None where it has not.
_late_options: dict[str, bool | int | str] | None = None
_warned = False


def merged(user_flags: str, known: set[str]) -> str:
    """XLA_FLAGS with ours added.

    Args:
      user_flags: what XLA_FLAGS holds; every flag and extra option in it is kept.
      known: names that the installed jaxlib knows.

    Returns:
      The new value of XLA_FLAGS.
    """
    words = user_flags.split()
    given = {word.lstrip("-").split("=", 1)[0] for word in words}
    for name, value in _FLAGS.items():
        if name not in given and name in known:
            words.append(f"--{name}={str(value).lower()}")
    if EXTRA not in known:
        return " ".join(words)
    extra = [word for word in words if word.lstrip("-").startswith(EXTRA + "=")]
    options = [option for word in extra for option in word.split("=", 1)[1].split(",") if option]
    given_options = {option.split("=", 1)[0] for option in options}
    for name, value in _EXTRA_OPTIONS.items():
        if name not in given_options and name in known:
            options.append(f"{name}={value}" if value else name)
    words = [word for word in words if word not in extra]
    if options:
        words.append(f"--{EXTRA}={','.join(options)}")
    return " ".join(words)


# Shared libraries of jaxlib's wheels: on Linux, macOS and Windows.
_LIBRARIES = (".so", ".dylib", ".dll", ".pyd")
_SMALLEST_LIBRARY = 2**20  # bytes; XLA's has hundreds of megabytes


@functools.cache
def known_names(directory: pathlib.Path | None = None) -> set[str]:
    """Those of our flags and options whose names the installed jaxlib contains.

    Args:
      directory: of jaxlib's libraries, by default the installed one's.
    """
    if directory is None:
        import jaxlib

        directory = pathlib.Path(jaxlib.__file__).parent
    names = {*_FLAGS, *_EXTRA_OPTIONS, EXTRA}
    known: set[str] = set()
    for library in sorted(directory.iterdir()):
        if library.suffix not in _LIBRARIES or library.stat().st_size < _SMALLEST_LIBRARY or known == names:
            continue
        with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            known |= {name for name in names - known if data.find(name.encode()) >= 0}
    return known


def missing_flags() -> list[str]:
    """Those of our flags that XLA_FLAGS does not mention (set to any value)."""
    value = os.environ.get("XLA_FLAGS", "")
    return [name for name in [*_FLAGS, *_EXTRA_OPTIONS] if name not in value]


def apply() -> None:
    """Sets XLA_FLAGS, and that calls run on their own thread; where JAX has started, prepares what `jit` needs.

    Called when the first evaluator is made, the first program analysed or a loss registered, never on import.
    """
    global _late_options
    # The public jax.extend.backend.backends() would itself start the backends.
    from jax._src import xla_bridge

    started = xla_bridge.backends_are_initialized()
    if not started:
        # Handing a call to a thread of XLA's and waiting for it takes longer than a small call.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    missing = missing_flags()
    if not missing or _late_options is not None:
        return
    known = known_names()
    flags = merged(os.environ.get("XLA_FLAGS", ""), known)
    if not started:
        os.environ["XLA_FLAGS"] = flags
    else:
        _late_options = _options_of(missing, known)
        tell_once(
            "JAX had started before azero_jax, which therefore sets XLA's options for each of its functions: "
            "evaluation can be a sixth slower than with azero_jax.set_xla_flags() before the first use of JAX"
        )
    unknown = [name for name in missing if name not in known]
    if unknown:
        _warn_once(
            f"the installed jaxlib does not know {', '.join(unknown)}: evaluation on CPU will be slower than "
            "with the version in requirements.txt."
        )


def jit(function: Callable[..., Any]) -> Any:
    """`jax.jit` for functions that need our settings: from XLA_FLAGS, or each its own where JAX has started first."""
    apply()
    return jax.jit(function, compiler_options=_late_options) if _late_options else jax.jit(function)


def do_without() -> None:
    """Has our functions compiled as XLA does by itself, to measure what our settings bring; JAX must have started."""
    global _late_options
    _late_options = {}


def _options_of(names: Sequence[str], known: set[str]) -> dict[str, bool | int | str]:
    """Options of `jax.jit` for some of our flags, as far as jaxlib knows them and JAX can pass them on."""
    options = {name: _FLAGS[name] for name in names if name in _FLAGS and name in known}
    extra = [f"{name}={_EXTRA_OPTIONS[name]}" for name in names if name in _EXTRA_OPTIONS and name in known]
    if extra and EXTRA in known and allow_extra_options():
        options[EXTRA] = ",".join(extra)
    return options


def _warn_once(message: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(message, RuntimeWarning, stacklevel=4)
