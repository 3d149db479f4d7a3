"""Flags, flagfiles and the options made of them."""

import dataclasses
import inspect
import pathlib
import re

import pytest
import tensorflow as tf
from absl import flags

from input_pipeline.commands import options
from input_pipeline.spec import read_spec
from mgoe_tf import flags as train_flags
from mgoe_tf.flagfiles import find_flagfiles
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.models.registry import MODELS, build_model
from tests.encoded_rows import make_spec
from tests.model_assets import assets_of

CONFIGS = pathlib.Path(train_flags.__file__).parent / "configs"


def parsed(*arguments: str) -> flags.FlagValues:
    """As the command reads its arguments."""
    argv = ["train", *find_flagfiles(arguments)]
    model = train_flags.look_ahead(argv).model
    values = flags.FlagValues()
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    train_flags.define_train_flags(values, model)
    train_flags.parser_for(model, values)(argv)
    return values


@pytest.mark.parametrize("options_class", train_flags.SHARED_CLASSES)
def test_defaults_of_flags_are_those_of_the_dataclass(options_class) -> None:
    assert options.from_flags(options_class, parsed()) == options_class()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_defaults_of_flags_dataclass_and_constructor_agree(name) -> None:
    model_class = MODELS[name]
    model_options = options.from_flags(model_class.options_class, parsed(f"--model={name}"))
    assert type(model_options) is model_class.options_class
    assert model_options == model_class.options_class()
    model = build_model(name, make_spec(), assets=assets_of(name, make_spec()))
    assert model.options == model_options
    defaults = dataclasses.asdict(model_options)
    compared = 0
    for layer in model.submodules:
        if isinstance(layer, tf.keras.layers.Layer) and not isinstance(layer, RankingModel):
            for parameter in inspect.signature(type(layer)).parameters.values():
                if parameter.name in defaults and parameter.default is not parameter.empty:
                    assert parameter.default == defaults[parameter.name], (layer, parameter)
                    compared += 1
    assert compared  # dropout, in every model


@pytest.mark.parametrize("name", sorted(MODELS))
def test_no_option_of_a_model_has_the_name_of_another_flag(name) -> None:
    own = {field.name for field in dataclasses.fields(MODELS[name].options_class)}
    shared = {field.name for c in train_flags.SHARED_CLASSES for field in dataclasses.fields(c)}
    # absl's own, which are there in every command, among them
    assert not own & (shared | set(flags.FLAGS) | {"help", "helpshort", "helpfull", "undefok"})


