"""Where jitted functions run."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from azero_jax import Program, execution, simplify

PROGRAM = Program.from_text("def Predict():\n s2 = s1 + s1\n s1 = s3 + s3\n")


def test_programs_are_analysed_on_the_cpu_beside_an_accelerator(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cuda")
    with execution.on_cpu():
        assert jax.numpy.zeros(1).device.platform == "cpu"
    assert simplify(PROGRAM).lengths == (0, 1, 0)


def test_without_the_cpu_the_error_says_what_to_do(monkeypatch):
    def no_cpu(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "default_backend", lambda: "cuda")
    monkeypatch.setattr(jax, "local_devices", no_cpu)
    with pytest.raises(RuntimeError, match="JAX_PLATFORMS=cuda,cpu"):
        simplify(PROGRAM)


def test_jobs_raise_what_they_raise_on_every_thread():
    def fail(job):
        if job == 3:
            raise ValueError("job 3")
        threads.add(threading.get_ident())

    for num_threads in (1, 2):
        threads: set[int] = set()
        with pytest.raises(ValueError, match="job 3"):
            execution.run_jobs(fail, range(8), num_threads)
        assert threads
    threads = set()
    execution.run_jobs(fail, [0], 2)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("fails_here", [True, False])
def test_after_an_error_no_further_job_starts(fails_here):
    """Whichever thread it is that fails."""
    started: list[int] = []
    both = threading.Barrier(2, timeout=60)

    def job(number):
        started.append(number)
        if number < 2:
            both.wait()
        if number < 2 and (threading.current_thread() is threading.main_thread()) == fails_here:
            raise ValueError("stopped")
        if number >= 2:
            time.sleep(0.01)

    with pytest.raises(ValueError, match="stopped"):
        execution.run_jobs(job, range(1000), 2)
    assert len(started) < 1000


FORKS = """
import os, sys, time, warnings
import azero_jax as az
warnings.simplefilter("ignore")  # JAX's own, about forks
program = az.Program.from_text("def Predict():\\n s2 = s1 + s1\\n s1 = s3 + s3\\n")
tasks = az.make_tasks("scalar_linear_regression:num_tasks=1,num_train_examples=10,num_valid_examples=10")
evolution = az.EvolutionSettings(population_size=10, child_batch_size=10)
uses = {
    "simplify": lambda: az.simplify(program).lengths,
    "evaluate": lambda: evaluator.evaluate([program]),
    "probe": lambda: evaluator.probe(az.Population.from_programs([program]), 2, 2),
    "make": lambda: az.Evaluator(tasks),
    "search": lambda: az.Search(tasks, az.SearchSettings(evolution=evolution)),
}

def in_a_child(use):
    child = os.fork()
    if not child:
        try:
            print(use, uses[use](), flush=True)
        except RuntimeError as error:
            print(use, error, flush=True)
        os._exit(0)
    for _ in range(600):
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.1)
    os.kill(child, 9)
    sys.exit(f"{use} hangs")

in_a_child("simplify")
evaluator = az.Evaluator(tasks)
uses["simplify"]()
for use in uses:
    in_a_child(use)
print("parent", uses["simplify"]())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_is_told_what_to_do_and_does_not_hang():
    root = pathlib.Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert not done.returncode, done.stdout + done.stderr
    first, *refused, last = done.stdout.splitlines()
    assert (first, last) == ("simplify (0, 1, 0)", "parent (0, 1, 0)")  # a fork before the first use works
    assert [line.split()[0] for line in refused] == ["simplify", "evaluate", "probe", "make", "search"]
    assert all("start processes with multiprocessing.get_context('spawn')" in line for line in refused)


# Each with a value that would change results, or end a call, if it reached the package.
SETTINGS = {
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_disable_jit": True,
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_transfer_guard": "disallow_explicit",
    "jax_transfer_guard_device_to_host": "disallow",
    "jax_default_matmul_precision": "bfloat16",
    "jax_default_prng_impl": "rbg",
    "jax_check_tracer_leaks": True,
    "jax_error_checking_behavior_nan": "raise",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_users_do_not_reach_the_package(name):
    """Not its functions, and the user's own setting is in force again behind them."""
    before, dtype = jax.config.values[name], "float32"

    def computed():
        with execution.precision(dtype):
            vector = jax.jit(lambda x: jnp.log(x) / 0 + x.astype(jnp.int32))(
                jax.device_put(np.array([-1.0, 0.0, 1.0], dtype))
            )
            matrix = jax.jit(lambda v: v[:, None] * jnp.ones((3, 3)) + v)(vector)
            number = jax.random.uniform(jax.random.key(1), (3,), dtype)
            return [str(jax.device_get(array).tolist()) + str(array.dtype) for array in (vector, matrix, number)]

    expected = computed()
    try:
        jax.config.update(name, SETTINGS[name])
        assert computed() == expected
        value = jax.config.values[name]
        assert getattr(value, "value", value) == SETTINGS[name]
    finally:
        jax.config.update(name, before)
