"""Does making many children from one population cost the search anything?

    python scripts/compare_batch_sizes.py --flagfile=scripts/flagfiles/linear_demo.flags --max_individuals=1000000

Runs one experiment per seed and batch size, with the settings of the flags, until
the best program is above --sufficient_fitness on the select tasks (tried every
1,000 programs) or the budget is used up, and prints how many succeeded and how far they came.
"""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import sys

import numpy as np

try:
    import azero_jax  # noqa: F401
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from azero_jax import flags
from azero_jax.command_line import FLAGS, Command, Group, no_more, start
from azero_jax.search import Search, make_evaluator
from azero_jax.settings import Settings
from azero_jax.task_specs import make_tasks

_TRY_EVERY = 1_000


def define() -> None:
    """Defines the flags."""
    group = Group("What is compared")
    group.names("batch_sizes", ["1", "100", "1000"], "child batch sizes to compare")
    group.integer("seeds", 10, "seeds of each", least=1)
    flags.define()


def search(settings: Settings, seed: int) -> tuple[int | None, float]:
    """Programs made before one sufficed, or None, and the best fitness on the search tasks."""
    rng = np.random.default_rng(seed)
    island = settings.islands[0]
    tasks, select_tasks = (make_tasks(spec, random_seeds=rng) for spec in (island.search_tasks, settings.select_tasks))
    select = make_evaluator(select_tasks, island.search, seed)
    run = Search(tasks, island.search, seed=rng, random_ops_seed=seed)
    next_try = _TRY_EVERY
    while run.individuals < settings.max_individuals:
        run.step()
        if run.individuals >= next_try:
            next_try += _TRY_EVERY
            if select.evaluate([run.state.best()[0]]).fitness.mean() > settings.sufficient_fitness:
                return run.individuals, run.best()[1]
    return None, run.best()[1]


def main(arguments: list[str]) -> None:
    """Prints one line for each batch size."""
    no_more(arguments)
    wrong = [size for size in FLAGS.batch_sizes if not (size.isdecimal() and int(size))]
    if wrong:
        raise ValueError(f"--batch_sizes: {wrong[0]!r}: expected positive integers")
    base = flags.settings()
    for size in FLAGS.batch_sizes:
        island = base.islands[0]
        evolution = dataclasses.replace(island.search.evolution, child_batch_size=int(size))
        search_settings = dataclasses.replace(island.search, evolution=evolution)
        settings = dataclasses.replace(base, islands=(dataclasses.replace(island, search=search_settings),))
        runs = [search(settings, seed) for seed in range(FLAGS.seeds)]
        found = [count for count, _ in runs]
        needed = [count for count in found if count is not None]
        spent = sum(settings.max_individuals if count is None else count for count in found)
        print(
            f"batch {size:>5}: {len(needed)} of {len(found)} seeds within {settings.max_individuals:,} programs, "
            f"median of those {statistics.median(needed) if needed else float('nan'):,.0f}; "
            f"{spent / max(len(needed), 1):,.0f} programs per success; "
            f"mean best fitness {statistics.mean(best for _, best in runs):.4f}",
            flush=True,
        )


COMMAND = Command(
    usage="[FLAGFILE] --name=value ...",
    what="""Compares how far searches come whose children are made in batches of several sizes, one experiment per seed
    and size.""",
    examples=("linear_demo --max_individuals=1000000",),
    define=define,
    run=main,
    flagfiles=True,
)

if __name__ == "__main__":
    start("compare_batch_sizes.py", COMMAND, sys.argv[1:])
