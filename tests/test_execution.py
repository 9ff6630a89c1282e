"""Where jitted functions run."""

from __future__ import annotations

import threading
import time

import jax
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
