"""Modules of a user's own that register ops, losses and tasks, loaded by this process and by its workers.

    --import=my_module.py

What a module registers has to be known wherever programs run. So it is remembered what was
loaded, in its order, and a worker loads the same before anything else.
"""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import sys
import traceback

from azero_jax import objectives, ops

_loaded: list[str] = []
_ops: set[str] = set()
_losses: set[str] = set()


def load(name: str) -> None:
    """Runs a file, or imports a module by its name, once.

    Raises:
      ValueError: there is none, or it fails; the message says where.
    """
    path = pathlib.Path(name).expanduser()
    is_file = name.endswith(".py") or path.exists()
    known = str(path.resolve()) if is_file else name
    if known in _loaded:
        return
    before, losses_before = {op.name for op in ops.known()}, set(objectives.registered())
    try:
        if is_file:
            _run_file(path.resolve())
        else:
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"import={name}: {type(error).__name__}: {error}{_place(error, known)}") from error
    _loaded.append(known)
    _ops.update({op.name for op in ops.known()} - before)
    _losses.update(set(objectives.registered()) - losses_before)


def loaded() -> tuple[str, ...]:
    """What was loaded, for `load` in another process."""
    return tuple(_loaded)


def provides(op_name: str) -> bool:
    """Whether an op was registered by what was loaded, so that other processes can know it, too."""
    return op_name in _ops


def provides_loss(name: str) -> bool:
    """Whether other processes know a loss, too: it is built in, or was registered by what was loaded."""
    return name in _losses or name not in objectives.registered()


def _run_file(path: pathlib.Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("expected a Python file, ending in .py")
    module = importlib.util.module_from_spec(spec)
    if path.stem not in sys.modules:
        sys.modules[path.stem] = module  # what pickles its functions looks there
    spec.loader.exec_module(module)


def _place(error: BaseException, path: str) -> str:
    """The last line of the user's file that an error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f", in line {lines[-1]}" if lines else ""
