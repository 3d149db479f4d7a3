"""Training from and to an object store."""

import dataclasses

from input_pipeline.files import filesystem, patterns
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.training import checkpoints
from tests.mgoe_tf.conftest import train_small
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401


def test_remote_directories_give_what_local_ones_give(train_options, s3_bucket: S3Bucket) -> None:  # noqa: F811
    local = train_options(epochs=2)
    remote = dataclasses.replace(
        local, data_dir=f"{s3_bucket.url}/data", model_dir=f"{s3_bucket.url}/runs/model"
    )
    for name in filesystem.files_below(local.data_dir):
        source = filesystem.join(local.data_dir, name)
        filesystem.copy(source, filesystem.join(remote.data_dir, name))
    expected = train_small(local)
    train_small(dataclasses.replace(remote, epochs=1, evaluate_test=False))
    metrics = train_small(dataclasses.replace(remote, resume=True, report=True))
    assert metrics == expected
    assert checkpoints.load_model(remote.model_dir).metrics is not None
    output = f"{s3_bucket.url}/metrics.json"
    evaluated = evaluate(EvaluateOptions(remote.model_dir, remote.data_dir, output=output))
    assert evaluated == expected
    assert filesystem.exists(output)
    assert "<svg" in filesystem.read_text(f"{remote.model_dir}/report.html")
    projector = f"{remote.model_dir}/events/best_test/projector_config.pbtxt"
    assert "items.tsv" in filesystem.read_text(projector)
    assert len(patterns.glob(f"{remote.model_dir}/events/train/*")) >= 1
