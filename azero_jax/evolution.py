"""Regularized evolution (section 3.2 of the paper, `regularized_evolution.cc`), in batches.

The population is a ring. One step draws a tournament for each of several
children, copies each winner, mutates the copies, scores them together and puts
them in place of the oldest programs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from azero_jax import arguments
from azero_jax.initial_programs import initial_population
from azero_jax.lineage import Lineage, Parents
from azero_jax.mutation import CONSTANT_MUTATIONS, Mutator
from azero_jax.program import Population, Program
from azero_jax.scoring import Scorer

RESTARTS = ("best", "initial")

_TOURNAMENT_SIZE = 10
_CHILD_BATCH_SIZE = 100


@dataclasses.dataclass(frozen=True)
class EvolutionSettings:
    """The knobs of regularized evolution.

    Attributes:
      population_size: P.
      tournament_size: T, programs drawn with replacement for each child; by default 10, or
        as many as the population has.
      mutate_prob: share of children that are mutated; the others are copies.
      mutation_types: names of `mutation.MUTATION_TYPES`; repeats add weight.
      constant_mutation: how constants change, of `mutation.CONSTANT_MUTATIONS`.
      initial_population: name or file of `initial_programs`.
      child_batch_size: children made from one population before any of them enters
        it; 1 is the release's one-at-a-time loop. By default 100, or the population's size.
      restart_stagnant_individuals: the population starts anew when so many programs
        have brought no new best fitness; 0 never. As in the search for Lion (arXiv
        2302.06675); neither in the paper nor in the release.
      restart_from: "best", copies of the best program ever seen, or "initial", a new
        initial population.

    Raises:
      ValueError: sizes that contradict each other.
    """

    population_size: int = 1000
    tournament_size: int = None  # type: ignore[assignment]  # a number once it is made
    mutate_prob: float = 0.9
    mutation_types: tuple[str, ...] = ("alter_parameter", "randomize_instruction", "randomize_component_function")
    constant_mutation: str = "release"
    initial_population: str = "random"
    child_batch_size: int = None  # type: ignore[assignment]
    restart_stagnant_individuals: int = 0
    restart_from: str = "best"

    def __post_init__(self) -> None:
        set_field = functools.partial(object.__setattr__, self)
        size = arguments.integer("population_size", self.population_size, 1)
        set_field("population_size", size)
        for name, usual in (("tournament_size", _TOURNAMENT_SIZE), ("child_batch_size", _CHILD_BATCH_SIZE)):
            asked = getattr(self, name)
            value = min(usual, size) if asked is None else arguments.integer(name, asked)
            if not 1 <= value <= size:
                raise ValueError(f"{name}={value}: expected 1 to population_size={size}")
            set_field(name, value)
        probability = arguments.number("mutate_prob", self.mutate_prob, "0 to 1", lambda value: 0 <= value <= 1)
        set_field("mutate_prob", probability)
        set_field(
            "mutation_types", arguments.sequence("mutation_types", self.mutation_types, "names of mutation types")
        )
        arguments.one_of("constant_mutation", self.constant_mutation, CONSTANT_MUTATIONS)
        arguments.text("initial_population", self.initial_population)
        stagnant = arguments.integer("restart_stagnant_individuals", self.restart_stagnant_individuals, 0)
        set_field("restart_stagnant_individuals", stagnant)
        arguments.one_of("restart_from", self.restart_from, RESTARTS)


@dataclasses.dataclass
class EvolutionState:
    """A search between two steps.

    Attributes:
      population: P programs, a ring.
      fitness: float64 [P].
      oldest: index of the oldest program, the next to be replaced.
      individuals: programs made so far, the initial ones and cache hits included.
      rng: makes every random choice.
      lineage: where the programs come from.
    """

    population: Population
    fitness: np.ndarray
    oldest: int
    individuals: int
    rng: np.random.Generator
    lineage: Lineage

    def best(self) -> tuple[Program, float]:
        """The fittest program of the population and its fitness."""
        index = int(np.argmax(self.fitness))
        return self.population[index], float(self.fitness[index])


class Children(NamedTuple):
    """Programs that have been made and are not yet in the population.

    Attributes:
      programs: n of them.
      parents: what they were made from.
    """

    programs: Population
    parents: Parents


def start(
    settings: EvolutionSettings, mutator: Mutator, scorer: Scorer | None, rng: np.random.Generator, island: int = 0
) -> EvolutionState:
    """Makes the initial population, and scores it.

    Args:
      settings, mutator: of the search.
      scorer: of programs; None leaves fitness 0.
      rng: used from then on.
      island: number of the search.
    """
    size = settings.population_size
    population = initial_population(settings.initial_population, size, mutator.space, rng)
    fitness = np.zeros(size) if scorer is None else scorer.score(population)
    state = EvolutionState(population, fitness, 0, size, rng, Lineage(population, island))
    if scorer is not None:
        scorer.move_hurdle(state.fitness, -1, state.individuals)
    return state


def make_children(state: EvolutionState, settings: EvolutionSettings, mutator: Mutator) -> Children:
    """Copies and mutates the winners of `child_batch_size` tournaments."""
    rng = state.rng
    contestants = rng.integers(0, settings.population_size, (settings.child_batch_size, settings.tournament_size))
    winners = np.argmax(state.fitness[contestants], axis=1)
    slots = contestants[np.arange(len(winners)), winners]
    children = state.population.take(slots)
    mutated = np.flatnonzero(rng.random(len(children)) < settings.mutate_prob)
    mutator.mutate(children, mutated, rng)
    return Children(children, state.lineage.parents_at(slots))


def let_in(state: EvolutionState, children: Children, fitness: np.ndarray) -> np.ndarray:
    """Puts children and their fitness (float64 [n]) in place of the oldest programs.

    Returns:
      Their ids, int64 [n].
    """
    size, count = len(state.population), len(children.programs)
    slots = (state.oldest + np.arange(count)) % size
    state.individuals += count
    ids = replace(state, slots, children, fitness)
    state.oldest = (state.oldest + count) % size
    return ids


def step(
    state: EvolutionState, settings: EvolutionSettings, mutator: Mutator, scorer: Scorer
) -> tuple[Population, np.ndarray, np.ndarray]:
    """Makes `child_batch_size` children and puts them in place of the oldest programs.

    Returns:
      The children, their fitness, float64 [child_batch_size], and their ids, int64 [child_batch_size].
    """
    children = make_children(state, settings, mutator)
    fitness = scorer.score(children.programs)
    ids = let_in(state, children, fitness)
    scorer.move_hurdle(state.fitness, state.individuals - len(ids), state.individuals)
    return children.programs, fitness, ids


def replace(state: EvolutionState, slots: np.ndarray, children: Children, fitness: np.ndarray) -> np.ndarray:
    """Puts programs and their fitness into slots (int64 [n]) of the population.

    Returns:
      Their ids, int64 [n].
    """
    population, programs = state.population, children.programs
    ids = state.lineage.replace(population, state.fitness, slots, children.parents, state.individuals)
    population.code[slots] = programs.code
    population.constants[slots] = programs.constants
    population.lengths[slots] = programs.lengths
    state.fitness[slots] = fitness
    return ids
