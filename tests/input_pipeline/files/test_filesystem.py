"""Local and remote files, publication of directories, exit statuses."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from input_pipeline.files import filesystem, patterns
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401

ROOT = pathlib.Path(__file__).parents[3]


def check_round_trips(folder: str) -> None:
    """What every file system has to do, in one go: remote ones are slow."""
    path = filesystem.join(folder, "a", "text.txt")
    assert not filesystem.exists(path)
    filesystem.make_dirs(filesystem.join(folder, "a"))
    filesystem.write_text(path, "grün")
    assert filesystem.exists(path)
    assert filesystem.read_text(path) == "grün"
    filesystem.write_bytes(path, b"new")
    assert filesystem.read_bytes(path) == b"new"

    filesystem.write_bytes(filesystem.join(folder, "a", "empty.txt"), b"")
    assert filesystem.listdir(filesystem.join(folder, "a")) == ["empty.txt", "text.txt"]
    assert filesystem.is_directory(filesystem.join(folder, "a"))
    assert not filesystem.is_directory(path)
    pattern = filesystem.join(folder, "a", "*.txt")
    assert patterns.glob(pattern) == [filesystem.join(folder, "a", "empty.txt"), path]
    assert patterns.glob(filesystem.join(folder, "a", "*.csv")) == []

    filesystem.rename(
        filesystem.join(folder, "a", "empty.txt"), filesystem.join(folder, "a", "moved.txt")
    )
    assert filesystem.listdir(filesystem.join(folder, "a")) == ["moved.txt", "text.txt"]
    assert filesystem.read_bytes(filesystem.join(folder, "a", "moved.txt")) == b""

    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    filesystem.save_array(filesystem.join(folder, "a", "x.npy"), array)
    np.testing.assert_array_equal(
        filesystem.load_array(filesystem.join(folder, "a", "x.npy")), array
    )
    filesystem.save_arrays(filesystem.join(folder, "a", "x.npz"), {"x": array, "y": array[0]})
    loaded = filesystem.load_arrays(filesystem.join(folder, "a", "x.npz"))
    assert sorted(loaded) == ["x", "y"]
    np.testing.assert_array_equal(loaded["y"], [0, 1, 2])

    final = filesystem.join(folder, "final")
    temporary = filesystem.temporary_sibling(final)
    filesystem.make_dirs(filesystem.join(temporary, "sub"))
    filesystem.write_text(filesystem.join(temporary, "dataset_spec.json"), "{}")
    filesystem.write_text(filesystem.join(temporary, "sub", "part"), "part")
    filesystem.publish(temporary, final)
    assert filesystem.files_below(final) == ["dataset_spec.json", "sub/part"]
    assert filesystem.read_text(filesystem.join(final, "sub", "part")) == "part"
    assert not filesystem.exists(temporary)
    with pytest.raises(FileExistsError, match="final"):
        filesystem.publish(temporary, final)

    filesystem.remove(path)
    assert not filesystem.exists(path)
    filesystem.remove_tree(final)
    assert not filesystem.exists(filesystem.join(final, "dataset_spec.json"))
    filesystem.remove_tree(final)


def test_round_trips(tmp_path: pathlib.Path) -> None:
    check_round_trips(str(tmp_path))


def test_round_trips_on_s3(s3_bucket: S3Bucket) -> None:  # noqa: F811
    check_round_trips(f"{s3_bucket.url}/round_trips")


def test_publish_from_local_to_s3(
    s3_bucket: S3Bucket,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    temporary = tmp_path / "temporary"
    (temporary / "1").mkdir(parents=True)
    (temporary / "1" / "weights").write_bytes(b"w")
    (temporary / "saved_model.pb").write_bytes(b"m")
    filesystem.publish(str(temporary), f"{s3_bucket.url}/model/7")
    assert filesystem.files_below(f"{s3_bucket.url}/model/7") == ["1/weights", "saved_model.pb"]
    assert not temporary.exists()


def test_publish_copies_what_readers_require_last(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def copy(source: str, target: str) -> None:
        copied.append(target)
        if len(copied) == 2:
            raise OSError("the network went away")

    source = "ram://publish/.final.tmp-1"
    for name in ("a", "dataset_spec.json", "z"):
        filesystem.make_dirs(source)
        filesystem.write_text(filesystem.join(source, name), name)
    monkeypatch.setattr(filesystem, "copy", copy)
    with pytest.raises(OSError, match="network"):
        filesystem.publish(source, "ram://publish/final")
    assert copied == ["ram://publish/final/a", "ram://publish/final/z"]


def test_what_could_not_be_copied_whole_is_removed_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "saved_model.pb"):
        (tmp_path / name).write_text(name)
    real = filesystem.copy

    def copy(source: str, target: str) -> None:
        if source.endswith("b"):
            raise OSError("the network went away")
        real(source, target)

    monkeypatch.setattr(filesystem, "copy", copy)
    with pytest.raises(OSError, match="network"):
        filesystem.publish(str(tmp_path), "ram://broken/final")
    assert not filesystem.exists("ram://broken/final")
    assert (tmp_path / "saved_model.pb").exists()


def test_a_rename_that_comes_second_is_told_as_such(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("temporary", "final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(filesystem, "exists", lambda _: False)  # it was not there a moment ago
    with pytest.raises(FileExistsError, match="final: exists already"):
        filesystem.publish(str(tmp_path / "temporary"), str(tmp_path / "final"))
    assert (tmp_path / "final" / "file").read_text() == "final"


def test_a_write_that_fails_leaves_the_old_content(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    filesystem.write_bytes(str(path), b"old")

    def fail(source: str, target: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        filesystem.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old"


def test_temporary_sibling_is_hidden_and_beside() -> None:
    assert filesystem.temporary_sibling("data").startswith(".data.tmp-")
    assert filesystem.temporary_sibling("/x/data/").startswith("/x/.data.tmp-")
    assert filesystem.temporary_sibling("s3://b/data").startswith("s3://b/.data.tmp-")
    assert filesystem.temporary_sibling("data") != filesystem.temporary_sibling("data")


@pytest.mark.parametrize(
    ("path", "remote"),
    [("s3://b/x", True), ("gs://b", True), ("/x", False), ("x/y", False), ("c:x", False)],
)
def test_is_remote(path: str, remote: bool) -> None:
    assert filesystem.is_remote(path) is remote


def test_unknown_scheme_is_named() -> None:
    with pytest.raises((ValueError, ImportError), match="gopher://"):
        filesystem.exists("gopher://host/file")


def test_open_mode_is_checked(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="mode must be rb or wb, got 'a'"):
        filesystem.open_binary(str(tmp_path / "x"), "a")


def _run(code: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys\nfrom input_pipeline.files import filesystem\n" + code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_local_files_need_no_tensorflow(tmp_path: pathlib.Path) -> None:
    result = _run(
        f"filesystem.write_text({str(tmp_path / 'x')!r}, 'x')\n"
        "print([m for m in ('tensorflow', 'tensorflow_io') if m in sys.modules])"
    )
    assert result.stdout == "[]\n", result.stderr


def test_a_second_name_is_never_written_through(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("kept")
    filesystem.link(str(first), str(second))
    assert first.samefile(second)
    with pytest.raises(FileExistsError):  # a copy would empty both
        filesystem.link(str(first), str(second))
    assert first.read_text() == "kept"
