"""Damaged files, and files made to harm: a line each, in bounded time and memory."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from azero_jax import Tasks, archives, datasets, execution
from azero_jax.archives import read_bounded, read_npz, read_pickled_arrays

X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2


def npy(shape, content=b"", kind="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def archive_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (X + 1j, Y, "array features holds complex128: expected numbers"),
        (X, np.full(40, "2020", "M8[D]"), "array labels holds datetime64"),
        (np.zeros(40, [("a", "f8")]), Y, "array features holds .*expected numbers"),
        (np.full((40, 2), None), Y, "array features holds Python objects, saved by pickle"),
        (X.astype(str), Y, "array features holds <U32: expected numbers"),
        (np.ones((40, 0)), Y, r"features of shape \(40, 0\).*with rows and columns"),
        (np.ones((0, 3)), Y[:0], r"features of shape \(0, 3\)"),
        (X, Y[:5], r".*labels of shape \(5,\)"),
        (np.full((40, 3), np.inf), Y, r"features: not all values are finite: inf at \[0, 0\]"),
    ],
)
def test_arrays_that_are_no_examples(tmp_path, features, labels, message):
    np.savez(tmp_path / "mine.npz", features=features, labels=labels)
    with pytest.raises(ValueError, match=rf"mine\.npz: {message}"):
        datasets.load("npz", str(tmp_path / "mine.npz"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_npz_is_an_error_or_whole(tmp_path, packed):
    path = tmp_path / "mine.npz"
    (np.savez_compressed if packed else np.savez)(path, features=X, labels=Y)
    content = path.read_bytes()
    rng = np.random.default_rng(int(packed))
    for trial in range(300):
        damaged = bytearray(content)
        if trial % 3:
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        else:
            del damaged[rng.integers(len(content)) :]
        path.write_bytes(damaged)
        try:
            dataset = datasets.load("npz", str(path))
            np.testing.assert_array_equal(dataset.train.features, X)
            np.testing.assert_array_equal(dataset.train.labels, Y)
        except ValueError as error:
            assert str(error).startswith(str(path)) and len(str(error)) < 1000


@pytest.mark.parametrize("shape", [(10**12, 6), (10**30, 2), (-4, 2), (2**62, 8)])
def test_headers_that_promise_more_than_there_is(tmp_path, shape):
    archive_of(tmp_path / "big.npz", features=npy(shape, bytes(80)), labels=npy(shape[:1], bytes(80)))
    with pytest.raises(ValueError, match=r"big\.npz: array features of shape .* would need"):
        datasets.load("npz", str(tmp_path / "big.npz"))


def test_headers_that_promise_less_than_there_is(tmp_path):
    archive_of(tmp_path / "cut.npz", features=npy((5, 1), bytes(80)), labels=npy((5,), bytes(40)))
    with pytest.raises(ValueError, match=r"cut\.npz: array features has more data than its shape, \(5, 1\), says"):
        datasets.load("npz", str(tmp_path / "cut.npz"))


def test_zeros_that_unpack_to_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGE", 1_000_000)
    archive_of(tmp_path / "bomb.npz", features=npy((2**18, 1), bytes(2**21)), labels=npy((2**18,), bytes(2**21)))
    with pytest.raises(ValueError, match=r"bomb\.npz: array features unpacks from \d\.\d KiB to 2\.0 MiB"):
        datasets.load("npz", str(tmp_path / "bomb.npz"))
    monkeypatch.setattr(archives, "_LARGE", 1e9)
    monkeypatch.setattr(execution, "available_memory", lambda: 5_000_000)
    with pytest.raises(ValueError, match=r"features, labels: needs about 12 MiB of memory, there are 4\.8 MiB"):
        datasets.load("npz", str(tmp_path / "bomb.npz"))


def test_other_files_as_npz(tmp_path):
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(ValueError, match="found a single array"):
        read_npz(tmp_path / "one.npy", ["features"])
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"not an \.npz file of plain arrays .empty"):
        Tasks.load(tmp_path / "empty.npz")
    with pytest.raises(ValueError, match=r"is a directory: expected an \.npz file"):
        Tasks.load(tmp_path)
    with pytest.raises(ValueError, match=r"/dev/zero: is a device: expected an \.npz file"):
        Tasks.load("/dev/zero")


def test_gzip_is_unpacked_only_as_far_as_asked(tmp_path):
    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=1) as file:
        for _ in range(20):
            file.write(bytes(1_000_000))
    assert read_bounded(tmp_path / "bomb.gz", 100) == bytes(100)
    (tmp_path / "bomb.gz").write_bytes((tmp_path / "bomb.gz").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"bomb\.gz: not a whole gzip file"):
        read_bounded(tmp_path / "bomb.gz", 10**9)


def nested(depth):
    value = [1]
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1, 2]), "a list, expected a dictionary"),
        (b"", "pickle exhausted"),
        (b"\x80\x02" + b"]" * 2_000_000 + b".", "more than 1,000,000 objects"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "encodes as hex"),
        (b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", r"holds os\.system, expected arrays only"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.", "expected"),
    ],
)
def test_pickles_of_other_things(tmp_path, content, message):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_pickled_arrays(tmp_path / "batch")


def test_nested_lists_are_not_made_arrays(tmp_path):
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": nested(40)}
        (tmp_path / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(ValueError, match="data_batch_1: labels: expected a list of integers"):
        datasets.load("cifar10", str(tmp_path))
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": nested(40), b"labels": [1]}))
    with pytest.raises(ValueError, match="data_batch_1: data is a list: expected an array"):
        datasets.load("cifar10", str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes: expected a header of 16"),
        (struct.pack(">II", 2051, 60), "8 bytes: expected a header of 16"),
        (struct.pack(">IIII", 2049, 1, 1, 1), "magic number 2049: expected 2051"),
        (struct.pack(">IIII", 2051, 2, 2, 2) + bytes(9), "expected 24 for 2 x 2 x 2 bytes"),
        (struct.pack(">IIII", 2051, 2, 2, 2) + bytes(7), "23 bytes: expected 24 for 2 x 2 x 2 bytes"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_that_are_cut_short(tmp_path, content, message, zipped):
    name = "train-images-idx3-ubyte" + ".gz" * zipped
    (tmp_path / name).write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        datasets.load("mnist", str(tmp_path))


def test_idx_files_that_promise_more_than_memory(tmp_path):
    content = struct.pack(">IIII", 2051, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"needs about .* EiB of memory"):
        datasets.load("mnist", str(tmp_path))
