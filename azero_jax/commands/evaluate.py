"""Scores a program on any tasks, beside hand-designed models, with intervals.

    azero evaluate --program=runs/digits/best_program.txt --baselines=linear,neural_net --trials=1000 \\
        --tune_tasks=projected_digits:pairs=select,num_train_examples=200,num_valid_examples=60,num_tasks=48 \\
        --tasks=projected_digits:pairs=final,num_train_examples=200,num_valid_examples=60,num_tasks=96,test=true

--tasks may be repeated. With --trials, the program's constants and the models'
hyper-parameters are tuned by so many random trials each on --tune_tasks.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
from typing import Any

import azero_jax as az
from azero_jax import claims, repetition, trivial
from azero_jax.command_line import FLAGS, Command, Group, check_writable, no_more
from azero_jax.evaluator import DTYPES
from azero_jax.files import write_atomically
from azero_jax.gradient_descent import MODELS
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.task_specs import agreed_vector_labels


def define() -> None:
    """Defines the flags."""
    scored = Group("What is scored")
    scored.text("run", None, "output directory of a run: its winner is scored again on the tasks of all stages")
    scored.text("program", None, f"file of a program, or one of {', '.join(HAND_WRITTEN)}")
    scored.texts("tasks", "tasks to score it on, as generator:name=value,...; may be repeated")
    scored.choice("dtype", "float32", DTYPES, "numbers that programs compute with")
    scored.number("max_abs_error", 100.0, "a larger error on any example gives fitness 0", most=math.inf)
    scored.integer("random_seed", 0, "of random ops, initial weights and trials")
    scored.text("json", None, "file for the scores, per task")
    tuned = Group("What it is compared with")
    tuned.names("baselines", [], f"models to compare with: {', '.join(MODELS)}")
    tuned.text("tune_tasks", "", "tasks that constants and hyper-parameters are tuned on")
    tuned.integer("trials", 0, "random trials of tuning, of each; 0 for none")


def run(arguments: list[str]) -> None:
    """Prints a table for each of the tasks."""
    no_more(arguments)
    if FLAGS.run:
        if FLAGS.program or FLAGS.tasks:
            raise ValueError("--run says itself what is scored: expected no --program and no --tasks beside it")
        az.set_xla_flags()
        sys.exit(repeat(pathlib.Path(FLAGS.run)))
    if not FLAGS.program or not FLAGS.tasks:
        raise ValueError("--program and --tasks are needed, or --run")
    wrong = [name for name in FLAGS.baselines if name not in MODELS]
    if wrong:
        raise ValueError(f"--baselines: {wrong[0]!r}: expected some of {', '.join(MODELS)}")
    if FLAGS.trials and not FLAGS.tune_tasks:
        raise ValueError("--trials needs --tune_tasks: nothing may be tuned on the tasks that are reported")
    if FLAGS.baselines and not FLAGS.trials:
        raise ValueError("--baselines needs --trials, for hyper-parameters")
    check_writable("json", FLAGS.json)
    az.set_xla_flags()
    vector_labels = agreed_vector_labels([*FLAGS.tasks, *filter(None, [FLAGS.tune_tasks])])
    program = claims.read_program(FLAGS.program, vector_labels)
    how: dict[str, Any] = {"seed": FLAGS.random_seed, "dtype": FLAGS.dtype, "max_abs_error": FLAGS.max_abs_error}
    models: list[claims.Contender] = [claims.Contender(pathlib.Path(FLAGS.program).stem, program)]
    if FLAGS.trials:
        tune_tasks = az.make_tasks(FLAGS.tune_tasks)
        models.append(claims.tuned_program(program, tune_tasks, FLAGS.trials, **how))
        models += [claims.tuned_model(name, tune_tasks, FLAGS.trials, **how) for name in FLAGS.baselines]
    scores: dict[str, dict[str, list[float]]] = {}
    for spec in FLAGS.tasks:
        tasks = az.make_tasks(spec)
        needed = claims.evaluator_of(program, tasks, **how).needed_bytes
        print(f"\nfeatures_size={tasks.features_size}: about {needed / 2**20:,.0f} MiB", flush=True)
        scores[spec] = {model.name: claims.fitness(model, tasks, **how).tolist() for model in models}
        print(f"\n{spec}\n\n" + claims.table(scores[spec]), flush=True)
        if FLAGS.json:  # after each, so that an interrupt loses none
            write_atomically(pathlib.Path(FLAGS.json), (json.dumps(scores, indent=2) + "\n").encode())
    for model in models:
        print(f"\n{model.name}: {model.describe()}")
    if trivial.is_trivial(program, tasks, lambda tasks: claims.evaluator_of(program, tasks, **how)):
        print(trivial.NOTE)


def repeat(directory: pathlib.Path) -> int:
    """Scores a run's winner again, and says whether that gives the same; the exit code is 1 if it does not."""
    repeated = repetition.repeat(directory)
    print(f"{'stage':<16}{'reported':>22}{'again':>22}")
    for score in repeated:
        words = "same" if score.is_same else "DIFFERENT"
        print(f"{score.name:<16}{score.reported!r:>22}{score.again!r:>22}  {words}", flush=True)
    same = all(score.is_same for score in repeated)
    print("same" if same else "not the same: other versions or another machine, or the files were changed")
    return 0 if same else 1


COMMAND = Command(
    usage="--program=FILE --tasks=TASKS ...",
    what="""Scores a program on any tasks, beside hand-designed models, with intervals.

    With --trials, the program's constants and the models' hyper-parameters are tuned by so many random trials each on
    --tune_tasks.""",
    examples=(
        "--run=runs/demo",
        "--program=runs/demo/best_program.txt --tasks=scalar_linear_regression:features_size=4,num_tasks=100",
        "--program=neural_net --tasks=projected_digits:pairs=final,test=true,num_valid_examples=60",
    ),
    define=define,
    run=run,
)
