"""A new feature is one provider and one line in the registry."""

from __future__ import annotations

import numpy as np
import pytest

from input_pipeline.dataset import open_examples
from input_pipeline.feature import Feature, Transform
from input_pipeline.features import registry
from input_pipeline.features.provider import Provider
from input_pipeline.graph.node_table import DenseColumn, ListColumn
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report as report
from tests.input_pipeline.logs import event_log, random_lines, write_log
from tests.input_pipeline.test_prepare_features import rows_of

CUTS = (0.4, 0.6, 0.8)


class Degree(Provider):
    """`item_degree`: users of an item before the cut; `item_users`: who, in order of appearance."""

    def describe(self, facts):
        ids = facts.vocabularies["user_id"]
        return (
            Feature("item_degree", "item", "numeric", "float", missing=0.0,
                    transform=Transform("log")),
            Feature("item_users", "item", "side", ids.dtype, 50, ragged=True,
                    vocabulary="user_id", missing=0),
        )  # fmt: skip

    def columns(self, cut):
        by_item = cut.matrix.T.tocsr()
        degree = np.diff(by_item.indptr)
        users = ListColumn(by_item.indptr.astype(np.int64), {"rows": by_item.indices})
        return {"item": {"item_degree": DenseColumn(degree.astype(np.float32)),
                         "item_users": users}}  # fmt: skip


class HalfOfHour(Provider):
    """`first_half`: a fact of the row that no column tells, 1 in the first half of an hour."""

    def describe(self, facts):
        return (Feature("first_half", "context", "numeric", "float", transform=Transform("none")),)

    def of_events(self, log, events):
        half = log.events.timestamp[events] % 3600 < 1800
        return {"first_half": DenseColumn(half.astype(np.float32))}


@pytest.mark.parametrize("layout", ["example", "request"])
def test_a_provider_from_outside(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(registry, "PROVIDERS", (*registry.PROVIDERS, Degree(), HalfOfHour()))
    pages = []
    monkeypatch.setattr(report, "render", lambda *arguments: pages.append(arguments) or "")
    lines = random_lines(0)
    options = PreparationOptions(
        source="taobao", cuts=CUTS, num_user_macro_nodes=3, num_item_macro_nodes=3,
        record_layout=layout, num_shards=2,
    )  # fmt: skip
    spec = write_log(event_log(lines), options, str(tmp_path))

    read = ("item_id", "item_degree", "item_users", "first_half")
    examples = open_examples(str(tmp_path), spec, ["validation"], read)
    (batch,) = examples.ordered_batches(10_000, encode=dict).as_numpy_iterator()
    before = [line for line in lines if line.timestamp <= spec.cut_times[1]]
    assert len(batch["item_id"]) > 50
    for n, item in enumerate(batch["item_id"]):
        users = {line.user for line in before if line.item == item}
        assert batch["item_degree"][n] == len(users)
        assert set(batch["item_users"][n][: len(users)]) == users
        assert not batch["item_users"][n][len(users) :].any()
    halves = set()
    for row in rows_of(tmp_path, "train") + rows_of(tmp_path, "validation"):
        half = row["timestamp"][1][0] % 3600 < 1800
        assert row["first_half"] == ("float_list", [half])
        halves.add(half)
    assert halves == {True, False}

    # Its statistics, over the events up to t_{n-1}, as their rows read it.
    values = []
    for low, high in ((-np.inf, spec.cut_times[0]), spec.cut_times[:2]):
        for line in lines:
            if low < line.timestamp <= high:
                past = [o for o in lines if o.timestamp <= low and o.item == line.item]
                values.append(np.log1p(len({o.user for o in past})))
    transform = spec.feature("item_degree").transform
    assert transform.mean == pytest.approx((np.mean(values),))
    assert transform.deviation == pytest.approx((np.std(values),))
    assert spec.feature("first_half").transform == Transform("none")
    assert {"item_degree", "item_users", "first_half"} <= set(pages[0][2][1].aucs)
    degree = np.load(tmp_path / "graph" / "latest" / "item_degree.npy")
    assert degree.sum() == len({(line.user, line.item) for line in lines})
