"""Tasks by name: specifications in one line of text, and the generators behind them.

    scalar_linear_regression:features_size=4,num_tasks=10
    projected_binary_classification:dataset=cifar10,path=data/cifar-10-batches-bin,features_size=16
    npz:path=my_tasks.npz,loss=accuracy

Generators, parameters and default seeds follow the C++ release (`task.proto`,
`task_util.cc`); affine regression is the paper's (section 4.1). The numbers
differ from the release's, whose random generator is another one.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from azero_jax import datasets, projected_tasks
from azero_jax.execution import user_cache_dir
from azero_jax.tasks import Tasks

# "Picked to span the difficulty of the nonlinear tasks" (task_util.cc). Further tasks
# count on from the largest; the release counts on from the last and repeats some.
_DATA_SEEDS = (11001, 11012, 11010, 11000, 11006, 11008, 11007, 11003)
_PARAM_SEEDS = (1001, 1012, 1010, 1000, 1006, 1008, 1007, 1003)


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """What every generator understands.

    Attributes:
      features_size: F.
      num_train_examples, num_valid_examples: examples of each task.
      num_train_epochs: passes over the training examples.
      num_tasks: D.
      data_seeds: of the examples of each task; missing ones count on from the largest.
      param_seeds: of the parameters behind the labels, or of projections; likewise.
    """

    features_size: int = 4
    num_train_examples: int = 100
    num_valid_examples: int = 100
    num_train_epochs: int = 1
    num_tasks: int = 10
    data_seeds: tuple[int, ...] = ()
    param_seeds: tuple[int, ...] = ()

    def seeds(self) -> list[tuple[int, int]]:
        """(data seed, param seed) of each task."""
        return list(
            zip(
                _continued(self.data_seeds or _DATA_SEEDS, self.num_tasks),
                _continued(self.param_seeds or _PARAM_SEEDS, self.num_tasks),
            )
        )


def _continued(seeds: Sequence[int], count: int) -> list[int]:
    extra = [max(seeds) + 1 + i for i in range(max(0, count - len(seeds)))]
    return [*seeds, *extra][:count]


def _regression(settings: TaskSettings, draw_labeller: Callable) -> Tasks:
    """Tasks with N(0, 1) features; `draw_labeller(rng, F)` makes a task's function of them."""
    features, labels = [], []
    for data_seed, param_seed in settings.seeds():
        labeller = draw_labeller(np.random.default_rng(param_seed), settings.features_size)
        num_examples = settings.num_train_examples + settings.num_valid_examples
        x = np.random.default_rng(data_seed).standard_normal((num_examples, settings.features_size))
        features.append(x)
        labels.append(labeller(x))
    split = settings.num_train_examples
    x, y = np.stack(features), np.stack(labels)
    return Tasks(x[:, :split], y[:, :split], x[:, split:], y[:, split:], "rmse", settings.num_train_epochs)


def scalar_linear_regression(settings: TaskSettings) -> Tasks:
    """y = w . x, with w and x from N(0, 1)."""

    def draw(rng, features_size):
        weights = rng.standard_normal(features_size)
        return lambda x: x @ weights

    return _regression(settings, draw)


def scalar_affine_regression(settings: TaskSettings) -> Tasks:
    """y = w . x + b, all from N(0, 1)."""

    def draw(rng, features_size):
        weights, bias = rng.standard_normal(features_size), rng.standard_normal()
        return lambda x: x @ weights + bias

    return _regression(settings, draw)


def scalar_2layer_nn_regression(settings: TaskSettings) -> Tasks:
    """y = u . relu(M x), with u, M and x from N(0, 1); hidden units 0 and 2 are zero, as in the release."""

    def draw(rng, features_size):
        matrix = rng.standard_normal((features_size, features_size))
        matrix[[unit for unit in (0, 2) if unit < features_size]] = 0
        weights = rng.standard_normal(features_size)
        return lambda x: np.maximum(x @ matrix.T, 0) @ weights

    return _regression(settings, draw)


def _projections_dir(cache_dir: str) -> str:
    return cache_dir or os.path.join(user_cache_dir(), "projections")


