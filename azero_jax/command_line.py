"""What every command shares: flags in groups with limits, flagfiles by name, help, errors in one line.

absl reads the flags; this module decides what it says about them. Under absl, flags
belong to the module that defines them. Here they belong to a group, whose name is the
heading that `--help` and `--helpfull` show them under.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import os
import pathlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from absl import app, flags

from azero_jax import extensions

FLAGS = flags.FLAGS
FLAGFILES = pathlib.Path(__file__).parent / "flagfiles"

# The help of a flag that people need not know.
HIDDEN = "used by the command itself"

WRONG_INPUT = 2
_INTERRUPTED = 130
_OUTPUT_CLOSED = 141
_LARGEST = 2**63 - 1
_HELP = ("--help", "-help", "-h", "-?", "--helpshort", "-helpshort")
_FEW = 20


class Command(NamedTuple):
    """A command and its page of help.

    Attributes:
      usage: what follows the command's name.
      what: what it does, for people; the first line is shown in lists of commands.
      examples: what follows the command's name in typical calls.
      define: defines its flags.
      run: does what the flags say; gets the arguments that are no flags.
      errors: what `run` raises, apart from ValueError and OSError, for what people can mend.
      flagfiles: whether an argument may be the name of a flagfile.
      needs_arguments: whether nothing happens without any.
      prepare: changes arguments before they are read.
      more: what help says at its end.
    """

    usage: str
    what: str
    examples: tuple[str, ...]
    define: Callable[[], None]
    run: Callable[[list[str]], None]
    errors: tuple[type[Exception], ...] = ()
    flagfiles: bool = False
    needs_arguments: bool = True
    prepare: Callable[[list[str]], list[str]] = lambda arguments: arguments
    more: str = ""


# Flags.


class _WholeNumber(flags.IntegerParser):
    """Decimal integers within limits."""

    def __init__(self, least: int, most: int):
        super().__init__()
        self.least, self.most = least, most

    def parse(self, argument: str | int) -> int:
        expected = f"expected a whole number, {_between(self.least, self.most)}"
        try:
            value = int(argument)
        except ValueError:
            raise ValueError(expected) from None
        if value > self.most:
            raise ValueError(f"expected at most {self.most:,}")
        if value < self.least:
            raise ValueError(expected)
        return value


class _Number(flags.FloatParser):
    """Numbers within limits; NaN never is, infinity only where it is the upper one."""

    def __init__(self, least: float, most: float):
        super().__init__()
        self.least, self.most = least, most

    def parse(self, argument: str | float) -> float:
        expected = f"expected a number, {_between(self.least, self.most)}"
        try:
            value = float(argument)
        except ValueError:
            raise ValueError(expected) from None
        if not self.least <= value <= self.most:
            raise ValueError(expected)
        return value


def _between(least: float, most: float) -> str:
    if most in (_LARGEST, sys.float_info.max, math.inf):
        finite = "" if most in (_LARGEST, math.inf) else "finite and "
        return f"{finite}at least {least:,}" if least > -sys.float_info.max else "finite"
    return f"from {least:,} to {most:,}"


class Group:
    """Defines flags under one heading.

    Args:
      heading: what `--help` says above them.
      values: where they are defined.
    """

    def __init__(self, heading: str, values: flags.FlagValues = FLAGS):
        self._how: Any = {"flag_values": values, "module_name": heading}

    def text(self, name: str, default: str | None, what: str) -> None:
        """A flag of any text."""
        flags.DEFINE_string(name, default, what, **self._how)

    def texts(self, name: str, what: str) -> None:
        """A flag of any text that may be repeated."""
        flags.DEFINE_multi_string(name, [], what, **self._how)

    def names(self, name: str, default: Iterable[str] | None, what: str) -> None:
        """A flag of texts with commas between them."""
        flags.DEFINE_list(name, None if default is None else list(default), what, **self._how)

    def choice(self, name: str, default: str, choices: Iterable[str], what: str) -> None:
        """A flag of one of a few texts."""
        flags.DEFINE_enum(name, default, list(choices), what, **self._how)

    def switch(self, name: str, default: bool, what: str) -> None:
        """A flag that is true or false."""
        flags.DEFINE_boolean(name, default, what, **self._how)

    def integer(self, name: str, default: int | None, what: str, least: int = 0, most: int = _LARGEST) -> None:
        """A flag of an integer."""
        flags.DEFINE(_WholeNumber(least, most), name, default, what, serializer=flags.ArgumentSerializer(), **self._how)

    def number(self, name: str, default: float, what: str, least: float = 0, most: float = sys.float_info.max) -> None:
        """A flag of a number; `most` of infinity allows it, too."""
        flags.DEFINE(_Number(least, most), name, default, what, serializer=flags.ArgumentSerializer(), **self._how)


# Arguments.


def flagfile_names() -> list[str]:
    """Names of the flagfiles that the package brings."""
    return sorted(path.stem for path in FLAGFILES.glob("*.flags"))


def find_flagfile(name: str) -> str:
    """The path of a flagfile that is given by its path or the name of one of the package's.

    Raises:
      ValueError: there is none, or it is no text.
      OSError: it cannot be read.
    """
    path = os.path.expanduser(name)
    if os.path.exists(path):
        try:
            pathlib.Path(path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, IsADirectoryError) as error:
            raise ValueError(f"flagfile={name}: expected a text file ({error})") from error
        return path
    if name in flagfile_names():
        return str(FLAGFILES / f"{name}.flags")
    raise ValueError(f"flagfile={name}: no such file, nor a flagfile of this package: {one_of(name, flagfile_names())}")


def one_of(wrong: str, names: Collection[str]) -> str:
    """What was expected where one of `names` was: the nearest if one is near, and all if they are few."""
    near = nearest(wrong, names)
    hint = f"did you mean {near}?" if near else ""
    listed = f"expected one of {', '.join(names)}" if len(names) <= _FEW or not near else ""
    return " ".join(filter(None, [hint, listed]))


def nearest(wrong: str, names: Collection[str]) -> str:
    """The name that is most like a wrong one, or holds it; empty if none does."""
    near = difflib.get_close_matches(wrong, names, 1) or [name for name in names if wrong and wrong in name]
    return near[0] if near else ""


def give(arguments: Sequence[str], values: flags.FlagValues = FLAGS) -> None:
    """Gives flags that nobody has given.

    Args:
      arguments: flags as --name=value, or flagfiles of them.
      values: which flags there are; those that were given stay.
    """
    for argument in values.read_flags_from_files(list(arguments), force_gnu=False):
        name, _, value = argument.removeprefix("--").partition("=")
        flag = values[name]
        if not flag.present:
            flag.parse(value)
            flag.present += 1
            flag.using_default_value = False


def given_flags(values: flags.FlagValues = FLAGS) -> list[str]:
    """The flags that were given, flagfiles included, as arguments."""
    return [flag.serialize() for some in _groups(values).values() for flag in some if flag.present]


def parse(arguments: Sequence[str], values: flags.FlagValues = FLAGS) -> list[str]:
    """Reads flags.

    Args:
      arguments: as in sys.argv, without the name of the command.
      values: which flags there are; gets their values.

    Returns:
      The arguments that are no flags.

    Raises:
      ValueError: an unknown flag, or a value that does not parse, with what was expected.
    """
    arguments = _with_paths_of_flagfiles(arguments)
    try:
        return values(["command", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        raise ValueError(_unknown(error.flagname, arguments, values)) from error
    except (flags.Error, ValueError) as error:
        raise ValueError(_wrong_value(str(error), arguments, values)) from error


def _with_paths_of_flagfiles(arguments: Sequence[str]) -> list[str]:
    found, is_name = [], False
    for argument in arguments:
        option, equals, name = argument.partition("=")
        if is_name:
            found.append(find_flagfile(argument))
        elif option in ("--flagfile", "-flagfile") and equals:
            found.append(f"--flagfile={find_flagfile(name)}")
        else:
            found.append(argument)
        is_name = argument in ("--flagfile", "-flagfile")
    return found


def _unknown(name: str, arguments: Sequence[str], values: flags.FlagValues) -> str:
    known = ["flagfile", "help", *(flag.name for some in _groups(values).values() for flag in some)]
    near = nearest(name, known)
    hint = f"did you mean --{near}? " if near else ""
    return f"unknown flag --{name}{_place(name, arguments)}: {hint}--help lists the flags"


def _wrong_value(message: str, arguments: Sequence[str], values: flags.FlagValues) -> str:
    """absl's message about a flag, with what was expected, and where."""
    start, colon, expected = message.removeprefix("flag --").partition(": ")
    name, equals, _ = start.partition("=")
    if not (message.startswith("flag --") and colon and equals and name in values):
        return message
    flag = values[name]
    if flag.boolean:
        expected = "expected true or false"
    elif isinstance(flag.parser, flags.EnumParser):
        expected = one_of(start[len(name) + 1 :], flag.parser.enum_values)
    return f"--{start}{_place(name, arguments)}: {expected}"


