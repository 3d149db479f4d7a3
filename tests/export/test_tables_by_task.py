"""A model with id tables of its own, one a task: trained and exported by its hooks alone."""

import numpy as np
import pytest
import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from export.graph_tables import GraphTables, table_bytes
from export.options import ExportOptions
from export.savedmodel import export
from input_pipeline.spec import INPUT_OWNERS
from mgoe_tf.models.base import Lookup, Table
from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.models.registry import MODELS
from mgoe_tf.training import checkpoints
from tests.export.conftest import write_model
from tests.model_options import OPTIONS


class TablesByTask(MMoE):
    """MMoE plus, for each task, a bias of each item: a table of width 1."""

    @property
    def tables(self):
        biases = {f"bias_{task}": Table("item_id", 1) for task in self.spec.task_names}
        return super().tables | biases

    @property
    def lookups(self):
        names = [f"bias_{task}" for task in self.spec.task_names]
        return (*super().lookups, *(Lookup(name, name, "item") for name in names))

    def bags(self, features, lookup=None, owners=INPUT_OWNERS):
        found = super().bags(features, lookup, owners)
        if "item" in owners:
            found |= {f"bias_{task}": found["item_id"] for task in self.spec.task_names}
        return found

    def network_inputs(self, features, sums):
        biases = {task: sums[f"bias_{task}"][:, 0] for task in self.spec.task_names}
        return {"x": super().network_inputs(features, sums), "biases": biases}

    def network(self, inputs, training=False):
        logits = super().network(inputs["x"], training=training)
        return {task: logit + inputs["biases"][task] for task, logit in logits.items()}


@pytest.fixture
def model_dir(monkeypatch, run, tmp_path) -> str:
    monkeypatch.setitem(MODELS, "by_task", TablesByTask)
    monkeypatch.setitem(OPTIONS, "by_task", OPTIONS["mmoe"])
    write_model(str(tmp_path / "model"), "by_task", run.data_dir)
    return str(tmp_path / "model")


def test_tables_have_their_own_widths(model_dir):
    model = checkpoints.load_model(model_dir).model
    items = model.spec.vocabulary("item_id").embedded + 1
    dim = OPTIONS["mmoe"].embedding_dim
    assert model.embeddings.tables["item_id"].shape == (items, dim)
    assert model.embeddings.tables["bias_buy"].shape == (items, 1)
    features = {**model.zero_features(2), "item_id": tf.constant([1, 2])}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(features, training=True)["buy"])
    tables = {name: model.embeddings.tables[name] for name in ("bias_buy", "bias_click")}
    gradients = tape.gradient(loss, tables)
    np.testing.assert_array_equal(gradients["bias_buy"].indices, [1, 2])
    np.testing.assert_array_equal(gradients["bias_buy"].values, [[1.0], [1.0]])
    # a task's table is moved by that task alone
    assert gradients["bias_click"] is None


def test_export_holds_them_and_answers_as_the_model_does(model_dir, run, tmp_path):
    # `export` publishes nothing that differs from the model, in any signature
    path = export(
        ExportOptions(
            model_dir=model_dir,
            export_base=str(tmp_path / "exports"),
            model_name="by_task",
            data_dir=run.data_dir,
        )
    )
    assert "rank_ids" in tf.saved_model.load(path).signatures
    loaded, snapshot = checkpoints.load_model(model_dir), GraphSnapshot(run.data_dir)
    sizes = {}
    for owner in ("user", "item"):
        tables = GraphTables(
            snapshot=snapshot, owner=owner, model=loaded.model, lookup=loaded.lookup
        )
        sizes |= tables.size_bytes
    assert table_bytes(snapshot, loaded.model) == sizes
