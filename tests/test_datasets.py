"""Datasets from small files in the true formats, and what is said about files that are wrong."""

from __future__ import annotations

import gzip
import multiprocessing
import pickle
import struct

import numpy as np
import pytest

from azero_jax import datasets, make_tasks, projected_tasks

RNG = np.random.default_rng(0)


def images(count, pixels=3072):
    return RNG.integers(0, 256, (count, pixels), np.uint8)


def classes(count, num_classes=10):
    return (np.arange(count) % num_classes).astype(np.uint8)


def write_cifar10(directory, binary, count=40):
    directory.mkdir(exist_ok=True)
    written = {}
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data, labels = images(count), classes(count)
        if binary:
            (directory / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], data], axis=1).tobytes())
        else:
            # As Python 2 wrote them: keys are byte strings.
            batch = {
                b"data": data,
                b"labels": labels.tolist(),
                b"batch_label": b"one",
                b"filenames": [b"a.png"] * count,
            }
            (directory / name).write_bytes(pickle.dumps(batch, protocol=2))
        written[name] = data, labels
    return written


def idx(array):
    header = struct.pack(">I", 0x0800 + array.ndim) + b"".join(struct.pack(">I", size) for size in array.shape)
    return header + array.tobytes()


def write_mnist(directory, zipped):
    directory.mkdir(exist_ok=True)
    written = {}
    for prefix, count in (("train", 60), ("t10k", 20)):
        data, labels = images(count, 784).reshape(count, 28, 28), classes(count)
        for kind, array in (("images-idx3", data), ("labels-idx1", labels)):
            content = idx(array)
            name = f"{prefix}-{kind}-ubyte"
            (directory / (name + ".gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
        written[prefix] = data.reshape(count, -1), labels
    return written


@pytest.mark.parametrize("binary", [False, True])
def test_cifar10(tmp_path, binary):
    written = write_cifar10(tmp_path, binary)
    dataset = datasets.load("cifar10", str(tmp_path))
    expected = np.concatenate([written[f"data_batch_{number}"][0] for number in range(1, 6)])
    np.testing.assert_array_equal(dataset.train.features, expected)
    np.testing.assert_array_equal(dataset.test.features, written["test_batch"][0])
    np.testing.assert_array_equal(dataset.test.labels, written["test_batch"][1])
    assert dataset.num_classes == 10


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100(tmp_path, binary):
    fine, coarse = classes(30, 100), classes(30, 20)
    for name in ("train", "test"):
        data = images(30)
        if binary:
            records = np.concatenate([coarse[:, None], fine[:, None], data], axis=1)
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
        else:
            batch = {b"data": data, b"fine_labels": fine.tolist(), b"coarse_labels": coarse.tolist()}
            (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    dataset = datasets.load("cifar100", str(tmp_path))
    np.testing.assert_array_equal(dataset.train.labels, fine)
    np.testing.assert_array_equal(dataset.test.features, data)
    assert dataset.num_classes == 100


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist(tmp_path, name, zipped):
    written = write_mnist(tmp_path, zipped)
    dataset = datasets.load(name, str(tmp_path))
    for split, prefix in ((dataset.train, "train"), (dataset.test, "t10k")):
        np.testing.assert_array_equal(split.features, written[prefix][0])
        np.testing.assert_array_equal(split.labels, written[prefix][1])


def test_svhn(tmp_path):
    from scipy.io import savemat

    for name in ("train", "test"):
        data, labels = RNG.integers(0, 256, (32, 32, 3, 20), np.uint8), np.arange(1, 21) % 10
        savemat(tmp_path / f"{name}_32x32.mat", {"X": data, "y": np.where(labels == 0, 10, labels)[:, None]})
    dataset = datasets.load("svhn", str(tmp_path))
    np.testing.assert_array_equal(dataset.test.labels, labels)
    np.testing.assert_array_equal(dataset.test.features[3], data[..., 3].ravel())
    content = (tmp_path / "test_32x32.mat").read_bytes()
    (tmp_path / "test_32x32.mat").write_bytes(content[:5000])
    with pytest.raises(ValueError, match=r"test_32x32\.mat: not a whole MATLAB file"):
        datasets.load("svhn", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "shape", "num_classes"),
    [
        ("digits", (1797, 64), 10),
        ("breast_cancer", (569, 30), 2),
        ("wine", (178, 13), 3),
        ("iris", (150, 4), 3),
        ("diabetes", (442, 10), 0),
    ],
)
def test_bundled_sets(name, shape, num_classes):
    dataset = datasets.load(name)
    assert dataset.train.features.shape == shape and dataset.num_classes == num_classes and dataset.test is None


def test_files_of_the_users_own(tmp_path):
    np.savez(tmp_path / "mine.npz", features=np.ones((6, 2, 3)), labels=[0, 1, 2, 0, 1, 2])
    dataset = datasets.load("npz", str(tmp_path / "mine.npz"))
    assert dataset.train.features.shape == (6, 6) and dataset.num_classes == 3 and dataset.test is None
    (tmp_path / "mine.csv").write_text("height,width,kind\n1.5,2,0\n2.5,-1e3,1\n")
    dataset = datasets.load("csv", str(tmp_path / "mine.csv"))
    np.testing.assert_array_equal(dataset.train.features, [[1.5, 2], [2.5, -1000]])
    assert dataset.train.labels.tolist() == [0, 1] and dataset.num_classes == 2


def damage_cifar(tmp_path, file_name, change):
    write_cifar10(tmp_path, binary=file_name.endswith(".bin"))
    path = tmp_path / file_name
    content = change(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    return "cifar10"


def damage_mnist(tmp_path, file_name, change):
    write_mnist(tmp_path, file_name.endswith(".gz"))
    path = tmp_path / file_name
    content = change(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    return "mnist"


class _Harmful:
    def __reduce__(self):
        return print, ("code of the file has run",)


WRONG = [
    (
        damage_cifar,
        "data_batch_3.bin",
        lambda data: data[:-1],
        "data_batch_3.bin: 122919 bytes: expected a multiple of",
    ),
    (damage_cifar, "data_batch_3.bin", lambda data: b"\x0b" + data[1:], "label 11 of example 0: expected 0 to 9"),
    (damage_cifar, "test_batch.bin", lambda data: None, "test_batch: no such file, nor test_batch.bin: expected the"),
    (damage_cifar, "data_batch_2", lambda data: data[:5000], "data_batch_2: not a whole batch of CIFAR's python"),
    (damage_cifar, "data_batch_2", lambda data: pickle.dumps({b"data": 1}), "data_batch_2: no b'labels'"),
    (damage_cifar, "data_batch_2", lambda data: pickle.dumps(_Harmful()), "holds builtins.print, expected arrays only"),
    (
        damage_cifar,
        "data_batch_2",
        lambda data: pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [1, 2]}),
        r"data of uint8 \(2, 5\) for 2 labels: expected uint8 \(2, 3072\)",
    ),
    (
        damage_mnist,
        "train-images-idx3-ubyte",
        lambda data: b"\0\0\x08\x01" + data[4:],
        "magic number 2049: expected 2051",
    ),
    (damage_mnist, "train-images-idx3-ubyte", lambda data: data[:-10], "47046 bytes: expected 47056 for 60 x 28 x 28"),
    (damage_mnist, "t10k-labels-idx1-ubyte", lambda data: idx(classes(19)), "19 labels for the 20 images of"),
    (
        damage_mnist,
        "t10k-labels-idx1-ubyte",
        lambda data: data[:-1] + b"\x0a",
        "label 10 of example 19: expected 0 to 9",
    ),
    (damage_mnist, "t10k-labels-idx1-ubyte.gz", lambda data: data[:20], "not a whole gzip file"),
    (damage_mnist, "t10k-labels-idx1-ubyte.gz", lambda data: None, "nor t10k-labels-idx1-ubyte.gz: expected the dir"),
]


@pytest.mark.parametrize(("damage", "file_name", "change", "message"), WRONG)
def test_wrong_files_are_named(tmp_path, capsys, damage, file_name, change, message):
    name = damage(tmp_path, file_name, change)
    with pytest.raises((ValueError, OSError), match=message) as error:
        datasets.load(name, str(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,0\n1,x,1\n", "mine.csv: line 2, column 1: 'x': expected a number"),
        ("1,2,0\n1,1\n", "mine.csv: line 2: 2 columns: expected 3"),
        ("", "mine.csv: no rows"),
        ("1,nan,0\n", "mine.csv: line 1, column 1: a value is missing"),
    ],
)
def test_wrong_csv_files_are_named(tmp_path, content, message):
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        datasets.load("csv", str(tmp_path / "mine.csv"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dataset=imagenet", "dataset 'imagenet': expected one of digits, breast_cancer"),
        ("dataset=cifar10", "dataset cifar10: path is missing: expected the directory with data_batch_1"),
        ("dataset=digits,path=/data", "dataset digits: path='/data': expected none"),
        ("positive_class=1", "positive_class=1, negative_class=: expected both or none"),
        ("positive_class=1,negative_class=12", "class 12: expected 0 to 9"),
        ("held_out_pairs=1", "held_out_pairs='1': expected pairs as in 0-5"),
        ("held_out_pairs=5-1", "held_out_pairs: 5-1: expected smaller-larger of 0 to 9"),
        ("dataset=wine", "pairs=search: 3 classes have no such pairs"),
        ("dataset=diabetes", "dataset diabetes: its labels are numbers: expected classes"),
    ],
)
def test_wrong_specifications_are_named(spec, message):
    if spec == "dataset=wine":
        spec += ",pairs=final"
        message = message.replace("search", "final")
    with pytest.raises(ValueError, match=message):
        make_tasks(f"projected_binary_classification:{spec},num_train_examples=9,num_valid_examples=3")


def test_pairs_of_classes():
    assert projected_tasks.class_pairs(3, "all") == [(0, 1), (0, 2), (1, 2)]
    assert projected_tasks.class_pairs(3, "search", [(0, 2)]) == [(0, 1), (1, 2)]
    assert projected_tasks.class_pairs(3, "final", [(0, 2)]) == [(0, 2)]
    every = [pair for group in ("search", "select", "final") for pair in projected_tasks.class_pairs(10, group)]
    assert len(set(every)) == len(every) == 45


def test_the_pair_of_classes_that_was_asked_for():
    spec = "dataset=iris,positive_class=1,negative_class=0,num_train_examples=50,num_valid_examples=10,num_tasks=2"
    tasks = make_tasks(f"projected_binary_classification:{spec},features_size=0")
    iris = datasets.load("iris").train
    means = [iris.features[iris.labels == label].mean(axis=0) for label in (0, 1)]
    bigger = np.sign(means[1] - means[0])
    found = tasks.train_features[0][tasks.train_labels[0] == 1].mean(axis=0)
    np.testing.assert_array_equal(np.sign(found), bigger)


def test_cifar10_from_its_files_to_tasks(tmp_path):
    write_cifar10(tmp_path / "data", binary=True, count=100)
    spec = (
        f"projected_binary_classification:dataset=cifar10,path={tmp_path}/data,features_size=16,num_tasks=3,"
        f"num_train_examples=60,num_valid_examples=15,cache_dir={tmp_path}/cache"
    )
    first = make_tasks(spec)
    assert first.train_features.shape == (3, 60, 16) and first.loss == "accuracy"
    (kept,) = (tmp_path / "cache").iterdir()
    stamp = kept.stat().st_mtime_ns
    again = make_tasks(spec)
    np.testing.assert_array_equal(again.train_features, first.train_features)
    assert kept.stat().st_mtime_ns == stamp
    # Other content is other data, and the test split is used only when it is asked for.
    held_back = make_tasks(spec + ",test=true")
    np.testing.assert_array_equal(held_back.train_labels, first.train_labels)
    assert not np.array_equal(held_back.valid_features, first.valid_features)
    write_cifar10(tmp_path / "data", binary=True, count=100)
    assert not np.array_equal(make_tasks(spec).train_features, first.train_features)
    full = make_tasks(spec.replace("features_size=16", "features_size=0"))
    assert full.features_size == 3072


def test_all_classes_of_cifar10_are_kept_too(tmp_path):
    write_cifar10(tmp_path / "data", binary=True, count=100)
    spec = (
        f"projected_multiclass_classification:dataset=cifar10,path={tmp_path}/data,features_size=16,num_tasks=2,"
        f"num_train_examples=60,num_valid_examples=15,cache_dir={tmp_path}/cache"
    )
    first = make_tasks(spec)
    assert first.num_classes == 10 and first.loss == "multiclass_accuracy"
    (kept,) = (tmp_path / "cache").iterdir()
    stamp = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(make_tasks(spec).train_features, first.train_features)
    assert kept.stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="dataset diabetes: its labels are numbers"):
        make_tasks("projected_multiclass_classification:dataset=diabetes,features_size=16")


def _make(spec):
    return make_tasks(spec).train_features


def test_processes_share_kept_projections(tmp_path):
    write_mnist(tmp_path / "data", zipped=True)
    spec = (
        f"projected_binary_classification:dataset=mnist,path={tmp_path}/data,features_size=4,num_tasks=4,"
        f"num_train_examples=8,num_valid_examples=2,cache_dir={tmp_path}/cache"
    )
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = pool.map(_make, [spec] * 9)
    for features in made:
        np.testing.assert_array_equal(features, made[0])
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"]


def test_regression_on_a_dataset():
    spec = (
        "dataset_regression:dataset=diabetes,num_train_examples=200,num_valid_examples=80,num_tasks=3,features_size=0"
    )
    tasks = make_tasks(spec)
    assert tasks.train_features.shape == (3, 200, 10) and tasks.loss == "rmse"
    np.testing.assert_allclose(tasks.train_labels.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(tasks.train_labels.std(axis=1), 1)
    assert make_tasks(spec.replace("features_size=0", "features_size=5")).features_size == 5
    with pytest.raises(ValueError, match="num_train_examples and num_valid_examples: 380: dataset diabetes has 353"):
        make_tasks(spec.replace("train_examples=200", "train_examples=300"))
