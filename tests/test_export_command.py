"""azero export: programs of runs and files in all formats, as a user would call it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import runpy
import shutil

import numpy as np
import pytest
from doors import run_azero

import azero_jax as az
from azero_jax import stages
from azero_jax.initial_programs import LINEAR

ROOT = pathlib.Path(__file__).parent.parent
EPOCHS = 3


@pytest.fixture
def demo(tmp_path_factory):
    """A directory as a run of the demo leaves it; that real ones look like this is tested below."""
    directory = tmp_path_factory.mktemp("runs") / "demo"
    directory.mkdir()
    described = stages.describe(dataclasses.replace(az.settings_from_flagfile("linear_demo"), random_seed=14), 1, 0)
    result = {"program": LINEAR, "status": "finished", "trivial": False}
    result |= {"stages": {name: dataclasses.asdict(how) for name, how in described.items()}}
    (directory / "result.json").write_text(json.dumps(result))
    (directory / "best_program.txt").write_text(az.Program.from_text(LINEAR).to_text())
    return directory


@pytest.fixture
def table(tmp_path):
    """A table of 60 rows whose label is words, with columns of different sizes, and its features and labels."""
    x = np.random.default_rng(0).standard_normal((60, 4)) * [1, 10, 100, 0.1] + 3
    labels = np.where(x[:, 1] > 3, "yes", "no")
    rows = [",".join([label, *(f"{value:.6g}" for value in row)]) for row, label in zip(x, labels)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["kind,a,b,c,d", *rows]) + "\n")
    return path, x, labels


def test_a_run_becomes_python_and_jax(demo, tmp_path):
    rng = np.random.default_rng(1)
    x, new_x = rng.standard_normal((50, 4)), rng.standard_normal((7, 4))
    y = x @ [1.0, -2.0, 0.5, 0.0]
    weights = np.zeros(4)
    for row, label in zip(x, y):  # what the program does
        weights += 0.01 * (label - row @ weights) * row
    expected = new_x @ weights
    for arguments in (["--output=model.py"], ["--format=jax", "--output=model_in_jax.py"]):
        path = tmp_path / arguments[-1].removeprefix("--output=")
        done = run_azero("export", demo, *arguments[:-1], f"--output={path}")
        assert f"{path}: " in done.stdout and not done.stderr
        names = runpy.run_path(str(path))
        if "Model" in names:
            np.testing.assert_allclose(names["Model"]().fit(x, y).predict(new_x), expected, rtol=1e-9)
        else:
            state = names["train"](names["setup"](4), x, y)
            np.testing.assert_allclose(names["predict"](state, new_x), expected, rtol=1e-3, atol=1e-3)


def test_text_and_latex_are_printed(demo):
    assert run_azero("export", demo, "--format=text").stdout == (demo / "best_program.txt").read_text()
    latex = run_azero("export", demo / "best_program.txt", "--format=latex").stdout
    assert latex == az.to_latex(az.Program.from_text((demo / "best_program.txt").read_text()))


@pytest.mark.thorough
def test_flags_of_python(demo):
    named = run_azero("export", "neural_net", "--class_name=Net", "--loss=accuracy").stdout
    assert "class Net:" in named and "def predict_proba" in named


def test_a_model_in_onnx_predicts_from_the_columns_of_the_table(table, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path, x, labels = table
    program, output = tmp_path / "linear.txt", tmp_path / "model.onnx"
    program.write_text(LINEAR)
    done = run_azero("export", program, f"--data={path}", "--label=kind", f"--epochs={EPOCHS}", f"--output={output}")
    assert f"trained on 60 rows, {EPOCHS} times: on the same rows" in done.stderr
    session = runtime.InferenceSession(output.read_bytes(), providers=["CPUExecutionProvider"])
    label, probabilities = session.run(None, {"X": x.astype(np.float32)})
    assert set(label) == {"yes", "no"} and np.mean(label == labels) > 0.9
    np.testing.assert_array_equal(label == "yes", probabilities[:, 1] > 0.5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["features"]) == ["a", "b", "c", "d"]


@pytest.mark.thorough
def test_a_run_is_trained_on_its_own_table(tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path, output = tmp_path / "mine.csv", tmp_path / "model.onnx"
    shutil.copy(ROOT / "examples" / "houses.csv", path)
    # As in test_first_quarter.py, which so shares the compiled machine.
    small = ["--max_individuals=300", "--num_islands=1", "--random_seed=1", "--final_baseline="]
    small += ["--setup_ops=SCALAR_CONST_SET", "--predict_ops=VECTOR_INNER_PRODUCT"]
    small += ["--learn_ops=SCALAR_DIFF,SCALAR_PRODUCT,SCALAR_VECTOR_PRODUCT,VECTOR_SUM"]
    run_azero("evolve", f"--data={path}", "--label=price", f"--output_dir={tmp_path / 'run'}", *small)
    run_azero("export", tmp_path / "run", f"--output={output}")
    session = runtime.InferenceSession(output.read_bytes(), providers=["CPUExecutionProvider"])
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
    (predicted,) = session.run(["prediction"], {"X": table[:, :3]})
    assert np.corrcoef(predicted, table[:, 3])[0, 1] > 0.9 and abs(predicted.mean() - table[:, 3].mean()) < 20
    # Elsewhere now, with the same columns.
    path.rename(tmp_path / "moved.csv")
    gone = run_azero("export", tmp_path / "run", f"--output={output}", "--overwrite", code=2).stderr
    assert "mine.csv" in gone and "--data=FILE says where the table is" in gone
    run_azero("export", tmp_path / "run", f"--output={output}", "--overwrite", f"--data={tmp_path / 'moved.csv'}")


@pytest.mark.thorough
def test_a_run_of_made_tasks_is_trained_on_one(demo, tmp_path):
    pytest.importorskip("onnx")
    done = run_azero("export", demo, f"--output={tmp_path / 'model.onnx'}")
    assert "trained on the first of the tasks scalar_linear_regression:features_size=4" in done.stderr


def fails(message, *arguments):
    """Checks that a call is refused in one line."""
    errors = run_azero("export", *arguments, code=2).stderr
    assert errors.startswith("azero export: error: ") and message in errors and errors.count("\n") == 1, errors


def test_a_file_that_is_there_stays(demo, tmp_path):
    there = tmp_path / "there.py"
    there.write_text("mine")
    fails("there is such a file: --overwrite replaces it", demo, f"--output={there}")
    assert there.read_text() == "mine"
    run_azero("export", demo, f"--output={there}", "--overwrite")
    assert "class Model:" in there.read_text() and [path.name for path in tmp_path.iterdir()] == ["there.py"]


def test_data_is_for_onnx_and_onnx_for_data(demo, tmp_path):
    text, onnx = demo / "best_program.txt", f"--output={tmp_path / 'm.onnx'}"
    fails("a model is trained: --data=mine.csv --label=price says on what", text, onnx)
    fails("--data is for --format=onnx, a trained model", text, "--data=mine.csv")


@pytest.mark.thorough
def test_wrong_input_is_one_line(demo, tmp_path):
    text = demo / "best_program.txt"
    fails("expected an ending of .py, .tex, .onnx, .txt, or --format", demo, f"--output={tmp_path / 'model.xyz'}")
    fails("expected a file in a directory that exists", demo, f"--output={tmp_path / 'no' / 'model.py'}")
    fails("--format=onnx: expected --output=FILE", demo, "--format=onnx")
    fails("2 arguments that are no flags: expected one", demo, demo)
    fails("no result.json in it: expected the output directory of a run", tmp_path)
    fails("missing.txt", tmp_path / "missing.txt")
    fails("--label is about --data, which is missing", text, "--label=price", f"--output={tmp_path / 'm.onnx'}")
    fails("loss='mse': expected one of", text, "--loss=mse")
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_program_says_so(demo, tmp_path):
    (tmp_path / "run").mkdir()
    result = json.loads((demo / "result.json").read_text()) | {"program": None, "status": "running"}
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    fails("no program yet: the run is running", tmp_path / "run")
    (tmp_path / "run" / "best_program.txt").write_text(LINEAR)
    assert "s1 = dot(v1, v0)" in run_azero("export", tmp_path / "run", "--format=text").stdout
