"""Flags, flagfiles and the options made of them."""

import dataclasses
import pathlib
import re

import pytest
from absl import flags

from input_pipeline.commands import options
from input_pipeline.preparation_options import PreparationOptions
from mgoe_tf import flags as train_flags
from mgoe_tf.config import ModelOptions
from mgoe_tf.training.options import TrainOptions

CONFIGS = pathlib.Path(train_flags.__file__).parent / "configs"


def parsed(*arguments: str) -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    train_flags.define_train_flags(values)
    values(["train", *train_flags.find_flagfiles(arguments)])
    return values


@pytest.mark.parametrize("options_class", [TrainOptions, ModelOptions, PreparationOptions])
def test_defaults_of_flags_are_those_of_the_dataclass(options_class) -> None:
    assert options.from_flags(options_class, parsed()) == options_class()


def test_every_flag_has_a_help_text_that_ends_like_a_sentence() -> None:
    values = parsed()
    for options_class in train_flags.TRAIN_CLASSES:
        for field in dataclasses.fields(options_class):
            assert re.search(r"[.)]$", values[field.name].help), field.name


def test_values_reach_the_options() -> None:
    model, train, preparation = train_flags.read_train_flags(
        parsed(
            *("--data_dir=d", "--model_dir=m", "--seed=3", "--fusion_units=7,5", "--nocascade"),
            *("--task_weights=1,0.5", "--source=taobao", "--cuts=0.1,0.2,0.3"),
        )
    )
    assert (train.data_dir, train.model_dir, train.seed) == ("d", "m", 3)
    assert train.task_weights == (1.0, 0.5)
    assert (model.fusion_units, model.cascade) == ((7, 5), False)
    assert (preparation.data_dir, preparation.seed) == ("d", 3)
    assert (preparation.source, preparation.cuts) == ("taobao", (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data_dir: must name a directory, got ''"),
        (["--data_dir=d"], "--model_dir: must name a directory, got ''"),
        (["--data_dir=d", "--model_dir=m", "--epochs=0"], "--epochs: must be at least 1, got 0"),
        (["--data_dir=d", "--model_dir=m", "--task_weights=a"], "--task_weights: expected a comma"),
        (
            ["--data_dir=d", "--model_dir=m", "--dropout=1"],
            r"--dropout: must be in \[0, 1\), got 1",
        ),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_flags.read_train_flags(parsed(*arguments))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.flags")), ids=lambda path: path.name)
def test_packaged_flagfiles_are_valid_and_found_by_name(path, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in (path.name, f"mgoe_tf/configs/{path.name}", str(path)):
        values = parsed(f"--flagfile={argument}", "--data_dir=d", "--model_dir=m")
        _, train, _ = train_flags.read_train_flags(values)
        assert train.model in path.read_text()


def test_a_flagfile_that_exists_wins_over_a_packaged_one(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("mmoe.flags").write_text("--model=own\n")
    assert parsed("--flagfile", "mmoe.flags")["model"].value == "own"
    assert train_flags.find_flagfiles(["--flagfile=nothing.flags", "x"]) == [
        "--flagfile=nothing.flags",
        "x",
    ]


def test_preparation_flags_must_agree_with_an_existing_data_set(data_dir) -> None:
    from mgoe_tf.training import checkpoints

    spec = checkpoints.read_spec(data_dir)

    def check(*arguments: str) -> None:
        values = parsed(f"--data_dir={data_dir}", "--model_dir=m", *arguments)
        preparation = train_flags.read_train_flags(values)[2]
        train_flags.require_prepared_so(values, preparation, spec)

    check()
    check("--seed=7", "--num_workers=3", "--source=csv", "--rows=pairs", "--cuts=0.3,0.5,0.7,0.85")
    with pytest.raises(ValueError, match=r"--negatives=4: .* was prepared with 2\. Leave the flag"):
        check("--negatives=4")
    with pytest.raises(ValueError, match=r"--split=random: .* was prepared with time"):
        check("--split=random")
