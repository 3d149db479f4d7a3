"""Directories whose names hold pattern characters, as TensorFlow sees them."""

import os
import pathlib
import subprocess
import sys

import tensorflow as tf

from input_pipeline.files.literal_path import literal_path
from input_pipeline.records.shard_files import example_files


def test_other_paths_are_left_alone() -> None:
    assert literal_path("/a/b{c} d") == "/a/b{c} d"
    assert literal_path("gs://bucket/a[1]") == "gs://bucket/a[1]"


def test_a_saved_model_is_found(tmp_path: pathlib.Path) -> None:
    folder = str(tmp_path / "run[1]*?")
    module = tf.Module()
    module.weight = tf.Variable(3.0)
    tf.saved_model.save(module, folder)
    assert float(tf.saved_model.load(literal_path(folder)).weight) == 3.0
    assert literal_path(folder) == literal_path(folder + "/")


def test_links_are_removed_when_the_process_ends(tmp_path: pathlib.Path) -> None:
    code = (
        "from input_pipeline.files.literal_path import literal_path\n"
        f"print(literal_path({str(tmp_path / 'run[1]')!r}))"
    )
    link = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert link != str(tmp_path / "run[1]")
    assert not os.path.lexists(link)
    assert not os.path.lexists(os.path.dirname(link))


def test_shards_are_found(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "data[1]"
    (folder / "examples").mkdir(parents=True)
    path = folder / "examples" / "train-00000-of-00001.tfrecord.gz"
    path.write_bytes(b"")
    assert example_files(str(folder), ("train",)) == (str(path),)
