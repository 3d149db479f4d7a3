"""A prepared data set and options small enough to train on in a second."""

import dataclasses
import pathlib
from collections.abc import Callable

import pytest
import tensorflow as tf

from mgoe_tf.config import ModelOptions, TrainOptions
from tests.data_sets import write_small_data_set

# Before TensorFlow starts: mirrored training is tested on two logical devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

MODEL_OPTIONS = ModelOptions(
    embedding_dim=4, head_units=4, fusion_units=(8,), tower_units=(8,), mmoe_expert_units=(8,)
)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("data"))
    write_small_data_set(folder)
    return folder


@pytest.fixture
def train_options(data_dir: str, tmp_path: pathlib.Path) -> Callable[..., TrainOptions]:
    """Makes the options of a short run of MMoE into `tmp_path/<name>`."""

    def make(name: str = "run", **changes) -> TrainOptions:
        options = TrainOptions(
            data_dir=data_dir,
            model_dir=str(tmp_path / name),
            model="mmoe",
            epochs=2,
            batch_size=128,
            shuffle_rows=1000,
        )
        return dataclasses.replace(options, **changes)

    return make
