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
import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from azero_jax import datasets, given_tasks, objectives, projected_tasks
from azero_jax.datasets import Dataset, Source
from azero_jax.execution import require_memory, user_cache_dir
from azero_jax.notices import did_you_mean, shortened, tell_once
from azero_jax.objectives import BINARY, CLASSES, NUMBERS
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


def _regression(settings: TaskSettings, loss: str, draw_labeller: Callable) -> Tasks:
    """Tasks with N(0, 1) features; `draw_labeller(rng, F)` makes a task's function of them."""
    objectives.named_for(loss, NUMBERS)
    features, labels = [], []
    for data_seed, param_seed in settings.seeds():
        labeller = draw_labeller(np.random.default_rng(param_seed), settings.features_size)
        num_examples = settings.num_train_examples + settings.num_valid_examples
        x = np.random.default_rng(data_seed).standard_normal((num_examples, settings.features_size))
        features.append(x)
        labels.append(labeller(x))
    split = settings.num_train_examples
    x, y = np.stack(features), np.stack(labels)
    return Tasks(x[:, :split], y[:, :split], x[:, split:], y[:, split:], loss, settings.num_train_epochs)


def scalar_linear_regression(settings: TaskSettings, *, loss: str = "rmse") -> Tasks:
    """y = w . x, with w and x from N(0, 1)."""

    def draw(rng, features_size):
        weights = rng.standard_normal(features_size)
        return lambda x: x @ weights

    return _regression(settings, loss, draw)


def scalar_affine_regression(settings: TaskSettings, *, loss: str = "rmse") -> Tasks:
    """y = w . x + b, all from N(0, 1)."""

    def draw(rng, features_size):
        weights, bias = rng.standard_normal(features_size), rng.standard_normal()
        return lambda x: x @ weights + bias

    return _regression(settings, loss, draw)


def scalar_2layer_nn_regression(settings: TaskSettings, *, loss: str = "rmse") -> Tasks:
    """y = u . relu(M x), with u, M and x from N(0, 1); hidden units 0 and 2 are zero, as in the release."""

    def draw(rng, features_size):
        matrix = rng.standard_normal((features_size, features_size))
        matrix[[unit for unit in (0, 2) if unit < features_size]] = 0
        weights = rng.standard_normal(features_size)
        return lambda x: np.maximum(x @ matrix.T, 0) @ weights

    return _regression(settings, loss, draw)


def _projections_dir(cache_dir: str) -> str:
    return cache_dir or os.path.join(user_cache_dir(), "projections")


def projected_binary_classification(
    settings: TaskSettings,
    *,
    data: Source = Source("digits"),
    pairs: str = "search",
    positive_class: str = "",
    negative_class: str = "",
    held_out_pairs: str = "",
    test: bool = False,
    cache_dir: str = "",
    loss: str = "accuracy",
) -> Tasks:
    """Binary tasks from a dataset of several classes; see `projected_tasks`.

    Args:
      settings: features_size 0 keeps the dataset's; param seeds choose projections.
      data: its fields are parameters.
      pairs: "search", "select" or "final", disjoint sets of pairs of classes, or "all"; of
        two classes, all mean the one pair there is.
      positive_class, negative_class: one pair instead, as the labels are; both or none.
      held_out_pairs: the pairs of "final", as in 0-5+1-8; by default the release's.
      test: whether validation examples come from the test part of the data.
      cache_dir: where projections of files are kept; by default azero_jax/projections in
        the user's cache directory.
      loss: of two classes.
    """
    objectives.named_for(loss, BINARY)
    if (not positive_class) != (not negative_class):
        raise ValueError(
            f"positive_class={positive_class}, negative_class={negative_class}: expected both or none of them"
        )
    held_out = [pair for pair in held_out_pairs.split("+") if pair]
    pair = (negative_class, positive_class) if positive_class else ()
    asked = _asked(settings, data, test)

    def make() -> Tasks:
        dataset = datasets.load_source(data, "classes")
        _check_projection(settings, dataset)
        return projected_tasks.binary_tasks(dataset, asked, group=pairs, pair=pair, held_out=held_out)

    key = ["binary", asked, pairs, pair, held_out]
    return _with_loss(projected_tasks.kept_or_made(data, key, _projections_dir(cache_dir), make), loss)


