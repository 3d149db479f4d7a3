"""The GPU suite on a processor: what it times, lists and writes; no speed is asserted."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.registry import build_model
from tests.benchmarks.context import SCALES, Context
from tests.benchmarks.gpu import timing
from tests.benchmarks.gpu.__main__ import GpuOptions, chosen_device, table_of
from tests.benchmarks.gpu.hlo_modules import KEPT_ROWS, gradient_of, write_modules, write_runner
from tests.benchmarks.gpu.timing import Case, Timing, of_one_user, time_model
from tests.encoded_rows import as_tensors, make_spec, random_features, random_labels, randomize
from tests.model_assets import assets_of
from tests.model_options import OPTIONS

SPEC = make_spec()


def make_model(name: str):
    tf.keras.utils.set_random_seed(0)
    model = build_model(name, SPEC, OPTIONS[name], assets_of(name, SPEC))
    randomize(model, scale=0.3)
    return model


def features_of(model, rows: int) -> dict[str, tf.Tensor]:
    features = as_tensors(random_features(SPEC, rows))
    return {name: features[name] for name in model.zero_features()}


def test_without_a_gpu_it_says_so() -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"--device: TensorFlow sees no GPU here .*--device=cpu"):
        chosen_device("gpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("mmoe", "x")}, r"--models: must be some of .*, got \['mmoe', 'x'\]"),
        ({"batch_sizes": (4, 0)}, r"--batch_sizes: must be at least 1, got \[4, 0\]"),
        ({"precisions": ("float64",)}, r"--precisions: must be of .*, got \['float64'\]"),
    ],
)
def test_options_out_of_range_are_refused(changes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GpuOptions(**changes)


def test_what_exists_is_not_written_over(tmp_path: pathlib.Path) -> None:
    for name in ("output", "write_hlo"):
        with pytest.raises(FileExistsError, match=f"--{name}: must not exist yet, got {tmp_path}"):
            GpuOptions(**{name: str(tmp_path)})


@pytest.mark.parametrize("name", ["mgoe", "pogcn"])
def test_ranked_rows_are_flat_rows_of_one_user(name: str) -> None:
    model = make_model(name)
    features = features_of(model, 6)
    owners = {key: SPEC.feature(key.split("/")[0]).owner for key in features}
    flat = {
        key: tf.repeat(value[:1], 6, axis=0) if owners[key] == "user" else value
        for key, value in features.items()
    }
    expected, found = model(flat), model(of_one_user(features, SPEC))
    for task in SPEC.task_names:
        np.testing.assert_allclose(found[task], expected[task], atol=1e-5)


def test_failures_are_listed_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__) -> None:
        raise ValueError("no kernel\nat all")

    monkeypatch.setattr(timing.Run, "of", fail)
    asked = {"precision": "float32", "xla": True, "batch_sizes": (4,), "calls": 2}
    found = [*time_model("mmoe", "none", train_batch_size=8, **asked)]
    assert [one.case for one in found] == [
        Case("mmoe", "float32", True, what, rows)
        for what, rows in (("flat", 4), ("ranked", 4), ("step", 8))
    ]
    assert {one.to_json()["failure"] for one in found} == {"ValueError: no kernel\nat all"}
    fine = Timing(Case("mmoe", "float32", False, "flat", 4), (1.0, 3.0, 2.0))
    assert fine.to_json()["median_ms"] == 2.0
    lines = table_of([fine, *found]).splitlines()
    assert lines[2].split() == ["mmoe", "float32", "XLA", "failed", "failed", "failed"]
    assert "mmoe, float32, with XLA, step 8: ValueError: no kernel" in lines


def test_gradient_is_of_the_mean_log_loss_of_labelled_rows() -> None:
    model = make_model("mmoe")
    inputs, labels = model.embed(features_of(model, 9)), random_labels(SPEC, 9)
    found = gradient_of(model)(inputs, as_tensors(labels))
    logits = {task: logit.numpy() for task, logit in model.network(inputs).items()}
    loss = 0.0
    for task, label in labels.items():
        losses = np.log1p(np.exp(-np.where(label > 0, 1, -1) * logits[task]))
        loss += losses[label >= 0].mean()
    assert float(found["loss"]) == pytest.approx(loss, rel=1e-5)
    # The last weight is a bias of logits: a central difference of the loss along all of them.
    weight = model.trainable_variables[-1]
    before = weight.numpy()
    ends = []
    for step in (0.01, -0.01):
        weight.assign(before + step)
        ends.append(float(gradient_of(model)(inputs, as_tensors(labels))["loss"]))
    last = max(name for name in found if name != "loss")
    assert np.sum(found[last]) == pytest.approx((ends[0] - ends[1]) / 0.02, rel=1e-2)


@pytest.mark.slow
def test_everything_is_timed_on_a_processor(tmp_path: pathlib.Path) -> None:
    data_dir = Context(SCALES["tiny"], str(tmp_path)).data_dir()
    asked = {"batch_sizes": (4,), "train_batch_size": 8, "calls": 2}
    for precision, xla in (("float32", False), ("mixed_float16", True)):
        for one in time_model("mmoe", data_dir, precision=precision, xla=xla, **asked):
            assert not one.failure, one
            assert len(one.milliseconds) == 2
            assert min(one.milliseconds) > 0


@pytest.mark.slow
def test_modules_run_by_jax_give_the_expected_outputs(tmp_path: pathlib.Path) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("no JAX here")
    modules = []
    for name in ("mgoe", "mogenet"):
        model = make_model(name)
        modules += write_modules(
            str(tmp_path), name, model, features_of(model, KEPT_ROWS),
            as_tensors(random_labels(SPEC, KEPT_ROWS)),
            batch_sizes=(3, KEPT_ROWS + 1), train_batch_size=5,
        )  # fmt: skip
    write_runner(str(tmp_path), modules)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50e6 / 6

    command = [sys.executable, str(tmp_path / "run_hlo.py"), "--calls=2", "--precisions=highest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["device"]["platform"] == "cpu"
    assert [(told["what"], told["rows"]) for told in report["modules"]] == 2 * [
        ("network", 3), ("network", KEPT_ROWS + 1), ("gradient", 5)
    ]  # fmt: skip
    for told in report["modules"]:
        assert told["is_right"], told
        assert told["median_ms"] > 0

    # It looks at outputs: another expected one is an error, which the status tells.
    with np.load(tmp_path / "mgoe.npz") as file:
        arrays = {name: file[name] for name in file.files}
    changed = f"network/{SPEC.task_names[0]}"
    arrays[changed] = arrays[changed] + np.float32(0.01)
    np.savez_compressed(tmp_path / "mgoe.npz", **arrays)
    (tmp_path / "modules.json").write_text(json.dumps([modules[0], {**modules[2], "file": "no"}]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    wrong, failed = json.loads(done.stdout)["modules"]
    assert not wrong["is_right"]
    assert 1e-3 < wrong["largest_error"] < 1.0
    assert "FileNotFoundError" in failed["failure"]
