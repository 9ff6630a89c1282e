"""Runs JAX with the flags of the package, and a cache of compiled machines that all processes share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import pytest

import azero_jax
from azero_jax import compile_cache, execution, ops

azero_jax.set_xla_flags()

# A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C; nohup
# lets them ignore a closed terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Most of the time goes into compiling machines, the same ones in several processes. They share
# what they compile in one run of the tests, and nothing of an earlier run or of the user's: the
# process that starts the others makes the directory, and removes it.
_CACHE = "AZERO_JAX_TEST_CACHE"
_owner = _CACHE not in os.environ
if _owner:
    os.environ[_CACHE] = tempfile.mkdtemp(prefix="azero_jax_tests_")
os.environ["XDG_CACHE_HOME"] = os.environ[_CACHE]
compile_cache.use(execution.user_cache_dir())


# The files that take longest, which come first so that no process is left alone with one.
_LONGEST = ("reproduce_script", "evolve_script", "survival", "evaluator", "islands", "claims")


def pytest_collection_modifyitems(items) -> None:
    """Puts the longest files first."""
    names = [f"test_{name}" for name in _LONGEST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))


@pytest.fixture
def restore_table():
    """Takes registered ops out of the table again."""
    before = list(ops._table)
    yield
    ops._table[:] = before


def pytest_sessionfinish() -> None:
    """Removes what was compiled."""
    if _owner:
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)