def _place(name: str, arguments: Sequence[str]) -> str:
    """Where a flag was given: words for a line of a flagfile, none for the command line."""
    if any(argument.lstrip("-").partition("=")[0] == name for argument in arguments if argument.startswith("-")):
        return ""
    for argument in arguments:
        if argument.startswith("--flagfile="):
            path = argument.partition("=")[2]
            lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, 1):
                if line.strip().lstrip("-").partition("=")[0] == name:
                    return f" in line {number} of {path}"
    return ""


def _groups(values: flags.FlagValues) -> dict[str, list[flags.Flag]]:
    """Flags by heading; those of absl and other packages are under the names of their modules."""
    return {name: some for name, some in values.flags_by_module_dict().items() if name not in sys.modules}


def check_writable(flag: str, path: str | None) -> None:
    """Refuses a file that cannot be written, before the work whose result it is for.

    Args:
      flag: that names the file.
      path: None or empty for no file.

    Raises:
      ValueError: the message names the flag.
    """
    if not path:
        return
    file = pathlib.Path(path).absolute()
    if file.is_dir() or not file.parent.is_dir():
        raise ValueError(f"--{flag}={path}: expected a file in a directory that exists")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ValueError(f"--{flag}={path}: no permission to write it")


# Help.


def help_page(name: str, command: Command, width: int, values: flags.FlagValues = FLAGS) -> str:
    """What `--help` prints.

    Args:
      name: how the command was called.
      command: the command.
      width: columns of the page.
      values: its flags.
    """
    lines = [f"usage: {name} {command.usage}", ""]
    for paragraph in command.what.strip().split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    lines += [f"  {name} {example}" for example in command.examples]
    for heading, some in _groups(values).items():
        lines += ["", f"{heading}:"]
        for flag in filter(lambda flag: flag.help != HIDDEN, some):
            lines += _lines_of_flag(flag, width)
    lines += ["", *command.more.splitlines()] if command.more else []
    lines += ["", "--flagfile=FILE reads flags from a file; --helpfull lists absl's own, too."]
    return "\n".join(lines)


