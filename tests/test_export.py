"""Exported programs against the evaluator, of all modules of the folder."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from generated import classification_tasks, multiclass_tasks, random_population, regression_tasks

from azero_jax import (
    Evaluator,
    Learner,
    MemorySize,
    Program,
    draws,
    ops,
    register_op,
    simplify,
    to_jax,
    to_jax_source,
    to_latex,
    to_onnx,
    to_python,
)
from azero_jax.execution import precision
from azero_jax.export import numpy_helpers
from azero_jax.export.forms import FORMS
from azero_jax.initial_programs import LINEAR, NEURAL_NET

MEMORY = MemorySize(6, 5, 4)


def python_model(program, **settings):
    """An object of the class that is exported."""
    names: dict = {}
    exec(compile(to_python(program, **settings), "exported", "exec"), names)
    return names["Model"]()


def python_predictions(program, tasks, nudge=0.0, **settings):
    """Raw predictions of validation examples of the first task; None where training stopped."""
    model = python_model(program, loss=tasks.loss, **settings)
    try:
        model.fit(tasks.train_features[0] * (1 + nudge), tasks.train_labels[0])
    except ArithmeticError:
        return None
    return model.raw_predictions(tasks.valid_features[0] * (1 + nudge))


def jax_predictions(program, tasks, **settings):
    """As `python_predictions`."""
    functions = to_jax(program, loss=tasks.loss, num_classes=tasks.num_classes, dtype="float64", **settings)
    state = functions.train(functions.setup(tasks.features_size), tasks.train_features[0], tasks.train_labels[0])
    if state["failed"]:
        return None
    return np.asarray(functions.predict(state, tasks.valid_features[0]))


def jax_source_predictions(program, tasks, **settings):
    """As `jax_predictions`, of the module that is exported."""
    module: dict = {}
    exec(compile(to_jax_source(program, loss=tasks.loss, **settings), "exported", "exec"), module)
    sizes = (tasks.features_size, tasks.num_classes)[: 1 + (tasks.loss == "multiclass_accuracy")]
    with precision("float64"):
        state = module["train"](module["setup"](*sizes), tasks.train_features[0], tasks.train_labels[0])
        return None if state["failed"] else np.asarray(module["predict"](state, tasks.valid_features[0]))


def agree(one, other):
    """Whether predictions are the same within 1e-6."""
    if one is None or other is None:
        return one is other
    return np.allclose(one, other, rtol=1e-6, atol=1e-6, equal_nan=True)


def check(tasks, population, exported, least):
    """Compares exported programs with the evaluator; those may differ whose numbers hang on the last bit."""
    evaluator = Evaluator(tasks, memory=MEMORY, dtype="float64")
    expected = evaluator.predictions(population)[:, 0]
    failed = evaluator.evaluate(population).fitness[:, 0] == 0
    compared = 0
    for program, wanted, stopped in zip(population, expected, failed):
        measured = exported(program, tasks, memory=MEMORY)
        if stopped and tasks.loss == "rmse":
            # In training, or by an error in validation, which only an evaluator looks at.
            assert measured is None or not (np.abs(measured - tasks.valid_labels[0]) <= 100).all(), program
            continue
        if stopped and measured is None:
            continue
        if tasks.loss == "accuracy" and measured is not None and exported is python_predictions:
            with np.errstate(over="ignore"):
                measured = 1 / (1 + np.exp(-measured))
        compared += 1
        if not agree(measured, wanted):
            # The same program with features changed by a rounding error has other numbers, too.
            nudged = [python_predictions(program, tasks, nudge, memory=MEMORY) for nudge in (3e-16, -3e-16, 1e-15)]
            own = python_predictions(program, tasks, memory=MEMORY)
            assert not all(agree(own, other) for other in nudged), program
    assert compared >= least


def tasks_of(features_size):
    return regression_tasks(num_tasks=1, features_size=features_size)


@pytest.mark.thorough
def test_python_agrees_with_the_evaluator():
    population = random_population(60, memory=MEMORY, seed=11)  # random ops, too
    check(tasks_of(4), population, python_predictions, least=40)


@pytest.mark.thorough
def test_jax_agrees_with_the_evaluator():
    population = random_population(4, memory=MEMORY, seed=12)
    check(tasks_of(4), population, jax_predictions, least=2)


@pytest.mark.thorough
def test_the_jax_source_agrees_with_the_evaluator():
    population = random_population(4, memory=MEMORY, seed=12)
    check(tasks_of(4), population, jax_source_predictions, least=2)


@pytest.mark.slow
@pytest.mark.parametrize("features_size", [2, 4, 16])
def test_1000_programs_agree(features_size):
    population = random_population(1000, memory=MEMORY, seed=13, random_ops=False)
    check(tasks_of(features_size), population, python_predictions, least=700)
    check(tasks_of(features_size), population.take(np.arange(0, 1000, 4)), jax_predictions, least=180)
    check(tasks_of(features_size), population.take(np.arange(1, 1000, 4)), jax_source_predictions, least=180)


@pytest.mark.slow
@pytest.mark.parametrize("make_tasks", [classification_tasks, multiclass_tasks])
@pytest.mark.parametrize("exported", [python_predictions, jax_predictions, jax_source_predictions])
def test_classes_agree(make_tasks, exported):
    tasks = make_tasks(num_tasks=1)
    population = random_population(100, memory=MEMORY, seed=14, vector_labels=tasks.vector_labels)
    check(tasks, population, exported, least=70)


@pytest.mark.parametrize("loss", ["accuracy", "multiclass_accuracy"])
def test_classes_of_python_and_jax_are_the_same(loss):
    tasks = (classification_tasks if loss == "accuracy" else multiclass_tasks)(num_tasks=1)
    text = LINEAR if loss == "accuracy" else (
        "def Setup():\n s2 = 0.1\ndef Predict():\n v2 = dot(m1, v0)\n"
        "def Learn():\n v3 = v1 - v2\n v3 = s2 * v3\n m2 = outer(v3, v0)\n m1 = m1 + m2\n"
    )  # fmt: skip
    program = Program.from_text(text)
    model = python_model(program, loss=loss).fit(tasks.train_features[0], tasks.train_labels[0])
    x, y = tasks.valid_features[0], tasks.valid_labels[0]
    measured = jax_predictions(program, tasks)
    probabilities = model.predict_proba(x)
    assert np.mean(model.predict(x) == y) > 0.6
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    if loss == "accuracy":
        np.testing.assert_allclose(probabilities[:, 1], measured, rtol=1e-9)
    else:
        np.testing.assert_array_equal(model.predict(x), np.argmax(measured, axis=1))
    np.testing.assert_allclose(jax_source_predictions(program, tasks), measured, rtol=1e-9)


def test_random_numbers_are_those_of_the_machine():
    key, step = 0xDEADBEEF, 4_000_000_123
    bits = draws.random_bits(jnp.uint32(key), jnp.uint32(step), jnp.zeros(1, jnp.uint32), 12)
    uniform = np.asarray(draws.uniform(bits, np.dtype("float32")))[:, 0]
    np.testing.assert_array_equal(numpy_helpers.uniform(key, step, 3, 4).ravel(), uniform)
    normal = np.asarray(draws.gaussian(bits, np.dtype("float32")))[:, 0]
    np.testing.assert_allclose(numpy_helpers.gaussian(key, step, 12), normal, rtol=1e-4, atol=1e-6)


def test_python_is_readable_and_needs_numpy_alone():
    source = to_python(Program.from_text(LINEAR + "  s9 = s3 * s3\n"), name="Linear")
    assert "class Linear:" in source
    for line in ("self.s1 = dot(self.v1, v0)", "s0 = label", "s3 = s0 - self.s1"):
        assert f"        {line}\n" in source
    assert "s9" not in source and "gaussian" not in source
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import copy", "import numpy as np"]


def test_a_model_in_python_stays_as_it_is():
    counts = Program.from_text("def Setup():\n s3 = 1.0\ndef Predict():\n s2 = s2 + s3\n s1 = s2 + s4\n"
                               "def Learn():\n s4 = s0 - s1\n")  # fmt: skip
    model = python_model(counts).fit(np.zeros((3, 2)), np.ones(3))
    first = model.predict(np.zeros((4, 2)))
    assert (np.diff(first) == 1).all()
    np.testing.assert_array_equal(model.predict(np.zeros((4, 2))), first)
    with pytest.raises(ValueError, match=r"expected shape \[n, 2\]"):
        model.predict(np.zeros((4, 3)))
    with pytest.raises(ArithmeticError, match="epoch 1, row 1"):
        model.fit(np.zeros((3, 2)), [1, 1000, 1])


def test_every_op_has_its_forms():
    with_functions = {op.name for op in ops.table()[: ops.NUM_BUILT_IN_OPS] if op.function is not None}
    assert set(FORMS) == with_functions


def program_of(*some):
    """A program that predicts the sine of the sum of what ops make of the features and of what was learned."""
    setup = "def Setup():\n v2 = gaussian(0.3, 0.1, n_features)\n m2 = gaussian(0.3, 0.1, (n_features, n_features))\n"
    setup += " s4 = 0.1\n"
    predict = " v1 = s4 * v0\n s2 = norm(v1)\n s3 = mean(v1)\n m1 = outer(v1, v2)\n s1 = s4 + s0\n"
    addresses = {"s": (2, 3), "v": (1, 2), "m": (1, 2)}
    for op in some:
        a, b = (addresses[kind][place] for place, kind in enumerate((op.inputs + "ss")[:2]))
        result = {"s": "", "v": " s5 = norm(v3)\n", "m": " s5 = norm(m3)\n"}[op.output]
        out = {"s": 5, "v": 3, "m": 3}[op.output]
        line = op.form.format(a=a, b=b, o=out, x=0.25, y=0.5, z=0.75)
        clear = {"s": "", "v": " v3 = v1 + v2\n", "m": " m3 = m1 + m2\n"}[op.output] if op.writes_one_element else ""
        predict += f"{clear} {line}\n{result} s1 = s1 + s5\n"
    return Program.from_text(f"{setup}def Predict():\n{predict} s1 = sin(s1)\n")


@pytest.mark.thorough
def test_jax_source_of_every_op():
    program = program_of(*ops.table()[1 : ops.NUM_BUILT_IN_OPS])
    tasks = tasks_of(4)
    expected = python_predictions(program, tasks, memory=MEMORY)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(jax_source_predictions(program, tasks, memory=MEMORY), expected, rtol=1e-12)


def test_the_jax_source_needs_jax_alone():
    source = to_jax_source(Program.from_text(LINEAR + "  s9 = s3 * s3\n"))
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["import jax", "import jax.numpy as jnp"]
    for line in ('s2 = state["s2"]', "s0 = label", "s3 = s0 - s1", 'return state | {"v1": v1}'):
        assert f"    {line}\n" in source
    assert "s9" not in source and max(map(len, source.splitlines())) <= 100


def test_latex_of_every_op():
    for op in ops.table()[1 : ops.NUM_BUILT_IN_OPS]:
        program = program_of(op)
        latex = to_latex(program)
        assert latex.startswith("\\begin{aligned}\n") and latex.endswith("\n\\end{aligned}\n")
        assert latex.count("{") == latex.count("}") and latex.count("\\left") == latex.count("\\right") + latex.count(
            "\\leftarrow"
        ), op.name
        lines = simplify(program).to_text().count("=")
        assert latex.count("\\quad") == lines - program.to_text().count("axis="), op.name
    latex = to_latex(Program.from_text(NEURAL_NET), loss="accuracy")
    assert r"\mathbf{v}_{2} \sim \mathcal{N}\left(0, {0.1}^{2}\right)^{F}" in latex
    assert r"\mathbf{v}_{3} \leftarrow \mathbf{M}_{0}\,\mathbf{x}" in latex
    assert r"s_{4} \leftarrow y - \hat{y}" in latex


@pytest.mark.thorough
def test_onnx_of_every_op():
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    tasks = tasks_of(4)
    x, y, new_x = tasks.train_features[0] * 0.3, tasks.train_labels[0], tasks.valid_features[0] * 0.3
    for op in ops.table()[1 : ops.NUM_BUILT_IN_OPS]:
        learner = Learner(program_of(op), memory=MEMORY, max_abs_error=1e30).fit(x, y)
        if op.draws:
            with pytest.raises(ValueError, match="draws random numbers"):
                to_onnx(learner)
            continue
        session = runtime.InferenceSession(to_onnx(learner).SerializeToString(), providers=["CPUExecutionProvider"])
        measured = session.run(None, {"X": new_x.astype(np.float32)})[0]
        np.testing.assert_allclose(measured, learner.predict(new_x), rtol=1e-4, atol=1e-4, err_msg=op.name)


@pytest.mark.parametrize("loss", ["accuracy", pytest.param("multiclass_accuracy", marks=pytest.mark.slow)])
def test_onnx_of_classes(loss):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    tasks = (classification_tasks if loss == "accuracy" else multiclass_tasks)(num_tasks=1)
    text = NEURAL_NET if loss == "accuracy" else (
        "def Setup():\n s2 = 0.1\ndef Predict():\n v2 = dot(m1, v0)\n"
        "def Learn():\n v3 = v1 - v2\n v3 = s2 * v3\n m2 = outer(v3, v0)\n m1 = m1 + m2\n"
    )  # fmt: skip
    learner = Learner(Program.from_text(text), loss=loss).fit(tasks.train_features[0], tasks.train_labels[0])
    session = runtime.InferenceSession(to_onnx(learner).SerializeToString(), providers=["CPUExecutionProvider"])
    x = tasks.valid_features[0]
    label, probabilities = session.run(None, {"X": x.astype(np.float32)})
    np.testing.assert_array_equal(label, learner.predict(x))
    np.testing.assert_allclose(probabilities, learner.predict_proba(x), atol=1e-5)


def test_onnx_of_a_predict_that_keeps_something():
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    tasks = tasks_of(4)
    keeps = Program.from_text(LINEAR.replace("def Learn", "  s3 = s3 + s2\n  s1 = s1 + s3\ndef Learn"))
    learner = Learner(keeps, memory=MEMORY).fit(tasks.train_features[0], tasks.train_labels[0])
    with pytest.raises(ValueError, match="Predict keeps s3 from one row to the next"):
        to_onnx(learner)
    model = to_onnx(learner, independent=True).SerializeToString()
    x = tasks.valid_features[0]
    (measured,) = runtime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"X": np.float32(x)})
    assert not np.allclose(learner.predict(x), learner.predict(x, independent=True))
    np.testing.assert_allclose(measured, learner.predict(x, independent=True), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_exported_is_named():
    tasks = tasks_of(4)
    keeps = Program.from_text("def Setup():\n s3 = 0.1\ndef Predict():\n s2 = s2 + s3\n s1 = s2 * s3\n")
    learner = Learner(keeps, memory=MEMORY).fit(tasks.train_features[0], tasks.train_labels[0])
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="Predict keeps s2 from one row to the next"):
        to_onnx(learner)
    for export in (to_python, to_jax, to_jax_source, to_latex):
        with pytest.raises(ValueError, match="loss='mse'"):
            export(keeps, loss="mse")
        with pytest.raises(TypeError, match="expected a Program, got 'def Setup"):
            export(LINEAR)
    with pytest.raises(ValueError, match="name='for'"):
        to_python(keeps, name="for")
    before = list(ops._table)
    try:
        register_op("twice", "s", "s", lambda s: s + s)
        own = Program.from_text("def Predict():\n s1 = twice(s0)\n s1 = twice(s1)\n")
        with pytest.raises(ValueError, match="op 'twice' has no such form"):
            to_python(own)
        assert r"\operatorname{twice}\left(\hat{y}\right)" in to_latex(own)
    finally:
        ops._table[:] = before
