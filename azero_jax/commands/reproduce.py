"""Runs an experiment of the paper on this machine, and prints its table: paper, ours, and what was reduced.

    azero reproduce figure4_linear --repeats=1000 --output_dir=runs/figure4

Each experiment is a flagfile and what is compared; flags behind the name change it. A wrong
name lists the experiments. With --output_dir, results are written as they come, so that an
interrupted run has lost nothing.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binomtest

import azero_jax as az
from azero_jax import claims, flags
from azero_jax.command_line import FLAGS, Command, Group
from azero_jax.files import write_atomically
from azero_jax.gradient_descent import MODELS
from azero_jax.initial_programs import HAND_WRITTEN
from azero_jax.intervals import shown
from azero_jax.search import Search
from azero_jax.search_settings import SearchSettings, make_evaluator
from azero_jax.settings import Settings
from azero_jax.task_specs import changed, make_tasks
from azero_jax.workers import WorkerDied


def define() -> None:
    """Defines the flags."""
    group = Group("The experiment")
    group.integer("repeats", 100, "experiments, or seeds", least=1)
    group.integer("trials", 1000, "trials of tuning a program's constants")
    group.integer(
        "most_trials", 100_000, "trials of a model's hyper-parameters, where an equal budget would be more", least=1
    )
    group.names("kinds", [], "kinds of tasks of the adaptations, all by default")
    flags.define()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment of the paper.

    Attributes:
      run: does it and prints its table; what it hands to its last argument is kept in
        the output directory.
      what: one line for people.
      flagfile: its settings.
      changes: flags that change them.
    """

    run: Callable[[Settings, int, Callable[[dict], None]], None]
    what: str
    flagfile: str
    changes: tuple[str, ...] = ()


def run(arguments: list[str]) -> None:
    """Runs the experiment that was named."""
    name = arguments[0]
    for flag in ("resume", "overwrite", "tensorboard", "checkpoint_seconds"):
        if FLAGS[flag].present:
            raise ValueError(f"--{flag} is of evolve: an experiment starts anew and keeps only its scores")
    settings, output_dir = flags.settings(), flags.output_dir()

    if output_dir is not None:
        _make(output_dir)
    kept: list[dict] = []

    def keep(record: dict) -> None:
        kept[:] = [record]
        if output_dir is not None:
            write_atomically(output_dir / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())

    az.set_xla_flags()
    flags.use_compilation_cache()
    try:
        EXPERIMENTS[name].run(settings, FLAGS.repeats, keep)
    except KeyboardInterrupt:
        if kept:
            print(
                f"what was finished: {output_dir / f'{name}.json' if output_dir else json.dumps(kept[0])}", flush=True
            )
        raise


