"""Evolves programs: python scripts/evolve.py --flagfile=scripts/flagfiles/linear_demo.flags --output_dir=runs/demo

All settings are flags; `--help` lists them. See README.md.
"""

from __future__ import annotations

import logging
import pathlib
import signal
import sys
import types

from absl import app

try:
    import azero_jax
except ModuleNotFoundError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    import azero_jax

from azero_jax import experiment, flags
from azero_jax.reporting import Reporter
from azero_jax.workers import WorkerDied


class _StopSignal:
    """Remembers SIGINT and SIGTERM; a second one ends the process at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        self.number = number
        signal.signal(number, signal.SIG_DFL)


def main(arguments: list[str]) -> None:
    """Runs what the flags say; exits with 2 on wrong input, 130 or 143 when interrupted."""
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}: settings are given as --name=value")
    stop = _StopSignal()
    # Not news to people without a TPU.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)
    azero_jax.set_xla_flags()
    flags.use_compilation_cache()
    try:
        settings = flags.settings()
        output_dir = flags.output_dir()
        experiment.run(
            settings,
            output_dir=output_dir,
            resume=flags.FLAGS.resume,
            num_workers=flags.FLAGS.num_workers,
            progress_every=flags.FLAGS.progress_every,
            checkpoint_seconds=flags.FLAGS.checkpoint_seconds,
            stop_requested=lambda: stop.number is not None,
            reporter=Reporter(output_dir, tensorboard=flags.FLAGS.tensorboard),
        )
    except experiment.Interrupted:
        sys.exit(128 + (stop.number or 0))
    except (ValueError, OSError, WorkerDied) as error:
        print(f"evolve.py: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    flags.define()
    app.run(main)
