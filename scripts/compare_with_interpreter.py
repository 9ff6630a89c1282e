"""Compares the machine with an independent interpreter on generated programs, as many as one likes.

    python scripts/compare_with_interpreter.py --seed=1 --programs=1000000

Settings are drawn at random: 1 to 65 features, 1 to 40 tasks, all losses, one to three
epochs, both dtypes, memories, errors that stop a task, and constants such as -0, 1e-45 and
1e39. Thousands of programs over all 65 ops run under each, dead instructions and random
ops among them, and `tests/vectorised_interpreter.py` runs the same in plain NumPy.

Every difference is explained, one by one. Rounding is told from a fault by noise: the
interpreter runs the program again, several times, and moves the result of every
instruction by at most four units in the last place, that of a Gaussian draw by a millionth,
and changes how sums are formed and whether a product is rounded before it is added. A
machine that is right rounds otherwise than NumPy, but by no more than that. So where the
noisy runs are about as far apart as the machine is from the interpreter, or fail at
different examples, the program is *unstable*: its last bits decide. What noise does not
explain is a *fault*; it is printed with all that repeats it, and the exit status is 1.
"""

from __future__ import annotations

import collections
import importlib
import json
import multiprocessing
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

try:
    import azero_jax as az
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax as az

from azero_jax import command_line, ops
from azero_jax.command_line import FLAGS, Command, Group
from azero_jax.files import write_atomically
from azero_jax.program import FIRST_OUTPUT, op_columns
from azero_jax.text import OP, OUT

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_SIZES = (1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 32, 33, 64, 65)
_CONSTANTS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-45, -1e-40, 1e-30, 1e30, 3e38, 1e39, -1e39])
_MOST_PER_SETTING = 10_000
# Numbers that the interpreter may touch for the programs of one setting: about ten seconds.
_WORK_PER_SETTING = 6e9
_NOISY_RUNS = 60
# The interpreter runs every such program with its dead lines, too, and of others what its own analysis finds live.
_WITH_DEAD_LINES = 10
_SAME = {"float32": 1e-4, "float64": 1e-6}
_KINDS = ("equal", "unstable", "fault")


class Setting(NamedTuple):
    """What programs run under; all of it follows from the seed and the number."""

    seed: int
    number: int
    features_size: int
    num_tasks: int
    num_train: int
    num_valid: int
    num_epochs: int
    loss: str
    dtype: str
    memory: tuple[int, int, int]
    lengths: tuple[int, int, int]
    max_abs_error: float
    scale: float
    programs: int


# Losses of the same kind of labels.
_LOSSES = {
    "rmse": ("rmse", "mae", "huber"),
    "accuracy": ("accuracy", "cross_entropy"),
    "multiclass_accuracy": ("multiclass_accuracy", "multiclass_cross_entropy"),
}


def setting(seed: int, number: int) -> Setting:
    """The setting of a number."""
    rng = np.random.default_rng((seed, number))
    size, num_tasks = int(rng.choice(_SIZES)), int(rng.integers(1, 41))
    losses = ("rmse", "accuracy", "multiclass_accuracy") if size >= 2 else ("rmse", "accuracy")
    lengths = tuple(int(n) for n in rng.integers((0, 1, 0), 13))
    train, valid, epochs = (int(n) for n in rng.integers((3, 2, 1), (9, 6, 4)))
    executed = lengths[0] + epochs * (train * (lengths[1] + lengths[2]) + valid * lengths[1])
    work = num_tasks * size**2.2 * 3 + 300  # 300: what NumPy takes for a call, however small
    return Setting(
        seed,
        number,
        size,
        num_tasks,
        train,
        valid,
        epochs,
        str(np.random.default_rng((seed, number, 3)).choice(_LOSSES[str(rng.choice(losses))])),
        str(rng.choice(["float32", "float64"])),
        tuple(int(n) for n in rng.integers((3, 3, 1), (9, 8, 6))),  # type: ignore[arg-type]
        lengths,  # type: ignore[arg-type]
        float(rng.choice([0.5, 100.0, 1e6])),
        float(rng.choice([0.1, 1.0, 1.0, 30.0])),
        int(min(_MOST_PER_SETTING, max(20, _WORK_PER_SETTING / (work * max(1, executed) / 4)))),
    )


