"""Suite `write`: rows to gzip TFRecord shards, beside a loop over tf.train.Example."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from input_pipeline.engines.local.merging_graph import MergingGraph
from input_pipeline.engines.local.window_nodes import WindowNodes
from input_pipeline.engines.local.window_writer import ENCODERS
from input_pipeline.files import filesystem, patterns
from input_pipeline.graph.node_table import ListColumn
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.raw_ids import as_array
from input_pipeline.log.rows import Rows, add_negatives, group_pairs
from input_pipeline.records.example_encoder import node_payloads
from input_pipeline.records.shards import ShardWriter
from input_pipeline.records.wire_format import encode_values
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
        written = patterns.glob(filesystem.join(folder, "examples", "*"))
        size = sum(tf.io.gfile.stat(path).length for path in written)
    sizes = {"rows": len(rows), **{f"{o}s": len(found) for o, found in nodes.nodes.items()}}
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


def window_rows(log: Planted, window: int) -> tuple[Rows, WindowNodes]:
    """The pairs and negatives of a window, and the users and items that they read."""
    past = log.past(window)
    with tempfile.TemporaryDirectory(dir=log.preparation.data_dir) as folder:
        filesystem.make_dirs(filesystem.join(folder, "graph"))
        graph = MergingGraph(log.interactions, log.facts, log.spec, log.preparation, folder)
        graph.pairs(str(window), past)
        graph.group()
        graph.edges(str(window))
    events = log.interactions.events.take(log.interactions.windows.slice(window))
    nodes = WindowNodes.of(events, graph.tables, past)
    past.add_window()
    rows, _ = add_negatives(
        group_pairs(events, log.interactions.num_items),
        events.item,
        past.touched_keys(),
        log.interactions.num_items,
        log.preparation.negatives,
        log.preparation.negative_power,
        (0,),
    )
    return rows, nodes


def write_shards(log: Planted, rows: Rows, nodes: WindowNodes, folder: str) -> None:
    """The rows as a data set holds them, under `folder`."""
    encoded = {
        name: encode_values(column.values)
        for name, (_, column) in log.interactions.vocabularies.items()
    }
    payloads = {
        owner: node_payloads(log.spec, owner, nodes.tables[owner], encoded, nodes.nodes[owner])
        for owner in OWNERS
    }
    options = log.preparation
    encoder = ENCODERS[log.spec.record_layout](
        log.spec, rows, nodes.places(rows), payloads, np.random.default_rng(options.seed)
    )
    with ShardWriter(folder, options.num_shards, options.num_workers, options.seed) as shards:
        shards.add("train", encoder)
        shards.finish()


def looped_examples(log: Planted, rows: Rows, nodes: WindowNodes) -> Iterator[tf.train.Example]:
    """The same rows one by one, without their timestamps."""
    columns = log.interactions.vocabularies
    places = nodes.places(rows)
    for row, positive in enumerate(rows.positive.tolist()):
        feature = {}
        for owner in OWNERS:
            node = places[owner][row]
            for of_row in log.spec.select(owner):
                ids = as_array(columns[of_row.vocabulary][1].values) if of_row.vocabulary else None
                if of_row.role == "id":
                    which = nodes.nodes[owner][node]
                    feature[of_row.name] = _ids(ids[which : which + 1])
                    continue
                column = nodes.tables[owner][of_row.column]
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
