"""Runs as a library: what is checked before anything is touched, and what is on disk however they end."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import signal
import threading

import numpy as np
import pytest
from test_files import strict
from test_islands import settings

import azero_jax as az
from azero_jax import checkpoint, experiment, repetition, run_state, stages
from azero_jax.commands import evaluate
from azero_jax.interrupts import Interrupts
from azero_jax.reporting import Reporter

# All stages have as many tasks and examples, so that one machine is compiled for all.
SELECT = (
    "scalar_linear_regression:features_size=3,num_tasks=4,num_train_examples=20,num_valid_examples=10,data_seeds=50"
)
FINAL = SELECT.replace("data_seeds=50", "data_seeds=70")
SETTINGS = dataclasses.replace(settings(1, max_individuals=600), select_tasks=SELECT, final_tasks=FINAL)


def run(directory, some=SETTINGS, **arguments):
    """What a run returns and prints."""
    stream = io.StringIO()
    arguments = {"progress_every": 200, "reporter": Reporter(pathlib.Path(directory), stream)} | arguments
    return az.run(some, output_dir=str(directory), **arguments), stream.getvalue()


def content(directory):
    """All that is in a directory, byte by byte."""
    return {path: path.read_bytes() for path in sorted(pathlib.Path(directory).rglob("*")) if path.is_file()}


def lines(directory):
    return [strict(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished run; nobody changes it."""
    directory = tmp_path_factory.mktemp("finished")
    run(directory)
    return directory


def test_files_are_strict_json_and_say_which_run_they_are_of(finished):
    result = strict((finished / "result.json").read_text())
    assert result["status"] == "finished" and result["random_seed"] == 5
    assert result["settings"]["sufficient_fitness"] == "Infinity"
    assert {line["run_id"] for line in lines(finished)} == {result["run_id"]}
    assert run_state.load(finished / "checkpoint").run_id == result["run_id"]
    assert sorted(path.name for path in finished.iterdir()) == [
        "ancestry.json", "best_program.txt", "checkpoint", "metrics.jsonl", "report.html", "result.json",
    ]  # fmt: skip


WRONG = [
    ({"settings": SETTINGS}, r"holds a run \(result\.json\): go on with it by --resume, remove it by --overwrite"),
    ({"settings": None}, "settings are missing"),
    ({"resume": True, "overwrite": True}, "expected one of them"),
    ({"overwrite": True, "num_workers": 5}, "num_workers=5: expected 0 to 1, the number of islands"),
    ({"overwrite": True, "progress_every": 0}, "progress_every=0: expected an integer of at least 1"),
    ({"overwrite": True, "checkpoint_seconds": float("nan")}, "checkpoint_seconds=nan"),
    ({"resume": True, "settings": dataclasses.replace(SETTINGS, random_seed=6)}, "random_seed was 5, now 6"),
]
WRONG_SETTINGS = [
    ({"select_tasks": "npz:path=/no/such.npz"}, r"/no/such\.npz"),
    ({"final_tasks": "npz:path=/no/such.npz"}, r"/no/such\.npz"),
    ({"final_tasks": "scalar_linear_regression:num_tasks=0"}, "num_tasks"),
    ({"final_tasks": "scalar_linear_regression:num_tasks=2"}, "have 4 features, .* have 3: expected as many"),
    ({"final_baseline": "logistic_regression"}, "logistic_regression: expected tasks with classes, got loss 'rmse'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_calls_touch_nothing(finished, arguments, message):
    before, names = content(finished), sorted(os.listdir(finished))
    arguments = {"settings": SETTINGS} | arguments
    with pytest.raises((ValueError, OSError), match=message):
        run(finished, arguments.pop("settings"), **arguments)
    assert content(finished) == before and sorted(os.listdir(finished)) == names


@pytest.mark.parametrize(("changes", "message"), WRONG_SETTINGS)
def test_tasks_of_all_stages_are_made_before_anything_is_touched(finished, tmp_path, changes, message):
    before = content(finished)
    for how in ("overwrite", "resume"):
        with pytest.raises((ValueError, OSError), match=message):
            run(finished, dataclasses.replace(SETTINGS, **changes), **{how: True})
    assert content(finished) == before
    with pytest.raises((ValueError, OSError), match=message):
        run(tmp_path / "new" / "run", dataclasses.replace(SETTINGS, **changes))
    assert not list(tmp_path.iterdir())


def test_a_probe_that_is_too_long_touches_nothing(finished):
    before = content(finished)
    search = SETTINGS.islands[0].search
    search = dataclasses.replace(search, equivalence=dataclasses.replace(search.equivalence, num_train_examples=21))
    wrong = dataclasses.replace(SETTINGS, islands=(dataclasses.replace(SETTINGS.islands[0], search=search),))
    with pytest.raises(ValueError, match="fec_num_train_examples=21: expected at most 20"):
        run(finished, wrong, overwrite=True)
    assert content(finished) == before


def test_features_may_differ_where_both_specifications_say_so(tmp_path):
    other = FINAL.replace("features_size=3", "features_size=4")
    notes = stages.make(dataclasses.replace(SETTINGS, final_tasks=other)).notes
    assert len(notes) == 1 and "have 4 features" in notes[0]


def test_a_finished_run_that_is_resumed_stays_as_it_is(finished):
    before = content(finished)
    result, output = run(finished, None, resume=True)
    assert "is finished" in output and result == json.loads((finished / "result.json").read_text())
    assert content(finished) == before


def test_overwriting_removes_all_of_the_earlier_run(tmp_path):
    run(tmp_path)
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.out.tfevents.1.x").touch()
    (tmp_path / "result.json.0123456789abcdef.tmp").touch()
    (tmp_path / "mine.txt").write_text("mine")
    seen = []

    def look(record):
        seen.append((json.loads((tmp_path / "result.json").read_text()), lines(tmp_path)))
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path, dataclasses.replace(SETTINGS, random_seed=9), overwrite=True, on_report=look)
    (result, told), state = seen[0], run_state.load(tmp_path / "checkpoint")
    assert result["status"] == "running" and result["random_seed"] == 9 and result["run_id"] == state.run_id
    assert [line["individuals"] for line in told] == [200] and told[0]["run_id"] == result["run_id"]
    failed = json.loads((tmp_path / "result.json").read_text())
    assert failed["status"] == "failed" and failed["error"] == "RuntimeError: killed"
    assert not list((tmp_path / "tensorboard").iterdir()) and (tmp_path / "mine.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.tmp"))


