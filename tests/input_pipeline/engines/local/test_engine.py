"""The local engine between stages: what is on disk after each, and what a window encodes."""

import numpy as np
import pytest

from input_pipeline import prepare
from input_pipeline.engines.local import window_writer
from input_pipeline.engines.local.engine import LocalEngine
from input_pipeline.engines.local.window_nodes import WindowNodes
from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import SMALL
from tests.input_pipeline.logs import event_log, random_lines, with_features


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr(report, "render", lambda *_: "")


def engine_of(lines, data_dir, **flags):
    options = PreparationOptions(**{**SMALL, "data_dir": str(data_dir), **flags})
    return LocalEngine(options, str(data_dir), event_log(lines))


class Watched(LocalEngine):
    """Notes the files that each stage adds."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.added = []

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        if name not in ("read", "index", "begin", "pairs", "group", "edges", "rows", "records"):
            return value

        def stage(*arguments):
            before = set(filesystem.files_below(self.data_dir))
            result = value(*arguments)
            new = set(filesystem.files_below(self.data_dir)) - before
            cut = arguments if name not in ("begin", "index") else ()
            self.added.append((name, *cut, new))
            return result

        return stage


def test_stages_write_what_they_say(tmp_path):
    options = PreparationOptions(**{**SMALL, "data_dir": str(tmp_path), "cuts": (0.4, 0.6, 0.8)})
    with Watched(options, str(tmp_path), event_log(random_lines(0))) as engine:
        prepare.write_data_set(engine)
    stages = [entry[:-1] for entry in engine.added]
    at_cut = [("group",)], [], [], []
    assert stages == [
        ("read",), ("index",), ("begin",), ("rows", 0), ("records", 0),
        *(
            call
            for cut, grouped in enumerate(at_cut, 1)
            for call in [
                ("pairs", cut), *grouped, ("edges", cut),
                *([("rows", cut), ("records", cut)] if cut < 4 else []),
            ]
        ),
    ]  # fmt: skip
    added = {entry[:-1]: entry[-1] for entry in engine.added}
    assert {name.partition("/")[0] for name in added["index",]} == {"vocabulary"}
    assert added["pairs", 2] == {"graph/2/merging_matrix.npz"}
    assert added["pairs", 4] == {"graph/latest/merging_matrix.npz"}
    grouped = {"user_centroids.npy", "item_centroids.npy", "projection.npz"}
    assert added["group",] == {f"graph/{name}" for name in grouped}
    assert {"graph/3/graph.json", "graph/3/user_macro.npy"} <= added["edges", 3]
    assert not added["rows", 1]


@pytest.mark.parametrize("flags", [{}, {"drop_cold": True}, {"rows": "events"}])
def test_a_window_encodes_the_nodes_of_its_rows_only(tmp_path, monkeypatch, flags):
    encoded = []
    node_payloads = window_writer.node_payloads

    def watched(spec, owner, table, ids, nodes=None):
        payloads = node_payloads(spec, owner, table, ids, nodes)
        encoded.append((owner, nodes, {len(payload) for payload in payloads.values()}))
        return payloads

    monkeypatch.setattr(window_writer, "node_payloads", watched)
    rows_of = []
    encoder = window_writer.WindowWriter.encoder

    def noted(self, window):
        rows_of.append(self._window.rows)
        return encoder(self, window)

    monkeypatch.setattr(window_writer.WindowWriter, "encoder", noted)
    with engine_of(with_features(random_lines(1, 400, users=40), 1), tmp_path, **flags) as engine:
        prepare.write_data_set(engine)
        sizes = {owner: len(column.values) for owner, column in engine.interactions.ids.items()}
    encoded = [entry for entry in encoded if entry[0] != "context"]
    assert len(encoded) == 2 * len(rows_of) == 2 * 5
    fewer = 0
    for number, (owner, nodes, lengths) in enumerate(encoded):
        wanted = np.unique(getattr(rows_of[number // 2], owner))
        assert nodes.tolist() == wanted.tolist()
        assert lengths == {len(wanted)}
        fewer += len(wanted) < sizes[owner]
    assert fewer >= 5


def test_places_and_tables_of_a_windows_nodes():
    class Rows:
        user = np.array([7, 3, 7])
        item = np.array([0, 2, 2])

    nodes = WindowNodes({"user": np.array([3, 5, 7]), "item": np.array([0, 2])},
                        {"user": {}, "item": {}})  # fmt: skip
    places = nodes.places(Rows)
    assert {owner: found.tolist() for owner, found in places.items()} == {
        "user": [2, 0, 2], "item": [0, 1, 1],
    }  # fmt: skip
    assert nodes.of_rows(Rows).nodes["user"].tolist() == [3, 7]


def test_a_failure_in_a_stage_closes_the_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalEngine, "edges", lambda *_: 1 / 0)
    engine = engine_of(random_lines(0), tmp_path)
    with pytest.raises(ZeroDivisionError), engine:
        prepare.write_data_set(engine)
    with pytest.raises(RuntimeError, match="shutdown"):
        engine._shards._workers.submit(int)
