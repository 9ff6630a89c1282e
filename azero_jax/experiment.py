"""Experiments: search on T_search, selection on T_select, one final score on T_final.

As `run_search_experiment.cc`: experiments repeat until one of their candidates is
good enough on T_select or their number is used up; the winner is then scored on
tasks that nothing was chosen on. All is made and checked before a file is touched,
and what a run has found is on disk however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from azero_jax import (
    arguments,
    budgets,
    checkpoint,
    compile_cache,
    files,
    given_tasks,
    interrupts,
    report,
    reporting,
    run_state,
    selection,
    stages,
    trivial,
)
from azero_jax.ancestry import Ancestry, ancestry_of
from azero_jax.baselines import BASELINES
from azero_jax.evaluator import Evaluator
from azero_jax.initial_programs import text_of_programs
from azero_jax.interrupts import Interrupts
from azero_jax.islands import Finalists, IslandStatus
from azero_jax.liveness import simplify
from azero_jax.program import Program
from azero_jax.reporting import Glance
from azero_jax.run_directory import CHECKPOINT, RunDirectory, as_path
from azero_jax.run_records import RunReport, RunResult
from azero_jax.run_state import Candidate, Options, Progress, RunState
from azero_jax.settings import IslandSettings, Settings, changes
from azero_jax.task_specs import make_tasks, same_tasks
from azero_jax.tasks import Tasks
from azero_jax.version import versions
from azero_jax.workers import Islands, WorkerDied, check_workers

# Programs of each island between two looks at the budgets, where several islands do not
# exchange programs, which would decide it.
_LEG = 10_000
_MOST_DEATHS = 3
# Between two reports there is at least so many times the time that one takes.
_REPORT_PAUSE = 50


class Interrupted(Exception):
    """A run was asked to stop, or nobody reads its output; what it has found is on disk."""


class _Stop(Exception):
    """The run is to stop here."""


def run(
    settings: Settings | None = None,
    *,
    output_dir: str | os.PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    search_tasks: Tasks | None = None,
    select_tasks: Tasks | None = None,
    final_tasks: Tasks | None = None,
    initial_programs: Sequence[Program] | None = None,
    num_workers: int | None = None,
    progress_every: int | None = None,
    checkpoint_seconds: float | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    on_report: Callable[[RunReport], None] = lambda record: None,
    reporter: reporting.Reporter | None = None,
    signals: Interrupts | None = None,
) -> RunResult:
    """Runs experiments to the end.

    Args:
      settings: what to do; a run that is resumed has its own, which they may extend.
      output_dir: for metrics, the best program, the result and checkpoints; None
        writes nothing.
      resume: go on from the checkpoint in `output_dir`.
      overwrite: remove the run that is in `output_dir`, which is refused otherwise.
      search_tasks, select_tasks, final_tasks: tasks instead of those that the settings name.
        A run that is resumed needs them again.
      initial_programs: to start from, in turn until each population is full, instead of what
        the settings say.
      num_workers: processes that the islands are spread over; 0, the default, for this
        one. Results do not depend on it.
      progress_every: individuals between reports, by default 10,000.
      checkpoint_seconds: time between checkpoints, by default 60. These three default to
        what they were where a run is resumed.
      stop_requested: asked after every step.
      on_report: called with every record of metrics.jsonl; values are attributes, too.
      reporter: where progress goes; by default the terminal and `output_dir`.
      signals: that the caller hears; by default Ctrl-C is heard, in the main thread.

    Returns:
      What result.json holds; values are attributes, too, and notebooks show it.

    Raises:
      ValueError: settings that contradict each other or their tasks, a directory that
        holds a run or is in use, or a checkpoint of other settings. Nothing was touched.
      OSError: a file cannot be read or written; the best program so far has been printed.
      WorkerDied: workers die, or stop working, again and again.
      Interrupted: `stop_requested` or `signals` said so, or nobody reads the output; files
        are up to date.
      KeyboardInterrupt: Ctrl-C; files are up to date.
    """
    path = as_path(output_dir)
    _check_arguments(settings, path, resume, overwrite)
    settings = _with_given(
        settings,
        {"search_tasks": search_tasks, "select_tasks": select_tasks, "final_tasks": final_tasks},
        initial_programs,
    )
    reporter = reporter or reporting.Reporter(path)
    given = {"num_workers": num_workers, "progress_every": progress_every, "checkpoint_seconds": checkpoint_seconds}
    options = Options().changed(**given)
    with contextlib.ExitStack() as stack:
        ours = signals is None
        if signals is None:
            signals = stack.enter_context(interrupts.of_python(say))
        directory = stack.enter_context(RunDirectory(path, resume=resume, overwrite=overwrite)) if path else None
        if resume:
            assert directory is not None
            state = _resumed(directory, settings, given | {"tensorboard": reporter.tensorboard}, reporter)
            done = _finished(directory, state)
            if done is not None:
                reporter.line(_words_on_finished(done, directory))
                return RunResult(done)
        else:
            assert settings is not None
            options = options.changed(tensorboard=reporter.tensorboard)
            state = RunState(run_state.id_of(settings), settings, options, Progress())
        reporter.tensorboard = state.options.tensorboard
        runner = _Runner(state, directory, reporter, signals, stop_requested, on_report)
        try:
            return RunResult(runner.run(resume))
        except Interrupted:
            if ours and signals.requested():
                raise KeyboardInterrupt from None
            raise


def _check_arguments(settings: Settings | None, path: object, resume: bool, overwrite: bool) -> None:
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings: {type(settings).__name__}: expected Settings")
    if settings is None and not resume:
        raise ValueError("settings are missing: only a run that is resumed has its own")
    for name, value in (("resume", resume), ("overwrite", overwrite)):
        if value and path is None:
            raise ValueError(f"{name} needs an output directory")
    if resume and overwrite:
        raise ValueError("resume and overwrite: expected one of them")


def _with_given(
    settings: Settings | None, tasks: dict[str, Tasks | None], programs: Sequence[Program] | None
) -> Settings | None:
    """Settings that name the tasks and programs that `run` was given."""
    specs = {}
    for name, some in tasks.items():
        if some is not None:
            specs[name] = given_tasks.keep(arguments.instance(name, some, Tasks))
    text = None if programs is None else text_of_programs(programs)
    if settings is None:
        if text is not None:
            raise ValueError("initial_programs with resume: the run has begun: expected none")
        return None
    islands = []
    for island in settings.islands:
        search = island.search
        if text is not None:
            evolution = dataclasses.replace(search.evolution, initial_population=text)
            search = dataclasses.replace(search, evolution=evolution)
        islands.append(IslandSettings(specs.get("search_tasks", island.search_tasks), search))
    specs.pop("search_tasks", None)
    return dataclasses.replace(settings, islands=tuple(islands), **specs)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=16)
def _simplified(program: str, vector_labels: bool) -> str:
    return simplify(Program.from_text(program), vector_labels=vector_labels).to_text()


def say(text: str) -> None:
    """Tells people on the terminal, whatever becomes of the output."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


