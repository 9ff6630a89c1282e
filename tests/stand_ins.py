"""Stand-ins for packages that the docs name and the tests do not install: the few functions that are called.

Signatures are those of wandb 0.31 and mlflow 3.17, with which docs/tracking.md was tried.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import sys
import types


class Calls(list):
    """What was called, as tuples of the function's name and its arguments."""

    def named(self, name):
        """The arguments of each call of a function."""
        return [arguments for called, *arguments in self if called == name]


def wandb(monkeypatch) -> Calls:
    """Puts a stand-in for wandb in its place; returns what will be called."""
    calls = Calls()

    class Run:
        def __init__(self):
            self.summary = {}
            calls.append(("run", self))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls.append(("finish",))

        def define_metric(self, name, step_metric=None):
            calls.append(("define_metric", name, step_metric))

        def log(self, data, step=None):
            assert step is None and all(isinstance(value, (int, float)) for value in data.values())
            calls.append(("log", data))

    module = types.ModuleType("wandb")
    module.init = lambda *, project, config: calls.append(("init", project, config)) or Run()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def mlflow(monkeypatch) -> Calls:
    """Puts a stand-in for mlflow in its place; returns what will be called."""
    calls, active = Calls(), []

    @contextlib.contextmanager
    def start_run(*, run_name=None):
        active.append(run_name)
        yield
        active.pop()

    def called(name, check):
        def function(*arguments, **named):
            assert active, "no run is active"
            check(*arguments, **named)
            calls.append((name, *arguments, *named.values()))

        return function

    def check_metrics(metrics, step=None):
        assert all(isinstance(value, (int, float)) and math.isfinite(value) for value in metrics.values())
        assert step is None or isinstance(step, int)

    module = types.ModuleType("mlflow")
    module.start_run = start_run
    module.log_params = called("log_params", lambda params: None)
    module.log_metrics = called("log_metrics", check_metrics)
    module.log_text = called("log_text", lambda text, artifact_file: None)
    module.log_artifact = called("log_artifact", lambda local_path: pathlib.Path(local_path).read_bytes())
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return calls