def tasks_of(how: Setting) -> az.Tasks:
    """Random examples."""
    rng = np.random.default_rng((how.seed, how.number, 1))
    shapes = [(how.num_tasks, n, how.features_size) for n in (how.num_train, how.num_valid)]
    features = [how.scale * rng.standard_normal(shape) for shape in shapes]
    if how.loss in _LOSSES["rmse"]:
        labels = [how.scale * rng.standard_normal(shape[:2]) for shape in shapes]
    else:
        classes = 2 if how.loss in _LOSSES["accuracy"] else int(rng.integers(2, min(how.features_size, 10) + 1))
        labels = [rng.integers(0, classes, shape[:2]).astype(float) for shape in shapes]
    if how.dtype == "float32":  # so that both see the same numbers
        features, labels = ([part.astype(np.float32).astype(float) for part in parts] for parts in (features, labels))
    return az.Tasks(features[0], labels[0], features[1], labels[1], how.loss, how.num_epochs, shuffle_seed=how.number)


def programs_of(how: Setting) -> az.Population:
    """Random programs; half of their lines read and write few addresses, so that long chains are live."""
    rng = np.random.default_rng((how.seed, how.number, 2))
    population = az.Population.empty(how.programs, how.lengths)
    table = ops.table()[: ops.NUM_BUILT_IN_OPS]
    few = rng.choice(len(table), 12, replace=False) if rng.random() < 0.3 else np.arange(len(table))
    op = rng.choice(few, population.code.shape[:2])
    population.code[..., OP] = op
    limits = np.array([*how.memory, 1])
    narrow = rng.random(op.shape) < 0.5
    for column, kinds in op_columns().kinds.items():
        kind = kinds[op]
        first = FIRST_OUTPUT[kind] if column == OUT else np.zeros_like(kind)
        most = np.where(narrow, np.minimum(limits[kind], first + 2), limits[kind])
        population.code[..., column] = rng.integers(first, most)
    constants = rng.uniform(-2, 2, population.constants.shape)
    special = rng.random(constants.shape) < 0.3
    constants[special] = rng.choice(_CONSTANTS, special.sum())
    used, indices = (np.array(n)[op] for n in zip(*((len(o.constants), o.constants.count("index")) for o in table)))
    place = np.arange(ops.MAX_CONSTANTS)
    constants = np.where(place < indices[..., None], rng.random(constants.shape), constants)
    population.constants[:] = np.where(place < used[..., None], constants, 0.0)
    population.lengths[:] = how.lengths
    # The last line of Predict writes the prediction where it can.
    line = population.starts[2] - 1
    kind, address = (1, 2) if how.loss in _LOSSES["multiclass_accuracy"] else (0, 1)
    population.code[op_columns().kinds[OUT][op[:, line]] == kind, line, OUT] = address
    return population


def interpreter_of(how: Setting, tasks: az.Tasks) -> Any:
    """The independent interpreter of a setting's tasks."""
    sys.path.insert(0, str(_ROOT / "tests"))
    try:
        interpreter = importlib.import_module("vectorised_interpreter").Interpreter
    except ImportError as error:
        raise ValueError(
            f"no {_ROOT / 'tests' / 'vectorised_interpreter.py'}: expected a clone of the repository"
        ) from error
    finally:
        sys.path.pop(0)
    arrays = (tasks.train_features, tasks.train_labels, tasks.valid_features, tasks.valid_labels)
    return interpreter(
        arrays,
        loss=how.loss,
        memory=dict(zip("svm", how.memory)),
        max_abs_error=how.max_abs_error,
        orders=[tasks.train_order(epoch) for epoch in range(how.num_epochs)],
        seed=how.number,
        dtype=how.dtype,
    )


def compare(how: Setting) -> tuple[collections.Counter, list[str]]:
    """How many programs of a setting agree, and the faults in words."""
    tasks, population = tasks_of(how), programs_of(how)
    evaluator = az.Evaluator(
        tasks,
        memory=az.MemorySize(*how.memory),
        max_abs_error=how.max_abs_error,
        dtype=how.dtype,
        seed=how.number,
        num_threads=1,
        deduplicate=False,
    )
    evaluation = evaluator.evaluate(population)
    interpreter = interpreter_of(how, tasks)
    counts: collections.Counter = collections.Counter()
    faults = []
    for index, program in enumerate(population):
        text = program.to_text()
        measured = evaluation.fitness[index], evaluation.train_steps[index]
        kind, expected = judge(interpreter, text, *measured, how, only_live=index % _WITH_DEAD_LINES > 0)
        counts[kind] += 1
        if kind == "fault":
            faults.append(
                f"program {index} of {how}\n{text}"
                f"machine: fitness {measured[0].tolist()}, train steps {measured[1].tolist()}\n"
                f"interpreter: fitness {expected[0].tolist()}, train steps {expected[1].tolist()}"
            )
    return counts, faults