def projected_binary_classification(
    settings: TaskSettings,
    *,
    dataset: str = "digits",
    path: str = "",
    pairs: str = "search",
    positive_class: int = -1,
    negative_class: int = -1,
    held_out_pairs: str = "",
    test: bool = False,
    cache_dir: str = "",
) -> Tasks:
    """Binary tasks from a dataset of several classes; see `projected_tasks`.

    Args:
      settings: features_size 0 keeps the dataset's; param seeds choose projections.
      dataset, path: as of `datasets.load`.
      pairs: "search", "select" or "final", disjoint sets of pairs of classes, or "all".
      positive_class, negative_class: one pair instead; both or none.
      held_out_pairs: the pairs of "final", as in 0-5+1-8; by default the release's.
      test: whether validation examples come from the test part of the data.
      cache_dir: where projections of files are kept; by default azero_jax/projections in
        the user's cache directory.
    """
    if (positive_class < 0) != (negative_class < 0):
        raise ValueError(
            f"positive_class={positive_class}, negative_class={negative_class}: expected both or none of them"
        )
    try:
        held_out = [
            (int(low), int(high)) for low, high in (some.split("-") for some in held_out_pairs.split("+") if some)
        ]
    except ValueError:
        raise ValueError(f"held_out_pairs={held_out_pairs!r}: expected pairs as in 0-5+1-8") from None
    return projected_tasks.projected_binary_tasks(
        dataset,
        path,
        group=pairs,
        pair=(negative_class, positive_class) if positive_class >= 0 else None,
        held_out=held_out,
        seeds=[param_seed for _, param_seed in settings.seeds()],
        num_train_epochs=settings.num_train_epochs,
        cache_dir=_projections_dir(cache_dir),
        features_size=settings.features_size,
        num_train_examples=settings.num_train_examples,
        num_valid_examples=settings.num_valid_examples,
        test=test,
    )


def projected_multiclass_classification(
    settings: TaskSettings, *, dataset: str = "digits", path: str = "", test: bool = False, cache_dir: str = ""
) -> Tasks:
    """Tasks of all classes of a dataset: programs see labels as vectors, v1, and predict vectors, v2.

    Args:
      settings: features_size 0 keeps the dataset's, and is at least the number of classes;
        param seeds choose projections.
      dataset, path: as of `datasets.load`.
      test: whether validation examples come from the test part of the data.
      cache_dir: as of `projected_binary_classification`.
    """
    return projected_tasks.projected_multiclass_tasks(
        dataset,
        path,
        seeds=[param_seed for _, param_seed in settings.seeds()],
        num_train_epochs=settings.num_train_epochs,
        cache_dir=_projections_dir(cache_dir),
        features_size=settings.features_size,
        num_train_examples=settings.num_train_examples,
        num_valid_examples=settings.num_valid_examples,
        test=test,
    )


def projected_digits(settings: TaskSettings, *, pairs: str = "search", test: bool = False) -> Tasks:
    """`projected_binary_classification` of the handwritten digits that scikit-learn contains."""
    return projected_binary_classification(settings, pairs=pairs, test=test)


def dataset_regression(
    settings: TaskSettings, *, dataset: str = "diabetes", path: str = "", test: bool = False
) -> Tasks:
    """Regression of a dataset's labels on its features, both standardised on the training part.

    Args:
      settings: features_size 0 keeps the dataset's, more projects to so many; data seeds
        split the examples, param seeds choose projections.
      dataset, path: as of `datasets.load`.
      test: whether validation examples come from the last fifth of the data, which nothing
        else uses.
    """
    loaded = datasets.load(dataset, path)
    features, labels = loaded.train.features.astype(np.float64), loaded.train.labels.astype(np.float64)
    order = np.random.default_rng(2020).permutation(len(labels))
    seen, held_back = np.split(order, [int(0.8 * len(order))])
    count = settings.num_train_examples + (0 if test else settings.num_valid_examples)
    for name, wanted, part in (
        ("num_train_examples and num_valid_examples" if not test else "num_train_examples", count, seen),
        ("num_valid_examples", settings.num_valid_examples if test else 0, held_back),
    ):
        if wanted > len(part):
            raise ValueError(f"{name}: {wanted}: dataset {dataset} has {len(part)} examples in that part")
    parts = []
    for data_seed, param_seed in settings.seeds():
        rng = np.random.default_rng(data_seed)
        picked = rng.permutation(seen)
        train = picked[: settings.num_train_examples]
        valid = (rng.permutation(held_back) if test else picked[settings.num_train_examples :])[
            : settings.num_valid_examples
        ]
        x = features
        if settings.features_size:
            x = features @ np.random.default_rng(param_seed).standard_normal(
                (features.shape[1], settings.features_size)
            )
        x = (x - x[train].mean(axis=0)) / np.maximum(x[train].std(axis=0), 1e-12)
        y = (labels - labels[train].mean()) / labels[train].std()
        parts.append((x[train], y[train], x[valid], y[valid]))
    arrays = [np.stack(some) for some in zip(*parts)]
    return Tasks(arrays[0], arrays[1], arrays[2], arrays[3], "rmse", settings.num_train_epochs)


