import dataclasses

from absl import flags

from input_pipeline.commands.flag_help import grouped_help
from input_pipeline.commands.options import define_flags, option


@dataclasses.dataclass(frozen=True)
class Fruit:
    count: int = option(3, "How many there are.")
    kind: str = option("apple", "Which.", ("apple", "pear"))


@dataclasses.dataclass(frozen=True)
class Basket:
    count: int = option(3, "Shared.")
    names: tuple[str, ...] = option((), "What they are called.")
    ripe: bool = option(False, "Whether they are.")


def test_flags_are_shown_once_under_titles_in_order():
    values = flags.FlagValues()
    for options_class in (Fruit, Basket):
        define_flags(options_class, values)
    assert grouped_help({"fruit": Fruit, "the basket": Basket}, values).splitlines() == [
        "fruit:",
        "  --count: How many there are.",
        "    (default: '3')",
        "  --kind: <apple|pear>: Which.",
        "    (default: 'apple')",
        "",
        "the basket:",
        "  --names: What they are called.",
        "  --[no]ripe: Whether they are.",
        "    (default: 'false')",
    ]
