"""Reading binary files that may be damaged or made to harm: .npz, gzip, pickles, within bounds of memory and time.

Sizes are checked before memory is taken, and whatever a file's reader raises becomes a
`ValueError` that names the file.
"""

from __future__ import annotations

import gzip
import io
import lzma
import math
import pathlib
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from azero_jax.execution import bytes_in_words, require_memory
from azero_jax.notices import shortened
from azero_jax.tables import check_file

_LARGEST_HEADER = 65_536
# Of what varies, nothing is packed so well.
_LARGE, _HIGHEST_RATIO = 256_000_000, 500
# A batch of CIFAR has 50,000 labels and as many file names, a few pickle opcodes each.
_MOST_OPCODES = 1_000_000

# What readers of zip and .npy files raise for damaged ones.
_DAMAGE = (
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    RuntimeError,  # NotImplementedError, too: unknown compression, encryption
    KeyError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


class _Header(NamedTuple):
    """Of an array in an .npz file."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_npz(
    path: pathlib.Path, needed: Sequence[str], optional: Sequence[str] = (), *, words: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays of numbers from an .npz file.

    Args:
      path: of the file.
      needed: names of arrays that it must have.
      optional: names of those that are read, too, if it has them.
      words: names of those that may hold text.

    Raises:
      ValueError: another format, arrays that are missing, damaged, of another type, or
        larger than memory.
      OSError: it cannot be opened.
    """
    size = check_file(path, f"an .npz file with {', '.join(needed)}")
    with open(path, "rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY":
        raise ValueError(f"{path}: expected an .npz file with {', '.join(needed)}, found a single array")
    if not start.startswith(b"PK"):
        raise ValueError(f"{path}: not an .npz file of plain arrays ({'empty' if not size else 'no zip archive'})")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            missing = [name for name in needed if name not in members]
            if missing:
                held = shortened(", ".join(members) or "nothing", 200)
                raise _Unfit(f"no array {', '.join(missing)}; it holds {held}: expected {', '.join(needed)}")
            wanted = [name for name in (*needed, *optional) if name in members]
            for name in wanted:
                _check_header(name, _header(archive, members[name]), archive.getinfo(members[name]), name in words)
            _check_memory(wanted, [archive.getinfo(members[name]) for name in wanted])
            arrays = {}
            for name in wanted:
                with archive.open(members[name]) as content:
                    arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
                    if content.read(1):
                        raise _Unfit(f"array {name} has more data than its shape, {arrays[name].shape}, says")
            return arrays
    except _Unfit as error:
        raise ValueError(f"{path}: {error}") from None
    except _DAMAGE as error:
        reason = shortened(f"{type(error).__name__}: {error}", 200)
        raise ValueError(f"{path}: not an .npz file of plain arrays, or damaged ({reason})") from error


class _Unfit(Exception):
    """A file that is whole, with content that is not what was expected."""


def _header(archive: zipfile.ZipFile, member: str) -> _Header:
    with archive.open(member) as content:
        start = io.BytesIO(content.read(_LARGEST_HEADER))
    version = np.lib.format.read_magic(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(start)
    return _Header(shape, dtype)


def _check_header(name: str, header: _Header, info: zipfile.ZipInfo, text: bool) -> None:
    kinds = "biuf" + "US" * text
    if header.dtype.kind not in kinds:
        described = "Python objects, saved by pickle" if header.dtype.kind == "O" else str(header.dtype)
        raise _Unfit(f"array {name} holds {shortened(described)}: expected numbers{' or words' if text else ''}")
    # Python's integers, since a product of sizes can be more than any array's.
    needed = math.prod(header.shape) * header.dtype.itemsize
    if any(size < 0 for size in header.shape) or needed > info.file_size:
        raise _Unfit(
            f"array {name} of shape {shortened(header.shape)} would need {bytes_in_words(needed)}: the file has "
            f"{bytes_in_words(info.file_size)} for it"
        )


def _check_memory(names: Sequence[str], infos: Sequence[zipfile.ZipInfo]) -> None:
    for name, info in zip(names, infos):
        if info.file_size > _LARGE and info.file_size > _HIGHEST_RATIO * info.compress_size:
            raise _Unfit(
                f"array {name} unpacks from {bytes_in_words(info.compress_size)} to "
                f"{bytes_in_words(info.file_size)}: expected data "
                "that is not the same all over"
            )
    # As it is, as float64, and in the tasks that are made of it.
    try:
        require_memory(3 * sum(info.file_size for info in infos), ", ".join(names))
    except ValueError as error:
        raise _Unfit(error) from None


def read_bounded(path: pathlib.Path, most: int) -> bytes:
    """The beginning of a file, unpacked if its name ends in .gz: no more than `most` bytes.

    Raises:
      ValueError: a damaged gzip file.
      OSError: it cannot be read.
    """
    if path.suffix != ".gz":
        with open(path, "rb") as file:
            return file.read(most)
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read(most)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error


def _encode(text: str, encoding: str) -> bytes:
    """`codecs.encode` as pickles of Python 2's strings need it; other encodings could grow without bound."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encodes as {shortened(encoding)}, expected arrays only")
    return text.encode("latin-1")


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that hold nothing but plain values and NumPy arrays: others could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "_reconstruct")}:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"holds {shortened(f'{module}.{name}')}, expected arrays only")


def read_pickled_arrays(path: pathlib.Path) -> dict:
    """Reads a pickled dictionary of arrays and plain values, without running what it may hold.

    Raises:
      ValueError: damaged, code in it, more objects than a batch of images has, or no
        dictionary; without the name of the file.
      OSError: it cannot be read.
    """
    data = path.read_bytes()
    try:
        for count, _ in enumerate(pickletools.genops(data)):
            if count > _MOST_OPCODES:
                raise ValueError(f"more than {_MOST_OPCODES:,} objects")
        content = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle that is cut short can raise nearly anything
        raise ValueError(shortened(error, 200)) from error
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__}, expected a dictionary")
    return content
