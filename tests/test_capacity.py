"""Searches that cannot fit are refused before anything is made."""

from __future__ import annotations

import time

import pytest

from azero_jax import (
    EquivalenceSettings,
    EvolutionSettings,
    Population,
    SearchSettings,
    SearchSpace,
    capacity,
    execution,
)
from azero_jax.execution import available_memory, require_memory
from azero_jax.program import Program
from azero_jax.tuning import tune_constants


@pytest.fixture(autouse=True)
def _sixteen_gibibytes(monkeypatch):
    monkeypatch.setattr(execution, "available_memory", lambda: 2**34)


def refusal(search=None, count=1, max_individuals=0, max_seconds=0.0):
    with pytest.raises(ValueError) as caught:
        capacity.check([search or SearchSettings()], count, max_individuals, max_seconds)
    return str(caught.value)


def test_what_cannot_fit_is_refused_at_once():
    started = time.monotonic()
    big = EvolutionSettings(population_size=10**9)
    assert refusal(SearchSettings(evolution=big)).startswith("population_size=1000000000: needs about 916 GiB")
    caches = SearchSettings(equivalence=EquivalenceSettings(cache_size=10**15))
    assert "fec_cache_size=1000000000000000: needs about 222 PiB" in refusal(caches)
    assert "num_islands=1000000000000: needs about 1.3 EiB" in refusal(count=10**12)
    assert "hall_of_fame_size=1000000000000" in refusal(SearchSettings(hall_of_fame_size=10**12))
    long = SearchSpace(max_sizes=(10**9, 10, 10))
    assert "sizes up to (1000000000, 10, 10): expected at most" in refusal(SearchSettings(space=long))
    batches = EvolutionSettings(population_size=10**6, child_batch_size=10**6, tournament_size=10**6)
    assert "child_batch_size=1000000 with tournament_size=1000000" in refusal(SearchSettings(evolution=batches))
    assert time.monotonic() - started < 1


def test_a_cache_is_as_large_as_what_a_run_can_make():
    search = SearchSettings(equivalence=EquivalenceSettings(cache_size=10**15), hall_of_fame_size=10**12)
    capacity.check([search], 4, 100_000, 0)
    capacity.check([search], 4, 0, 0.001)


def test_memory_is_named():
    require_memory(available_memory() / 2, "nothing")
    with pytest.raises(ValueError, match=r"^trials=7: needs about 9.1 TiB of memory, there are [\d,.]+ .iB$"):
        require_memory(10**13, "trials=7")


def test_populations_and_trials_of_the_library():
    with pytest.raises(ValueError, match="1000000000000 programs: needs about"):
        Population.empty(10**12, (10, 10, 10))
    with pytest.raises(ValueError, match="trials=1000000000000: needs about"):
        tune_constants(Program.from_text("def Setup():\n  s2 = 0.5\n"), None, 10**12)
