"""What `--dry_run` tells, and that it writes nothing."""

import os

import numpy as np
import pytest

from input_pipeline import prepare
from input_pipeline.engines.engine import graph_name
from input_pipeline.report import data_report
from tests.input_pipeline.refreshing import preparation, write_days


def test_a_dry_run_tells_what_a_preparation_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(data_report, "render", lambda *_: "")
    (path,) = write_days(tmp_path, num_days=6, exposures=False)
    options = preparation(input=(path,), data_dir=str(tmp_path / "data"))
    text = prepare.dry_run(options)
    assert os.listdir(tmp_path) == [os.path.basename(path)]
    spec = prepare.prepare(options)
    graph = tmp_path / "data" / "graph"
    written = sum(
        np.load(file).nbytes
        for cut in range(1, len(spec.cuts) + 2)
        for file in (graph / graph_name(cut, len(spec.cuts))).glob("*.npy")
    )
    assert f"graph/    {written / 1000:.3g} kB of columns in 4 graphs" in text
    users, items = (spec.vocabulary(f"{owner}_id") for owner in ("user", "item"))
    assert f"360 events, 0 malformed and {spec.counts['duplicate_lines']} repeated" in text
    assert f"user_id: {users.size} ids (bytes), {users.embedded} with a row" in text
    assert f"item_id: {items.size} ids (int64), {items.embedded} with a row" in text
    assert f"in at most {360 * 3:,} rows" in text  # of two negatives each
    assert f"validation {spec.cut_times[-1]:,}" in text
    assert "shuffled" not in text
    with pytest.raises(FileExistsError, match="--data_dir: must not exist yet"):
        prepare.dry_run(options)


def test_a_dry_run_fails_where_a_preparation_would(tmp_path):
    (path,) = write_days(tmp_path, num_days=6, exposures=False)
    options = preparation(input=(path,), data_dir=str(tmp_path / "data"), rows="exposures")
    with pytest.raises(ValueError, match="--rows=exposures: needs a log of exposures"):
        prepare.dry_run(options)
    assert os.listdir(tmp_path) == [os.path.basename(path)]
