"""A feature of one provider and one line in the registry is trained on, exported and served."""

from pathlib import Path

import numpy as np

from export.client import Client
from export.client.ranking import by_ids, join
from export.client.snapshot import GraphSnapshot
from export.savedmodel import ExportOptions, export
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.feature import Feature, Transform
from input_pipeline.features import registry
from input_pipeline.features.provider import Provider
from input_pipeline.graph.node_table import DenseColumn
from tests.data_sets import small_log, write_small_data_set
from tests.mgoe_tf.conftest import short_run, train_small


class Visitors(Provider):
    """`item_visitors`: how many users an item had before the cut."""

    def describe(self, facts):
        transform = Transform("log")
        return (Feature("item_visitors", "item", "numeric", "float", missing=0.0,
                        transform=transform),)  # fmt: skip

    def columns(self, cut):
        visitors = np.diff(cut.matrix.tocsc().indptr)
        return {"item": {"item_visitors": DenseColumn(visitors.astype(np.float32))}}


def test_it_tells_on_the_answers_of_a_server(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "PROVIDERS", (*registry.PROVIDERS, Visitors()))
    data_dir, model_dir = str(tmp_path / "data"), str(tmp_path / "run")
    write_small_data_set(data_dir)
    train_small(short_run(data_dir, model_dir))
    path = export(
        ExportOptions(
            model_dir=model_dir,
            export_base=str(tmp_path / "exports"),
            model_name="m",
            data_dir=data_dir,
        )
    )
    monkeypatch.undo()  # whoever serves and asks does not know of the provider

    log = small_log()
    pairs = set(zip(log.user_id.codes.tolist(), log.item_id.codes.tolist(), strict=True))
    visitors = [sum(item == code for _, item in pairs) for code in range(5)] + [0]
    assert len(set(visitors)) > 2
    items = np.array([*log.item_id.values[:5].tolist(), b"nobody saw it"], object)
    user = log.user_id.values[:1]
    base_path = str(Path(path).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=0))
    server.start()
    try:
        with Client(f"127.0.0.1:{server.port}", "m", timeout_seconds=60) as client:
            wanted = client.inputs("serving_default")
            rows = join(GraphSnapshot(data_dir), user, items, wanted)
            known = by_ids(client, user, items)
            told = client.predict(rows, "serving_default")
            others = client.predict(
                rows | {"item_visitors": rows["item_visitors"] + 50}, "serving_default"
            )
    finally:
        server.stop(0)
    assert rows["item_visitors"].tolist() == visitors
    for output in ("click", "buy", "score"):
        np.testing.assert_allclose(known[output], told[output], rtol=0, atol=1e-5)
        assert np.abs(others[output] - told[output]).min() > 1e-5
