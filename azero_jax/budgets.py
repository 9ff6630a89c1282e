"""Budgets: how much of them an experiment has used, how long a run has taken and how fast it is."""

from __future__ import annotations

import time

from azero_jax.settings import Settings


class Clock:
    """Time that a run has taken, and the rate at which it makes programs.

    Args:
      seconds_before: of the processes that ran before this one.
    """

    def __init__(self, seconds_before: float = 0.0):
        self._started = time.monotonic() - seconds_before
        self._searching_since: float | None = None
        self._from = 0
        self._made = 0
        self._searched = 0.0

    def elapsed(self) -> float:
        """Seconds of the run, compiling included."""
        return time.monotonic() - self._started

    @property
    def is_searching(self) -> bool:
        """Whether programs are being made."""
        return self._searching_since is not None

    def search_begins(self, individuals: int) -> None:
        """From now on programs are made; `individuals` of the run were before."""
        self._searching_since, self._from = time.monotonic(), individuals

    def search_ends(self, individuals: int) -> None:
        """No more programs are made for now, `individuals` of the run were."""
        if self._searching_since is not None:
            self._searched += time.monotonic() - self._searching_since
            self._made += individuals - self._from
        self._searching_since = None

    def rate(self, individuals: int) -> float:
        """Programs per second of this process while it searched, which compiling is no part of; 0 before."""
        made, seconds = self._made, self._searched
        if self._searching_since is not None:
            made += individuals - self._from
            seconds += time.monotonic() - self._searching_since
        return max(made, 0) / seconds if seconds else 0.0


def out_of_time(settings: Settings, elapsed: float) -> bool:
    """Whether a run has used up its time."""
    return bool(settings.max_seconds) and elapsed >= settings.max_seconds


def share_used(settings: Settings, individuals: int, train_steps: int, elapsed: float) -> float:
    """Share of the budget that is closest to its end, as far as one can tell how fast it is used."""
    used = (
        (individuals, settings.max_individuals),
        (train_steps, settings.max_train_steps),
        (elapsed, settings.max_seconds),
    )
    return max((amount / limit for amount, limit in used if limit), default=0.0)


def is_stagnant(settings: Settings, individuals: int, improved_at: int) -> bool:
    """Whether an experiment has gone on for too long without a new best program."""
    limit = settings.max_stagnant_individuals
    return bool(limit) and individuals - improved_at >= limit
