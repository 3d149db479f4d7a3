"""The command line of the launcher."""

import pathlib

import pytest

from mgoe_tf.launch import LaunchOptions, read_arguments

TRAIN = ["--data_dir=d", "--model_dir=m", "--epochs=3"]


def test_its_own_flags_are_taken_and_the_others_passed_on() -> None:
    options, arguments = read_arguments(
        ["launch", "--workers=3", "--parameter_servers=2", "--noevaluator", *TRAIN]
    )
    assert options.counts == {"ps": 2, "worker": 3, "chief": 1}
    assert options.role_logs == "m/cluster_logs"
    assert arguments == [*TRAIN, "--distribution=parameter_server"]


def test_without_servers_workers_step_together() -> None:
    options, arguments = read_arguments(["launch", *TRAIN])
    assert options.counts == {"worker": 2}
    assert arguments[-1] == "--distribution=multi_worker"


def test_a_flagfile_may_hold_flags_of_both(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run.flags").write_text(
        "--workers=1\n--parameter_servers=1\n--model_dir=m\n--l2=0\n"
    )
    options, arguments = read_arguments(["launch", f"--flagfile={tmp_path / 'run.flags'}"])
    assert options.counts == {"ps": 1, "worker": 1, "chief": 1, "evaluator": 1}
    assert arguments == ["--model_dir=m", "--l2=0", "--distribution=parameter_server"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data_dir=d"], "--model_dir: must name a directory, got ''"),
        (
            [*TRAIN, "--distribution=mirrored"],
            "--distribution: must be multi_worker with --parameter_servers=0, got mirrored",
        ),
        ([*TRAIN, "--workers=0"], "--workers: must be at least 1, got 0"),
        ([*TRAIN, "--restarts=-1"], "--restarts: must be at least 0, got -1"),
        ([*TRAIN, "--workers=two"], "two"),
    ],
)
def test_what_cannot_be_met_is_refused(flags, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_arguments(["launch", *flags])


def test_defaults_are_a_cluster_of_two_workers() -> None:
    assert LaunchOptions().distribution == "multi_worker"
