import numpy as np
import tensorflow as tf

from mgoe_tf.models.registry import build_model
from mgoe_tf.training.collapse import copies, warnings
from tests.encoded_rows import make_spec
from tests.model_options import OPTIONS


def test_copies_hand_worked():
    kernel = np.array([[[1.0], [2.0]], [[1.0], [2.5]], [[1.0], [2.0]]], np.float32)
    bias = np.zeros((3, 1), np.float32)
    assert copies([kernel, bias]) == [(0, 2)]
    # one entry of the last weight tells them apart
    assert copies([kernel, np.array([[0.0], [0.0], [0.1]], np.float32)]) == []
    assert copies([kernel[:1]]) == copies([]) == []


def test_a_new_model_is_sound():
    for name in ("mgoe", "mmoe"):
        assert warnings(build_model(name, make_spec(), OPTIONS[name]), {}) == []


def test_names_experts_that_are_copies():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    for weight in model.experts.expert_weights:
        weight.assign(tf.gather(weight, [0, 1, 0]))
    (told,) = warnings(model, {})
    assert told.startswith("experts 0 and 2 of experts are copies of one another")


def test_names_the_expert_that_a_gate_knows_alone():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    diagnostics = {
        "gates/click": tf.constant([0.98, 0.01, 0.01]),
        "gates/buy": tf.constant([0.002, 0.996, 0.002]),
        "gates_entropy/buy": tf.constant(0.01),
        "alpha/user_1hop": tf.constant([1.0, 0.0]),
    }
    (told,) = warnings(model, diagnostics)
    assert told.startswith("gates/buy: all rows use expert shared_1 alone")
