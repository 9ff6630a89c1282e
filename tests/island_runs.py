"""Runs of small islands that several test files share."""

from __future__ import annotations

import io

from azero_jax import MemorySize, experiment
from azero_jax.evolution import EvolutionSettings
from azero_jax.mutation import SearchSpace
from azero_jax.reporting import Reporter
from azero_jax.scoring import EquivalenceSettings, HurdleSettings
from azero_jax.search import SearchSettings
from azero_jax.settings import IslandSettings, MigrationSettings, Settings

OPS = ("SCALAR_CONST_SET", "VECTOR_INNER_PRODUCT", "SCALAR_DIFF", "SCALAR_VECTOR_PRODUCT", "VECTOR_SUM")
SPACE = SearchSpace(MemorySize(4, 3, 0), OPS, OPS, OPS, (2, 1, 3), (1, 1, 1), (4, 3, 6))
TASKS = "scalar_linear_regression:features_size=3,num_tasks=4,num_train_examples=20,num_valid_examples=10"


def search_settings(**evolution):
    evolution = {"population_size": 40, "child_batch_size": 20, "mutate_prob": 0.9} | evolution
    return SearchSettings(
        space=SPACE,
        evolution=EvolutionSettings(**evolution),
        equivalence=EquivalenceSettings(cache_size=500, forget_every=5),
        hurdle=HurdleSettings(percentile=50, move_every=100),
    )


def settings(num_islands=3, **changes):
    # Islands of their own: sizes, methods and tasks differ.
    islands = tuple(
        IslandSettings(
            TASKS.replace("num_tasks=4", f"num_tasks={4 + number}"), search_settings(tournament_size=3 + number)
        )
        for number in range(num_islands)
    )
    changes = {"migration": MigrationSettings(every=200), "max_individuals": 3000, "random_seed": 5} | changes
    return Settings(islands, select_tasks=TASKS.replace("num_tasks=4", "num_tasks=20"), **changes)


def records_of(run_settings, **arguments):
    """Everything that a run reports and returns, but for times."""
    records = []
    arguments = {"progress_every": 600, "on_report": records.append} | arguments
    if "reporter" not in arguments:
        arguments["reporter"] = Reporter(arguments.get("output_dir"), io.StringIO())
    result = experiment.run(run_settings, **arguments)
    timeless = [
        {name: value for name, value in record.items() if name not in ("elapsed_seconds", "individuals_per_second")}
        for record in [*records, result]
    ]
    return timeless
