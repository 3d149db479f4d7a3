"""Data sets that days are added to are those that are prepared of the whole log."""

import dataclasses
import itertools
import json
import os
import pathlib

import numpy as np
import pytest

from input_pipeline.engines.given_groups import GivenGroups
from input_pipeline.graph.macro_edges import one_hot
from input_pipeline.graph.macro_matching import centers
from input_pipeline.graph.projection import Projection
from input_pipeline.prepare import prepare
from input_pipeline.refresh import RefreshOptions, day_preparation, refresh
from input_pipeline.spec import DatasetSpec, read_spec
from tests.input_pipeline.refreshing import (
    BASE_DAYS,
    DAY,
    HEADER,
    preparation,
    require_same,
    rows_of,
    write_days,
)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="default"),
        pytest.param(
            {"beta": 0.3, "grouping_scale": "degree", "min_count": 3, "record_layout": "request"},
            id="requests",
        ),
        pytest.param(
            {"grouping": "rows", "drop_cold": True, "activity": "copreference"},
            id="rows",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"rows": "events", "task_levels": (1, 1, 2), "log": "exposures"},
            id="exposures",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_refreshed_data_set_is_the_one_prepared_anew(tmp_path, options):
    options = dict(options)
    exposures = bool(options.pop("log", None))
    paths = write_days(tmp_path, num_days=BASE_DAYS + 3, exposures=exposures)
    first = str(tmp_path / "first")
    prepare(preparation(data_dir=first, input=(paths[0],), **options))
    latest = first
    for number, path in enumerate(paths[1:]):
        new = str(tmp_path / f"day-{number}")
        refresh(RefreshOptions(data_dir=new, from_dir=latest, input=(path,)))
        latest = new
    spec = read_spec(latest)
    assert len(spec.cuts) == 3 + 3
    assert len(spec.continues) == 3
    assert spec.counts["newest_training_rows"] > 0
    anew = str(tmp_path / "anew")
    times = tuple(int(time) for time in spec.cut_times)
    given = options | {"cuts": None, "cut_times": times, "rows": spec.rows}
    prepare(preparation(data_dir=anew, input=tuple(paths), **given))
    require_same(latest, anew)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    folder = tmp_path_factory.mktemp("two_days")
    paths = write_days(folder, num_days=BASE_DAYS + 2, exposures=False)
    first = str(folder / "first")
    prepare(preparation(data_dir=first, input=(paths[0],)))
    return first, paths


def test_windows_move_on_and_old_files_are_not_copied(two_days, tmp_path):
    first, paths = two_days
    old, new_dir = read_spec(first), str(tmp_path / "new")
    new = refresh(RefreshOptions(data_dir=new_dir, from_dir=first, input=(paths[1],)))
    assert new == read_spec(new_dir)
    rows = old.counts["rows"]
    assert new.counts["rows"]["train"] == rows["train"] + rows["validation"]
    assert new.counts["rows"]["validation"] == rows["test"]
    assert new.counts["newest_training_rows"] == rows["validation"]
    # the cut before the day is the end of the earlier log
    assert new.cut_times[:-1] == old.cut_times
    assert new.cut_times[-1] == BASE_DAYS * DAY - DAY // 40
    assert new.goes_on_from(old)
    assert not old.goes_on_from(new)
    shard = "examples/{}-{:05d}-of-{:05d}.tfrecord.gz".format
    moved = {
        shard("history", 1, 2): shard("history", 1, 2),
        shard("train", 0, 2): shard("train", 0, 4),
        shard("validation", 1, 2): shard("train", 3, 4),
        shard("test", 0, 2): shard("validation", 0, 2),
        "graph/2/task_table.npy": "graph/2/task_table.npy",
        "graph/latest/merging_matrix.npz": "graph/4/merging_matrix.npz",
    }
    for before, after in moved.items():
        assert os.path.samefile(os.path.join(first, before), os.path.join(new_dir, after))
    page = pathlib.Path(new_dir, "report.html").read_text()
    assert "training window 2" in page
    assert "--cut_times=" in page or "cut_times" in page


def test_regrouped_macro_nodes_keep_their_numbers(two_days, tmp_path):
    first, paths = two_days
    plain, new = str(tmp_path / "plain"), str(tmp_path / "new")
    refresh(RefreshOptions(data_dir=plain, from_dir=first, input=(paths[1],)))
    spec = refresh(RefreshOptions(data_dir=new, from_dir=first, input=(paths[1],), regroup=True))
    assert rows_of(new) == rows_of(plain)  # rows of the day read what was before it
    assert spec.grouping != read_spec(plain).grouping
    graph = pathlib.Path(new, "graph")
    projection = Projection.of_arrays(dict(np.load(graph / "projection.npz")), power=2)
    for owner in ("user", "item"):
        macro = np.load(graph / "latest" / f"{owner}_macro.npy")
        centroids = np.load(graph / f"{owner}_centroids.npy")
        before = np.load(pathlib.Path(plain, "graph", "latest", f"{owner}_macro.npy"))
        x = projection.placement(owner).positions
        old = centers(x, before, len(centroids))
        # the sum of distances is the least of all permutations
        distances = ((old[:, None] - centroids) ** 2).sum(axis=-1)
        k = len(centroids)
        best = min(distances[range(k), list(p)].sum() for p in itertools.permutations(range(k)))
        assert np.trace(distances) == pytest.approx(best)
        # every node is where its centroid is nearest
        nearest = ((x[:, None] - centroids) ** 2).sum(axis=-1).argmin(axis=1)
        assert (macro == nearest)[macro >= 0].mean() > 0.9
        edges = np.load(graph / "latest" / f"{owner}_1hop.npy")
        assert edges.shape[1] == len(
            np.load(graph / f"{'item' if owner == 'user' else 'user'}_centroids.npy")
        )
    # which no whole log has at the end of its history
    for given in (first, plain):
        GivenGroups(preparation(grouping_from=given), read_spec(first), first)
    with pytest.raises(ValueError, match=r"--grouping_from: .* of later than history .*--regroup"):
        GivenGroups(preparation(grouping_from=new), read_spec(first), first)
    # and the next day reads the new groups
    later = str(tmp_path / "later")
    refresh(RefreshOptions(data_dir=later, from_dir=new, input=(paths[2],)))
    known = np.load(pathlib.Path(later, "graph", "latest", "item_macro.npy"))
    now = np.load(graph / "latest" / "item_macro.npy")
    assert (known[: len(now)][now >= 0] == now[now >= 0]).all()
    assert one_hot(known, 5).shape[1] == 5


