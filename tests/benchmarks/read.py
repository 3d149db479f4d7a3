"""Suite `read`: TFRecords to parsed, shuffled batches, beside reading the same records unparsed.

Layouts are compared on the train window, beside which beginning an epoch takes no time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from input_pipeline.dataset import Examples, open_examples
from input_pipeline.records.example_parsing import DTYPES, parsing_rule
from input_pipeline.records.packing import Packing
from input_pipeline.records.sources import in_parallel
from input_pipeline.spec import RECORD_LAYOUTS, DatasetSpec, read_spec
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate

_BATCH_SIZE = 1024
_SHUFFLE_ROWS = 100_000
_WINDOW, _LONG_WINDOW = "test", "train"


def run(context: Context) -> list[Line]:
    """Rows a second of one window, with every feature and label, by layout of the records."""
    measures: dict[str, Callable[[], float]] = {}
    details: dict[str, dict[str, float]] = {}
    for layout in RECORD_LAYOUTS:
        data_dir = context.data_dir(layout)
        spec = read_spec(data_dir)
        names = [feature.name for feature in spec.input_features]
        examples = open_examples(data_dir, spec, [_WINDOW], names)
        size = sum(tf.io.gfile.stat(path).length for path in examples.files)
        details[layout] = {
            "rows": examples.num_rows,
            "compressed bytes a row": size / examples.num_rows,
        }
        measures[layout] = _rate(examples.num_rows, _shuffled(examples))
        measures[f"{layout} unparsed"] = _rate(examples.num_rows, _unparsed(examples.files))
        measures[f"{layout} limit"] = _rate(examples.num_rows, _parsed_alone(examples, spec))
        long = open_examples(data_dir, spec, [_LONG_WINDOW], names)
        measures[f"{layout} long"] = _rate(long.num_rows, _shuffled(long))
    samples = alternate(measures, context.scale.rounds, warm_ups=1)
    lines = [
        Line(f"{layout} layout", "rows/s", samples[layout], samples[f"{layout} unparsed"],
             "its records unparsed", Goal("ratio", at_least=0.85) if layout == "example" else None,
             details[layout])
        for layout in RECORD_LAYOUTS
    ]  # fmt: skip
    lines += [
        Line(f"{layout} layout", "rows/s", samples[layout], samples[f"{layout} limit"],
             "its records parsed, no more")
        for layout in RECORD_LAYOUTS
    ]  # fmt: skip
    lines.append(
        Line("request layout, train window", "rows/s", samples["request long"],
             samples["example long"], "example layout", Goal("ratio", at_least=3))
    )  # fmt: skip
    return lines


def _rate(rows: int, batches: tf.data.Dataset) -> Callable[[], float]:
    """What measures rows a second over one epoch; the dataset is traced before that."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in batches:
            pass
        return rows / (time.perf_counter() - start)

    return measure


def _shuffled(examples: Examples) -> tf.data.Dataset:
    return examples.shuffled_batches(
        min(_BATCH_SIZE, examples.num_rows),
        shuffle_rows=_SHUFFLE_ROWS,
        seed=0,
        epoch=0,
        encode=lambda parsed: parsed,
    )


def _unparsed(files: tuple[str, ...]) -> tf.data.Dataset:
    """The same records in batches of strings, from as many files at a time."""
    records = tf.data.Dataset.from_tensor_slices(list(files)).interleave(
        lambda path: tf.data.TFRecordDataset(path, "GZIP"),
        cycle_length=len(files),
        block_length=32,
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return in_parallel(records.batch(_BATCH_SIZE))


def _parsed_alone(examples: Examples, spec: DatasetSpec) -> tf.data.Dataset:
    """The parsing operation on each file's records as they come: what no reader can beat.

    Its batches are one of the operation's outputs, which spares Python the rest.
    """
    rules = {f.name: parsing_rule(f) for f in (*examples.labels, *examples.features)}
    output, records = examples.labels[0].name, _BATCH_SIZE
    if spec.record_packing:
        packs = Packing.of(spec, "the data set").packs
        rules = {p.name: tf.io.RaggedFeature(DTYPES[p.dtype]) for p in packs}
        output, records = packs[0].name, 256

    def parse(serialized: tf.Tensor) -> tf.Tensor:
        found = tf.io.parse_example(serialized, rules)[output]
        return found.flat_values if isinstance(found, tf.RaggedTensor) else found

    batches = tf.data.Dataset.from_tensor_slices(list(examples.files)).interleave(
        lambda path: tf.data.TFRecordDataset(path, "GZIP").batch(records),
        cycle_length=len(examples.files),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return in_parallel(batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE))
