"""The data sets of the experiments: as given, or prepared otherwise from the same log."""

from __future__ import annotations

import dataclasses

from input_pipeline.commands.options import as_flags
from input_pipeline.files import filesystem
from input_pipeline.files.failures import is_failure, reason
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.raw_files import stored_file
from input_pipeline.spec import SPEC_FILE, DatasetSpec, read_spec
from mgoe_tf.experimenting.jobs import Job
from mgoe_tf.experimenting.plans import Setting


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A prepared data set of the tables.

    Attributes:
      name: on the page.
      data_dir: where it is.
      spec: what it holds.
    """

    name: str
    data_dir: str
    spec: DatasetSpec

    @classmethod
    def read(cls, name: str, data_dir: str) -> DataSet:
        """Raises ValueError where there is none."""
        return cls(name, data_dir, read_spec(data_dir))

    @property
    def protocol(self) -> str:
        """What its rows are and how they were divided."""
        windows = {
            "time": "windows cut by time",
            "order": "windows cut by each user's order",
            "random": "windows drawn at random",
        }
        return f"{self.spec.rows}, {windows[self.spec.split]}"

    def is_prepared_so(self, changes: tuple[str, ...]) -> bool:
        """Whether flags of preparation are those it was made with anyway."""
        made_with = self.spec.flags | {"rows": self.spec.rows, "split": self.spec.split}
        return all(_is_so(made_with, change) for change in changes)


def _is_so(made_with: dict[str, object], flag: str) -> bool:
    name, equals, value = flag.lstrip("-").partition("=")
    if equals:
        known = made_with.get(name)
        number = isinstance(known, (int, float)) and not isinstance(known, bool)
        return float(value) == known if number else value == str(known)
    if name in made_with:
        return made_with[name] is True
    return made_with.get(name.removeprefix("no")) is False


def world(output: str, flags: tuple[str, ...]) -> Job:
    """Prepares a synthetic world."""
    return _preparation("preparing a synthetic world", world_dir(output), output, flags)


def world_dir(output: str) -> str:
    """Where `world` prepares it."""
    return filesystem.join(output, "data", "world")


def variant_dir(data: DataSet, setting: Setting, output: str) -> str:
    """Where `variant` prepares it."""
    return filesystem.join(output, "data", f"{data.name}-{setting.name}")


def variant(data: DataSet, setting: Setting, output: str) -> Job:
    """Prepares the log of a data set with its own flags, but for those of a setting.

    Raises:
      ValueError: the log is not there any more, or is another one.
    """
    target = variant_dir(data, setting, output)
    if not filesystem.exists(filesystem.join(target, SPEC_FILE)):
        require_source(data.spec)
    flags = (*as_flags(PreparationOptions, data.spec.flags), *setting.preparation)
    return _preparation(f"preparing {data.name} {setting.title}", target, output, flags)


def _preparation(name: str, data_dir: str, output: str, flags: tuple[str, ...]) -> Job:
    return Job(
        name=name,
        arguments=("input_pipeline.prepare", *flags, f"--data_dir={data_dir}"),
        log=filesystem.join(output, "logs", f"prepare-{data_dir.rpartition('/')[2]}.log"),
        is_done=lambda: filesystem.exists(filesystem.join(data_dir, SPEC_FILE)),
    )


def require_source(spec: DatasetSpec) -> None:
    """Raises ValueError where the log that a data set was made from cannot be read again."""
    if spec.source != "synthetic" and not spec.source_files:
        raise ValueError("its files were not recorded")
    for file in spec.source_files:
        if not filesystem.exists(file.path):
            raise ValueError(f"its file {file.path} is not there any more")
        try:
            found = stored_file(file.path)
        except Exception as error:
            if not is_failure(error):
                raise
            raise ValueError(f"its file {file.path} cannot be read: {reason(error)}") from error
        if found != file:
            raise ValueError(f"its file {file.path} holds something else by now")
