"""Version numbers, publication and pruning of directories."""

import time

import pytest

from export import publication


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "model"
    for version in (3, 20, 100):
        (path / str(version)).mkdir(parents=True)
        (path / str(version) / publication.MARKER).write_bytes(b"")
    (path / "notes").mkdir()
    return path


def _finished(tmp_path):
    path = tmp_path / "finished"
    path.mkdir()
    (path / publication.MARKER).write_bytes(b"new")
    return str(path)


def test_versions_are_numbers_in_ascending_order(base, tmp_path):
    assert publication.versions(str(base)) == [3, 20, 100]
    assert publication.versions(str(tmp_path / "nowhere")) == []
    (base / "200").mkdir()  # on its way, or broken off
    assert publication.versions(str(base)) == [3, 20, 100]
    assert publication.numbers(str(base)) == [3, 20, 100, 200]
    assert publication.prune(str(base), 1) == [3, 20]
    assert publication.numbers(str(base)) == [100, 200]


def test_the_default_version_is_the_time_or_later(base):
    assert abs(publication.choose_version(str(base), None) - time.time()) <= 1.5
    later = int(time.time()) + 1000
    (base / str(later)).mkdir()
    assert publication.choose_version(str(base), None) == later + 1


def test_a_wanted_version_must_be_new(base):
    assert publication.choose_version(str(base), 4) == 4
    with pytest.raises(ValueError, match=r"--version: 20 exists under .* the newest is 100"):
        publication.choose_version(str(base), 20)


def test_a_version_that_another_exporter_took_is_left_alone(base, tmp_path, monkeypatch):
    """Both chose 100; the other one was quicker, so that this one takes 101."""
    choices = iter([100, 101])
    monkeypatch.setattr(publication, "choose_version", lambda *_: next(choices))
    assert publication.publish(_finished(tmp_path), str(base), None) == 101
    assert (base / "100" / publication.MARKER).read_bytes() == b""
    assert (base / "101" / publication.MARKER).read_bytes() == b"new"


def test_other_failures_of_a_rename_are_told(base, tmp_path):
    with pytest.raises(OSError, match="missing"):
        publication.publish(str(tmp_path / "missing"), str(base), None)


def test_the_newest_are_kept(base):
    assert publication.prune(str(base), 0) == []
    assert publication.prune(str(base), 2) == [3]
    assert publication.prune(str(base), 5) == []
    assert publication.versions(str(base)) == [20, 100]
    assert (base / "notes").exists()
    assert [path.name for path in base.parent.iterdir()] == ["model"]
