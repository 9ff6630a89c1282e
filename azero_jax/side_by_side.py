"""Two versions of this project measured in turn, so that what else the machine does hits both alike."""

from __future__ import annotations

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence

from azero_jax.speed_ratios import KEY, key, paired_ratio, read_rows, speed, table

_END_SECONDS = 10.0


class SideBySide:
    """What two versions measured so far, round by round."""

    def __init__(self) -> None:
        self._rows: dict[tuple, dict] = {}
        self._speeds: dict[tuple, tuple[list[float], list[float]]] = {}
        self.rounds = 0

    def add(self, before: Sequence[dict], after: Sequence[dict]) -> None:
        """Adds a round.

        Raises:
          ValueError: the two have no row in common.
        """
        old, new = ({key(row): row for row in rows} for rows in (before, after))
        common = [some for some in old if some in new]
        if not common:
            raise ValueError("the two versions have no row in common")
        self.rounds += 1
        for some in common:
            self._rows[some] = new[some]
            for speeds, row in zip(self._speeds.setdefault(some, ([], [])), (old[some], new[some])):
                speeds.append(speed(row))

    def lines(self) -> list[str]:
        """A table of medians and ratios."""
        rows = []
        for some, (old, new) in self._speeds.items():
            spreads = " ".join(
                f"{(max(values) - min(values)) / statistics.median(values):.0%}" for values in (old, new)
            )
            before, after = statistics.median(old), statistics.median(new)
            rows.append((self._rows[some], before, after, spreads, paired_ratio(old, new)))
        return (
            [*table(rows), f"Medians and intervals are over {self.rounds} processes of each, in turn."] if rows else []
        )

    def record(self) -> list[dict]:
        """The same as JSON."""
        found = []
        for some, (old, new) in self._speeds.items():
            ratio = paired_ratio(old, new)
            speeds = {"speeds_before": old, "speeds_after": new}
            found.append(dict(zip(KEY, some)) | speeds | {"ratio": ratio.value, "ratio_95_percent": ratio.interval})
        return found


def check_out(revision: str, root: pathlib.Path, directory: pathlib.Path) -> None:
    """Puts the files of a revision into an empty directory.

    Args:
      revision: as git names it.
      root: of the clone.
      directory: where to.

    Raises:
      ValueError: no clone, or no such revision.
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel").decode().strip()
        if pathlib.Path(top).resolve() != root.resolve():
            raise ValueError(f"{root} is not the root of a clone")
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        content = _git(root, "archive", "--format=tar", commit.decode().strip())
    except FileNotFoundError as error:
        raise ValueError("needs git, which is not installed") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(said[-1] if said else "no such revision") from error
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(directory, filter="data")
    if not (directory / "scripts" / "benchmark.py").is_file():
        raise ValueError("that revision has no scripts/benchmark.py")


def _git(root: pathlib.Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True).stdout


def rounds(
    before: pathlib.Path, after: pathlib.Path, flags: Sequence[str], count: int, say: Callable[[str], None]
) -> Iterator[tuple[list[dict], list[dict]]]:
    """Measures two versions in turn; who is first changes from round to round.

    Args:
      before, after: their roots.
      flags: of the benchmark.
      count: of rounds.
      say: gets a line before each process.

    Raises:
      ValueError: one of them fails; its last words are in the message.
    """
    for number in range(1, count + 1):
        rows: dict[pathlib.Path, list[dict]] = {}
        for root in (before, after) if number % 2 else (after, before):
            say(f"round {number} of {count}: {'before' if root == before else 'after'}")
            rows[root] = _measure(root, flags)
        yield rows[before], rows[after]


def _measure(root: pathlib.Path, flags: Sequence[str]) -> list[dict]:
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as directory:
        result = pathlib.Path(directory) / "rows.json"
        command = [sys.executable, str(root / "scripts" / "benchmark.py"), *flags, f"--json={result}"]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                process.wait()
            finally:
                end(process)
            if process.returncode:
                errors.seek(0)
                last = "".join(errors.read().strip().splitlines()[-1:])
                raise ValueError(f"{root}: the process ended with {process.returncode}: {last}")
        return read_rows(str(result))


def end(process: subprocess.Popen) -> None:
    """Interrupts a process, so that it can end its own, and kills it if it takes long."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
