"""The pages: what is on them, and where; the templates beside this file say how it looks."""

from __future__ import annotations

import functools
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np

from azero_jax import dataflow, flags, repeating, trivial
from azero_jax.export.latex import to_latex
from azero_jax.files import write_atomically
from azero_jax.intervals import interval
from azero_jax.program import Program
from azero_jax.report import charts, story
from azero_jax.report.charts import Bar, Mark, Scores, Series
from azero_jax.report.flow_graph import flow_graph
from azero_jax.report.gloss import gloss
from azero_jax.report.run_files import RunFiles, read_run
from azero_jax.run_directory import REPORT

_HERE = pathlib.Path(__file__).parent
_MOST_CHANGES = 60
_MOST_IMPROVEMENTS = 80
_MOST_POINTS = 600
_COUNTERS = {
    "algebraic_hits": "known by their algebra",
    "equivalence_hits": "known by their behaviour",
    "budget_stops": "over the train budget",
    "hurdle_stops": "stopped at the hurdle",
    "evaluations": "evaluated",
}


def write_report(output_dir: pathlib.Path, output: pathlib.Path | None = None) -> pathlib.Path:
    """Writes the page of one run.

    Args:
      output_dir: of the run.
      output: the file; by default report.html in that directory.

    Returns:
      The file.

    Raises:
      ValueError: there is no run, or a file of it is damaged.
      OSError: a file cannot be read or written.
    """
    path = output_dir / REPORT if output is None else output
    write_atomically(path, _render("run.html.jinja", **_of_run(read_run(output_dir))).encode())
    return path


def compare_runs(output_dirs: Sequence[pathlib.Path], output: pathlib.Path) -> pathlib.Path:
    """Writes a page of several runs side by side.

    Args:
      output_dirs: of the runs.
      output: the file.

    Returns:
      The file.

    Raises:
      ValueError: there is no run in one of them, or a file is damaged.
      OSError: a file cannot be read or written.
    """
    runs = [read_run(path) for path in output_dirs]
    write_atomically(output, _render("runs.html.jinja", **_of_runs(runs)).encode())
    return output


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fitness": _fitness, "duration": _duration, "whole": lambda number: f"{number:,.0f}"}
    return environment


def _render(template: str, **content: Any) -> str:
    style, script = ((_HERE / name).read_text() for name in ("style.css", "script.js"))
    return _environment().get_template(template).render(style=style, script=script, **content)


def _fitness(value: float | None) -> str:
    return "none" if value is None or math.isnan(value) else f"{value:.4f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


# One run.


def _of_run(run: RunFiles) -> dict[str, Any]:
    vector_labels = run.settings.vector_labels
    improvements, num_improvements = story.changes(run.improvements, vector_labels, _MOST_IMPROVEMENTS)
    steps, num_steps = story.changes(run.steps, vector_labels, _MOST_CHANGES)
    return {
        "name": run.path.resolve().name,
        "status": run.status,
        "result": run.result,
        "program": _of_program(run),
        "over_programs": _curve(run, improvements, over_time=False),
        "over_time": _curve(run, improvements, over_time=True),
        "improvements": improvements,
        "num_improvements": num_improvements,
        "steps": steps,
        "num_steps": num_steps,
        "num_islands": len(run.settings.islands),
        "sizes": _sizes(improvements),
        "scores": _scores(run),
        "work": _work(run),
        "islands": run.metrics[-1].get("islands", []) if run.metrics else [],
        "last": run.metrics[-1] if run.metrics else None,
        "settings": _differing(run),
        "command": repeating.command_of(run.settings),
        "settings_json": json.dumps(run.result.get("settings"), indent=1),
    }


