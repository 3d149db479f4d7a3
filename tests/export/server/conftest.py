"""The small model, and an export that is served."""

from pathlib import Path

import pytest
import tensorflow as tf

from export.server.model_server import Server
from export.server.options import ServeOptions
from tests.export.server.small_model import free_port, save_version


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "small"
    save_version(path, 7, add=0.0)
    return path


@pytest.fixture(scope="module")
def export_server(exported):
    base_path = str(Path(exported[0]).parent)
    server = Server(
        ServeOptions(model_name="m", model_base_path=base_path, port=0, rest_api_port=free_port())
    )
    server.start()
    yield server
    server.stop(0)


@pytest.fixture(scope="module")
def examples(run):
    files = sorted(map(str, Path(run.data_dir).glob("examples/test-*.tfrecord.gz")))
    rows = tf.data.TFRecordDataset(files, "GZIP").take(5).as_numpy_iterator()
    return [tf.train.Example.FromString(row) for row in rows]


@pytest.fixture(scope="module")
def expected(exported, examples):
    serialized = tf.constant([example.SerializeToString() for example in examples])
    outputs = tf.saved_model.load(exported[0]).signatures["examples"](examples=serialized)
    return {name: value.numpy() for name, value in outputs.items()}