def _make(directory: pathlib.Path) -> None:
    """Makes a directory and checks that files can be written to it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / ".writable", b"")
    (directory / ".writable").unlink()


def prepare(arguments: list[str]) -> list[str]:
    """Puts the flags of an experiment before those that change it.

    Raises:
      ValueError: no experiment or an unknown one.
    """
    names = [argument for argument in arguments if not argument.startswith("-")]
    if len(names) != 1 or names[0] not in EXPERIMENTS:
        wrong = f"unknown experiment {names[0]!r}" if names else "no experiment"
        raise ValueError(f"{wrong}, expected one of\n{_listed()}")
    experiment = EXPERIMENTS[names[0]]
    own = [argument for argument in arguments if argument.startswith("-")]
    return [f"--flagfile={experiment.flagfile}", *experiment.changes, names[0], *own]


def _listed() -> str:
    return "\n".join(f"  {name}: {experiment.what}" for name, experiment in EXPERIMENTS.items())


def _evolve(settings: Settings, **arguments: Any) -> dict:
    """Runs a search of an experiment."""
    how = {name: getattr(FLAGS, name) for name in ("num_workers", "progress_every")}
    return az.run(settings, **how, **arguments)


# Figure 4: evolution against random search.


def figure4(settings: Settings, repeats: int, keep: Callable[[dict], None]) -> None:
    """Counts programs as good as the hand-written one, by evolution and by random search.

    As in section 4.1: an experiment of evolution counts once at most; random search makes
    as many programs, and each counts.
    """
    island = settings.islands[0]
    tasks = make_tasks(island.search_tasks)
    name = island.search.evolution.initial_population.removeprefix("random:")
    if name not in HAND_WRITTEN:
        raise ValueError(f"initial_population: {name!r}: expected one of {', '.join(HAND_WRITTEN)}, or random: and one")
    if not settings.max_individuals:
        raise ValueError("max_individuals=0: expected how many programs each experiment makes")
    reference = az.Program.from_text(HAND_WRITTEN[name])
    evaluator = make_evaluator(tasks, island.search, settings.random_seed)
    # One percent more error, so that another order of the same operations is as good.
    acceptable = 1 - 1.01 * (1 - float(evaluator.evaluate([reference]).fitness.mean()))
    print(f"acceptable: mean fitness above {acceptable:.6f}, about that of\n{reference.to_text()}", flush=True)
    random = Search(tasks, _random_search(island.search), seed=settings.random_seed)
    random_successes = int((random.state.fitness > acceptable).sum())
    evolved = successes = 0
    for repeat in range(1, repeats + 1):
        search = Search(tasks, island.search, seed=settings.random_seed + repeat)
        while search.individuals < settings.max_individuals and search.best()[1] <= acceptable:
            search.step()
        evolved += settings.max_individuals  # also where it ended early, as in the paper
        successes += search.best()[1] > acceptable
        while random.individuals < evolved:
            random.step()
            random_successes += int((random.state.fitness > acceptable).sum())
        record: dict[str, Any] = {
            "experiments": repeat,
            "programs": evolved,
            "successes": {"evolution": successes, "random search": random_successes},
        }
        if successes + random_successes:
            share = binomtest(successes, successes + random_successes).proportion_ci()
            record["ratio"] = successes / random_successes if random_successes else None
            record["ratio_95_percent"] = [
                share.low / (1 - share.low),
                share.high / (1 - share.high) if share.high < 1 else None,
            ]
        keep(record)
        if repeat % max(1, repeats // 20) == 0 or repeat == repeats:
            print(json.dumps(record), flush=True)
    ratio = "no success yet"
    if successes + random_successes:
        low, high = record["ratio_95_percent"]
        ratio = f"{record['ratio'] or float('inf'):.1f} ({low:.1f} to {high or float('inf'):.1f})"
    print("\n| | paper | ours |\n|---|---|---|")
    print(f"| programs of each | - | {evolved:,} |")
    print(f"| successes of evolution, random search | - | {successes}, {random_successes} |")
    print(f"| evolution / random search (95 % interval) | 5 at one acceptable program in 1e7 | {ratio} |")


def _random_search(settings: SearchSettings) -> SearchSettings:
    """The same search without selection: every program is new."""
    size = settings.evolution.population_size
    evolution = dataclasses.replace(
        settings.evolution,
        tournament_size=1,
        mutate_prob=1.0,
        mutation_types=("randomize_algorithm",),
        child_batch_size=size,
    )
    return dataclasses.replace(settings, evolution=evolution)


# Section 4.2 and Table S5, on the real data that scikit-learn contains.

_TRANSFER = {
    "the same digits, all 64 pixels": "projected_digits:features_size=0,num_train_examples=200,num_valid_examples=60,"
    "num_tasks=9,pairs=final,test=true",
    "breast cancer, 30 measurements": "projected_binary_classification:dataset=breast_cancer,features_size=0,pairs=all,"
    "num_train_examples=300,num_valid_examples=110,num_tasks=10,test=true",
}


def digits(settings: Settings, repeats: int, keep: Callable[[dict], None]) -> None:
    """Evolved classifiers beside a linear model and a two-layer network, tuned under an equal budget.

    Every seed evolves a program, whose constants are then tuned on T_select. The models'
    hyper-parameters are tuned there with as many training examples as one seed took in
    all. T_final is looked at once for each.
    """
    select_tasks, final_tasks = make_tasks(settings.select_tasks), make_tasks(settings.final_tasks)
    steps_of_a_trial = select_tasks.num_tasks * select_tasks.num_train_examples * select_tasks.num_train_epochs
    seeds = [settings.random_seed + repeat for repeat in range(repeats)]
    evolved: dict[int, claims.Contender] = {}
    select_fitness: dict[int, float] = {}
    budgets: list[int] = []
    kept: dict[str, Any] = {"final": {}, "select": {}, "programs": {}}
    for seed in seeds:
        records: list[dict] = []
        own = dataclasses.replace(settings, random_seed=seed, final_tasks="", final_baseline="")
        program = az.Program.from_text(_evolve(own, on_report=records.append)["program"])
        budgets.append(records[-1]["train_steps"] + FLAGS.trials * steps_of_a_trial)
        evolved[seed] = claims.tuned_program(program, select_tasks, FLAGS.trials, seed=seed)
        select_fitness[seed] = float(claims.fitness(evolved[seed], select_tasks, seed=seed).mean())
        for name, contender in (("as found", claims.Contender("", program)), ("tuned", evolved[seed])):
            kept["final"][f"evolved, seed {seed}, {name}"] = claims.fitness(contender, final_tasks, seed=seed).tolist()
        kept["select"][seed], kept["programs"][seed] = select_fitness[seed], evolved[seed].describe()
        keep(kept)
        print(claims.table(kept["final"]), flush=True)
    budget = sorted(budgets)[len(budgets) // 2]
    trials = min(FLAGS.most_trials, budget // steps_of_a_trial)
    print(
        f"budget of a seed: {budget:,} training examples; hyper-parameter trials of each model: {trials:,}", flush=True
    )
    models = [claims.tuned_model(name, select_tasks, trials, seed=settings.random_seed) for name in MODELS]
    for model in models:
        kept["final"][model.name] = claims.fitness(model, final_tasks, seed=settings.random_seed).tolist()
        print(f"{model.name}: {model.describe()}")
    best = max(seeds, key=select_fitness.__getitem__)
    kept["transfer"] = {}
    for what, spec in _TRANSFER.items():
        tasks = make_tasks(spec)
        contenders = [(f"evolved, seed {best}, unchanged", evolved[best]), *((model.name, model) for model in models)]
        kept["transfer"][what] = {name: claims.fitness(some, tasks, seed=best).tolist() for name, some in contenders}
    keep(kept)
    print("\nT_final\n\n" + claims.table(kept["final"]))
    tuned = [sum(values) / len(values) for name, values in kept["final"].items() if name.endswith("tuned")]
    print(f"\nevolved and tuned, over {len(tuned)} seeds: {shown(tuned, 4)}")
    for what, scores in kept["transfer"].items():
        print(f"\n{what}\n\n" + claims.table(scores))
    print(f"\nthe best on T_select, seed {best}:{evolved[best].describe()}")


def table_s5(settings: Settings, repeats: int, keep: Callable[[dict], None]) -> None:
    """Searches with and without functional equivalence and hurdles, under an equal budget of training examples."""
    select_tasks = make_tasks(settings.select_tasks)
    models = [claims.tuned_model(name, select_tasks, FLAGS.trials, seed=settings.random_seed) for name in MODELS]
    bars = [float(claims.fitness(model, select_tasks, seed=settings.random_seed).mean()) for model in models]
    island = settings.islands[0]
    basic = dataclasses.replace(
        island.search,
        equivalence=az.EquivalenceSettings(algebra=False, num_train_examples=0),
        hurdle=az.HurdleSettings(),
    )
    full = dataclasses.replace(
        island.search, equivalence=az.EquivalenceSettings(), hurdle=az.HurdleSettings(percentile=75)
    )
    kept: dict[str, Any] = {"bars": dict(zip(MODELS, bars)), "Basic": [], "Full": []}
    for seed in range(settings.random_seed, settings.random_seed + repeats):
        for name, search in (("Basic", basic), ("Full", full)):
            own = dataclasses.replace(
                settings,
                islands=(dataclasses.replace(island, search=search),),
                random_seed=seed,
                final_tasks="",
                final_baseline="",
            )
            kept[name].append(_evolve(own)["select_fitness"])
            keep(kept)
    print(f"\nT_select: linear model {bars[0]:.3f}, two-layer network {bars[1]:.3f}, tuned on these tasks\n")
    print("| one process | paper: accuracy, above linear, above network | ours | above linear | above network |")
    print("|---|---|---|---|---|")
    for name, paper in (("Basic", "0.671 ± 0.004, 1 %, 0 %"), ("Full", "0.684 ± 0.003, 3 %, 0 %")):
        above = [sum(value > bar for value in kept[name]) for bar in bars]
        print(f"| {name} | {paper} | {shown(kept[name], 3)} | {above[0]} of {repeats} | {above[1]} of {repeats} |")


# Section 4.3: what a search that starts from a hand-written program adds to it, by kind of task.


@dataclasses.dataclass(frozen=True)
class _Adaptation:
    """A kind of task.

    Attributes:
      start: the hand-written program that populations start with.
      tasks: the search tasks, without what selection and the final evaluation change.
      select, final: what they change.
      paper: what it is in the paper.
    """

    start: str
    tasks: str
    select: str
    final: str
    paper: str


_PAIRS = ("pairs=select,num_tasks=24", "pairs=final,test=true,num_tasks=48")
_ALL_CLASSES = ("num_tasks=6,param_seeds=1000", "test=true,num_tasks=12,param_seeds=2000")
_ADAPTATIONS = {
    "as usual": _Adaptation(
        "neural_net",
        "projected_digits:features_size=16,num_tasks=8,num_train_examples=200,num_valid_examples=60",
        *_PAIRS,
        "800 examples, 100 epochs",
    ),
    "few examples": _Adaptation(
        "neural_net",
        "projected_digits:features_size=16,num_tasks=8,num_train_examples=20,num_train_epochs=20,num_valid_examples=60",
        *_PAIRS,
        "80 examples, 100 epochs",
    ),
    "fast training": _Adaptation(
        "neural_net",
        "projected_digits:features_size=16,num_tasks=8,num_train_examples=60,num_valid_examples=60",
        *_PAIRS,
        "800 examples, 10 epochs",
    ),
    "ten classes": _Adaptation(
        "softmax_regression",
        "projected_multiclass_classification:features_size=16,num_tasks=4,num_train_examples=400,num_valid_examples=200",
        *_ALL_CLASSES,
        "10 classes, from a network",
    ),
}


def adaptations(settings: Settings, repeats: int, keep: Callable[[dict], None]) -> None:
    """Searches from a hand-written program on tasks of several kinds; program and outcome are tuned alike."""
    unknown = [name for name in FLAGS.kinds if name not in _ADAPTATIONS]
    if unknown:
        raise ValueError(f"--kinds: unknown kind {unknown[0]!r}, expected some of {', '.join(_ADAPTATIONS)}")
    island = settings.islands[0]
    kept: dict[str, dict[str, list]] = {}
    for name in FLAGS.kinds or _ADAPTATIONS:
        kind = _ADAPTATIONS[name]
        select_spec, final_spec = changed(kind.tasks, kind.select), changed(kind.tasks, kind.final)
        select_tasks, final_tasks = make_tasks(select_spec), make_tasks(final_spec)
        evolution = dataclasses.replace(island.search.evolution, initial_population=kind.start)
        search = dataclasses.replace(island.search, evolution=evolution)
        start = claims.tuned_program(
            az.Program.from_text(HAND_WRITTEN[kind.start]), select_tasks, FLAGS.trials, seed=settings.random_seed
        )
        scores = kept[name] = {
            "start": claims.fitness(start, final_tasks, seed=settings.random_seed).tolist(),
            "evolved": [],
            "better": [],
            "programs": [],
        }
        for seed in range(settings.random_seed, settings.random_seed + repeats):
            own = dataclasses.replace(
                settings,
                islands=(dataclasses.replace(island, search_tasks=kind.tasks, search=search),),
                select_tasks=select_spec,
                final_tasks="",
                final_baseline="",
                random_seed=seed,
            )
            program = az.Program.from_text(_evolve(own)["program"])
            found = claims.tuned_program(program, select_tasks, FLAGS.trials, seed=seed)
            fitness = claims.fitness(found, final_tasks, seed=seed)
            scores["evolved"].append(float(fitness.mean()))
            scores["better"].append(float((fitness - np.array(scores["start"])).mean()))
            scores["programs"].append(found.describe())
            keep(kept)
    print("\n| tasks | paper | starts with | accuracy of that | evolved | better by | searches |")
    print("|---|---|---|---|---|---|---|")
    for name, scores in kept.items():
        kind, cells = _ADAPTATIONS[name], " | ".join(shown(scores[row], 4) for row in ("evolved", "better"))
        start_fitness = np.mean(scores["start"])
        print(f"| {name} | {kind.paper} | {kind.start} | {start_fitness:.4f} | {cells} | {len(scores['evolved'])} |")
    for name, scores in kept.items():
        best = max(range(len(scores["evolved"])), key=scores["evolved"].__getitem__)
        print(f"\n{name}:{scores['programs'][best]}")


# Section 4.1: one teacher network, or many.


def backprop(settings: Settings, repeats: int, keep: Callable[[dict], None]) -> None:
    """Searches for a learning rule on one teacher network and on many, and scores it on teachers never seen."""
    island = settings.islands[0]
    many = make_tasks(island.search_tasks).num_tasks
    final_tasks = make_tasks(settings.final_tasks)
    kept: dict[str, dict[str, list]] = {}
    for seed in range(settings.random_seed, settings.random_seed + repeats):
        for count in (1, many):
            tasks = changed(island.search_tasks, f"num_tasks={count}")
            own = dataclasses.replace(
                settings,
                islands=(dataclasses.replace(island, search_tasks=tasks),),
                random_seed=seed,
                final_tasks="",
            )
            result = _evolve(own)
            found = claims.Contender("", az.Program.from_text(result["program"]))
            scores = kept.setdefault(f"D={count}", {"search": [], "unseen": [], "programs": []})
            scores["search"].append(result["search_fitness"])
            scores["unseen"].append(float(claims.fitness(found, final_tasks, seed=seed).mean()))
            scores["programs"].append(result["program"])
            keep(kept)
    for name in ("no_op", "neural_net"):
        program = az.Program.from_text(HAND_WRITTEN[name])
        kept[name] = {"unseen": [float(claims.fitness(claims.Contender("", program), final_tasks).mean())]}
    keep(kept)
    print("\n| | fitness on its own teachers | on 100 teachers never seen | searches |\n|---|---|---|---|")
    for name, scores in kept.items():
        searches = scores.get("search", [])
        # The programs by hand are scored once, and nothing of them varies.
        unseen = shown(scores["unseen"], 3) if searches else f"{scores['unseen'][0]:.3f}"
        print(f"| {name} | {shown(searches, 3) if searches else ''} | {unseen} | {len(searches) or ''} |")
    best = max(range(repeats), key=lambda index: kept[f"D={many}"]["unseen"][index])
    print(f"\nthe best for unseen teachers:\n{kept[f'D={many}']['programs'][best]}")


EXPERIMENTS = {
    "adaptations": Experiment(
        adaptations,
        "what a search adds to a hand-written program: few examples, little time, ten classes (section 4.3)",
        "digits_demo",
        (
            "--num_islands=1",
            "--hall_of_fame_size=0",
            "--max_scalar_addresses=10",
            "--max_vector_addresses=16",
            "--max_matrix_addresses=4",
            "--mutate_setup_size_max=21",
            "--mutate_predict_size_max=21",
            "--mutate_learn_size_max=45",
            "--max_individuals=0",
            "--max_train_steps=100000000",
        ),
    ),
    "backprop": Experiment(
        backprop, "learning rules for a two-layer network, from one teacher or many (section 4.1)", "backprop"
    ),
    "figure4_affine": Experiment(
        figure4,
        "evolution against random search on affine regression (Figure 4)",
        "figure4_linear",
        (
            "--search_tasks=scalar_affine_regression:features_size=8,num_train_examples=1000,num_valid_examples=100,"
            "num_tasks=3",
            "--initial_population=random:affine",
            "--learn_ops=SCALAR_SUM,SCALAR_DIFF,SCALAR_PRODUCT,SCALAR_VECTOR_PRODUCT,VECTOR_SUM",
            "--predict_size_init=2",
            "--learn_size_init=5",
        ),
    ),
    "figure4_linear": Experiment(
        figure4, "evolution against random search on linear regression (Figure 4)", "figure4_linear"
    ),
    "table_s5": Experiment(
        table_s5,
        "searches with and without equivalence and hurdles, in one process, on real digits (Table S5)",
        "digits_demo",
        ("--num_islands=1", "--hall_of_fame_size=0", "--max_individuals=0", "--max_train_steps=100000000"),
    ),
    "digits": Experiment(
        digits, "evolved classifiers beside tuned models, on real digits (section 4.2, Table S5)", "digits_demo"
    ),
}


COMMAND = Command(
    usage="EXPERIMENT --name=value ...",
    what="""Runs an experiment of the paper on this machine, and prints its table: paper, ours, and what was reduced.

    Each experiment is a flagfile and what is compared; flags behind the name change it. With --output_dir, results are
    written as they come, so that an interrupted run has lost nothing.""",
    examples=("figure4_linear --repeats=1000 --output_dir=runs/figure4",),
    define=define,
    run=run,
    errors=(WorkerDied,),
    needs_arguments=False,
    prepare=prepare,
    more=_listed(),
)
