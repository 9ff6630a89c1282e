from __future__ import annotations

import os
import subprocess
import sys

import pytest

from azero_jax import compile_options, xla_flags

ALL = {*xla_flags._FLAGS, *xla_flags._EXTRA_OPTIONS, compile_options.EXTRA}


def python(code, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=inherited | environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


def test_ours_are_added_behind_the_users():
    merged = xla_flags.merged("--xla_dump_to=here", ALL)
    assert merged.startswith("--xla_dump_to=here --xla_cpu_copy_insertion_use_region_analysis=true")
    assert (
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000000000000,xla_cpu_disable"
        in merged
    )


def test_the_users_values_stay():
    user = "--xla_cpu_copy_insertion_use_region_analysis=false "
    user += "--xla_backend_extra_options=a=1,xla_cpu_disable_loop_unrolling"
    merged = xla_flags.merged(user, ALL)
    assert "region_analysis=false" in merged and "region_analysis=true" not in merged
    assert merged.count("xla_backend_extra_options") == 1
    assert "a=1,xla_cpu_disable_loop_unrolling,xla_cpu_small_while_loop" in merged
    assert merged.count("disable_loop_unrolling") == 1


def test_unknown_flags_are_left_out():
    known = ALL - {"xla_cpu_experimental_ynn_fusion_type"}
    assert "ynn" not in xla_flags.merged("", known)
    assert xla_flags.merged("--mine=1", set()) == "--mine=1"


def test_the_installed_jaxlib_knows_them():
    assert xla_flags.known_names() == ALL


@pytest.mark.parametrize("library", ["libjax_common.so", "libjax_common.dylib", "jax_common.dll", "_jax.pyd"])
def test_flags_are_found_in_the_libraries_of_every_system(tmp_path, library):
    known = "xla_cpu_prefer_vector_width"
    (tmp_path / library).write_bytes(bytes(2**20) + known.encode())
    (tmp_path / "notes.txt").write_bytes(bytes(2**20) + b"xla_cpu_experimental_ynn_fusion_type")
    assert xla_flags.known_names(tmp_path) == {known}


@pytest.mark.slow
def test_an_older_jaxlib_runs_without_and_says_so():
    done = python(
        "from azero_jax import xla_flags, Evaluator, make_tasks, Program\n"
        "xla_flags.known_names = lambda: set()\n"
        "tasks = make_tasks('scalar_linear_regression:num_tasks=2')\n"
        "print(Evaluator(tasks).evaluate([Program.from_text('def Predict():')]).fitness.shape)\n"
    )
    assert "(1, 2)" in done.stdout
    assert done.stderr.count("does not know") == 1


def test_import_changes_nothing():
    python("import os, azero_jax, azero_jax.flags\nassert 'XLA_FLAGS' not in os.environ")


NOTEBOOK = """
import hashlib
import azero_jax as az
from azero_jax.initial_programs import LINEAR
tasks = az.make_tasks("scalar_linear_regression:num_tasks=10")
evaluator = az.Evaluator(tasks, memory=az.MemorySize(4, 3, 1), ops=[])
print(evaluator.evaluate([az.Program.from_text(LINEAR)]).fitness.tolist())
executables = jax.devices()[0].client.live_executables()
machine = max((executable.hlo_modules()[0].to_string() for executable in executables), key=len)
print(hashlib.sha256(machine.encode()).hexdigest())
"""
LATE = "import jax; jax.numpy.ones(3).sum().block_until_ready()"
EARLY = "import jax, azero_jax; azero_jax.set_xla_flags()"


def test_a_notebook_that_has_used_jax_has_the_same_machine():
    late, early = python(LATE + NOTEBOOK), python(EARLY + NOTEBOOK)
    assert late.stderr.count("JAX had started before azero_jax") == 1 and len(late.stderr.splitlines()) == 1
    assert not early.stderr
    assert late.stdout == early.stdout


@pytest.mark.slow
def test_a_machine_that_came_out_slow_is_reported():
    done = python(f"{LATE}; from azero_jax import xla_flags; xla_flags.do_without(){NOTEBOOK}")
    assert done.stderr.count("times slower than it should be") == 1
    assert "set_xla_flags()" in done.stderr


def test_flags_of_the_user_leave_nothing_to_set():
    code = "import jax; jax.devices()\nimport azero_jax\nazero_jax.set_xla_flags()\n"
    assert "had started" not in python(code, XLA_FLAGS=xla_flags.merged("", ALL)).stderr


def test_simplify_before_the_first_evaluator_costs_nothing():
    done = python(
        "from azero_jax import Evaluator, make_tasks, Program, simplify\n"
        "simplify(Program.from_text('def Predict():'))\n"
        "Evaluator(make_tasks('scalar_linear_regression:num_tasks=2'))\n"
    )
    assert "had started" not in done.stderr


@pytest.mark.parametrize("setting", ["--xla_cpu_copy_insertion_use_region_analysis=false"])
def test_flags_of_the_user_reach_xla(setting):
    done = python("import os, azero_jax\nazero_jax.set_xla_flags()\nprint(os.environ['XLA_FLAGS'])", XLA_FLAGS=setting)
    assert setting in done.stdout and "region_analysis=true" not in done.stdout
