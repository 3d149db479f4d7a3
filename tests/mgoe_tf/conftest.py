"""A prepared data set and options small enough to train on in a second."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.trainer import train
from tests.data_sets import write_small_data_set
from tests.model_options import OPTIONS

# Before TensorFlow starts: mirrored training is tested on two logical devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def train_small(options: TrainOptions, **changes: Any) -> dict[str, Any]:
    """Trains the model that `options` name with the sizes of `OPTIONS`, some of them changed."""
    return train(dataclasses.replace(OPTIONS[options.model], **changes), options)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("data"))
    write_small_data_set(folder)
    return folder


@pytest.fixture(scope="session")
def request_data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same rows in the request layout."""
    folder = str(tmp_path_factory.mktemp("requests"))
    write_small_data_set(folder, record_layout="request")
    return folder


def short_run(data_dir: str, model_dir: str) -> TrainOptions:
    """One epoch of MMoE, 48 steps."""
    return TrainOptions(
        data_dir=data_dir,
        model_dir=model_dir,
        model="mmoe",
        epochs=1,
        batch_size=128,
        shuffle_rows=1000,
        report=False,
    )


@pytest.fixture
def train_options(data_dir: str, tmp_path: pathlib.Path) -> Callable[..., TrainOptions]:
    """Makes the options of a short run into `tmp_path/<name>`, with changes."""

    def make(name: str = "run", **changes) -> TrainOptions:
        return dataclasses.replace(short_run(data_dir, str(tmp_path / name)), **changes)

    return make


@pytest.fixture(scope="session")
def finished(data_dir: str, tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """The options of a short run whose model directory is there; not to be changed."""
    options = short_run(data_dir, str(tmp_path_factory.mktemp("runs") / "finished"))
    train_small(options)
    return options
