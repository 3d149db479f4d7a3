"""Logs that come day by day, and data sets that must be the same however days were added."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np
import pyarrow.parquet as pq

from input_pipeline.files import filesystem, stored
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.example_rows import first_examples
from input_pipeline.spec import NEWEST_ROWS, WINDOWS, read_spec

HEADER = "user,item,ts,click,like,follow,age,category,tags,device"
DAY = 86_400
BASE_DAYS = 6


def write_days(folder: pathlib.Path, *, num_days: int, exposures: bool, seed: int = 0) -> list:
    """A file of six days, then one a day; ids, tags and categories arrive as time goes."""
    random = np.random.default_rng(seed)
    paths, lines = [], []
    for day in range(num_days):
        for second in np.sort(random.integers(0, 40, 60)) * (DAY // 40):
            user = random.integers(0, 14 + 2 * day)
            item = random.integers(0, 20 + 4 * day)
            did = random.random(3) < (0.5, 0.3, 0.2)
            if not exposures and not did.any():
                did[0] = True
            age = "" if random.random() < 0.2 else f"{random.normal(30 + day, 9):.2f}"
            tags = "|".join(sorted({f"t{random.integers(0, 5 + day)}" for _ in range(2)}))
            told = (*map(int, did), age, (item + random.integers(0, 2)) % (4 + day), tags)
            line = (f"u{user}", item * 3, day * DAY + second, *told, f"d{random.integers(0, 2)}")
            lines.append(",".join(map(str, line)))
        if day >= BASE_DAYS - 1:
            path = folder / f"day-{day}.csv"
            path.write_text("\n".join([HEADER, *lines]) + "\n")
            paths.append(str(path))
            lines = []
    return paths


def preparation(**options) -> PreparationOptions:
    told = {
        "source": "csv",
        "user_column": "user",
        "item_column": "item",
        "timestamp_column": "ts",
        "task_columns": ("click:click", "like:like", "follow:follow"),
        "user_feature_columns": ("age:numeric",),
        "item_feature_columns": ("category", "tags:multi"),
        "context_feature_columns": ("device", "ts:hour:hour"),
        "activity_features": True,
        "num_user_macro_nodes": 4,
        "num_item_macro_nodes": 5,
        "grouping_dim": 4,
        "max_neighbors": 3,
        "negatives": 2,
        "num_shards": 2,
        "cuts": (0.4, 0.6, 0.8),
    }
    return PreparationOptions(**told | options)


def rows_of(data_dir: str) -> dict[str, list[bytes]]:
    return {w: sorted(first_examples(data_dir, w, 10**6).numpy().tolist()) for w in WINDOWS}


def _arrays(data_dir: str, folder: str) -> dict[str, np.ndarray]:
    found = {}
    for name in filesystem.files_below(os.path.join(data_dir, folder)):
        path = os.path.join(data_dir, folder, name)
        if ".parquet/" in name:  # a column or lists, by what its file would be called
            whole = os.path.dirname(path).removesuffix(".parquet")
            names = pq.read_schema(path).names
            kind = "npy" if "value" in names else "npz"
            name, path = f"{name.partition('.')[0]}.{kind}", f"{whole}.{kind}"
            loaded = stored.load_array(path) if kind == "npy" else stored.load_arrays(path)
        elif name.endswith((".npy", ".npz")):
            loaded = np.load(path)
        else:
            continue
        if name.endswith(".npy"):
            found[name] = loaded
        else:
            found |= {f"{name}/{key}": loaded[key] for key in loaded}
    return found


def require_same(ours: str, theirs: str, *, of_numbers: float = 0.0) -> None:
    """Compares all that two data sets hold, but for how they came to be.

    Args:
      ours, theirs: directories.
      of_numbers: by how much, relatively, moments of numbers may differ that were summed in
        another order.
    """
    assert rows_of(ours) == rows_of(theirs)
    for folder in ("graph", "vocabulary", "state"):
        found, expected = _arrays(ours, folder), _arrays(theirs, folder)
        assert found.keys() == expected.keys()
        assert expected
        for name, array in expected.items():
            assert found[name].dtype == array.dtype, name
            if name.startswith("numbers.npz"):
                np.testing.assert_allclose(found[name], array, rtol=of_numbers, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], array, err_msg=name)
    for cut in os.listdir(os.path.join(theirs, "graph")):
        told = [pathlib.Path(folder, "graph", cut, "graph.json") for folder in (ours, theirs)]
        if told[1].exists():
            assert json.loads(told[0].read_text()) == json.loads(told[1].read_text())
    specs = read_spec(ours), read_spec(theirs)
    counts = [dict(spec.counts) for spec in specs]
    counts[0].pop(NEWEST_ROWS, None)
    assert counts[0] == counts[1]
    for one, other in zip(*(spec.features for spec in specs), strict=True):
        if one.transform is not None:
            assert other.transform is not None
            for name in ("mean", "deviation"):
                pair = [getattr(feature.transform, name) for feature in (one, other)]
                np.testing.assert_allclose(*pair, rtol=of_numbers, err_msg=one.name)
            assert one.transform.has_missing == other.transform.has_missing
        assert dataclasses.replace(one, transform=other.transform) == other
    names = {"flags", "continues", "counts", "features"}
    kept = [{k: v for k, v in dataclasses.asdict(spec).items() if k not in names} for spec in specs]
    assert kept[0] == kept[1]
