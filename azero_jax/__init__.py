"""AutoML-Zero in JAX: evolve whole machine-learning algorithms from basic maths."""

from typing import TYPE_CHECKING

from azero_jax.evaluator import Evaluation, Evaluator
from azero_jax.evolution import EvolutionSettings
from azero_jax.experiment import run
from azero_jax.export import to_jax, to_jax_source, to_latex, to_onnx, to_python
from azero_jax.flags import settings_from_flagfile
from azero_jax.learner import FitError, Learner, LearnerMemory, PredictionWarning
from azero_jax.liveness import simplify
from azero_jax.metrics import metrics_frame
from azero_jax.mutation import SearchSpace
from azero_jax.ops import Op
from azero_jax.program import Instruction, MemorySize, Population, Program
from azero_jax.scoring import EquivalenceSettings, HurdleSettings, TrainBudgetSettings
from azero_jax.search import Search
from azero_jax.search_settings import EvaluationSettings, SearchSettings
from azero_jax.settings import IslandSettings, MigrationSettings, Settings
from azero_jax.task_specs import make_tasks, register_task, tasks_from_arrays
from azero_jax.tasks import Tasks
from azero_jax.user_losses import register_loss, unregister_loss
from azero_jax.user_ops import register_op, unregister_op
from azero_jax.version import __version__
from azero_jax.xla_flags import apply as set_xla_flags

if TYPE_CHECKING:
    from azero_jax.estimators import AutoMLZeroClassifier as AutoMLZeroClassifier
    from azero_jax.estimators import AutoMLZeroRegressor as AutoMLZeroRegressor

# Those that need scikit-learn, an extra; `from azero_jax import *` leaves them out.
_ESTIMATORS = ("AutoMLZeroClassifier", "AutoMLZeroRegressor")

__all__ = [
    "EquivalenceSettings",
    "Evaluation",
    "EvaluationSettings",
    "Evaluator",
    "EvolutionSettings",
    "FitError",
    "HurdleSettings",
    "Instruction",
    "IslandSettings",
    "Learner",
    "LearnerMemory",
    "MemorySize",
    "MigrationSettings",
    "Op",
    "Population",
    "PredictionWarning",
    "Program",
    "Search",
    "SearchSettings",
    "SearchSpace",
    "Settings",
    "Tasks",
    "TrainBudgetSettings",
    "__version__",
    "make_tasks",
    "metrics_frame",
    "register_loss",
    "register_op",
    "register_task",
    "run",
    "set_xla_flags",
    "settings_from_flagfile",
    "simplify",
    "tasks_from_arrays",
    "to_jax",
    "to_jax_source",
    "to_latex",
    "to_onnx",
    "to_python",
    "unregister_loss",
    "unregister_op",
]


def __dir__() -> list[str]:
    return sorted([*globals(), *_ESTIMATORS])


if not TYPE_CHECKING:

    def __getattr__(name: str):
        """The estimators, which import scikit-learn when they are first asked for."""
        if name not in _ESTIMATORS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from azero_jax import estimators

        return getattr(estimators, name)
