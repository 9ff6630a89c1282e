"""Which addresses programs use, and programs whose addresses have no gaps.

With many features a matrix is large, and memory for those that no program uses would
be most of it. Programs are then renumbered into as few addresses as they use.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from azero_jax.program import NO_KIND, MemorySize, Population, op_columns
from azero_jax.text import IN1, IN2, OP, OUT


class AddressesInUse(NamedTuple):
    """Addresses of each kind, in order.

    Attributes:
      scalars, vectors, matrices: among them those of features, label and prediction.
    """

    scalars: tuple[int, ...]
    vectors: tuple[int, ...]
    matrices: tuple[int, ...]

    @classmethod
    def of(cls, population: Population, vector_labels: bool = False) -> AddressesInUse:
        """Those of all instructions, dead ones too.

        Args:
          population: the programs.
          vector_labels: whether labels and predictions are v1 and v2.
        """
        kinds = op_columns().kinds
        op = population.code[..., OP]
        used = [set(addresses) for addresses in cls.always(vector_labels)]
        for column in (IN1, IN2, OUT):
            for kind in range(NO_KIND):
                used[kind].update(np.unique(population.code[..., column][kinds[column][op] == kind]).tolist())
        return cls(*(tuple(sorted(addresses)) for addresses in used))

    @classmethod
    def always(cls, vector_labels: bool) -> AddressesInUse:
        """Those of features, label and prediction."""
        return cls((0, 1), (0, 1, 2) if vector_labels else (0,), ())

    @classmethod
    def all_of(cls, memory: MemorySize) -> AddressesInUse:
        """Every address of a memory."""
        return cls(*(tuple(range(count)) for count in memory))

    def __or__(self, other: AddressesInUse) -> AddressesInUse:
        """The addresses of either."""
        return AddressesInUse(*(tuple(sorted({*own, *others})) for own, others in zip(self, other)))

    @property
    def memory(self) -> MemorySize:
        """As many addresses, without gaps."""
        return MemorySize(*map(len, self))

    @property
    def of_registers(self) -> tuple[int, ...]:
        """For each of `self.memory`'s registers, its address as written."""
        return tuple(address for addresses in self for address in addresses)

    def renumbered(self, population: Population) -> Population:
        """Programs that do the same with the addresses of `self.memory`; they may use no others than these."""
        kinds = op_columns().kinds
        places = np.zeros((NO_KIND + 1, max(addresses[-1] for addresses in self if addresses) + 1), np.int16)
        for kind, addresses in enumerate(self):
            places[kind, list(addresses)] = np.arange(len(addresses))
        code = population.code.copy()
        for column in (IN1, IN2, OUT):
            kind = kinds[column][code[..., OP]]
            code[..., column] = places[kind, np.where(kind == NO_KIND, 0, code[..., column])]
        return Population(code, population.constants, population.lengths, population.capacity)


def smallest_memory(population: Population, vector_labels: bool = False) -> MemorySize:
    """The smallest memory that holds every address that the programs, and labels and predictions, use."""
    used = AddressesInUse.of(population, vector_labels)
    return MemorySize(*(addresses[-1] + 1 if addresses else 0 for addresses in used))
