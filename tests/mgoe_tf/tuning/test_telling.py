"""What a search says of itself."""

import io
import re

from mgoe_tf.tuning.best_flags import write_best_flags
from mgoe_tf.tuning.study import COMPLETE, FAIL, PRUNED, RUNNING, Final, Rung, Study, Trial
from mgoe_tf.tuning.telling import SearchProgress, result_table
from tests.mgoe_tf.tuning.scripted import plan


def _trial(model, number, state, *rungs, **changes) -> Trial:
    found = [Rung(*rung) for rung in rungs]
    seconds = sum(rung.seconds for rung in found)
    return Trial(model, number, {"batch_size": 10}, state, found, seconds, **changes)


def _study(folder: str = "study") -> Study:
    return Study(
        folder,
        {},
        [
            _trial(
                *("mmoe", 0, COMPLETE, (1, 0.7, "auc", 10.0), (3, 0.71, "auc", 20.0)),
                **{"weights": 12345},
            ),
            _trial("mmoe", 1, PRUNED, (1, 0.6, "auc", 30.0)),
            _trial("mmoe", 2, FAIL, error="ValueError: no"),
            _trial("mgoe", 0, PRUNED, (1, 0.72, "auc", 50.0)),
            _trial("mgoe", 1, RUNNING),
        ],
    )


def test_the_line_and_the_time_left() -> None:
    progress = SearchProgress(
        _study(), plan(3, "mmoe", "mgoe", stops=(1, 3)), workers=2, after_end=lambda trial: None
    )
    # mmoe: all three came, one went on. mgoe: two are to come (1 epoch each), one to go on (2),
    # at 50 s an epoch, two at a time
    assert progress.seconds_left() == (2 * 1 + 1 * 2) * 50 / 2
    assert progress.line(1) == ("4 of 6 trials; best: mgoe mean AUC 0.7200; 1:40 left; 1 under way")
    # of a model that has not begun: by the epochs of all, 110 s for 3 + 1 + 1
    study = _study()
    study.trials = [t for t in study.trials if t.model == "mmoe"] + [_study().trials[3]]
    more = plan(3, "mmoe", "mgoe", "ple", stops=(1, 3))
    progress = SearchProgress(study, more, workers=1, after_end=lambda trial: None)
    assert progress.seconds_left() == 4 * 50 + 5 * 110 / 5
    empty = SearchProgress(Study("s", {}, []), more, workers=1, after_end=lambda trial: None)
    assert empty.line() == "0 of 9 trials; time left not known yet"


def test_finals_are_told_with_the_mean_so_far_and_the_time_left() -> None:
    study, stream = _study(), io.StringIO()
    made = plan(3, "mmoe", stops=(1, 3))
    study.trials = study.of("mmoe")
    study.trials[0].finals = [Final(6, 0.73, 40.0)]
    progress = SearchProgress(
        study, made, workers=1, finals=4, after_end=lambda trial: None, stream=stream
    )
    progress.final_ended(study.trials[0])
    # 3 + 1 epochs took 60 s and three more of a final 40 s; three finals of 3 epochs are left
    assert progress.seconds_left() == 9 * 100 / 7
    assert stream.getvalue().splitlines() == [
        "mmoe/trial-0000-seed-6: mean AUC 0.7300, in 0:40; so far mean AUC 0.7200 over 2 seeds",
        "3 of 3 trials; 1 of 4 finals; best: mmoe mean AUC 0.7200 over 2 seeds; 2:09 left",
    ]
    assert "mean AUC 0.7200 over 2 seeds" in result_table(study, made)
    study.trials[0].finals.append(Final(7, None, 1.0))
    progress.final_ended(study.trials[0])
    assert "trial-0000-seed-7: no score, in 0:01; so far no score" in stream.getvalue()


def test_a_terminal_is_redrawn_and_a_log_has_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    study, told = _study(), []
    made = plan(3, "mmoe", "mgoe", stops=(1, 3))
    for stream in (io.StringIO(), Terminal()):
        progress = SearchProgress(study, made, workers=1, after_end=told.append, stream=stream)
        progress.waiting(1)
        progress.waiting(1)  # too soon to be redrawn
        for trial in study.trials[:3]:
            progress.ended(trial)
        lines = stream.getvalue().split("\n")[:-1]
        if not stream.isatty():
            assert lines[::2] == [
                "mmoe/trial-0000: mean AUC 0.7100 at 3 epochs, in 0:20; complete",
                "mmoe/trial-0001: mean AUC 0.6000 at 1 epoch, in 0:30; stopped, unless it is "
                "promoted",
                "mmoe/trial-0002: FAIL: ValueError: no",
            ]
            assert all(line.startswith("4 of 6 trials; ") for line in lines[1::2])
        else:
            assert stream.getvalue().count("under way") == 1
            assert re.sub(r".*\x1b\[K", "", lines[0]).startswith("mmoe/trial-0000: ")
    assert told == study.trials[:3] * 2


def test_the_table_has_the_best_first_and_those_without_a_score_last() -> None:
    lines = result_table(_study(), plan(3, "ple", "mmoe", "mgoe")).splitlines()
    cells = [re.split(r"  +", line) for line in lines]
    assert cells[0] == [
        *("model", "validation", "best trial", "state", "epochs", "weights", "time"),
        *("trials", "failed", "time of all"),
    ]
    assert [line[:4] for line in cells[1:]] == [
        ["mgoe", "mean AUC 0.7200", "trial-0000", "PRUNED"],
        ["mmoe", "mean AUC 0.7100", "trial-0000", "COMPLETE"],
        ["ple", "-", "-", "-"],
    ]
    assert cells[2][4:] == ["3", "12,345", "0:30", "3", "1", "1:00"]


def test_best_flags_say_trial_score_and_study(tmp_path) -> None:
    study = _study(str(tmp_path))
    (tmp_path / "mmoe").mkdir()
    study.trials[0].flags = {"l2": 0.0, "xla": True, "tower_units": [8, 4], "task_weights": None}
    path = write_best_flags(study, plan(3, "mmoe", "ple"), "mmoe", "a data")
    assert path == f"{tmp_path}/mmoe/best.flags"
    assert (tmp_path / "mmoe" / "best.flags").read_text().splitlines() == [
        "# trial-0000 of mmoe, COMPLETE at 3 epochs: mean AUC 0.7100 on the validation window.",
        f"# The best of 3 trials in {tmp_path}.",
        f"# python -m mgoe_tf.train --flagfile={path} '--data_dir=a data' --model_dir=runs/mmoe "
        "--seed=5",
        *("--model=mmoe", "--epochs=9", "--patience=2", "--l2=0.0", "--xla", "--tower_units=8,4"),
    ]
    assert write_best_flags(study, plan(3, "ple"), "ple", "data") is None


def test_a_logloss_is_shown_as_one() -> None:
    study = Study("study", {}, [_trial("mmoe", 0, COMPLETE, (1, -0.25, "logloss", 1.0))])
    assert "mean logloss 0.2500" in result_table(study, plan(1, "mmoe"))
