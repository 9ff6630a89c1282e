"""Runs JAX strictly, without silent change of rank, and with the flags of the package."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import jax

import azero_jax

azero_jax.set_xla_flags()
jax.config.update("jax_numpy_rank_promotion", "raise")

# Most of the time goes into compiling machines, the same ones in several processes. They share
# what they compile in one run of the tests, and nothing of an earlier run.
_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"pid{os.getpid()}")
_cache = pathlib.Path(tempfile.gettempdir()) / f"azero_jax_tests_{_run}"
jax.config.update("jax_compilation_cache_dir", str(_cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


# The files that take longest, which come first so that no process is left alone with one.
_LONGEST = ("reproduce_script", "evolve_script", "survival", "evaluator", "islands", "claims")


def pytest_collection_modifyitems(items) -> None:
    """Puts the longest files first."""
    names = [f"test_{name}" for name in _LONGEST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))


def pytest_sessionfinish(session) -> None:
    """Removes what was compiled, once all processes are done."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(_cache, ignore_errors=True)
