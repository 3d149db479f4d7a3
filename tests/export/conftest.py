"""A small data set with ids of both types, and models on it that nobody trained."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.options import ExportOptions
from export.savedmodel import export
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from tests.model_options import OPTIONS

USERS, ITEMS, EVENTS = 60, 40, 1500


@dataclasses.dataclass(frozen=True)
class Run:
    """A data set directory and a model directory of each registered kind."""

    data_dir: str
    model_dirs: dict[str, str]


def _write_log(path: Path) -> None:
    random = np.random.default_rng(7)
    users = random.integers(0, USERS, EVENTS)
    items = random.zipf(1.5, EVENTS) % ITEMS
    lines = ["who,what,when,kind,age,is_click,is_buy"]
    for position in range(EVENTS):
        user, item = users[position], items[position]
        bought = int(random.random() < 0.2)
        lines.append(f"u{user},{item * 7},{1000 + position},{item % 5},{user % 3}s,1,{bought}")
    path.write_text("\n".join(lines) + "\n")


def write_model(
    model_dir: str, model_name: str, data_dir: str, precision="float32", options=None, hash_rows=0
) -> None:
    model_options = options or OPTIONS[model_name]
    train_options = TrainOptions(
        model=model_name,
        data_dir=data_dir,
        model_dir=model_dir,
        precision=precision,
        id_tables="hashed" if hash_rows else "vocabulary",
        hash_rows=hash_rows,
    )
    spec = checkpoints.read_trained_spec(train_options)
    checkpoints.write_run(model_dir, spec, model_options, train_options)
    tf.keras.utils.set_random_seed(5)
    model = checkpoints.new_model(spec, model_options, train_options)
    for variable in model.trainable_variables:  # small values would make all answers alike
        variable.assign(tf.random.normal(variable.shape, stddev=0.5))
    manager = checkpoints.manager(tf.train.Checkpoint(model=model), model_dir, "best")
    manager.save()
    checkpoints.write_json(f"{model_dir}/metrics_validation.json", {"average": {"auc": 0.75}})


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    _write_log(folder / "log.csv")
    data_dir = str(folder / "data")
    prepare(
        PreparationOptions(
            source="csv",
            input=str(folder / "log.csv"),
            data_dir=data_dir,
            user_column="who",
            item_column="what",
            timestamp_column="when",
            task_columns=("is_click:click", "is_buy:buy"),
            item_feature_columns=("kind",),
            user_feature_columns=("age",),
            num_user_macro_nodes=3,
            num_item_macro_nodes=4,
            max_neighbors=5,
            kmeans_restarts=1,
            num_shards=2,
        )
    )
    model_dirs = {name: str(folder / name) for name in ("mgoe", "mmoe")}
    for name, model_dir in model_dirs.items():
        write_model(model_dir, name, data_dir)
    return Run(data_dir, model_dirs)


@pytest.fixture(scope="session", params=["mgoe", "mmoe"])
def exported(request, run, tmp_path_factory):
    """The path of an export of each model, and the model that it was made of."""
    path = export(
        ExportOptions(
            model_dir=run.model_dirs[request.param],
            export_base=str(tmp_path_factory.mktemp("exports")),
            model_name=request.param,
            data_dir=run.data_dir,
            score_weights=(1.0, 3.0),
        )
    )
    return path, checkpoints.load_model(run.model_dirs[request.param])