def test_resuming_takes_everything_from_the_directory_and_says_what_changes(finished, tmp_path):
    whole, _ = run(tmp_path / "whole", dataclasses.replace(SETTINGS, max_individuals=1000))
    directory = tmp_path / "parts"
    run(directory)
    other = FINAL.replace("data_seeds=70", "data_seeds=90")
    longer = dataclasses.replace(
        SETTINGS,
        max_individuals=1000,
        final_tasks=other,
        # The same in other words.
        select_tasks="scalar_linear_regression:num_valid_examples=10,num_tasks=4,features_size=3,num_train_examples=20,"
        "num_train_epochs=1,data_seeds=50",
    )
    result, output = run(directory, longer, resume=True, progress_every=None)
    assert "resumed with another setting: max_individuals was 600, now 1000" in output
    assert [line.partition(" was ")[0] for line in result["changed_on_resume"]] == ["final_tasks", "max_individuals"]
    same = ("program", "search_fitness", "select_fitness", "individuals", "run_id")
    assert {name: result[name] for name in same} == {name: whole[name] for name in same}
    assert result["stages"]["final"]["tasks"] == other
    times = ("elapsed_seconds", "individuals_per_second")
    told = [
        [{name: value for name, value in line.items() if name not in times} for line in lines(some)]
        for some in (directory, tmp_path / "whole")
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("damage", "words", "kept"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "1 of 2 reports are missing", [200, 600]),
        (lambda path: path.unlink(), "2 of 2 reports are missing", [600]),
        (lambda path: path.write_bytes(path.read_bytes() + b'{"a'), "", [200, 400, 600]),
        (lambda path: path.write_bytes(b"\0\0\n" + path.read_bytes()), "1 damaged lines are dropped", [200, 400, 600]),
    ],
)
def test_metrics_are_whole_lines_after_any_damage(tmp_path, damage, words, kept):
    with pytest.raises(experiment.Interrupted):
        told = []
        run(tmp_path, on_report=told.append, stop_requested=lambda: len(told) == 2)
    damage(tmp_path / "metrics.jsonl")
    _, output = run(tmp_path, None, resume=True)
    assert words in output and ("missing" in output) == ("missing" in words)
    assert [line["individuals"] for line in lines(tmp_path)] == kept


def test_links_and_other_things_are_refused(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    for name in ("metrics.jsonl", "result.json", "best_program.txt", "checkpoint", "tensorboard", "run.lock"):
        directory = tmp_path / f"of_{name}"
        directory.mkdir()
        (directory / name).symlink_to(foreign)
        for how in ({}, {"overwrite": True}):
            with pytest.raises((ValueError, OSError), match=name):
                run(directory, **how)
        assert os.listdir(directory) == [name]
    assert foreign.read_text() == "mine"


def test_a_directory_is_of_one_run_at_a_time(tmp_path):
    def again(record):
        for how in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(ValueError, match=f"another run, process {os.getpid()} on .*, is writing to this"):
                run(tmp_path, **how)

    result, _ = run(tmp_path, on_report=again)
    assert result["status"] == "finished" and not (tmp_path / "run.lock").exists()


def test_ctrl_c_writes_what_the_command_writes(tmp_path):
    def press(record):
        if record["individuals"] == 200:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, on_report=press)
    assert signal.getsignal(signal.SIGINT) is before and signal.set_wakeup_fd(-1) == -1
    assert not [thread for thread in threading.enumerate() if "signals" in thread.name]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "interrupted" and result["individuals"] == 200
    az.Program.from_text((tmp_path / "best_program.txt").read_text())
    assert run_state.load(tmp_path / "checkpoint").individuals == 200
    assert run(tmp_path, None, resume=True)[0]["status"] == "finished"


