"""Exports a trained model: python -m export.savedmodel --model_dir=DIR --export_base=BASE

Writes BASE/<model_name>/<version>/, a SavedModel for TensorFlow Serving, `export.serve` or plain
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from export import publication, warmup
from export.client import Input, join
from export.signatures import CHECK_FINITE, ServedModel, score_weights
from export.snapshot import GraphSnapshot
from input_pipeline import filesystem, options
from input_pipeline.example_rows import first_examples
from input_pipeline.options import option
from input_pipeline.parsing import parse_examples
from input_pipeline.spec import SPEC_FILE
from mgoe_tf import checkpoints

TOLERANCE = 1e-5  # what an export may differ from Keras, in any probability
COMPARED_ROWS = 1000
_TEST_METRICS = "metrics_test.json"


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and where to."""

    model_dir: str = option("", "Trained model, as `mgoe_tf.train` wrote it; required.")
    export_base: str = option(
        "",
        "Directory of exported models, local or remote; required. A version is written to "
        "<export_base>/<model_name>/<version>.",
    )
    model_name: str = option("mgoe", "Name of the model under --export_base and on servers.")
    version: int | None = option(
        None, "A positive integer that is not there yet. Default: the time in seconds."
    )
    data_dir: str | None = option(
        None,
        "Data set of the model. If given, the export is compared with the Keras model on "
        "validation rows before it is published, and warm-up requests are made of real rows.",
    )
    snapshot: str = option("latest", "Graph of --data_dir that the warm-up requests are made of.")
    keep: int = option(3, "Newest versions to keep; older ones are removed. 0: keep all.")
    score_weights: tuple[float, ...] | None = option(
        None,
        "Weights of the tasks in the output `score`, their weighted geometric mean, in task "
        "order. Default: equal.",
    )
    check_finite: str = option(
        "row",
        "What becomes of a row with NaN, infinite or negative edge weights. row: it alone is "
        "answered with NaN. batch: its request is refused, for servers without batching.",
        CHECK_FINITE,
    )

    def __post_init__(self) -> None:
        for name in ("model_dir", "export_base", "model_name"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must be given, got ''")
        if "/" in self.model_name or self.model_name.startswith("."):
            raise ValueError(f"--model_name: must be a plain name, got {self.model_name!r}")
        if self.version is not None and self.version < 1:
            raise ValueError(f"--version: must be at least 1, got {self.version}")
        if self.keep < 0:
            raise ValueError(f"--keep: must be at least 0, got {self.keep}")


def export(export_options: ExportOptions) -> str:
    """Exports the best checkpoint of a model directory and returns the path of the new version.

    Raises:
      ValueError: no such model; a data set that is not the model's; a version that exists; an
        export that answers otherwise than the Keras model. Nothing is published then.
    """
    loaded = checkpoints.load_model(export_options.model_dir)
    served = ServedModel(
        model=loaded.model,
        lookup=loaded.lookup,
        spec=loaded.spec,
        weights=export_options.score_weights,
        check_finite=export_options.check_finite,
    )
    snapshot = None
    if export_options.data_dir is not None:
        snapshot = GraphSnapshot(export_options.data_dir, export_options.snapshot)
        checkpoints.require_same_data(loaded.spec, snapshot.spec, export_options.data_dir)
    base_path = filesystem.join(export_options.export_base, export_options.model_name)
    filesystem.prepare_remote(base_path)
    publication.choose_version(base_path, export_options.version)  # fails early where it exists
    temporary = filesystem.temporary_sibling(base_path)
    try:
        _save(served, temporary)
        _write_extra(temporary, export_options, loaded, served, snapshot)
        if export_options.data_dir is not None:
            compare(temporary, loaded, export_options)
        version = publication.publish(temporary, base_path, export_options.version)
    finally:
        if filesystem.exists(temporary):
            filesystem.remove_tree(temporary)
    for old in publication.prune(base_path, export_options.keep):
        logging.info("removed version %d: --keep=%d", old, export_options.keep)
    return filesystem.join(base_path, str(version))


def _save(served: ServedModel, folder: str) -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))  # it tells of each renamed input
    try:
        tf.saved_model.save(served, folder, signatures=served.signatures())
    finally:
        logging.set_verbosity(verbosity)


def _write_extra(
    folder: str,
    export_options: ExportOptions,
    loaded: checkpoints.LoadedModel,
    served: ServedModel,
    snapshot: GraphSnapshot | None,
) -> None:
    extra = filesystem.join(folder, "assets.extra")
    filesystem.make_dirs(extra)
    filesystem.write_bytes(filesystem.join(extra, SPEC_FILE), loaded.spec.to_json().encode())
    metrics = {"validation": loaded.metrics}
    test_path = filesystem.join(export_options.model_dir, _TEST_METRICS)
    if filesystem.exists(test_path):
        metrics["test"] = json.loads(filesystem.read_text(test_path))
    text = json.dumps(metrics, indent=2) + "\n"
    filesystem.write_bytes(filesystem.join(extra, "evaluation.json"), text.encode())
    warmup.write(
        filesystem.join(extra, warmup.FILE),
        export_options.model_name,
        _warmup_rows(served, snapshot),
        served.features,
    )


def _warmup_rows(served: ServedModel, snapshot: GraphSnapshot | None) -> Mapping[str, np.ndarray]:
    """Rows like a client's: a user with popular items; rows of nobody without a data set."""
    if snapshot is None:
        return warmup.cold_rows(served.features, 1)
    user_id = snapshot.known_ids("user")[:1]
    items = snapshot.popular_items(max(warmup.BATCH_SIZES))
    return join(snapshot, user_id, items, {f.name: Input.of(f) for f in served.features})


def compare(
    export_dir: str, loaded: checkpoints.LoadedModel, export_options: ExportOptions
) -> float:
    """The largest difference of the export from the Keras model, on validation rows.

    Raises:
      ValueError: it is above TOLERANCE.
    """
    assert export_options.data_dir is not None
    serialized = first_examples(export_options.data_dir, "validation", COMPARED_ROWS)
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    raw = parse_examples(serialized, features)
    logits = loaded.model(loaded.lookup(raw), training=False)
    expected = {
        task: tf.sigmoid(tf.cast(value, tf.float32)).numpy() for task, value in logits.items()
    }
    weights = score_weights(export_options.score_weights, len(loaded.spec.tasks))
    expected["score"] = np.prod(
        [
            expected[task] ** weight
            for task, weight in zip(loaded.spec.task_names, weights, strict=True)
        ],
        axis=0,
    )
    signatures = tf.saved_model.load(export_dir).signatures
    worst = 0.0
    for name, inputs in (("serving_default", raw), ("examples", {"examples": serialized})):
        outputs = signatures[name](**inputs)
        for output, values in expected.items():
            difference = float(np.max(np.abs(outputs[output].numpy() - values)))
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"not published: {output} of signature {name} differs from the Keras model by "
                    f"{difference:.3g} on validation rows, at most {TOLERANCE:g} is allowed"
                )
            worst = max(worst, difference)
    logging.info("the export and the Keras model differ by at most %.3g", worst)
    return worst


def main() -> None:
    """The command."""
    options.define_flags(ExportOptions, flags.FLAGS)
    filesystem.run_main(lambda: app.run(_run))


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")
    tf.get_logger().setLevel("ERROR")
    print(f"exported {export(options.from_flags(ExportOptions, flags.FLAGS))}")


if __name__ == "__main__":
    main()
