"""Evolves programs: azero evolve linear_demo --output_dir=runs/demo

All settings are flags; `--help` lists them. See README.md.
"""

from __future__ import annotations

import signal
import sys
import types

import azero_jax
from azero_jax import experiment, flags
from azero_jax.command_line import Command, flagfile_names, no_more
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


def run(arguments: list[str]) -> None:
    """Runs what the flags say; exits with 130 or 143 when interrupted."""
    no_more(arguments, f"--name=value, or one of the flagfiles {', '.join(flagfile_names())}")
    stop = _StopSignal()
    azero_jax.set_xla_flags()
    flags.use_compilation_cache()
    flags.use_own_data()
    settings = flags.settings()
    output_dir = flags.output_dir()
    try:
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


COMMAND = Command(
    usage="[FLAGFILE] --name=value ...",
    what="""Evolves programs on search tasks, chooses among them on select tasks, and scores the winner once on
    final tasks. Settings are flags; a flagfile holds some, and flags on the line win.""",
    examples=(
        "linear_demo --output_dir=runs/demo",
        "digits_demo --output_dir=runs/digits --max_individuals=100000",
        "--data=mine.csv --label=price --output_dir=runs/mine",
        "--output_dir=runs/demo --resume",
    ),
    define=flags.define,
    run=run,
    errors=(WorkerDied,),
    flagfiles=True,
)
