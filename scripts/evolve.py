"""Evolves programs: python scripts/evolve.py --flagfile=scripts/flagfiles/linear_demo.flags --output_dir=runs/demo

The same as `azero evolve`, and needs no installation. See azero_jax/commands/evolve.py.
"""

import pathlib
import sys

try:
    from azero_jax import commands
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from azero_jax import commands

if __name__ == "__main__":
    commands.run("evolve", "evolve.py")