def _with_loss(tasks: Tasks, loss: str) -> Tasks:
    """The same tasks; those that are kept have the usual loss."""
    return tasks if loss == tasks.loss else dataclasses.replace(tasks, loss=loss)


def projected_multiclass_classification(
    settings: TaskSettings,
    *,
    data: Source = Source("digits"),
    test: bool = False,
    cache_dir: str = "",
    loss: str = "multiclass_accuracy",
) -> Tasks:
    """Tasks of all classes of a dataset: programs see labels as vectors, v1, and predict vectors, v2.

    Args:
      settings: features_size 0 keeps the dataset's, and is at least the number of classes;
        param seeds choose projections.
      data: its fields are parameters.
      test: whether validation examples come from the test part of the data.
      cache_dir: as of `projected_binary_classification`.
      loss: of several classes.
    """
    objectives.named_for(loss, CLASSES)
    asked = _asked(settings, data, test)

    def make() -> Tasks:
        dataset = datasets.load_source(data, "classes")
        _check_projection(settings, dataset)
        return projected_tasks.multiclass_tasks(dataset, asked)

    key = ["all classes", asked]
    return _with_loss(projected_tasks.kept_or_made(data, key, _projections_dir(cache_dir), make), loss)


def projected_digits(
    settings: TaskSettings, *, pairs: str = "search", test: bool = False, loss: str = "accuracy"
) -> Tasks:
    """`projected_binary_classification` of the handwritten digits that scikit-learn contains."""
    return projected_binary_classification(settings, pairs=pairs, test=test, loss=loss)


def dataset_regression(
    settings: TaskSettings, *, data: Source = Source("diabetes"), test: bool = False, loss: str = "rmse"
) -> Tasks:
    """Regression of a dataset's labels on its features, both standardised on the training part.

    Args:
      settings: features_size 0 keeps the dataset's, more projects to so many; data seeds
        split the examples, param seeds choose projections.
      data: its fields are parameters.
      test: whether validation examples come from the last fifth of the data, which nothing
        else uses.
      loss: of numbers.
    """
    objectives.named_for(loss, NUMBERS)
    dataset = datasets.load_source(data, "numbers")
    _check_projection(settings, dataset)
    return _standardised_regression(settings, dataset, test=test, ordered=data.split == "ordered", loss=loss)


def _asked(settings: TaskSettings, data: Source, test: bool) -> projected_tasks.Asked:
    return projected_tasks.Asked(
        tuple(param_seed for _, param_seed in settings.seeds()),
        settings.num_train_epochs,
        settings.features_size,
        settings.num_train_examples,
        settings.num_valid_examples,
        test,
        data.split == "ordered",
    )


def _standardised_regression(
    settings: TaskSettings, dataset: Dataset, *, test: bool, ordered: bool, loss: str
) -> Tasks:
    """Tasks of `dataset_regression`; ordered ones train on what comes before what they are scored on."""
    features, labels = dataset.train.features.astype(np.float64), dataset.train.labels.astype(np.float64)
    if labels.min() == labels.max():
        raise ValueError(
            f"dataset {dataset.name}: all {len(labels):,} labels are {labels[0]:g}: nothing to learn; the label of a "
            "table is expected in its last column, label=NAME or label=POSITION (0 is the first column) names another"
        )
    order = np.arange(len(labels)) if ordered else np.random.default_rng(2020).permutation(len(labels))
    seen, held_back = np.split(order, [int(0.8 * len(order))])
    num_train, num_valid = settings.num_train_examples, settings.num_valid_examples
    for name, wanted, part in (
        ("num_train_examples and num_valid_examples", 0 if test else num_train + num_valid, seen),
        ("num_train_examples", num_train if test else 0, seen),
        ("num_valid_examples", num_valid if test else 0, held_back),
    ):
        if wanted > len(part):
            raise ValueError(f"{name}: {wanted}: dataset {dataset.name} has {len(part)} examples in that part")
    parts = []
    for data_seed, param_seed in settings.seeds():
        rng = np.random.default_rng(data_seed)
        if ordered:
            before = len(seen) if test else len(seen) * num_train // (num_train + num_valid)
            before = min(max(before, num_train), len(seen) - (0 if test else num_valid))
            train = np.sort(rng.permutation(seen[:before])[:num_train])
            valid = np.sort(rng.permutation(held_back if test else seen[before:])[:num_valid])
        else:
            picked = rng.permutation(seen)
            train = picked[:num_train]
            valid = (rng.permutation(held_back) if test else picked[num_train:])[:num_valid]
        x = features
        if settings.features_size:
            x = features @ np.random.default_rng(param_seed).standard_normal(
                (features.shape[1], settings.features_size)
            )
        x = (x - x[train].mean(axis=0)) / np.maximum(x[train].std(axis=0), 1e-12)
        y = labels[train]
        deviation = y.std() if y.min() < y.max() else 1.0  # few examples can be alike
        y = (labels - y.mean()) / deviation
        parts.append((x[train], y[train], x[valid], y[valid]))
    arrays = [np.stack(some) for some in zip(*parts)]
    return Tasks(
        arrays[0],
        arrays[1],
        arrays[2],
        arrays[3],
        loss,
        settings.num_train_epochs,
        description=dataset.description,
    )


