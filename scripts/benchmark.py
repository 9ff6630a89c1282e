"""How fast programs are evaluated, and how that depends on XLA's settings.

    python scripts/benchmark.py                                   the table of the README
    python scripts/benchmark.py --xla="ours;default"              our XLA flags against XLA's own
    python scripts/benchmark.py --mode=ops --features_sizes=4,16  nanoseconds of every op
    python scripts/benchmark.py --compare=before.json,after.json  two runs, as ratios

Every combination of platform, XLA setting and threads runs in a process of its own,
because XLA reads its flags once; workloads, sizes, task counts, dtypes and strategies
are rows of it. Workloads: random (all ops, 10 + 10 + 10 instructions), linear,
neural_net and no_op (the C++ release's programs; these run with deduplication off, so
that every copy really runs), evolved (programs from searches), search (the demo from
the command, in individuals per second).
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

from absl import app
from absl import flags as absl_flags

try:
    import azero_jax
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax

import jax

from azero_jax import Evaluator, benchmarking
from azero_jax.evaluator import DTYPES, STRATEGIES
from azero_jax.version import versions

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = absl_flags.FLAGS
absl_flags.DEFINE_enum("mode", "programs", ["programs", "ops"], "what is timed: whole programs, or single ops")
absl_flags.DEFINE_list(
    "workloads", ["random", "linear", "neural_net"], f"some of {', '.join(benchmarking.WORKLOADS)}, search"
)
absl_flags.DEFINE_list("features_sizes", ["4", "16"], "F of the tasks")
absl_flags.DEFINE_list("task_counts", ["10"], "D, tasks")
absl_flags.DEFINE_list("dtypes", ["float32"], ", ".join(DTYPES))
absl_flags.DEFINE_list("strategies", ["auto"], ", ".join(STRATEGIES))
absl_flags.DEFINE_list("platforms", [""], "platforms of JAX, such as cpu, cuda; empty for JAX's choice")
absl_flags.DEFINE_list("thread_counts", ["0"], "threads; 0 for one per core")
absl_flags.DEFINE_string(
    "xla", "ours", "XLA settings, with ; between them: ours, default (without ours), or flags, which come before ours"
)
absl_flags.DEFINE_integer("num_examples", 100, "training and validation examples, each", lower_bound=1)
absl_flags.DEFINE_integer("programs", 2000, "programs of a workload", lower_bound=1)
absl_flags.DEFINE_integer("repeats", 7, "timed runs of each row", lower_bound=1)
absl_flags.DEFINE_integer("search_individuals", 500_000, "programs that the search workload makes", lower_bound=150_000)
absl_flags.DEFINE_string("json", None, "file for all numbers")
absl_flags.DEFINE_string("csv", None, "file for the table")
absl_flags.DEFINE_string("plot", None, "picture of the table, such as speed.png; needs matplotlib")
absl_flags.DEFINE_list("compare", None, "two files of --json: prints the second's speed as a ratio to the first's")
absl_flags.DEFINE_string("child", None, "used by the script itself: the settings of one process, as JSON")

_SETTINGS = ("platform", "xla", "threads", "dtype", "strategy")
_KEY = ("workload", "features_size", "num_tasks", *_SETTINGS)
_EVOLVED = pathlib.Path(__file__).parent / "workloads" / "evolved.txt"


def main(arguments: list[str]) -> None:
    """Does what the flags say; exits with 2 on wrong input."""
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}: settings are given as --name=value")
    try:
        if FLAGS.child:
            for row in measure(json.loads(FLAGS.child)):
                print(json.dumps(row), flush=True)
        elif FLAGS.compare:
            if len(FLAGS.compare) != 2:
                raise ValueError(f"--compare: expected two files, got {', '.join(FLAGS.compare)}")
            compare(*FLAGS.compare)
        else:
            report()
    except (ValueError, OSError) as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        sys.exit(2)


def report() -> None:
    """Measures every combination, prints the table as it grows, and writes the files.

    Raises:
      ValueError: an unknown workload, dtype or strategy.
    """
    for name, values, known in (
        ("workloads", FLAGS.workloads, [*benchmarking.WORKLOADS, "search"]),
        ("dtypes", FLAGS.dtypes, DTYPES),
        ("strategies", FLAGS.strategies, STRATEGIES),
    ):
        for value in values:
            if value not in known:
                raise ValueError(f"--{name}: {value!r}: expected some of {', '.join(known)}")
    for name in ("features_sizes", "task_counts", "thread_counts"):
        for value in FLAGS[name].value or []:
            if not value.isdigit():
                raise ValueError(f"--{name}: {value!r}: expected whole numbers")
    for xla in FLAGS.xla.split(";"):
        if xla not in ("ours", "default") and not all(flag.startswith("--") for flag in xla.split() or [""]):
            raise ValueError(f"--xla: {xla!r}: expected ours, default, or flags that begin with --, apart by ;")
    rows: list[dict] = []
    settings = list(itertools.product(FLAGS.platforms, FLAGS.xla.split(";"), FLAGS.thread_counts))
    for platform, xla, threads in settings:
        for row in run_process({"platform": platform, "xla": xla, "threads": int(threads)}):
            if "versions" in row:
                header = row | {"command": sys.argv[1:]}
                if not rows:
                    print(", ".join(f"{name} {version}" for name, version in row["versions"].items()))
                continue
            if not rows:
                print(_heading())
            rows.append(row)
            print(_line(row, rows), flush=True)
    if FLAGS.json:
        pathlib.Path(FLAGS.json).write_text(json.dumps(header | {"rows": rows}, indent=1) + "\n")
    if FLAGS.csv:
        with open(FLAGS.csv, "w", newline="") as file:
            names = [name for name in rows[0] if name != "seconds"]
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    if FLAGS.plot:
        plot(rows, FLAGS.plot)


def run_process(settings: dict):
    """Rows that a process of its own measures under some settings.

    Raises:
      ValueError: the process fails, as on an unknown XLA flag or platform; its last words are in the message.
    """
    environment = dict(os.environ)
    if settings["platform"]:
        environment["JAX_PLATFORMS"] = settings["platform"]
    if settings["xla"] not in ("ours", "default"):
        environment["XLA_FLAGS"] = settings["xla"]
    command = [sys.executable, __file__, *sys.argv[1:], f"--child={json.dumps(settings)}"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            errors.seek(0)
            last = "".join(errors.read().strip().splitlines()[-1:]).removeprefix("benchmark.py: error: ")
            raise ValueError(f"settings {settings}: the process ended with {process.returncode}: {last}")


def measure(settings: dict):
    """Measures all rows of one process."""
    if settings["xla"] == "default":
        jax.devices()  # before our flags are set
        warnings.filterwarnings("ignore", "JAX had started")
    else:
        azero_jax.set_xla_flags()
    yield {"versions": versions(), "devices": [str(device) for device in jax.devices()]}
    sizes = [int(size) for size in FLAGS.features_sizes]
    counts = [int(count) for count in FLAGS.task_counts]
    if FLAGS.mode == "ops":
        for size, count, dtype in itertools.product(sizes, counts, FLAGS.dtypes):
            for row in benchmarking.measure_ops(size, count, dtype, FLAGS.repeats):
                yield settings | {"num_tasks": count, "dtype": dtype} | row
        return
    for size, count, dtype, strategy, workload in itertools.product(
        sizes, counts, FLAGS.dtypes, FLAGS.strategies, FLAGS.workloads
    ):
        row = settings | {"workload": workload, "features_size": size, "num_tasks": count, "dtype": dtype}
        if workload == "search":
            yield row | {"strategy": strategy} | measure_search(settings["threads"], dtype, strategy)
            continue
        evaluator = Evaluator(
            benchmarking.regression_tasks(size, count, FLAGS.num_examples),
            memory=benchmarking.MEMORY,
            dtype=dtype,
            strategy=strategy,
            num_threads=settings["threads"] or None,
            deduplicate=workload in ("random", "evolved"),
        )
        population = benchmarking.programs_of(workload, FLAGS.programs, _EVOLVED)
        measured = benchmarking.measure_programs(population, evaluator, FLAGS.repeats)
        yield row | {"strategy": evaluator.strategy} | measured


def measure_search(threads: int, dtype: str, strategy: str) -> dict:
    """Individuals per second of the demo, by the command, until a number of individuals is made."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, str(ROOT / "scripts" / "evolve.py")]
        command += [f"--flagfile={ROOT / 'scripts' / 'flagfiles' / 'linear_demo.flags'}", f"--output_dir={directory}"]
        command += ["--random_seed=1", "--sufficient_fitness=inf", "--max_stagnant_individuals=0"]
        command += [f"--max_individuals={FLAGS.search_individuals}", "--max_experiments=1", "--final_tasks="]
        command += [f"--num_threads={threads}", f"--dtype={dtype}", f"--strategy={strategy}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lines = (pathlib.Path(directory) / "metrics.jsonl").read_text().splitlines()
    # The last line repeats the one before it after selection.
    first, last = json.loads(lines[0]), json.loads(lines[-2])
    seconds = last["elapsed_seconds"] - first["elapsed_seconds"]
    return {
        "compile_seconds": first["elapsed_seconds"],
        "seconds": [seconds],
        "spread": 0.0,
        "programs_per_second": (last["individuals"] - first["individuals"]) / max(seconds, 1e-9),
    }


def _heading() -> str:
    if FLAGS.mode == "ops":
        return f"{'op':>24} {'F':>3} {'D':>3} {'dtype':>8} {'xla':>8} {'ns':>8} {'floor':>8} {'ratio':>7}"
    return (
        f"{'workload':>10} {'F':>3} {'D':>3} {'dtype':>8} {'strategy':>8} {'platform':>8} {'threads':>7} {'xla':>8} "
        f"{'compile s':>9} {'programs/s':>11} {'spread':>7} {'GPops/s':>8} {'ns/instr':>9} {'and task':>9} {'ratio':>6}"
    )


def _line(row: dict, rows: list[dict]) -> str:
    """A row of the table; its ratio is to the same workload under the first settings."""
    first = next(other for other in rows if all(other.get(n) == row.get(n) for n in ("op", *_KEY[:3])))
    start = f"{row['features_size']:>3} {row['num_tasks']:>3} {row['dtype']:>8}"
    if "op" in row:
        ratio = row["nanoseconds"] / first["nanoseconds"]
        return (
            f"{row['op']:>24} {start} {row['xla'][:8]:>8} {row['nanoseconds']:>8.1f} "
            f"{row['floor_nanoseconds']:>8.1f} {ratio:>7.2f}"
        )
    ratio = row["programs_per_second"] / first["programs_per_second"]
    per_instruction = [row.get(name) for name in ("gpops_per_second", "ns_per_instruction")]
    per_instruction.append(row.get("ns_per_instruction_and_task"))
    numbers = " ".join(
        f"{number:>{width}.2f}" if number is not None else f"{'-':>{width}}"
        for number, width in zip(per_instruction, (8, 9, 9))
    )
    return (
        f"{row['workload']:>10} {start} {row['strategy']:>8} {row['platform'] or 'any':>8} "
        f"{row['threads'] or 'all':>7} {row['xla'][:8]:>8} {row['compile_seconds']:>9.1f} "
        f"{row['programs_per_second']:>11,.0f} {row['spread']:>7.0%} {numbers} {ratio:>6.2f}"
    )


def compare(before: str, after: str) -> None:
    """Prints how much faster the rows of one file are than the same rows of another.

    Raises:
      ValueError: a file that is not of --json, or no row in common.
      OSError: a file cannot be read.
    """
    tables = []
    for path in (before, after):
        try:
            rows = json.loads(pathlib.Path(path).read_text())["rows"]
            tables.append({tuple(row.get(name) for name in ("op", *_KEY)): row for row in rows})
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"--compare: {path}: expected a file of --json, got {error!r}") from error
    common = [key for key in tables[0] if key in tables[1]]
    if not common:
        raise ValueError(f"--compare: {before} and {after} have no row in common")
    print(f"{'':>24} {'F':>3} {'D':>3} {'settings':<40} {'before':>11} {'after':>11} {'faster':>7}")
    for key in common:
        old, new = (table[key] for table in tables)
        name = "nanoseconds" if "op" in old else "programs_per_second"
        ratio = old[name] / new[name] if "op" in old else new[name] / old[name]
        settings = " ".join(str(old.get(part) or "-") for part in _SETTINGS)
        print(
            f"{old.get('op') or old['workload']:>24} {old['features_size']:>3} {old['num_tasks']:>3} {settings:<40} "
            f"{old[name]:>11,.0f} {new[name]:>11,.0f} {ratio:>7.2f}"
        )


def plot(rows: list[dict], path: str) -> None:
    """Draws the rows as bars.

    Raises:
      ValueError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError("--plot needs matplotlib: pip install matplotlib") from error
    value = "nanoseconds" if FLAGS.mode == "ops" else "programs_per_second"
    first = "op" if FLAGS.mode == "ops" else "workload"
    varying = [name for name in _KEY[1:] if len({str(row.get(name)) for row in rows}) > 1]
    labels = [", ".join([row[first], *(f"{name} {row.get(name)}" for name in varying)]) for row in rows]
    figure = Figure(figsize=(9, 1 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(labels, [row[value] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("nanoseconds per op" if FLAGS.mode == "ops" else "programs per second")
    figure.savefig(path)


if __name__ == "__main__":
    app.run(main)
