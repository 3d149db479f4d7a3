"""Exports on an object store, and joins with a data set there."""

import numpy as np
import pytest

from export import publication
from export.client.snapshot import GraphSnapshot
from export.savedmodel import ExportOptions, export
from export.server.versions import ModelVersions
from input_pipeline.files import filesystem
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401


def test_an_export_is_published_served_and_pruned(run, s3_bucket: S3Bucket):  # noqa: F811
    options = {
        "model_dir": run.model_dirs["mgoe"],
        "export_base": f"{s3_bucket.url}/exports",
        "data_dir": run.data_dir,
    }
    path = export(ExportOptions(**options, version=3))
    base_path = f"{s3_bucket.url}/exports/mgoe"
    assert path == f"{base_path}/3"
    assert {"saved_model.pb", "variables/variables.index", "assets/user_id.txt"} <= set(
        filesystem.files_below(path)
    )
    with pytest.raises(ValueError, match="--version: 3 exists"):
        export(ExportOptions(**options, version=3))

    versions = ModelVersions("m", base_path)
    filesystem.write_bytes(f"{base_path}/9/variables/variables.index", b"")  # half a copy
    versions.poll()
    assert list(versions.states()) == [3]
    newer = export(ExportOptions(**options, keep=1))
    assert publication.versions(base_path) == [int(newer.rpartition("/")[2])]
    assert filesystem.listdir(f"{s3_bucket.url}/exports") == ["mgoe"]
    versions.poll()
    with versions.in_use() as servable:
        assert servable.version == int(newer.rpartition("/")[2])
    versions.close()


def test_a_remote_data_set_is_joined_as_a_local_one(run, s3_bucket: S3Bucket):  # noqa: F811
    remote = f"{s3_bucket.url}/data"
    for name in filesystem.files_below(run.data_dir):
        if not name.startswith(("examples", "graph/1", "graph/2")):
            filesystem.copy(filesystem.join(run.data_dir, name), f"{remote}/{name}")
    local, remote = GraphSnapshot(run.data_dir), GraphSnapshot(remote)
    names = [feature.name for feature in local.spec.input_features]
    for owner in ("user", "item"):
        ids = local.known_ids(owner)
        there = remote.features(owner, ids, names)
        for name, values in local.features(owner, ids, names).items():
            np.testing.assert_array_equal(there[name], values, err_msg=name)
