"""How do AutoMLZeroClassifier and AutoMLZeroRegressor compare with scikit-learn's models?

    python scripts/compare_with_sklearn.py --seconds=30 --seeds=5

For each of five data sets that scikit-learn brings, and each seed, a quarter of the rows is held
out, all models are trained on the others, and scored on these: accuracy, or R² for diabetes.
scikit-learn's models have their default settings, on scaled columns. The table has means over
seeds, with intervals of 95 % by Student's t.
"""

from __future__ import annotations

import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

try:
    import azero_jax
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax

from azero_jax import command_line, compile_cache, execution
from azero_jax.command_line import FLAGS, Command, Group
from azero_jax.intervals import shown

DATA_SETS = ("breast_cancer", "wine", "iris", "digits", "diabetes")
_NUMBERS = ("diabetes",)
MODELS = ("AutoMLZero", "linear", "MLP", "gradient boosting")


def define() -> None:
    """Defines the flags."""
    group = Group("The comparison")
    group.number("seconds", 30.0, "of each search", least=0)
    group.integer("seeds", 5, "splits of each data set", least=1)
    group.names("datasets", list(DATA_SETS), "data sets to compare on")


def models(numbers: bool, seconds: float, seed: int) -> dict[str, Any]:
    """The models of `MODELS`, not trained."""
    from sklearn import ensemble, linear_model, neural_network
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ours: Callable[..., Any] = azero_jax.AutoMLZeroRegressor if numbers else azero_jax.AutoMLZeroClassifier
    network = neural_network.MLPRegressor if numbers else neural_network.MLPClassifier
    boosting = ensemble.HistGradientBoostingRegressor if numbers else ensemble.HistGradientBoostingClassifier
    linear = linear_model.Ridge() if numbers else linear_model.LogisticRegression(max_iter=1000)
    made = (
        ours(max_seconds=seconds, random_state=seed),
        make_pipeline(StandardScaler(), linear),
        make_pipeline(StandardScaler(), network(max_iter=1000, random_state=seed)),
        boosting(random_state=seed),
    )
    return dict(zip(MODELS, made))


def scores(name: str, seeds: int, seconds: float) -> tuple[dict[str, list[float]], list[int]]:
    """Scores on the rows held out, of each model and seed, and the programs that each search made."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    numbers = name in _NUMBERS
    found: dict[str, list[float]] = {model: [] for model in MODELS}
    individuals = []
    for seed in range(seeds):
        train_X, test_X, train_y, test_y = train_test_split(
            X, y, random_state=seed, stratify=None if numbers else y, test_size=0.25
        )
        for model, estimator in models(numbers, seconds, seed).items():
            # On cores that others use, too, threads of OpenMP wait for each other for most of the time.
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.filterwarnings("ignore", ".*converge.*")
                estimator.fit(train_X, train_y)
            found[model].append(estimator.score(test_X, test_y))
            if model == MODELS[0]:
                individuals.append(estimator.search_.individuals)
    return found, individuals


def run(arguments: list[str]) -> None:
    """Prints a table, a row for each data set."""
    command_line.no_more(arguments)
    unknown = [name for name in FLAGS.datasets if name not in DATA_SETS]
    if unknown:
        raise ValueError(f"--datasets={unknown[0]}: expected some of {', '.join(DATA_SETS)}")
    if not FLAGS.seconds:
        raise ValueError("--seconds=0: expected a positive number")
    compile_cache.use(execution.user_cache_dir())
    started = time.monotonic()
    print(f"| data set | {' | '.join(MODELS)} | programs searched |")
    print(f"|{'---|' * (len(MODELS) + 2)}")
    for name in FLAGS.datasets:
        found, individuals = scores(name, FLAGS.seeds, FLAGS.seconds)
        cells = [shown(found[model], 3) for model in MODELS]
        print(f"| {name} | {' | '.join(cells)} | {min(individuals):,} to {max(individuals):,} |", flush=True)
    print(f"\n{FLAGS.seeds} seeds, {FLAGS.seconds:g} s each search, {time.monotonic() - started:.0f} s in all")


COMMAND = Command(
    usage="--name=value ...",
    what="""How do AutoMLZeroClassifier and AutoMLZeroRegressor compare with scikit-learn's models? Prints a table of
    scores on held-out rows of five data sets, with intervals over seeds.""",
    examples=("--seconds=30 --seeds=5",),
    define=define,
    run=run,
)


if __name__ == "__main__":
    command_line.start("compare_with_sklearn.py", COMMAND, sys.argv[1:])
