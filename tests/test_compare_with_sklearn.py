"""scripts/compare_with_sklearn.py, as a process."""

from __future__ import annotations

import pytest
from doors import run_script


@pytest.mark.slow
def test_a_table_is_printed():
    done = run_script("compare_with_sklearn", "--seconds=1", "--seeds=2", "--datasets=iris,diabetes")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("| data set | AutoMLZero | linear | MLP | gradient boosting |")
    assert [line.count(" ± ") for line in lines[2:4]] == [4, 4] and "nan" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets=boston"], "--datasets=boston: expected some of breast_cancer, wine"),
        (["--seconds=0"], "--seconds=0: expected a positive number"),
        (["--seeds=0"], "--seeds=0"),
    ],
)
def test_wrong_input_is_one_line(arguments, message):
    errors = run_script("compare_with_sklearn", *arguments, code=2).stderr
    assert message in errors and len(errors.splitlines()) == 1, errors
