"""The command `azero` and its subcommands: python -m azero_jax evolve linear_demo

Each module here is a command: it defines flags, and does what they say. `COMMANDS` lists
them. The scripts of the repository are doors to the same.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from azero_jax import command_line
from azero_jax.version import __version__

# Modules of this package.
COMMANDS = {
    "evolve": "evolves programs on tasks, and scores the best",
    "evaluate": "scores a program on any tasks, beside hand-designed models",
    "export": "writes a program as Python, JAX, LaTeX or text, or trained as ONNX",
    "reproduce": "runs an experiment of the paper, and prints its table",
    "report": "makes a page of one run, or of several side by side",
    "benchmark": "measures how fast programs are evaluated",
    "ops": "lists the ops that programs are made of",
    "datasets": "lists the data that tasks are made of",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the subcommand that the first argument names, and ends the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in COMMANDS:
        run(given[0], f"azero {given[0]}", given[1:])
    if given and given[0] in ("--version", "version"):
        print(__version__)
        sys.exit(0)
    listed = "\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items())
    usage = (
        f"usage: azero COMMAND ...\n\n{listed}\n\nazero COMMAND --help says more, azero evolve linear_demo is a start"
    )
    if given and given[0] in ("--help", "-h", "-help", "--helpfull", "--helpshort", "help"):
        print(usage)
        sys.exit(0)
    if given:
        expected = command_line.one_of(given[0], list(COMMANDS))
        print(f"azero: error: unknown command {given[0]!r}: {expected}", file=sys.stderr)
    else:
        print(usage, file=sys.stderr)
    sys.exit(command_line.WRONG_INPUT)


def run(command: str, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and ends the process.

    Args:
      command: one of `COMMANDS`.
      name: how it was called.
      arguments: behind the name; by default those of this process.
    """
    with command_line.errors_in_one_line(name):
        module = importlib.import_module(f"azero_jax.commands.{command}")
    command_line.start(name, module.COMMAND, sys.argv[1:] if arguments is None else arguments)
