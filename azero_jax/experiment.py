"""Experiments: search on T_search, selection on T_select, one final score on T_final.

As `run_search_experiment.cc`: experiments repeat until one of their candidates is
good enough on T_select or their number is used up; the winner is then scored on
tasks that nothing was chosen on.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable

import numpy as np

from azero_jax import checkpoint, evolution, reporting
from azero_jax.baselines import BASELINES
from azero_jax.evaluator import Evaluator
from azero_jax.evolution import EvolutionState
from azero_jax.liveness import simplify
from azero_jax.mutation import Mutator
from azero_jax.program import Population, Program
from azero_jax.scoring import Counters, Scorer
from azero_jax.settings import Settings, differences
from azero_jax.task_specs import make_tasks
from azero_jax.version import versions


class Interrupted(Exception):
    """A run was asked to stop; what it has found is on disk."""


@dataclasses.dataclass
class Candidate:
    """A program, with its fitness on T_search and T_select (NaN before it was selected)."""

    program: str
    search_fitness: float
    select_fitness: float = float("nan")


@dataclasses.dataclass
class _Run:
    """What changes while a run goes on, apart from the state of the search itself."""

    experiment: int = 1
    individuals_before: int = 0  # of finished experiments
    seconds_before: float = 0.0  # of the process that was resumed
    last_report: int = 0  # individuals of this experiment at the last progress line
    winner: Candidate | None = None
    best_fitness: float = 0.0  # ever seen in this experiment
    improved_at: int = 0  # individuals when it was first seen
    tried: str = ""  # program that was last tried on T_select during the search


def run(
    settings: Settings,
    *,
    output_dir: pathlib.Path | None = None,
    resume: bool = False,
    progress_every: int = 10_000,
    checkpoint_seconds: float = 60.0,
    stop_requested: Callable[[], bool] = lambda: False,
    reporter: reporting.Reporter | None = None,
) -> dict:
    """Runs experiments to the end.

    Args:
      settings: what to do.
      output_dir: for metrics, the best program, the result and checkpoints; None
        writes nothing.
      resume: go on from the checkpoint in `output_dir`.
      progress_every: individuals between reports.
      checkpoint_seconds: time between checkpoints.
      stop_requested: asked after every step.
      reporter: where progress goes; by default the terminal and `output_dir`.

    Returns:
      What result.json holds.

    Raises:
      ValueError: settings that contradict each other, or a checkpoint of other settings.
      Interrupted: `stop_requested` said so; files are up to date.
    """
    return _Runner(settings, output_dir, progress_every, checkpoint_seconds, stop_requested, reporter).run(resume)


class _Runner:
    """One run, from its settings to its result."""

    def __init__(self, settings, output_dir, progress_every, checkpoint_seconds, stop_requested, reporter):
        self.settings = settings
        self.output_dir = output_dir
        self.progress_every = progress_every
        self.checkpoint_seconds = checkpoint_seconds
        self.stop_requested = stop_requested
        self.mutator = Mutator.of(settings.space, settings.evolution.mutation_types)
        if output_dir is not None:
            output_dir.mkdir(parents=True, exist_ok=True)
        self.reporter = reporter or reporting.Reporter(output_dir)
        self.progress = _Run()
        self.started = self.last_checkpoint = time.monotonic()
        self.individuals_at_start = 0

    # The run, top to bottom.

    def run(self, resume: bool) -> dict:
        settings, progress = self.settings, self.progress
        restored = None
        if resume:
            restored = self._restore()
            progress = self.progress
        elif self.output_dir is not None:
            checkpoint.clear(self.output_dir / "checkpoint")
            self.reporter.rewind(0)
        try:
            while True:
                self._run_experiment(restored)
                restored = None
                winner, candidate = progress.winner, self.last_candidate
                self.reporter.line(
                    f"experiment {progress.experiment}: candidate search fitness {candidate.search_fitness:.6f}, "
                    f"select fitness {candidate.select_fitness:.6f}"
                )
                if winner is not None and winner.select_fitness > settings.sufficient_fitness:
                    break
                if progress.experiment == settings.max_experiments or self._out_of_time():
                    break
                progress.experiment += 1
            return self._finish()
        finally:
            self.reporter.close()

    def _run_experiment(self, restored: tuple[EvolutionState, dict, dict[str, np.ndarray]] | None) -> None:
        """Searches until a budget is used up or a candidate suffices, then selects."""
        settings, progress = self.settings, self.progress
        seeds = np.random.SeedSequence([settings.random_seed, progress.experiment])
        task_rng, search_rng = (np.random.default_rng(seed) for seed in seeds.spawn(2))
        drawn = task_rng if settings.randomize_task_seeds else None
        self.search_tasks = make_tasks(settings.search_tasks, random_seeds=drawn)
        self.select_tasks = make_tasks(settings.select_tasks, random_seeds=drawn) if settings.select_tasks else None
        evaluator = self._evaluator(self.search_tasks)
        scorer = Scorer(evaluator, settings.fitness_combination, settings.equivalence, settings.hurdle)
        if restored is None:
            progress.last_report = 0
            progress.best_fitness, progress.improved_at = 0.0, 0
            progress.tried = ""
            state = evolution.start(settings.evolution, self.mutator, scorer, search_rng)
        else:
            state = restored[0]
            _restore_scorer(scorer, restored[1], restored[2])
        winner = progress.winner
        sufficient = winner is not None and winner.select_fitness > settings.sufficient_fitness
        while not (sufficient or self._out_of_budget(state, scorer)):
            if self.stop_requested():
                self._interrupt(state, scorer)
            evolution.step(state, settings.evolution, self.mutator, scorer)
            sufficient = self._tell(state, scorer)
        self._checkpoint(state, scorer)
        if not sufficient:
            self._select(_candidate(state))
        self._report(state, scorer)
        progress.individuals_before += state.individuals

    def _finish(self) -> dict:
        """Scores the winner on T_final and writes the results."""
        settings, winner = self.settings, self.progress.winner
        assert winner is not None
        program = Program.from_text(winner.program)
        final_fitness, baseline_fitness = None, None
        if settings.final_tasks:
            tasks = make_tasks(settings.final_tasks)
            final_fitness = self._mean_fitness(program, self._evaluator(tasks))
            if settings.final_baseline:
                baseline_fitness = float(BASELINES[settings.final_baseline](tasks).mean())
        result = self._result(winner, final_fitness, "finished") | {"final_baseline_fitness": baseline_fitness}
        self._write(winner, result)
        self.reporter.line(f"final fitness {final_fitness:.6f}" if final_fitness is not None else "no final tasks")
        if baseline_fitness is not None:
            self.reporter.line(f"{settings.final_baseline} on the same tasks {baseline_fitness:.6f}")
        self.reporter.line(simplify(program).to_text())
        return result

    # Steps of it.

    def _evaluator(self, tasks) -> Evaluator:
        evaluation = self.settings.evaluation
        return Evaluator(
            tasks,
            memory=self.settings.space.memory,
            max_abs_error=evaluation.max_abs_error,
            dtype=evaluation.dtype,
            strategy=evaluation.strategy,
            num_threads=evaluation.num_threads or None,
            seed=self.settings.random_seed,
        )

    def _mean_fitness(self, program: Program, evaluator: Evaluator) -> float:
        return float(evaluator.evaluate([program]).fitness.mean())

    def _select(self, candidate: Candidate) -> None:
        """Scores a candidate on T_select and keeps the better of it and the winner."""
        if self.select_tasks is None:
            candidate.select_fitness = candidate.search_fitness
        else:
            candidate.select_fitness = self._mean_fitness(
                Program.from_text(candidate.program), self._evaluator(self.select_tasks)
            )
        self.last_candidate = candidate
        winner = self.progress.winner
        if winner is None or candidate.select_fitness > winner.select_fitness:
            self.progress.winner = candidate

    def _tell(self, state: EvolutionState, scorer: Scorer) -> bool:
        """Reports, checkpoints, and says whether the best program suffices on T_select."""
        settings, progress = self.settings, self.progress
        best_fitness = float(state.fitness.max())
        if best_fitness > progress.best_fitness:
            progress.best_fitness, progress.improved_at = best_fitness, state.individuals
        reports = state.individuals - progress.last_report >= self.progress_every
        if reports:
            self._report(state, scorer)
        self.reporter.live(
            progress.experiment, state.individuals, self._rate(state), best_fitness, self._share_used(state, scorer)
        )
        # T_select often has more training examples, and lets a program pass sooner.
        if math.isfinite(settings.sufficient_fitness) and (reports or best_fitness > settings.sufficient_fitness):
            candidate = _candidate(state)
            if candidate.program != progress.tried:
                progress.tried = candidate.program
                self._select(candidate)
                if candidate.select_fitness > settings.sufficient_fitness:
                    return True
        if time.monotonic() - self.last_checkpoint > self.checkpoint_seconds:
            self._checkpoint(state, scorer)
        return False

    def _report(self, state: EvolutionState, scorer: Scorer) -> None:
        progress, counters = self.progress, scorer.counters
        progress.last_report = state.individuals
        self.reporter.progress(
            {
                "experiment": progress.experiment,
                "individuals": state.individuals,
                "train_steps": counters.train_steps,
                "elapsed_seconds": self._elapsed(),
                "individuals_per_second": self._rate(state),
                "best_fitness": float(state.fitness.max()),
                "mean_fitness": float(state.fitness.mean()),
                "stdev_fitness": float(state.fitness.std()),
                "algebraic_hits": counters.algebraic_hits,
                "equivalence_hits": counters.equivalence_hits,
                "hurdle_stops": counters.hurdle_stops,
                "hurdle_fitness": scorer.hurdle_fitness,
                "evaluations": counters.evaluations,
            }
        )

    def _interrupt(self, state: EvolutionState, scorer: Scorer) -> None:
        self._checkpoint(state, scorer)
        best = self._best_so_far(state)
        if self.output_dir is not None:
            reporting.write_result(self.output_dir, self._result(best, None, "interrupted", state))
        self.reporter.line(f"interrupted; best program so far, with search fitness {best.search_fitness:.6f}:")
        self.reporter.line(simplify(Program.from_text(best.program)).to_text())
        raise Interrupted

    # Budgets.

    def _elapsed(self) -> float:
        return self.progress.seconds_before + time.monotonic() - self.started

    def _rate(self, state: EvolutionState) -> float:
        made = self.progress.individuals_before + state.individuals - self.individuals_at_start
        return made / max(time.monotonic() - self.started, 1e-9)

    def _out_of_time(self) -> bool:
        return bool(self.settings.max_seconds) and self._elapsed() >= self.settings.max_seconds

    def _out_of_budget(self, state: EvolutionState, scorer: Scorer) -> bool:
        return self._share_used(state, scorer) >= 1

    def _share_used(self, state: EvolutionState, scorer: Scorer) -> float:
        settings = self.settings
        used = (
            (state.individuals, settings.max_individuals),
            (scorer.counters.train_steps, settings.max_train_steps),
            (state.individuals - self.progress.improved_at, settings.max_stagnant_individuals),
            (self._elapsed(), settings.max_seconds),
        )
        return max((amount / limit for amount, limit in used if limit), default=0.0)

    # Files.

    def _best_so_far(self, state: EvolutionState) -> Candidate:
        """The winner of earlier experiments, or else the best of the current population."""
        return self.progress.winner or _candidate(state)

    def _result(
        self, best: Candidate, final_fitness: float | None, status: str, state: EvolutionState | None = None
    ) -> dict:
        """What result.json holds; of an interrupted experiment, with what it did."""
        progress = self.progress
        select = best.select_fitness
        return {
            "status": status,
            "search_fitness": best.search_fitness,
            "select_fitness": None if select != select else select,
            "final_fitness": final_fitness,
            "individuals": progress.individuals_before + (state.individuals if state else 0),
            "experiments": progress.experiment,
            "elapsed_seconds": self._elapsed(),
            "random_seed": self.settings.random_seed,
            "versions": versions(),
            "settings": dataclasses.asdict(self.settings),
        }

    def _write(self, best: Candidate, result: dict) -> None:
        if self.output_dir is not None:
            reporting.write_best_program(self.output_dir, simplify(Program.from_text(best.program)).to_text())
            reporting.write_result(self.output_dir, result)

    def _checkpoint(self, state: EvolutionState, scorer: Scorer) -> None:
        self.last_checkpoint = time.monotonic()
        if self.output_dir is None:
            return
        best = self._best_so_far(state)
        reporting.write_best_program(self.output_dir, simplify(Program.from_text(best.program)).to_text())
        population = state.population
        arrays = {
            "code": population.code,
            "constants": population.constants,
            "lengths": population.lengths,
            "fitness": state.fitness,
        }
        for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
            arrays |= {f"{name}.{key}": value for key, value in cache.to_arrays().items()}
        progress = dataclasses.asdict(self.progress) | {"seconds_before": self._elapsed()}
        record = {
            "settings": dataclasses.asdict(self.settings),
            "versions": versions(),
            "progress": progress,
            "metrics_bytes": self.reporter.position(),
            "capacity": population.capacity,
            "oldest": state.oldest,
            "individuals": state.individuals,
            "rng": state.rng.bit_generator.state,
            "counters": dataclasses.asdict(scorer.counters),
            "hurdle_fitness": scorer.hurdle_fitness,
        }
        checkpoint.save(self.output_dir / "checkpoint", record, arrays)

    def _restore(self) -> tuple:
        if self.output_dir is None:
            raise ValueError("resume needs an output directory")
        record, arrays = checkpoint.load(self.output_dir / "checkpoint")
        checkpoint.check_versions(record["versions"])
        changed = differences(record["settings"], dataclasses.asdict(self.settings))
        if changed:
            raise ValueError("cannot resume with other settings: " + "; ".join(changed))
        values = record["progress"]
        winner = Candidate(**values.pop("winner")) if values["winner"] else values.pop("winner")
        self.progress = _Run(**values, winner=winner)
        if self.progress.winner is not None:
            self.last_candidate = self.progress.winner
        self.reporter.rewind(record["metrics_bytes"])
        rng = np.random.default_rng()
        rng.bit_generator.state = record["rng"]
        population = Population(arrays["code"], arrays["constants"], arrays["lengths"], tuple(record["capacity"]))
        state = EvolutionState(population, arrays["fitness"], record["oldest"], record["individuals"], rng)
        self.individuals_at_start = self.progress.individuals_before + state.individuals
        return state, record, arrays


def _candidate(state: EvolutionState) -> Candidate:
    program, fitness = state.best()
    return Candidate(program.to_text(), fitness)


def _restore_scorer(scorer: Scorer, record: dict, arrays: dict[str, np.ndarray]) -> None:
    scorer.counters = Counters(**record["counters"])
    scorer.hurdle_fitness = record["hurdle_fitness"]
    for name, cache in (("expressions", scorer.expressions), ("behaviours", scorer.behaviours)):
        cache.restore({key: arrays[f"{name}.{key}"] for key in ("keys", "fitness", "hits")})
