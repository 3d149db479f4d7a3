"""The model directory: options, data set spec, vocabulary, checkpoints and metrics of one run.

Long, because one module says how a directory is begun, checked and read.

<model_dir>/
  config.json               model options, training options, checksums of the assets
  dataset_spec.json         of the data set that the model was trained on
  vocabulary/<name>.txt     the ids that have a row in an embedding table, one a line; none of
                            those that are hashed
  assets/                   copies of what the model needs of the data set, if it needs anything;
                            made/, what it made of them
  checkpoints/latest/       what --resume goes on from
  checkpoints/best/         the model after its best epoch by validation
  events/                   TensorBoard logs
  run.json                  versions, host and times of the run
  metrics_validation.json   of the best epoch
  metrics_test.json         of the best epoch, at the end of training
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.files.failures import FileError, reason
from input_pipeline.files.json_file import read_json
from input_pipeline.files.literal_path import literal_path
from input_pipeline.log import vocabulary
from input_pipeline.spec import SPEC_FILE, DatasetSpec, read_spec
from mgoe_tf.layers import row_order
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.options import ModelOptions, from_json
from mgoe_tf.models.registry import build_model, model_class
from mgoe_tf.training import assets
from mgoe_tf.training.options import TrainOptions

CONFIG_FILE = "config.json"
# Flags of preparation on which no row depends.
_FREE_FLAGS = frozenset({"data_dir", "input", "num_workers"})


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A trained model and what belongs to it.

    Attributes:
      model: restored from a checkpoint.
      lookup: raw ids -> the rows of the model's embedding tables.
      spec: of the data set that it was trained on.
      model_options, train_options: as it was trained.
      metrics: of the validation window, None where no epoch has been finished.
    """

    model: RankingModel
    lookup: IdLookup
    spec: DatasetSpec
    model_options: ModelOptions
    train_options: TrainOptions
    metrics: dict[str, Any] | None


def holds_run(model_dir: str) -> bool:
    """Whether a run was begun in a model directory."""
    return filesystem.exists(filesystem.join(model_dir, CONFIG_FILE))


def holds_checkpoint(model_dir: str) -> bool:
    """Whether there is something that a run can go on from."""
    latest = filesystem.join(model_dir, "checkpoints", "latest", "checkpoint")
    return holds_run(model_dir) and filesystem.exists(latest)


def write_json(path: str, contents: Any) -> None:
    """Writes a JSON file whole: a reader never sees half of one."""
    filesystem.write_text(path, json.dumps(contents, indent=2) + "\n")


def read_trained_spec(train_options: TrainOptions) -> DatasetSpec:
    """The spec of a run's data set, with hashed ids where the run hashes them.

    Raises:
      ValueError: the data set leaves out rare ids, which no hashed table does.
    """
    spec = read_spec(train_options.data_dir)
    if train_options.hash_rows and spec.flags["min_count"] > 1:
        raise ValueError(
            "--id_tables: must be vocabulary for a data set of --min_count="
            f"{spec.flags['min_count']}, got hashed: there every id has its rows; prepare without "
            "--min_count"
        )
    return spec.with_hashed_ids(train_options.hash_rows)