# Going on with a run.


def load(output_dir: str | os.PathLike) -> RunState:
    """The run in a directory, from its newest checkpoint that can be used.

    Raises:
      ValueError: there is none, or it is of another azero_jax.
    """
    path = as_path(output_dir)
    assert path is not None
    return run_state.load(path / CHECKPOINT)


def _resumed(
    directory: RunDirectory, settings: Settings | None, given: dict[str, Any], reporter: reporting.Reporter
) -> RunState:
    """The run in a directory, with what it is to do otherwise from now on."""
    state = run_state.load(directory.checkpoints)
    before = state.settings
    changed = changes(before, settings if settings is not None else before)
    if changed.refused:
        lines = changed.refused[:10] + ([f"and {len(changed.refused) - 10} more"] if len(changed.refused) > 10 else [])
        separator = " " if len(lines) == 1 else "\n  "
        raise ValueError(f"cannot resume with other settings:{separator}{separator.join(lines)}")
    options = state.options.changed(**given)
    new = [*changed.allowed, *_changed_options(state.options, options)]
    for line in new:
        reporter.line(f"resumed with another setting: {line}")
    return dataclasses.replace(state, settings=settings or before, options=options, changed=[*state.changed, *new])


def _changed_options(old: Options, new: Options) -> list[str]:
    before, now = dataclasses.asdict(old), dataclasses.asdict(new)
    return [f"{name} was {before[name]}, now {now[name]}" for name in before if before[name] != now[name]]


