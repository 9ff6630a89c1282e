"""Winners that learned nothing about features are known as such."""

from __future__ import annotations

import numpy as np
import pytest

from azero_jax import Evaluator, MemorySize, Program, Tasks
from azero_jax.trivial import is_trivial, reads_features

LINEAR = """
def Setup():
  s2 = 0.1
def Predict():
  s1 = dot(v0, v1)
def Learn():
  s3 = s0 - s1
  s3 = s3 * s2
  v2 = s3 * v0
  v1 = v1 + v2
"""
# Labels decide, features do not.
MEAN_LABEL = "def Predict():\n  s1 = s3 + s6\ndef Learn():\n  s4 = s0 - s1\n  s3 = s3 + s4\n"
# One machine for all of them.
OPS = ("SCALAR_CONST_SET", "SCALAR_SUM", "SCALAR_DIFF", "SCALAR_PRODUCT", "SCALAR_VECTOR_PRODUCT", "VECTOR_SUM")
OPS += ("VECTOR_DIFF", "VECTOR_PRODUCT", "VECTOR_CONST_SET", "VECTOR_INNER_PRODUCT", "VECTOR_MEAN", "VECTOR_NORM")


def binary_tasks():
    x = np.random.default_rng(0).standard_normal((1, 40, 4))
    y = (x[..., 0] > 0.2).astype(float)
    return Tasks(x[:, :30], y[:, :30], x[:, 30:], y[:, 30:], loss="accuracy")


def evaluator_of(tasks):
    return Evaluator(tasks, memory=MemorySize(10, 6, 2), ops=OPS)


@pytest.mark.parametrize(
    ("text", "trivial"),
    [
        (LINEAR, False),
        (MEAN_LABEL, True),
        ("def Predict():\n", True),
        ("def Predict():\n  s1 = 0.5\n", True),
        ("def Predict():\n  s1 = gaussian(0, 1)\n", True),
        ("def Predict():\n  v1 = v0 + v1\n  v1 = v2 + v3\n  s1 = dot(v1, v1)\n", True),  # overwritten
        ("def Predict():\n  s1 = dot(v0, v1)\n", True),  # v1 stays zero
        ("def Predict():\n  v1 = v0 - v0\n  s1 = norm(v1)\n", True),
        ("def Predict():\n  s1 = mean(v0)\n", False),
        ("def Predict():\n  v1[0.5] = 2\n  v2 = v0 * v1\n  v2[0.1] = 1\n  s1 = mean(v2)\n", False),
        # The features of the example before, which Learn has kept, are not this one's.
        ("def Predict():\n  s1 = s3 + s6\ndef Learn():\n  s3 = norm(v0)\n", True),
    ],
)
def test_what_is_trivial(text, trivial):
    assert is_trivial(Program.from_text(text), binary_tasks(), evaluator_of) == trivial


def test_a_classifier_of_few_examples_is_not_trivial():
    """One task of ten examples: exchanges of features often leave the number of hits as it was."""
    assert not is_trivial(Program.from_text(LINEAR), binary_tasks(), evaluator_of)
    assert is_trivial(Program.from_text(MEAN_LABEL), binary_tasks(), evaluator_of)


def test_predictions_that_are_vectors():
    assert reads_features(Program.from_text("def Predict():\n  v2 = v0 + v1\n"), vector_labels=True)
    assert not reads_features(Program.from_text("def Predict():\n  v3 = v0 + v1\n  v2 = v4 + v1\n"), vector_labels=True)
