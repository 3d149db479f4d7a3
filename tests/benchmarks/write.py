"""Suite `write`: rows to gzip TFRecord shards, beside a loop over tf.train.Example."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from input_pipeline.engines.dataset_writer import ENCODERS
from input_pipeline.engines.merging_graph import MergingGraph

from input_pipeline.features import registry
from input_pipeline.files import filesystem
from input_pipeline.graph.node_table import ListColumn, NodeTable
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.rows import Rows, add_negatives, group_pairs
from input_pipeline.records import example_encoder as examples
from input_pipeline.records.shards import ShardWriter
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory
from tests.benchmarks.planted import Planted

_LOOP_ROWS = 2_000


def run(context: Context) -> list[Line]:
    """Rows a second of one window, with the encoding of its users and items."""
    log = Planted.of(context.preparation(data_dir=context.folder))
    window = log.interactions.windows.num_windows - 3
    rows, nodes = window_rows(log, window)
    loop_rows = rows.take(np.random.default_rng(0).permutation(len(rows))[:_LOOP_ROWS])
    with tempfile.TemporaryDirectory(dir=context.folder) as folder:
        filesystem.make_dirs(filesystem.join(folder, "examples"))

        def ours() -> float:
            start = time.perf_counter()
            write_shards(log, rows, nodes, folder)
            return len(rows) / (time.perf_counter() - start)

        def loop() -> float:
            start = time.perf_counter()
            with tf.io.TFRecordWriter(filesystem.join(folder, "loop"), "GZIP") as writer:
                for example in looped_examples(log, loop_rows, nodes):
                    writer.write(example.SerializeToString())
            return len(loop_rows) / (time.perf_counter() - start)

        with peak_memory() as peak:
            ours()
        samples = alternate({"ours": ours, "loop": loop}, context.scale.rounds)
        written = filesystem.glob(filesystem.join(folder, "examples", "*"))
        size = sum(tf.io.gfile.stat(path).length for path in written)
    sizes = {"rows": len(rows), "users": len(nodes["user"]), "items": len(nodes["item"])}
    compressed = {"compressed bytes a row": size / len(rows)}
    fast, many = Goal("ours", at_least=100_000), Goal("ratio", at_least=30)
    peer = "tf.train.Example loop"
    return [
        Line("gzip TFRecord shards", "rows/s", samples["ours"], goal=fast,
             details={**sizes, **compressed}),
        Line("the same, beside the loop", "rows/s", samples["ours"], samples["loop"], peer, many,
             {**sizes, "rows of the loop": len(loop_rows)}),
        Line("peak memory of the process", "GB", [peak.gigabytes],
             details={**sizes, "before the call": peak.before_gigabytes}),
    ]  # fmt: skip


def window_rows(log: Planted, window: int) -> tuple[Rows, dict[str, NodeTable]]:
    """The pairs and negatives of a window, and the users and items that they read."""
    past = log.past(window)
    with tempfile.TemporaryDirectory(dir=log.preparation.data_dir) as folder:
        filesystem.make_dirs(filesystem.join(folder, "graph"))
        graph = MergingGraph(log.interactions, log.facts, log.spec, log.preparation, folder)
        snapshot = graph.write(str(window), past)
    sizes = {owner: int(log.interactions.ids[owner].known[window]) for owner in OWNERS}
    nodes = registry.tables_for_window(snapshot.tables, past, sizes)
    past.add_window()
    part = log.interactions.windows.slice(window)
    events = log.interactions.events.take(np.arange(part.start, part.stop))
    rows, _ = add_negatives(
        group_pairs(events, log.interactions.num_items),
        events.item,
        past.touched_keys(),
        log.interactions.num_items,
        log.preparation.negatives,
        log.preparation.negative_power,
        np.random.default_rng(0),
    )
    return rows, nodes


def write_shards(log: Planted, rows: Rows, nodes: dict[str, NodeTable], folder: str) -> None:
    """The rows as a data set holds them, under `folder`."""
    encoded = {
        name: examples.encode_values(column.values)
        for name, (_, column) in log.interactions.vocabularies.items()
    }
    payloads = {
        owner: examples.node_payloads(log.spec, owner, nodes[owner], encoded) for owner in OWNERS
    }
    options = log.preparation
    encoder = ENCODERS[log.spec.record_layout](
        log.spec, rows, payloads, np.random.default_rng(options.seed)
    )
    with ShardWriter(folder, options.num_shards, options.num_workers, options.seed) as shards:
        shards.add("train", encoder)
        shards.finish()


def looped_examples(
    log: Planted, rows: Rows, nodes: dict[str, NodeTable]
) -> Iterator[tf.train.Example]:
    """The same rows one by one, without their timestamps."""
    columns = log.interactions.vocabularies
    for user, item, positive in zip(rows.user, rows.item, rows.positive.tolist(), strict=True):
        feature = {}
        for owner, node in (("user", user), ("item", item)):
            for of_row in log.spec.select(owner):
                ids = columns[of_row.vocabulary][1].values if of_row.vocabulary else None
                if of_row.role == "id":
                    feature[of_row.name] = _ids(ids[node : node + 1])
                    continue
                column = nodes[owner][of_row.column]
                if isinstance(column, ListColumn):
                    part = slice(column.indptr[node], column.indptr[node + 1])
                    values = column.arrays["weights" if ids is None else "rows"][part]
                else:
                    values = np.ravel(column.values[node])
                values = values if ids is None else ids[values]
                feature[of_row.name] = (_floats if of_row.dtype == "float" else _ids)(values)
        for task, name in enumerate(log.spec.task_names):
            feature[f"label_{name}"] = _floats(np.array([positive >> task & 1]))
        yield tf.train.Example(features=tf.train.Features(feature=feature))


def _ids(values: np.ndarray) -> tf.train.Feature:
    if values.dtype == object:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _floats(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
