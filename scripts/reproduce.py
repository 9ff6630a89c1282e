"""Experiments of the paper: python scripts/reproduce.py figure4_linear --repeats=1000 --output_dir=runs/figure4

The same as `azero reproduce`, and needs no installation. See azero_jax/commands/reproduce.py.
"""

import pathlib
import sys

try:
    from azero_jax import commands
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from azero_jax import commands

if __name__ == "__main__":
    commands.run("reproduce", "reproduce.py")
