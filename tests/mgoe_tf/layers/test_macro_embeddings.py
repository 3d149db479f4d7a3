import numpy as np
import pytest

from mgoe_tf.layers.macro_embeddings import MacroEmbeddings


def test_a_table_of_every_task_and_kind_within_glorot_limits():
    layer = MacroEmbeddings(num_tasks=3, num_macro_nodes={"user": 40, "item": 50}, dim=10)
    tables = layer(None)
    assert tables["user"].shape == (3, 40, 10)
    assert tables["item"].shape == (3, 50, 10)
    # sqrt(6 / (fan_in + fan_out)), whatever the number of tasks: sqrt(6 / 50), sqrt(6 / 60)
    assert np.abs(tables["user"]).max() == pytest.approx(0.3464, rel=0.01)
    assert np.abs(tables["item"]).max() == pytest.approx(0.3162, rel=0.01)
    assert not np.allclose(tables["user"][0], tables["user"][1])


def test_refuses_no_macro_nodes():
    with pytest.raises(ValueError, match="item: must be at least 1, got 0"):
        MacroEmbeddings(num_tasks=1, num_macro_nodes={"user": 2, "item": 0}, dim=2)
