"""What a run tells: metrics.jsonl, TensorBoard, progress on the terminal, and the results' files."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
from typing import Any, TextIO

from azero_jax.checkpoint import write_atomically

METRICS, BEST_PROGRAM, RESULT, TENSORBOARD = "metrics.jsonl", "best_program.txt", "result.json", "tensorboard"


class Reporter:
    """Writes progress to a terminal or a pipe, and metrics to files.

    Args:
      directory: where metrics.jsonl goes; None for no file.
      stream: for people; a terminal also gets a live line between reports.
      tensorboard: whether TensorBoard's event files are written, too.

    Raises:
      OSError: a file cannot be written; methods raise it, too.
      ValueError: TensorBoard without a directory or without tensorboardX.
    """

    def __init__(self, directory: pathlib.Path | None, stream: TextIO = sys.stdout, *, tensorboard: bool = False):
        if tensorboard and directory is None:
            raise ValueError("tensorboard needs an output directory")
        self._directory = directory
        self._tensorboard = _open_tensorboard(directory, None) if tensorboard and directory else None
        self._stream = stream
        self._started: tuple[int, float, float] | None = None
        self._live = stream.isatty()
        self._last_live = 0.0
        self._metrics = open(directory / METRICS, "a", encoding="utf-8") if directory else None  # noqa: SIM115

    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""
        if self._metrics is None:
            return 0
        self._metrics.flush()
        return self._metrics.tell()

    def rewind(self, position: int, individuals: int) -> None:
        """Drops what metrics.jsonl holds behind a position, and TensorBoard from so many individuals on."""
        if self._metrics is not None:
            self._metrics.truncate(position)
            self._metrics.seek(position)
        if self._tensorboard is not None and self._directory is not None:
            self._tensorboard.close()
            self._tensorboard = _open_tensorboard(self._directory, individuals)

    def line(self, text: str) -> None:
        """Prints a line."""
        self._erase()
        print(text, file=self._stream, flush=True)

    def progress(self, record: dict, individuals: int) -> None:
        """Appends a record to metrics.jsonl and prints the release's progress line.

        Args:
          record: what to tell.
          individuals: programs made by the run, TensorBoard's step.
        """
        if self._metrics is not None and self._directory is not None:
            try:
                self._metrics.write(json.dumps(record) + "\n")
                self._metrics.flush()
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._directory / METRICS)) from error
        if self._tensorboard is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)):
                    self._tensorboard.add_scalar(name, value, individuals)
            if "best_program" in record:
                indented = "".join(f"    {line}\n" for line in record["best_program"].splitlines())
                self._tensorboard.add_text("best_program", indented, individuals)
            self._tensorboard.flush()
        self.line(
            f"indivs={record['individuals']}, elapsed_secs={record['elapsed_seconds']:.1f}, "
            f"mean={record['mean_fitness']:.6f}, stdev={record['stdev_fitness']:.6f}, "
            f"best fit={record['best_fitness']:.6f}, indivs/s={record['individuals_per_second']:.0f}"
        )

    def live(self, experiment: int, individuals: int, rate: float, best: float, share: float) -> None:
        """Redraws the live line, a few times per second, if there is a terminal.

        Args:
          experiment, individuals, rate, best: to show.
          share: of the budget that ends the experiment.
        """
        now = time.monotonic()
        if not self._live or now - self._last_live < 0.2:
            return
        self._last_live = now
        if self._started is None or self._started[0] != experiment:
            self._started = (experiment, now, share)
        _, since, from_share = self._started
        left = (1 - share) * (now - since) / (share - from_share) if share > from_share else float("inf")
        width = 24
        print(
            f"\r\x1b[Kexperiment {experiment} [{'#' * round(width * min(share, 1)):<{width}}] {share:.0%}, "
            f"at most {_duration(left)} left; {individuals:,} programs, {rate:,.0f}/s, best {best:.6f}",
            end="",
            file=self._stream,
            flush=True,
        )

    def close(self) -> None:
        """Ends the live line and closes the file."""
        self._erase()
        if self._metrics is not None:
            # What could not be written was told when it was tried.
            with contextlib.suppress(OSError):
                self._metrics.close()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _erase(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=self._stream)


def _duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds; "?" for infinity."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _open_tensorboard(directory: pathlib.Path, purge_step: int | None) -> Any:
    try:
        import tensorboardX
    except ImportError as error:
        raise ValueError("tensorboard needs the package tensorboardX: pip install tensorboardX") from error
    return tensorboardX.SummaryWriter(str(directory / TENSORBOARD), purge_step=purge_step)


def write_best_program(directory: pathlib.Path, text: str) -> None:
    """Writes best_program.txt."""
    write_atomically(directory / BEST_PROGRAM, text.encode())


def write_result(directory: pathlib.Path, result: dict) -> None:
    """Writes result.json."""
    write_atomically(directory / RESULT, (json.dumps(result, indent=2) + "\n").encode())
