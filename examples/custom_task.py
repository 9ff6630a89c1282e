"""Tasks of your own, by a name: registers `noisy_linear`, and runs the demo's search on them.

Registered tasks work wherever tasks are named: in az.make_tasks, in settings of a run, and, with
--import=examples/custom_task.py, in every command. There they take parameters of their own:
azero evolve linear_demo --import=examples/custom_task.py --search_tasks=noisy_linear:noise_percent=20

    python examples/custom_task.py --individuals=300000
"""

import argparse
import dataclasses

import numpy as np

import azero_jax as az


def noisy_linear(settings, *, noise_percent: int = 10) -> az.Tasks:
    """y = w · x plus noise of some percent; settings has the sizes that all tasks have, and seeds."""
    features, labels = [], []
    for data_seed, param_seed in settings.seeds():
        weights = np.random.default_rng(param_seed).standard_normal(settings.features_size)
        rng = np.random.default_rng(data_seed)
        rows = settings.num_train_examples + settings.num_valid_examples
        x = rng.standard_normal((rows, settings.features_size))
        features.append(x)
        labels.append(x @ weights + noise_percent / 100 * rng.standard_normal(rows))
    x, y, train = np.stack(features), np.stack(labels), settings.num_train_examples
    return az.Tasks(x[:, :train], y[:, :train], x[:, train:], y[:, train:])


az.register_task("noisy_linear", noisy_linear)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--individuals", type=int, default=300_000, help="programs that the search makes")
    arguments = parser.parse_args()

    def ours(tasks: str) -> str:
        """The demo's tasks with our generator in place of scalar_linear_regression."""
        return tasks.replace("scalar_linear_regression", "noisy_linear") + ",noise_percent=5"

    demo = az.settings_from_flagfile("linear_demo")
    settings = dataclasses.replace(
        demo,
        islands=(dataclasses.replace(demo.islands[0], search_tasks=ours(demo.islands[0].search_tasks)),),
        select_tasks=ours(demo.select_tasks),
        final_tasks=ours(demo.final_tasks),
        random_seed=14,
        max_experiments=1,
        max_individuals=arguments.individuals,
    )
    result = az.run(settings)
    print(f"search fitness {result['search_fitness']:.4f}, on tasks of other seeds {result['final_fitness']:.4f}")
