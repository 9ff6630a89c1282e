"""Snapshots of searches from files: whether they are what a search of some settings can have written.

A snapshot comes out of a checkpoint that has the right checksum, and may still be one
that somebody else has made: everything that a search goes on from is checked first.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from azero_jax import checkpoint, given_tasks, records
from azero_jax.lineage import NO_PARENT, most_leavers
from azero_jax.ops import MAX_CONSTANTS
from azero_jax.program import Population
from azero_jax.scoring import Counters
from azero_jax.search_settings import SearchSettings
from azero_jax.tasks import Tasks
from azero_jax.version import versions

Snapshot = tuple[dict, dict[str, np.ndarray]]

_POPULATIONS = ("", "hall.")
_CACHES = ("expressions.", "behaviours.")
_LARGEST = 2**63 - 1


class _Record(NamedTuple):
    """What `Search.snapshot` keeps beside arrays, apart from counters and the state of its generator."""

    capacity: tuple[int, int, int]
    oldest: int
    individuals: int
    hurdle_fitness: float
    improved_at: int
    restarted_at: int
    restarts: int
    own_fitness: bool


def check(snapshot: Snapshot, settings: SearchSettings) -> None:
    """Checks that a search of these settings can go on from a snapshot.

    Raises:
      ValueError: it cannot; the message says what is wrong.
    """
    values, arrays = snapshot
    if not isinstance(values, dict):
        raise ValueError(f"an island is {type(values).__name__}: expected an object")
    record = _check_record(values, settings)
    size = settings.evolution.population_size
    if record.oldest >= size or record.individuals < size:
        raise ValueError(f"oldest={record.oldest}, individuals={record.individuals} with {size} programs")
    _check_population(arrays, "", size, record.capacity, settings)
    most = max(1, settings.hall_of_fame_size)
    count = len(_array(arrays, "hall.fitness", np.float64, (None,)))
    if not 1 <= count <= most:
        raise ValueError(f"a hall of fame of {count}: expected 1 to {most}")
    _check_population(arrays, "hall.", count, record.capacity, settings)
    _check_lineage(arrays, size, count, settings)
    for prefix in _CACHES:
        count = len(_array(arrays, f"{prefix}keys", np.uint64, (None,)))
        if count > settings.equivalence.cache_size:
            raise ValueError(f"{prefix}keys: {count}: expected at most {settings.equivalence.cache_size}")
        fitness = _array(arrays, f"{prefix}fitness", np.float64, (count,))
        if not (np.isnan(fitness) | ((fitness >= 0) & (fitness <= 1))).all():
            raise ValueError(f"{prefix}fitness: expected 0 to 1")
        if (_array(arrays, f"{prefix}hits", np.int64, (count,)) < 0).any():
            raise ValueError(f"{prefix}hits: expected 0 or more")


def _check_record(values: dict, settings: SearchSettings) -> _Record:
    missing = [name for name in (*_Record._fields, "counters", "rng") if name not in values]
    if missing:
        raise ValueError(f"no {missing[0]}")
    record = records.read(_Record, [values[name] for name in _Record._fields], "island")
    counters = records.read(Counters, values["counters"], "counters")
    whole = {
        name: getattr(record, name) for name in ("oldest", "individuals", "improved_at", "restarted_at", "restarts")
    }
    for name, value in (whole | vars(counters)).items():
        if not 0 <= value <= _LARGEST:
            raise ValueError(f"{name}={value}: expected 0 or more")
    if record.capacity != tuple(settings.space.max_sizes):
        raise ValueError(f"capacity={record.capacity}: expected {tuple(settings.space.max_sizes)}")
    if not 0 <= record.hurdle_fitness <= 1:
        raise ValueError(f"hurdle_fitness={record.hurdle_fitness}: expected 0 to 1")
    try:
        np.random.default_rng().bit_generator.state = values["rng"]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise ValueError(f"rng: no state of a generator ({type(error).__name__}: {error})") from error
    return record


def _check_population(
    arrays: dict[str, np.ndarray], prefix: str, size: int, capacity: tuple[int, int, int], settings: SearchSettings
) -> None:
    lines = sum(capacity)
    fitness = _array(arrays, f"{prefix}fitness", np.float64, (size,))
    if not ((fitness >= 0) & (fitness <= 1)).all():
        raise ValueError(f"{prefix}fitness: expected 0 to 1")
    code = _array(arrays, f"{prefix}code", np.int16, (size, lines, 4))
    constants = _array(arrays, f"{prefix}constants", np.float64, (size, lines, MAX_CONSTANTS))
    lengths = _array(arrays, f"{prefix}lengths", np.int64, (size, 3))
    if (lengths < 0).any() or (lengths > capacity).any():
        raise ValueError(f"{prefix}lengths: expected 0 to {capacity}")
    population = Population(code, constants, lengths, capacity)
    population.check_addresses(settings.space.memory)


def _check_lineage(arrays: dict[str, np.ndarray], size: int, hall_size: int, settings: SearchSettings) -> None:
    """Checks where programs come from; a parent need not be there."""
    hall_ids = _at_least(arrays, "hall.ids", 0, (hall_size,))
    improvements = _at_least(arrays, "improvements", 0, (None, 2))
    pinned = _at_least(arrays, "lineage.pinned", 0, (None,))
    if not np.array_equal(pinned, np.concatenate([improvements[:, 0], hall_ids])):
        raise ValueError("lineage.pinned: expected the programs of improvements and hall.ids")
    _at_least(arrays, "lineage.living", NO_PARENT, (size, 4))
    matters = _array(arrays, "lineage.matters", np.int8, (size,))
    if not np.isin(matters, (0, 1)).all():
        raise ValueError("lineage.matters: expected 0 or 1")
    _at_least(arrays, "lineage.counts", 0, (2,))
    for part in ("left", "dead"):
        prefix = f"lineage.{part}."
        count = len(_at_least(arrays, f"{prefix}facts", NO_PARENT, (None, 4)))
        _check_population(arrays, prefix, count, settings.space.max_sizes, settings)
    most = most_leavers(size, sum(settings.space.max_sizes))
    if len(arrays["lineage.left.facts"]) > most:
        raise ValueError(f"lineage.left: expected at most {most}")


def _at_least(arrays: dict[str, np.ndarray], name: str, least: int, shape: tuple[int | None, ...]) -> np.ndarray:
    """An int64 array by name, as `_array`, of numbers that are not too small."""
    array = _array(arrays, name, np.int64, shape)
    if (array < least).any():
        raise ValueError(f"{name}: {array.min()}: expected {least} or more")
    return array


def _array(arrays: dict[str, np.ndarray], name: str, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array by name, of a dtype and a shape whose open sizes are None."""
    if name not in arrays:
        raise ValueError(f"no array {name!r}")
    array = arrays[name]
    fits = array.ndim == len(shape) and all(size in (None, own) for size, own in zip(shape, array.shape))
    if array.dtype != dtype or not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(
            f"array {name!r}: {array.dtype} of shape {array.shape}: expected {np.dtype(dtype)} of shape ({expected})"
        )
    return array