def _refuse_sizes(settings: TaskSettings, whence: str) -> None:
    for field in dataclasses.fields(TaskSettings):
        value = getattr(settings, field.name)
        if field.name in _OF_ARRAYS and value != getattr(TaskSettings, field.name) and not field.name.endswith("seeds"):
            raise ValueError(f"{field.name}={value}: sizes of {whence}: expected none here")


def given(settings: TaskSettings, *, tasks: str = "", loss: str = "") -> Tasks:
    """Tasks that were given as arrays in Python; see `given_tasks`. Sizes come from them."""
    _refuse_sizes(settings, "given tasks come from their arrays")
    return given_tasks.find(tasks)


def npz(settings: TaskSettings, *, path: str = "", loss: str = "rmse") -> Tasks:
    """Tasks from a file; see `Tasks.load`. Sizes come from it, and epochs unless several are asked for."""
    if not path:
        raise ValueError("path is missing: expected npz:path=FILE")
    _refuse_sizes(settings, "npz come from the file")
    epochs = settings.num_train_epochs
    return Tasks.load(os.path.expanduser(path), loss=loss, num_train_epochs=epochs if epochs > 1 else None)


_OF_ARRAYS = ("features_size", "num_train_examples", "num_valid_examples", "num_tasks")


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
        given,
    )
}

# Generators whose data has features of its own, and whose labels are vectors.
_OWN_FEATURES = {
    "projected_binary_classification",
    "projected_multiclass_classification",
    "projected_digits",
    "dataset_regression",
}
_VECTOR_LABELS = {"projected_multiclass_classification"}


