"""All experiment settings as absl flags, under the names of the C++ release.

It defines the flags of a search and turns their values into `settings.Settings`. Names
in the help texts are fields of `SearchExperimentSpec` (experiment.proto) unless they say
otherwise. What islands do not share comes from flags, too: each has its own copy of them
all.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import pathlib
import secrets
import shlex
import sys
from typing import Any

from absl.flags import FlagValues

from azero_jax import (
    baselines,
    capacity,
    columns,
    compile_cache,
    evaluator,
    evolution,
    execution,
    fingerprints,
    initial_programs,
    mutation,
    ops,
    own_data,
    records,
    scoring,
    task_specs,
)
from azero_jax.command_line import FLAGS, Group, find_flagfile, give, no_more, parse
from azero_jax.evolution import EvolutionSettings
from azero_jax.program import MemorySize
from azero_jax.scoring import EquivalenceSettings, HurdleSettings, TrainBudgetSettings
from azero_jax.search_settings import EvaluationSettings
from azero_jax.settings import IslandSettings, MigrationSettings, Settings
from azero_jax.text import COMPONENT_FUNCTIONS

_FUNCTIONS = [name.lower() for name in COMPONENT_FUNCTIONS]

# Beyond these nothing is faster or different, only dearer.
MOST_THREADS = 4096
MOST_FUNNEL_ROUNDS = 30
_MOST_WEIGHT = 1000

# What --method sets. The release's are the defaults of the flags themselves.
METHODS: dict[str, dict[str, object]] = {
    "release": {},
    # Section 3.2 and supplement S3: insertion or removal, of which removal is twice as
    # likely; a whole component function; one argument.
    "paper": {
        "population_size": 100,
        "allowed_mutation_types": [
            "insert_instruction:1",
            "remove_instruction:2",
            "randomize_component_function:3",
            "alter_parameter:3",
        ],
        "constant_mutation": "paper",
        "fitness_combination_mode": "median",
        "fec_fingerprint": "predictions",
        "fec_forget_every": 0,
        "hurdle_percentile": 75.0,
        "train_budget_baseline": "neural_net",
        "train_budget_threshold_factor": 4.0,
    },
}

# What an island may have for itself: not the search space, or programs could not migrate.
_OF_AN_ISLAND = (
    "search_tasks",
    "method",
    "population_size",
    "tournament_size",
    "mutate_prob",
    "allowed_mutation_types",
    "constant_mutation",
    "initial_population",
    "child_batch_size",
    "restart_stagnant_individuals",
    "restart_from",
    "hall_of_fame_size",
    "fitness_combination_mode",
    "fec_algebra",
    "fec_num_train_examples",
    "fec_num_valid_examples",
    "fec_fingerprint",
    "fec_cache_size",
    "fec_forget_every",
    "hurdle_percentile",
    "hurdle_train_share",
    "hurdle_move_every",
    "train_budget_baseline",
    "train_budget_threshold_factor",
    "max_abs_error",
)


def define(values: FlagValues = FLAGS) -> None:
    """Defines the flags of a search, in groups."""
    _define_run(Group("The run", values))
    own = Group("Your own data", values)
    define_own_data(own)
    own.text("loss", "", "of docs/losses.md, for such labels; by default the error of numbers, or the wrong classes")
    _define_tasks(Group("Tasks", values))
    _define_space(Group("Search space", values))
    _define_method(Group("Method", values))
    _define_caches(Group("Caches, hurdles and budgets", values))
    _define_islands(Group("Islands", values))
    _define_evaluation(Group("Evaluation", values))


def _define_run(group: Group) -> None:
    """Where and how long."""
    group.text("output_dir", None, "directory for metrics.jsonl, best_program.txt, result.json and checkpoint/")
    group.switch(
        "resume", False, "go on with the run in --output_dir: settings are read from there, those given must agree"
    )
    group.switch("overwrite", False, "remove the run that is in --output_dir, once everything was checked")
    group.integer("random_seed", None, "seed of everything random; without it one is drawn, and written to result.json")
    group.integer("max_experiments", 1, "experiments to run at most; 0 for any number")
    group.number(
        "sufficient_fitness",
        float("inf"),
        "stop when a candidate's fitness on the select tasks exceeds this",
        least=-sys.float_info.max,
        most=float("inf"),
    )
    group.integer("max_individuals", 0, "programs made by one experiment, cache hits included; 0 for any number")
    group.integer(
        "max_train_steps",
        80_000_000_000,
        "training examples seen by one experiment, over all tasks, probes included; 0 for any number",
    )
    group.integer(
        "max_stagnant_individuals",
        0,
        "end an experiment when so many programs bring no new best fitness; 0 never (not in the release)",
    )
    group.number("max_seconds", 0, "seconds for the run; 0 for any time")
    group.integer("progress_every", 10_000, "programs between progress reports", least=1)
    group.number("checkpoint_seconds", 60, "seconds between checkpoints")
    group.switch("tensorboard", False, "write TensorBoard's event files to --output_dir/tensorboard, too")


def define_own_data(group: Group, use: str = "all tasks are made of") -> None:
    """A table in place of tasks, or for another use, and how it is read."""
    group.text("data", None, f"table, .npz file or dataset that {use}; docs/data.md says how it is read")
    group.choice("kind", "auto", columns.KINDS, "whether labels are classes or numbers")
    group.text("label", "-1", "name or position of the column of labels; 0 is the first, -1 the last")
    group.text("drop", "", "names or positions of columns to leave out, with + between them")
    group.text("missing", "refuse", "cells without a value: refuse, mean or drop")
    group.text("split", "random", "random, or ordered for rows in time")
    group.text("separator", "auto", "of columns: auto, comma, semicolon, tab, pipe or space")
    group.text("decimal", "point", "of numbers: point or comma")
    group.text("header", "auto", "whether the first row holds names: auto, yes or no")
    group.text("encoding", "auto", "of the file, such as latin-1")


# What says how --data is read.
OF_DATA = ("kind", "label", "drop", "missing", "split", "separator", "decimal", "header", "encoding")


def use_own_data(flag_values: FlagValues = FLAGS) -> None:
    """Gives the flags that --data is short for, where they were not given.

    Raises:
      ValueError: data that cannot be read, tasks beside it, or flags about data without it.
      OSError: a file is missing.
    """
    values = flag_values.flag_values_dict()
    if not values["data"]:
        for name in (*OF_DATA, "loss"):
            if flag_values[name].present:
                raise ValueError(f"--{name} is about --data, which is missing")
        return
    if flag_values["search_tasks"].present:
        raise ValueError("--data and --search_tasks: expected one of them")
    source = own_data.source_of(values["data"], **{name: values[name] for name in OF_DATA if name != "kind"})
    give(own_data.flags_for(source, values["kind"], values["loss"]), flag_values)
    give([f"--flagfile={find_flagfile(own_data.FLAGFILE)}"], flag_values)


def _define_tasks(group: Group) -> None:
    generators = ", ".join(task_specs.GENERATORS)
    for name, default, what in (
        ("search", "scalar_linear_regression", f"that the search sees, as generator:name=value,... of {generators}"),
        ("select", "", "that choose among experiments' candidates, likewise; empty for none"),
        ("final", "", "that the winner is scored on once, likewise; empty for none"),
    ):
        group.text(f"{name}_tasks", default, f"tasks {what}")
    group.choice("final_baseline", "", ["", *baselines.BASELINES], "model that is scored on the final tasks, too")
    group.integer(
        "funnel_rounds",
        1,
        "rounds of selection; each runs a quarter of the finalists before on four times as many select tasks",
        least=1,
        most=MOST_FUNNEL_ROUNDS,
    )
    group.switch("randomize_task_seeds", False, "draw new seeds for search and select tasks in each experiment")


def _define_space(group: Group) -> None:
    for kind, size in zip(ops.KINDS, MemorySize()):
        name = ops.KIND_NAMES[kind]
        group.integer(f"max_{name}_addresses", size, f"{name} addresses of the memory (definitions.h)")
    for function in _FUNCTIONS:
        group.names(f"{function}_ops", None, f"ops that {function} may hold, by default all; empty leaves it as it is")
        group.integer(f"{function}_size_init", 10, f"instructions of {function} at the start")
        for limit in ("min", "max"):
            group.integer(
                f"mutate_{function}_size_{limit}", None, f"{limit}imum size of {function}; by default its initial size"
            )


def _define_method(group: Group) -> None:
    evolving = EvolutionSettings()
    group.choice(
        "method", "release", METHODS, "where the paper and the release differ; other flags on the line still win"
    )
    group.integer("population_size", evolving.population_size, "programs of each population", least=1)
    group.integer("tournament_size", evolving.tournament_size, "programs drawn for each tournament")
    group.number("mutate_prob", evolving.mutate_prob, "share of children that are mutated")
    group.names(
        "allowed_mutation_types",
        evolving.mutation_types,
        f"drawn uniformly, or by weight as in insert_instruction:2: {', '.join(mutation.MUTATION_TYPES)}",
    )
    group.choice(
        "constant_mutation",
        evolving.constant_mutation,
        mutation.CONSTANT_MUTATIONS,
        "release: times exp(N(0, 1)), or one in ten a flip of the sign; paper: times U[0.5, 2), one in ten with a flip",
    )
    group.text(
        "initial_population",
        evolving.initial_population,
        f"{', '.join(initial_programs.NAMES)}, or a file with a program; as in random:linear, only its frozen "
        "component functions, and the others random",
    )
    group.integer(
        "child_batch_size",
        evolving.child_batch_size,
        "children made from one population at a time; 1 is the release's loop",
        least=1,
    )
    group.integer(
        "restart_stagnant_individuals",
        evolving.restart_stagnant_individuals,
        "a population starts anew when so many programs bring no new best fitness; 0 never (not in the release)",
    )
    group.choice(
        "restart_from", evolving.restart_from, evolution.RESTARTS, "the best program ever seen, or initial programs"
    )
    group.integer(
        "hall_of_fame_size",
        0,
        "best programs ever seen, no two of one fitness, that are finalists; with 0 it is the best of the last "
        "population, as in the release",
    )
    group.choice(
        "fitness_combination_mode", "mean", scoring.COMBINATIONS, "how fitness over search tasks becomes one number"
    )


def _define_caches(group: Group) -> None:
    equivalence, hurdle, budget = EquivalenceSettings(), HurdleSettings(), TrainBudgetSettings()
    group.switch("fec_algebra", equivalence.algebra, "programs that are equal by algebra run once (not in the release)")
    group.choice(
        "fec_fingerprint",
        equivalence.fingerprint,
        fingerprints.FINGERPRINTS,
        "what of a probe is compared: exact errors as in the release, or truncated predictions as in the paper",
    )
    group.integer(
        "fec_num_train_examples",
        equivalence.num_train_examples,
        "training examples of the probe for functional equivalence, by default 10, or as many as the tasks have; "
        "0 turns it off (fec_cache.proto)",
    )
    group.integer("fec_num_valid_examples", equivalence.num_valid_examples, "validation examples of that probe")
    group.integer("fec_cache_size", equivalence.cache_size, "programs remembered", least=1)
    group.integer("fec_forget_every", equivalence.forget_every, "hits after which a program is forgotten; 0 never")
    group.number(
        "hurdle_percentile",
        hurdle.percentile,
        "programs below this percentile of the population's fitnesses stop early; 0 for none, 75 in the paper",
    )
    group.number("hurdle_train_share", hurdle.train_share, "share of the training examples before the hurdle")
    group.integer("hurdle_move_every", hurdle.move_every, "programs between moves of the hurdle", least=1)
    group.text(
        "train_budget_baseline",
        budget.baseline,
        "hand-written program whose cost limits that of others, neural_net in the release; empty for no limit "
        f"(train_budget.proto): {', '.join(initial_programs.HAND_WRITTEN)}",
    )
    group.number(
        "train_budget_threshold_factor",
        budget.threshold_factor,
        "programs that cost more, so many times over, do not run",
    )


def _define_islands(group: Group) -> None:
    migration = MigrationSettings()
    group.integer("num_islands", None, "populations; by default as many as --island_flags, or one", least=1)
    group.texts(
        "island_flags",
        "flags of one island, as in --island_flags='--search_tasks=... --hurdle_percentile=75'; repeat it for the "
        "next island; islands take turns where there are more of them",
    )
    group.integer(
        "migrate_every", migration.every, "programs that each island makes between exchanges; 0 for no exchange"
    )
    group.number("migrate_share", migration.share, "share of each population that migrates, to random islands")
    group.integer("num_workers", 0, "processes that islands are spread over; 0 for none; results do not depend on it")


def _define_evaluation(group: Group) -> None:
    evaluation = EvaluationSettings()
    group.number(
        "max_abs_error",
        evaluation.max_abs_error,
        "a larger error on any example gives fitness 0",
        most=float("inf"),
    )
    group.choice("dtype", evaluation.dtype, evaluator.DTYPES, "numbers that programs compute with")
    group.choice("strategy", evaluation.strategy, evaluator.STRATEGIES, "switch for CPUs, vmap for accelerators")
    group.integer(
        "num_threads", evaluation.num_threads, "programs run at the same time; 0 for one per core", most=MOST_THREADS
    )
    group.text(
        "compilation_cache_dir",
        execution.user_cache_dir(),
        "where compiled machines are kept for the next start; empty for nowhere",
    )


# Where in `Settings`, and in `SearchSettings` of an island, the value of a flag goes.
OF_THE_RUN: dict[str, tuple[Any, ...]] = {
    "migrate_every": ("migration", "every"),
    "migrate_share": ("migration", "share"),
} | {
    name: (name,)
    for name in (
        "random_seed",
        "select_tasks",
        "final_tasks",
        "final_baseline",
        "funnel_rounds",
        "randomize_task_seeds",
        "max_experiments",
        "sufficient_fitness",
        "max_individuals",
        "max_train_steps",
        "max_stagnant_individuals",
        "max_seconds",
    )
}
OF_A_SEARCH: dict[str, tuple[Any, ...]] = {
    "allowed_mutation_types": ("evolution", "mutation_types"),
    "fitness_combination_mode": ("fitness_combination",),
    "hall_of_fame_size": ("hall_of_fame_size",),
} | {
    prefix + name: (part, name)
    for part, prefix, names in (
        (
            "evolution",
            "",
            "population_size tournament_size mutate_prob constant_mutation initial_population child_batch_size "
            "restart_stagnant_individuals restart_from",
        ),
        ("evaluation", "", "max_abs_error dtype strategy num_threads"),
        (
            "equivalence",
            "fec_",
            "algebra num_train_examples num_valid_examples fingerprint cache_size forget_every",
        ),
        ("hurdle", "hurdle_", "percentile train_share move_every"),
        ("train_budget", "train_budget_", "baseline threshold_factor"),
    )
    for name in names.split()
}
for _place, _kind in enumerate(ops.KINDS):
    OF_A_SEARCH[f"max_{ops.KIND_NAMES[_kind]}_addresses"] = ("space", "memory", _place)
for _place, _function in enumerate(_FUNCTIONS):
    OF_A_SEARCH[f"{_function}_ops"] = ("space", f"{_function}_ops")
    OF_A_SEARCH[f"{_function}_size_init"] = ("space", "initial_sizes", _place)
    for _limit in ("min", "max"):
        OF_A_SEARCH[f"mutate_{_function}_size_{_limit}"] = ("space", f"{_limit}_sizes", _place)


def settings(flag_values: FlagValues = FLAGS, *, stored: Settings | None = None) -> Settings:
    """The settings that the flags describe.

    Args:
      flag_values: the flags.
      stored: of a run that is resumed; what no flag says is as it was there.

    Raises:
      ValueError: values that are wrong or contradict each other, with the flag's name.
    """
    if stored is not None:
        values = _given_values(flag_values)
        islands = _stored_islands(stored.islands, flag_values)
        return _with_values(dataclasses.replace(stored, islands=islands), values, OF_THE_RUN)
    values = _values(flag_values)
    if values["random_seed"] is None:
        values["random_seed"] = secrets.randbits(31)
    return _with_values(Settings(_islands(flag_values), max_individuals=1), values, OF_THE_RUN)


def settings_from_flagfile(flagfile: str | os.PathLike) -> Settings:
    """The settings that a flagfile describes, for `run` and searches in Python.

    Args:
      flagfile: its path, or the name of one that is installed, such as "linear_demo".

    Raises:
      TypeError: no string and no path.
      ValueError: no such file, or a line that is wrong.
    """
    if not isinstance(flagfile, (str, os.PathLike)):
        raise TypeError(f"flagfile={flagfile!r}: expected a path, or the name of an installed flagfile")
    values = defaults()
    no_more(parse([f"--flagfile={os.fspath(flagfile)}"], values))
    return settings(values)


def defaults() -> FlagValues:
    """All flags, none of them given."""
    values = FlagValues()
    define(values)
    return values


def given(name: str) -> Any:
    """The value of a flag that somebody has set, or None."""
    return FLAGS[name].value if FLAGS[name].present else None


def _with_values(record: Any, values: dict, places: dict[str, tuple[Any, ...]]) -> Any:
    """A dataclass with some flags' values in their places, all of them checked together."""
    content = dataclasses.asdict(record)
    for name in values.keys() & places.keys():
        value = values[name]
        if value is None:
            continue  # any op, or a size limit that `_values` has not filled in
        if name == "allowed_mutation_types":
            value = _mutation_types(value)
        elif name.endswith("_ops"):
            value = [op for op in value if op]
        *outer, last = places[name]
        inside = content
        for step in outer:
            inside[step] = list(inside[step]) if isinstance(inside[step], tuple) else inside[step]
            inside = inside[step]
        inside[last] = value
    return records.read(type(record), content)


