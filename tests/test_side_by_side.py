"""Versions measured in turn, here with scripts that measure nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from azero_jax.side_by_side import SideBySide, check_out, end, rounds

SCRIPT = """
import json, sys
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
with open(flags["log"], "a") as file:
    file.write("{name} ")
row = {{"workload": "linear", "features_size": 4, "num_tasks": 10, "xla": "ours", "programs_per_second": {speed}}}
json.dump({{"rows": [row]}}, open(flags["json"], "w"))
"""


def write_script(root, name, speed):
    (root / "scripts").mkdir(parents=True, exist_ok=True)
    (root / "scripts" / "benchmark.py").write_text(SCRIPT.format(name=name, speed=speed))


def git(root, *arguments):
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """A clone whose files are twice as fast as its last commit."""
    root = tmp_path / "clone"
    write_script(root, "old", 100.0)
    git(root.parent, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-qm", "First")
    write_script(root, "new", 200.0)
    return root


def test_versions_alternate(clone, tmp_path):
    before, log, said = tmp_path / "before", tmp_path / "log", []
    before.mkdir()
    check_out("HEAD", clone, before)
    found = SideBySide()
    for pair in rounds(before, clone, [f"--log={log}"], 3, said.append):
        found.add(*pair)
    assert log.read_text().split() == ["old", "new", "new", "old", "old", "new"]
    assert len(said) == 6 and said[2] == "round 2 of 3: after"
    lines = found.lines()
    assert "  2.00  2.00 to 2.00, faster" in lines[1] and "over 3 processes of each, in turn" in lines[-1]
    (record,) = found.record()
    assert record["speeds_after"] == [200.0] * 3 and record["ratio"] == pytest.approx(2.0)
    json.dumps(record)
    # Nothing of it stays in the clone.
    assert b"prunable" not in subprocess.run(["git", "-C", str(clone), "worktree", "list"], capture_output=True).stdout


def test_what_cannot_be_compared_is_said(clone, tmp_path):
    for revision in ("no-such-branch", "--help", ""):
        with pytest.raises(ValueError, match=r"no such revision|fatal"):
            check_out(revision, clone, tmp_path)
    with pytest.raises(ValueError, match=r"not a git repository|not the root of a clone"):
        check_out("HEAD", clone / "scripts", tmp_path)
    (clone / "scripts" / "benchmark.py").write_text("raise SystemExit('it broke')")
    with pytest.raises(ValueError, match=r"clone: the process ended with 1: it broke"):
        list(rounds(clone, clone, [], 1, lambda line: None))


def test_a_process_is_interrupted_before_it_is_killed():
    code = "import time\ntry:\n  print('ready', flush=True)\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  exit(7)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with process.stdout:
        process.stdout.readline()
        end(process)
    assert process.returncode == 7
    end(process)