def register_task(name: str, generator: Callable[..., Tasks], *, vector_labels: bool = False) -> None:
    """Adds tasks of the user's, usable by name wherever tasks are.

        def parity(settings, *, noise: int = 0):
            ...
            return az.Tasks(train_features, train_labels, valid_features, valid_labels)

        az.register_task("parity", parity)
        az.make_tasks("parity:features_size=4,num_tasks=10,noise=1")

    Args:
      name: an identifier that no other generator has.
      generator: makes tasks from a `TaskSettings`, what all generators understand. What it
        takes by keyword, with defaults that are texts, integers, booleans or tuples of
        integers, are its own parameters.
      vector_labels: whether its tasks have labels of several classes, as of the loss
        "multiclass_accuracy".

    Raises:
      ValueError: the name is taken or no identifier, or a parameter without a default of
        those types.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name {name!r}: expected an identifier")
    if name in GENERATORS:
        raise ValueError(f"name {name!r}: tasks of that name exist already")
    if not callable(generator):
        raise ValueError(f"generator: {type(generator).__name__}: expected a function that makes Tasks")
    first, *others = inspect.signature(generator).parameters.values()
    for parameter in others:
        if parameter.kind is not parameter.KEYWORD_ONLY or not isinstance(parameter.default, (str, int, tuple)):
            raise ValueError(
                f"generator of {name!r}: parameter {parameter.name!r}: expected one behind *, with a default that is a "
                "text, an integer, a boolean or a tuple of integers"
            )
        if parameter.name in {field.name for field in dataclasses.fields(TaskSettings)}:
            raise ValueError(f"generator of {name!r}: parameter {parameter.name!r} is of {first.name} already")
    GENERATORS[name] = generator
    if vector_labels:
        _VECTOR_LABELS.add(name)


def unregister_task(name: str) -> None:
    """Removes tasks that `register_task` added.

    Raises:
      ValueError: it added none of that name.
    """
    if name not in GENERATORS or name in _BUILT_IN:
        raise ValueError(f"name {name!r}: no tasks of that name were registered")
    del GENERATORS[name]
    _VECTOR_LABELS.discard(name)


_BUILT_IN = frozenset(GENERATORS)


def _convert(name: str, value: str, default: object) -> object:
    """A value in the type of its default."""
    if not value:
        raise ValueError(f"{name}=: expected a value")
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[value.lower()]
        if isinstance(default, int):
            return _integer(value)
        if isinstance(default, tuple):
            return tuple(_integer(seed, least=0) for seed in value.split("+"))
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "an integer", tuple: "integers joined by '+', none negative"}[
            type(default)
        ]
        raise ValueError(f"{name}={shortened(value)!r}: expected {expected}") from None
    return value


def _integer(text: str, least: int = -(2**63)) -> int:
    """An integer as people write it: not 1_000, no other script's digits, and none that arrays cannot hold."""
    if not re.fullmatch(r"[+-]?\d{1,19}", text.strip(), re.ASCII) or not least <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


@dataclasses.dataclass(frozen=True)
class _Parameters:
    """What a generator understands: names with defaults, by where they go."""

    common: dict[str, object]
    own: dict[str, object]
    source: dict[str, object]

    @classmethod
    def of(cls, generator: Callable[..., Tasks]) -> _Parameters:
        """Those of its signature, with the fields of `Source` in place of one."""
        keywords = [p for p in inspect.signature(generator).parameters.values() if p.kind is p.KEYWORD_ONLY]
        source = next((p.default for p in keywords if isinstance(p.default, Source)), None)
        return cls(
            {field.name: field.default for field in dataclasses.fields(TaskSettings)},
            {p.name: p.default for p in keywords if not isinstance(p.default, Source)},
            dataclasses.asdict(source) if source else {},
        )

    @property
    def all(self) -> dict[str, object]:
        """All of them."""
        return self.common | self.source | self.own


def _parse(spec: str) -> tuple[str, dict[str, str]]:
    """The generator's name and the parameters of a specification, as text.

    Raises:
      ValueError: an item that is not name=value, or a name given twice.
    """
    name, _, rest = spec.strip().partition(":")
    values: dict[str, str] = {}
    # Commas between quotes belong to a value.
    for item in filter(None, (part.strip() for part in re.findall(r'(?:"[^"]*"|[^,])+', rest))):
        key, equals, value = item.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            raise ValueError(f"{shortened(item)!r}: expected name=value; a value that holds a comma needs quotes")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if key in values:
            raise ValueError(
                f"{shortened(key)} is given twice, as {shortened(values[key])} and {shortened(value)}: expected it once"
            )
        values[key] = value
    return name.strip(), values


def same_tasks(one: str, other: str) -> bool:
    """Whether two specifications mean the same, in whatever order and whether or not they repeat defaults."""
    return one.strip() == other.strip() or (_meaning(one) is not None and _meaning(one) == _meaning(other))


def _meaning(spec: str) -> tuple[str, dict[str, object]] | None:
    """Generator and values of a specification, but for defaults; None if it is wrong."""
    try:
        name, given = _parse(spec)
        if name not in GENERATORS:
            return None
        defaults = _Parameters.of(GENERATORS[name]).all
        values = {key: _convert(key, value, defaults[key]) for key, value in given.items()}
    except (ValueError, KeyError):
        return None
    if "path" in values:
        values["path"] = os.path.abspath(str(values["path"]))
    return name, {key: value for key, value in values.items() if value != defaults[key]}


def given_parameters(spec: str) -> dict[str, str]:
    """What a specification says, as text.

    Raises:
      ValueError: it is not a list of name=value.
    """
    return _parse(spec)[1]