def _values(flag_values: FlagValues) -> dict:
    """The values of flags, with what the method sets where nobody else did."""
    values = flag_values.flag_values_dict()
    for name, value in METHODS[values["method"]].items():
        if flag_values[name].using_default_value:
            values[name] = value
    for name in ("child_batch_size", "tournament_size"):
        if flag_values[name].using_default_value:
            values[name] = min(values[name], values["population_size"])
    for function in _FUNCTIONS:
        for limit in ("min", "max"):
            if values[f"mutate_{function}_size_{limit}"] is None:
                values[f"mutate_{function}_size_{limit}"] = values[f"{function}_size_init"]
    return values


def _given_values(flag_values: FlagValues) -> dict:
    """The values of flags that somebody has set, also by a method."""
    values: dict[str, Any] = {name: flag_values[name].value for name in flag_values if flag_values[name].present}
    if "method" in values:
        chosen = METHODS[str(values["method"])]
        for name in {name for some in METHODS.values() for name in some} - values.keys():
            values[name] = chosen.get(name, flag_values[name].default)
    return values


def _islands(flag_values: FlagValues) -> tuple[IslandSettings, ...]:
    texts: list[str] = flag_values.island_flags
    count = flag_values.num_islands or max(1, len(texts))
    if count < len(texts):
        raise ValueError(f"num_islands={count}: expected at least {len(texts)}, the number of --island_flags")
    own = [_island(text, flag_values) for text in texts] or [_island_settings(flag_values)]
    capacity.check((island.search for island in own), count, flag_values.max_individuals, flag_values.max_seconds)
    return tuple(own[number % len(own)] for number in range(count))


