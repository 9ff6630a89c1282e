from __future__ import annotations

import os
import pathlib

import pytest

from azero_jax import containers, execution


def group(root: pathlib.Path, path: str, **files: str) -> None:
    """Writes files of a control group; underscores after the first word stand for themselves."""
    directory = root / "sys/fs/cgroup" / path
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def process_in(root: pathlib.Path, text: str) -> None:
    """Says which groups the process is in."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_version_2_with_limits_of_the_groups_around(tmp_path):
    process_in(tmp_path, "0::/pod/container\n")
    group(tmp_path, "", cpu__weight="100\n")
    group(tmp_path, "pod", cpu__max="150000 100000\n", memory__max="4000\n", memory__current="1000\n")
    group(tmp_path, "pod/container", cpu__max="max 100000\n", memory__max="max\n", memory__current="900\n")
    assert containers.cpu_quota(tmp_path) == 1.5
    assert containers.memory_left(tmp_path) == 3000


def test_a_container_that_sees_its_group_as_the_root(tmp_path):
    process_in(tmp_path, "0::/somewhere/outside\n")
    group(
        tmp_path,
        "",
        cpu__max="50000 100000\n",
        memory__max="1000\n",
        memory__current="950\n",
        memory__stat="anon 5\ninactive_file 200\n",
    )
    assert containers.cpu_quota(tmp_path) == 0.5
    assert containers.memory_left(tmp_path) == 250


def test_version_1(tmp_path):
    process_in(tmp_path, "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n")
    group(tmp_path, "cpu,cpuacct/job", cpu__cfs_quota_us="300000\n", cpu__cfs_period_us="100000\n")
    group(tmp_path, "memory", memory__limit_in_bytes="9223372036854771712\n", memory__usage_in_bytes="7\n")
    group(tmp_path, "memory/job", memory__limit_in_bytes="5000\n", memory__usage_in_bytes="6000\n")
    assert containers.cpu_quota(tmp_path) == 3
    assert containers.memory_left(tmp_path) == 0


@pytest.mark.parametrize("text", [None, "", "0::/\n"])
def test_no_limits(tmp_path, text):
    if text is not None:
        process_in(tmp_path, text)
        group(tmp_path, "", cpu__max="max 100000\n", memory__max="max\n", memory__current="1\n")
    assert containers.cpu_quota(tmp_path) is None
    assert containers.memory_left(tmp_path) is None


@pytest.mark.parametrize("quota, cores", [(None, 8), (0.5, 1), (1.5, 2), (64.0, 8)])
def test_cores_are_those_of_the_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(containers, "cpu_quota", lambda: quota)
    assert execution.available_cores() == cores


def test_memory_is_what_the_limit_leaves(monkeypatch):
    whole = execution.available_memory()
    monkeypatch.setattr(containers, "memory_left", lambda: 12345)
    assert execution.available_memory() == 12345
    monkeypatch.setattr(containers, "memory_left", lambda: 2**62)
    assert execution.available_memory() > whole / 2
