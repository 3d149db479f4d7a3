"""Every model that the other tests here do not export: export and server answer as it does."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.client import Client
from export.client.ranking import by_ids, rank
from export.client.snapshot import GraphSnapshot
from export.graph_tables import GraphTables, table_bytes
from export.options import ExportOptions
from export.savedmodel import export
from export.server.model_server import Server
from export.server.options import ServeOptions
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
    sizes = {name: size for table in tables for name, size in table.size_bytes.items()}
    assert table_bytes(snapshot, loaded.model) == sizes

    user, items = np.array([b"u3"], object), np.array([0, 7, 14, 21, 2**40])
    expected = signatures["rank_ids"](
        user_id=tf.constant(user), item_id=tf.constant(items[np.newaxis])
    )
    serving = ServeOptions(model_name=name, model_base_path=str(Path(path).parent), port=0)
    server = Server(serving)
    server.start()
    try:
        with Client(f"127.0.0.1:{server.port}", name, timeout_seconds=60) as client:
            ranked = rank(client, by_ids, user, items)
    finally:
        server.stop(0)
    order = [items.tolist().index(item) for item in ranked["item_id"]]
    for output in ("click", "buy", "score"):
        values = expected[output].numpy().ravel()[order]
        np.testing.assert_allclose(ranked[output], values, rtol=0, atol=1e-6)
