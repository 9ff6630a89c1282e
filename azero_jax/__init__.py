"""AutoML-Zero in JAX: evolve whole machine-learning algorithms from basic maths."""

from azero_jax.evaluator import Evaluation, Evaluator
from azero_jax.liveness import simplify
from azero_jax.ops import Op, register_op
from azero_jax.program import Instruction, MemorySize, Population, Program
from azero_jax.task_specs import make_tasks
from azero_jax.tasks import Tasks
from azero_jax.version import __version__
from azero_jax.xla_flags import apply as set_xla_flags

__all__ = [
    "Evaluation",
    "Evaluator",
    "Instruction",
    "MemorySize",
    "Op",
    "Population",
    "Program",
    "Tasks",
    "__version__",
    "make_tasks",
    "register_op",
    "set_xla_flags",
    "simplify",
]
