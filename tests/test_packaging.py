"""The wheel and the source distribution: they are whole, and work elsewhere; what CI and pre-commit run."""

from __future__ import annotations

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv

import pytest
import yaml

from azero_jax.version import __version__

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
DEMO = ["--output_dir=demo", "--random_seed=14", "--max_experiments=1", "--max_individuals=3000"]


def files_of_the_project() -> list[str]:
    """What git keeps or would keep, or all there is where the sources were unpacked."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
        return [name for name in listed if (ROOT / name).exists()]
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in files if "egg-info" not in str(path) and "__pycache__" not in path.parts]


def run(*command, directory, **environment):
    """Runs a command as it would run outside of the tests, and returns what it printed."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    command = list(map(str, command))
    done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_of_the_project(directory: pathlib.Path) -> pathlib.Path:
    for name in files_of_the_project():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name, follow_symlinks=False)
    return directory


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is made of it."""
    sources = copy_of_the_project(tmp_path_factory.mktemp("sources"))
    run(sys.executable, "-m", "build", "--outdir=dist", directory=sources)
    (sdist,) = (sources / "dist").glob("*.tar.gz")
    (wheel,) = (sources / "dist").glob("*.whl")
    assert sdist.name == f"azero_jax-{__version__}.tar.gz"
    return sdist, wheel


def environment(directory: pathlib.Path, with_dependencies: bool) -> pathlib.Path:
    """A new virtual environment without azero_jax, and where its commands are."""
    venv.create(directory)
    where = {"base": str(directory), "platbase": str(directory)}
    if with_dependencies:
        packages = pathlib.Path(sysconfig.get_path("purelib", vars=where))
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return pathlib.Path(sysconfig.get_path("scripts", vars=where))


def check_installation(binaries: pathlib.Path, prefix: pathlib.Path, directory: pathlib.Path) -> None:
    """Commands, flagfiles and examples are there, and are those of the environment."""
    code = "import azero_jax; print(azero_jax.__file__)"
    assert prefix in pathlib.Path(run(binaries / "python", "-c", code, directory=directory)).parents
    printed = run(binaries / "azero", "evolve", "linear_demo", *DEMO, directory=directory)
    assert "def Predict():" in printed and (directory / "demo" / "best_program.txt").exists()
    examples = prefix / "share" / "azero_jax" / "examples"
    assert {path.name for path in examples.glob("*.*")} == {path.name for path in (ROOT / "examples").glob("*.*")}


@pytest.mark.thorough
def test_the_wheel_works_in_another_environment(built, tmp_path):
    binaries = environment(tmp_path / "venv", with_dependencies=True)
    install = ["-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-index", "--no-deps"]
    run(sys.executable, *install, built[1], directory=tmp_path)
    check_installation(binaries, tmp_path / "venv", tmp_path)


@pytest.mark.thorough
def test_the_source_distribution_is_whole_and_works(built, tmp_path):
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()
    assert not [name for name in files_of_the_project() if not (sources / name).exists()]
    flagfile = "--flagfile=scripts/flagfiles/linear_demo.flags"
    run(sys.executable, "scripts/evolve.py", flagfile, *DEMO, directory=sources)
    assert (sources / "demo" / "best_program.txt").exists()


@pytest.mark.slow
def test_an_installation_elsewhere_works(built, tmp_path):
    binaries = environment(tmp_path / "venv", with_dependencies=False)
    install = ["-m", "pip", "--python", binaries / "python", "install", "--quiet", "--disable-pip-version-check"]
    run(sys.executable, *install, built[1], directory=tmp_path)
    check_installation(binaries, tmp_path / "venv", tmp_path)
    assert "MATRIX_GAUSSIAN_SET" in run(binaries / "azero", "ops", directory=tmp_path)
    example = tmp_path / "venv" / "share" / "azero_jax" / "examples" / "library_search.py"
    assert "search fitness" in run(binaries / "python", example, "--individuals=2000", directory=tmp_path)


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__ and citation["license"] == CONFIG["metadata"]["license"]
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_the_pythons_of_setup_cfg():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    declared = re.findall(r"Python :: (3\.\d+)$", CONFIG["metadata"]["classifiers"], re.M)
    assert matrix["python"] == declared
    assert CONFIG["options"]["python_requires"] == f">={declared[0]}"
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    steps = [step for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    assert [step["run"] for step in steps if step["if"] == "runner.os == 'Linux'"] == [".ci/run"]
    commands = " ".join(step["run"] for step in steps)
    files = re.findall(r"tests/\w+\.py", commands)
    assert len(files) > 10 and not [name for name in files if not (ROOT / name).exists()]
    for line in (ROOT / ".ci" / "run").read_text().splitlines():
        if line.startswith((".venv/bin/ruff", ".venv/bin/mypy")):
            assert line.removeprefix(".venv/bin/") in commands


def test_pre_commit_checks_what_ci_checks():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert [entry.split()[2] for entry in entries] == ["ruff", "ruff", "mypy"]
    assert "--check" in entries[1]
