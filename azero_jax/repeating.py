"""The flags that say what a run's settings say, for people who want to run it again."""

from __future__ import annotations

import functools
import shlex
from typing import Any

from azero_jax import flags, given_tasks
from azero_jax.command_line import no_more, parse
from azero_jax.settings import IslandSettings, Settings


@functools.lru_cache(maxsize=8)
def flags_of(settings: Settings) -> tuple[str, ...] | None:
    """Flags that give these settings, as --name=value, without those at their defaults.

    None where flags cannot say them.
    Settings made in Python may hold what no flag says; so may tasks that a run was given as arrays.
    """
    specs = settings.select_tasks, settings.final_tasks, *(island.search_tasks for island in settings.islands)
    if any(spec.startswith(f"{given_tasks.NAME}:") for spec in specs):
        return None
    texts = _texts(settings, flags.OF_THE_RUN)
    of_islands = [_of_island(island) for island in settings.islands]
    texts |= of_islands[0]
    own = []
    if len(set(settings.islands)) > 1:
        for of_island in of_islands:
            changed = [text for name, text in of_island.items() if text != of_islands[0].get(name)]
            own.append(f"--island_flags={shlex.join(changed)}")
    elif len(settings.islands) > 1:
        own.append(f"--num_islands={len(settings.islands)}")
    chosen: dict[str, str] = {}
    # What a flag is without being given may depend on others: those that are still wrong are given, too.
    while (said := _said([*chosen.values(), *own])) != settings:
        now = {} if said is None else _texts(said, flags.OF_THE_RUN) | _of_island(said.islands[0])
        wrong = {name: text for name, text in texts.items() if now.get(name) != text and name not in chosen}
        if not wrong:
            return None
        chosen |= wrong
    return (*chosen.values(), *own)


def command_of(settings: Settings) -> str | None:
    """A shell command that repeats a run; None where flags cannot say its settings."""
    found = flags_of(settings)
    if found is None:
        return None
    return " \\\n  ".join(["azero evolve", *(shlex.quote(text) for text in found)])


def _of_island(island: IslandSettings) -> dict[str, str]:
    return {"search_tasks": f"--search_tasks={island.search_tasks}", **_texts(island.search, flags.OF_A_SEARCH)}


def _texts(record: Any, places: dict[str, tuple[Any, ...]]) -> dict[str, str]:
    """The flags of a dataclass's values, by name."""
    texts = {}
    for name, place in places.items():
        value = record
        for step in place:
            value = value[step] if isinstance(step, int) else getattr(value, step)
        if value is True or value is False:
            texts[name] = f"--{name}" if value else f"--no{name}"
        elif value is not None:
            texts[name] = f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    return texts


def _said(texts: list[str]) -> Settings | None:
    """The settings that flags give; None where they contradict each other."""
    values = flags.defaults()
    try:
        no_more(parse(texts, values))
        return flags.settings(values)
    except ValueError:
        return None
