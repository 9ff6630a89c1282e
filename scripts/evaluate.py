"""Scores a program on any tasks, beside hand-designed models, with intervals.

    python scripts/evaluate.py --program=runs/digits/best_program.txt --baselines=linear,neural_net --trials=1000 \\
        --tune_tasks=projected_digits:pairs=select,num_train_examples=200,num_valid_examples=60,num_tasks=48 \\
        --tasks=projected_digits:pairs=final,num_train_examples=200,num_valid_examples=60,num_tasks=96,test=true

--tasks may be repeated. With --trials, the program's constants and the models'
hyper-parameters are tuned by so many random trials each on --tune_tasks.
"""

from __future__ import annotations

import json
import logging
import pathlib
import sys
from typing import Any

from absl import app, flags

try:
    import azero_jax as az
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax as az

from azero_jax import claims
from azero_jax.checkpoint import write_atomically
from azero_jax.gradient_descent import MODELS
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.task_specs import agreed_vector_labels

_PROGRAM = flags.DEFINE_string("program", None, f"file of a program, or one of {', '.join(HAND_WRITTEN)}")
_TASKS = flags.DEFINE_multi_string("tasks", [], "tasks to score it on, as generator:name=value,...; may be repeated")
_TUNE_TASKS = flags.DEFINE_string("tune_tasks", "", "tasks that constants and hyper-parameters are tuned on")
_TRIALS = flags.DEFINE_integer("trials", 0, "random trials of tuning, of each; 0 for none", lower_bound=0)
_BASELINES = flags.DEFINE_list("baselines", [], f"models to compare with: {', '.join(MODELS)}")
_DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float64"], "numbers that programs compute with")
_RANDOM_SEED = flags.DEFINE_integer("random_seed", 0, "of random ops, initial weights and trials", lower_bound=0)
_JSON = flags.DEFINE_string("json", None, "file for the scores, per task")


def main(arguments: list[str]) -> None:
    """Prints a table; exits with 2 on wrong input."""
    try:
        if len(arguments) > 1:
            raise ValueError(f"unexpected argument {arguments[1]!r}: expected --name=value")
        run()
    except (ValueError, OSError) as error:
        print(f"evaluate.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def run() -> None:
    """What the flags say."""
    if not _PROGRAM.value or not _TASKS.value:
        raise ValueError("--program and --tasks are needed")
    wrong = [name for name in _BASELINES.value if name not in MODELS]
    if wrong:
        raise ValueError(f"--baselines: {wrong[0]!r}: expected some of {', '.join(MODELS)}")
    if _TRIALS.value and not _TUNE_TASKS.value:
        raise ValueError("--trials needs --tune_tasks: nothing may be tuned on the tasks that are reported")
    if _BASELINES.value and not _TRIALS.value:
        raise ValueError("--baselines needs --trials, for hyper-parameters")
    # Not news to people without a TPU.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
    az.set_xla_flags()
    vector_labels = agreed_vector_labels([*_TASKS.value, *filter(None, [_TUNE_TASKS.value])])
    program = claims.read_program(_PROGRAM.value, vector_labels)
    how: dict[str, Any] = {"seed": _RANDOM_SEED.value, "dtype": _DTYPE.value}
    models: list[claims.Contender] = [claims.Contender(pathlib.Path(_PROGRAM.value).stem, program)]
    if _TRIALS.value:
        tune_tasks = az.make_tasks(_TUNE_TASKS.value)
        models.append(claims.tuned_program(program, tune_tasks, _TRIALS.value, **how))
        models += [claims.tuned_model(name, tune_tasks, _TRIALS.value, **how) for name in _BASELINES.value]
    scores: dict[str, dict[str, list[float]]] = {}
    for spec in _TASKS.value:
        tasks = az.make_tasks(spec)
        needed = claims.evaluator_of(program, tasks, **how).needed_bytes
        print(f"\nfeatures_size={tasks.features_size}: about {needed / 2**20:,.0f} MiB", flush=True)
        scores[spec] = {model.name: claims.fitness(model, tasks, **how).tolist() for model in models}
        print(f"\n{spec}\n\n" + claims.table(scores[spec]), flush=True)
    for model in models:
        print(f"\n{model.name}: {model.describe()}")
    if _JSON.value:
        write_atomically(pathlib.Path(_JSON.value), (json.dumps(scores, indent=2) + "\n").encode())


if __name__ == "__main__":
    app.run(main)
