"""Exports on an object store, and joins with a data set there."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from export import gates, publication, savedmodel
from export.client.snapshot import GraphSnapshot
from export.options import ExportOptions
from export.savedmodel import export
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


def test_an_export_is_made_locally_and_copied_the_version_visible_last(
    run,
    s3_bucket: S3Bucket,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    base_path = f"{s3_bucket.url}/made/mgoe"
    options = ExportOptions(
        model_dir=run.model_dirs["mgoe"],
        export_base=f"{s3_bucket.url}/made",
        data_dir=run.data_dir,
        version=5,
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    compare, load, copy = gates.compare, savedmodel.load_servable, filesystem.copy
    seen = []

    def checked(check, place):
        def call(*arguments):
            folder = Path(arguments[place])
            assert folder.parent == tmp_path  # what is checked is the local one
            assert (folder / "saved_model.pb").exists()
            assert not filesystem.exists(base_path)  # and nothing is in the store yet
            seen.append(check.__name__)
            return check(*arguments)

        return call

    def copied(source, target):
        assert publication.versions(base_path) == []
        seen.append(target.removeprefix(f"{base_path}/5/"))
        copy(source, target)

    monkeypatch.setattr(gates, "compare", checked(compare, 0))
    monkeypatch.setattr(savedmodel, "load_servable", checked(load, 1))
    monkeypatch.setattr(filesystem, "copy", copied)
    path = export(options)
    assert seen[:2] == ["compare", "load_servable"]
    assert sorted(seen[2:]) == filesystem.files_below(path)
    assert seen[-1] == "saved_model.pb"
    assert publication.versions(base_path) == [5]
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_cannot_be_copied_whole_leaves_nothing(
    run,
    s3_bucket: S3Bucket,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    base_path = f"{s3_bucket.url}/broken/mgoe"
    options = ExportOptions(
        model_dir=run.model_dirs["mgoe"], export_base=f"{s3_bucket.url}/broken", version=5
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    copy = filesystem.copy

    def copied(source, target):
        if "variables" in target:
            assert publication.numbers(base_path) == [5]  # others were copied before
            raise OSError("the network went away")
        copy(source, target)

    monkeypatch.setattr(filesystem, "copy", copied)
    with pytest.raises(OSError, match="the network went away"):
        export(options)
    assert publication.numbers(base_path) == []
    assert list(tmp_path.iterdir()) == []


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
