"""Makes a page of one run, or of several side by side.

azero report runs/demo
azero report runs/seed1 runs/seed2 --output=seeds.html
"""

from __future__ import annotations

import pathlib

from azero_jax import report
from azero_jax.command_line import FLAGS, Command, Group, check_writable

_OF_SEVERAL = "report.html"


def define() -> None:
    """Defines the flags."""
    page = Group("The page")
    page.text("picture", None, "file for a picture of one run instead, SVG: its curve and its program")
    page.text(
        "output",
        None,
        f"file of the page; by default {_OF_SEVERAL} in the run's directory, or in this one for several runs",
    )


def run(arguments: list[str]) -> None:
    """Writes the page and says where it is."""
    if not arguments:
        raise ValueError("no run: expected the output directories of one run or of several")
    paths = [pathlib.Path(argument) for argument in arguments]
    if FLAGS.picture and (len(paths) > 1 or FLAGS.output):
        raise ValueError("--picture is of one run, and instead of a page: expected one run and no --output")
    check_writable("output", FLAGS.output)
    check_writable("picture", FLAGS.picture)
    output = pathlib.Path(FLAGS.output) if FLAGS.output else None
    if FLAGS.picture:
        print(report.write_picture(paths[0], pathlib.Path(FLAGS.picture)))
    elif len(paths) == 1:
        print(report.write_report(paths[0], output))
    else:
        print(report.compare_runs(paths, output or pathlib.Path(_OF_SEVERAL)))


COMMAND = Command(
    usage="RUN [RUN ...]",
    what="""Makes one HTML file, which needs no network, of the output directory of a run. Several runs are put side by
    side.""",
    examples=("runs/demo", "runs/seed1 runs/seed2 --output=seeds.html", "runs/demo --picture=demo.svg"),
    define=define,
    run=run,
)
