"""Modules of a user's own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import azero_jax as az
from azero_jax import extensions, task_specs


def test_what_fails_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"import=no_such_module: ModuleNotFoundError"):
        extensions.load("no_such_module")
    with pytest.raises(ValueError, match=r"import=/no/such.py: FileNotFoundError"):
        extensions.load("/no/such.py")
    path = tmp_path / "broken.py"
    path.write_text("import math\n\nmath.sqrt('x')\n")
    with pytest.raises(ValueError, match=r"broken.py: TypeError: must be real number, not str, in line 3$"):
        extensions.load(str(path))
    path.write_text("def f(:\n")
    with pytest.raises(ValueError, match=r"broken.py: SyntaxError: .*line 1"):
        extensions.load(str(path))
    assert str(path) not in extensions.loaded()


def test_files_are_loaded_once(tmp_path):
    path = tmp_path / "counts_itself.py"
    path.write_text("import sys\nsys.counted = getattr(sys, 'counted', 0) + 1\n")
    extensions.load(str(path))
    extensions.load(str(path))
    assert sys.counted == 1 and str(path) in extensions.loaded()
    del sys.counted


def test_a_command_knows_what_they_register(tmp_path):
    path = tmp_path / "my_ops.py"
    path.write_text(
        "import jax.numpy as jnp\nimport azero_jax as az\naz.register_op('halved', 's', 's', lambda s: s / 2)\n"
    )
    command = [sys.executable, "-m", "azero_jax", "ops", "HALVED", "halved", f"--import={path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "halved(s" in done.stdout, done.stdout + done.stderr


def test_workers_load_them_too(tmp_path, monkeypatch):
    """Tasks that fail wherever this process is not, before anything is compiled there."""
    path = tmp_path / "my_tasks.py"
    path.write_text(
        "import os\nimport azero_jax as az\n"
        "def elsewhere(settings):\n"
        "    if str(os.getpid()) != os.environ['AZERO_JAX_TEST_PROCESS']:\n"
        "        raise ValueError('made in a worker')\n"
        "    return az.make_tasks('scalar_linear_regression')\n"
        "az.register_task('elsewhere', elsewhere)\n"
    )
    monkeypatch.setenv("AZERO_JAX_TEST_PROCESS", str(os.getpid()))
    extensions.load(str(path))
    try:
        with pytest.raises(ValueError, match="tasks 'elsewhere': made in a worker"):
            az.run(az.Settings((az.IslandSettings("elsewhere"),), max_individuals=1000), num_workers=1)
    finally:
        task_specs.unregister_task("elsewhere")
