"""Files of the benchmark beside each other: ratios, whether they are sure, and files that are none."""

from __future__ import annotations

import json

import pytest

from azero_jax import speed_ratios
from azero_jax.speed_ratios import compare, names_of_xla

STEADY = [1.00, 1.01, 0.99, 1.02, 1.0, 0.98, 1.0]
SHAKY = [1.0, 1.5, 0.7, 1.3, 0.8, 1.0, 1.9]


def row(speed=1000.0, seconds=STEADY, **changes):
    settings = {"platform": "", "xla": "ours", "threads": 0, "dtype": "float32", "strategy": "switch"}
    what = {"workload": "linear", "features_size": 4, "num_tasks": 10}
    return what | settings | {"programs_per_second": speed, "seconds": seconds} | changes


@pytest.fixture
def write(tmp_path):
    def to(name, *rows):
        (tmp_path / name).write_text(json.dumps({"rows": rows}))
        return str(tmp_path / name)

    return to


def ratios(write, before, after):
    lines = compare(write("before.json", *before), write("after.json", *after))
    return [line for line in lines if line.strip().startswith(("linear", "random", "VECTOR"))]


def test_a_difference_is_one_where_the_interval_says_so(write):
    (line,) = ratios(write, [row()], [row(1500.0)])
    assert "  1.50  1." in line and line.endswith(", faster") and " 4% 4% " in line
    (line,) = ratios(write, [row()], [row(700.0)])
    assert line.endswith(", slower")
    (line,) = ratios(write, [row(seconds=SHAKY)], [row(1060.0, SHAKY)])
    assert "  1.06  0." in line and line.endswith(", no difference seen") and " 120% 120% " in line
    (line,) = ratios(write, [row(seconds=[1.0])], [row(1060.0, [1.0])])
    assert line.endswith("  1.06  n=1, interval from 5")
    # Runs of other numbers of programs compare by what a program takes.
    (line,) = ratios(write, [row()], [row(seconds=[10 * some for some in STEADY])])
    assert "  1.00  0.9" in line and line.endswith("no difference seen")


def test_ops_are_compared_in_nanoseconds(write):
    def op(nanoseconds):
        return row(op="VECTOR_SUM", nanoseconds=nanoseconds)

    (line,) = ratios(write, [op(30.0)], [op(20.0)])
    assert "         30          20 " in line and "  1.50  " in line and line.endswith("faster")


def test_rows_of_one_file_only_are_named(write):
    before, after = write("before.json", row(), row(workload="random")), write("after.json", row(), row(num_tasks=3))
    lines = compare(before, after)
    assert f"only in {before}: random F=4 D=10" in lines
    assert f"only in {after}: linear F=4 D=3" in lines
    with pytest.raises(ValueError, match=r"before.json and .*other.json have no row in common"):
        compare(before, write("other.json", row(dtype="float64")))


def test_long_settings_keep_names_of_their_own(write):
    own = [f"--xla_cpu_enable_fast_math={value}" for value in ("true", "false")]
    assert names_of_xla(["ours", *own, "ours"]) == {"ours": "ours", own[0]: "xla1", own[1]: "xla2"}
    rows = [row(xla=some) for some in own]
    lines = compare(write("before.json", *rows), write("after.json", *rows))
    assert lines[:2] == [f"xla1: {own[0]}", f"xla2: {own[1]}"]
    assert " xla1 " in lines[3] and " xla2 " in lines[4]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b'{"rows": [', "Expecting value"),
        (b"\xff\xfe", "can't decode"),
        (b"[" * 100_000, "recursion"),
        (b"[1, 2]", "no rows"),
        (b'{"rows": []}', "no rows"),
        (b'{"rows": {"a": 1}}', "no rows"),
        (b'{"rows": [3]}', "row 1 has no op or workload"),
        (b'{"rows": [{"workload": "linear"}]}', "row 1, linear: a number is missing"),
        (json.dumps({"rows": [row(), row(0.0)]}).encode(), "row 2, linear: a number is missing or not above 0"),
        (json.dumps({"rows": [row(float("nan"))]}).encode(), "row 1, linear: a number is missing or not above 0"),
        (json.dumps({"rows": [row(seconds=["1"])]}).encode(), "row 1, linear: a number is missing or not above 0"),
        (json.dumps({"rows": [row(xla=["ours"])]}).encode(), "row 1: a setting is no text"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, why):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path}: expected a file that --json wrote.*: .*{why}") as raised:
        speed_ratios.read_rows(str(path))
    assert "\n" not in str(raised.value)


def test_one_file_twice_is_refused(write, tmp_path):
    path = write("one.json", row())
    (tmp_path / "link.json").symlink_to(path)
    for other in (path, str(tmp_path / "link.json")):
        with pytest.raises(ValueError, match="are the same file: expected two"):
            compare(path, other)
