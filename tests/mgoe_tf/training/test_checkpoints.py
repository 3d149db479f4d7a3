"""What config.json must hold."""

import json
import pathlib
import shutil

import pytest
import tensorflow as tf

from mgoe_tf.training import checkpoints
from tests.model_options import OPTIONS


@pytest.fixture
def change(finished, tmp_path):
    """Changes parts of the config.json of a copied run and reads its options."""

    def act(part: str, **values):
        folder = tmp_path / "run"
        shutil.copytree(finished.model_dir, folder, dirs_exist_ok=True)
        path = pathlib.Path(folder, "config.json")
        config = json.loads(path.read_text())
        for name, value in values.items():
            if value is None:
                del config[part][name]
            else:
                config[part][name] = value
        path.write_text(json.dumps(config))
        return checkpoints.read_options(str(folder))

    return act


def test_options_are_read_by_the_class_of_the_model(finished, change):
    assert change("model_options") == (OPTIONS["mmoe"], change("train_options")[1])
    model_options, _ = checkpoints.read_options(finished.model_dir)
    assert type(model_options) is type(OPTIONS["mmoe"])


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        (
            "model_options",
            {"head_units": 3, "num_experts": None},
            r"not the MMoEOptions of this version: missing \['num_experts'\], unknown \['head_un",
        ),
        (
            "train_options",
            {"epochs": None},
            r"not the TrainOptions of this version: missing \['epochs'\], unknown \[\]",
        ),
        ("train_options", {"model": "mgoe"}, r"not the MGOEOptions of this version: missing \['ad"),
        ("train_options", {"model": "x"}, r"--model: must be one of .*mgoe, .*mmoe.*, got 'x'"),
    ],
)
def test_other_options_are_refused_naming_the_file(change, part, values, message):
    with pytest.raises(ValueError, match=rf"run/config\.json: {message}"):
        change(part, **values)


def test_another_kind_of_file_is_refused(tmp_path):
    for contents, found in (([], "list"), ({"model_options": {}}, r"\['model_options'\]")):
        (tmp_path / "config.json").write_text(json.dumps(contents))
        with pytest.raises(
            ValueError, match=rf"config\.json: must hold \['assets', .*, got {found}"
        ):
            checkpoints.read_options(str(tmp_path))


def test_a_directory_may_be_called_like_a_pattern(tmp_path):
    # TensorFlow's own manager finds nothing there, and removes nothing.
    model_dir = str(tmp_path / "run[1] *?")
    value = tf.Variable(0)
    checkpoint = tf.train.Checkpoint(value=value)
    manager = checkpoints.manager(checkpoint, model_dir, "latest", keep=2)
    for number in range(1, 5):
        value.assign(number)
        manager.save()
    folder = pathlib.Path(model_dir, "checkpoints", "latest")
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-3.index", "ckpt-4.index"]
    value.assign(0)
    path = checkpoints.manager(checkpoint, model_dir, "latest").latest_checkpoint
    checkpoints.restore(checkpoint, path)
    assert int(value) == 4
    # The directory may be moved.
    moved = str(tmp_path / "moved")
    pathlib.Path(model_dir).rename(moved)
    path = checkpoints.manager(checkpoint, moved, "latest").latest_checkpoint
    assert path == str(pathlib.Path(moved, "checkpoints", "latest", "ckpt-4"))
