"""Scripts run as processes that are forked from one which has imported what they need.

A process of its own takes two seconds to import JAX and the package. What a script does with its
arguments, files and exit status is the same when it is forked; what begins before that, such as
signals while importing, is for tests that start Python themselves.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [f"azero_jax.commands.{path.stem}" for path in (ROOT / "azero_jax" / "commands").glob("*.py")] + ["scipy.stats"]
)


def run_script(name, *arguments, **how) -> subprocess.CompletedProcess:
    """Runs scripts/NAME.py; arguments as of `run_file`."""
    return run_file(ROOT / "scripts" / f"{name}.py", *arguments, **how)


def run_azero(*arguments, **how) -> subprocess.CompletedProcess:
    """Runs the command azero; arguments as of `run_file`."""
    return run_file(ROOT / "azero_jax" / "__main__.py", *arguments, **how)


def run_example(name, *arguments, **how) -> subprocess.CompletedProcess:
    """Runs examples/NAME.py with the tests' cache of compiled machines; arguments as of `run_file`."""
    return run_file(ROOT / "examples" / f"{name}.py", *arguments, kept=True, **how)


def run_file(
    script, *arguments, kept=False, code=0, timeout=300, path=None, **environment
) -> subprocess.CompletedProcess:
    """Runs a file of Python, checks its exit status, and returns what it printed.

    Args:
      script: its path.
      arguments: of the command line.
      kept: whether compiled machines are kept and found, as the command does it by itself.
      code: the exit status expected, or None for any.
      timeout: seconds.
      path: a directory to import from first.
      environment: variables that differ.
    """
    arguments = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as directory:
        files = [pathlib.Path(directory) / "out", pathlib.Path(directory) / "err"]
        variables = dict(os.environ) | environment
        process = _context.Process(target=_child, args=(script, arguments, files, path and str(path), variables, kept))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(str(script), timeout)
        output, errors = (file.read_text() for file in files)
    assert code is None or process.exitcode == code, output + errors
    return subprocess.CompletedProcess([str(script), *arguments], process.exitcode, output, errors)


def _child(script, arguments, files, path, variables, kept) -> None:
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir("/")
    if path:
        sys.path.insert(0, path)
    if kept:
        from azero_jax import compile_cache, execution

        compile_cache.use(execution.user_cache_dir())
    sys.argv = [str(script), *arguments]
    if script.name != "__main__.py":
        sys.path.insert(0, str(script.parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a forked process would not
