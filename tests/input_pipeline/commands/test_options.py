"""Flags that are paths."""

import dataclasses

from absl import flags

from input_pipeline.commands.options import define_flags, from_flags, option


@dataclasses.dataclass(frozen=True)
class _Options:
    """Of each kind."""

    one: str = option("", "A path.", is_path=True)
    many: tuple[str, ...] = option((), "Paths.", is_path=True)
    none: str | None = option(None, "A path that need not be given.", is_path=True)
    name: str = option("", "No path.")


def test_the_home_directory_is_written_out_in_paths_alone(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    values = flags.FlagValues()
    define_flags(_Options, values)
    values(["command", "--one=~/a b", "--many=~/x,gs://b/~,~", "--name=~/a"])
    assert from_flags(_Options, values) == _Options(
        "/home/somebody/a b", ("/home/somebody/x", "gs://b/~", "/home/somebody"), None, "~/a"
    )
