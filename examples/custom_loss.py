"""A loss of your own: registers `pinball`, and finds a program for what nine labels in ten are below.

Labels are w · x plus noise. For the squared error linear regression is best, which is above half of
the labels. Pinball costs nine times as much where a label is above the prediction as where it is
below, so evolution adds what is missing. The same from the shell, where this file registers the loss:
azero evolve --import=examples/custom_loss.py --data=examples/houses.csv --label=price --loss=pinball

    python examples/custom_loss.py --individuals=10000
"""

import argparse

import jax.numpy as jnp
import numpy as np

import azero_jax as az
from azero_jax.initial_programs import LINEAR


def pinball(prediction, label):
    """What one example costs, in JAX; the fitness is made of the mean."""
    error = label - prediction
    return jnp.maximum(0.9 * error, -0.1 * error)


az.register_loss("pinball", pinball)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--individuals", type=int, default=10_000, help="programs that the search makes")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 1500, 4))
    y = np.einsum("dnf,df->dn", x, rng.standard_normal((10, 4))) + rng.standard_normal((10, 1500))
    tasks = az.Tasks(x[:, :1000], y[:, :1000], x[:, 1000:], y[:, 1000:], loss="pinball")

    space = az.SearchSpace(
        az.MemorySize(5, 3, 1),
        setup_ops=("SCALAR_CONST_SET",),
        predict_ops=("VECTOR_INNER_PRODUCT", "SCALAR_SUM"),
        learn_ops=("SCALAR_DIFF", "SCALAR_SUM", "SCALAR_PRODUCT", "SCALAR_VECTOR_PRODUCT", "VECTOR_SUM"),
        initial_sizes=(2, 2, 5),
        max_sizes=(3, 4, 7),
    )
    types = ("alter_parameter", "randomize_instruction", "insert_instruction", "remove_instruction")
    evolution = az.EvolutionSettings(initial_population="linear", population_size=100, mutation_types=types)
    search = az.Search(tasks, az.SearchSettings(space, evolution), seed=0)
    program, _ = search.run(arguments.individuals)

    evaluator = search.scorer.evaluator
    for name, some in (("linear regression", az.Program.from_text(LINEAR)), ("found", program)):
        below = (tasks.valid_labels < evaluator.predictions([some])[0]).mean()
        print(f"{name}: fitness {evaluator.evaluate([some]).fitness.mean():.4f}, above {below:.0%} of the labels")
    print(az.simplify(program))