def _options(first: str, tmp_path: pathlib.Path, *input: str, **options) -> RefreshOptions:
    return RefreshOptions(data_dir=str(tmp_path / "new"), from_dir=first, input=input, **options)


def test_late_lines_are_refused_or_counted(two_days, tmp_path):
    first, paths = two_days
    both = tmp_path / "both.csv"
    day = pathlib.Path(paths[1]).read_text()
    late = ["u1,3,5,1,0,0,20,1,t1,d1", f"u1,3,{BASE_DAYS * DAY - DAY // 40},1,0,0,,1,t1,d1"]
    both.write_text(day + "\n".join(late) + "\n")
    with pytest.raises(ValueError, match=r"2 of 62 lines are not, the first of 5: --late_lines"):
        refresh(_options(first, tmp_path, str(both)))
    assert os.listdir(tmp_path) == ["both.csv"]
    spec = refresh(_options(first, tmp_path, str(both), late_lines="drop"))
    assert spec.counts["late_lines"] == 2
    assert spec.counts["events"] == 60 * (BASE_DAYS + 1)


def test_refuses_what_cannot_be_gone_on_from(two_days, tmp_path):
    first, paths = two_days
    with pytest.raises(ValueError, match="--from: must name a directory, got ''"):
        RefreshOptions(data_dir="x", input=("y",))
    with pytest.raises(ValueError, match=r"no line is later than .*, the end of"):
        refresh(_options(first, tmp_path, paths[0], late_lines="drop"))
    words = tmp_path / "words.csv"
    words.write_text(f"{HEADER}\nu1,shoe,{BASE_DAYS * DAY + 5},1,0,0,20,1,t1,d1\n")
    with pytest.raises(ValueError, match=r"column item_id: must hold decimal integers .* b'shoe'"):
        refresh(_options(first, tmp_path, str(words)))
    by_order = str(tmp_path / "order")
    prepare(preparation(data_dir=by_order, input=(paths[0],), split="order", cuts=None,
                         activity_features=False))  # fmt: skip
    with pytest.raises(ValueError, match=r"must be of --split=time, .* got --split=order"):
        refresh(_options(by_order, tmp_path, paths[1]))
    with pytest.raises(FileExistsError, match="must not exist yet"):
        refresh(RefreshOptions(data_dir=by_order, from_dir=first, input=(paths[1],)))


def test_cut_times_are_those_of_quantiles(two_days, tmp_path):
    first, paths = two_days
    spec = read_spec(first)
    times = tuple(int(time) for time in spec.cut_times)
    same = str(tmp_path / "same")
    prepare(preparation(data_dir=same, input=(paths[0],), cuts=None, cut_times=times))
    assert rows_of(same) == rows_of(first)
    with pytest.raises(ValueError, match=r"--cut_times: must be at least three ascending times"):
        preparation(cuts=None, cut_times=(3, 2, 1))
    with pytest.raises(ValueError, match=r"--cut_times: take the place of --cuts="):
        preparation(cut_times=(1, 2, 3))
    late = str(tmp_path / "late")
    empty = preparation(data_dir=late, input=(paths[0],), cuts=None, cut_times=(*times, 10**9))
    with pytest.raises(ValueError, match=r"--cut_times: every window needs events, but test "):
        prepare(empty)


def test_specs_without_a_past_are_read():
    told = dataclasses.asdict(
        read_spec_without_past := DatasetSpec("csv", "pairs", "time", "s", (), (), (), 1, 1, 1,
                                              (), (), {}, (), {})
    )  # fmt: skip
    del told["continues"]
    assert DatasetSpec.from_json(json.dumps(told)) == read_spec_without_past


def test_a_day_of_what_spark_prepared_is_read_here(two_days):
    first, paths = two_days
    of_spark = {
        "engine": "spark", "spark_master": "yarn", "spark_conf": ["a=b"],
        "partition_filter": "dt > '1'", "source": "table", "input": ["db.events"],
    }  # fmt: skip
    spec = read_spec(first)
    spec = dataclasses.replace(spec, source="table", flags=spec.flags | of_spark)
    options = RefreshOptions(data_dir="new", from_dir=first, input=(paths[1],))
    found = day_preparation(spec, options)
    assert (found.engine, found.source, found.input) == ("local", "parquet", (paths[1],))
    assert (found.spark_master, found.spark_conf, found.partition_filter) == ("", (), "")
    assert found.activity_features