def _island(text: str, flag_values: FlagValues) -> IslandSettings:
    """An island whose own flags are `text`.

    Raises:
      ValueError: the run's flags are wrong, or, with the text, the island's own are.
    """
    try:
        return _island_settings(_own_flags(text, flag_values))
    except ValueError as error:
        _refuse_if_the_same_without(flag_values, str(error))
        raise ValueError(f"island_flags={text!r}: {error}") from error


def _refuse_if_the_same_without(flag_values: FlagValues, message: str) -> None:
    """An error that the run's own flags bring is not blamed on an island."""
    try:
        _island_settings(flag_values)
    except ValueError as error:
        if str(error) == message:
            raise


def _own_flags(text: str, flag_values: FlagValues) -> FlagValues:
    """A copy of the run's flags, changed by a text.

    Raises:
      ValueError: the text does not parse, or changes what is of the whole run.
    """
    own = copy.deepcopy(flag_values)
    no_more(parse(shlex.split(text), own))
    before, values = flag_values.flag_values_dict(), own.flag_values_dict()
    common = [name for name in values if repr(values[name]) != repr(before[name]) and name not in _OF_AN_ISLAND]
    if common:
        raise ValueError(f"{common[0]} is of the whole run, an island may have {', '.join(_OF_AN_ISLAND)}")
    return own


