"""How many programs per second: python scripts/benchmark.py --workloads=random,linear,neural_net --features_sizes=4,16

Each row is one evaluator on one workload: compile time apart, then the median and
the spread over repeats, programs/s, and the time per live instruction (all tasks)
and per live instruction and task. Random programs are over all 65 ops, 10 + 10 + 10
instructions. Linear and neural net are the C++ release's, repeated; they run with
deduplication off, so that every copy really runs. `--json` keeps the numbers.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
import time

import numpy as np
from absl import app
from absl import flags as absl_flags

try:
    import azero_jax
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax

import jax

from azero_jax import Evaluator, MemorySize, Population, Program, make_tasks, ops
from azero_jax.experiment import versions
from azero_jax.initial_programs import HAND_WRITTEN, initial_population
from azero_jax.liveness import find_live
from azero_jax.mutation import SearchSpace

_WORKLOADS = absl_flags.DEFINE_list(
    "workloads", ["random", "linear", "neural_net"], "random, linear, neural_net, no_op"
)
_FEATURES_SIZES = absl_flags.DEFINE_list("features_sizes", ["4", "16"], "F of the tasks")
_NUM_TASKS = absl_flags.DEFINE_integer("num_tasks", 10, "D", lower_bound=1)
_NUM_EXAMPLES = absl_flags.DEFINE_integer("num_examples", 100, "training and validation examples, each", lower_bound=1)
_PROGRAMS = absl_flags.DEFINE_integer("programs", 2000, "programs of a workload", lower_bound=1)
_REPEATS = absl_flags.DEFINE_integer("repeats", 7, "timed runs of each row", lower_bound=1)
_DTYPE = absl_flags.DEFINE_enum("dtype", "float32", ["float32", "float64"], "numbers")
_STRATEGY = absl_flags.DEFINE_enum("strategy", "auto", ["auto", "switch", "vmap"], "strategy")
_NUM_THREADS = absl_flags.DEFINE_integer("num_threads", 0, "0 for one per core", lower_bound=0)
_JSON = absl_flags.DEFINE_string("json", None, "file to write the numbers to")

_MEMORY = MemorySize(20, 20, 20)


def workload(name: str, size: int) -> Population:
    """Programs of a workload.

    Raises:
      ValueError: an unknown name.
    """
    if name in HAND_WRITTEN:
        return Population.from_programs([Program.from_text(HAND_WRITTEN[name])] * size)
    if name != "random":
        raise ValueError(f"--workloads: {name!r}: expected random, {', '.join(HAND_WRITTEN)}")
    every_op = tuple(op.name for op in ops.table())
    space = SearchSpace(_MEMORY, every_op, every_op, every_op, (10, 10, 10), (10, 10, 10), (10, 10, 10))
    return initial_population("random", size, space, np.random.default_rng(0))


def measure(name: str, features_size: int) -> dict:
    """One row of the table."""
    count = _NUM_EXAMPLES.value
    tasks = make_tasks(
        f"scalar_linear_regression:features_size={features_size},num_tasks={_NUM_TASKS.value},"
        f"num_train_examples={count},num_valid_examples={count}"
    )
    evaluator = Evaluator(
        tasks,
        memory=_MEMORY,
        dtype=_DTYPE.value,
        strategy=_STRATEGY.value,
        num_threads=_NUM_THREADS.value or None,
        deduplicate=name == "random",
    )
    population = workload(name, _PROGRAMS.value)
    started = time.perf_counter()
    evaluator.evaluate(population.take(np.arange(1)))
    compile_seconds = time.perf_counter() - started
    evaluator.evaluate(population)
    seconds = []
    for _ in range(_REPEATS.value):
        started = time.perf_counter()
        evaluation = evaluator.evaluate(population)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    live = find_live(population, _MEMORY).live
    per_function = np.stack([live[:, population.functions == function].sum(axis=1) for function in range(3)], axis=1)
    trained = evaluation.train_steps.max(axis=1)
    executed = per_function[:, 0] + trained * (per_function[:, 1] + per_function[:, 2]) + count * per_function[:, 1]
    total = max(int(executed.sum()), 1)
    return {
        "workload": name,
        "features_size": features_size,
        "strategy": evaluator.strategy,
        "compile_seconds": compile_seconds,
        "seconds": seconds,
        "programs_per_second": len(population) / median,
        "spread": (max(seconds) - min(seconds)) / median,
        "ns_per_instruction": median / total * 1e9,
        "ns_per_instruction_and_task": median / total / tasks.num_tasks * 1e9,
    }


def main(_: list[str]) -> None:
    """Prints the table."""
    azero_jax.set_xla_flags()
    print(f"{versions()}, {jax.default_backend()}, {_DTYPE.value}, {_NUM_TASKS.value} tasks")
    print("   workload   F compile s  programs/s  spread  ns/instr ns/instr/task")
    rows = []
    for size in _FEATURES_SIZES.value:
        for name in _WORKLOADS.value:
            row = measure(name, int(size))
            rows.append(row)
            print(
                f"{row['workload']:>11} {row['features_size']:>3} {row['compile_seconds']:>9.1f} "
                f"{row['programs_per_second']:>11,.0f} {row['spread']:>7.0%} {row['ns_per_instruction']:>9.1f} "
                f"{row['ns_per_instruction_and_task']:>13.2f}",
                flush=True,
            )
    if _JSON.value:
        pathlib.Path(_JSON.value).write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
