"""A model that read a file of the data set is served without it."""

import shutil

import numpy as np
import tensorflow as tf

from export.options import ExportOptions
from export.savedmodel import export
from tests.export.conftest import write_model


def test_the_export_needs_no_asset(run, tmp_path):
    model_dir = tmp_path / "model"
    write_model(str(model_dir), "mmoceg", run.data_dir)
    assert list((model_dir / "assets").rglob("task_table.npy"))
    # `export` publishes nothing that differs from the model, in any signature
    path = export(
        ExportOptions(
            model_dir=str(model_dir),
            export_base=str(tmp_path / "exports"),
            model_name="mmoceg",
            data_dir=run.data_dir,
        )
    )
    shutil.rmtree(model_dir)
    rank_ids = tf.saved_model.load(path).signatures["rank_ids"]
    found = rank_ids(user_id=tf.constant([b"u1"]), item_id=tf.constant([[7, 14, 21]], tf.int64))
    assert np.ptp(found["buy"].numpy()) > 0
