"""What TensorBoard shows of the best checkpoint."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from sklearn.metrics import precision_score, recall_score
from tensorboard.plugins.projector import ProjectorConfig

from input_pipeline.log import vocabulary
from mgoe_tf.reports import projector
from mgoe_tf.reports.best_run import precision_recall
from tests.data_sets import TASKS
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.reports.conftest import evaluator_of
from tests.mgoe_tf.training.curves import scalars


def folder_of(options) -> pathlib.Path:
    return pathlib.Path(options.model_dir, "events", "best_test")


def values_of(folder: pathlib.Path):
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            yield from ((event.step, value) for value in event.summary.value)


def test_pictures_curves_and_metrics_lie_at_the_best_step(reported, facts) -> None:
    found = list(values_of(folder_of(reported["mgoe"])))
    assert {step for step, _ in found} == {facts.history.best_epoch * (6159 // 128)}
    images = {v.tag for _, v in found if v.metadata.plugin_data.plugin_name == "images"}
    sets = ("user_1hop", "user_2hop", "item_1hop", "item_2hop")
    assert images == {
        *(f"reliability/{task}" for task in TASKS),
        *("gates/gates", "gates/fusion_gates", "macro_graph/edges"),
        *(f"attention/{name}" for name in sets),
    }
    curves = {v.tag for _, v in found if v.metadata.plugin_data.plugin_name == "pr_curves"}
    assert curves == {f"precision_recall/{task}/pr_curves" for task in TASKS}
    logged = scalars(reported["mgoe"].model_dir, "best_test")
    for task in TASKS:
        assert logged[f"auc/{task}"][0][1] == pytest.approx(facts.metrics["tasks"][task]["auc"])
    graphs = [
        event.graph_def
        for path in folder_of(reported["mgoe"]).glob("events.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        if event.graph_def
    ]
    assert len(graphs) == 1


def test_pictures_have_something_on_them(reported) -> None:
    for _, value in values_of(folder_of(reported["mgoe"])):
        if value.metadata.plugin_data.plugin_name == "images":
            picture = tf.io.decode_png(tf.make_ndarray(value.tensor)[2]).numpy()
            assert picture.shape[0] > 100
            assert picture.shape[1] > 300
            assert (picture[0, 0] == 255).all()  # opaque, on white
            assert picture.std() > 5, value.tag


def test_a_curve_has_precision_at_equal_steps_of_recall() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(5000) < 0.1).astype(np.int8)
    # ties, and probabilities that are all small
    logits = (random.normal(size=5000) + labels).round(1).astype(np.float32) - 6
    (value,) = precision_recall("buy", labels, logits).value
    tp, fp, tn, fn, precision, recall = tf.make_ndarray(value.tensor)
    assert recall[0] == 1.0
    assert (np.diff(recall) <= 0).all()
    assert ((tp + fn) == labels.sum()).all()
    assert ((fp + tn) == 5000 - labels.sum()).all()
    by_recall = {
        recall_score(labels, logits >= threshold): precision_score(labels, logits >= threshold)
        for threshold in np.unique(logits)
    }
    for column in range(0, 101, 10):
        nearest = min(by_recall, key=lambda value: abs(value - recall[column]))
        assert recall[column] == pytest.approx(nearest, abs=1e-6)
        assert precision[column] == pytest.approx(by_recall[nearest], abs=1e-6)


def rows_of(path: pathlib.Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_the_projector_has_the_points_of_the_model_and_what_is_told_of_them(reported) -> None:
    options, folder = reported["mgoe"], folder_of(reported["mgoe"])
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert [e.tensor_name for e in config.embeddings] == ["items", "macro nodes"]
    facts = evaluator_of(options)[1]
    model, lookup = facts.loaded.model, facts.loaded.lookup
    head, *labels = rows_of(folder / "items_labels.tsv")
    assert head == ["item", "macro node", "rows", "click rate", "buy rate"]
    points = np.array(rows_of(folder / "items.tsv"), float)
    assert len(points) == len(labels) <= projector.MOST_ITEMS
    ids = vocabulary.read_ids(options.data_dir, facts.spec, "item_id")
    rows = facts.scored.rows
    for point, (item, macro, number, click, _) in list(zip(points, labels, strict=True))[::9]:
        embedded = lookup.rows("item_id", tf.constant([item])).numpy()[0]
        table = model.embeddings.tables["item_id"].numpy()
        np.testing.assert_allclose(point, table[embedded], atol=1e-5)
        own = rows.nodes["item"] == list(map(bytes.decode, ids)).index(item)
        assert int(number) == own.sum()
        assert macro == f"group {rows.macro['item'][own][0]}"
        mean = rows.labels["click"].mean()
        expected = (rows.labels["click"][own].sum() + 10 * mean) / (own.sum() + 10)
        assert float(click) == pytest.approx(expected, rel=1e-4)
    head, *labels = rows_of(folder / "macro_nodes_labels.tsv")
    points = np.array(rows_of(folder / "macro_nodes.tsv"), float)
    # of 4 groups of users and 5 of items by 2 tasks
    assert len(points) == len(labels) == (4 + 5) * 2
    assert labels[0][:4] == ["user 0 click", "user", "group 0", "click"]
    table = model.macro_embeddings()["item"].numpy()
    np.testing.assert_allclose(points[-1], table[1, 4], atol=1e-5)
    members = {row[0]: int(row[4]) for row in labels}
    assert sum(members[f"item {node} buy"] for node in range(5)) == (
        facts.graph.sizes["item"].sum()
    )


def test_a_model_without_macro_nodes_has_items_alone(reported) -> None:
    folder = folder_of(reported["mmoe"])
    assert (folder / "items.tsv").exists()
    assert not (folder / "macro_nodes.tsv").exists()
    found = [v.tag for _, v in values_of(folder)]
    assert "gates/gates" in found
    assert not [tag for tag in found if tag.startswith(("attention/", "macro_graph/"))]


def test_what_is_written_follows_from_the_checkpoint_alone(reported, train_options) -> None:
    """A run that went on from its first epoch has the files of one that never stopped."""
    options = train_options(model="mmoe", report=True)
    train_small(options)
    first = {p.name for p in folder_of(options).iterdir()}
    train_small(dataclasses.replace(options, epochs=2, resume=True))
    assert len(list(folder_of(options).glob("events.*"))) == 1
    assert len(first) == len(list(folder_of(options).iterdir()))

    def contents(folder: pathlib.Path) -> list[tuple[int, str, bytes]]:
        return [(s, v.tag, v.tensor.SerializeToString()) for s, v in values_of(folder)]

    ours, whole = folder_of(options), folder_of(reported["mmoe"])
    assert contents(ours) == contents(whole)
    for name in ("items.tsv", "items_labels.tsv"):
        assert (ours / name).read_text() == (whole / name).read_text()