def best(snapshot: Snapshot) -> tuple[str, float]:
    """The text of a snapshot's best program, and its fitness."""
    values, arrays = snapshot
    index = int(np.argmax(arrays["fitness"]))
    population = Population(arrays["code"], arrays["constants"], arrays["lengths"], tuple(values["capacity"]))
    return population[index].to_text(), float(arrays["fitness"][index])


# Files of one search.


class SavedSearch(NamedTuple):
    """What a file of a search holds.

    Attributes:
      settings, random_ops_seed: of the search.
      snapshot: where it is.
    """

    settings: SearchSettings
    random_ops_seed: int
    snapshot: Snapshot


def save(path: pathlib.Path, tasks: Tasks, settings: SearchSettings, random_ops_seed: int, snapshot: Snapshot) -> None:
    """Writes a search to a file, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    values, arrays = snapshot
    content = {
        "versions": versions(),
        "tasks": given_tasks.digest(tasks),
        "settings": dataclasses.asdict(settings),
        "random_ops_seed": random_ops_seed,
        "search": values,
    }
    checkpoint.write(path, content, arrays)


def load(path: pathlib.Path, tasks: Tasks) -> SavedSearch:
    """Reads what `save` wrote, and warns of other versions.

    Args:
      path: of the file.
      tasks: those of the search.

    Raises:
      ValueError: the file is damaged, or of other tasks or another azero_jax.
      OSError: it cannot be read.
    """
    try:
        content, arrays = checkpoint.read(path)
        written_by = checkpoint.check_version(content)
        settings = records.read(SearchSettings, content.get("settings"), "settings")
        seed = records.read(int, content.get("random_ops_seed"), "random_ops_seed")
        if content.get("tasks") != given_tasks.digest(tasks):
            raise ValueError("saved with other tasks than these: expected the same")
        snapshot = content.get("search"), arrays
        check(snapshot, settings)  # type: ignore[arg-type]
    except (ValueError, checkpoint.OtherVersion) as error:
        raise ValueError(f"{path}: {error}") from error
    checkpoint.warn_of_versions(written_by)
    return SavedSearch(settings, seed, snapshot)  # type: ignore[arg-type]