def _finished(directory: RunDirectory, state: RunState) -> dict | None:
    """The result of a run that has ended and is asked for nothing more."""
    result = directory.read_result()
    if result is None or result.get("status") != "finished" or result.get("run_id") != state.run_id:
        return None
    try:
        changed = changes(run_state.read_settings(result.get("settings")), state.settings)
    except ValueError:
        return None
    return None if changed.refused or changed.allowed else result


def _words_on_finished(result: dict, directory: RunDirectory) -> str:
    fitness = {name: result.get(f"{name}_fitness") for name in stages.STAGES}
    shown = ", ".join(f"{name} fitness {value:.6f}" for name, value in fitness.items() if isinstance(value, float))
    return (
        f"the run in {directory.path} is finished ({shown}): nothing to do; "
        "larger budgets, as in --max_individuals, let it go on\n" + str(result.get("program", ""))
    )


class _Runner:
    """One run, from its settings to its result."""

    islands: Islands
    status: list[IslandStatus]
    saved: RunState

    def __init__(
        self,
        state: RunState,
        directory: RunDirectory | None,
        reporter: reporting.Reporter,
        signals: Interrupts,
        stop_requested: Callable[[], bool],
        on_report: Callable[[RunReport], None],
    ):
        self.state = state
        self.settings = state.settings
        self.progress = state.progress
        self.directory = directory
        self.reporter = reporter
        self.signals = signals
        self.stop_requested = stop_requested
        self.on_report = on_report
        self.clock = budgets.Clock(state.progress.seconds_before)
        self.last_checkpoint = time.monotonic()
        self.saved_position = 0
        self.deaths = 0
        self.told_of_compiling = False
        self.next_report = 0.0
        self.best_so_far = state.best()
        self.status = []

    # The run, top to bottom.

    def run(self, resume: bool) -> dict:
        """Checks everything, takes the directory over and runs experiments."""
        self.reporter.line("reading data and making tasks")
        with self.signals.at_once("the tasks are made"):
            self.reporter.check()
            check_workers(self.settings, self.state.options.num_workers)
            self.stages = stages.make(self.settings)
        for note in self.stages.notes:
            self.reporter.line(note)
        try:
            self._take_over(resume)
            with self._ends_well():
                while not self._run_experiment():
                    pass
                return self._finish()
        finally:
            self.reporter.close()

    def _take_over(self, resume: bool) -> None:
        """Makes the directory this run's, with a checkpoint that it could go on from."""
        if self.directory is None:
            self.saved = self.state.copy()
            return
        self.directory.take_over(self._result("running"), resume)
        if resume:
            self._keep_metrics(self.directory)
        self.reporter.open(self.state.individuals if resume else None)
        if resume:
            self._score_winner_again()
        self._save(self.state)

    def _keep_metrics(self, directory: RunDirectory) -> None:
        """Cuts metrics.jsonl to what was told before the checkpoint, and says if something is missing."""
        path, progress = directory.path / reporting.METRICS, self.progress

        def is_before(record: dict) -> bool:
            if record.get("run_id") != self.state.run_id:
                raise ValueError(
                    f"{path} is of run {record.get('run_id')}, the checkpoint of {self.state.run_id}: move it away"
                )
            place = record.get("experiment"), record.get("individuals")
            known = all(isinstance(value, int) for value in place)
            return known and place <= (progress.experiment, progress.last_report)

        kept = files.keep_lines(path, is_before)
        if kept.damaged:
            self.reporter.line(f"{path}: {kept.damaged} damaged lines are dropped")
        if kept.records < progress.num_reports:
            missing = progress.num_reports - kept.records
            self.reporter.line(f"{path}: {missing} of {progress.num_reports} reports are missing: it has a gap")

    def _score_winner_again(self) -> None:
        """Scores candidates anew if T_select has changed since they were."""
        progress = self.progress
        if not any(line.startswith("select_tasks") for line in self.state.changed):
            return
        tasks = self._select_tasks()
        for candidate in filter(None, (progress.winner, progress.candidate)):
            program = Program.from_text(candidate.program)
            candidate.select_fitness = (
                candidate.search_fitness
                if tasks is None
                else float(self._evaluator("select", tasks).evaluate([program]).fitness.mean())
            )
        progress.tried = []

    @contextlib.contextmanager
    def _ends_well(self) -> Iterator[None]:
        """Writes what was found, however the run ends."""
        try:
            yield
        except (_Stop, KeyboardInterrupt) as error:
            self._write_end("interrupted")
            self._print_best("interrupted")
            if self.reporter.closed is not None:
                raise Interrupted(f"nobody reads the output any more: {self.reporter.closed}") from error
            raise (KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else Interrupted) from None
        except BaseException as error:
            with contextlib.suppress(OSError):  # the error that is raised may be that nothing can be written
                self._write_end("failed", f"{type(error).__name__}: {error}")
            self._print_best("stopped")
            raise

    def _run_experiment(self) -> bool:
        """Runs one experiment, again from where it was last saved if a worker dies; whether it was the last."""
        progress = self.progress
        self.select_tasks = self._select_tasks()
        self.saved, self.saved_position = self.state.copy(), self.reporter.position()
        while True:
            try:
                self._search()
                break
            except WorkerDied as error:
                self._go_back(error)
                if self._must_stop():  # all is on disk as it was saved
                    raise _Stop from None
        progress = self.progress
        winner, candidate = progress.winner, progress.candidate
        assert candidate is not None
        self.reporter.line(
            f"experiment {progress.experiment}: candidate search fitness {candidate.search_fitness:.6f}, "
            f"select fitness {candidate.select_fitness:.6f}"
        )
        if self._suffices(winner) or progress.experiment == self.settings.max_experiments or self._out_of_time():
            return True
        self.state.progress = self.progress = Progress(
            progress.experiment + 1,
            progress.individuals_before,
            progress.seconds_before,
            num_reports=progress.num_reports,
            winner=winner,
            ancestry=progress.ancestry,
            candidate=candidate,
        )
        return False

    def _search(self) -> None:
        """Makes the islands, searches until a budget is used up or a candidate suffices, then selects."""
        with self.signals.at_once("the compilation"), self._announced():
            self.islands = Islands(
                self.settings, self.progress.experiment, self.state.options.num_workers, self.saved.snapshots
            )
        try:
            self.status = self.islands.status()
            if self.saved.snapshots is None:  # else the first step compiles
                self.clock.search_begins(self._individuals_of_run())
            sufficient = self._suffices(self.progress.winner)
            self.signals.doing = "the compilation"  # the first step may compile what is left
            while not (sufficient or self._is_over()):
                if self._must_stop():
                    self._checkpoint()
                    raise _Stop
                sufficient = self._advance()
                self.signals.doing = "this step"
                if time.monotonic() - self.last_checkpoint > self.state.options.checkpoint_seconds:
                    self._checkpoint()
            self._checkpoint()
            self.clock.search_ends(self._individuals_of_run())
            if not sufficient:
                self._select(self.islands.finalists(), self.settings.funnel_rounds)
            if self.progress.last_report < self._individuals():
                self._report()
            self.progress.individuals_before += self._individuals()
            self.state.snapshots, self.status = None, []
        finally:
            self.islands.close()

    def _finish(self) -> dict:
        """Scores the winner on T_final and writes the results."""
        settings, winner = self.settings, self.progress.winner
        assert winner is not None
        self.best_so_far = winner
        program = Program.from_text(winner.program)
        final_fitness, baseline_fitness = None, None
        tasks = self.stages.final
        scores = {}
        if tasks is not None:
            scores["final_fitness_per_task"] = self._evaluator("final", tasks).evaluate([program]).fitness[0]
            final_fitness = float(scores["final_fitness_per_task"].mean())
            if settings.final_baseline:
                scores["final_baseline_per_task"] = np.asarray(BASELINES[settings.final_baseline](tasks), np.float64)
                baseline_fitness = float(scores["final_baseline_per_task"].mean())
        result = self._result("finished", final_fitness, baseline_fitness)
        result |= {name: values.tolist() for name, values in scores.items()}
        result |= {"trivial": self._is_trivial(program)}
        if self.directory is not None:
            self.directory.write_best_program(self._text(winner.program))
            self._tell_how_it_came_about()
            self.directory.write_result(result)
            self.next_report = 0.0
            self._write_report()
        self.reporter.line(f"final fitness {final_fitness:.6f}" if final_fitness is not None else "no final tasks")
        if baseline_fitness is not None:
            self.reporter.line(f"{settings.final_baseline} on the same tasks {baseline_fitness:.6f}")
        self.reporter.line(self._text(winner.program))
        if result["trivial"]:
            self.reporter.line(trivial.NOTE)
        return result

    def _announced(self) -> contextlib.AbstractContextManager[None]:
        """Within it the islands of the first experiment are made, which compiles; later ones say nothing."""
        if self.told_of_compiling:
            return contextlib.nullcontext()
        self.told_of_compiling = True
        return compile_cache.announced(self.reporter.line, len(self.settings.islands[0].search.space.every_op))

    def _is_trivial(self, program: Program) -> bool:
        """Whether the winner ignores features, on the last tasks there are."""
        stage, tasks = "final", self.stages.final
        if tasks is None:
            stage, tasks = "select", self.select_tasks
        if tasks is None:
            stage, tasks = "search", make_tasks(self.settings.islands[0].search_tasks)
        return trivial.is_trivial(program, tasks, lambda some: self._evaluator(stage, some))

    # Steps of it.

    def _advance(self) -> bool:
        """Goes on to where the islands next meet, and says whether a program suffices on T_select.

        A lone island meets itself after every step.
        """
        progress = self.progress
        if min(status.individuals for status in self.status) >= progress.target:
            progress.target = self._next_target()
        self.status = self.islands.advance(progress.target, self._must_pause)
        if not self.clock.is_searching:
            self.clock.search_begins(self._individuals_of_run())
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

    def _must_stop(self) -> bool:
        return self.signals.requested() or self.stop_requested() or self.reporter.closed is not None

    def _must_pause(self) -> bool:
        due = time.monotonic() - self.last_checkpoint > self.state.options.checkpoint_seconds
        return due or self._must_stop() or self._out_of_time()

    def _tell(self) -> bool:
        """Reports, and says whether a best program suffices on T_select."""
        settings, progress = self.settings, self.progress
        individuals = self._individuals()
        best_fitness = max(status.best_fitness for status in self.status)
        best_ever = max(status.best_ever for status in self.status)
        if best_ever > progress.best_fitness:
            progress.best_fitness, progress.improved_at = best_ever, individuals
        reports = individuals - progress.last_report >= self.state.options.progress_every
        if reports:
            self._report()
        self.reporter.live(
            progress.experiment,
            Glance(
                individuals,
                self._rate(),
                best_fitness,
                float(np.mean([status.mean_fitness for status in self.status])),
                sum(status.cache_hits for status in self.status) / individuals,
            ),
            self._share_of_budgets(),
        )
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
        islands = [island for island, some in enumerate(finalists) for _ in some.programs]
        if self.select_tasks is None:
            best = int(np.argmax(fitness))
            select_fitness = fitness[best]
        else:
            programs = [Program.from_text(text) for text in texts]
            best, select_fitness = selection.select(
                programs, self.select_tasks, funnel_rounds, lambda tasks: self._evaluator("select", tasks)
            )
        candidate = Candidate(texts[best], fitness[best], select_fitness, self.progress.experiment, islands[best])
        self.progress.candidate = candidate
        winner = self.progress.winner
        if winner is None or candidate.select_fitness > winner.select_fitness:
            self.progress.winner, self.progress.ancestry = candidate, self._ancestry(candidate)
        return candidate

    def _suffices(self, candidate: Candidate | None) -> bool:
        return candidate is not None and candidate.select_fitness > self.settings.sufficient_fitness

    def _report(self) -> None:
        progress, islands = self.progress, self.islands.report()
        progress.last_report = self._individuals()
        progress.num_reports += 1
        fitness = np.concatenate([island.fitness for island in islands])
        number = max(range(len(islands)), key=lambda island: islands[island].best.fitness[0])
        best = islands[number].best
        record: dict[str, Any] = {
            "run_id": self.state.run_id,
            "experiment": progress.experiment,
            "individuals": progress.last_report,
            "train_steps": self._train_steps(),
            "elapsed_seconds": self.clock.elapsed(),
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
            record["best_program"] = self._text(progress.told)
        self.best_so_far = progress.winner or self._candidate(best, number)
        self.reporter.progress(record, progress.individuals_before + progress.last_report)
        self.on_report(RunReport(record))

    def _candidate(self, best: Finalists, island: int) -> Candidate:
        return Candidate(best.programs[0], best.fitness[0], experiment=self.progress.experiment, island=island)

    def _ancestry(self, candidate: Candidate) -> Ancestry:
        """How a program of this experiment's islands was found."""
        program = Program.from_text(candidate.program)
        return ancestry_of(program, candidate.island, self.progress.experiment, self.islands.histories())

    def _print_best(self, why: str) -> None:
        best = self.best_so_far
        if best is not None:
            self.reporter.line(f"{why}; best program so far, with search fitness {best.search_fitness:.6f}:")
            self.reporter.line(self._text(best.program))

    def _evaluator(self, stage: str, tasks: Tasks) -> Evaluator:
        return stages.evaluator(self.settings, stage, tasks)

    def _text(self, program: str) -> str:
        """A program's text without its dead instructions."""
        return _simplified(program, self.settings.vector_labels)

    def _select_tasks(self) -> Tasks | None:
        """T_select of this experiment."""
        spec = stages.specs(self.settings, self.progress.experiment, 0)["select"]
        return self.stages.select if same_tasks(spec, self.settings.select_tasks) else make_tasks(spec)

    # Budgets.

    def _individuals(self) -> int:
        return sum(status.individuals for status in self.status)

    def _individuals_of_run(self) -> int:
        return self.progress.individuals_before + self._individuals()

    def _train_steps(self) -> int:
        return sum(status.train_steps for status in self.status)

    def _rate(self) -> float:
        return self.clock.rate(self._individuals_of_run())

    def _out_of_time(self) -> bool:
        return budgets.out_of_time(self.settings, self.clock.elapsed())

    def _is_over(self) -> bool:
        """Whether a budget is used up; but for time, only where islands meet, so that pauses change nothing."""
        if self._out_of_time():
            return True
        if min(status.individuals for status in self.status) < self.progress.target:
            return False
        return self._share_of_budgets() >= 1 or budgets.is_stagnant(
            self.settings, self._individuals(), self.progress.improved_at
        )

    def _share_of_budgets(self) -> float:
        return budgets.share_used(self.settings, self._individuals(), self._train_steps(), self.clock.elapsed())

    # Files, and what a run goes on from.

    def _result(self, status: str, final_fitness: float | None = None, baseline_fitness: float | None = None) -> dict:
        """What result.json holds."""
        best = self.best_so_far
        select = best.select_fitness if best is not None else math.nan
        individuals = self._individuals_of_run() if self.status else self.state.individuals
        described = stages.describe(self.settings, *((best.experiment, best.island) if best else (1, 0)))
        return {
            "run_id": self.state.run_id,
            "status": status,
            "search_fitness": best.search_fitness if best is not None else None,
            "select_fitness": None if math.isnan(select) else select,
            "final_fitness": final_fitness,
            "final_baseline_fitness": baseline_fitness,
            "program": self._text(best.program) if best is not None else None,
            "individuals": individuals,
            "experiments": self.progress.experiment,
            "elapsed_seconds": self.clock.elapsed(),
            "random_seed": self.settings.random_seed,
            "stages": {name: dataclasses.asdict(how) for name, how in described.items()},
            "changed_on_resume": list(self.state.changed),
            "versions": versions(),
            "settings": dataclasses.asdict(self.settings),
        }

    def _write_end(self, status: str, error: str | None = None) -> None:
        if self.directory is not None:
            self.directory.write_result(self._result(status) | ({"error": error} if error else {}))
            self.next_report = 0.0
            self._write_report()

    def _checkpoint(self) -> None:
        """Saves where the run is: for workers that die in memory, and on disk."""
        self.last_checkpoint = time.monotonic()
        every_best = self.islands.best()
        number = max(range(len(every_best)), key=lambda island: every_best[island].fitness[0])
        self.best_so_far = self.progress.winner or self._candidate(every_best[number], number)
        if self.directory is None and not self.state.options.num_workers:
            return
        self.state.snapshots = self.islands.snapshot()
        self.saved, self.saved_position = self.state.copy(), self.reporter.position()
        self.deaths = 0
        if self.directory is not None:
            self.directory.write_result(self._result("running"))
            self._save(self.saved)
            self._tell_how_it_came_about()
            self._write_report()

    def _write_report(self) -> None:
        """Writes report.html, but not so often that it takes much of the run's time."""
        if self.directory is None or time.monotonic() < self.next_report:
            return
        began = time.monotonic()
        report.write_report(self.directory.path)
        self.next_report = time.monotonic() + _REPORT_PAUSE * (time.monotonic() - began)

    def _tell_how_it_came_about(self) -> None:
        """Writes ancestry.json."""
        if self.directory is None or self.best_so_far is None:
            return
        ancestry = self.progress.ancestry
        if self.progress.winner is None and self.status:
            ancestry = self._ancestry(self.best_so_far)
        if ancestry is not None:
            self.directory.write_ancestry(self.state.run_id, ancestry)

    def _save(self, state: RunState) -> None:
        """Writes a checkpoint, and the best program so far."""
        assert self.directory is not None
        if self.best_so_far is not None:
            self.directory.write_best_program(self._text(self.best_so_far.program))
        checkpoint.save(self.directory.checkpoints, *run_state.to_checkpoint(state, self.clock.elapsed()))

    def _go_back(self, error: WorkerDied) -> None:
        """After a worker died, to where the run was last saved."""
        self.deaths += 1
        if self.deaths == _MOST_DEATHS:
            raise WorkerDied(f"{error}; {_MOST_DEATHS} workers died since the last checkpoint") from error
        where = "from the last checkpoint" if self.saved.snapshots else "from the start of this experiment"
        self.reporter.line(f"{error}; going on {where} with new workers")
        self.clock.search_ends(self._individuals_of_run())
        self.status = []
        self.state = self.saved.copy()
        self.progress = self.state.progress
        self.reporter.rewind(self.saved_position, self.state.individuals)
