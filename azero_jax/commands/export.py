"""Writes a program, or what it has learned, for use elsewhere: azero export runs/demo --output=model.py

A program is a learning algorithm: as Python, JAX or LaTeX it is that, untrained. A model in
ONNX has been trained, on the table that --data names or on what the run was about.
"""

from __future__ import annotations

import math
import pathlib
import sys
from typing import Any, NamedTuple

import azero_jax as az
from azero_jax import (
    claims,
    compile_cache,
    dataflow,
    execution,
    files,
    objectives,
    own_data,
    records,
    table_models,
    trivial,
)
from azero_jax.command_line import FLAGS, Command, Group, check_writable
from azero_jax.datasets import SOURCE_FIELDS, Source
from azero_jax.export import Columns
from azero_jax.flags import OF_DATA, define_own_data
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.notices import tell_once
from azero_jax.run_directory import BEST_PROGRAM, RESULT
from azero_jax.stages import STAGES, StageRecord
from azero_jax.task_specs import TaskSettings, given_parameters, has_vector_labels, make_tasks

# Formats, with the ending of their files.
FORMATS = {"python": ".py", "jax": ".py", "latex": ".tex", "onnx": ".onnx", "text": ".txt"}
# Tasks of data, with their loss.
_OF_DATA = {
    "projected_binary_classification": "accuracy",
    "projected_multiclass_classification": "multiclass_accuracy",
    "dataset_regression": "rmse",
    "projected_digits": "accuracy",
}
_OF_PAIRS = {"pairs", "positive_class", "negative_class", "held_out_pairs"}
_MOST_EPOCHS = 10_000
_SEEN = ("num_train_examples", "num_train_epochs")
_SCALED = "note: in the search {} had mean 0 and deviation 1: scale yours likewise"


def define() -> None:
    """Defines the flags."""
    written = Group("What is written")
    written.choice(
        "format",
        "auto",
        ["auto", *FORMATS],
        "python needs NumPy alone, jax JAX alone; onnx is a trained model; auto goes by the ending of --output, and "
        "is python without one",
    )
    written.text("output", None, "file to write; without it the terminal, but for onnx")
    written.switch("overwrite", False, "replace a file that is there")
    written.text("class_name", "Model", "of the class in Python")
    program = Group("How the program is understood")
    program.text(
        "loss",
        None,
        "what predictions are for: rmse, accuracy, multiclass_accuracy or another; by default the run's, else rmse",
    )
    program.integer("random_seed", None, "of random ops; by default the run's, else 0")
    program.number("max_abs_error", 100.0, "training stops at a larger error; by default the run's", most=math.inf)
    trained = Group("What a model in ONNX is trained on, by default what the run was about")
    define_own_data(trained, "it is trained on, all rows")
    trained.integer(
        "epochs",
        None,
        "passes over the rows; by default until as many were seen as in a search",
        least=1,
        most=_MOST_EPOCHS,
    )


class Subject(NamedTuple):
    """A program to export.

    Attributes:
      name: for messages.
      program: without dead instructions.
      stages: of its run; none of a file.
      is_trivial: whether its run has found that its predictions ignore the features.
    """

    name: str
    program: az.Program
    stages: dict[str, StageRecord]
    is_trivial: bool = False

    @property
    def spec(self) -> str | None:
        """The tasks of its run that nothing else has decided on, if there are any."""
        return next((self.stages[name].tasks for name in reversed(STAGES) if name in self.stages), None)

    @property
    def generator(self) -> str:
        """The name of these tasks; empty where there are none."""
        return (self.spec or "").partition(":")[0].strip()

    def how(self) -> dict[str, Any]:
        """Its seed and its largest error: flags, else the run's."""
        run = self.stages.get(STAGES[0])
        seed, error = FLAGS.random_seed, FLAGS.max_abs_error
        if run is not None:
            seed = run.random_op_seed if seed is None else seed
            error = error if FLAGS["max_abs_error"].present else run.max_abs_error
        return {"seed": seed or 0, "max_abs_error": error}

    def loss(self) -> str:
        """The flag, else that of the run's tasks, else empty."""
        if FLAGS.loss or self.spec is None:
            return FLAGS.loss or ""
        try:
            known = given_parameters(self.spec).get("loss") or _OF_DATA.get(self.generator)
            return known or make_tasks(self.spec).loss
        except (ValueError, OSError) as error:
            raise ValueError(f"{error}: the run's tasks cannot be made; --loss says what it is about") from error


