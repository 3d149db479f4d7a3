"""Exports of models that hash ids, and of id tables in float16."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from export.options import ExportOptions
from export.savedmodel import export
from input_pipeline.records.example_parsing import DTYPES
from mgoe_tf.training import checkpoints
from tests.export.conftest import write_model

ROWS = 16  # fewer than users or items


def exported_of(run, folder, name, **changes):
    model_dir = str(folder / name)
    write_model(model_dir, name, run.data_dir, hash_rows=ROWS)
    return model_dir, export(
        ExportOptions(
            model_dir=model_dir,
            export_base=str(folder / "exports"),
            model_name=name,
            data_dir=run.data_dir,
            **changes,
        )
    )


@pytest.mark.parametrize(
    ("name", "id_table_dtype"),
    [
        pytest.param("mgoe", "float32", marks=pytest.mark.slow),
        ("mmoe", "float16"),
        ("pogcn", "float32"),
    ],
)
def test_new_ids_have_the_embedding_that_they_are_hashed_to(run, tmp_path, name, id_table_dtype):
    """That known ids answer as the Keras model says is what an export has to pass."""
    model_dir, path = exported_of(run, tmp_path, name, id_table_dtype=id_table_dtype)
    assert not list(pathlib.Path(model_dir, "vocabulary").glob("*_id.txt"))
    signatures = tf.saved_model.load(path).signatures
    users = np.array([b"u3", b"nobody", b"nobody else"], object)
    items = np.array([[7, 2**40, -5]] * 3)
    found = signatures["rank_ids"](user_id=tf.constant(users), item_id=tf.constant(items))
    snapshot = GraphSnapshot(run.data_dir)
    spec = checkpoints.load_model(model_dir).spec
    inputs = {}
    for owner, ids in (("user", users), ("item", items.ravel())):
        wanted = signatures["rank"].structured_input_signature[1]
        for key, value in snapshot.features(owner, ids, list(wanted)).items():
            shape = (3, 3, *value.shape[1:]) if owner == "item" else value.shape
            inputs[key] = tf.constant(value.reshape(shape), DTYPES[spec.feature(key).dtype])
    expected = signatures["rank"](**inputs)
    for task, values in expected.items():
        np.testing.assert_allclose(found[task], values, rtol=0, atol=1e-5)
    score = found["score"].numpy()
    assert len(np.unique(score)) == score.size  # no new id is like another one
    known = signatures["known_ids"](user_id=tf.constant(users), item_id=tf.constant(items[:, 0]))
    assert known["known_user"].numpy().tolist() == [True, False, False]
    missing = signatures["rank_ids"](
        user_id=tf.constant([b"", b""]), item_id=tf.constant([[-(2**63)]] * 2, tf.int64)
    )["score"]
    assert np.isfinite(missing).all()


def test_tables_in_float16_take_half_and_answer_nearly_the_same(run, tmp_path):
    answers, tables = {}, {}
    for dtype in ("float32", "float16"):
        path = export(
            ExportOptions(
                model_dir=run.model_dirs["mmoe"],
                export_base=str(tmp_path / dtype),
                id_table_dtype=dtype,
                data_dir=run.data_dir if dtype == "float16" else None,
                max_graph_bytes=1,
            )
        )
        reader = tf.train.load_checkpoint(f"{path}/variables/variables")
        types = reader.get_variable_to_dtype_map().values()
        tables[dtype] = sum(kind == tf.float16 for kind in types)
        answers[dtype] = tf.saved_model.load(path).signatures["serving_default"](
            user_id=tf.constant([b"u3", b"u5"]),
            item_id=tf.constant([7, 14], tf.int64),
            age=tf.constant([b"1s", b""]),
            kind=tf.constant([2, 3], tf.int64),
        )["score"]
    assert tables == {"float32": 0, "float16": 4}
    difference = np.abs(answers["float32"] - answers["float16"]).max()
    assert 0 < difference < 2e-3


def test_numbers_beyond_float16_are_refused(run):
    loaded = checkpoints.load_model(run.model_dirs["mmoe"])
    table = loaded.model.embeddings.tables["user_id"]
    table.assign(table + 1e5)
    with pytest.raises(ValueError, match=r"user_id: numbers of a table in float16 must be at most"):
        loaded.model.embeddings.serve_as_float16()
