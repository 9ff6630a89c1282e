"""Files that are always whole, in strict JSON, never through a link."""

from __future__ import annotations

import json
import math
import os
import resource
import signal

import pytest

from azero_jax.files import JsonLines, keep_lines, remove_leftovers, to_json, write_atomically


def strict(text):
    """Parses JSON as other languages do."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_json_has_no_infinity_and_no_nan():
    value = {"a": [math.inf, (-math.inf, math.nan)], "b": 1.5, "c": "x", "d": None, "e": True}
    assert strict(to_json(value)) == {"a": ["Infinity", ["-Infinity", None]], "b": 1.5, "c": "x", "d": None, "e": True}


def test_links_are_not_followed(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    for name in ("result.json", "result.json.tmp", "metrics.jsonl"):
        (tmp_path / name).symlink_to(foreign)
    write_atomically(tmp_path / "result.json", b"{}")
    assert (tmp_path / "result.json").read_text() == "{}" and not (tmp_path / "result.json").is_symlink()
    for refused in (JsonLines, lambda path: keep_lines(path, lambda record: True)):
        with pytest.raises(ValueError, match=r"metrics\.jsonl is a symbolic link"):
            refused(tmp_path / "metrics.jsonl")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a file or nothing"):
        JsonLines(tmp_path / "pipe")
    assert foreign.read_text() == "mine"


def test_files_get_the_usual_permissions_and_leave_nothing_behind(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="there"):
        write_atomically(tmp_path / "there", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
    (tmp_path / "file.0123456789abcdef.tmp").touch()  # of a process that was killed
    (tmp_path / "mine.tmp").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine.tmp", "there"]


def test_lines_are_whole_also_on_a_full_disk(tmp_path):
    lines = JsonLines(tmp_path / "lines")
    lines.append({"a": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(OSError, match=r"File too large: .*lines"):
            lines.append({"long": "x" * 200})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "lines").read_text() == '{"a": 1}\n'
    position = lines.position
    lines.append({"b": math.inf})
    assert (tmp_path / "lines").read_text() == '{"a": 1}\n{"b": "Infinity"}\n'
    lines.cut(10**12)  # further than there is anything
    assert (tmp_path / "lines").stat().st_size == lines.position
    lines.cut(position)
    lines.close()
    assert (tmp_path / "lines").read_text() == '{"a": 1}\n'


@pytest.mark.parametrize(
    ("content", "kept", "records", "damaged"),
    [
        (b'{"n": 1}\n{"n": 2}\n{"n": 9}\n', b'{"n": 1}\n{"n": 2}\n', 2, 0),
        (b'{"n": 1}\n{"n": 2', b'{"n": 1}\n', 1, 0),
        (b'{"n": 1}\n{"n": 2}', b'{"n": 1}\n', 1, 0),
        (b'{"n": 1}\n\0\0\0', b'{"n": 1}\n', 1, 0),
        (b'\0\0\0\n{"n": 1}\n[]\n{"n": 2}\n', b'{"n": 1}\n{"n": 2}\n', 2, 2),
        (b"", b"", 0, 0),
    ],
)
def test_what_is_kept_of_a_file_is_whole_lines(tmp_path, content, kept, records, damaged):
    path = tmp_path / "lines"
    path.write_bytes(content)
    assert keep_lines(path, lambda record: record["n"] < 5) == (records, damaged)
    assert path.read_bytes() == kept


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert keep_lines(tmp_path / "lines", lambda record: True) == (0, 0)
    assert not list(tmp_path.iterdir())
