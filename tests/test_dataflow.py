from __future__ import annotations

from azero_jax import Program, dataflow


def test_what_one_prediction_leaves_to_the_next():
    keeps = Program.from_text("def Predict():\n s2 = s2 + s3\n s4 = s2 * s3\n s1 = s4 + s0\n")
    assert dataflow.carried_by_predict(keeps) == {"s2"}
    forgets = Program.from_text("def Predict():\n s2 = s3 + s3\n s1 = s2 * s5\ndef Learn():\n s5 = s5 + s1\n")
    assert dataflow.carried_by_predict(forgets) == set()


def test_setting_an_element_reads_the_others():
    predict = Program.from_text("def Predict():\n v1[0.2] = 0.5\n s1 = norm(v1)\n")
    assert dataflow.read_before_written(dataflow.instructions_of(predict, "Predict")) == {"v1"}
    assert dataflow.carried_by_predict(predict) == {"v1"}


def test_labels_and_features_are_given_anew():
    program = Program.from_text("def Predict():\n s1 = norm(v1)\n v2 = s1 * v0\n")
    assert dataflow.carried_by_predict(program, vector_labels=True) == set()


def test_random_ops_in_predict():
    assert dataflow.draws_in_predict(Program.from_text("def Predict():\n s1 = uniform(0, 1)\n"))
    assert not dataflow.draws_in_predict(Program.from_text("def Setup():\n s1 = uniform(0, 1)\ndef Predict():\n"))