def _stored_islands(stored: tuple[IslandSettings, ...], flag_values: FlagValues) -> tuple[IslandSettings, ...]:
    """The islands of a run that is resumed, with the flags that are given.

    Without --island_flags, islands differ as they did: a flag of theirs then says what is
    so for some of them at least.
    """
    texts = flag_values.island_flags
    count = flag_values.num_islands or max(len(stored), len(texts))
    if count != len(stored):
        raise ValueError(f"cannot resume with other settings: islands: were {len(stored)}, now {count}")
    own = [_given_values(_own_flags(text, flag_values)) for text in texts or [""]]
    islands = [_with_flags(island, own[number % len(own)]) for number, island in enumerate(stored)]
    if texts or len(set(stored)) == 1:
        return tuple(islands)
    for name, value in own[0].items():
        if name in _OF_AN_ISLAND and any(_with_flags(island, {name: value}) == island for island in stored):
            own[0] = {other: kept for other, kept in own[0].items() if other != name}
    return tuple(_with_flags(island, own[0]) for island in stored)


def _with_flags(island: IslandSettings, values: dict) -> IslandSettings:
    return IslandSettings(
        values.get("search_tasks", island.search_tasks), _with_values(island.search, values, OF_A_SEARCH)
    )


def _island_settings(flag_values: FlagValues) -> IslandSettings:
    return _with_flags(IslandSettings(""), _values(flag_values))


def _mutation_types(weighted: list[str]) -> tuple[str, ...]:
    """Names of mutation types, repeated as often as the weight behind their colon."""
    types: list[str] = []
    for item in weighted:
        name, colon, weight = item.partition(":")
        if colon and not (weight.isdecimal() and 1 <= int(weight[:9]) <= _MOST_WEIGHT):
            raise ValueError(
                f"allowed_mutation_types: {item!r}: expected a positive integer behind the colon, "
                f"at most {_MOST_WEIGHT:,}"
            )
        types += [name] * (int(weight) if colon else 1)
    return tuple(types)


def use_compilation_cache() -> None:
    """Lets JAX keep what it compiles where the flags say."""
    if FLAGS.compilation_cache_dir:
        compile_cache.use(FLAGS.compilation_cache_dir)


def output_dir() -> pathlib.Path | None:
    """The output directory, as it was given.

    Raises:
      ValueError: --resume or --overwrite without --output_dir.
    """
    if FLAGS.output_dir:
        return pathlib.Path(FLAGS.output_dir)
    for name in ("resume", "overwrite"):
        if FLAGS[name].value:
            raise ValueError(f"--{name} needs --output_dir")
    return None
