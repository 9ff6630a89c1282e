"""What the documentation promises about the code."""

from __future__ import annotations

import ast
import configparser
import pathlib
import re
import subprocess
import sys

import azero_jax
from azero_jax import ops

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "azero_jax"

# Top to bottom: a module imports only from those above it.
ORDER = (
    "version",
    "files",
    "locks",
    "records",
    "worker_process",
    "interrupts",
    "notices",
    "compile_options",
    "xla_flags",
    "containers",
    "execution",
    "compile_cache",
    "arguments",
    "ops",
    "lane_forms",
    "objectives",
    "extensions",
    "text",
    "program",
    "user_ops",
    "user_losses",
    "packed",
    "addresses",
    "liveness",
    "dataflow",
    "draws",
    "dialects",
    "tables",
    "columns",
    "archives",
    "tasks",
    "given_tasks",
    "equivalence",
    "datasets",
    "projected_tasks",
    "task_specs",
    "instructions",
    "superinstructions",
    "settling",
    "assembler",
    "fingerprints",
    "machine_step",
    "calls",
    "control_steps",
    "machine",
    "self_check",
    "switch_strategy",
    "vmap_strategy",
    "recorder",
    "evaluator",
    "learner",
    "export",
    "mutation",
    "initial_programs",
    "costs",
    "fec",
    "lineage",
    "scoring",
    "evolution",
    "checkpoint",
    "search_settings",
    "snapshots",
    "hall_of_fame",
    "search",
    "intervals",
    "speed_ratios",
    "side_by_side",
    "benchmarking",
    "baselines",
    "gradient_descent",
    "capacity",
    "settings",
    "islands",
    "workers",
    "ancestry",
    "reporting",
    "metrics",
    "run_directory",
    "run_records",
    "selection",
    "run_state",
    "budgets",
    "stages",
    "repetition",
    "trivial",
    "tuning",
    "claims",
    "own_data",
    "table_models",
    "command_line",
    "flags",
    "repeating",
    "report",
    "experiment",
    "fitting",
    "estimators",
    "commands",
    "__main__",
)
FOLDERS = ("export", "report", "commands")
COMMANDS = sorted((PACKAGE / "commands").glob("*.py"))
EXPORTS = [*sorted((PACKAGE / "export").glob("*.py")), *sorted((PACKAGE / "report").glob("*.py"))]


def imported(path):
    """Modules of the package that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "azero_jax":
            names |= {alias.name for alias in node.names if alias.name in ORDER}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("azero_jax."):
            names.add(node.module.split(".")[1])
    return names


def test_every_module_has_a_place():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(ORDER) - set(FOLDERS)


def test_imports_point_one_way():
    for index, name in enumerate(ORDER):
        files = sorted((PACKAGE / name).glob("*.py")) if name in FOLDERS else [PACKAGE / f"{name}.py"]
        for path in files:
            assert imported(path) - {name} <= set(ORDER[:index]), path


def test_only_flags_and_commands_know_absl():
    for path in PACKAGE.glob("*.py"):
        assert path.stem in ("flags", "command_line") or "absl" not in path.read_text(), path


def test_every_module_says_what_it_is_for():
    for path in [*PACKAGE.glob("*.py"), *COMMANDS, *EXPORTS, *(ROOT / "scripts").glob("*.py")]:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_the_map_has_every_file():
    page = (ROOT / "docs" / "modules.md").read_text()
    files = [
        *PACKAGE.glob("*.py"),
        *COMMANDS,
        *EXPORTS,
        *(ROOT / "scripts").glob("*.py"),
        *(ROOT / "scripts" / "flagfiles").glob("*.flags"),
    ]
    missing = [path.name for path in files if path.stem != "__init__" and path.stem not in page]
    assert not missing


def test_public_names():
    assert azero_jax.__all__ == sorted(azero_jax.__all__)
    assert all(hasattr(azero_jax, name) for name in azero_jax.__all__)


def test_the_table_of_ops_is_documented():
    page = (ROOT / "docs" / "ops.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\w+) \| `(.+?)` \|", page, re.M)
    assert rows == [(str(op.id), op.name, ops.example(op)) for op in ops.table()[: ops.NUM_BUILT_IN_OPS]]


def test_every_knob_has_a_flag_and_a_test():
    page = (ROOT / "docs" / "knobs.md").read_text()
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 50
    assert not [name for name in named if f"def {name}(" not in tests]
    help_text = subprocess.run(
        [sys.executable, ROOT / "scripts" / "evolve.py", "--help"], capture_output=True, text=True, check=False
    ).stdout
    flags = {name for name in re.findall(r"--(\w+)", page) if name not in ("help", "search_experiment_spec")}
    shown = set(re.findall(r"--(?:\[no\])?(\w+)", help_text))
    assert not [name for name in flags - shown if not name.endswith("_")]


def test_requirements_agree():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = "\n".join(
        [
            config["options"]["install_requires"],
            *(config["options.extras_require"][name] for name in ("digits", "tensorboard", "test")),
        ]
    )
    needed = {re.match(r"[\w-]+", line).group() for line in lines.split()}
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M))
    assert needed == set(pinned)
    for name, exact in re.findall(r"^([\w-]+)==(\S+)$", lines, re.M):
        assert pinned[name] == exact
