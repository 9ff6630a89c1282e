"""Tables as programs write them: the same numbers, whatever the dialect; errors that name file and line."""

from __future__ import annotations

import os

import numpy as np
import pytest

from azero_jax import execution
from azero_jax.dialects import SEPARATORS
from azero_jax.tables import TableFormat, read_table

VALUES = np.round(np.random.default_rng(0).normal(size=(40, 4)), 3)
LINES = [",".join(f"{value:.3f}" for value in row) for row in VALUES]
NAMED = ["a,b,c,y", *LINES]


def read(tmp_path, content, **how):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, TableFormat(**how))


def written(lines, end="\n"):
    return "".join(line + end for line in lines)


def dialects_of(rng, values, named):
    """One table in a dialect drawn by lot: (bytes, arguments of TableFormat)."""
    name = str(rng.choice(list(SEPARATORS)))
    separator, comma = SEPARATORS[name], bool(rng.integers(2)) and name != "comma"
    end = str(rng.choice(["\n", "\r\n", "\r"]))
    rows = [[f"{value:.3f}".replace(".", "," if comma else ".") for value in row] for row in values]
    rows = [["a", "b", "c", "y"]] * named + rows
    lines = []
    for row in rows:
        quoted = [f'"{cell}"' if rng.random() < 0.2 else cell for cell in row]
        if name == "space":
            lines.append(
                "  " * int(rng.integers(2)) + (" " * int(rng.integers(1, 4))).join(quoted) + " " * int(rng.integers(2))
            )
        else:
            lines.append((separator + " " * int(rng.integers(2))).join(quoted))
        lines += [""] * (rng.random() < 0.1) + ["# note"] * (rng.random() < 0.1) + ["   "] * (rng.random() < 0.05)
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "utf-16"]))
    content = (end.join(lines) + end * int(rng.integers(4))).encode(encoding)
    return content, {"decimal": "comma" if comma else "point"}


@pytest.mark.parametrize("seed", range(60))
def test_any_dialect_gives_the_same_numbers(tmp_path, seed):
    rng = np.random.default_rng(seed)
    named = bool(rng.integers(2))
    content, how = dialects_of(rng, VALUES, named)
    table = read(tmp_path, content, **how)
    np.testing.assert_array_equal(table.values, VALUES)
    assert table.names == (("a", "b", "c", "y") if named else ("",) * 4) and not table.texts


def test_quotes_hold_separators_and_newlines(tmp_path):
    table = read(tmp_path, 'n,"text, with",y\n1,"2",a\n\n3,"4",\n5,6,"b\n\n# no comment\nb"\n7,8,c\n')
    assert table.names == ("n", "text, with", "y") and table.lines.tolist() == [2, 4, 5, 9]
    assert table.texts == {2: {0: "a", 2: "b\n\n# no comment\nb", 3: "c"}}


def test_text_and_missing_cells_are_kept_apart(tmp_path):
    table = read(tmp_path, "a,b,y\n1,red,0\n?,blue,1\nNA,,0\n4,red,1\n")
    assert table.texts == {1: {0: "red", 1: "blue", 3: "red"}}
    np.testing.assert_array_equal(np.isnan(table.values[:, 0]), [False, True, True, False])


def test_columns_without_content_or_of_names_of_rows_are_left_out(tmp_path):
    ends = read(tmp_path, written([line + "," for line in NAMED]))
    np.testing.assert_array_equal(ends.values, VALUES)
    assert ends.notes == ("the empty last column",)
    of_r = read(tmp_path, written([NAMED[0], *(f"row{i},{line}" for i, line in enumerate(LINES))]))
    np.testing.assert_array_equal(of_r.values, VALUES)
    assert of_r.names == ("a", "b", "c", "y") and of_r.notes == ("the names of the rows",)
    empty_rows = read(tmp_path, written([*NAMED, ",,,", ",,,"]))
    np.testing.assert_array_equal(empty_rows.values, VALUES)
    assert empty_rows.notes == ("2 empty rows",)


def test_a_first_row_that_is_asked_for(tmp_path):
    assert len(read(tmp_path, "1,2,3\n4,5,6\n", header="yes").values) == 1
    assert read(tmp_path, "1,2,3\n4,5,6\n", header="yes").names == ("1", "2", "3")
    assert read(tmp_path, "a,b,y\n4,5,6\n", header="no").texts == {0: {0: "a"}, 1: {0: "b"}, 2: {0: "y"}}