def npz(settings: TaskSettings, *, path: str = "", loss: str = "rmse") -> Tasks:
    """Tasks from a file; see `Tasks.load`. Sizes come from the arrays."""
    if not path:
        raise ValueError("path is missing: expected npz:path=FILE")
    return Tasks.load(path, loss=loss, num_train_epochs=settings.num_train_epochs)


GENERATORS: dict[str, Callable[..., Tasks]] = {
    function.__name__: function
    for function in (
        scalar_linear_regression,
        scalar_affine_regression,
        scalar_2layer_nn_regression,
        projected_binary_classification,
        projected_multiclass_classification,
        projected_digits,
        dataset_regression,
        npz,
    )
}

# Generators whose data has features of its own.
_OWN_FEATURES = (
    "projected_binary_classification",
    "projected_multiclass_classification",
    "projected_digits",
    "dataset_regression",
)


def _convert(name: str, value: str, default: object) -> object:
    """A value in the type of its default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(default, int):
            return int(value)
        if isinstance(default, tuple):
            return tuple(int(seed) for seed in value.split("+"))
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "an integer", tuple: "integers joined by '+'"}[type(default)]
        raise ValueError(f"{name}={value!r}: expected {expected}") from None
    return value


def has_vector_labels(spec: str) -> bool:
    """Whether tasks of a specification have labels that are vectors, without making them."""
    name, _, rest = spec.strip().partition(":")
    return name == "projected_multiclass_classification" or (
        name == "npz" and "loss=multiclass_accuracy" in [part.strip() for part in rest.split(",")]
    )


def agreed_vector_labels(specs: Iterable[str]) -> bool:
    """Whether labels are vectors, of tasks that one program is to run on.

    Raises:
      ValueError: they are of some and not of others.
    """
    kinds = {has_vector_labels(spec): spec for spec in specs}
    if len(kinds) > 1:
        raise ValueError(
            f"tasks {kinds[True]!r} have several classes, {kinds[False]!r} do not: "
            "expected tasks whose labels are all vectors, or all numbers"
        )
    return True in kinds


def make_tasks(spec: str, *, random_seeds: np.random.Generator | None = None) -> Tasks:
    """Makes tasks from their specification.

    Args:
      spec: `generator:name=value,...`; lists of seeds are joined by `+`.
      random_seeds: if given, seeds are drawn from it instead of the specification.

    Raises:
      ValueError: an unknown generator or parameter or a bad value; the message
        repeats the specification.
    """
    import inspect

    name, _, rest = spec.strip().partition(":")
    if name not in GENERATORS:
        raise ValueError(f"tasks {spec!r}: unknown generator {name!r}, expected one of {', '.join(GENERATORS)}")
    generator = GENERATORS[name]
    own = {p.name: p.default for p in inspect.signature(generator).parameters.values() if p.kind is p.KEYWORD_ONLY}
    common = {field.name: field.default for field in dataclasses.fields(TaskSettings)}
    values: dict[str, object] = {}
    try:
        for item in filter(None, (part.strip() for part in rest.split(","))):
            key, equals, value = item.partition("=")
            if not equals or key not in own | common:
                raise ValueError(f"{item!r}: expected name=value with a name among {', '.join([*common, *own])}")
            values[key] = _convert(key, value, (own | common)[key])
        settings = TaskSettings(**{key: value for key, value in values.items() if key in common})  # type: ignore[arg-type]
        for field in ("num_train_examples", "num_valid_examples", "num_train_epochs", "num_tasks"):
            if getattr(settings, field) < 1:
                raise ValueError(f"{field}={getattr(settings, field)}: expected a positive integer")
        least = 0 if name in _OWN_FEATURES else 1
        if settings.features_size < least:
            raise ValueError(f"features_size={settings.features_size}: expected at least {least}")
        if random_seeds is not None:
            drawn = random_seeds.integers(0, 2**31, (2, settings.num_tasks))
            settings = dataclasses.replace(
                settings, data_seeds=tuple(drawn[0].tolist()), param_seeds=tuple(drawn[1].tolist())
            )
        return generator(settings, **{key: value for key, value in values.items() if key in own})
    except ValueError as error:
        raise ValueError(f"tasks {spec!r}: {error}") from error
