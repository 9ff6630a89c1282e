"""Checkpoints: read back as they were written, or not at all."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import random
import zipfile

import numpy as np
import pytest
from test_islands import settings

from azero_jax import checkpoint, run_state
from azero_jax.islands import IslandGroup
from azero_jax.run_state import Candidate, Options, Progress, RunState


@pytest.fixture(scope="module")
def state():
    """A run that has begun."""
    run_settings = settings(1)
    group = IslandGroup(run_settings, 1, [0])
    group.advance(200, lambda: False)
    winner = Candidate(group.best()[0].programs[0], 0.5)
    progress = Progress(last_report=100, num_reports=1, winner=winner, told=winner.program, improved_at=100)
    return RunState(run_state.id_of(run_settings), run_settings, Options(), progress, group.snapshot())


@pytest.fixture(scope="module")
def content(state):
    """What a checkpoint holds of it."""
    return run_state.to_checkpoint(state, 1.5)


def load(directory):
    return run_state.load(directory)


def test_a_checkpoint_is_read_back(tmp_path, state, content):
    checkpoint.save(tmp_path / "checkpoint", *content)
    again = load(tmp_path / "checkpoint")
    assert again.settings == state.settings and again.options == state.options
    assert again.progress == dataclasses.replace(state.progress, seconds_before=1.5)
    assert run_state.to_checkpoint(again, 1.5)[0].keys() == content[0].keys()
    assert all((again.snapshots[0][1][name] == array).all() for name, array in state.snapshots[0][1].items())
    assert run_state.id_of(again.settings) == run_state.id_of(dataclasses.replace(state.settings, max_seconds=5.0))


def test_any_damage_leads_to_the_checkpoint_before(tmp_path, content):
    checkpoint.save(tmp_path, *content)
    path = checkpoint.save(tmp_path, *content)
    whole, rng = path.read_bytes(), random.Random(1)
    damaged = [whole[: rng.randrange(len(whole))] for _ in range(20)] + [b"", whole + b"x"]
    # The compression method and the flags of the zip's first and last entries among the places.
    directory = whole.rindex(b"PK\x01\x02")
    for place in [6, 8, 9, directory + 8, directory + 10, *(rng.randrange(len(whole)) for _ in range(100))]:
        damaged.append(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
    for some in damaged:
        path.write_bytes(some)
        with pytest.warns(RuntimeWarning, match=r"state-00000002\.npz: damaged checkpoint .*going back to the one be"):
            assert load(tmp_path).settings == settings(1)
    (tmp_path / "state-00000001.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checkpoint to resume from: .*2\.npz is damaged .* nor is any of 1"):
        load(tmp_path)
    checkpoint.clear(tmp_path, but_whole=True)
    assert not checkpoint.exist(tmp_path)


def test_a_zip_without_a_checksum_is_of_an_older_version(tmp_path, content):
    path = checkpoint.save(tmp_path, *content)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "state-00000002.npz", "w") as renamed:
        for name in archive.namelist():
            renamed.writestr(name.replace("0.fitness", "0.fitnes"), archive.read(name))
    with pytest.warns(RuntimeWarning, match="no checksum: cut short, or of azero_jax before 0.4.0"):
        load(tmp_path)


def changes_of_state(state):
    """Ways in which JSON values can be wrong."""
    for name in state.keys() - {"versions"}:  # looked at before
        yield lambda state, arrays, name=name: state.pop(name)
        for value in (None, 5, "x", [], {}):
            if not (value is None and name == "islands") and not (value == [] and name == "changed"):
                yield lambda state, arrays, name=name, value=value: state.update({name: value})
    for part in ("settings", "options", "progress"):
        for name in state[part]:
            yield lambda state, arrays, part=part, name=name: state[part].pop(name)
            yield lambda state, arrays, part=part, name=name: state[part].update({name: {"x": 1}})
    for name in ("experiment", "last_report", "improved_at", "num_reports", "target", "seconds_before", "best_fitness"):
        for value in (-1, 10**30, "1", True, None):
            yield lambda state, arrays, name=name, value=value: state["progress"].update({name: value})
    for name in (*state["islands"][0],):
        yield lambda state, arrays, name=name: state["islands"][0].pop(name)
        for value in (-1, 10**30, "x", [], None):
            yield lambda state, arrays, name=name, value=value: state["islands"][0].update({name: value})
    yield lambda state, arrays: state["progress"]["winner"].update(program="s1 = nonsense")
    yield lambda state, arrays: state["progress"]["winner"].update(search_fitness=2.0)
    yield lambda state, arrays: state["islands"].append(state["islands"][0])
    yield lambda state, arrays: state["settings"].update(random_seed=6)


def changes_of_arrays(arrays):
    """Ways in which arrays can be wrong."""
    for name, array in arrays.items():
        yield lambda state, arrays, name=name: arrays.pop(name)
        yield lambda state, arrays, name=name: arrays.update({name + "s": arrays.pop(name)})
        yield lambda state, arrays, name=name: arrays.update({"1" + name[1:]: arrays.pop(name)})
        yield lambda state, arrays, name=name: arrays.update({name: arrays[name][..., None]})
        yield lambda state, arrays, name=name: arrays.update({name: arrays[name].astype(np.float32)})
        if len(array) > 1:
            yield lambda state, arrays, name=name: arrays.update({name: arrays[name][1:]})
        if array.size and array.dtype != np.uint64 and "constants" not in name:
            yield lambda state, arrays, name=name: arrays.update({name: np.full_like(arrays[name], -7)})


def test_wrong_content_is_refused_before_it_is_used(content):
    state, arrays = content
    tried = 0
    for change in [*changes_of_state(state), *changes_of_arrays(arrays)]:
        wrong_state, wrong_arrays = copy.deepcopy(state), dict(arrays)
        change(wrong_state, wrong_arrays)
        try:
            run_state.from_checkpoint(wrong_state, wrong_arrays)
        except ValueError as error:
            assert str(error)
            tried += 1
        else:
            raise AssertionError(f"accepted: {change.__code__.co_firstlineno} {change.__defaults__}")
    assert tried > 200


def test_other_versions(tmp_path, content):
    state, arrays = content
    checkpoint.save(tmp_path, state, arrays)
    checkpoint.save(tmp_path, state | {"versions": state["versions"] | {"azero_jax": "0.3.0"}}, arrays)
    with pytest.raises(ValueError, match=r"cannot resume: .*the checkpoint is of azero_jax 0\.3\.0"):
        load(tmp_path)
    checkpoint.save(tmp_path, state | {"versions": state["versions"] | {"numpy": "1.0.0"}}, arrays)
    with pytest.warns(RuntimeWarning, match=r"written with numpy 1\.0\.0"):
        load(tmp_path)


def test_a_state_that_is_no_archive(tmp_path, content):
    checkpoint.save(tmp_path, *content)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    digest = hashlib.sha256(buffer.getvalue()).digest()
    (tmp_path / "state-00000002.npz").write_bytes(buffer.getvalue() + checkpoint._MARK + digest)
    with pytest.warns(RuntimeWarning, match="damaged checkpoint"):
        load(tmp_path)
