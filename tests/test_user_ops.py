"""Ops of users' own: what is refused when they are registered, what works, and how they go."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from generated import regression_tasks

import azero_jax as az
from azero_jax import mutation, ops

pytestmark = pytest.mark.usefixtures("restore_table")


def branches(s):
    return s if s > 0 else -s


def fails(s):
    raise RuntimeError("no such luck")


FUNCTIONS = {
    "if": (("s", "s", branches), "TracerBoolConversionError: .*jnp.where instead of `if`"),
    "raises": (("s", "s", fails), "RuntimeError: no such luck"),
    "numpy": (("v", "s", lambda v: np.sum(np.sin(v))), "TracerArrayConversionError"),
    "for three features": (("v", "v", lambda v: v.reshape(3)), "for F=5 in float32: TypeError"),
    "another shape": (("v", "m", lambda v: jnp.zeros((3, 3))), r"shape \(3, 3\) for F=5, expected \(5, 5\)"),
    "complex": (("s", "s", lambda s: s * 1j), "returned complex64, expected real numbers"),
    "two results": (("s", "s", lambda s: (s, s)), "returned shape .* expected"),
    "nothing": (("s", "s", lambda s: None), "returned shape None"),
    "too few arguments": (("ss", "s", lambda s: s), "TypeError"),
    "no function": (("s", "s", 5), "5: expected a function"),
    "inputs": ((("s", "v"), "s", jnp.dot), "inputs"),
    "output": (("s", None, jnp.sin), "output None of 'mine'"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_would_fail_later_are_refused(name):
    arguments, message = FUNCTIONS[name]
    before = ops.table()
    with pytest.raises(ValueError, match=message) as refused:
        az.register_op("mine", *arguments)
    assert "mine" in str(refused.value)
    assert ops.table() == before


FORMS = (
    "s{o} = mine(s{a})  # mine",
    "s{o} = mi\nne(s{a})",
    "s{o} = mi\u2028ne(s{a})",
    " s{o} = mine(s{a})",
    "s{o} = {{}}mine(s{a})",
    "s{o} = mine{{(s{a})",
    "s{o} = mine(s{a}, {x})",
    "s{o} = mine(s{b})",
    "s{o} = mine(s{a}, s{a})",
    "s{o} = s2(s{a})",
    "s{o}s{a}",
    "def s{o}s{a}():",
    "s{o} = sin(s{a})",
    5,
)


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_do_not_read_back_are_refused(form):
    before = ops.table()
    with pytest.raises(ValueError, match=r"form .* of 'mine'"):
        az.register_op("mine", "s", "s", jnp.sin, form=form)
    assert ops.table() == before
    az.Program.from_text("def Predict():\n s1 = sin(s2)\n")


def test_forms_of_many_kinds_read_back():
    for index, form in enumerate(("s{o} = [s{a}]", "s{o} <- s{a} ** 2", "s{a} ~> s{o}", "s{o} = log2(s{a}, 2.0)")):
        az.register_op(f"mine{index}", "s", "s", jnp.sin, form=form)
        text = f"def Setup():\ndef Predict():\n  {form.format(a=3, o=1)}\ndef Learn():\n"
        assert az.Program.from_text(text).to_text() == text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_of_any_real_dtype_are_those_of_the_evaluator(dtype):
    functions = {
        "smallest_at": ("v", jnp.argmin),
        "above": ("ss", lambda a, b: a > b),
        "half": ("s", lambda s: (s / 2).astype(jnp.float16)),
        "single": ("s", lambda s: (s / 2).astype(jnp.float32)),
        "ones": ("s", lambda s: jnp.ones((), int)),
    }
    for name, (kinds, function) in functions.items():
        az.register_op(name, kinds, "s", function)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 40, 4))
    labels = features.argmin(2).astype(float)
    texts = [
        "s1 = smallest_at(v0)",
        "s2 = smallest_at(v0)\n s1 = above(s2, s3)",
        "s2 = smallest_at(v0)\n s3 = half(s2)\n s4 = single(s2)\n s1 = s3 + s4",
        "s2 = ones(s3)\n s3 = smallest_at(v0)\n s1 = s2 * s3",
        "s1 = dot(v0, v0)",
    ]
    programs = [az.Program.from_text(f"def Predict():\n {text}\n") for text in texts]
    tasks = az.Tasks(features, labels, features, labels)
    memory = az.MemorySize(5, 1, 0)
    fitness = az.Evaluator(tasks, dtype=dtype, memory=memory, ops=[]).evaluate(programs).fitness[:, 0]
    np.testing.assert_array_equal(fitness[[0, 2, 3]], 1)
    error = np.sqrt(np.mean((labels - (labels > 0)) ** 2))
    assert fitness[1] == pytest.approx(1 - 2 / np.pi * np.arctan(error), abs=1e-6)


def test_unregistered_ops_are_gone_and_ids_stay():
    before = ops.table()
    first, second = (az.register_op(name, "s", "s", jnp.sin) for name in ("first", "second"))
    program = az.Program.from_text("def Predict():\n s1 = first(s2)\n")
    other = az.Program.from_text("def Predict():\n s1 = second(s2)\n")
    az.unregister_op("first")
    assert ops.op_named("second") == second and ops.table()[second.id] is second
    with pytest.raises(ValueError, match="expected an instruction"):
        az.Program.from_text("def Predict():\n s1 = first(s2)\n")
    with pytest.raises(ValueError, match=f"Predict line 1: op id {first.id}: 'first' was unregistered"):
        az.simplify(program)
    assert az.simplify(other) == other
    assert "first" not in mutation.every_op()
    # The name is free, the id is not: the old program does not become another one.
    again = az.register_op("first", "s", "s", jnp.cos)
    assert again.id == second.id + 1
    with pytest.raises(ValueError, match="was unregistered"):
        az.simplify(program)
    az.unregister_op("first")
    az.unregister_op("second")
    assert ops.table() == before
    for name, message in (("first", "unknown op 'first'"), ("SCALAR_SUM", "belongs to the language")):
        with pytest.raises(ValueError, match=message):
            az.unregister_op(name)


def test_evaluators_of_before_refuse_ops_of_later_that_have_gone():
    az.register_op("first", "s", "s", jnp.sin)
    evaluator = az.Evaluator(regression_tasks())
    az.unregister_op("first")
    az.register_op("later", "s", "s", jnp.cos)
    with pytest.raises(ValueError, match="later was registered after this evaluator was made"):
        evaluator.evaluate([az.Program.from_text("def Predict():\n s1 = later(s2)\n")])


def test_search_spaces_made_later_have_the_op():
    before = az.SearchSpace()
    az.register_op("clip", "s", "s", lambda s: jnp.clip(s, -1, 1))
    assert "clip" not in before.setup_ops
    for space in (az.SearchSpace(), az.SearchSettings().space):
        assert all(names == (*before.setup_ops, "clip") for names in space.op_names)
