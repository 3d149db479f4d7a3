"""Trainings whose directory cannot be written any more."""

import errno
import json
import os
from pathlib import Path

import pytest
import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.failures import FileError
from mgoe_tf import train as command
from mgoe_tf.training import checkpoints
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.test_resume import assert_same_runs
from tests.model_options import OPTIONS


def _fill_disk_at(monkeypatch: pytest.MonkeyPatch, checkpoint: int) -> None:
    """Saving fails once, as it does on a full disk: after half a file was written."""
    save = tf.train.CheckpointManager.save
    failed: list[str] = []

    def save_or_fail(self, number):
        if failed or number != checkpoint or not self.directory.endswith("latest"):
            return save(self, number)
        part = Path(self.directory, f"ckpt-{number}_temp", "part-00000-of-00001.data")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"half")
        failed.append(str(part))
        message = f"{{{{node SaveV2}}}} {part}; No space left on device [Op:SaveV2]"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tf.train.CheckpointManager, "save", save_or_fail)


def test_half_a_checkpoint_is_removed_and_the_run_goes_on_from_the_one_before(
    train_options, monkeypatch
) -> None:
    whole = train_options("whole")
    train_small(whole)
    options = train_options("parts", checkpoint_steps=10, resume=True)
    _fill_disk_at(monkeypatch, 3)
    latest = Path(options.model_dir, "checkpoints/latest")
    message = rf"^saving checkpoint 3 in {latest}: .*; No space left on device$"
    with pytest.raises(FileError, match=message):
        train_small(options)
    assert sorted(path.name for path in latest.iterdir()) == [
        *("checkpoint", "ckpt-2.data-00000-of-00001", "ckpt-2.index", "position-2.json")
    ]
    assert os.path.exists(os.path.join(options.model_dir, "run.json"))
    train_small(options)
    assert_same_runs(options.model_dir, whole.model_dir)


def test_the_first_error_is_told_though_nothing_can_be_written(train_options, monkeypatch) -> None:
    options = train_options()
    _fill_disk_at(monkeypatch, 1)
    write = filesystem.write_text

    def write_or_fail(path: str, text: str) -> None:
        if path.endswith("run.json") and '"ended"' in text:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, text)

    monkeypatch.setattr(filesystem, "write_text", write_or_fail)
    with pytest.raises(OSError, match=r"run\.json|saving checkpoint 1"):
        train_small(options)
    assert not checkpoints.holds_checkpoint(options.model_dir)


def test_the_command_says_how_to_go_on(train_options, monkeypatch) -> None:
    options = train_options(checkpoint_steps=10)
    arguments = [f"--data_dir={options.data_dir}", "--model_dir=a b", "--checkpoint_steps=10"]
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    _fill_disk_at(monkeypatch, 2)
    again = f"python -m mgoe_tf.train {arguments[0]} '--model_dir=a b' {arguments[2]} --resume"
    with pytest.raises(FileError, match="No space left on device; once that is mended") as caught:
        command._train(OPTIONS["mmoe"], options)
    assert str(caught.value).endswith(f"go on with: {again}")
    assert command.resume_command([*arguments, "--resume"]) == again


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("config.json", "Without it the directory is no trained model"),
        ("dataset_spec.json", "Prepare the data set again, or put a copy of it back"),
        ("run.json", "It is for people alone: delete it"),
    ],
)
def test_a_file_that_is_cut_off_names_itself_and_what_to_do(
    train_options, finished, tmp_path, name, advice
) -> None:
    model_dir = tmp_path / "copy"
    os.system(f"cp -r '{finished.model_dir}' '{model_dir}'")
    path = model_dir / name
    text = path.read_text()
    options = train_options("copy", resume=True)
    for content in ("", text[: len(text) // 2]):
        path.write_text(content)
        with pytest.raises(ValueError, match=rf"{path}: must be JSON, got .*\. {advice}"):
            train_small(options)
    assert json.loads(text)
