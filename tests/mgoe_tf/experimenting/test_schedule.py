"""What is planned: runs, variants of data, flags of studies."""

import dataclasses
import json
import pathlib

import pytest

from mgoe_tf.experimenting import data_sets
from mgoe_tf.experimenting.plans import PROTOCOL, Setting, groups, omegas
from mgoe_tf.experimenting.schedule import Schedule
from tests.mgoe_tf.experimenting.conftest import write_run


def test_seeds_first_then_models_then_settings(schedule) -> None:
    made = schedule(seeds=("0", "1"), parts=("ablations",))
    assert [run.name for run in made.runs[:5]] == [
        "small mgoe seed 0",
        "small mmoe seed 0",
        "small mgoe seed 1",
        "small mmoe seed 1",
        "small no adjustment mgoe seed 0",
    ]
    assert {run.model for run in made.runs if run.setting} == {"mgoe"}
    (run,) = (run for run in made.runs if run.setting == "no_cascade")  # one seed in plan quick
    assert run.model_dir.endswith("out/runs/small/no_cascade/mgoe-0")
    assert "--nocascade" in run.arguments
    assert run.options()["cascade"] is False
    assert run.options()["epochs"] == 2  # of plan quick
    assert run.arguments[-2:] == ("--resume", "--noreport")


def test_a_log_that_is_gone_is_told_and_the_rest_goes_on(schedule) -> None:
    made = schedule(parts=("ablations", "groups"))
    refused = {failure.name: failure.reason for failure in made.refused}
    reason = "the log cannot be prepared again: its files were not recorded"
    assert refused["small w/o preference"] == refused["small K 10"] == reason
    assert {run.setting for run in made.runs} == {
        *("", "no_adjustment", "no_cascade", "no_micro_neighbors", "no_macro_graph")
    }
    assert made.preparations == {}


def test_settings_of_mgoe_need_mgoe(schedule) -> None:
    made = schedule(models=("mmoe",), parts=("all",))
    assert made.subject == "mmoe"
    assert {run.setting for run in made.runs} == {""}
    assert [failure.name for failure in made.refused] == ["small events at random"]


def test_a_variant_has_the_flags_of_its_data_set_and_its_own(recorded, tmp_path) -> None:
    job = data_sets.variant(recorded, groups(7), str(tmp_path / "out"))
    target = tmp_path / "out" / "data" / "small-groups_7"
    assert job.arguments[0] == "input_pipeline.prepare"
    assert job.arguments[-3:] == (
        "--num_user_macro_nodes=7",
        "--num_item_macro_nodes=7",
        f"--data_dir={target}",
    )
    assert {"--source=csv", "--cuts=0.3,0.5,0.7,0.85", "--max_neighbors=6"} < set(job.arguments)
    assert not job.is_done()


