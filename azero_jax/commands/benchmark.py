"""How fast programs are evaluated, and how that depends on XLA's settings.

    azero benchmark                                   the table of the README
    azero benchmark --xla="ours;default"              our XLA flags against XLA's own
    azero benchmark --mode=ops --features_sizes=4,16  nanoseconds of every op
    azero benchmark --compare=before.json,after.json  two runs, as ratios
    azero benchmark --against=HEAD                    this version and another one in turn, as ratios

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
import statistics
import subprocess
import sys
import tempfile
import warnings

import jax

import azero_jax
from azero_jax import Evaluator, benchmarking, xla_flags
from azero_jax.command_line import FLAGS, HIDDEN, Command, Group, check_writable, given_flags, no_more
from azero_jax.evaluator import DTYPES, STRATEGIES
from azero_jax.files import write_atomically
from azero_jax.side_by_side import SideBySide, check_out, end, rounds
from azero_jax.speed_ratios import KEY, compare, key, legend, names_of_xla
from azero_jax.version import versions


def define() -> None:
    """Defines the flags."""
    what = Group("What is measured")
    what.choice("mode", "programs", ["programs", "ops"], "what is timed: whole programs, or single ops")
    what.names("workloads", ["random", "linear", "neural_net"], f"some of {', '.join(benchmarking.WORKLOADS)}, search")
    what.names("features_sizes", ["4", "16"], "F of the tasks")
    what.names("task_counts", ["10"], "D, tasks")
    what.integer("num_examples", 100, "training and validation examples, each", least=1)
    what.integer("programs", 2000, "programs of a workload", least=1)
    what.integer("repeats", 7, "timed runs of each row", least=1)
    what.integer("search_individuals", 500_000, "programs that the search workload makes", least=150_000)
    how = Group("How it is compiled and run")
    how.names("dtypes", ["float32"], ", ".join(DTYPES))
    how.names("strategies", ["auto"], ", ".join(STRATEGIES))
    how.names("platforms", [""], "platforms of JAX, such as cpu, cuda; empty for JAX's choice")
    how.names("thread_counts", ["0"], "threads; 0 for one per core")
    how.text(
        "xla",
        "ours",
        "XLA settings, with ; between them: ours, late (ours where JAX has started first), default (without ours), "
        "or flags, which come before ours",
    )
    result = Group("Results")
    result.text("json", None, "file for all numbers")
    result.text("csv", None, "file for the table")
    result.text("plot", None, "picture of the table, such as speed.png; needs matplotlib")
    result.names("compare", None, "two files of --json: prints the second's speed as a ratio to the first's")
    result.text(
        "against", None, "a git revision: prints this version's speed as a ratio to its, from processes in turn"
    )
    result.integer("rounds", 5, "processes of each version, with --against", least=1)
    result.text("child", None, HIDDEN)  # the settings of one process, as JSON


_PACKAGE = pathlib.Path(azero_jax.__file__).parent
_XLA_SETTINGS = ("ours", "late", "default")
_EVOLVED = _PACKAGE / "workloads" / "evolved.txt"


def run(arguments: list[str]) -> None:
    """Does what the flags say."""
    no_more(arguments)
    if FLAGS.child:
        for row in measure(json.loads(FLAGS.child)):
            print(json.dumps(row), flush=True)
    elif FLAGS.compare:
        if len(FLAGS.compare) != 2:
            raise ValueError(f"--compare: expected two files, got {', '.join(FLAGS.compare)}")
        try:
            print("\n".join(compare(*FLAGS.compare)))
        except ValueError as error:
            raise ValueError(f"--compare: {error}") from error
    elif FLAGS.against:
        against(FLAGS.against)
    else:
        report()


def report() -> None:
    """Measures every combination, prints the table as it grows, and writes the files, also when it is interrupted.

    Raises:
      ValueError: wrong flags, or a process that fails; what was measured before is written.
    """
    _check_flags()
    rows: list[dict] = []
    header: dict = {"command": given_flags()}
    names = names_of_xla(FLAGS.xla.split(";"))
    settings = list(itertools.product(FLAGS.platforms or [""], FLAGS.xla.split(";"), FLAGS.thread_counts))
    try:
        for platform, xla, threads in settings:
            for row in run_process({"platform": platform, "xla": xla, "threads": int(threads)}):
                if "versions" in row:
                    header = row | header
                    if not rows:
                        print(", ".join(f"{name} {version}" for name, version in row["versions"].items()))
                    continue
                if not rows:
                    print("\n".join([*legend(names), _heading()]))
                rows.append(row)
                print(_line(row, rows, names), flush=True)
    finally:
        if rows:
            _write_files(header, rows)


def _check_flags() -> None:
    """Refuses what would fail only after something was measured.

    Raises:
      ValueError: the message names the flag.
    """
    for name, known in (
        ("workloads", [*benchmarking.WORKLOADS, "search"]),
        ("dtypes", DTYPES),
        ("strategies", STRATEGIES),
    ):
        for value in FLAGS[name].value or [""]:
            if value not in known:
                raise ValueError(f"--{name}: {value!r}: expected some of {', '.join(known)}")
    for name, least in (("features_sizes", 1), ("task_counts", 1), ("thread_counts", 0)):
        for value in FLAGS[name].value or [""]:
            if not (value.isdecimal() and value.isascii() and least <= int(value[:18])):
                raise ValueError(f"--{name}: {value!r}: expected whole numbers, at least {least}")
    for xla in FLAGS.xla.split(";"):
        if xla not in _XLA_SETTINGS and not all(flag.startswith("--") for flag in xla.split() or [""]):
            raise ValueError(f"--xla: {xla!r}: expected ours, late, default, or flags that begin with --, apart by ;")
    for name in ("json", "csv", "plot"):
        check_writable(name, FLAGS[name].value)
    if FLAGS.plot:
        _check_plot(FLAGS.plot)


def _check_plot(path: str) -> None:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError("--plot needs matplotlib: pip install matplotlib") from error
    known = Figure().canvas.get_supported_filetypes()
    if pathlib.Path(path).suffix[1:].lower() not in known:
        raise ValueError(f"--plot: {path}: expected a name that ends with one of {', '.join(sorted(known))}")


def _write_files(header: dict, rows: list[dict]) -> None:
    if FLAGS.json:
        write_atomically(pathlib.Path(FLAGS.json), (json.dumps(header | {"rows": rows}, indent=1) + "\n").encode())
    if FLAGS.csv:
        with open(FLAGS.csv, "w", newline="") as file:
            names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "seconds"]
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    if FLAGS.plot:
        plot(rows, FLAGS.plot)


def against(revision: str) -> None:
    """Prints how much faster this version is than another one of the same clone, from processes in turn.

    Raises:
      ValueError: wrong flags, no such revision, or a process that fails.
    """
    _check_flags()
    if FLAGS.csv or FLAGS.plot:
        raise ValueError("--against prints a table and writes --json: expected no --csv and no --plot")
    root = _PACKAGE.parent
    ours = ("against", "rounds", "json")
    flags = [flag for flag in given_flags() if flag.lstrip("-").partition("=")[0] not in ours]
    found = SideBySide()
    with tempfile.TemporaryDirectory() as directory:
        before = pathlib.Path(directory)
        try:
            check_out(revision, root, before)
        except ValueError as error:
            raise ValueError(f"--against={revision}: {error}") from error
        try:
            for pair in rounds(before, root, flags, FLAGS.rounds, lambda line: print(line, flush=True)):
                found.add(*pair)
        finally:
            for line in found.lines():
                print(line)
            if FLAGS.json and found.rounds:
                record = {"against": revision, "rounds": found.rounds, "ratios": found.record()}
                write_atomically(pathlib.Path(FLAGS.json), (json.dumps(record, indent=1) + "\n").encode())


def _own_command(name: str) -> list[str]:
    """Starts a command of this package in a process of its own."""
    return [sys.executable, "-m", "azero_jax", name]


def _own_environment() -> dict[str, str]:
    """An environment in which that process finds this package, installed or not."""
    paths = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def run_process(settings: dict):
    """Rows that a process of its own measures under some settings.

    Raises:
      ValueError: the process fails, as on an unknown XLA flag or platform; its last words are in the message.
    """
    environment = _own_environment()
    if settings["platform"]:
        environment["JAX_PLATFORMS"] = settings["platform"]
    if settings["xla"] not in _XLA_SETTINGS:
        environment["XLA_FLAGS"] = settings["xla"]
    command = [*_own_command("benchmark"), *given_flags(), f"--child={json.dumps(settings)}"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        try:
            with process.stdout:
                for line in process.stdout:
                    yield json.loads(line)
            process.wait()
        finally:
            end(process)
        if process.returncode:
            errors.seek(0)
            last = "".join(errors.read().strip().splitlines()[-1:]).removeprefix("azero benchmark: error: ")
            raise ValueError(f"settings {settings}: the process ended with {process.returncode}: {last}")


def measure(settings: dict):
    """Measures all rows of one process."""
    if settings["xla"] in ("late", "default"):
        jax.devices()  # before our flags are set
    if settings["xla"] == "default":
        xla_flags.do_without()
        warnings.filterwarnings("ignore", "the compiled machine is")
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
    """Individuals per second of the demo, by the command, until a number of individuals is made; a seed each time."""
    runs = [_search(seed, threads, dtype, strategy) for seed in range(1, FLAGS.repeats + 1)]
    rates = [rate for rate, _ in runs]
    seconds = [FLAGS.search_individuals / rate for rate in rates]
    return {
        "compile_seconds": runs[0][1],
        "seconds": seconds,
        "spread": (max(seconds) - min(seconds)) / statistics.median(seconds),
        "programs_per_second": FLAGS.search_individuals / statistics.median(seconds),
    }


def _search(seed: int, threads: int, dtype: str, strategy: str) -> tuple[float, float]:
    """Individuals per second after the first report, and seconds until then."""
    with tempfile.TemporaryDirectory() as directory:
        command = [*_own_command("evolve"), "linear_demo", f"--output_dir={directory}/run"]
        command += [f"--random_seed={seed}", "--sufficient_fitness=inf", "--max_stagnant_individuals=0"]
        command += [f"--max_individuals={FLAGS.search_individuals}", "--max_experiments=1", "--final_tasks="]
        command += [f"--num_threads={threads}", f"--dtype={dtype}", f"--strategy={strategy}"]
        subprocess.run(command, check=True, env=_own_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lines = (pathlib.Path(directory) / "run" / "metrics.jsonl").read_text().splitlines()
    # The last line repeats the one before it after selection.
    first, last = json.loads(lines[0]), json.loads(lines[-2])
    seconds = last["elapsed_seconds"] - first["elapsed_seconds"]
    return (last["individuals"] - first["individuals"]) / max(seconds, 1e-9), first["elapsed_seconds"]


def _heading() -> str:
    if FLAGS.mode == "ops":
        return f"{'op':>24} {'F':>3} {'D':>3} {'dtype':>8} {'xla':>8} {'ns':>8} {'floor':>8} {'ratio':>7}"
    return (
        f"{'workload':>10} {'F':>3} {'D':>3} {'dtype':>8} {'strategy':>8} {'platform':>8} {'threads':>7} {'xla':>8} "
        f"{'compile s':>9} {'programs/s':>11} {'spread':>7} {'GPops/s':>8} {'ns/instr':>9} {'and task':>9} {'ratio':>6}"
    )


def _line(row: dict, rows: list[dict], names: dict[str, str]) -> str:
    """A row of the table; its ratio is to the same workload under the first settings."""
    xla = names[row["xla"]]
    first = next(other for other in rows if key(other)[:4] == key(row)[:4])
    start = f"{row['features_size']:>3} {row['num_tasks']:>3} {row['dtype']:>8}"
    if "op" in row:
        ratio = row["nanoseconds"] / first["nanoseconds"]
        return (
            f"{row['op']:>24} {start} {xla:>8} {row['nanoseconds']:>8.1f} "
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
        f"{row['threads'] or 'all':>7} {xla:>8} {row['compile_seconds']:>9.1f} "
        f"{row['programs_per_second']:>11,.0f} {row['spread']:>7.0%} {numbers} {ratio:>6.2f}"
    )


def plot(rows: list[dict], path: str) -> None:
    """Draws the rows as bars."""
    from matplotlib.figure import Figure

    value = "nanoseconds" if FLAGS.mode == "ops" else "programs_per_second"
    first = "op" if FLAGS.mode == "ops" else "workload"
    varying = [name for name in KEY[2:] if len({str(row.get(name)) for row in rows}) > 1]
    labels = [", ".join([row[first], *(f"{name} {row.get(name)}" for name in varying)]) for row in rows]
    figure = Figure(figsize=(9, 1 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(labels, [row[value] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("nanoseconds per op" if FLAGS.mode == "ops" else "programs per second")
    figure.savefig(path)


COMMAND = Command(
    usage="--name=value ...",
    what="""Measures how fast programs are evaluated, and how that depends on XLA's settings. Without flags it prints
    the table of the README.

    Every combination of platform, XLA setting and threads runs in a process of its own, because XLA reads its flags
    once; workloads, sizes, task counts, dtypes and strategies are rows of it. Workloads: random (all ops, 10 + 10 + 10
    instructions), linear, neural_net and no_op (the C++ release's programs), evolved (programs from searches), search
    (the demo from the command, in individuals per second).""",
    examples=(
        '--xla="ours;default"',
        "--mode=ops --features_sizes=4,16",
        "--compare=before.json,after.json",
        "--against=HEAD~1 --rounds=5",
    ),
    define=define,
    run=run,
    needs_arguments=False,
)
