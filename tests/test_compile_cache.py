from __future__ import annotations

import os
import subprocess
import sys

import jax
import pytest

from azero_jax import compile_cache

# Compiles one function, and says how many executables came from the cache.
COMPILE = """
import sys
import jax
from azero_jax import compile_cache
compile_cache._LEAST_SECONDS = 0
compile_cache.use(sys.argv[1])
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
print(jax.jit(lambda x: x * 2 + 1)(20.0), sum("cache_hits" in event for event in hits))
"""


def compile_with(directory) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", COMPILE, directory], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.thorough
def test_damaged_files_cost_a_warning_and_compiling(tmp_path):
    assert compile_with(tmp_path).stdout == "41.0 0\n"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and all(path.parent.parent == tmp_path for path in files)
    again = compile_with(tmp_path)
    assert int(again.stdout.split()[1]) > 0, again.stderr
    for path in files:
        path.write_bytes(path.read_bytes()[:20])
    damaged = compile_with(tmp_path)
    assert damaged.stdout.startswith("41.0 ") and damaged.returncode == 0, damaged.stderr
    assert "Traceback" not in damaged.stderr


def test_a_directory_that_cannot_be_made_costs_a_warning(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match="not kept"):
        compile_cache.use(tmp_path / "file" / "below")
    assert jax.config.jax_compilation_cache_dir == before


def test_each_kind_of_cpu_has_a_directory_of_its_own(tmp_path):
    kinds = set()
    for model, flags in (("A", "sse avx"), ("A", "sse avx avx512f"), ("B", "sse avx")):
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\nmodel name\t: {model}\ncpu MHz\t\t: 1234\nflags\t\t: {flags}\n")
        kinds.add(compile_cache.cpu_kind(info))
        info.write_text(f"processor\t: 0\nmodel name\t: {model}\ncpu MHz\t\t: 4321\nflags\t\t: {flags}\n")
        kinds.add(compile_cache.cpu_kind(info))
    assert len(kinds) == 3


def test_what_was_not_used_for_longest_goes(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        path = tmp_path / name / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    compile_cache.prune(tmp_path, 250)
    assert sorted(path.parent.name for path in tmp_path.rglob("file")) == ["middle", "new"]


def test_compiling_is_announced_and_where_machines_came_from():
    lines = []
    with compile_cache.announced(lines.append, 64):
        assert lines == ["compiling for 64 ops: about 17 s on a free core the first time, then read from the cache"]
    assert lines[1].startswith("compiled in 0.0 s")
    with compile_cache.announced(lines.append, 6):
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert lines[3].startswith("read from the cache in 0.0 s")
    with compile_cache.announced(lines.append, 6):
        jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
        jax.monitoring.record_event("/jax/compilation_cache/cache_misses")
    assert lines[5].startswith("compiled in 0.0 s")
