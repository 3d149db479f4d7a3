"""The options of the experiments; every field is a flag of the same name."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

from input_pipeline.commands.options import option
from input_pipeline.files import filesystem
from mgoe_tf.experimenting.plans import PLANS, Plan
from mgoe_tf.models.registry import MODELS

PARTS = ("ablations", "temperature", "groups", "omegas", "timing", "protocols")
_ALL = "all"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclasses.dataclass(frozen=True)
class ExperimentOptions:
    """Which models, on which data, how often."""

    plan: str = option(
        "quick",
        "quick: small figures, on a synthetic world that the command makes where no --data_dirs "
        "are given. paper: the tables and figures of the paper.",
        tuple(PLANS),
    )
    data_dirs: tuple[str, ...] = option(
        (), "Prepared data sets, as NAME=DIR,NAME=DIR; the names are those of the page."
    )
    output: str = option(
        "",
        "Local directory of all runs and of report.html; one that is there is gone on with.",
        is_path=True,
    )
    models: tuple[str, ...] = option((_ALL,), "Models by name, or all that are registered.")
    seeds: tuple[str, ...] = option(
        (), "Seeds of training, as 0-4 or 0,2,5. Default: 0-1 in plan quick, 0-4 in paper."
    )
    sweep_seeds: int = option(
        0,
        "Seeds of the figures over temperature, groups and omegas and of the protocols: the first "
        "ones of --seeds. 0: as the plan has it, 1 in quick and 2 in paper.",
    )
    tuned: tuple[str, ...] = option(
        (),
        "Studies of mgoe_tf.tune, whose <model>/best.flags is each model's flagfile: one for all "
        "data sets, or NAME=DIR by their names.",
    )
    workers: int = option(2, "Processes that train at the same time.")
    parts: tuple[str, ...] = option(
        (_ALL,), f"What to do beside the table of all models: all, none, or of {', '.join(PARTS)}."
    )
    train_flags: tuple[str, ...] = option(
        (), "Further flags of mgoe_tf.train for every run, as --train_flags=--epochs=5."
    )

    def __post_init__(self) -> None:
        if not self.output:
            raise ValueError("--output: must name a directory, got ''")
        if filesystem.is_remote(self.output):
            raise ValueError(f"--output: must be a local directory, got {self.output}")
        if self.workers < 1:
            raise ValueError(f"--workers: must be at least 1, got {self.workers}")
        if self.sweep_seeds < 0:
            raise ValueError(f"--sweep_seeds: must be at least 0, got {self.sweep_seeds}")
        if self.plan == "paper" and not self.data_dirs:
            raise ValueError("--data_dirs: must name a data set with --plan=paper, got none")
        known = {"models": tuple(MODELS), "parts": (*PARTS, "none")}
        for name, choices in known.items():
            wrong = [value for value in getattr(self, name) if value not in (*choices, _ALL)]
            if wrong or not getattr(self, name):
                raise ValueError(
                    f"--{name}: must be {_ALL} or of {', '.join(choices)}, got "
                    f"{list(getattr(self, name))}"
                )
        _ = self.named_data_dirs, self.chosen_seeds, self.study_of("")

    @property
    def named_data_dirs(self) -> dict[str, str]:
        """Directories by name, in their order."""
        return _named("data_dirs", self.data_dirs)

    @property
    def chosen_models(self) -> tuple[str, ...]:
        """In the order of the registry, or as they are named."""
        return tuple(MODELS) if _ALL in self.models else tuple(dict.fromkeys(self.models))

    @property
    def chosen_parts(self) -> tuple[str, ...]:
        """Of PARTS."""
        return PARTS if _ALL in self.parts else tuple(p for p in PARTS if p in self.parts)

    @property
    def chosen_seeds(self) -> tuple[int, ...]:
        """Ascending as they are named, no seed twice."""
        found: list[int] = []
        for text in self.seeds:
            ends = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
            if not ends or int(ends[2] or ends[1]) < int(ends[1]):
                raise ValueError(f"--seeds: must be like 0-4 or 0,2,5, got {list(self.seeds)}")
            found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
        return tuple(dict.fromkeys(found)) or PLANS[self.plan].seeds

    @property
    def fewer_seeds(self) -> tuple[int, ...]:
        """The seeds of figures and protocols."""
        return self.chosen_seeds[: self.sweep_seeds or PLANS[self.plan].sweep_seeds]

    @property
    def sizes(self) -> Plan:
        """How large the figures are."""
        return PLANS[self.plan]

    def study_of(self, data: str) -> str:
        """The study that tuned the models for a data set; "": none did."""
        if len(self.tuned) == 1 and "=" not in self.tuned[0]:
            return os.path.expanduser(self.tuned[0])
        return _named("tuned", self.tuned).get(data, "")


def _named(flag: str, items: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or not path or not _NAME.fullmatch(name) or name in found:
            raise ValueError(
                f"--{flag}: must be NAME=DIR,NAME=DIR with names of letters and digits, each its "
                f"own, got {list(items)}"
            )
        found[name] = os.path.expanduser(path)
    return found
