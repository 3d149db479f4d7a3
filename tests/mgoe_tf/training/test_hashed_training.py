"""Training with hashed ids: in the request layout, on data it is for, and what is refused."""

import dataclasses
import json
import pathlib

import pytest

from input_pipeline.spec import read_spec
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.run_card import data_checksum
from tests.mgoe_tf.conftest import train_small

HASHED = {"id_tables": "hashed", "hash_rows": 300}


def test_a_run_in_the_request_layout_is_read_with_data_of_other_ids(
    train_options, request_data_dir
):
    options = train_options(data_dir=request_data_dir, **HASHED)
    metrics = train_small(options)
    assert metrics["average"]["auc"] > 0.5
    assert not pathlib.Path(options.model_dir, "vocabulary", "user_id.txt").exists()
    loaded = checkpoints.load_model(options.model_dir)
    assert loaded.spec.hash_rows == 300
    assert loaded.model.embeddings.tables["item_id"].shape[0] == 301
    spec = read_spec(request_data_dir)
    assert data_checksum(loaded.spec) == data_checksum(spec)
    again = evaluate(EvaluateOptions(options.model_dir, request_data_dir, split="test"))
    assert again["average"] == metrics["average"]
    others = tuple(
        dataclasses.replace(v, embedded=v.embedded + 1, checksum="x") if v.name == "user_id" else v
        for v in spec.vocabularies
    )
    checkpoints.require_same_data(
        loaded.spec, dataclasses.replace(spec, vocabularies=others), "other"
    )
    grouped = dataclasses.replace(spec, grouping="other")
    with pytest.raises(ValueError, match="grouping into macro nodes"):
        checkpoints.require_same_data(loaded.spec, grouped, "other")


def test_refusals(data_dir, tmp_path):
    with pytest.raises(ValueError, match="--hash_rows: must be at least 1 with --id_tables=hashed"):
        TrainOptions(id_tables="hashed")
    with pytest.raises(
        ValueError, match="--hash_rows: must be 0 with --id_tables=vocabulary, got 9"
    ):
        TrainOptions(hash_rows=9)
    with pytest.raises(ValueError, match="--hash_rows: must be at most 2147483646, got 2147483647"):
        TrainOptions(id_tables="hashed", hash_rows=2**31 - 1)
    spec = json.loads(pathlib.Path(data_dir, "dataset_spec.json").read_text())
    spec["flags"]["min_count"] = 5
    pathlib.Path(tmp_path, "dataset_spec.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match=r"must be vocabulary for a data set of --min_count=5"):
        checkpoints.read_trained_spec(TrainOptions(data_dir=str(tmp_path), **HASHED))
