"""A model that needs an array of the data set: where the array goes, and what is refused."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from input_pipeline.files import stored
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.models.baselines.mmoe import MMoE, MMoEOptions
from mgoe_tf.models.registry import MODELS, build_model
from mgoe_tf.training import assets, checkpoints
from mgoe_tf.training.trainer import train
from tests.encoded_rows import make_spec
from tests.model_options import OPTIONS

MATRIX = "graph/3/merging_matrix.npz"
MEAN = "made/mean.npy"


class Toy(MMoE):
    """MMoE whose logits start at the mean score of all pairs, in thousandths."""

    options_class = MMoEOptions

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.start = 1000 * float(sparse.load_npz(self.asset_paths[MATRIX]).mean())

    @classmethod
    def assets(cls, spec) -> tuple[str, ...]:
        return (MATRIX,)

    def network(self, inputs, training=False):
        logits = super().network(inputs, training=training)
        return {task: logit + self.start for task, logit in logits.items()}


class Maker(Toy):
    """Keeps the mean, which it makes once."""

    made = 0

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        if MEAN in self.asset_paths:
            self.start = float(np.load(self.asset_paths[MEAN]))
        else:
            type(self).made += 1

    def made_assets(self):
        return {MEAN: np.array(self.start)}


@pytest.fixture
def toy(monkeypatch, train_options, tmp_path):
    """The options of a run of the toy model on a data set of its own."""
    monkeypatch.setitem(MODELS, "toy", Toy)
    copied = tmp_path / "data"
    shutil.copytree(train_options().data_dir, copied)
    return train_options("toy", model="toy", data_dir=str(copied))


def change_matrix(folder: str) -> pathlib.Path:
    path = pathlib.Path(folder, MATRIX)
    sparse.save_npz(path, 2 * sparse.load_npz(path))
    return path


def test_the_array_travels_with_the_model(toy):
    metrics = train(OPTIONS["mmoe"], toy)
    source, copied = pathlib.Path(toy.data_dir, MATRIX), pathlib.Path(toy.model_dir, "assets")
    assert [str(path.relative_to(copied)) for path in copied.rglob("*.*")] == [MATRIX]
    assert (copied / MATRIX).read_bytes() == source.read_bytes()
    config = json.loads(pathlib.Path(toy.model_dir, "config.json").read_text())
    assert config["assets"] == {MATRIX: hashlib.sha256(source.read_bytes()).hexdigest()}

    expected = 1000 * float(sparse.load_npz(source).mean())
    assert expected > 0
    change_matrix(toy.data_dir)  # whatever becomes of the data set
    model = checkpoints.load_model(toy.model_dir).model
    assert model.start == expected
    assert model.get_config()["assets"] == {MATRIX: str(copied / MATRIX)}
    assert evaluate(EvaluateOptions(toy.model_dir, toy.data_dir)) == metrics


def test_another_array_in_the_model_directory_is_refused(toy):
    train(OPTIONS["mmoe"], toy)
    path = change_matrix(f"{toy.model_dir}/assets")
    with pytest.raises(ValueError, match=rf"{path}: must have the SHA-256 \w{{64}}, got \w{{64}}"):
        checkpoints.load_model(toy.model_dir)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path}: must have the SHA-256 \w{{64}}, got no file"):
        checkpoints.load_model(toy.model_dir)


def test_a_run_is_resumed_with_its_own_array_alone(toy):
    metrics = train(OPTIONS["mmoe"], toy)
    toy = type(toy)(**{**vars(toy), "resume": True})
    assert train(OPTIONS["mmoe"], toy) == metrics
    path = change_matrix(toy.data_dir)
    with pytest.raises(ValueError, match=rf"{path}: must have the SHA-256"):
        train(OPTIONS["mmoe"], toy)


def test_what_a_model_made_is_kept_with_it(toy, monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Maker)
    monkeypatch.setattr(Maker, "made", 0)
    metrics = train(OPTIONS["mmoe"], toy)
    assert Maker.made == 1  # and not again for the best epoch
    kept = pathlib.Path(toy.model_dir, "assets", MEAN)
    checksums = checkpoints.read_checksums(toy.model_dir)
    assert set(checksums) == {MATRIX, MEAN}
    assert checksums[MEAN] == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert checkpoints.load_model(toy.model_dir).model.start == float(np.load(kept))
    assert Maker.made == 1
    # A data set has nothing of it, and a run goes on.
    assert train(OPTIONS["mmoe"], dataclasses.replace(toy, resume=True)) == metrics
    np.save(kept, np.array(1.0))
    with pytest.raises(ValueError, match=rf"{kept}: must have the SHA-256 \w{{64}}, got \w{{64}}"):
        checkpoints.load_model(toy.model_dir)


def test_a_data_set_without_the_array_is_refused(toy):
    pathlib.Path(toy.data_dir, MATRIX).unlink()
    with pytest.raises(ValueError, match=rf"data has not the files \['{MATRIX}'\]"):
        train(OPTIONS["mmoe"], toy)
    assert not checkpoints.holds_run(toy.model_dir)


def test_a_model_is_not_built_without_its_array(monkeypatch):
    monkeypatch.setitem(MODELS, "toy", Toy)
    with pytest.raises(ValueError, match=rf"assets: Toy takes \['{MATRIX}'\], got \[\]"):
        build_model("toy", make_spec(), OPTIONS["mmoe"])


def test_remote_files_are_read_from_local_copies(tmp_path):
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "a.npy").write_bytes(b"abc")
    checksums = assets.copy_assets(str(tmp_path), "ram://models/run", ["graph/a.npy"])
    # SHA-256 of "abc", from FIPS 180-2
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksums == {"graph/a.npy": digest}
    assert tf.io.gfile.exists("ram://models/run/assets/graph/a.npy")
    assets.require_unchanged("ram://models/run/assets", checksums)
    with assets.local_assets("ram://models/run/assets", list(checksums)) as paths:
        path = pathlib.Path(paths["graph/a.npy"])
        assert path.read_bytes() == b"abc"
    assert not path.exists()


def test_a_column_in_parts_is_whole_where_models_read_it(tmp_path):
    name, table = "graph/3/task_table.npy", np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    data_dir, model_dir = tmp_path / "data", tmp_path / "model"
    path = str(data_dir / name)
    pathlib.Path(stored.parts_folder(path)).mkdir(parents=True)
    for number, start in enumerate((0, 3)):
        stored.write_array_part(path, number, start, table[start : start + 3])
    with assets.local_assets(str(data_dir), [name]) as paths:
        np.testing.assert_array_equal(np.load(paths[name]), table)
    checksums = assets.copy_assets(str(data_dir), str(model_dir), [name])
    copied = model_dir / "assets" / name
    np.testing.assert_array_equal(np.load(copied), table)
    assert checksums == {name: hashlib.sha256(copied.read_bytes()).hexdigest()}
    with assets.local_assets(str(model_dir / "assets"), [name]) as paths:
        assert paths[name] == str(copied)
