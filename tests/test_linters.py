"""The linters are the same by hand, in pre-commit and in CI."""

import pathlib

import yaml

ROOT = pathlib.Path(__file__).parent.parent


def test_pre_commit_runs_the_linters_of_ci_and_fetches_nothing() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    section = script.partition('echo "== linters"\n')[2].partition("echo ")[0]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == section.splitlines()
    for hook in hooks:
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False  # the whole tree, as CI
