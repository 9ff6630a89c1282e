"""What a search will need of memory, said before anything is made.

Numbers are rough and rather low: what is refused could not have fitted. What tasks and
machines need is checked where they are made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from azero_jax.execution import require_memory
from azero_jax.program import Population
from azero_jax.search_settings import SearchSettings
from azero_jax.text import MAX_LINES

# Bytes of an entry of a fitness cache, of a program on its own, and of an island apart from
# its programs.
_CACHE_ENTRY, _PROGRAM, _ISLAND = 250, 1_000, 500_000
# Faster than any machine, and so a bound for what a limited time can bring.
_MOST_PER_SECOND = 10_000_000


def check(searches: Iterable[SearchSettings], count: int, max_individuals: int, max_seconds: float) -> None:
    """Refuses searches whose memory this machine has not.

    Args:
      searches: the islands that differ.
      count: islands of all kinds together.
      max_individuals, max_seconds: budgets of an experiment and of the run; 0 for none.

    Raises:
      ValueError: more memory is needed than there is; the message names the setting.
    """
    individuals = min(max_individuals or math.inf, max_seconds * _MOST_PER_SECOND or math.inf)
    for search in searches:
        evolution, lines = search.evolution, sum(search.space.max_sizes)
        if lines > MAX_LINES:
            raise ValueError(
                f"setup, predict and learn sizes up to {search.space.max_sizes}: expected at most {MAX_LINES} together"
            )
        population = Population.needed_bytes(evolution.population_size, lines)
        drawn = 16 * evolution.child_batch_size * evolution.tournament_size
        known = min(search.equivalence.cache_size, individuals)
        famous = min(search.hall_of_fame_size, individuals)
        require_memory(population, f"population_size={evolution.population_size}")
        require_memory(
            drawn, f"child_batch_size={evolution.child_batch_size} with tournament_size={evolution.tournament_size}"
        )
        require_memory(_CACHE_ENTRY * known, f"fec_cache_size={search.equivalence.cache_size}")
        require_memory(_PROGRAM * famous, f"hall_of_fame_size={search.hall_of_fame_size}")
        require_memory(count * (population + _ISLAND), f"num_islands={count}")
