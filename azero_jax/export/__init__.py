"""Programs in other languages: Python with NumPy, JAX, LaTeX, ONNX."""

from azero_jax.export.jax import JaxProgram, to_jax
from azero_jax.export.jax_source import to_jax_source
from azero_jax.export.latex import to_latex
from azero_jax.export.onnx import Columns, to_onnx
from azero_jax.export.python import to_python

__all__ = ["Columns", "JaxProgram", "to_jax", "to_jax_source", "to_latex", "to_onnx", "to_python"]