def read(name: str) -> Subject:
    """The program of a run's directory, of a file, or a hand-written one.

    Raises:
      ValueError: there is none.
      OSError: a file cannot be read.
    """
    path = pathlib.Path(name).expanduser()
    if not path.is_dir():
        several = bool(FLAGS.loss) and objectives.named(FLAGS.loss).vector_labels
        return Subject(name, claims.read_program(str(path) if name not in HAND_WRITTEN else name, several), {})
    if not (path / RESULT).exists():
        raise ValueError(f"{name}: no {RESULT} in it: expected the output directory of a run, or a file of a program")
    result = files.read_json(path / RESULT)
    try:
        if result is None:
            raise ValueError("expected an object in JSON")
        text = result["program"]
        if text is None and (path / BEST_PROGRAM).exists():
            text = (path / BEST_PROGRAM).read_text()
        if text is None:
            raise ValueError(f"no program yet: the run is {result['status']}")
        stages = {stage: records.read(StageRecord, how, f"stages.{stage}") for stage, how in result["stages"].items()}
        return Subject(name, az.Program.from_text(text), stages, result.get("trivial") is True)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path / RESULT}: not the result of a run of this version ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path / RESULT}: {error}") from error


def run(arguments: list[str]) -> None:
    """Writes the file, or prints."""
    if len(arguments) != 1:
        raise ValueError(
            f"{len(arguments)} arguments that are no flags: expected one, the output directory of a run or a file of "
            "a program"
        )
    form, output = _format(), pathlib.Path(FLAGS.output).expanduser() if FLAGS.output else None
    if output is not None:
        check_writable("output", str(output))
        if output.exists() and not FLAGS.overwrite:
            raise ValueError(f"--output={FLAGS.output}: there is such a file: --overwrite replaces it")
    elif form == "onnx":
        raise ValueError("--format=onnx: expected --output=FILE, since a model is no text")
    about_data = [name for name in ("data", *OF_DATA, "epochs") if FLAGS[name].present]
    if form != "onnx" and about_data:
        raise ValueError(
            f"--{about_data[0]} is for --format=onnx, a trained model: in {form} a program is the algorithm, untrained"
        )
    subject = read(arguments[0])
    if subject.is_trivial:
        tell_once(trivial.NOTE)
    content = _model(subject) if form == "onnx" else _source(subject, form).encode()
    if output is None:
        print(content.decode(), end="")
    else:
        files.write_atomically(output, content)
        print(f"{output}: {form}, {len(content):,} bytes")


def _format() -> str:
    if FLAGS.format != "auto":
        return FLAGS.format
    if not FLAGS.output:
        return "python"
    ending = pathlib.Path(FLAGS.output).suffix
    for form, known in FORMATS.items():
        if ending == known:
            return form
    endings = ", ".join(dict.fromkeys(FORMATS.values()))
    raise ValueError(f"--output={FLAGS.output}: expected an ending of {endings}, or --format")


def _source(subject: Subject, form: str) -> str:
    """A program as text of some form."""
    program = subject.program
    if form in ("text", "latex"):
        loss = FLAGS.loss or ""
        if not loss:
            loss = "multiclass_accuracy" if subject.spec and has_vector_labels(subject.spec) else "rmse"
        return program.to_text() if form == "text" else az.to_latex(program, loss=loss)
    loss, how = subject.loss() or "rmse", subject.how()
    if subject.generator in _OF_DATA:
        print(
            _SCALED.format("features" if objectives.named(loss).has_classes else "features and labels"), file=sys.stderr
        )
    if form == "python":
        return az.to_python(program, loss=loss, name=FLAGS.class_name, seed=how["seed"])
    return az.to_jax_source(program, loss=loss, **how)


