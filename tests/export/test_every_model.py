"""Every model that the other tests here do not export: the export answers as the model does."""

import pytest
import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from export.graph_tables import GraphTables, table_bytes
from export.savedmodel import ExportOptions, export
from mgoe_tf.models.registry import MODELS
from mgoe_tf.training import checkpoints
from tests.export.conftest import write_model


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"mgoe", "mmoe"}))
def test_export_answers_as_the_model_does(name, run, tmp_path):
    model_dir = str(tmp_path / "model")
    write_model(model_dir, name, run.data_dir)
    # `export` publishes nothing that differs from the model, in any signature.
    path = export(
        ExportOptions(
            model_dir=model_dir,
            export_base=str(tmp_path / "exports"),
            model_name=name,
            data_dir=run.data_dir,
        )
    )
    signatures = tf.saved_model.load(path).signatures
    assert {"serving_default", "rank", "rank_ids", "known_ids"} <= set(signatures)
    assert ("explain" in signatures) is MODELS[name].explains
    loaded, snapshot = checkpoints.load_model(model_dir), GraphSnapshot(run.data_dir)
    arguments = {"snapshot": snapshot, "model": loaded.model, "lookup": loaded.lookup}
    tables = [GraphTables(owner=owner, **arguments) for owner in ("user", "item")]
    size = sum(4 * table._table.shape.num_elements() for table in tables)
    assert table_bytes(snapshot, loaded.model) == size
