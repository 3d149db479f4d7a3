"""Engines by name: what is refused, and how one that needs more says so."""

import sys

import pytest

from input_pipeline import prepare
from input_pipeline.engines import registry
from input_pipeline.engines.engine import Engine, graph_name
from input_pipeline.engines.local.engine import LocalEngine
from input_pipeline.preparation_options import PreparationOptions


def options(**flags):
    return PreparationOptions(source="csv", data_dir="nowhere", **flags)


def test_the_local_engine_is_the_default():
    engine = registry.make_engine(options(), "folder")
    assert isinstance(engine, LocalEngine)
    assert engine.data_dir == "folder"


def test_an_unknown_engine_is_refused_by_list(tmp_path):
    with pytest.raises(
        ValueError, match=r"--engine: must be one of \['local', 'spark'\], got 'flink'"
    ):
        registry.make_engine(options(engine="flink"), "folder")
    flags = PreparationOptions(source="csv", data_dir=str(tmp_path / "data"), engine="flink")
    with pytest.raises(ValueError, match="--engine"):
        prepare.prepare(flags)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    (tmp_path / "far_engine.py").write_text("import cluster_of_far_away\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for extra in ("far", None):
        entry = registry.Registered("far_engine", "FarEngine", extra)
        monkeypatch.setitem(registry.ENGINES, "far", entry)
        sys.modules.pop("far_engine", None)
        message = (
            r"--engine=far: needs cluster_of_far_away, which is not installed: pip install "
            r"'mgoe_tf\[far\]'"
            if extra
            else "No module named 'cluster_of_far_away'"
        )
        with pytest.raises(ImportError, match=message):
            registry.make_engine(options(engine="far"), "folder")


def test_names_of_graphs():
    assert [graph_name(cut, 3) for cut in (1, 3, 4)] == ["1", "3", "latest"]


def test_an_engine_must_compute_every_stage():
    class Half(LocalEngine):
        pass

    stages = {"read", "index", "begin", "pairs", "group", "edges", "rows", "records", "finish"}
    assert Engine.__abstractmethods__ == stages | {"close"}
    assert not Half.__abstractmethods__
