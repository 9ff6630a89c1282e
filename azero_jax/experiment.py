"""Experiments: search on T_search, selection on T_select, one final score on T_final.

As `run_search_experiment.cc`: experiments repeat until one of their candidates is
good enough on T_select or their number is used up; the winner is then scored on
tasks that nothing was chosen on.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from azero_jax import checkpoint, reporting, selection
from azero_jax.baselines import BASELINES
from azero_jax.evaluator import Evaluator
from azero_jax.islands import Finalists, IslandStatus, Snapshot
from azero_jax.liveness import simplify
from azero_jax.program import Program
from azero_jax.search import make_evaluator
from azero_jax.settings import Settings, differences, island_seeds
from azero_jax.task_specs import make_tasks
from azero_jax.tasks import Tasks
from azero_jax.version import versions
from azero_jax.workers import Islands, WorkerDied

# Programs of each island between two looks at the budgets, where several islands do not
# exchange programs, which would decide it.
_LEG = 10_000
_MOST_DEATHS = 3


class Interrupted(Exception):
    """A run was asked to stop; what it has found is on disk."""


@dataclasses.dataclass
class Candidate:
    """A program, with its fitness on T_search and T_select (NaN before it was selected)."""

    program: str
    search_fitness: float
    select_fitness: float = float("nan")


@dataclasses.dataclass
class _Progress:
    """What changes while a run goes on, apart from the islands themselves."""

    experiment: int = 1
    individuals_before: int = 0  # of finished experiments
    seconds_before: float = 0.0  # of the process that was resumed
    target: int = 0  # programs of each island when they next meet
    last_report: int = 0  # individuals of this experiment at the last progress line
    winner: Candidate | None = None
    candidate: Candidate | None = None  # the last that was scored on T_select
    best_fitness: float = 0.0  # ever seen in this experiment
    improved_at: int = 0  # individuals when it was first seen
    tried: list[str] = dataclasses.field(default_factory=list)  # programs last tried on T_select
    told: str = ""  # the best program of the last report that had one


@dataclasses.dataclass
class _Saved:
    """Where a run goes on after a worker died."""

    progress: _Progress
    snapshots: list[Snapshot] | None
    metrics_bytes: int


def run(
    settings: Settings,
    *,
    output_dir: pathlib.Path | None = None,
    resume: bool = False,
    num_workers: int = 0,
    progress_every: int = 10_000,
    checkpoint_seconds: float = 60.0,
    stop_requested: Callable[[], bool] = lambda: False,
    on_report: Callable[[dict], None] = lambda record: None,
    reporter: reporting.Reporter | None = None,
) -> dict:
    """Runs experiments to the end.

    Args:
      settings: what to do.
      output_dir: for metrics, the best program, the result and checkpoints; None
        writes nothing.
      resume: go on from the checkpoint in `output_dir`.
      num_workers: processes that the islands are spread over; 0 for this one. Results
        do not depend on it.
      progress_every: individuals between reports.
      checkpoint_seconds: time between checkpoints.
      stop_requested: asked after every step.
      on_report: called with every record of metrics.jsonl.
      reporter: where progress goes; by default the terminal and `output_dir`.

    Returns:
      What result.json holds.

    Raises:
      ValueError: settings that contradict each other, or a checkpoint of other settings.
      OSError: a file cannot be written; the best program so far has been printed.
      WorkerDied: workers die again and again.
      Interrupted: `stop_requested` said so; files are up to date.
    """
    runner = _Runner(settings, output_dir, num_workers, progress_every, checkpoint_seconds, stop_requested, on_report)
    runner.reporter = reporter or reporting.Reporter(output_dir)
    return runner.run(resume)


class _Runner:
    """One run, from its settings to its result."""

    reporter: reporting.Reporter
    islands: Islands
    status: list[IslandStatus]
    saved: _Saved

    def __init__(
        self, settings, output_dir, num_workers, progress_every, checkpoint_seconds, stop_requested, on_report
    ):
        self.settings = settings
        self.output_dir = output_dir
        self.num_workers = num_workers
        self.progress_every = progress_every
        self.checkpoint_seconds = checkpoint_seconds
        self.stop_requested = stop_requested
        self.on_report = on_report
        if output_dir is not None:
            output_dir.mkdir(parents=True, exist_ok=True)
        self.progress = _Progress()
        self.started = self.last_checkpoint = time.monotonic()
        self.individuals_at_start = 0
        self.deaths = 0
        self.best_so_far: Candidate | None = None

    # The run, top to bottom.

    def run(self, resume: bool) -> dict:
        settings = self.settings
        snapshots = None
        if resume:
            snapshots = self._restore()
        elif self.output_dir is not None:
            checkpoint.clear(self.output_dir / "checkpoint")
            self.reporter.rewind(0, 0)
        progress = self.progress
        try:
            while True:
                self._run_experiment(snapshots)
                progress, snapshots = self.progress, None
                winner, candidate = progress.winner, progress.candidate
                assert candidate is not None
                self.reporter.line(
                    f"experiment {progress.experiment}: candidate search fitness {candidate.search_fitness:.6f}, "
                    f"select fitness {candidate.select_fitness:.6f}"
                )
                if self._suffices(winner) or progress.experiment == settings.max_experiments or self._out_of_time():
                    break
                self.progress = _Progress(
                    progress.experiment + 1,
                    progress.individuals_before,
                    progress.seconds_before,
                    winner=winner,
                    candidate=candidate,
                )
            return self._finish()
        except OSError:
            self._print_best("stopped")
            raise
        finally:
            self.reporter.close()

    def _run_experiment(self, snapshots: list[Snapshot] | None) -> None:
        """Runs one experiment, again from where it was last saved if a worker dies."""
        self.saved = _Saved(copy.deepcopy(self.progress), snapshots, self.reporter.position())
        self.select_tasks = self._make_select_tasks()
        while True:
            try:
                self.islands = Islands(self.settings, self.progress.experiment, self.num_workers, self.saved.snapshots)
                try:
                    self.status = self.islands.status()
                    self._search()
                    return
                finally:
                    self.islands.close()
            except WorkerDied as error:
                self._go_back(error)

    def _search(self) -> None:
        """Searches until a budget is used up or a candidate suffices, then selects."""
        progress = self.progress
        sufficient = self._suffices(progress.winner)
        while not (sufficient or self._is_over()):
            if self.stop_requested():
                self._interrupt()
            sufficient = self._advance()
            if time.monotonic() - self.last_checkpoint > self.checkpoint_seconds:
                self._checkpoint()
        self._checkpoint()
        if not sufficient:
            self._select(self.islands.finalists(), self.settings.funnel_rounds)
        if progress.last_report < self._individuals():
            self._report()
        progress.individuals_before += self._individuals()

    def _finish(self) -> dict:
        """Scores the winner on T_final and writes the results."""
        settings, winner = self.settings, self.progress.winner
        assert winner is not None
        program = Program.from_text(winner.program)
        final_fitness, baseline_fitness = None, None
        if settings.final_tasks:
            tasks = make_tasks(settings.final_tasks)
            final_fitness = float(self._evaluator(tasks).evaluate([program]).fitness.mean())
            if settings.final_baseline:
                baseline_fitness = float(BASELINES[settings.final_baseline](tasks).mean())
        result = self._result(winner, final_fitness, "finished") | {"final_baseline_fitness": baseline_fitness}
        if self.output_dir is not None:
            reporting.write_best_program(self.output_dir, self._text(program))
            reporting.write_result(self.output_dir, result)
        self.reporter.line(f"final fitness {final_fitness:.6f}" if final_fitness is not None else "no final tasks")
        if baseline_fitness is not None:
            self.reporter.line(f"{settings.final_baseline} on the same tasks {baseline_fitness:.6f}")
        self.reporter.line(self._text(program))
        return result

    # Steps of it.

    def _advance(self) -> bool:
        """Goes on to where the islands next meet, and says whether a program suffices on T_select.

        A lone island meets itself after every step.
        """
        progress = self.progress
        if min(status.individuals for status in self.status) >= progress.target:
            progress.target = self._next_target()
        self.status = self.islands.advance(progress.target, self._must_pause)
        if min(status.individuals for status in self.status) < progress.target:
            return False
        every = self.settings.migration.every
        if len(self.status) > 1 and every and progress.target % every == 0:
            self.islands.exchange(progress.target // every)
            self.status = self.islands.status()
        return self._tell()

    def _next_target(self) -> int:
        least = min(status.individuals for status in self.status)
        if len(self.status) == 1:
            return least + 1
        every = self.settings.migration.every or _LEG
        target = (max(least, self.progress.target) // every + 1) * every
        limit = -(-self.settings.max_individuals // len(self.status))
        return min(target, limit) if limit > least else target

    def _must_pause(self) -> bool:
        due = time.monotonic() - self.last_checkpoint > self.checkpoint_seconds
        return due or self.stop_requested() or self._out_of_time()

    def _tell(self) -> bool:
        """Reports, and says whether a best program suffices on T_select."""
        settings, progress = self.settings, self.progress
        individuals = self._individuals()
        best_fitness = max(status.best_fitness for status in self.status)
        best_ever = max(status.best_ever for status in self.status)
        if best_ever > progress.best_fitness:
            progress.best_fitness, progress.improved_at = best_ever, individuals
        reports = individuals - progress.last_report >= self.progress_every
        if reports:
            self._report()
        self.reporter.live(progress.experiment, individuals, self._rate(), best_fitness, self._share_of_budgets())
        # T_select often has more training examples, and lets a program pass sooner.
        if math.isfinite(settings.sufficient_fitness) and (reports or best_fitness > settings.sufficient_fitness):
            best = self.islands.best()
            programs = [program for finalists in best for program in finalists.programs]
            if programs != progress.tried:
                progress.tried = programs
                return self._suffices(self._select(best, 1))
        return False

    def _select(self, finalists: Sequence[Finalists], funnel_rounds: int) -> Candidate:
        """The best of finalists on T_select, kept if it is better than the winner."""
        texts = [text for some in finalists for text in some.programs]
        fitness = [value for some in finalists for value in some.fitness]
        if self.select_tasks is None:
            best = int(np.argmax(fitness))
            select_fitness = fitness[best]
        else:
            programs = [Program.from_text(text) for text in texts]
            best, select_fitness = selection.select(programs, self.select_tasks, funnel_rounds, self._evaluator)
        candidate = Candidate(texts[best], fitness[best], select_fitness)
        self.progress.candidate = candidate
        winner = self.progress.winner
        if winner is None or candidate.select_fitness > winner.select_fitness:
            self.progress.winner = candidate
        return candidate

    def _suffices(self, candidate: Candidate | None) -> bool:
        return candidate is not None and candidate.select_fitness > self.settings.sufficient_fitness

    def _report(self) -> None:
        progress, islands = self.progress, self.islands.report()
        progress.last_report = self._individuals()
        fitness = np.concatenate([island.fitness for island in islands])
        best = max((island.best for island in islands), key=lambda some: some.fitness[0])
        record: dict[str, Any] = {
            "experiment": progress.experiment,
            "individuals": progress.last_report,
            "train_steps": self._train_steps(),
            "elapsed_seconds": self._elapsed(),
            "individuals_per_second": self._rate(),
            "best_fitness": float(fitness.max()),
            "mean_fitness": float(fitness.mean()),
            "stdev_fitness": float(fitness.std()),
            "unique_programs": sum(island.unique_programs for island in islands),
        }
        for name in islands[0].counters:
            record[name] = sum(island.counters[name] for island in islands)
        record["hurdle_fitness"] = max(island.hurdle_fitness for island in islands)
        record["restarts"] = sum(island.restarts for island in islands)
        if len(islands) > 1:
            every = self.settings.migration.every
            record["migrations"] = progress.target // every if every else 0
            record["islands"] = [
                {
                    "individuals": island.status.individuals,
                    "best_fitness": island.status.best_fitness,
                    "mean_fitness": float(island.fitness.mean()),
                    "hurdle_fitness": island.hurdle_fitness,
                }
                for island in islands
            ]
        if best.programs[0] != progress.told:
            progress.told = best.programs[0]
            record["best_program"] = self._text(Program.from_text(progress.told))
        self.best_so_far = progress.winner or Candidate(best.programs[0], best.fitness[0])
        self.reporter.progress(record, progress.individuals_before + progress.last_report)
        self.on_report(record)

    def _interrupt(self) -> None:
        self._checkpoint()
        best = self.best_so_far
        if self.output_dir is not None and best is not None:
            result = self._result(best, None, "interrupted", self._individuals())
            reporting.write_result(self.output_dir, result)
        self._print_best("interrupted")
        raise Interrupted

    def _print_best(self, why: str) -> None:
        best = self.best_so_far
        if best is not None:
            self.reporter.line(f"{why}; best program so far, with search fitness {best.search_fitness:.6f}:")
            self.reporter.line(self._text(Program.from_text(best.program)))

    def _evaluator(self, tasks: Tasks) -> Evaluator:
        return make_evaluator(tasks, self.settings.islands[0].search, self.settings.random_seed)

    def _text(self, program: Program) -> str:
        """A program's text without its dead instructions."""
        return simplify(program, vector_labels=self.settings.vector_labels).to_text()

    def _make_select_tasks(self) -> Tasks | None:
        settings = self.settings
        if not settings.select_tasks:
            return None
        drawn = None
        if settings.randomize_task_seeds:
            drawn, _ = island_seeds(settings, self.progress.experiment, 0)
            make_tasks(settings.islands[0].search_tasks, random_seeds=drawn)  # T_search draws first
        return make_tasks(settings.select_tasks, random_seeds=drawn)

    # Budgets.

    def _individuals(self) -> int:
        return sum(status.individuals for status in self.status)

    def _train_steps(self) -> int:
        return sum(status.train_steps for status in self.status)

    def _elapsed(self) -> float:
        return self.progress.seconds_before + time.monotonic() - self.started

    def _rate(self) -> float:
        made = self.progress.individuals_before + self._individuals() - self.individuals_at_start
        return made / max(time.monotonic() - self.started, 1e-9)

    def _out_of_time(self) -> bool:
        return bool(self.settings.max_seconds) and self._elapsed() >= self.settings.max_seconds

    def _is_over(self) -> bool:
        """Whether a budget is used up; but for time, only where islands meet, so that pauses change nothing."""
        meet = min(status.individuals for status in self.status) >= self.progress.target
        return self._out_of_time() or (meet and self._share_used() >= 1)

    def _share_of_budgets(self) -> float:
        """Share of the budget that is closest to its end, as far as one can tell how fast it is used."""
        settings = self.settings
        used = (
            (self._individuals(), settings.max_individuals),
            (self._train_steps(), settings.max_train_steps),
            (self._elapsed(), settings.max_seconds),
        )
        return max((amount / limit for amount, limit in used if limit), default=0.0)

    def _share_used(self) -> float:
        stagnant, limit = self._individuals() - self.progress.improved_at, self.settings.max_stagnant_individuals
        return max(self._share_of_budgets(), stagnant / limit if limit else 0.0)

    # Files, and what a run goes on from.

    def _result(self, best: Candidate, final_fitness: float | None, status: str, individuals: int = 0) -> dict:
        """What result.json holds; `individuals` are those of an experiment that is not finished."""
        progress, select = self.progress, best.select_fitness
        return {
            "status": status,
            "search_fitness": best.search_fitness,
            "select_fitness": None if math.isnan(select) else select,
            "final_fitness": final_fitness,
            "program": self._text(Program.from_text(best.program)),
            "individuals": progress.individuals_before + individuals,
            "experiments": progress.experiment,
            "elapsed_seconds": self._elapsed(),
            "random_seed": self.settings.random_seed,
            "versions": versions(),
            "settings": dataclasses.asdict(self.settings),
        }

    def _checkpoint(self) -> None:
        """Saves where the run is: for workers that die in memory, and on disk."""
        self.last_checkpoint = time.monotonic()
        best = max(self.islands.best(), key=lambda some: some.fitness[0])
        self.best_so_far = self.progress.winner or Candidate(best.programs[0], best.fitness[0])
        if self.output_dir is None and not self.num_workers:
            return
        snapshots = self.islands.snapshot()
        self.saved = _Saved(copy.deepcopy(self.progress), snapshots, self.reporter.position())
        self.deaths = 0
        if self.output_dir is None:
            return
        text = self._text(Program.from_text(self.best_so_far.program))
        reporting.write_best_program(self.output_dir, text)
        record = {
            "settings": dataclasses.asdict(self.settings),
            "versions": versions(),
            "progress": dataclasses.asdict(self.progress) | {"seconds_before": self._elapsed()},
            "metrics_bytes": self.saved.metrics_bytes,
            "islands": [values for values, _ in snapshots],
        }
        arrays = {
            f"{island}.{name}": array for island, (_, some) in enumerate(snapshots) for name, array in some.items()
        }
        checkpoint.save(self.output_dir / "checkpoint", record, arrays)

    def _restore(self) -> list[Snapshot]:
        if self.output_dir is None:
            raise ValueError("resume needs an output directory")
        record, arrays = checkpoint.load(self.output_dir / "checkpoint")
        checkpoint.check_versions(record["versions"])
        changed = differences(record["settings"], dataclasses.asdict(self.settings))
        if changed:
            raise ValueError("cannot resume with other settings: " + "; ".join(changed))
        values = record["progress"]
        for name in ("winner", "candidate"):
            values[name] = Candidate(**values[name]) if values[name] else None
        self.progress = _Progress(**values)
        individuals = self.progress.individuals_before + sum(values["individuals"] for values in record["islands"])
        self.individuals_at_start = individuals
        self.reporter.rewind(record["metrics_bytes"], individuals)
        snapshots: list[Snapshot] = [(values, {}) for values in record["islands"]]
        for name, array in arrays.items():
            island, _, own_name = name.partition(".")
            snapshots[int(island)][1][own_name] = array
        return snapshots

    def _go_back(self, error: WorkerDied) -> None:
        """After a worker died, to where the run was last saved."""
        self.deaths += 1
        if self.deaths == _MOST_DEATHS:
            raise WorkerDied(f"{error}; {_MOST_DEATHS} workers died since the last checkpoint") from error
        self.reporter.line(f"{error}; going on from the last checkpoint with new workers")
        self.progress = copy.deepcopy(self.saved.progress)
        before = self.saved.snapshots or []
        individuals = self.progress.individuals_before + sum(values["individuals"] for values, _ in before)
        self.reporter.rewind(self.saved.metrics_bytes, individuals)
