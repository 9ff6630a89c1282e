"""What a run tells: metrics.jsonl, TensorBoard, and progress on the terminal."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
from typing import Any, NamedTuple, TextIO

from azero_jax.files import JsonLines, is_closed_pipe

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"


# Between two live lines; a notebook keeps what it is sent.
_LIVE_SECONDS, _LIVE_SECONDS_IN_NOTEBOOKS = 0.2, 1.0


class Glance(NamedTuple):
    """What the live line shows of an experiment.

    Attributes:
      individuals: programs made.
      rate: programs per second.
      best, mean: fitness of the population.
      hits: share of programs whose fitness was known from a cache.
    """

    individuals: int
    rate: float
    best: float
    mean: float
    hits: float


class Reporter:
    """Writes progress to a terminal or a pipe, and metrics to files.

    Nothing is written before `open`.

    Args:
      directory: where metrics.jsonl goes; None for no file.
      stream: for people; by default what `sys.stdout` is now. A terminal and a notebook also
        get a live line between reports.
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
        self._in_notebook = _is_notebook(self._stream)
        self._live = self._in_notebook or self._stream.isatty()
        self._last_live = 0.0
        self._shown = 0

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
            f"best fit={record['best_fitness']:.6f}, indivs/s={record['individuals_per_second']:.0f}, "
            f"cached={_cached(record):.0%}"
        )

    def live(self, experiment: int, glance: Glance, share: float) -> None:
        """Redraws the live line, a few times per second, if there is a terminal or a notebook.

        Args:
          experiment: its number.
          glance: to show.
          share: of the budget that ends the experiment.
        """
        now = time.monotonic()
        pause = _LIVE_SECONDS_IN_NOTEBOOKS if self._in_notebook else _LIVE_SECONDS
        if not self._live or now - self._last_live < pause:
            return
        self._last_live = now
        if self._started is None or self._started[0] != experiment:
            self._started = (experiment, now, share)
        _, since, from_share = self._started
        left = (1 - share) * (now - since) / (share - from_share) if share > from_share else float("inf")
        width = 24
        line = (
            f"experiment {experiment} [{'#' * round(width * min(share, 1)):<{width}}] {share:.0%}, "
            f"at most {_duration(left)} left; {glance.individuals:,} programs, {glance.rate:,.0f}/s, "
            f"{glance.hits:.0%} cached, best {glance.best:.4f}, mean {glance.mean:.4f}"
        )
        self._print(self._erasing() + line)
        self._shown = len(line)

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
        """What removes the live line."""
        if not self._live:
            return ""
        shown, self._shown = self._shown, 0
        return "\r" + " " * shown + "\r" if self._in_notebook else "\r\x1b[K"

    def _open_tensorboard(self, purge_step: int | None) -> None:
        assert self._directory is not None
        self._writer = _summary_writer()(str(self._directory / TENSORBOARD), purge_step=purge_step)


def _is_notebook(stream: TextIO) -> bool:
    """Whether a stream goes to a notebook, which returns to the start of a line but erases nothing."""
    return type(stream).__module__.startswith("ipykernel")


def _duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds; "?" for infinity."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _cached(record: dict) -> float:
    """Share of programs whose fitness was known from a cache."""
    return (record["algebraic_hits"] + record["equivalence_hits"]) / max(1, record["individuals"])


def _summary_writer() -> Any:
    try:
        import tensorboardX
    except ImportError as error:
        raise ValueError("tensorboard needs the package tensorboardX: pip install tensorboardX") from error
    return tensorboardX.SummaryWriter