def changed(spec: str, parameters: str) -> str:
    """A specification with other values, `name=value,...`, for some of its parameters."""
    name, values = _parse(spec)
    values |= given_parameters(f":{parameters}")
    quoted = {key: f'"{value}"' if "," in value else value for key, value in values.items()}
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in quoted.items())


def has_vector_labels(spec: str) -> bool:
    """Whether tasks of a specification have labels that are vectors, without making them."""
    try:
        name, values = _parse(spec)
    except ValueError as error:
        raise _repeated(spec, error) from error
    if name in ("npz", given_tasks.NAME):
        return values.get("loss") in {one.name for one in objectives.known() if one.vector_labels}
    return name in _VECTOR_LABELS


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


def _settings(values: dict[str, object], generator: str) -> TaskSettings:
    """The common parameters, checked before anything is made of them."""
    settings = TaskSettings(**values)  # type: ignore[arg-type]
    for field in ("num_train_examples", "num_valid_examples", "num_train_epochs", "num_tasks"):
        if getattr(settings, field) < 1:
            raise ValueError(f"{field}={getattr(settings, field)}: expected a positive integer")
    least = 0 if generator in _OWN_FEATURES else 1
    if settings.features_size < least:
        raise ValueError(f"features_size={settings.features_size}: expected at least {least}")
    for field, count in (("data_seeds", len(settings.data_seeds)), ("param_seeds", len(settings.param_seeds))):
        if count > settings.num_tasks:
            raise ValueError(f"{field}: {count} seeds: expected at most num_tasks={settings.num_tasks}")
    if generator in ("npz", given_tasks.NAME):
        return settings
    numbers = settings.num_tasks * (
        (settings.num_train_examples + settings.num_valid_examples) * (max(1, settings.features_size) + 1)
        + _NUMBERS_OF_A_TASK
    )
    # Drawn, gathered and copied; an evaluator will have its own, and the order of each epoch.
    needed = 3 * 8 * numbers + 8 * settings.num_train_epochs * settings.num_train_examples
    needed += 8 * settings.features_size**2 * (generator == "scalar_2layer_nn_regression")
    sizes = ("num_tasks", "num_train_examples", "num_valid_examples", "num_train_epochs", "features_size")
    require_memory(needed, ", ".join(f"{name}={getattr(settings, name)}" for name in sizes))
    return settings


# What a task takes beside its examples: seeds, generators, arrays' own overhead.
_NUMBERS_OF_A_TASK = 200


def _check_projection(settings: TaskSettings, dataset: Dataset) -> None:
    """Refuses projections that are larger than memory."""
    needed = 8 * dataset.train.features.shape[1] * max(settings.features_size, 1)
    needed += (
        24
        * settings.num_tasks
        * (settings.num_train_examples + settings.num_valid_examples)
        * (settings.features_size or dataset.train.features.shape[1])
    )
    features = dataset.train.features.shape[1]
    require_memory(
        needed, f"features_size={settings.features_size}, num_tasks={settings.num_tasks} of {features:,} features"
    )


def _repeated(spec: str, error: ValueError) -> ValueError:
    return ValueError(f"tasks {shortened(repr(spec), 500)}: {error}")


