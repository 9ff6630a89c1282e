"""Several seeds: how good a search is, not how lucky. Runs the demo once for each seed, and gives intervals.

One run says little, since two seeds differ by more than most settings do. Each run here has the same
budget; its winner is scored on final tasks, and the mean over the seeds comes with its 95 % interval,
by Student's t. With two population sizes, their difference is taken seed by seed. Takes a minute or two.

    python examples/several_seeds.py --seeds=10 --individuals=200000
"""

import argparse
import dataclasses
import io

import azero_jax as az
from azero_jax.intervals import interval, shown
from azero_jax.reporting import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=10)
parser.add_argument("--individuals", type=int, default=200_000, help="programs that each search makes")
arguments = parser.parse_args()

demo = az.settings_from_flagfile("linear_demo")


def final_fitness(seed: int, population_size: int) -> float:
    """Of the winner of one search of the demo."""
    search = demo.islands[0].search
    evolution = dataclasses.replace(search.evolution, population_size=population_size, child_batch_size=100)
    island = dataclasses.replace(demo.islands[0], search=dataclasses.replace(search, evolution=evolution))
    settings = dataclasses.replace(
        demo, islands=(island,), random_seed=seed, max_experiments=1, max_individuals=arguments.individuals
    )
    return az.run(settings, reporter=Reporter(None, io.StringIO()))["final_fitness"]  # without a word


scores: dict[int, list[float]] = {100: [], 1000: []}
for seed in range(arguments.seeds):
    for size in scores:
        scores[size].append(final_fitness(seed, size))
        print(f"seed {seed}, populations of {size}: final fitness {scores[size][-1]:.3f}")

for size, values in scores.items():
    print(f"populations of {size}: {shown(values, 3)} over {len(values)} seeds")
differences = [large - small for small, large in zip(*scores.values())]
mean, half = interval(differences)
verdict = "no difference seen" if not abs(mean) > half else f"{'more' if mean > 0 else 'less'} with the larger"
print(f"difference {shown(differences, 3)}: {verdict}")
