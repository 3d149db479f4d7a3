"""The commands that a page shows are those that were given."""

import dataclasses
import shlex

from absl import flags

from input_pipeline.commands.options import define_flags, from_flags
from input_pipeline.preparation_options import PreparationOptions
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.reports.commands import prepare_command, train_command
from mgoe_tf.training.options import TrainOptions
from tests.encoded_rows import make_spec


def parsed(command: str, options_class: type):
    values = flags.FlagValues()
    define_flags(options_class, values)
    python, m, module, *given = shlex.split(command)
    assert (python, m) == ("python", "-m")
    values([module, *given], known_only=True)
    return from_flags(options_class, values)


def test_training_is_read_back_from_its_command() -> None:
    options = TrainOptions(
        data_dir="my data/it's",
        model_dir="m",
        epochs=3,
        task_weights=(1.0, 0.5),
        evaluate_test=False,
        profile_steps=(2, 4),
        resume=True,
    )
    model_options = MGOEOptions(cascade=False, fusion_units=(8, 4), temperature=0.25)
    command = train_command(options, model_options)
    assert parsed(command, TrainOptions) == dataclasses.replace(options, resume=False)
    assert parsed(command, MGOEOptions) == model_options
    assert "--nocascade" in command
    assert "--seed" not in command
    # what the size gave is not repeated
    assert "--head_units" not in command
    model_options = MGOEOptions(size="small", head_units=4)
    assert parsed(train_command(options, model_options), MGOEOptions) == model_options


def test_preparation_is_read_back_from_its_command() -> None:
    preparation = PreparationOptions(
        source="csv",
        input=("logs/*.csv", "other,logs"),
        data_dir="d",
        cuts=(0.3, 0.5, 0.7),
        task_columns=("a:click", 'odd,"name":buy'),
        preference=False,
    )
    spec = dataclasses.replace(make_spec(), flags=dataclasses.asdict(preparation))
    # as read from JSON
    spec.flags["cuts"] = list(spec.flags["cuts"])
    command = prepare_command(spec)
    assert command.startswith("python -m input_pipeline.prepare --source=csv ")
    assert parsed(command, PreparationOptions) == preparation
