"""The plans: which settings of the model of interest are tried, and how large everything is."""

from __future__ import annotations

import dataclasses

# The model whose ablations and figures are made, and whose lead the tables tell.
SUBJECT = "mgoe"
# The one that it is compared with where not all are.
RIVAL = "mmoe"
# Data and rows as the paper likely had them: an event a row, windows drawn at random.
EVENTS_AT_RANDOM = (
    "--rows=events",
    "--split=random",
    "--min_user_events=20",
    "--noactivity_features",
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A way to run the model of interest otherwise than in the table of all models.

    Attributes:
      name: of its directories, and in CSV files.
      title: in tables.
      train: flags of mgoe_tf.train.
      preparation: flags of input_pipeline.prepare, where it is a matter of the data.
      at: where a figure has it: a temperature, a number of groups, a pair of weights.
      default: whether it is the setting that the model has anyway, where no flag says otherwise.
    """

    name: str
    title: str
    train: tuple[str, ...] = ()
    preparation: tuple[str, ...] = ()
    at: tuple[float, ...] = ()
    default: bool = False


def temperature(value: float) -> Setting:
    """tau of Eq. 14."""
    flags = (f"--temperature={value:g}",)
    name = f"temperature_{value:g}"
    return Setting(name, f"tau {value:g}", flags, at=(value,), default=value == 1)


def groups(number: int) -> Setting:
    """K user and K item macro nodes."""
    flags = (f"--num_user_macro_nodes={number}", f"--num_item_macro_nodes={number}")
    return Setting(f"groups_{number}", f"K {number}", preparation=flags, at=(number,))


def omegas(high: float, low: float) -> Setting:
    """Weights of active and of inactive nodes in the grouping (Eq. 9)."""
    flags = (f"--omega_high={high:g}", f"--omega_low={low:g}")
    name = f"omegas_{high:g}_{low:g}"
    return Setting(name, f"omega {high:g}, {low:g}", preparation=flags, at=(high, low))


ABLATIONS = (
    Setting("no_preference", "w/o preference", preparation=("--nopreference",)),
    Setting("no_adjustment", "w/o adjustment", ("--noadjustment",)),
    Setting("no_cascade", "w/o cascading", ("--nocascade",)),
    Setting("no_micro_neighbors", "w/o micro neighbours", ("--nomicro_neighbors",)),
    Setting("no_macro_graph", "w/o macro graph", ("--nomacro_graph",)),
    Setting("grouping_rows", "grouping by rows", preparation=("--grouping=rows",)),
)
# What this project added to the paper's model, taken away again.
ADDITIONS = (
    Setting("no_macro_match", "w/o macro match (our addition)", ("--nomacro_match",)),
    Setting(
        "paper_fusion",
        "the paper's fusion",
        ("--nointeractions", "--noneighbor_features"),
    ),
)
PROTOCOL = Setting("events_random", "events at random", preparation=EVENTS_AT_RANDOM)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
      seeds: of training.
      sweep_seeds: how many of them the figures and the protocols have.
      train: flags of mgoe_tf.train that every run has.
      ablations, temperatures, groups, omegas: settings of the model of interest.
      ablations_of_every_seed: else of those that the figures have.
      every_model_in_protocols: else the model of interest and one rival.
      rounds: of timing.
      world: flags of the preparation of a synthetic world, where no data are given; () without.
    """

    seeds: tuple[int, ...]
    sweep_seeds: int
    train: tuple[str, ...]
    ablations: tuple[Setting, ...]
    temperatures: tuple[Setting, ...]
    groups: tuple[Setting, ...]
    omegas: tuple[Setting, ...]
    ablations_of_every_seed: bool
    every_model_in_protocols: bool
    rounds: int
    world: tuple[str, ...] = ()

    def settings(self, part: str) -> tuple[Setting, ...]:
        """Of a part of the experiments."""
        return {
            "ablations": self.ablations,
            "temperature": self.temperatures,
            "groups": self.groups,
            "omegas": self.omegas,
            "protocols": (PROTOCOL,),
        }.get(part, ())


PLANS = {
    "quick": Plan(
        seeds=(0, 1),
        sweep_seeds=1,
        train=("--epochs=2", "--batch_size=256", "--learning_rate=0.01"),
        ablations=ABLATIONS,
        temperatures=tuple(map(temperature, (0.1, 1, 1.9))),
        groups=tuple(map(groups, (5, 10))),
        omegas=tuple(omegas(high, low) for high in (1, 2) for low in (0.5,)),
        ablations_of_every_seed=False,
        every_model_in_protocols=False,
        rounds=10,
        world=(
            "--source=synthetic",
            "--users=400",
            "--items=500",
            "--events=24000",
            "--record_layout=request",
            "--num_user_macro_nodes=10",
            "--num_item_macro_nodes=10",
            "--num_shards=2",
        ),
    ),
    "paper": Plan(
        seeds=(0, 1, 2, 3, 4),
        sweep_seeds=2,
        train=(),
        ablations=ABLATIONS + ADDITIONS,
        temperatures=tuple(map(temperature, (0.1, 0.4, 0.7, 1, 1.3, 1.6, 1.9))),
        groups=tuple(map(groups, (5, 10, 15, 20, 25, 30))),
        omegas=tuple(omegas(high, low) for high in (1, 2, 4) for low in (0.25, 0.5, 1)),
        ablations_of_every_seed=True,
        every_model_in_protocols=True,
        rounds=40,
    ),
}