def _lines_of_flag(flag: flags.Flag, width: int) -> list[str]:
    column = 30
    shown = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}"
    what = f"{flag.help}{_default_of(flag)}"
    lines = textwrap.wrap(what, width - column, break_on_hyphens=False, break_long_words=False)
    lines = [" " * column + line for line in lines]
    if len(shown) < column - 1:
        lines[0] = f"{shown:<{column}}{lines[0].strip()}"
        return lines
    return [shown, *lines]


def _default_of(flag: flags.Flag) -> str:
    value = flag.default
    if value is None or value == "" or value == []:
        return ""
    shown = ", ".join(value) if isinstance(value, list) else str(value)
    if flag.boolean:
        shown = shown.lower()
    return f" [{shown}]"


# Running.


def start(name: str, command: Command, arguments: Sequence[str]) -> NoReturn:
    """Runs a command and ends the process.

    Exits with 0 when it has done what it was asked, 2 on wrong input, 130 when interrupted.

    Args:
      name: how the command was called, for messages.
      command: what to do.
      arguments: behind its name.
    """
    command.define()
    Group("Your own ops, losses and tasks").texts(
        "import",
        "module or file, as in my_ops.py, that calls register_op, register_loss or register_task; may be repeated",
    )
    if any(argument in _HELP for argument in arguments):
        columns = shutil.get_terminal_size((100, 24)).columns
        with errors_in_one_line(name):
            print(help_page(name, command, max(60, min(columns, 100))))
        sys.exit(0)
    if command.needs_arguments and not arguments:
        examples = "".join(f"\n  {name} {example}" for example in command.examples)
        print(f"{name}: nothing to do: try{examples}\n{name} --help lists the flags", file=sys.stderr)
        sys.exit(WRONG_INPUT)

    def read(argv: Sequence[str]) -> list[str]:
        with errors_in_one_line(name):
            given = command.prepare(list(argv[1:]))
            if command.flagfiles:
                given = _named_flagfiles_first(given)
            return [argv[0], *parse(given)]

    def run(argv: Sequence[str]) -> None:
        # Not news to people without a TPU.
        logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
        with errors_in_one_line(name, command.errors):
            for module in FLAGS["import"].value or ():
                extensions.load(module)
            command.run(list(argv[1:]))

    app.run(run, argv=[name, *arguments], flags_parser=read)
    raise AssertionError("app.run ends the process")


@contextlib.contextmanager
def errors_in_one_line(name: str, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Within it, what people can mend ends the process with a line, and Ctrl-C without a traceback.

    Args:
      name: of the command, for the line.
      errors: what people can mend, apart from ValueError, OSError and too little memory.
    """

    def fail(message: object) -> NoReturn:
        print(f"{name}: error: {message}", file=sys.stderr)
        sys.exit(WRONG_INPUT)

    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads the output any more, as behind | head. At its end Python would try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_OUTPUT_CLOSED)
    except (ValueError, OSError) as error:
        fail(error)
    except errors as error:
        fail(error)
    except MemoryError as error:
        fail(_out_of_memory(error))
    except RuntimeError as error:
        if not str(error).startswith("RESOURCE_EXHAUSTED"):  # how XLA says it
            raise
        fail(_out_of_memory(error))
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _out_of_memory(error: Exception) -> str:
    detail = str(error).partition("\n")[0]
    return f"out of memory{f' ({detail})' * bool(detail)}: ask for fewer or smaller tasks, populations or caches"


def _named_flagfiles_first(arguments: list[str]) -> list[str]:
    """Arguments that name flagfiles become flags, before all others, which so win."""
    names = [argument for argument in arguments if argument in flagfile_names()]
    flags_before = [f"--flagfile={name}" for name in names]
    return [*flags_before, *(argument for argument in arguments if argument not in names)]


def no_more(arguments: Sequence[str], expected: str = "--name=value") -> None:
    """Refuses arguments that are no flags.

    Raises:
      ValueError: there is one.
    """
    if arguments:
        raise ValueError(f"unexpected argument {arguments[0]!r}, expected {expected}")
