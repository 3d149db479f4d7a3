import json

import pytest

from input_pipeline import prepare
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report as report


@pytest.mark.parametrize(
    ("rows", "exposures"), [("pairs", False), ("events", False), ("exposures", True)]
)
def test_the_truth_is_written_beside_a_synthetic_data_set(tmp_path, monkeypatch, rows, exposures):
    pages = []
    monkeypatch.setattr(report, "render", lambda *arguments: pages.append(arguments) or "")
    options = PreparationOptions(
        source="synthetic",
        data_dir=str(tmp_path / "data"),
        rows=rows,
        exposures=exposures,
        users=300,
        items=400,
        events=12_000,
        cuts=(0.3, 0.5, 0.75),
    )
    prepare.prepare(options)
    best = json.loads((tmp_path / "data/world/best_auc.json").read_text())
    assert list(best) == ["validation", "test"]
    assert (tmp_path / "data/world/world.npz").exists()
    windows = {window.name: window for window in pages[0][2]}
    for split, by_task in best.items():
        assert list(by_task) == ["click", "fav", "cart", "buy"]
        # Who knows the world ranks better than any single number about a row.
        signals = [by_signal["click"].auc for by_signal in windows[split].aucs.values()]
        assert max(*signals, 0.5) < by_task["click"] < 1