def _of_program(run: RunFiles) -> dict[str, Any] | None:
    """The best program, told in four ways."""
    if not run.program:
        return None
    program, vector_labels = Program.from_text(run.program), run.settings.vector_labels
    return {
        "text": run.program,
        "gloss": gloss(program, vector_labels),
        "graph": flow_graph(program, vector_labels),
        "latex": to_latex(program, loss="multiclass_accuracy" if vector_labels else "rmse"),
        "size": story.num_instructions(run.program),
        "note": trivial.NOTE if run.result.get("trivial") else "",
        "carried": sorted(dataflow.carried_by_predict(program, vector_labels)),
    }


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points, the last among them."""
    if len(points) <= _MOST_POINTS:
        return points
    places = np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int))
    return [points[place] for place in places]


def _points(records: Sequence[dict[str, Any]], x: str, y: str) -> list[tuple[float, float]]:
    return _thinned([(float(record[x]), float(record[y])) for record in records if record.get(y) is not None])


def _curve(run: RunFiles, improvements: Sequence[story.Change], *, over_time: bool) -> str:
    """Fitness against programs, or time, with the programs that became best."""
    if run.experiment is None:
        return ""
    x, x_name = ("elapsed_seconds", "seconds") if over_time else ("individuals", "programs")
    others = sorted({record["experiment"] for record in run.metrics} - {run.experiment})
    lines = [Series("", _points(run.of_experiment(number), x, "best_fitness"), "other") for number in others[-20:]]
    if lines:
        lines[0] = lines[0]._replace(name="best of the population, other experiments")
    own = run.of_experiment(run.experiment)
    made = [step.individuals for step in run.improvements]
    at: list[float] = run.seconds_at(made) if over_time else [float(count) for count in made]
    best = [(place, step.fitness) for place, step in zip(at, run.improvements)]
    if own and best:
        best.append((max(float(own[-1][x]), best[-1][0]), best[-1][1]))
    lines += [
        Series("mean of the population", _points(own, x, "mean_fitness"), "mean"),
        Series("best so far", best, "best", steps=True),
    ]
    told = [step.individuals for step in improvements]
    places = run.seconds_at(told) if over_time else told
    marks = [
        Mark(
            place,
            step.fitness,
            f"best-{step.number}",
            f"fitness {step.fitness:.4f} after {step.individuals:,} programs",
        )
        for place, step in zip(places, improvements)
    ]
    label = f"Fitness against {x_name}: best so far and mean of the population"
    return charts.line_chart(label, lines, x_name, "fitness", marks)


def _sizes(improvements: Sequence[story.Change]) -> str:
    """Fitness against size, of the programs that became best."""
    if not improvements:
        return ""
    marks = [
        Mark(
            story.num_instructions(step.program),
            step.fitness,
            f"best-{step.number}",
            f"{story.num_instructions(step.program)} instructions, fitness {step.fitness:.4f}",
        )
        for step in improvements
    ]
    path = Series("", [(mark.x, mark.y) for mark in marks], "other")
    label = "Fitness against live instructions, of the programs that became best"
    return charts.line_chart(label, [path], "live instructions", "fitness", marks)


def _scores(run: RunFiles) -> dict[str, Any] | None:
    """Fitness of each final task, beside the baseline's."""
    own = run.result.get("final_fitness_per_task")
    if not own:
        return None
    models = [_score("the program", own, "of-program")]
    if baseline := run.result.get("final_baseline_per_task"):
        models.append(_score(run.settings.final_baseline.replace("_", " "), baseline, "of-baseline"))
    label = "Fitness on each final task: " + ", ".join(f"{model.name} {model.mean:.4f} on average" for model in models)
    better = None
    if baseline and len(baseline) == len(own):
        better = sum(mine > theirs for mine, theirs in zip(own, baseline))
    return {
        "models": models,
        "chart": charts.scores_chart(label, models, "fitness"),
        "better": better,
        "tasks": len(own),
    }


def _score(name: str, values: Sequence[float], style: str) -> Scores:
    mean, half_width = interval(values)
    half_width = 0.0 if math.isnan(half_width) else half_width
    return Scores(name, values, mean, mean - half_width, mean + half_width, style)


def _work(run: RunFiles) -> str:
    """What became of the programs that were made."""
    if not run.metrics:
        return ""
    last = run.metrics[-1]
    parts = [Bar(words, last.get(name, 0), f"part-{name}") for name, words in _COUNTERS.items() if last.get(name)]
    return charts.parts_chart("What became of the programs of the last experiment", parts)


def _differing(run: RunFiles) -> list[tuple[str, str, str]]:
    """Flags that are not at their defaults: name, value, default."""
    texts = repeating.flags_of(run.settings) or ()
    defaults = _defaults()
    rows = []
    for text in texts:
        name, equals, value = text.removeprefix("--").partition("=")
        if not equals:
            name, value = (name, "true") if name in defaults else (name.removeprefix("no"), "false")
        rows.append((name, value, defaults.get(name, "")))
    return rows


@functools.cache
def _defaults() -> dict[str, str]:
    values = flags.defaults()
    found = {}
    for name in values:
        default = values[name].default
        found[name] = ",".join(map(str, default)) if isinstance(default, list) else str(default).lower()
        found[name] = "" if default is None else found[name]
    return found


# Several runs.


def _of_runs(runs: Sequence[RunFiles]) -> dict[str, Any]:
    names = _short_names([run.path for run in runs])
    rows = [
        {
            "name": name,
            "run": run,
            "result": run.result,
            "style": f"run-{number % 8}",
            "size": story.num_instructions(run.program) if run.program else None,
            "programs": run.result.get("individuals", 0),
        }
        for number, (name, run) in enumerate(zip(names, runs))
    ]
    final = [run.result["final_fitness"] for run in runs if isinstance(run.result.get("final_fitness"), float)]
    return {
        "rows": rows,
        "over_programs": _curves(rows, "programs_of_run", "programs"),
        "over_time": _curves(rows, "elapsed_seconds", "seconds"),
        "final": _score("", final, "") if len(final) > 1 else None,
        "settings": _differences_of(runs, names),
        "names": names,
    }


def _short_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """Names of directories, with those above where they would be the same."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(some[-depth:]) for some in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(some[-1:])} ({number})" for number, some in enumerate(parts, 1)]


def _curves(rows: Sequence[dict[str, Any]], x: str, x_name: str) -> str:
    """The best fitness of each run so far."""
    lines = []
    for row in rows:
        points, best, before, last = [], 0.0, 0, 0
        experiment = 1
        for record in row["run"].metrics:
            if record["experiment"] != experiment:
                experiment, before, last = record["experiment"], before + last, 0
            last = record["individuals"]
            best = max(best, float(record["best_fitness"]))
            points.append((float(before + last if x == "programs_of_run" else record[x]), best))
        lines.append(Series(row["name"], _thinned(points), row["style"], steps=True))
    return charts.line_chart(f"Best fitness of each run so far against {x_name}", lines, x_name, "best fitness so far")


def _differences_of(runs: Sequence[RunFiles], names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Flags in which runs differ: the name, and the value of each run."""
    tables = [{name: value for name, value, _ in _differing(run)} for run in runs]
    every = list(dict.fromkeys(name for table in tables for name in table))
    defaults = _defaults()
    rows = [(name, [table.get(name, defaults.get(name, "")) for table in tables]) for name in every]
    return [(name, values) for name, values in rows if len(set(values)) > 1]
