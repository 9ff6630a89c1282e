"""Lists the data that tasks are made of: azero datasets."""

from __future__ import annotations

from azero_jax import datasets
from azero_jax.command_line import Command, one_of


def define() -> None:
    """It has no flags of its own."""


def run(arguments: list[str]) -> None:
    """Prints every dataset and what it needs."""
    for name in arguments:
        if name not in datasets.DATASETS:
            raise ValueError(f"unknown dataset {name!r}: {one_of(name, datasets.DATASETS)}")
    print(f"{'dataset':<16}needs")
    for name in arguments or datasets.DATASETS:
        print(f"{name:<16}{datasets.needs(name)}")


COMMAND = Command(
    usage="[NAME ...]",
    what="""Lists the data that tasks are made of, and what each needs.

    Tasks name it, as in --search_tasks=projected_binary_classification:dataset=cifar10,path=DIRECTORY""",
    examples=("cifar10",),
    define=define,
    run=run,
    needs_arguments=False,
)