@pytest.mark.parametrize(
    ("content", "how", "message"),
    [
        (written(["2O,1.5,0,1", *LINES]), {}, "line 1: column 0 is '2O' where other rows have numbers"),
        (written(["# x", "", "2O,1.5,0,1", *LINES]), {}, "line 3: column 0 is '2O'"),
        (written([*LINES, "1,2,3"]), {}, "line 41: 3 columns: expected 4"),
        (written([*LINES[:3], "1,2,3,4,5", *LINES]), {}, "line 4: 5 columns: expected 4"),
        (written(["a,b,y", *LINES]), {}, "line 1: 3 names of columns: expected 4"),
        ("", {}, "no rows: the file is empty"),
        ("\n\n", {}, "no rows: expected a table"),
        ("# a\n% b\n", {}, "no rows: 2 lines begin with # or %, which makes them comments"),
        ("a,b,y\n", {}, "no rows: line 1 holds names of columns"),
        ('1,"2,0\n3,4,1\n', {}, "line 1: unexpected end of data: expected quotes around whole cells"),
        ('1,2,0\n\n3,"4"x,1\n', {}, "line 3: ',' expected after"),
        (b"a,y\n1,2\n3,\0\n", {}, "holds a NUL byte at 10: expected text"),
        (written(LINES * 100).encode() + b"1,2,\0,3\n", {}, "line 4001 holds a NUL byte"),
        ("a,y\n1,\u00e9t\u00e9\n".encode("latin-1"), {}, "line 2: byte 0xe9 is not UTF-8: encoding=latin-1"),
        (written(LINES).encode("utf-16")[:-1], {}, "not utf-16"),
        (b"\x1f\x8b\x08", {}, "is a gzip file"),
        (b"PK\x03\x04abc", {}, r"a spreadsheet \(.xlsx\)"),
        ("@RELATION x\n@DATA\n1,2\n", {}, "is an ARFF file"),
        (",".join(["1"] * 200_000), {}, "200,000 columns: expected at most 100,000"),
        ("1,2\n", {"separator": "colon"}, "separator='colon': expected one of auto, comma"),
        ("1,2\n", {"decimal": ","}, "decimal=',': expected one of point, comma"),
        ("1,2\n", {"header": "true"}, "header='true': expected one of auto, yes, no"),
        ("1,2\n", {"encoding": "klingon"}, "encoding='klingon': expected one that Python knows"),
        ("1,2\n", {"encoding": "hex"}, "encoding='hex': expected one that Python knows"),
    ],
)
def test_wrong_files_are_named(tmp_path, content, how, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content, **how)
    assert how or str(tmp_path / "mine.csv") in str(error.value)


def test_other_encodings_are_read_when_asked_for(tmp_path):
    table = read(tmp_path, "a,y\n1,\u00e9t\u00e9\n".encode("latin-1"), encoding="latin-1")
    assert table.texts == {1: {0: "\u00e9t\u00e9"}}


def test_what_spreadsheets_write(tmp_path):
    without_mark = written(NAMED).encode("utf-16-le")
    with pytest.raises(ValueError, match="encoding=utf-16-le"):
        read(tmp_path, without_mark)
    for content, encoding in (
        (without_mark, "utf-16-le"),
        (written(NAMED).encode("utf-8-sig"), "utf-8"),
        (("sep=,\r\n" + written(NAMED)).encode(), "auto"),
    ):
        table = read(tmp_path, content, encoding=encoding)
        np.testing.assert_array_equal(table.values, VALUES)
        assert table.names == ("a", "b", "c", "y")
    with pytest.raises(ValueError, match=r"not utf-16 .UTF-16 stream does not start with BOM"):
        read(tmp_path, without_mark, encoding="utf-16")


def test_what_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path, "directory"), (tmp_path / "pipe", "pipe"), ("/dev/zero", "device")):
        with pytest.raises(ValueError, match=f"is a {kind}: expected a text file"):
            read_table(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.csv"):
        read_table(tmp_path / "missing.csv")


def test_a_file_larger_than_memory_is_refused_before(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "available_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"KiB of text: needs about [\d.]+ KiB of memory, there are 1\.0 KiB"):
        read(tmp_path, written(LINES))
