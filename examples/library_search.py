"""The search, step by step: what az.run does around it is left out, and everything can be looked at.

Looks for the Learn of linear regression, as figure 4 of the paper. Setup and Predict are given and
stay; each step makes 100 children. Shows the best program as it changes, what the caches have saved,
and the score of the best ones on fresh tasks.

    python examples/library_search.py --individuals=100000
"""

import argparse

import numpy as np

import azero_jax as az

parser = argparse.ArgumentParser()
parser.add_argument("--individuals", type=int, default=100_000, help="programs that the search makes at most")
arguments = parser.parse_args()

sizes = "features_size=4,num_tasks=10,num_train_examples=1000"
tasks = az.make_tasks(f"scalar_linear_regression:{sizes}")
ops = ("SCALAR_DIFF", "SCALAR_PRODUCT", "SCALAR_VECTOR_PRODUCT", "VECTOR_SUM")
space = az.SearchSpace(az.MemorySize(4, 3, 1), setup_ops=(), predict_ops=(), learn_ops=ops, initial_sizes=(5, 1, 4))
evolution = az.EvolutionSettings(
    initial_population="random:linear", restart_stagnant_individuals=10_000, restart_from="initial"
)
search = az.Search(tasks, az.SearchSettings(space, evolution, hall_of_fame_size=5), seed=1)

told = 0.0
while search.best()[1] < 0.99 and search.individuals < arguments.individuals:
    search.step()
    program, fitness = search.best()
    if fitness > told:
        told = fitness
        print(f"{search.individuals:>7,} programs: {fitness:.4f}")

program, fitness = search.best()
print(f"\n{az.simplify(program)}")
print(f"restarts: {search.restarts}; mean fitness of the population: {np.mean(search.state.fitness):.4f}")
print(search.scorer.counters)

fresh = az.Evaluator(az.make_tasks(f"scalar_linear_regression:{sizes},data_seeds=500,param_seeds=500"))
programs, scores = search.finalists()
for fitness, on_fresh in zip(scores, fresh.evaluate(programs).fitness.mean(axis=1)):
    print(f"search fitness {fitness:.4f}, on fresh tasks {on_fresh:.4f}")