def _model(subject: Subject) -> bytes:
    """A trained model in ONNX."""
    az.set_xla_flags()
    compile_cache.use(execution.user_cache_dir())
    found = _table(subject)
    if found is None:
        return _onnx(_trained_on_a_task(subject))
    source, how = found
    try:
        model = table_models.train(subject.program, source, kind=FLAGS.kind, loss=subject.loss(), **how)
    except FileNotFoundError as error:
        raise ValueError(f"{error}: --data=FILE says where the table is") from error
    tell_once(model.description)
    if not trivial.reads_features(subject.program, model.learner.objective.vector_labels):
        tell_once(trivial.NOTE)
    times = f"{model.learner.epochs} times" if model.learner.epochs > 1 else "once"
    score = f"{model.fitness:.1%} right" if model.learner.objective.has_classes else f"fitness {model.fitness:.4f}"
    print(f"trained on {model.rows:,} rows, {times}: on the same rows {score}", file=sys.stderr)
    return _onnx(model.learner, model.columns)


def _onnx(learner: az.Learner, columns: Columns | None = None) -> bytes:
    """A fitted learner in ONNX; what its Predict keeps from row to row is said, and left out."""
    carried = dataflow.carried_by_predict(learner.program, learner.objective.vector_labels)
    if carried:
        print(
            f"note: Predict keeps {', '.join(sorted(carried))} from one row to the next; in the model each row begins "
            "with the memory after training",
            file=sys.stderr,
        )
    return az.to_onnx(learner, columns, independent=True).SerializeToString()


def _table(subject: Subject) -> tuple[Source, dict[str, Any]] | None:
    """The table to train on and how: what flags say, else what the run was about; None if that was no table."""
    given: dict[str, Any] = {name: FLAGS[name].value for name in OF_DATA if name != "kind" and FLAGS[name].present}
    how = subject.how() | {"epochs": FLAGS.epochs or 0}
    settings = given_parameters(subject.spec) if subject.spec else {}
    fields = {name: value for name, value in settings.items() if name in SOURCE_FIELDS}
    # Tasks of pairs of classes are no table.
    of_table = subject.generator in _OF_DATA and "dataset" in fields and not _OF_PAIRS & settings.keys()
    if of_table:
        how["features_size"] = int(settings.get("features_size", TaskSettings.features_size))
        how["examples"] = math.prod(int(settings.get(name, getattr(TaskSettings, name))) for name in _SEEN)
    if FLAGS.data:
        kept = {name: value for name, value in fields.items() if name not in ("dataset", "path")} if of_table else {}
        return own_data.source_of(FLAGS.data, **(kept | given)), how
    if of_table:
        return Source(**(fields | given)), how
    wrong = next((name for name in (*OF_DATA, "epochs") if FLAGS[name].present), None)
    if wrong:
        raise ValueError(f"--{wrong} is about --data, which is missing")
    if subject.spec is None:
        raise ValueError("--format=onnx: a model is trained: --data=mine.csv --label=price says on what")
    return None


def _trained_on_a_task(subject: Subject) -> az.Learner:
    """A learner trained on the first of the tasks that a run was scored on."""
    spec = subject.spec
    assert spec is not None
    tasks = make_tasks(spec)
    run = subject.stages[STAGES[0]]
    learner = az.Learner(
        subject.program,
        loss=tasks.loss,
        epochs=tasks.num_train_epochs,
        shuffle_seed=tasks.shuffle_seed,
        num_classes=tasks.num_classes if tasks.vector_labels else None,
        dtype=run.dtype,
        **subject.how(),
    )
    learner.fit(tasks.train_features[0], tasks.train_labels[0])
    score = learner.score(tasks.valid_features[0], tasks.valid_labels[0])
    print(f"trained on the first of the tasks {spec}: fitness {score:.4f}", file=sys.stderr)
    print("each of these tasks has its own data: --data=mine.csv --label=price trains on a table", file=sys.stderr)
    return learner


COMMAND = Command(
    usage="RUN_OR_PROGRAM --output=FILE ...",
    what="""Writes a program for use elsewhere: the winner of a run, from its output directory, or the program of a
    file. In Python, JAX or LaTeX it is the learning algorithm, untrained. A model in ONNX is trained on the table that
    --data names, or else on all rows of the run's, and predicts from the columns as they are in the table.""",
    examples=(
        "runs/demo --output=model.py",
        "runs/demo --format=jax --output=model_in_jax.py",
        "runs/mine --output=model.onnx",
        "program.txt --data=mine.csv --label=price --output=model.onnx",
        "runs/demo --format=latex",
    ),
    define=define,
    run=run,
    errors=(az.FitError, ImportError),
)
