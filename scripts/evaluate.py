"""Scores a program on any tasks: python scripts/evaluate.py --help

The same as `azero evaluate`, and needs no installation. See azero_jax/commands/evaluate.py.
"""

import pathlib
import sys

try:
    from azero_jax import commands
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from azero_jax import commands

if __name__ == "__main__":
    commands.run("evaluate", "evaluate.py")
