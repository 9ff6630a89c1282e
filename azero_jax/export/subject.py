"""What is exported: a program without dead instructions, and what it is run for."""

from __future__ import annotations

from typing import NamedTuple

from azero_jax import dataflow, objectives
from azero_jax.addresses import smallest_memory
from azero_jax.liveness import simplify
from azero_jax.objectives import Objective
from azero_jax.program import MemorySize, Population, Program


class Subject(NamedTuple):
    """A program to export.

    Attributes:
      program: without dead instructions.
      objective: the loss.
      memory: the addresses there are.
    """

    program: Program
    objective: Objective
    memory: MemorySize

    @classmethod
    def of(cls, program: Program, loss: str, memory: MemorySize | None) -> Subject:
        """Checks the arguments of an export.

        Raises:
          TypeError: no program.
          ValueError: an unknown loss, or an address outside the memory.
        """
        if not isinstance(program, Program):
            hint = ": use Program.from_text(text)" if isinstance(program, str) else ""
            raise TypeError(f"program: expected a Program, got {program!r:.80}{hint}")
        objective = objectives.named(loss)
        population = Population.from_programs([program])
        vector_labels = objective.vector_labels
        if memory is None:
            memory = MemorySize(*map(max, smallest_memory(population, vector_labels), MemorySize()))
        memory = MemorySize.checked(memory)
        population.validate(memory)
        return cls(simplify(program, memory, vector_labels), objective, memory)

    @property
    def vector_labels(self) -> bool:
        """Whether labels and predictions are vectors."""
        return self.objective.vector_labels

    @property
    def prediction(self) -> str:
        """Where Predict leaves its result."""
        return dataflow.prediction_address(self.vector_labels)

    @property
    def label(self) -> str:
        """Where Learn finds the label."""
        return dataflow.label_address(self.vector_labels)
