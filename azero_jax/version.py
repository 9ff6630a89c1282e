"""The version of the package, and of what its results depend on."""

from __future__ import annotations

import importlib.metadata
import platform

__version__ = "0.4.0"


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    packages = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")}
    return {"python": platform.python_version(), **packages, "azero_jax": __version__}