def test_a_model_whose_option_has_the_name_of_another_flag_is_refused(monkeypatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class ToyOptions(ModelOptions):
        epochs: int = options.option(3, "Of its own.")

    class Toy(RankingModel):
        options_class = ToyOptions

    monkeypatch.setitem(MODELS, "toy", Toy)
    with pytest.raises(ValueError, match=r"--model=toy: its options \['epochs'\] have the names"):
        parsed("--model=toy")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model=mmoe",),
        ("-model=mmoe",),
        ("--model", "mmoe"),
        ("--model=mgoe", "--model=mmoe"),
        ("--embedding_dim", "12", "--model=mmoe"),
        ("--flagfile=mmoe.flags",),
        ("--flagfile", "outer.flags"),
        ("--flagfile=mgoe.flags", "--flagfile=outer.flags"),
    ],
    ids=" ".join,
)
def test_the_model_is_found_wherever_it_is_named(arguments, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("outer.flags").write_text("# nested\n--epochs=2\n--flagfile=inner.flags\n")
    pathlib.Path("inner.flags").write_text("--model=mmoe\n")
    argv = ["train", *find_flagfiles(arguments)]
    assert train_flags.look_ahead(argv) == train_flags.Choice("mmoe", wants_help=False)
    assert train_flags.look_ahead([*argv, "--help"]).wants_help


def test_flags_are_those_of_the_chosen_model_alone() -> None:
    assert "cascade" in parsed("--model=mgoe")
    assert "cascade" not in parsed("--model=mmoe")
    assert parsed("--model=mmoe", "--num_experts=7")["num_experts"].value == 7
    mmoe = (
        r"--model=mmoe takes --embedding_dim --tower_units --dropout --gate_temperature "
        r"--num_experts --expert_units"
    )
    for flag in ("head_units=99", "nocascade"):
        name = flag.partition("=")[0]
        with pytest.raises(ValueError, match=f"--{name} is a flag of mgoe. {mmoe}, beside"):
            parsed("--model=mmoe", f"--{flag}")
    with pytest.raises(ValueError, match=r"--learnin_rate is no flag, did you mean --learning_ra"):
        parsed("--model=mmoe", "--learnin_rate=1")
    with pytest.raises(ValueError, match=r"--temperature is a flag of macgnn, mgoe"):
        parsed("--flagfile=mgoe.flags", "--model=mmoe")


def test_help_shows_shared_flags_and_those_of_the_model_by_group() -> None:
    text = train_flags.help_text(parsed("--model=mmoe"), "mmoe")
    assert re.findall(r"^(\w+).*:$", text, re.MULTILINE) == ["training", "model", "preparation"]
    training, rest = text.split("\nmodel mmoe ")
    own, preparation = rest.split("\npreparation")
    assert "--epochs: The most passes" in training
    assert re.findall(r"^  --(?:\[no\])?(\w+):", own, re.MULTILINE) == [
        *("embedding_dim", "tower_units", "dropout", "gate_temperature"),
        *("num_experts", "expert_units"),
    ]
    assert "(default: '64,32')" in own
    assert "--num_user_macro_nodes:" in preparation
    assert "--[no]preference:" in preparation
    # shared with training, where it is shown
    assert "--seed:" not in preparation
    for name in parsed("--model=mmoe"):
        assert len(re.findall(rf"--(?:\[no\])?{name}:", text)) == (name != "flagfile"), name


def test_the_flags_that_a_run_of_another_model_repeats() -> None:
    values = parsed(
        *("--flagfile=mgoe.flags", "--nocascade", "--task_weights=1,0.5", "--data_dir=d"),
        *("--model_dir=m", "--source=taobao", "--noevaluate_test"),
    )
    assert train_flags.given_for("mmoe", values) == [
        *("--data_dir=d", "--batch_size=1024", "--learning_rate=0.005", "--l2=1e-05"),
        *("--task_weights=1,0.5", "--noevaluate_test", "--embedding_dim=10"),
    ]
    assert "--nocascade" in train_flags.given_for("mgoe", values)


def test_every_flag_has_a_help_text_that_ends_like_a_sentence() -> None:
    for name, model_class in MODELS.items():
        values = parsed(f"--model={name}")
        for options_class in (*train_flags.SHARED_CLASSES, model_class.options_class):
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


def test_flags_win_over_the_size_wherever_they_stand() -> None:
    model, _, _ = train_flags.read_train_flags(
        parsed("--data_dir=d", "--model_dir=m", "--head_units=5", "--size=small")
    )
    assert (model.head_units, model.num_shared_experts) == (5, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data_dir: must name a directory, got ''"),
        (["--data_dir=d"], "--model_dir: must name a directory, got ''"),
        (["--data_dir=d", "--model_dir=m", "--epochs=0"], "--epochs: must be at least 1, got 0"),
        (["--data_dir=d", "--model_dir=m", "--task_weights=a"], "--task_weights: expected a comma"),
        (["--epochs=a"], "flag --epochs=a: invalid literal for int"),
        (["--model=foo"], r"--model: must be one of .*mgoe, .*mmoe.*, got 'foo'$"),
        (["--model"], "Missing value for flag --model$"),
        (["--flagfile=nothing.flags"], "Unable to open flagfile: .*'nothing.flags'"),
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
    pathlib.Path("mmoe.flags").write_text("--model=mgoe\n")
    assert parsed("--flagfile", "mmoe.flags")["model"].value == "mgoe"
    assert find_flagfiles(["--flagfile=nothing.flags", "x"]) == [
        "--flagfile=nothing.flags",
        "x",
    ]


def test_preparation_flags_must_agree_with_an_existing_data_set(data_dir) -> None:

    spec = read_spec(data_dir)

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
