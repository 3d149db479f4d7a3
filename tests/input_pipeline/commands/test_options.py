"""Flags that are lists."""

import dataclasses

import pytest
from absl import flags

from input_pipeline.commands.options import define_flags, from_flags, option


@dataclasses.dataclass(frozen=True)
class Options:
    paths: tuple[str, ...] = option((), "Added to.", repeated=True)
    names: tuple[str, ...] = option((), "Replaced.")


@pytest.mark.parametrize(
    ("arguments", "paths", "names"),
    [
        ([], (), ()),
        (["--paths=a"], ("a",), ()),
        (["--paths=a,b", "--paths", 'c,"d,e"', "--paths=f"], ("a", "b", "c", "d,e", "f"), ()),
        (["--names=a,b", "--names=c", "--paths="], (), ("c",)),
    ],
)
def test_lists(arguments: list[str], paths: tuple[str, ...], names: tuple[str, ...]) -> None:
    values = flags.FlagValues()
    define_flags(Options, values)
    values(["command", *arguments])
    assert from_flags(Options, values) == Options(paths, names)
