"""The paper's experiments, each in a form of seconds."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from doors import run_script

ROOT = pathlib.Path(__file__).parent.parent
NO_PROBES = "--fec_num_train_examples=0"  # for which a second machine is compiled


def reproduce(*arguments, code=0, timeout=300):
    return run_script("reproduce", *arguments, code=code, timeout=timeout)


@pytest.mark.parametrize("name", [pytest.param("figure4_linear", marks=pytest.mark.slow), "figure4_affine"])
def test_evolution_against_random_search(tmp_path, name):
    done = reproduce(name, "--repeats=3", "--max_individuals=2000", f"--output_dir={tmp_path}")
    kept = json.loads((tmp_path / f"{name}.json").read_text())
    assert kept["experiments"] == 3 and kept["programs"] == 6000
    assert set(kept["successes"]) == {"evolution", "random search"}
    assert "| programs of each | - | 6,000 |" in done.stdout


def test_an_easy_search_succeeds(tmp_path):
    """With one line of Learn to find, both searches do, and each experiment counts once."""
    start = tmp_path / "start.txt"
    start.write_text("def Setup():\n s2 = 0.01\ndef Predict():\n s1 = dot(v1, v0)\ndef Learn():\n")
    easy = [
        "--learn_ops=",
        "--setup_ops=SCALAR_CONST_SET",
        "--setup_size_init=1",
        "--initial_population=linear",
        "--max_individuals=1000",
    ]
    reproduce("figure4_linear", "--repeats=2", *easy, f"--output_dir={tmp_path}")
    kept = json.loads((tmp_path / "figure4_linear.json").read_text())
    assert kept["successes"]["evolution"] == 2 < kept["successes"]["random search"]
    low, high = kept["ratio_95_percent"]
    assert low < kept["ratio"] < high


@pytest.mark.slow
def test_digits_beside_tuned_models(tmp_path):
    few = "features_size=4,num_train_examples=40,num_valid_examples=20,num_tasks=6"
    done = reproduce(
        "digits",
        NO_PROBES,
        "--repeats=2",
        "--max_individuals=1000",
        "--trials=20",
        "--most_trials=30",
        *(f"--{name}_tasks=projected_digits:{few},pairs={name}" for name in ("search", "select", "final")),
        "--random_seed=5",
        f"--output_dir={tmp_path}",
    )
    kept = json.loads((tmp_path / "digits.json").read_text())
    assert set(kept["final"]) == {
        *(f"evolved, seed {seed}, {form}" for seed in (5, 6) for form in ("as found", "tuned")),
        "linear by optax",
        "neural_net by optax",
    }
    assert len(kept["transfer"]) == 2
    assert "evolved and tuned, over 2 seeds" in done.stdout and "def Predict" in done.stdout


@pytest.mark.slow
def test_equal_budgets_with_and_without_equivalence(tmp_path):
    few = "features_size=4,num_train_examples=40,num_valid_examples=20,num_tasks=6"
    done = reproduce(
        "table_s5",
        "--repeats=1",
        "--trials=20",
        "--max_train_steps=200000",
        *(f"--{name}_tasks=projected_digits:{few},pairs={name}" for name in ("search", "select")),
        f"--output_dir={tmp_path}",
    )
    kept = json.loads((tmp_path / "table_s5.json").read_text())
    assert len(kept["Basic"]) == len(kept["Full"]) == 1
    assert "| Full | 0.684 ± 0.003, 3 %, 0 % |" in done.stdout


@pytest.mark.slow
def test_learning_rules_from_one_teacher_and_from_many(tmp_path):
    few = "scalar_2layer_nn_regression:features_size=4,num_train_examples=50,num_valid_examples=20"
    done = reproduce(
        "backprop",
        NO_PROBES,
        "--repeats=1",
        "--max_individuals=2000",
        f"--search_tasks={few},num_tasks=4",
        f"--final_tasks={few},num_tasks=8,param_seeds=5",
        f"--output_dir={tmp_path}",
    )
    kept = json.loads((tmp_path / "backprop.json").read_text())
    assert set(kept) == {"D=1", "D=4", "no_op", "neural_net"}
    assert "| D=1 |" in done.stdout


@pytest.mark.slow
def test_adaptations_of_every_kind(tmp_path):
    done = reproduce(
        "adaptations", "--repeats=1", "--trials=5", "--max_train_steps=200000", f"--output_dir={tmp_path}", timeout=900
    )
    kept = json.loads((tmp_path / "adaptations.json").read_text())
    assert set(kept) == {"as usual", "few examples", "fast training", "ten classes"}
    for scores in kept.values():
        assert sum(scores["start"]) / len(scores["start"]) > 0.6
        assert len(scores["evolved"]) == len(scores["programs"]) == 1
    assert "| ten classes | 10 classes, from a network | softmax_regression |" in done.stdout


@pytest.mark.slow
def test_one_kind_of_adaptation(tmp_path):
    few = ["--kinds=ten classes", NO_PROBES, "--repeats=1", "--trials=5", "--max_train_steps=50000"]
    done = reproduce("adaptations", *few, f"--output_dir={tmp_path}")
    assert "| ten classes | 10 classes, from a network | softmax_regression |" in done.stdout
    assert "unknown kind 'eleven classes'" in reproduce("adaptations", "--kinds=eleven classes", code=2).stderr


def test_an_interrupt_keeps_what_there_is(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "figure4_linear", "--repeats=20"]
    process = subprocess.Popen(
        [*command, "--max_individuals=2000", f"--output_dir={tmp_path}"], stderr=subprocess.PIPE, text=True
    )
    kept = tmp_path / "figure4_linear.json"
    deadline = time.monotonic() + 120
    while not kept.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert json.loads(kept.read_text())["programs"] >= 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figure5"], "unknown experiment 'figure5', expected one of"),
        ([], "no experiment, expected one of"),
        (["digits", "--repeats=0"], "repeats"),
        (["digits", "--tournament_size=0"], "tournament_size=0: expected 1 to"),
        (["digits", "--output_dir=/proc/nothing"], "/proc/nothing"),
        (["digits", "--resume"], "--resume is of evolve"),
        (["digits", "--num_workers=9"], "num_workers=9: expected 0 to 4, the number of islands"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    done = reproduce(*arguments, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
