from __future__ import annotations

import multiprocessing

from azero_jax import notices


def test_a_notice_is_told_once_and_not_by_workers(capsys, monkeypatch):
    notices.tell_once("told by the test of notices")
    notices.tell_once("told by the test of notices")
    assert capsys.readouterr().err == "told by the test of notices\n"
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the one that has told")
    notices.tell_once("told by a worker")
    assert not capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(notices, "_is_worker", False)
    notices.leave_to_parent()
    notices.tell_once("told by a worker of ours")
    assert not capsys.readouterr().err


def test_words():
    assert notices.shortened("a" * 1000) == "a" * 40 + "..." + "a" * 20 and notices.shortened(5) == "5"
    assert notices.shortened("a\n\x1b[31mb") == "a\\n\\x1b[31mb"
    assert notices.counted(1, "class") == "1 class" and notices.counted(2000, "class") == "2,000 classes"
    assert notices.did_you_mean("num_task", ["num_tasks", "path"]) == "; did you mean num_tasks?"
    assert notices.did_you_mean("zzz", ["num_tasks", "path"]) == ""
