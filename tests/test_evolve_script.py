"""The command, as users start it: real processes, real files, real signals."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from doors import run_script
from test_datasets import write_cifar10

from azero_jax import Evaluator, Program, checkpoint, execution, make_tasks

ROOT = pathlib.Path(__file__).parent.parent
LINEAR_DEMO = ROOT / "scripts" / "flagfiles" / "linear_demo.flags"
SMALL = ["--population_size=100", "--child_batch_size=100", "--progress_every=1000", "--random_seed=3"]


@pytest.fixture(scope="module")
def cache():
    """The compilation cache of these tests, for all processes."""
    return f"--compilation_cache_dir={execution.user_cache_dir()}"


def command(*flags):
    return [sys.executable, str(ROOT / "scripts" / "evolve.py"), *map(str, flags)]


def evolve(*flags, code=0):
    return run_script("evolve", *flags, code=code)


def metrics(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_a_run_writes_its_files(tmp_path, cache):
    done = evolve(
        f"--flagfile={LINEAR_DEMO}",
        f"--output_dir={tmp_path}",
        "--max_experiments=2",
        "--max_individuals=5000",
        *SMALL,
        cache,
    )
    records = metrics(tmp_path)
    assert {record["experiment"] for record in records} == {1, 2}
    expected = {
        "experiment",
        "individuals",
        "train_steps",
        "elapsed_seconds",
        "individuals_per_second",
        "best_fitness",
        "mean_fitness",
        "stdev_fitness",
    }
    assert all(expected <= record.keys() for record in records)
    assert [record["individuals"] for record in records if record["experiment"] == 1][:3] == [1000, 2000, 3000]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["individuals"] == 10_000 and result["experiments"] == 2 and result["random_seed"] == 3
    assert result["versions"].keys() >= {"jax", "jaxlib", "numpy", "python"}
    assert result["settings"]["islands"][0]["search"]["evolution"]["population_size"] == 100
    text = (tmp_path / "best_program.txt").read_text()
    assert text in done.stdout and "NoOp" not in text

    # The reported program, read back and evaluated again, has the reported fitness.
    final = result["settings"]["final_tasks"]
    fitness = Evaluator(make_tasks(final), seed=3).evaluate([Program.from_text(text)]).fitness.mean()
    assert fitness == pytest.approx(result["final_fitness"], abs=1e-6)
    assert "indivs=1000, elapsed_secs=" in done.stdout and "best fit=" in done.stdout
    assert "\x1b" not in done.stdout  # no live line in a pipe

    # What it does is said before it takes its time, and once.
    first, second, third, *_ = done.stdout.splitlines()
    assert first == "reading data and making tasks"
    assert second.startswith("compiling for 6 ops: about 7 s") and "searching" in third
    assert done.stdout.count("compiling for") == 1
    assert result["trivial"] == ("this program is trivial" in done.stdout)
    assert all(record["individuals_per_second"] > 0 for record in records)


def test_the_same_seed_finds_the_same(tmp_path, cache):
    flags = [f"--flagfile={LINEAR_DEMO}", "--max_experiments=1", "--max_individuals=3000", *SMALL, cache]
    texts = []
    for name, extra in (("one", []), ("two", ["--num_threads=1"])):
        evolve(*flags, f"--output_dir={tmp_path / name}", *extra)
        record = metrics(tmp_path / name)[-1]
        texts.append(
            (record["best_fitness"], record["mean_fitness"], (tmp_path / name / "best_program.txt").read_text())
        )
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_interrupt_and_resume(tmp_path, cache, number, code):
    flags = [f"--flagfile={LINEAR_DEMO}", "--max_experiments=1", "--max_individuals=40000", *SMALL, cache]
    flags += ["--hurdle_percentile=75", "--fec_num_train_examples=10"]
    evolve(*flags, f"--output_dir={tmp_path / 'whole'}")
    directory = tmp_path / "parts"
    process = subprocess.Popen(
        command(*flags, f"--output_dir={directory}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not ((directory / "metrics.jsonl").exists() and len(metrics(directory)) >= 5):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert json.loads((directory / "result.json").read_text())["status"] == "interrupted"
    Program.from_text((directory / "best_program.txt").read_text())
    assert metrics(directory)[-1]["individuals"] < 40_000

    evolve(*flags, f"--output_dir={directory}", "--resume")
    changing = ("elapsed_seconds", "individuals_per_second")
    stable = [
        [{key: value for key, value in record.items() if key not in changing} for record in metrics(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert stable[0] == stable[1]
    assert (tmp_path / "whole" / "best_program.txt").read_text() == (directory / "best_program.txt").read_text()

    refused = evolve(*flags, f"--output_dir={directory}", "--resume", "--mutate_prob=0.5", code=2)
    assert (
        "cannot resume with other settings: islands[0].search.evolution.mutate_prob was 0.9, now 0.5" in refused.stderr
    )


@pytest.mark.thorough
def test_a_damaged_checkpoint_falls_back(tmp_path, cache):
    flags = [
        f"--flagfile={LINEAR_DEMO}",
        "--max_experiments=1",
        *SMALL,
        cache,
        f"--output_dir={tmp_path}",
        "--checkpoint_seconds=0",
    ]
    evolve(*flags, "--max_individuals=2000")
    evolve(*flags, "--max_individuals=2000", "--resume")  # of a finished run: the same again
    assert metrics(tmp_path)[-1]["individuals"] == 2000
    files = sorted((tmp_path / "checkpoint").iterdir())
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:1000])
    done = evolve(*flags, "--max_individuals=3000", "--resume")
    assert "damaged checkpoint" in done.stderr
    assert metrics(tmp_path)[-1]["individuals"] == 3000
    state, arrays = checkpoint.load(tmp_path / "checkpoint")
    state["versions"] |= {"numpy": "1.0.0"}
    checkpoint.save(tmp_path / "checkpoint", state, arrays)
    assert "written with numpy 1.0.0" in evolve(*flags, "--max_individuals=3000", "--resume").stderr
    state["versions"] |= {"azero_jax": "0.0.1"}
    checkpoint.save(tmp_path / "checkpoint", state, arrays)
    done = evolve(*flags, "--max_individuals=4000", "--resume", code=2)
    assert "the checkpoint is of azero_jax 0.0.1" in done.stderr
    assert checkpoint.load(tmp_path / "checkpoint")[0]["versions"]["azero_jax"] == "0.0.1"  # and it is still there


@pytest.mark.thorough
def test_methods_islands_and_their_flags(tmp_path, cache):
    digits = ROOT / "scripts" / "flagfiles" / "digits_demo.flags"
    few = "features_size=4,num_train_examples=40,num_valid_examples=20,num_tasks=4"
    done = evolve(
        f"--flagfile={digits}",
        f"--output_dir={tmp_path}",
        f"--search_tasks=projected_digits:{few}",
        f"--select_tasks=projected_digits:{few},pairs=select",
        f"--final_tasks=projected_digits:{few},pairs=final",
        "--method=paper",
        "--tournament_size=5",
        "--num_islands=3",
        "--island_flags=",
        f"--island_flags=--search_tasks=scalar_2layer_nn_regression:{few} --method=release --mutate_prob=0.5",
        "--hall_of_fame_size=3",
        "--funnel_rounds=2",
        "--migrate_every=500",
        "--max_individuals=3000",
        "--progress_every=1500",
        "--random_seed=1",
        "--tensorboard",
        cache,
    )
    result = json.loads((tmp_path / "result.json").read_text())
    first, second, third = (island["search"] for island in result["settings"]["islands"])
    assert first == third != second
    assert first["evolution"]["mutation_types"] == second["evolution"]["mutation_types"]  # the flagfile's win
    assert [some["evolution"]["constant_mutation"] for some in (first, second)] == ["paper", "release"]
    assert [some["fitness_combination"] for some in (first, second)] == ["median", "mean"]
    assert [some["hurdle"]["percentile"] for some in (first, second)] == [75, 0]
    assert [some["equivalence"]["fingerprint"] for some in (first, second)] == ["predictions", "errors"]
    assert [some["train_budget"]["baseline"] for some in (first, second)] == ["neural_net", ""]
    assert [some["evolution"]["mutate_prob"] for some in (first, second)] == [0.9, 0.5]
    assert all(some["evolution"]["tournament_size"] == 5 for some in (first, second))
    records = metrics(tmp_path)
    assert records[-1]["migrations"] == 2 and len(records[-1]["islands"]) == 3
    assert records[0]["unique_programs"] <= 300 and "best_program" in records[0]
    assert done.stdout.count("indivs=") == len(records)

    from tensorboard_files import scalars

    steps = scalars(next((tmp_path / "tensorboard").iterdir()))
    assert [(step, value) for step, value in steps["best_fitness"]] == [
        (record["individuals"], pytest.approx(record["best_fitness"])) for record in records
    ]
    assert {"mean_fitness", "hurdle_fitness", "evaluations", "unique_programs"} <= steps.keys()


@pytest.mark.slow
def test_mutation_types_have_weights(tmp_path, cache):
    types = "--allowed_mutation_types=insert_instruction,remove_instruction:2"
    evolve("--max_individuals=200", *SMALL, types, f"--output_dir={tmp_path}", "--final_tasks=", cache)
    evolution = json.loads((tmp_path / "result.json").read_text())["settings"]["islands"][0]["search"]["evolution"]
    assert evolution["mutation_types"] == ["insert_instruction", "remove_instruction", "remove_instruction"]


def test_a_stagnant_experiment_ends(tmp_path, cache):
    flags = [f"--flagfile={LINEAR_DEMO}", f"--output_dir={tmp_path}", "--max_experiments=1", *SMALL, cache]
    evolve(*flags, "--mutate_prob=0", "--max_stagnant_individuals=2000")
    assert json.loads((tmp_path / "result.json").read_text())["individuals"] == 2200  # a best is first seen at 200


@pytest.mark.slow
def test_user_data(tmp_path, cache):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 50, 3)), rng.integers(0, 2, (4, 50))
    np.savez(tmp_path / "mine.npz", train_features=x, train_labels=y, valid_features=x, valid_labels=y)
    evolve(f"--search_tasks=npz:path={tmp_path}/mine.npz,loss=accuracy", "--max_individuals=500", *SMALL, cache)


@pytest.mark.slow
def test_cifar_from_its_files(tmp_path, cache):
    write_cifar10(tmp_path / "data", binary=True, count=100)
    of_cifar = f"projected_binary_classification:dataset=cifar10,path={tmp_path}/data,cache_dir={tmp_path}/cache"
    sizes = "features_size=8,num_train_examples=60,num_valid_examples=15,num_tasks=4"
    flags = [f"--search_tasks={of_cifar},{sizes}", f"--final_tasks={of_cifar},{sizes},pairs=final,test=true", *SMALL]
    evolve(*flags, f"--output_dir={tmp_path / 'run'}", "--max_individuals=500", cache)
    assert 0 <= json.loads((tmp_path / "run" / "result.json").read_text())["final_fitness"] <= 1
    (tmp_path / "data" / "data_batch_4.bin").unlink()
    done = evolve(*flags, "--max_individuals=500", code=2)
    assert f"{tmp_path}/data/data_batch_4: no such file, nor data_batch_4.bin: expected the directory" in done.stderr


@pytest.mark.slow
def test_digits_stand_beside_logistic_regression(tmp_path, cache):
    demo = ROOT / "scripts" / "flagfiles" / "digits_demo.flags"
    done = evolve(f"--flagfile={demo}", f"--output_dir={tmp_path}", "--max_individuals=2000", "--random_seed=1", cache)
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0.9 < result["final_baseline_fitness"] <= 1
    assert 0.4 < result["final_fitness"] <= 1
    assert "logistic_regression on the same tasks 0.9" in done.stdout


@pytest.mark.slow
def test_all_classes_at_once(tmp_path, cache):
    tasks = (
        "projected_multiclass_classification:features_size=10,num_train_examples=200,num_valid_examples=100,num_tasks=2"
    )
    demo = ROOT / "scripts" / "flagfiles" / "digits_demo.flags"
    evolve(
        f"--flagfile={demo}",
        *(f"--{name}_tasks={tasks}" for name in ("search", "select", "final")),
        "--initial_population=softmax_regression",
        "--num_islands=1",
        "--max_individuals=500",
        f"--output_dir={tmp_path}",
        cache,
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["final_fitness"] > 0.5
    assert result["final_baseline_fitness"] > 0.5
    assert "v2 = " in (tmp_path / "best_program.txt").read_text()


# What needs no process of its own is in test_flags.py.
WRONG = [
    (["argument"], "unexpected argument 'argument', expected --name=value, or one of the flagfiles"),
    (["--resume"], "--resume needs --output_dir"),
    (["--output_dir=/proc/nothing"], "/proc/nothing"),
    (["--tensorboard"], "tensorboard needs an output directory"),
    (["--num_workers=2"], "num_workers=2: expected 0 to 1, the number of islands"),
    (["--flagfile=/no/such.flags"], "/no/such.flags"),
]


@pytest.mark.parametrize(("flags", "message"), WRONG)
def test_wrong_input_is_named(flags, message):
    done = evolve("--max_individuals=100", *flags, code=2)
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_files_with_bad_numbers_are_named(tmp_path):
    x, y = np.ones((1, 20, 3)), np.zeros((1, 20))
    x[0, 4, 2] = np.nan
    np.savez(tmp_path / "nan.npz", train_features=x, train_labels=y, valid_features=x, valid_labels=y)
    done = evolve(f"--search_tasks=npz:path={tmp_path}/nan.npz", "--max_individuals=100", code=2)
    assert "nan.npz: train_features: nan at index (0, 4, 2): expected finite values" in done.stderr


def test_learning_is_discovered(tmp_path, cache):
    """The small form of the demo: Setup and Predict are given and frozen, Learn is found from nothing."""
    start = tmp_path / "start.txt"
    start.write_text("def Setup():\n  s2 = 0.1\ndef Predict():\n  s1 = dot(v0, v1)\n")
    sizes = ["--setup_size_init=1", "--predict_size_init=1", "--learn_size_init=5"]
    frozen = ["--setup_ops=", "--predict_ops=", f"--initial_population={start}"]
    flags = [f"--flagfile={LINEAR_DEMO}", f"--output_dir={tmp_path}", "--random_seed=1", "--progress_every=5000"]
    evolve(*flags, *sizes, *frozen, cache)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["final_fitness"] > 0.9999
    program = Program.from_text((tmp_path / "best_program.txt").read_text())
    assert program.instructions("Predict") == Program.from_text(start.read_text()).instructions("Predict")
    assert len(program.instructions("Learn")) >= 3


@pytest.mark.slow
def test_a_damaged_network_is_repaired(tmp_path, cache):
    """As the release's integration test of nonlinear tasks, whose network ends at 0.99968."""
    flags = [f"--flagfile={ROOT / 'scripts' / 'flagfiles' / 'repair_neural_net.flags'}", f"--output_dir={tmp_path}"]
    evolve(*flags, "--random_seed=1", cache)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["final_fitness"] > 0.999
    assert re.search("gaussian|uniform", (tmp_path / "best_program.txt").read_text())


@pytest.mark.slow
def test_linear_regression_is_discovered(tmp_path, cache):
    evolve(f"--flagfile={LINEAR_DEMO}", f"--output_dir={tmp_path}", "--random_seed=5", cache)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["final_fitness"] > 0.9999
