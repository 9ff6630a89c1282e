"""What a run tells: metrics.jsonl, progress on the terminal, and the results' files."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from typing import TextIO

from azero_jax.checkpoint import write_atomically

METRICS, BEST_PROGRAM, RESULT = "metrics.jsonl", "best_program.txt", "result.json"


class Reporter:
    """Writes progress to a terminal or a pipe, and metrics to a file.

    Args:
      directory: where metrics.jsonl goes; None for no file.
      stream: for people; a terminal also gets a live line between reports.

    Raises:
      OSError: the file cannot be written.
    """

    def __init__(self, directory: pathlib.Path | None, stream: TextIO = sys.stdout):
        self._stream = stream
        self._live = stream.isatty()
        self._last_live = 0.0
        self._metrics = open(directory / METRICS, "a", encoding="utf-8") if directory else None  # noqa: SIM115

    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""
        if self._metrics is None:
            return 0
        self._metrics.flush()
        return self._metrics.tell()

    def rewind(self, position: int) -> None:
        """Drops what metrics.jsonl holds behind a position."""
        if self._metrics is not None:
            self._metrics.truncate(position)
            self._metrics.seek(position)

    def line(self, text: str) -> None:
        """Prints a line."""
        self._erase()
        print(text, file=self._stream, flush=True)

    def progress(self, record: dict) -> None:
        """Appends a record to metrics.jsonl and prints the release's progress line."""
        if self._metrics is not None:
            self._metrics.write(json.dumps(record) + "\n")
            self._metrics.flush()
        self.line(
            f"indivs={record['individuals']}, elapsed_secs={record['elapsed_seconds']:.1f}, "
            f"mean={record['mean_fitness']:.6f}, stdev={record['stdev_fitness']:.6f}, "
            f"best fit={record['best_fitness']:.6f}, indivs/s={record['individuals_per_second']:.0f}"
        )

    def live(self, experiment: int, individuals: int, rate: float, best: float, share: float) -> None:
        """Redraws the live line, a few times per second, if there is a terminal."""
        if not self._live or time.monotonic() - self._last_live < 0.2:
            return
        self._last_live = time.monotonic()
        width = 24
        bar = "#" * round(width * min(share, 1)) if share == share else ""
        print(
            f"\r\x1b[Kexperiment {experiment} [{bar:<{width}}] {individuals:,} programs, {rate:,.0f}/s, "
            f"best {best:.6f}",
            end="",
            file=self._stream,
            flush=True,
        )

    def close(self) -> None:
        """Ends the live line and closes the file."""
        self._erase()
        if self._metrics is not None:
            self._metrics.close()

    def _erase(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=self._stream)


def write_best_program(directory: pathlib.Path, text: str) -> None:
    """Writes best_program.txt."""
    write_atomically(directory / BEST_PROGRAM, text.encode())


def write_result(directory: pathlib.Path, result: dict) -> None:
    """Writes result.json."""
    write_atomically(directory / RESULT, (json.dumps(result, indent=2) + "\n").encode())
