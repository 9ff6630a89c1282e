"""What people see of a run on a terminal and in a notebook."""

from __future__ import annotations

import io

from azero_jax.reporting import Glance, Reporter

GLANCE = Glance(individuals=12_000, rate=3456.7, best=0.91234, mean=0.5, hits=0.85)


class Terminal(io.StringIO):
    def isatty(self):
        return True


# As the stream of a notebook's kernel: no terminal, of a class of that package.
Notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})


def test_the_live_line_shows_what_matters():
    reporter = Reporter(None, stream := Terminal())
    reporter.live(2, GLANCE, 0.25)
    line = stream.getvalue().removeprefix("\r\x1b[K")
    for part in (
        "experiment 2",
        "25%",
        "left",
        "12,000 programs",
        "3,457/s",
        "85% cached",
        "best 0.9123",
        "mean 0.5000",
    ):
        assert part in line
    reporter.live(2, GLANCE, 0.26)
    assert stream.getvalue().count("experiment") == 1  # too soon
    reporter.line("a line")
    assert stream.getvalue().endswith("\r\x1b[Ka line\n")


def test_a_notebook_gets_a_live_line_without_control_sequences():
    reporter = Reporter(None, stream := Notebook())
    reporter.live(1, GLANCE, 0.5)
    shown = stream.getvalue().removeprefix("\r")
    assert "best 0.9123" in shown and "\x1b" not in shown
    reporter.line("a line")
    length = len(shown.strip("\r"))
    assert stream.getvalue().endswith("\r" + " " * length + "\ra line\n")


def test_no_live_line_goes_to_a_pipe():
    reporter = Reporter(None, stream := io.StringIO())
    reporter.live(1, GLANCE, 0.5)
    assert stream.getvalue() == ""
