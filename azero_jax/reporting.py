"""What a run tells: metrics.jsonl, TensorBoard, and progress on the terminal."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
from typing import Any, TextIO

from azero_jax.files import JsonLines, is_closed_pipe

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"


class Reporter:
    """Writes progress to a terminal or a pipe, and metrics to files.

    Nothing is written before `open`.

    Args:
      directory: where metrics.jsonl goes; None for no file.
      stream: for people; by default what `sys.stdout` is now. A terminal also gets a live
        line between reports.
      tensorboard: whether TensorBoard's event files are written, too; None for what the
        run that is resumed did.

    Attributes:
      tensorboard: as given.
      closed: why nobody reads the stream any more, or None. What is told then goes to files only.

    Raises:
      OSError: a file cannot be written; methods raise it, too.
      ValueError: TensorBoard without a directory or without tensorboardX.
    """

    def __init__(
        self, directory: pathlib.Path | None, stream: TextIO | None = None, *, tensorboard: bool | None = None
    ):
        if tensorboard:
            if directory is None:
                raise ValueError("tensorboard needs an output directory")
            _summary_writer()
        self.tensorboard = tensorboard
        self.closed: OSError | None = None
        self._directory = directory
        self._writer: Any = None
        self._metrics: JsonLines | None = None
        self._stream = stream if stream is not None else sys.stdout
        self._started: tuple[int, float, float] | None = None
        self._live = self._stream.isatty()
        self._last_live = 0.0

    def check(self) -> None:
        """Checks that what is asked for is installed.

        Raises:
          ValueError: it is not.
        """
        if self.tensorboard:
            _summary_writer()

    def open(self, individuals: int | None = None) -> None:
        """Opens the files.

        Args:
          individuals: TensorBoard forgets what it was told from so many on; None for nothing.
        """
        if self._directory is None:
            return
        self._metrics = JsonLines(self._directory / METRICS)
        if self.tensorboard:
            self._open_tensorboard(individuals)

    def position(self) -> int:
        """Bytes of metrics.jsonl so far."""
        return self._metrics.position if self._metrics is not None else 0

    def rewind(self, position: int, individuals: int) -> None:
        """Drops what metrics.jsonl holds behind an earlier position, and TensorBoard from so many individuals on."""
        if self._metrics is not None:
            self._metrics.cut(position)
        if self._writer is not None:
            self._writer.close()
            self._open_tensorboard(individuals)

    def line(self, text: str) -> None:
        """Prints a line."""
        self._print(self._erasing() + text + "\n")

    def progress(self, record: dict, individuals: int) -> None:
        """Appends a record to metrics.jsonl and prints the release's progress line.

        Args:
          record: what to tell.
          individuals: programs made by the run, TensorBoard's step.
        """
        if self._metrics is not None:
            self._metrics.append(record)
        if self._writer is not None:
            for name, value in record.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, individuals)
            if "best_program" in record:
                indented = "".join(f"    {line}\n" for line in record["best_program"].splitlines())
                self._writer.add_text("best_program", indented, individuals)
            self._writer.flush()
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
        self._print(
            f"\r\x1b[Kexperiment {experiment} [{'#' * round(width * min(share, 1)):<{width}}] {share:.0%}, "
            f"at most {_duration(left)} left; {individuals:,} programs, {rate:,.0f}/s, best {best:.6f}"
        )

    def close(self) -> None:
        """Ends the live line and closes the files."""
        self._print(self._erasing())
        if self._metrics is not None:
            self._metrics.close()
        if self._writer is not None:
            with contextlib.suppress(OSError):  # what could not be written was told when it was tried
                self._writer.close()
        self._metrics = self._writer = None

    def _print(self, text: str) -> None:
        if self.closed is not None or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self.closed = error
            if not is_closed_pipe(error):
                error.filename = getattr(self._stream, "name", None)

    def _erasing(self) -> str:
        return "\r\x1b[K" if self._live else ""

    def _open_tensorboard(self, purge_step: int | None) -> None:
        assert self._directory is not None
        self._writer = _summary_writer()(str(self._directory / TENSORBOARD), purge_step=purge_step)


def _duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds; "?" for infinity."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _summary_writer() -> Any:
    try:
        import tensorboardX
    except ImportError as error:
        raise ValueError("tensorboard needs the package tensorboardX: pip install tensorboardX") from error
    return tensorboardX.SummaryWriter
