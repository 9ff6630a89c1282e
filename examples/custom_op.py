"""An op of your own: registers `clip`, uses it in a program, and lets a search find where it belongs.

Labels are w · x, but never below -1 or above 1. Linear regression cannot say that. With clip among
the ops, evolution puts it behind the prediction. Commands know the op by --import=examples/custom_op.py.

    python examples/custom_op.py --individuals=10000
"""

import argparse

import jax.numpy as jnp
import numpy as np

import azero_jax as az
from azero_jax.initial_programs import LINEAR

# A name, the kinds of its input and of its output (s, v or m), and a function of JAX.
az.register_op("clip", "s", "s", lambda s: jnp.clip(s, -1, 1))

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--individuals", type=int, default=10_000, help="programs that the search makes at most")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, 1100, 4))
    y = np.clip(np.einsum("dnf,df->dn", x, rng.standard_normal((10, 4))), -1, 1)
    tasks = az.Tasks(x[:, :1000], y[:, :1000], x[:, 1000:], y[:, 1000:])

    space = az.SearchSpace(
        az.MemorySize(4, 3, 1),
        setup_ops=("SCALAR_CONST_SET",),  # the learning rate
        predict_ops=("VECTOR_INNER_PRODUCT", "SCALAR_SUM", "SCALAR_PRODUCT", "clip"),
        learn_ops=(),  # stays as it is
        initial_sizes=(1, 1, 4),
        max_sizes=(1, 4, 4),
    )
    evolution = az.EvolutionSettings(
        initial_population="linear",
        population_size=100,
        mutation_types=("alter_parameter", "insert_instruction", "remove_instruction"),
    )
    # Small predictions are the same with clip and without: what a program does on its first examples says too little.
    equivalence = az.EquivalenceSettings(num_train_examples=0)
    search = az.Search(tasks, az.SearchSettings(space, evolution, equivalence=equivalence), seed=0)

    by_hand = LINEAR.replace("def Learn", "  s1 = clip(s1)\ndef Learn")
    programs = [az.Program.from_text(text) for text in (LINEAR, by_hand)]
    before, after = search.scorer.evaluator.evaluate(programs).fitness.mean(axis=1)
    print(f"linear regression: fitness {before:.4f}; with clip, written by hand: {after:.4f}")

    while search.best()[1] < 0.95 and search.individuals < arguments.individuals:
        search.step()
    program, fitness = search.best()
    print(f"found after {search.individuals:,} programs, with fitness {fitness:.4f}:\n{az.simplify(program)}")
