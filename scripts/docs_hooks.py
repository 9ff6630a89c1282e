"""Pages of the site that follow from the code: flags of all commands, the table of ops, changes, how to contribute.

mkdocs calls `on_files` (hooks: in mkdocs.yml). The flags are written anew at each build, from the same
definitions as --help; `python scripts/docs_hooks.py` prints their page. docs/ops.md is kept in the repository,
and must be what scripts/write_op_docs.py writes.
"""

from __future__ import annotations

import importlib
import pathlib
import sys
from typing import Any

from absl import flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import write_op_docs  # noqa: E402

from azero_jax import commands  # noqa: E402
from azero_jax.command_line import FLAGS, HIDDEN, Command  # noqa: E402

# Pages of the repository that are pages of the site, too.
COPIES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}

_HEAD = """\
# Commands and flags

After `pip install`, every command is `azero NAME`; in a clone `scripts/NAME.py` is the same. A flag is given as
`--name=value`, a switch as `--name` or `--noname`. `--help` prints what stands here.

`--flagfile=FILE` reads flags from a file, a line each. The flagfiles of the package are known by name, as in
`azero evolve linear_demo`. Flags on the command line win.

Every command takes `--import=FILE`, too: a module that registers [ops](own_op.md), [losses](losses.md) or
[tasks](own_task.md) of your own. It may be repeated.
"""


def flags_of(command: Command) -> dict[str, list[Any]]:
    """A command's flags by heading. They are defined for a moment only, since commands share names."""
    before = set(FLAGS)
    command.define()
    try:
        names = set(FLAGS) - before
        groups = FLAGS.flags_by_module_dict()
        return {heading: kept for heading, some in groups.items() if (kept := [f for f in some if f.name in names])}
    finally:
        for name in set(FLAGS) - before:
            delattr(FLAGS, name)


def flags_page() -> str:
    """The page of all commands and their flags."""
    parts = [_HEAD]
    shown: set[tuple[str, ...]] = set()
    for name, summary in commands.COMMANDS.items():
        command = importlib.import_module(f"azero_jax.commands.{name}").COMMAND
        parts.append(f"## azero {name}\n\n`azero {name} {command.usage}` {summary}.\n")
        parts.append("\n".join(f"    azero {name} {example}" for example in command.examples) + "\n")
        again: list[str] = []
        for heading, some in flags_of(command).items():
            rows = [_row(flag) for flag in some if flag.help != HIDDEN]
            if (heading, *rows) in shown:
                again.append(heading)
                continue
            shown.add((heading, *rows))
            parts.append(f"### {heading}\n\n| flag | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
        if again:
            parts.append(f"It also takes the flags above under *{'*, *'.join(again)}*.\n")
    return "\n".join(parts)


def _row(flag: Any) -> str:
    value = ", ".join(flag.default) if isinstance(flag.default, list) else flag.default
    if flag.name == "compilation_cache_dir":
        default = "the user's cache directory"  # and not that of who builds the site
    elif value is None or value == "":
        default = ""
    else:
        default = f"`{str(value).lower() if flag.boolean else value}`"
    shown = f"`--[no]{flag.name}`" if flag.boolean else f"`--{flag.name}`"
    what = " ".join(flag.help.replace("repeat this option to specify a list of values", "").split()).rstrip(";")
    if isinstance(flag, flags.EnumFlag):
        what = what.partition(">: ")[2]
        what += f"; one of {', '.join(f'`{name}`' for name in flag.parser.enum_values if name)}"
    for sign in ("|", "*", "<", "[", "_"):
        what = _outside_code(what, sign)
    return f"| {shown} | {default} | {what} |"


def _outside_code(text: str, sign: str) -> str:
    """The text with a sign made plain that Markdown would take for its own."""
    parts = text.split("`")
    parts[::2] = [part.replace(sign, f"\\{sign}") for part in parts[::2]]
    return "`".join(parts)


def on_files(files: Any, *, config: Any) -> Any:
    """Adds the pages that are made to those of docs/."""
    from mkdocs.exceptions import PluginError
    from mkdocs.structure.files import File

    if (ROOT / "docs" / "ops.md").read_text(encoding="utf-8") != write_op_docs.page():
        raise PluginError("docs/ops.md is not what azero_jax/ops.py says: run python scripts/write_op_docs.py")
    pages = {"flags.md": flags_page()}
    pages |= {to: (ROOT / name).read_text(encoding="utf-8") for name, to in COPIES.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


if __name__ == "__main__":
    print(flags_page())