def write_run(
    model_dir: str,
    spec: DatasetSpec,
    model_options: ModelOptions,
    train_options: TrainOptions,
    made: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Begins a model directory; config.json comes last and makes it one.

    Args:
      model_dir: local or remote.
      spec, model_options, train_options: of the run.
      made: `RankingModel.made_assets` of its model, for later constructions.
    """
    folder = filesystem.join(model_dir, "vocabulary")
    filesystem.make_dirs(folder)
    hashed = {column.name for column in spec.vocabularies if column.hash_rows}
    for column in spec.vocabularies:
        if column.name in hashed:
            continue
        lines = vocabulary.embedded_lines(train_options.data_dir, spec, column.name)
        filesystem.write_bytes(filesystem.join(folder, f"{column.name}.txt"), lines)
    for owner in ("user", "item"):
        for name in spec.side_columns(owner) if not hashed else ():
            rows = vocabulary.embedded_side_feature(train_options.data_dir, spec, name)
            filesystem.save_array(filesystem.join(folder, f"{name}.npy"), rows)
    filesystem.write_bytes(filesystem.join(model_dir, SPEC_FILE), spec.to_json().encode())
    names = model_class(train_options.model).assets(spec)
    config = {
        "model_options": dataclasses.asdict(model_options),
        "train_options": dataclasses.asdict(train_options),
        "assets": assets.copy_assets(train_options.data_dir, model_dir, names)
        | assets.write_made(model_dir, made or {}),
    }
    write_json(filesystem.join(model_dir, CONFIG_FILE), config)


def read_metrics(model_dir: str, split: str) -> dict[str, Any] | None:
    """The metrics of the best epoch on a window; None where it was not evaluated there.

    Raises:
      ValueError: the file is damaged.
    """
    path = filesystem.join(model_dir, f"metrics_{split}.json")
    if not filesystem.exists(path):
        return None
    advice = "Delete it, and train on with --resume or evaluate with mgoe_tf.evaluate to have it"
    return read_json(path, f"{advice} again")


def read_options(model_dir: str) -> tuple[ModelOptions, TrainOptions]:
    """The options of a run, the model's of the class that its model is registered with.

    Raises:
      ValueError: `model_dir` holds no run, or one whose options are others.
    """
    config, path = _read_config(model_dir)
    train_options = from_json(TrainOptions, config["train_options"], path)
    try:
        options_class = model_class(train_options.model).options_class
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return from_json(options_class, config["model_options"], path), train_options


def read_checksums(model_dir: str) -> dict[str, str]:
    """The SHA-256 of the assets of a run, by their names."""
    return _read_config(model_dir)[0]["assets"]


def _read_config(model_dir: str) -> tuple[dict[str, Any], str]:
    if not holds_run(model_dir):
        raise ValueError(f"--model_dir={model_dir} holds no trained model: no {CONFIG_FILE} there")
    path = filesystem.join(model_dir, CONFIG_FILE)
    config = read_json(
        path,
        "Without it the directory is no trained model: put a copy back, or train into another one",
    )
    known = {"model_options", "train_options", "assets"}
    if not isinstance(config, dict) or set(config) != known:
        found = sorted(config) if isinstance(config, dict) else type(config).__name__
        raise ValueError(f"{path}: must hold {sorted(known)}, got {found}")
    return config, path


def require_same_data(trained_on: DatasetSpec, given: DatasetSpec, data_dir: str) -> None:
    """Raises ValueError saying what differs, where a model's weights do not fit a data set.

    They fit those that continue the one that it was trained on, too, and a model that hashes ids
    reads data sets of any ids.
    """
    if given.goes_on_from(trained_on):
        return
    given = given.with_hashed_ids(trained_on.hash_rows)
    if trained_on.fingerprint() == given.fingerprint():
        return
    differences = []
    for name in ("format_version", "tasks", "input_features", "vocabularies", "grouping"):
        ours, theirs = _described(trained_on, name), _described(given, name)
        for key in sorted(ours.keys() | theirs.keys()):
            if ours.get(key) != theirs.get(key):
                differences.append(f"{key}: {ours.get(key)} there, {theirs.get(key)} here")
    raise ValueError(
        f"--data_dir={data_dir} is not like the data set that the checkpoint was trained on:\n  "
        + "\n  ".join(differences)
    )


def require_same_rows(trained_on: DatasetSpec, given: DatasetSpec, data_dir: str) -> None:
    """Raises ValueError where a data set that fits the weights was prepared from another log.

    Or with other flags; where it lies, and how many threads wrote it, may differ.
    """
    ours, theirs = (
        {
            "log": [(file.size_bytes, file.sha256) for file in spec.source_files],
            "counts": spec.counts,
            **{name: v for name, v in spec.flags.items() if name not in _FREE_FLAGS},
        }
        for spec in (trained_on, given)
    )
    different = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
    if different:
        raise ValueError(
            f"--data_dir={data_dir} does not hold the rows that the run was begun with: other "
            f"{', '.join(different)}"
        )


def _described(spec: DatasetSpec, part: str) -> dict[str, str]:
    """Readable values of what `DatasetSpec.fingerprint` covers."""
    if part == "format_version":
        return {"format version": str(spec.format_version)}
    if part == "grouping":
        return {"grouping into macro nodes": spec.grouping[:12] or "not recorded"}
    if part == "tasks":
        return {"tasks": ", ".join(f"{task.name} (level {task.level})" for task in spec.tasks)}
    if part == "input_features":
        return {
            f"feature {f.name}": f"{f.dtype}, {'one' if f.length is None else f.length}"
            for f in spec.input_features
        }
    return {
        f"vocabulary {v.name}": f"hashed to {v.hash_rows} rows"
        if v.hash_rows
        else f"{v.embedded} embedded ids ({v.checksum[:12]})"
        for v in spec.vocabularies
    }


def new_model(
    spec: DatasetSpec,
    model_options: ModelOptions,
    train_options: TrainOptions,
    assets_dir: str | None = None,
    made: Sequence[str] = (),
) -> RankingModel:
    """A new model with all its weights, of the run's precision.

    Args:
      spec, model_options, train_options: of the run.
      assets_dir: where the files lie that the model needs; None: in the run's data set.
      made: names of `RankingModel.made_assets` that lie there too.
    """
    names = (*model_class(train_options.model).assets(spec), *made)
    policy = tf.keras.mixed_precision.global_policy()
    try:
        tf.keras.mixed_precision.set_global_policy(train_options.precision)
        with assets.local_assets(assets_dir or train_options.data_dir, names) as paths:
            return build_model(train_options.model, spec, model_options, paths)
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def make_lookup(model_dir: str, spec: DatasetSpec, model: RankingModel) -> IdLookup:
    """Encodes the inputs of a model by the vocabulary in its directory."""
    filesystem.prepare_remote(model_dir)
    folder = filesystem.join(model_dir, "vocabulary")
    return IdLookup(spec=spec, vocabulary_dir=folder, names=model.feature_names)


def manager(
    checkpoint: tf.train.Checkpoint, model_dir: str, kind: str, *, keep: int = 1
) -> tf.train.CheckpointManager:
    """Keeps the last checkpoints of a kind: `latest` or `best`."""
    folder = filesystem.join(model_dir, "checkpoints", kind)
    path = literal_path(folder)
    if path != folder:
        filesystem.make_dirs(folder)  # TensorFlow makes no directory through a link.
    return tf.train.CheckpointManager(checkpoint, path, max_to_keep=keep)


def restore(checkpoint: tf.train.Checkpoint, path: str) -> Any:
    """Restores every object of `checkpoint`.

    Raises:
      ValueError: the files are damaged, or of a version whose objects were others.
    """
    try:
        return checkpoint.restore(path).assert_existing_objects_matched()
    except tf.errors.ResourceExhaustedError as error:  # too many open files
        raise FileError(f"reading {path}: {reason(error)}") from error
    # TensorFlow's reader raises IndexError for a file that ends early.
    except (tf.errors.OpError, IndexError) as error:
        raise ValueError(f"{path}: the checkpoint is damaged: {error}") from error
    except (ValueError, AssertionError) as error:
        raise ValueError(f"{path}: the checkpoint is of another version: {error}") from error


def load_model(model_dir: str, best: bool = True) -> LoadedModel:
    """Restores a trained model.

    Args:
      model_dir: as `mgoe_tf.train` wrote it, local or remote.
      best: the best epoch by validation; else the latest.

    Raises:
      ValueError: there is no model, or no finished epoch; an asset is not the one that the model
        was trained with.
    """
    model_options, train_options = read_options(model_dir)
    spec = read_spec(model_dir)
    assets_dir = filesystem.join(model_dir, assets.ASSETS_DIR)
    checksums = read_checksums(model_dir)
    assets.require_unchanged(assets_dir, checksums)
    made = assets.made_names(checksums)
    model = new_model(spec, model_options, train_options, assets_dir, made)
    lookup = make_lookup(model_dir, spec, model)
    checkpoint = tf.train.Checkpoint(model=model)
    path = manager(checkpoint, model_dir, "best" if best else "latest").latest_checkpoint
    if path is None:
        raise ValueError(f"--model_dir={model_dir} holds no checkpoint yet")
    restore(checkpoint, path).expect_partial()
    tables = model.embeddings.tables
    for name, a in row_order.recorded(path, [*tables]).items():
        row_order.to_index_order(tables[name], a)
    metrics = read_metrics(model_dir, "validation")
    return LoadedModel(model, lookup, spec, model_options, train_options, metrics)
