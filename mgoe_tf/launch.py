"""Trains in a cluster on this machine: `python -m mgoe_tf.launch --workers=2 --data_dir=... ..`.

It is for trying out what runs on several machines by TF_CONFIG. Its own flags come first here; all
others are those of mgoe_tf.train, and are passed on.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence

from absl import flags

from input_pipeline.commands.command import run_main
from input_pipeline.commands.flag_help import grouped_help
from input_pipeline.commands.options import define_flags, from_flags, option
from mgoe_tf.flagfiles import find_flagfiles
from mgoe_tf.training.clusters.supervisor import Supervisor

_HELP = frozenset({"--help", "-help", "-h", "--helpshort"})


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """A cluster on this machine."""

    workers: int = option(2, "Processes that train.")
    parameter_servers: int = option(
        0,
        "Processes that hold shards of the id tables: --distribution=parameter_server, with a "
        "chief beside. 0: --distribution=multi_worker.",
    )
    evaluator: bool = option(
        True,
        "With parameter servers, evaluate each epoch in a process beside the others, which train "
        "on meanwhile; else the chief does so while they wait.",
    )
    restarts: int = option(
        0,
        "How often processes that end with status 75, or are killed, are started again: a worker "
        "or the evaluator of parameter servers by itself, else all from the latest checkpoint.",
    )
    role_logs: str = option(
        "",
        "Folder for <role>-<index>.log, what each process says. Default: cluster_logs in "
        "--model_dir.",
        is_path=True,
    )

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("parameter_servers", 0), ("restarts", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name}: must be at least {least}, got {getattr(self, name)}")

    @property
    def distribution(self) -> str:
        return "parameter_server" if self.parameter_servers else "multi_worker"

    @property
    def counts(self) -> dict[str, int]:
        """Processes by role, in the order in which they are started."""
        if not self.parameter_servers:
            return {"worker": self.workers}
        roles = {"ps": self.parameter_servers, "worker": self.workers, "chief": 1}
        return {**roles, "evaluator": 1} if self.evaluator else roles


def read_arguments(argv: Sequence[str]) -> tuple[LaunchOptions, list[str]]:
    """The options of a command line with its flagfiles, and the arguments that are passed on.

    Raises:
      ValueError: a flag cannot be read, contradicts another, or --model_dir is missing.
    """
    own = flags.FlagValues()  # type: ignore[no-untyped-call]
    passed = flags.FlagValues()  # type: ignore[no-untyped-call]
    define_flags(LaunchOptions, own)
    for name in ("model_dir", "distribution"):
        flags.DEFINE_string(name, "", "", flag_values=passed)
    for values in (own, passed):
        values.set_gnu_getopt(True)
        flags.DEFINE_string("flagfile", "", "", flag_values=values)
    try:
        rest = own(find_flagfiles(argv), known_only=True)
        passed(rest, known_only=True)
    except flags.Error as error:
        raise ValueError(str(error)) from None
    options = from_flags(LaunchOptions, own)
    model_dir, distribution = passed["model_dir"].value, passed["distribution"].value
    if not model_dir:
        raise ValueError("--model_dir: must name a directory, got ''")
    if distribution not in ("", options.distribution):
        raise ValueError(
            f"--distribution: must be {options.distribution} with --parameter_servers="
            f"{options.parameter_servers}, got {distribution}"
        )
    logs = options.role_logs or os.path.join(os.path.expanduser(model_dir), "cluster_logs")
    arguments = [*rest[1:], f"--distribution={options.distribution}"]
    return dataclasses.replace(options, role_logs=logs), arguments


def _command() -> int:
    if not _HELP.isdisjoint(sys.argv[1:]):
        values = flags.FlagValues()  # type: ignore[no-untyped-call]
        define_flags(LaunchOptions, values)
        print(f"{__doc__}\n{grouped_help({'a cluster on this machine': LaunchOptions}, values)}")
        return 0
    options, arguments = read_arguments(sys.argv)
    command = [sys.executable, "-m", "mgoe_tf.train", *arguments]
    supervisor = Supervisor(
        options.counts, command, log_dir=options.role_logs, restarts=options.restarts
    )
    return supervisor.run()


def main() -> None:
    """The command."""
    run_main(_command)


if __name__ == "__main__":
    main()