def test_a_file_that_has_changed_is_refused(recorded, tmp_path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("abd")
    with pytest.raises(ValueError, match=f"its file {log} holds something else by now"):
        data_sets.variant(recorded, groups(7), str(tmp_path / "out"))
    log.unlink()
    with pytest.raises(ValueError, match=f"its file {log} is not there any more"):
        data_sets.variant(recorded, groups(7), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("changes", "is_so"),
    [
        (("--num_user_macro_nodes=4", "--num_item_macro_nodes=5"), True),
        (("--num_user_macro_nodes=4", "--num_item_macro_nodes=4"), False),
        (omegas(2, 0.5).preparation, True),
        (omegas(1, 0.5).preparation, False),
        (("--nopreference",), False),
        (("--preference",), True),
        (("--grouping=rows",), False),
        (("--grouping=spectral",), True),
        (("--rows=pairs", "--split=time"), True),
        (PROTOCOL.preparation, False),
    ],
)
def test_what_a_data_set_was_prepared_with_anyway(recorded, changes, is_so) -> None:
    assert recorded.is_prepared_so(changes) == is_so


def test_a_setting_that_the_data_have_anyway_is_the_run_of_the_table(recorded, schedule) -> None:
    made = schedule()
    assert made.run_of(recorded, "mgoe", 0, omegas(2, 0.5)) == made.run(recorded, "mgoe", 0)
    run = made.run_of(recorded, "mgoe", 0, omegas(4, 0.5))
    assert run.setting == "omegas_4_0.5"
    assert run.data_dir.endswith("out/data/small-omegas_4_0.5")
    assert run.prepared_by == "preparing small omega 4, 0.5"


def test_studies_give_flags_that_train_flags_overrule(schedule, tmp_path) -> None:
    study = tmp_path / "study"
    (study / "mgoe").mkdir(parents=True)
    (study / "mgoe" / "best.flags").write_text("--temperature=0.5\n--epochs=7\n--l2=0.001\n")
    made = schedule(
        tuned=(str(study),), train_flags=("--epochs=3",), parts=("temperature",), seeds=("0",)
    )
    tuned = next(run for run in made.runs if run.model == "mgoe")
    options = tuned.options()
    assert (options["temperature"], options["epochs"], options["l2"]) == (0.5, 3, 0.001)
    assert made.notes == ["small: not tuned, with default flags: mmoe"]
    # a temperature of 1 is not what the table has any more
    assert "temperature_1" in {run.setting for run in made.runs}


def test_a_flag_that_no_model_has_is_refused_before_anything_runs(schedule) -> None:
    with pytest.raises(ValueError, match=r"--num_experts is a flag of .*mmoe"):
        schedule(train_flags=("--num_experts=3",))


def test_output_of_other_flags_is_refused(schedule, train_options) -> None:
    made = schedule(models=("mmoe",), seeds=("0",))
    (run,) = made.runs
    write_run(run, 0.5, 0.5)
    config = pathlib.Path(run.model_dir, "config.json")
    options = run.options()
    names = {field.name for field in dataclasses.fields(train_options("x"))}
    told = {
        "train_options": {n: v for n, v in options.items() if n in names},
        "model_options": {n: v for n, v in options.items() if n not in names},
        "assets": {},
    }
    config.write_text(json.dumps(told))
    spec = pathlib.Path(run.data_dir, "dataset_spec.json").read_text()
    pathlib.Path(run.model_dir, "dataset_spec.json").write_text(spec)
    assert run.is_finished()
    run.require_same()
    with pytest.raises(ValueError, match=r"was begun with --epochs=2, and is now to have 5"):
        schedule(models=("mmoe",), seeds=("0",), train_flags=("--epochs=5",))
    pathlib.Path(run.model_dir, "dataset_spec.json").write_text(spec.replace("pairs", "events"))
    with pytest.raises(ValueError, match="was begun on other rows than"):
        run.require_same()


def test_protocols_of_the_quick_plan_have_one_rival(schedule) -> None:
    made = schedule(models=("esmm", "mgoe", "mmoe"))
    assert made.models_of("protocols") == ("mgoe", "mmoe")
    assert schedule(models=("esmm", "mgoe")).models_of("protocols") == ("mgoe", "esmm")
    assert schedule(plan="paper").models_of("protocols") == ("mgoe", "mmoe")


def test_exports_need_their_runs(schedule) -> None:
    made = schedule(parts=("timing",))
    assert [job.needs for job in made.exports()] == ["small mgoe seed 0", "small mmoe seed 0"]
    first = made.exports()[0]
    assert first.arguments[0] == "export.savedmodel"
    assert not first.is_done()
    pathlib.Path(made.export_dir("small", "mgoe")).mkdir(parents=True)
    assert first.is_done()
    names = [job.name for job in made.jobs()]
    assert len(names) == len(set(names))


def test_flags_that_mgoe_does_not_have_are_told(schedule, monkeypatch) -> None:
    other = Setting("other", "w/o other", ("--noother",))
    monkeypatch.setattr(Schedule, "settings", lambda self, part: (other,))
    (failure,) = schedule(parts=("ablations",)).refused
    assert failure.name == "small w/o other"
    assert failure.reason == "mgoe has no flags ['--noother']"