def make_tasks(spec: str, *, random_seeds: np.random.Generator | None = None) -> Tasks:
    """Makes tasks from their specification.

    What was found in a file of the user's own is told on standard error, once, and is the
    tasks' description.

    Args:
      spec: `generator:name=value,...`; lists of seeds are joined by `+`, values that hold
        commas are quoted.
      random_seeds: if given, seeds are drawn from it instead of the specification.

    Raises:
      ValueError: an unknown generator or parameter, one given twice or a bad value, or
        more than memory holds; the message repeats the specification.
      OSError: a file is missing or cannot be read.
    """
    if not isinstance(spec, str):
        raise ValueError(f"tasks {shortened(repr(spec))}: expected a text as in scalar_linear_regression:num_tasks=10")
    try:
        name, values = _parse(spec)
        if name not in GENERATORS:
            raise ValueError(
                f"unknown generator {shortened(name)!r}, expected one of {', '.join(GENERATORS)}"
                + did_you_mean(name, GENERATORS)
            )
        parameters = _Parameters.of(GENERATORS[name])
        for key, value in values.items():
            if key not in parameters.all:
                raise ValueError(
                    f"{shortened(f'{key}={value}')!r}: expected name=value with a name among "
                    f"{', '.join(parameters.all)}{did_you_mean(key, parameters.all)}"
                )
        converted = {key: _convert(key, value, parameters.all[key]) for key, value in values.items()}
        settings = _settings({key: value for key, value in converted.items() if key in parameters.common}, name)
        if random_seeds is not None:
            drawn = random_seeds.integers(0, 2**31, (2, settings.num_tasks))
            settings = dataclasses.replace(
                settings, data_seeds=tuple(drawn[0].tolist()), param_seeds=tuple(drawn[1].tolist())
            )
        arguments = {key: value for key, value in converted.items() if key in parameters.own}
        if parameters.source:
            given = {key: value for key, value in converted.items() if key in parameters.source}
            arguments["data"] = Source(**(parameters.source | given))  # type: ignore[arg-type]
        tasks = GENERATORS[name](settings, **arguments)
        if not isinstance(tasks, Tasks):
            raise ValueError(f"its generator returned {type(tasks).__name__}: expected Tasks")
        if tasks.vector_labels != has_vector_labels(spec):
            raise ValueError(f"loss {tasks.loss!r}: expected vector_labels={tasks.vector_labels} of register_task")
    except ValueError as error:
        raise _repeated(spec, error) from error
    if tasks.description:
        tell_once(tasks.description)
    return tasks


def tasks_from_arrays(
    features: object,
    labels: object,
    *,
    kind: str = "auto",
    num_tasks: int = 1,
    num_train_examples: int = 0,
    num_valid_examples: int = 0,
    features_size: int = 0,
    num_train_epochs: int = 1,
    seed: int = 0,
    test: bool = False,
    ordered: bool = False,
    missing: str = "refuse",
    loss: str | None = None,
) -> Tasks:
    """Tasks from data in memory, as the generators make them of files.

    Numbers make regression as `dataset_regression`, two classes binary tasks, more of them
    tasks of all classes. Features and labels of regression are standardised on the training
    part.

    Args:
      features: [n, C]: an array, nested lists, or a frame of pandas.
      labels: [n]: numbers or words; an array, a list or a series.
      kind: "classes", "numbers", or "auto" for classes if labels are words or few whole numbers.
      num_tasks: each with another choice of examples, and of a projection.
      num_train_examples: of each task; 0 for half of the data.
      num_valid_examples: of each task; 0 for a sixth of the data.
      features_size: F to project to; 0 keeps the features.
      num_train_epochs: passes over the training examples.
      seed: of the first task; others count on from it.
      test: whether validation examples come from the fifth of the data that is kept for it.
      ordered: whether rows are in the order of time.
      missing: "refuse", "mean" or "drop", for missing values.
      loss: its name, for such labels; "cross_entropy" means "multiclass_cross_entropy" for
        more than two classes. By default "rmse", "accuracy" or "multiclass_accuracy".

    Raises:
      ValueError: see `datasets.from_arrays` and the generators.
    """
    objective = None if loss is None else objectives.named(loss)
    dataset = datasets.from_arrays(features, labels, kind=kind, missing=missing)
    objective = (objective or objectives.usual(dataset.num_classes)).for_labels(dataset.num_classes)
    count = len(dataset.train.labels)
    seeds = (seed,)
    settings = _settings(
        {
            "features_size": features_size,
            "num_train_examples": num_train_examples or max(2, count // 2),
            "num_valid_examples": num_valid_examples or max(2, count // 6),
            "num_train_epochs": num_train_epochs,
            "num_tasks": num_tasks,
            "data_seeds": seeds,
            "param_seeds": seeds,
        },
        "dataset_regression",
    )
    _check_projection(settings, dataset)
    if not dataset.num_classes:
        return _standardised_regression(settings, dataset, test=test, ordered=ordered, loss=objective.name)
    asked = _asked(settings, Source(split="ordered" if ordered else "random"), test)
    make = projected_tasks.binary_tasks if dataset.num_classes == 2 else projected_tasks.multiclass_tasks
    return _with_loss(make(dataset, asked), objective.name)
