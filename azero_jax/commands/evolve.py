"""Evolves programs: azero evolve linear_demo --output_dir=runs/demo

All settings are flags; `--help` lists them. See README.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings

import azero_jax
from azero_jax import experiment, files, flags
from azero_jax.command_line import WRONG_INPUT, Command, flagfile_names, no_more
from azero_jax.interrupts import Interrupts, command_signals
from azero_jax.reporting import Reporter
from azero_jax.workers import WorkerDied

_PIPE_CLOSED = 128 + getattr(signal, "SIGPIPE", 13)


def run(arguments: list[str]) -> None:
    """Runs what the flags say; exits with 128 and the number of the signal that ended it."""
    no_more(arguments, f"--name=value, or one of the flagfiles {', '.join(flagfile_names())}")
    warnings.showwarning = lambda message, *where, **more: experiment.say(f"evolve: warning: {message}")
    signals = Interrupts(experiment.say, end_at_second=True)
    with signals.heard(command_signals()):
        azero_jax.set_xla_flags()
        flags.use_compilation_cache()
        flags.use_own_data()
        output_dir = flags.output_dir()
        resume = flags.FLAGS.resume
        settings = flags.settings(stored=experiment.load(output_dir).settings if output_dir and resume else None)
        reporter = Reporter(output_dir, tensorboard=flags.given("tensorboard"))
        try:
            experiment.run(
                settings,
                output_dir=output_dir,
                resume=resume,
                overwrite=flags.FLAGS.overwrite,
                num_workers=flags.given("num_workers"),
                progress_every=flags.given("progress_every"),
                checkpoint_seconds=flags.given("checkpoint_seconds"),
                reporter=reporter,
                signals=signals,
            )
            code = 0
        except (experiment.Interrupted, KeyboardInterrupt):
            code = 128 + signals.number if signals.number else _PIPE_CLOSED
        if reporter.closed is not None:
            code = _leave_output(reporter.closed, code)
    sys.exit(code)


def _leave_output(closed: OSError, code: int) -> int:
    """Sees to it that what is left of an output that cannot be written is not tried again; returns the exit code."""
    if not files.is_closed_pipe(closed):
        experiment.say(f"evolve: error: the output cannot be written: {closed}")
        code = WRONG_INPUT
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


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
