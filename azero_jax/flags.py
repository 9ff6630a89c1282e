"""All experiment settings as absl flags, under the names of the C++ release.

The only module that knows flags: it defines them and turns their values into
`settings.Settings`. Names in the help texts are fields of `SearchExperimentSpec`
(experiment.proto) unless they say otherwise.
"""

from __future__ import annotations

import os
import pathlib
import secrets

from absl import flags

from azero_jax import baselines, evaluator, initial_programs, mutation, ops, scoring, task_specs
from azero_jax.evolution import EvolutionSettings
from azero_jax.mutation import SearchSpace
from azero_jax.program import MemorySize
from azero_jax.scoring import EquivalenceSettings, HurdleSettings
from azero_jax.settings import EvaluationSettings, Settings
from azero_jax.text import COMPONENT_FUNCTIONS

FLAGS = flags.FLAGS

_ALL_OPS = [op.name for op in ops.table()[1:]]
_FUNCTIONS = [name.lower() for name in COMPONENT_FUNCTIONS]


def define() -> None:
    """Defines the flags of `scripts/evolve.py`."""
    evolution, evaluation = EvolutionSettings(), EvaluationSettings()
    equivalence, hurdle = EquivalenceSettings(), HurdleSettings()
    generators = ", ".join(task_specs.GENERATORS)

    # Where and how long.
    flags.DEFINE_string(
        "output_dir", None, "directory for metrics.jsonl, best_program.txt, result.json and checkpoint/"
    )
    flags.DEFINE_boolean("resume", False, "go on from the newest checkpoint in --output_dir")
    flags.DEFINE_integer(
        "random_seed",
        None,
        "seed of everything random; without it one is drawn, and written to result.json",
        lower_bound=0,
    )
    flags.DEFINE_integer("max_experiments", 1, "experiments to run at most; 0 for any number", lower_bound=0)
    flags.DEFINE_float(
        "sufficient_fitness", float("inf"), "stop when a candidate's fitness on the select tasks exceeds this"
    )
    flags.DEFINE_integer(
        "max_individuals", 0, "programs made by one experiment, cache hits included; 0 for any number", lower_bound=0
    )
    flags.DEFINE_integer(
        "max_train_steps",
        80_000_000_000,
        "training examples seen by one experiment, over all tasks, probes included; 0 for any number",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "max_stagnant_individuals",
        0,
        "end an experiment when so many programs bring no new best fitness; 0 never (not in the release)",
        lower_bound=0,
    )
    flags.DEFINE_float("max_seconds", 0, "seconds for the run; 0 for any time", lower_bound=0)
    flags.DEFINE_integer("progress_every", 10_000, "programs between progress reports", lower_bound=1)
    flags.DEFINE_float("checkpoint_seconds", 60, "seconds between checkpoints", lower_bound=0)

    # Tasks.
    for name, default, what in (
        ("search", "scalar_linear_regression", "that the search sees"),
        ("select", "", "that choose among experiments' candidates; empty for none"),
        ("final", "", "that the winner is scored on once; empty for none"),
    ):
        flags.DEFINE_string(
            f"{name}_tasks", default, f"tasks {what}, as generator:name=value,...; generators: {generators}"
        )
    flags.DEFINE_enum("final_baseline", "", ["", *baselines.BASELINES], "model that is scored on the final tasks, too")
    flags.DEFINE_boolean("randomize_task_seeds", False, "draw new seeds for search and select tasks in each experiment")

    # Search space.
    for kind, size in zip(ops.KINDS, MemorySize()):
        name = ops.KIND_NAMES[kind]
        flags.DEFINE_integer(f"max_{name}_addresses", size, f"{name} addresses of the memory (definitions.h)")
    for function in _FUNCTIONS:
        flags.DEFINE_list(f"{function}_ops", _ALL_OPS, f"ops that {function} may hold; empty leaves it as it is")
        flags.DEFINE_integer(f"{function}_size_init", 10, f"instructions of {function} at the start", lower_bound=0)
        for limit in ("min", "max"):
            flags.DEFINE_integer(
                f"mutate_{function}_size_{limit}",
                None,
                f"{limit}imum size of {function}; by default its initial size",
                lower_bound=0,
            )

    # Method.
    flags.DEFINE_integer("population_size", evolution.population_size, "programs of the population")
    flags.DEFINE_integer("tournament_size", evolution.tournament_size, "programs drawn for each tournament")
    flags.DEFINE_float("mutate_prob", evolution.mutate_prob, "share of children that are mutated")
    flags.DEFINE_list(
        "allowed_mutation_types",
        list(evolution.mutation_types),
        f"drawn uniformly, repeats add weight: {', '.join(mutation.MUTATION_TYPES)}",
    )
    flags.DEFINE_string(
        "initial_population",
        evolution.initial_population,
        f"{', '.join(initial_programs.NAMES)}, or a file with a program",
    )
    flags.DEFINE_integer(
        "child_batch_size",
        evolution.child_batch_size,
        "children made from one population at a time; 1 is the release's loop",
    )
    flags.DEFINE_enum(
        "fitness_combination_mode", "mean", scoring.COMBINATIONS, "how fitness over search tasks becomes one number"
    )
    flags.DEFINE_integer(
        "fec_num_train_examples",
        equivalence.num_train_examples,
        "training examples of the probe for functional equivalence; 0 turns it off (fec_cache.proto)",
    )
    flags.DEFINE_integer("fec_num_valid_examples", equivalence.num_valid_examples, "validation examples of that probe")
    flags.DEFINE_integer("fec_cache_size", equivalence.cache_size, "programs remembered")
    flags.DEFINE_integer(
        "fec_forget_every", equivalence.forget_every, "hits after which a program is forgotten; 0 never"
    )
    flags.DEFINE_float(
        "hurdle_percentile",
        hurdle.percentile,
        "programs below this percentile of the population's fitnesses stop early; 0 for none, 75 in the paper",
    )
    flags.DEFINE_float("hurdle_train_share", hurdle.train_share, "share of the training examples before the hurdle")
    flags.DEFINE_integer("hurdle_move_every", hurdle.move_every, "programs between moves of the hurdle")

    # Evaluation.
    flags.DEFINE_float("max_abs_error", evaluation.max_abs_error, "a larger error on any example gives fitness 0")
    flags.DEFINE_enum("dtype", evaluation.dtype, evaluator.DTYPES, "numbers that programs compute with")
    flags.DEFINE_enum("strategy", evaluation.strategy, evaluator.STRATEGIES, "switch for CPUs, vmap for accelerators")
    flags.DEFINE_integer(
        "num_threads", evaluation.num_threads, "programs run at the same time; 0 for one per core", lower_bound=0
    )
    flags.DEFINE_string(
        "compilation_cache_dir",
        os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "azero_jax"),
        "where compiled machines are kept for the next start; empty for nowhere",
    )


