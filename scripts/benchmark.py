"""How fast programs are evaluated: python scripts/benchmark.py --help

The same as `azero benchmark`, and needs no installation. See azero_jax/commands/benchmark.py.
"""

import pathlib
import sys

try:
    from azero_jax import commands
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from azero_jax import commands

if __name__ == "__main__":
    commands.run("benchmark", "benchmark.py")
