"""Flags that are lists, or paths."""

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


@dataclasses.dataclass(frozen=True)
class Paths:
    """Of each kind."""

    one: str = option("", "A path.", is_path=True)
    many: tuple[str, ...] = option((), "Paths.", is_path=True)
    none: str | None = option(None, "A path that need not be given.", is_path=True)
    name: str = option("", "No path.")


def test_the_home_directory_is_written_out_in_paths_alone(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    values = flags.FlagValues()
    define_flags(Paths, values)
    values(["command", "--one=~/a b", "--many=~/x,gs://b/~,~", "--name=~/a"])
    assert from_flags(Paths, values) == Paths(
        "/home/somebody/a b", ("/home/somebody/x", "gs://b/~", "/home/somebody"), None, "~/a"
    )