def settings() -> Settings:
    """The settings that the flags describe.

    Raises:
      ValueError: values that are wrong or contradict each other, with the flag's name.
    """
    values = FLAGS.flag_values_dict()
    initial = tuple(values[f"{function}_size_init"] for function in _FUNCTIONS)
    limits = {
        limit: tuple(
            size if values[f"mutate_{function}_size_{limit}"] is None else values[f"mutate_{function}_size_{limit}"]
            for function, size in zip(_FUNCTIONS, initial)
        )
        for limit in ("min", "max")
    }
    space = SearchSpace(
        memory=MemorySize(*(values[f"max_{ops.KIND_NAMES[kind]}_addresses"] for kind in ops.KINDS)),
        **{f"{function}_ops": tuple(name for name in values[f"{function}_ops"] if name) for function in _FUNCTIONS},
        initial_sizes=initial,
        min_sizes=limits["min"],
        max_sizes=limits["max"],
    )
    evolution = EvolutionSettings(
        population_size=values["population_size"],
        tournament_size=values["tournament_size"],
        mutate_prob=values["mutate_prob"],
        mutation_types=tuple(values["allowed_mutation_types"]),
        initial_population=values["initial_population"],
        child_batch_size=min(values["child_batch_size"], values["population_size"])
        if FLAGS["child_batch_size"].using_default_value
        else values["child_batch_size"],
    )
    names = ("num_train_examples", "num_valid_examples", "cache_size", "forget_every")
    random_seed = values["random_seed"]
    return Settings(
        space=space,
        evolution=evolution,
        evaluation=EvaluationSettings(
            *(values[name] for name in ("max_abs_error", "dtype", "strategy", "num_threads"))
        ),
        equivalence=EquivalenceSettings(**{name: values[f"fec_{name}"] for name in names}),
        hurdle=HurdleSettings(
            **{name: values[f"hurdle_{name}"] for name in ("percentile", "train_share", "move_every")}
        ),
        fitness_combination=values["fitness_combination_mode"],
        random_seed=secrets.randbits(31) if random_seed is None else random_seed,
        **{
            name: values[name]
            for name in (
                "search_tasks",
                "select_tasks",
                "final_tasks",
                "final_baseline",
                "randomize_task_seeds",
                "max_experiments",
                "sufficient_fitness",
                "max_individuals",
                "max_train_steps",
                "max_stagnant_individuals",
                "max_seconds",
            )
        },
    )


def output_dir() -> pathlib.Path | None:
    """The output directory, made and checked.

    Raises:
      ValueError: --resume without --output_dir.
      OSError: it cannot be made or written.
    """
    if not FLAGS.output_dir:
        if FLAGS.resume:
            raise ValueError("--resume needs --output_dir")
        return None
    path = pathlib.Path(FLAGS.output_dir)
    path.mkdir(parents=True, exist_ok=True)
    probe = path / ".writable"
    probe.touch()
    probe.unlink()
    return path
