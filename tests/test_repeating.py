"""The command that repeats a run says exactly what the run's settings say."""

from __future__ import annotations

import dataclasses
import shlex

import pytest
from island_runs import settings

from azero_jax import settings_from_flagfile
from azero_jax.command_line import flagfile_names, no_more, parse
from azero_jax.flags import defaults
from azero_jax.flags import settings as settings_of
from azero_jax.repeating import command_of, flags_of
from azero_jax.settings import MigrationSettings


def read_back(command):
    words = shlex.split(command.replace("\\\n", ""))  # as a shell does
    assert words[:2] == ["azero", "evolve"]
    values = defaults()
    no_more(parse(words[2:], values))
    return settings_of(values)


@pytest.mark.parametrize("name", flagfile_names())
def test_flagfiles(name):
    wanted = dataclasses.replace(settings_from_flagfile(name), random_seed=3)
    assert read_back(command_of(wanted)) == wanted


@pytest.mark.parametrize("num_islands", [1, 3])
def test_settings_made_in_python(num_islands):
    wanted = settings(num_islands, migration=MigrationSettings(every=300, share=0.25), max_seconds=2.5)
    assert read_back(command_of(wanted)) == wanted
    same = dataclasses.replace(wanted, islands=wanted.islands[:1] * num_islands)
    assert read_back(command_of(same)) == same


def test_flags_at_their_defaults_are_left_out():
    plain = dataclasses.replace(settings_from_flagfile("linear_demo"), random_seed=3)
    names = {text.partition("=")[0] for text in flags_of(plain)}
    assert "--population_size" not in names and "--child_batch_size" in names


def test_what_no_flag_says():
    plain = settings_from_flagfile("linear_demo")
    island = plain.islands[0]
    evolution = dataclasses.replace(island.search.evolution, initial_population="def Predict():\n  s1 = s2\n")
    island = dataclasses.replace(island, search=dataclasses.replace(island.search, evolution=evolution))
    several = dataclasses.replace(plain, islands=(island,), random_seed=3)
    assert read_back(command_of(several)) == several  # text of programs is a value like any other
