"""What killed writers leave is removed; what living ones write is not."""

import pathlib
import subprocess
import sys
import tempfile

from input_pipeline.files.temporary_directory import temporary_directory


def test_temporary_directories_of_killed_processes_are_removed(tmp_path) -> None:
    final = str(tmp_path / "data")
    script = (
        "import os, sys; from input_pipeline.files.temporary_directory import temporary_directory\n"
        "path = temporary_directory(sys.argv[1]); open(path + '/part', 'w').close()\n"
        "print(path, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, final],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    theirs = other.stdout.readline().strip()
    mine = temporary_directory(final)
    assert sorted(tmp_path.iterdir()) == sorted(map(pathlib.Path, (theirs, mine)))
    other.kill()
    other.wait()
    again = temporary_directory(final)
    assert sorted(tmp_path.iterdir()) == sorted(map(pathlib.Path, (mine, again)))


def test_what_goes_to_an_object_store_is_made_locally(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = pathlib.Path(temporary_directory("s3://bucket/exports/mgoe/"))
    assert made.parent == tmp_path
    assert made.name.startswith(".mgoe_tf-mgoe.tmp-")
    assert made.is_dir()
