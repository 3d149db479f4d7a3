"""Exports a trained model: python -m export.savedmodel --model_dir=DIR --export_base=BASE

Writes BASE/<model_name>/<version>/, a SavedModel for TensorFlow Serving, `export.serve` or plain
TensorFlow. It is made, compared and replayed in a local directory, and only then renamed into
place, or copied where BASE is remote; so a server sees it whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging
from numpy.typing import NDArray

from export import gates, publication, warmup
from export.client import Input
from export.client.batch_sizes import MAX_BATCH_SIZE
from export.client.ranking import join
from export.client.snapshot import GraphSnapshot
from export.graph_tables import table_bytes
from export.options import ExportOptions
from export.score_weights import weights_of_trained
from export.server.loading import load_servable
from export.signatures import METHOD_NAMES, ServedModel
from input_pipeline.commands.command import run_command
from input_pipeline.feature import NODES
from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing
from input_pipeline.files.paths import require_apart
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.log.raw_ids import as_array
from input_pipeline.spec import SPEC_FILE
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.node_network import NodeNetwork
from mgoe_tf.training import checkpoints, selection
from mgoe_tf.training.trained_tasks import trained_tasks

SIGNATURES_FILE = "signatures.json"
TABLES = "tables"  # in evaluation.json, where the graph's tables are not float32


def export(export_options: ExportOptions) -> str:
    """Exports the best checkpoint of a model directory and returns the path of the new version.

    Raises:
      ValueError: no such model; a data set that is not the model's; a version that exists; an
        export that answers otherwise than the Keras model, or not at all, or that is worse than
        the bounds allow. Nothing is published then.
    """
    base_path = filesystem.join(export_options.export_base, export_options.model_name)
    directories = {"export_base": base_path, "model_dir": export_options.model_dir}
    if export_options.data_dir is not None:
        directories["data_dir"] = export_options.data_dir
    require_apart(directories)
    loaded = checkpoints.load_model(export_options.model_dir)
    metrics = _metrics(export_options, loaded)
    gates.check_metrics(metrics, base_path, export_options.min_auc, export_options.max_auc_drop)
    snapshot = None
    if export_options.data_dir is not None:
        snapshot = GraphSnapshot(export_options.data_dir, export_options.snapshot)
        checkpoints.require_same_data(loaded.spec, snapshot.spec, export_options.data_dir)
    weights = _checked_weights(loaded, export_options)
    if export_options.id_table_dtype == "float16":
        _round_id_tables(loaded, snapshot)
    network = None if snapshot is None else _node_network(loaded.model, export_options)
    absent = _why_without_graph(loaded, snapshot, network, export_options)
    for name, reason in absent.items():
        logging.info("signature %s is left out: %s", name, reason)
    served = ServedModel(
        model=loaded.model,
        lookup=loaded.lookup,
        spec=loaded.spec,
        weights=weights,
        check_finite=export_options.check_finite,
        snapshot=None if "rank_ids" in absent else snapshot,
        network=network,
        table_dtype=export_options.table_dtype,
        id_table_dtype=export_options.id_table_dtype,
    )
    for name, size in served.table_bytes.items():
        logging.info("table of %s: %s bytes", name, f"{size:,}")
    filesystem.prepare_remote(base_path)
    publication.choose_version(base_path, export_options.version)  # fails early where it exists
    temporary = temporary_directory(base_path)
    try:
        signatures = served.signatures()
        _save(served, signatures, temporary)
        extra = filesystem.join(temporary, "assets.extra")
        filesystem.make_dirs(extra)
        filesystem.write_bytes(filesystem.join(extra, SPEC_FILE), loaded.spec.to_json().encode())
        _write_json(filesystem.join(extra, gates.METRICS_FILE), metrics)
        told = {"signatures": sorted(signatures), "absent": absent}
        _write_json(filesystem.join(extra, SIGNATURES_FILE), told)
        rows = _warmup_rows(served, snapshot)
        requests = warmup.WarmupRequests(
            export_options.model_name, rows, served.features, sorted(signatures)
        )
        with doing("writing warm-up requests to", extra):
            requests.write(filesystem.join(extra, warmup.FILE))
        if snapshot is not None:
            table_dtype = export_options.table_dtype
            gates.compare(temporary, loaded, snapshot, weights, table_dtype)
            if table_dtype != "float32" and "rank_ids" in signatures:
                metrics[TABLES] = {
                    "dtype": table_dtype,
                    "tasks": gates.table_loss(temporary, loaded, snapshot),
                }
                _tell(metrics[TABLES])
                _write_json(filesystem.join(extra, gates.METRICS_FILE), metrics)
        _replay(temporary)
        version = publication.publish(temporary, base_path, export_options.version)
    finally:
        filesystem.remove_tree_quietly(temporary)
    for old in publication.prune(base_path, export_options.keep):
        logging.info("removed version %d: --keep=%d", old, export_options.keep)
    return filesystem.join(base_path, str(version))


def _node_network(model: RankingModel, export_options: ExportOptions) -> NodeNetwork | None:
    hashes = any(model.spec.vocabulary(f"{owner}_id").hash_rows for owner in NODES)
    # Half precision would be folded with other roundings; an id that is hashed has a state of its
    # own, which no table holds.
    if export_options.node_state == "none" or model.compute_dtype != "float32" or hashes:
        return None
    return model.node_network()


def _metrics(export_options: ExportOptions, loaded: checkpoints.LoadedModel) -> dict[str, Any]:
    metrics = {"validation": loaded.metrics}
    test = checkpoints.read_metrics(export_options.model_dir, "test")
    return metrics if test is None else metrics | {"test": test}


def _checked_weights(
    loaded: checkpoints.LoadedModel, export_options: ExportOptions
) -> tuple[float, ...] | None:
    """The weights of the tasks in the score; warns of what the model could not learn or choose."""
    if loaded.metrics is not None and (warning := selection.warning(loaded.metrics)):
        logging.warning("the exported epoch: %s", warning)
    trained = trained_tasks(loaded.spec, loaded.train_options)
    empty = [task for task in loaded.spec.task_names if task not in trained]
    if empty:
        logging.warning(
            "%s: no positive label in the training rows, served but left out of the score",
            ", ".join(empty),
        )
    return weights_of_trained(export_options.score_weights, loaded.spec.task_names, trained)


def _round_id_tables(loaded: checkpoints.LoadedModel, snapshot: GraphSnapshot | None) -> None:
    """Rounds the id tables to what float16 can hold, and tells what that changes."""
    data_dir = None if snapshot is None else snapshot.data_dir
    before = None if data_dir is None else gates.validation_answers(loaded, data_dir)
    for table in loaded.model.embeddings.variables:
        table.assign(tf.cast(tf.cast(table, tf.float16), tf.float32))
    if data_dir is None or before is None:
        return
    after = gates.validation_answers(loaded, data_dir)
    change = max(float(abs(after[name] - before[name]).max()) for name in before)
    logging.info("id tables in float16 change answers on validation rows by at most %.3g", change)


def _why_without_graph(
    loaded: checkpoints.LoadedModel,
    snapshot: GraphSnapshot | None,
    network: NodeNetwork | None,
    export_options: ExportOptions,
) -> dict[str, str]:
    """The signatures that the export will not have, and why."""
    absent = {}
    if not loaded.model.explains:
        absent["explain"] = f"{loaded.train_options.model} does not explain what it answers"
    if snapshot is None:
        reason = "no graph was given (--data_dir)"
    else:
        tables = table_bytes(snapshot, loaded.model, network, export_options.table_dtype)
        size = sum(tables.values())
        if size <= export_options.max_graph_bytes:
            return absent
        reason = (
            f"the graph would take {size:,} bytes in the model, more than "
            f"--max_graph_bytes={export_options.max_graph_bytes}"
        )
    return dict.fromkeys(("rank_ids", "known_ids", "explain"), reason) | absent


def _tell(loss: Mapping[str, Any]) -> None:
    """What tables of fewer bits cost."""
    for task, of in loss["tasks"].items():
        lost = "unknown" if of["auc_lost"] is None else f"{of['auc_lost']:+.6f}"
        logging.info(
            "%s tables: %s loses %s of AUC, probabilities change by at most %.3g",
            loss["dtype"], task, lost, of["largest_difference"],
        )  # fmt: skip


def _save(served: ServedModel, signatures: Mapping[str, Any], folder: str) -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))  # it tells of each renamed input
    with doing("writing the model to", folder):
        try:
            tf.saved_model.save(served, folder, signatures=signatures)
        finally:
            logging.set_verbosity(verbosity)
        # `save` calls every signature a prediction; servers refuse Classify and Regress on those.
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(folder)
        for name, method_name in METHOD_NAMES.items():
            updater.replace_method_name(signature_key=name, method_name=method_name)
        updater.save()


def _write_json(path: str, contents: Mapping[str, Any]) -> None:
    filesystem.write_bytes(path, (json.dumps(contents, indent=2) + "\n").encode())


def _warmup_rows(served: ServedModel, snapshot: GraphSnapshot | None) -> Mapping[str, NDArray[Any]]:
    """Rows like a client's: a user with popular items; rows of nobody without a data set."""
    if snapshot is None:
        return warmup.cold_rows(served.features, 1)
    user_id = as_array(snapshot.known_ids("user")[:1])
    items = snapshot.popular_items(MAX_BATCH_SIZE)
    return join(snapshot, user_id, items, {f.name: Input.of(f) for f in served.features})


def _replay(folder: str) -> None:
    """Loads the export as a server would, which answers its warm-up requests."""
    try:
        load_servable(1, folder).unload()
    except Exception as error:
        raise ValueError(
            f"not published: the export does not answer its warm-up requests: {error}"
        ) from error


def _export(export_options: ExportOptions) -> None:
    tf.get_logger().setLevel("ERROR")
    print(f"exported {export(export_options)}")


def main() -> None:
    """The command."""
    run_command(_export, ExportOptions, doc=__doc__)


if __name__ == "__main__":
    main()
