"""The command `azero`, the doors to it, and what is installed with it."""

from __future__ import annotations

import configparser
import importlib
import pathlib
import subprocess
import sys

import pytest
from absl.flags import FlagValues

from azero_jax import commands, flags
from azero_jax.command_line import flagfile_names, help_page

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "azero_jax"


def run(*arguments, code=0, directory=ROOT):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=directory
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def exits(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        commands.main(arguments)
    return caught.value.code, capsys.readouterr()


def test_azero_lists_its_commands(capsys):
    code, printed = exits(["--help"], capsys)
    assert code == 0 and all(f"  {name} " in printed.out for name in commands.COMMANDS)
    code, printed = exits([], capsys)
    assert code == 2 and "azero evolve linear_demo is a start" in printed.err
    code, printed = exits(["evolv"], capsys)
    assert code == 2 and "unknown command 'evolv': did you mean evolve?" in printed.err


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_is_a_module_and_a_line(name):
    command = importlib.import_module(f"azero_jax.commands.{name}").COMMAND
    page = help_page(f"azero {name}", command, 80, FlagValues())
    assert page.startswith(f"usage: azero {name} ")
    page_of_modules = (ROOT / "docs" / "modules.md").read_text()
    assert "| `commands/`" in page_of_modules and f"`{name}`" in page_of_modules


def test_help_lists_flags_in_groups_with_defaults():
    values = FlagValues()
    flags.define(values)
    evolve = importlib.import_module("azero_jax.commands.evolve").COMMAND
    for width in (80, 100):
        lines = help_page("azero evolve", evolve, width, values).splitlines()
        assert max(map(len, lines)) <= width
        shown = [line.strip() for line in lines]
        assert [heading for heading in shown if heading.endswith(":") and heading[0].isupper()] == [
            "The run:",
            "Your own data:",
            "Tasks:",
            "Search space:",
            "Method:",
            "Caches, hurdles and budgets:",
            "Islands:",
            "Evaluation:",
        ]
        for name in values:
            assert any(line.startswith((f"--{name}", f"--[no]{name}")) for line in shown), name
    text = " ".join(shown)
    assert "programs of each population [1000]" in text
    assert "ops that setup may hold, by default all" in text


def test_the_scripts_are_doors(tmp_path):
    page = run(ROOT / "scripts" / "evolve.py", "--help", directory=tmp_path).stdout
    assert "usage: evolve.py" in page and "--population_size" in page and "--import" in page
    nothing = run(ROOT / "scripts" / "evolve.py", code=2, directory=tmp_path)
    assert "evolve.py linear_demo --output_dir=runs/demo" in nothing.stderr and "evolve.py --help" in nothing.stderr
    assert not list(tmp_path.iterdir())
    # absl's own help, with its exit code.
    assert "--verbosity" in run(ROOT / "scripts" / "evaluate.py", "--helpfull", code=1).stdout


def test_no_memory_is_one_line():
    code = (
        "from azero_jax.commands import ops, run\n"
        "def fails(arguments): [0] * 10**15\n"
        "ops.COMMAND = ops.COMMAND._replace(run=fails)\n"
        "run('ops', 'azero ops', [])"
    )
    assert run("-c", code, code=2).stderr.startswith("azero ops: error: out of memory: ask for fewer")


def test_what_commands_need_is_installed_with_them():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["azero_jax"].split()
    data = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert packed == set(data) and len(packed) >= 7
    assert config["options.entry_points"]["console_scripts"].strip() == "azero = azero_jax.commands:main"
    assert {path.stem for path in (ROOT / "scripts" / "flagfiles").glob("*.flags")} == set(flagfile_names())
