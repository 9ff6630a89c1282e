"""Does making many children from one population cost the search anything?

    python scripts/compare_batch_sizes.py linear_demo --max_individuals=1000000

Runs one experiment per seed and batch size, with the settings of the flags, until
the best program is above --sufficient_fitness on the select tasks (tried every
1,000 programs) or the budget is used up, and prints how many succeeded and how far they came.
"""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Sequence

import numpy as np

try:
    import azero_jax
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax

from azero_jax import command_line, flags
from azero_jax.command_line import FLAGS, Command, Group
from azero_jax.intervals import shown
from azero_jax.search import Search, make_evaluator
from azero_jax.settings import Settings
from azero_jax.task_specs import make_tasks

_TRY_EVERY = 1_000


def define() -> None:
    """Defines the flags."""
    group = Group("The comparison")
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


def with_batches_of(settings: Settings, size: str) -> Settings:
    """The same settings with another batch size.

    Raises:
      ValueError: it is none that a population allows.
    """
    if not (size.isascii() and size.isdigit() and int(size)):
        raise ValueError(f"--batch_sizes: {size!r}: expected whole numbers, at least 1")
    island = settings.islands[0]
    evolution = dataclasses.replace(island.search.evolution, child_batch_size=int(size))
    search_settings = dataclasses.replace(island.search, evolution=evolution)
    return dataclasses.replace(settings, islands=(dataclasses.replace(island, search=search_settings),))


def line(size: str, settings: Settings, runs: Sequence[tuple[int | None, float]]) -> str:
    """How the searches of one batch size went."""
    found = [count for count, _ in runs]
    needed = [count for count in found if count is not None]
    spent = sum(settings.max_individuals if count is None else count for count in found)
    median = f"median of those {statistics.median(needed):,.0f}" if needed else "no median"
    each = f"{spent / len(needed):,.0f} programs per success" if needed else f"no success in {spent:,} programs"
    return (
        f"batch {size:>5}: {len(needed)} of {len(found)} seeds within {settings.max_individuals:,} programs, {median}; "
        f"{each}; mean best fitness {shown([best for _, best in runs], 4)}"
    )


def run(arguments: list[str]) -> None:
    """Prints one line for each batch size; an interrupted one counts the seeds that are done."""
    command_line.no_more(arguments)
    base = flags.settings()
    every = {size: with_batches_of(base, size) for size in FLAGS.batch_sizes or [""]}
    if len(base.islands) > 1:
        raise ValueError(f"--num_islands={len(base.islands)}: expected 1")
    if not base.select_tasks:
        raise ValueError("--select_tasks: expected the tasks that decide whether a program suffices")
    if not base.max_individuals:
        raise ValueError("--max_individuals=0: expected how many programs each search makes")
    azero_jax.set_xla_flags()
    flags.use_compilation_cache()
    for size, settings in every.items():
        runs: list[tuple[int | None, float]] = []
        try:
            for seed in range(FLAGS.seeds):
                runs.append(search(settings, seed))
        finally:
            if runs:
                print(line(size, settings, runs), flush=True)


COMMAND = Command(
    usage="[FLAGFILE] --name=value ...",
    what="""Does making many children from one population cost the search anything? Runs one experiment per seed and
    batch size, and prints how many succeeded and how far they came.""",
    examples=("linear_demo --max_individuals=1000000",),
    define=define,
    run=run,
    flagfiles=True,
)


if __name__ == "__main__":
    command_line.start("compare_batch_sizes.py", COMMAND, sys.argv[1:])
