"""Where a search starts: no-ops, random programs, a program written by hand, or parts of one.

The hand-written ones are trained one example at a time by gradient descent: linear
regression and a two-layer neural network as in the C++ release (`generator.cc`), and
affine regression, softmax regression and its network, which the release does not have.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import numpy as np

from azero_jax.mutation import InstructionSampler, SearchSpace, fill_randomly
from azero_jax.program import Population, Program
from azero_jax.text import COMPONENT_FUNCTIONS

LINEAR = """\
def Setup():
  s2 = 0.01  # learning rate
def Predict():
  s1 = dot(v1, v0)
def Learn():
  s3 = s0 - s1
  s3 = s2 * s3
  v2 = s3 * v0
  v1 = v1 + v2
"""

AFFINE = """\
def Setup():
  s2 = 0.01  # learning rate
def Predict():
  s1 = dot(v1, v0)
  s1 = s1 + s3
def Learn():
  s1 = s0 - s1
  s1 = s2 * s1
  s3 = s3 + s1
  v2 = s1 * v0
  v1 = v1 + v2
"""

NEURAL_NET = """\
def Setup():
  v2 = gaussian(0.0, 0.1, n_features)  # weights of the final layer
  m0 = gaussian(0.0, 0.1, (n_features, n_features))  # weights of the first layer
  s3 = 0.01  # learning rate
def Predict():
  v3 = dot(m0, v0)
  v3 = v3 + v1
  v4 = maximum(v3, v5)
  s1 = dot(v4, v2)
  s1 = s1 + s2
def Learn():
  s4 = s0 - s1
  s4 = s3 * s4
  s2 = s2 + s4
  v6 = s4 * v4
  v2 = v2 + v6
  v7 = s4 * v2
  v8 = heaviside(v3, 1.0)
  v7 = v8 * v7
  v1 = v1 + v7
  m1 = outer(v7, v0)
  m0 = m0 + m1
"""

# What an integration test of the release has to repair: no weight is ever drawn.
DAMAGED_NEURAL_NET = "".join(line for line in NEURAL_NET.splitlines(keepends=True) if "gaussian" not in line)

SOFTMAX_REGRESSION = """\
def Setup():
  s2 = 0.03  # learning rate
def Predict():
  v2 = dot(m0, v0)
def Learn():
  v3 = v1 - v2
  v3 = s2 * v3
  m1 = outer(v3, v0)
  m0 = m0 + m1
"""

SOFTMAX_NEURAL_NET = """\
def Setup():
  s2 = 0.03  # learning rate
  m0 = gaussian(0.0, 0.3, (n_features, n_features))
  m1 = gaussian(0.0, 0.1, (n_features, n_features))
def Predict():
  v3 = dot(m0, v0)
  v4 = maximum(v3, v5)
  v2 = dot(m1, v4)
def Learn():
  v6 = v1 - v2
  v6 = s2 * v6
  m2 = transpose(m1)
  v7 = dot(m2, v6)
  v8 = heaviside(v3, 1.0)
  v7 = v8 * v7
  m2 = outer(v6, v4)
  m1 = m1 + m2
  m2 = outer(v7, v0)
  m0 = m0 + m2
"""

HAND_WRITTEN = {
    "no_op": "def Predict():\n",
    "linear": LINEAR,
    "affine": AFFINE,
    "neural_net": NEURAL_NET,
    "damaged_neural_net": DAMAGED_NEURAL_NET,
    "softmax_regression": SOFTMAX_REGRESSION,
    "softmax_neural_net": SOFTMAX_NEURAL_NET,
}
NAMES = (*HAND_WRITTEN, "random")
_RANDOM_REST = "random:"
_BETWEEN = "---"


def initial_population(name: str, size: int, space: SearchSpace, rng: np.random.Generator) -> Population:
    """Programs to start from.

    Args:
      name: one of `NAMES`, the path of a file with programs, or their text itself. Lines of
        "---" stand between programs, which are taken in turn. With "random:" in front of
        a name or a path, component functions that may be mutated are random, and only the
        frozen ones are the program's.
      size: programs to make.
      space: the search space; a hand-written program is padded with no-ops to its
        initial sizes.
      rng: for random programs.

    Raises:
      ValueError: a program that does not parse or does not fit the space.
      OSError: the file cannot be read.
    """
    population = Population.empty(size, space.max_sizes)
    population.lengths[:] = space.initial_sizes
    random_rest, name = name == "random" or name.startswith(_RANDOM_REST), name.removeprefix(_RANDOM_REST)
    if name != "random":
        _fill_with(population, name, space)
    if random_rest:
        sampler = InstructionSampler(space)
        for function in space.mutable_functions:
            fill_randomly(population, np.arange(size), np.full(size, function), sampler, rng)
    return population


def text_of_programs(programs: Sequence[Program]) -> str:
    """Programs as text that `initial_population` takes.

    Raises:
      TypeError: something that is no sequence of programs.
      ValueError: no programs.
    """
    texts = [program.to_text() for program in Population.from_programs(programs)]
    if not texts:
        raise ValueError("programs: none: expected one or more to start from")
    return f"{_BETWEEN}\n".join(texts)


def _fill_with(population: Population, name: str, space: SearchSpace) -> None:
    """Makes every program one of those of a name, file or text, in turn."""
    given = Population.from_programs(_read(name, space))
    for index, function in enumerate(COMPONENT_FUNCTIONS):
        longest = int(given.lengths[:, index].max())
        if longest > space.max_sizes[index]:
            raise ValueError(
                f"{_called(name)}: {function} has {longest} instructions, "
                f"the search space allows {space.max_sizes[index]}"
            )
    given = Population.from_programs(list(given), space.max_sizes).take(np.arange(len(population)) % len(given))
    population.code[:] = given.code
    population.constants[:] = given.constants
    population.lengths[:] = np.maximum(space.initial_sizes, given.lengths)


def _read(name: str, space: SearchSpace) -> list[Program]:
    """The programs of a name, a file or a text."""
    if name in HAND_WRITTEN:
        return [Program.from_text(HAND_WRITTEN[name], space.memory)]
    text = name if "\n" in name else pathlib.Path(name).read_text()
    parts = re.split(rf"^{_BETWEEN}-*[ \t]*$", text, flags=re.MULTILINE)
    programs = []
    for number, part in enumerate(parts, 1):
        try:
            programs.append(Program.from_text(part, space.memory))
        except ValueError as error:
            which = f", program {number}" if len(parts) > 1 else ""
            raise ValueError(f"{_called(name)}{which}: {error}") from error
    return programs


def _called(name: str) -> str:
    return "initial programs" if "\n" in name else name
