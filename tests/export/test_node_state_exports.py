"""Exports that serve `rank_ids` from states of nodes, and what their gates let pass."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export import gates
from export.options import ExportOptions
from export.savedmodel import export
from mgoe_tf.models.node_network import NodeNetwork

USERS = np.array([b"u3", b"nobody"], object)
ITEMS = np.array([[7, 0, -5], [2**40, 14, 7]])


def _export(run, base, name, **options):
    return export(
        ExportOptions(
            model_dir=run.model_dirs[name],
            export_base=str(base),
            model_name=name,
            data_dir=run.data_dir,
            **options,
        )
    )


def _answers(path, users=USERS, items=ITEMS):
    signature = tf.saved_model.load(path).signatures["rank_ids"]
    return signature(user_id=tf.constant(users), item_id=tf.constant(items))


def test_a_user_is_not_broadcast_to_the_candidates_of_others(exported):
    path, _ = exported
    # what the message says is of the first operation that fails
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"as many users as|should be equal"):
        _answers(path, users=USERS[:1])
    assert _answers(path, items=ITEMS[:, :0])["score"].shape == (2, 0)


@pytest.mark.parametrize(
    ("name", "table_dtype", "node_state"),
    [("mmoe", "int8", "full"), ("mgoe", "float16", "none")],
)
def test_tables_of_fewer_bits_tell_what_they_cost(name, table_dtype, node_state, run, tmp_path):
    # `export` publishes nothing that differs by more than the type's tolerance
    path = _export(run, tmp_path, name, table_dtype=table_dtype, node_state=node_state)
    tables = json.loads(Path(path, "assets.extra/evaluation.json").read_text())["tables"]
    assert tables["dtype"] == table_dtype
    assert set(tables["tasks"]) == {"click", "buy"}
    lost = tables["tasks"]["buy"]
    assert 0 < lost["largest_difference"] < gates.TABLE_TOLERANCES[table_dtype]
    assert abs(lost["auc_lost"]) < 0.05
    assert 0.2 < lost["auc"] < 0.8


def test_a_network_that_answers_otherwise_is_not_published(run, monkeypatch, tmp_path):
    logits = NodeNetwork.logits

    def higher(self, *states):
        return logits(self, *states) + 1e-3

    monkeypatch.setattr(NodeNetwork, "logits", higher)
    with pytest.raises(ValueError, match="of signature rank_ids differs from the Keras model"):
        _export(run, tmp_path, "mmoe")
