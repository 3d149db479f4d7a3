"""A training run of the experiments: its directory, its command, whether it is finished."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

from input_pipeline.files import filesystem
from input_pipeline.spec import read_spec
from mgoe_tf import flags as train_flags
from mgoe_tf.experimenting.jobs import Job
from mgoe_tf.models.registry import model_class
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.run_card import data_checksum

# Flags on which no metric depends, and those that a run has by its place.
_FREE = frozenset(
    {"data_dir", "model_dir", "resume", "report", "intra_op_threads", "keep_checkpoints"}
    | {"checkpoint_steps", "profile_steps"}
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A model, a seed, a data set, and how they are run otherwise than in the first table.

    Attributes:
      data: the name of the data set.
      data_dir: where its rows are, as prepared for this run.
      model: by its name in the registry.
      setting: the name of the `Setting`; "": that of the first table.
      seed: of training.
      flags: of mgoe_tf.train, without those that name directories, model and seed.
      output: of all runs.
      prepared_by: the name of the job that prepares the data; "": they are there.
    """

    data: str
    data_dir: str
    model: str
    setting: str
    seed: int
    flags: tuple[str, ...]
    output: str
    prepared_by: str = ""

    @property
    def name(self) -> str:
        """What it is, in words."""
        parts = (self.data, self.setting.replace("_", " "), self.model, f"seed {self.seed}")
        return " ".join(filter(None, parts))

    @property
    def model_dir(self) -> str:
        """An ordinary model directory."""
        folder = filesystem.join(self.output, "runs", self.data, self.setting or "all_models")
        return filesystem.join(folder, f"{self.model}-{self.seed}")

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of mgoe_tf.train. Flags that come later win."""
        return (
            *self.flags,
            f"--data_dir={self.data_dir}",
            f"--model_dir={self.model_dir}",
            f"--model={self.model}",
            f"--seed={self.seed}",
            "--resume",
            "--noreport",
        )

    @property
    def log(self) -> str:
        """What its process says."""
        name = f"{self.data}-{self.setting or 'all_models'}-{self.model}-{self.seed}.log"
        return filesystem.join(self.output, "logs", name)

    def job(self) -> Job:
        """Trains it, or goes on with it."""
        return Job(
            name=self.name,
            arguments=("mgoe_tf.train", *self.arguments),
            log=self.log,
            is_done=self.is_finished,
            needs=self.prepared_by,
            locked=self.model_dir,
        )

    def is_finished(self) -> bool:
        """Whether its test metrics are there."""
        return (
            checkpoints.holds_run(self.model_dir)
            and checkpoints.read_metrics(self.model_dir, "test") is not None
        )

    def options(self) -> dict[str, Any]:
        """Everything that its flags decide, by name.

        Raises:
          ValueError: a flag is wrong, or of another model.
        """
        values = flags.FlagValues()  # type: ignore[no-untyped-call]
        train_flags.define_train_flags(values, self.model)
        train_flags.parser_for(self.model, values)(["mgoe_tf.train", *self.arguments])
        model_options, options, _ = train_flags.read_train_flags(values)
        return dataclasses.asdict(options) | dataclasses.asdict(model_options)

    def require_same(self) -> None:
        """Raises ValueError where its directory holds a run of other flags, or of other rows."""
        if not checkpoints.holds_run(self.model_dir):
            return
        of_model, of_training = checkpoints.read_options(self.model_dir)
        found = dataclasses.asdict(of_training) | dataclasses.asdict(of_model)
        for name, wanted in self.options().items():
            if name not in _FREE and found.get(name) != wanted:
                raise ValueError(
                    f"--output={self.output}: the run in {self.model_dir} was begun with "
                    f"--{name}={found.get(name)}, and is now to have {wanted}: name another "
                    "--output, or remove the run"
                )
        if not filesystem.exists(self.data_dir):
            return
        if data_checksum(read_spec(self.model_dir)) != data_checksum(read_spec(self.data_dir)):
            raise ValueError(
                f"--output={self.output}: the run in {self.model_dir} was begun on other rows than "
                f"{self.data_dir} holds: name another --output, or remove the run"
            )


def takes(model: str, flag: str) -> bool:
    """Whether a model, or training, has the flag that an argument like `--nocascade` sets."""
    classes = (TrainOptions, model_class(model).options_class)
    own = {field.name for options in classes for field in dataclasses.fields(options)}
    name = flag.lstrip("-").partition("=")[0]
    return name in own or (name.startswith("no") and name.removeprefix("no") in own)