def judge(
    interpreter: Any, text: str, fitness: np.ndarray, steps: np.ndarray, how: Setting, only_live: bool = False
) -> tuple[str, Any]:
    """Which of `_KINDS` what the machine says of a program is, and what the interpreter says of it."""
    expected = interpreter.run(text, only_live=only_live)
    wrong = (np.abs(fitness - expected[0]) > _SAME[how.dtype]) | (steps != expected[1])
    if not wrong.any():
        return "equal", expected
    noisy = [interpreter.run(text, run) for run in range(_NOISY_RUNS)]
    runs = np.array([expected[0], *(some[0] for some in noisy)])
    counts = np.array([expected[1], *(some[1] for some in noisy)])
    spread = runs.max(axis=0) - runs.min(axis=0)
    # The runs do not reach as far as all ways of rounding can, and where it decides when a task fails, it decides all.
    explained = (np.abs(fitness - expected[0]) <= 20 * spread) | (counts.max(axis=0) > counts.min(axis=0))
    return ("unstable" if explained[wrong].all() else "fault"), expected


def settings_for(seed: int, programs: int) -> Iterator[Setting]:
    """Settings, from number 0 on, until they have so many programs."""
    number = 0
    while programs > 0:
        how = setting(seed, number)
        yield how._replace(programs=min(how.programs, programs))
        programs -= how.programs
        number += 1


def define() -> None:
    """Defines the flags."""
    group = Group("The comparison")
    group.integer("seed", 1, "of settings and programs")
    group.integer("programs", 10_000, "programs to compare", least=1)
    group.integer("skip_settings", 0, "settings that an earlier comparison of this seed has done", least=0)
    group.integer("num_processes", 1, "processes that share the settings", least=1, most=256)
    group.text("json", None, "file for the counts and faults, also of a comparison that was interrupted")


def run(arguments: list[str]) -> None:
    """Compares, prints the counts and every fault, and exits with 1 if there is any."""
    command_line.no_more(arguments)
    command_line.check_writable("json", FLAGS.json)
    settings = list(settings_for(FLAGS.seed, FLAGS.programs))
    if FLAGS.skip_settings >= len(settings):
        raise ValueError(f"--skip_settings={FLAGS.skip_settings}: expected fewer than {len(settings)}, which there are")
    todo = settings[FLAGS.skip_settings :]
    counts: collections.Counter = collections.Counter()
    faults: list[str] = []
    started = shown = time.monotonic()
    print(f"{sum(how.programs for how in todo):,} programs under {len(todo):,} settings, seed {FLAGS.seed}", flush=True)
    # Ctrl-C is for this process, which ends the others, also when it is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ignore = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    try:
        with multiprocessing.get_context("spawn").Pool(FLAGS.num_processes, *ignore, maxtasksperchild=20) as pool:
            for done, (some, found) in enumerate(pool.imap_unordered(compare, todo), start=1):
                counts += some
                faults += found
                for fault in found:
                    print(f"\nFAULT: {fault}", flush=True)
                if time.monotonic() - shown > 30 or done == len(todo):
                    shown = time.monotonic()
                    rate = counts.total() / (shown - started)
                    words = ", ".join(f"{counts[kind]:,} {kind}" for kind in _KINDS)
                    print(f"{done:,} of {len(todo):,} settings, {rate:,.0f} programs/s: {words}", flush=True)
    finally:
        if FLAGS.json:
            content = {"seed": FLAGS.seed, **{kind: counts[kind] for kind in _KINDS}, "faults": faults}
            write_atomically(pathlib.Path(FLAGS.json), (json.dumps(content, indent=2) + "\n").encode())
    if faults:
        sys.exit(1)


COMMAND = Command(
    usage="",
    what="Compares the machine with an independent interpreter in NumPy on generated programs under random settings.",
    examples=("--seed=1 --programs=20000",),
    define=define,
    run=run,
    needs_arguments=False,
)

if __name__ == "__main__":
    command_line.start("compare_with_interpreter.py", COMMAND, sys.argv[1:])
