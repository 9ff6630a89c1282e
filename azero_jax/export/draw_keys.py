"""The keys by which random instructions draw: those of the machine."""

from __future__ import annotations

import numpy as np

from azero_jax import draws
from azero_jax.program import Program
from azero_jax.text import COMPONENT_FUNCTIONS


def draw_keys(program: Program, seed: int) -> dict[tuple[str, int], int]:
    """Keys of random instructions by component function and number of line, from 0.

    Args:
      program: without dead instructions, which do not count.
      seed: of the evaluator.
    """
    keys: dict[tuple[str, int], int] = {}
    for number, function in enumerate(COMPONENT_FUNCTIONS):
        seen: dict[tuple[int, int], int] = {}
        for line, instruction in enumerate(program.instructions(function)):
            if not instruction.op.draws:
                continue
            identity = instruction.op.id, instruction.out
            occurrence = seen.get(identity, 0)
            seen[identity] = occurrence + 1
            word = np.uint32(draws.seed_word(seed))
            key = draws.instruction_key(word, number, instruction.op.id, instruction.out, occurrence)
            keys[function, line] = int(key)
    return keys