def test_a_keyboard_interrupt_from_elsewhere_in_another_thread(tmp_path):
    """As a handler of somebody's own, or an executor, raises it in the middle of a step."""
    raised = []

    def press(record):
        raise KeyboardInterrupt

    def work():
        try:
            run(tmp_path, on_report=press)
        except KeyboardInterrupt as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "interrupted"
    assert run(tmp_path, None, resume=True)[0]["program"] == run(tmp_path / "whole")[0]["program"]


def test_output_that_nobody_reads_ends_a_run_like_ctrl_c(tmp_path):
    class Pipe(io.StringIO):
        def write(self, text):
            if text.startswith("indivs=400"):
                raise BrokenPipeError(32, "Broken pipe")
            return super().write(text)

    with pytest.raises(experiment.Interrupted, match="nobody reads the output"):
        run(tmp_path, reporter=Reporter(tmp_path, Pipe()))
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "interrupted"
    assert run_state.load(tmp_path / "checkpoint").individuals == 400


def test_an_interrupt_before_the_first_step_can_be_resumed(tmp_path):
    signals = Interrupts(lambda text: None, end_at_second=False)
    told = []

    class Terminal(io.StringIO):
        def write(self, text):
            told.append(text)
            return len(text)

    real = stages.make

    def made(some):
        found = real(some)
        signals.number = signal.SIGINT
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "make", made)
        with pytest.raises((experiment.Interrupted, KeyboardInterrupt)):
            run(tmp_path, signals=signals, reporter=Reporter(tmp_path, Terminal()))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "interrupted" and result["program"] is None and result["individuals"] == 0
    assert run(tmp_path, None, resume=True)[0]["program"] == run(tmp_path / "whole")[0]["program"]


# Seeds of random ops.


def test_each_stage_has_its_own_seed_and_every_score_can_be_repeated(tmp_path):
    search = SETTINGS.islands[0].search
    ops = ("SCALAR_GAUSSIAN_SET",)
    space = dataclasses.replace(search.space, setup_ops=ops, predict_ops=ops, learn_ops=ops)
    program = tmp_path / "start.txt"
    program.write_text("def Predict():\n  s1 = gaussian(0.0, 0.5)\n")
    evolution = dataclasses.replace(search.evolution, initial_population=str(program), mutate_prob=0.0)
    search = dataclasses.replace(
        search,
        space=space,
        evolution=evolution,
        fitness_combination="median",
        evaluation=dataclasses.replace(search.evaluation, max_abs_error=50.0),
    )
    some = dataclasses.replace(
        SETTINGS,
        islands=(dataclasses.replace(SETTINGS.islands[0], search=search),),
        randomize_task_seeds=True,
        max_experiments=2,
        max_individuals=100,
        final_tasks=SETTINGS.select_tasks,
    )
    directory = tmp_path / "run"
    result, _ = run(directory, some)
    seeds = [result["stages"][stage]["random_op_seed"] for stage in stages.STAGES]
    assert seeds[0] == some.random_seed and len(set(seeds)) == 3
    scores = repetition.repeat(directory)
    assert [score.name for score in scores] == list(stages.STAGES)
    assert all(score.is_same for score in scores) and len({score.reported for score in scores}) == 3
    # By hand, from what the file says.
    stage = result["stages"]["final"]
    evaluator = az.Evaluator(az.make_tasks(stage["tasks"]), max_abs_error=50, seed=stage["random_op_seed"])
    assert evaluator.evaluate([az.Program.from_text(result["program"])]).fitness.mean() == result["final_fitness"]


def test_drawn_seeds_are_those_of_make_tasks():
    for spec in (FINAL, "scalar_affine_regression", "scalar_linear_regression:data_seeds=1+2,param_seeds=3"):
        text = stages.with_drawn_seeds(spec, np.random.default_rng(3))
        one, other = az.make_tasks(text), az.make_tasks(spec, random_seeds=np.random.default_rng(3))
        assert (one.train_features == other.train_features).all() and (one.valid_labels == other.valid_labels).all()


def test_a_result_that_was_changed_is_not_the_same(finished, tmp_path, capsys):
    result = json.loads((finished / "result.json").read_text())
    assert evaluate.repeat(finished) == 0
    output = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in output] == ["stage", *stages.STAGES, "same"]
    assert all(line.split()[1] == line.split()[2] and line.endswith("same") for line in output[1:4])
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result | {"final_fitness": result["final_fitness"] + 1e-12}))
    assert [score.is_same for score in repetition.repeat(tmp_path)] == [True, True, False]
    for wrong in ("", "[]", "{}", json.dumps(result | {"stages": 5}), json.dumps(result | {"program": None})):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"result\.json: "):
            repetition.repeat(path)
    assert checkpoint.exist(finished / "checkpoint")
