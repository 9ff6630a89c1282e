"""Programs in other languages: Python with NumPy, JAX, LaTeX, ONNX."""

from azero_jax.export.jax import JaxProgram, to_jax
from azero_jax.export.python import to_python

__all__ = ["JaxProgram", "to_jax", "to_python"]
