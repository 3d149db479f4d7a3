"""Tables of metrics by hand."""

import csv
import html
import io
import re

import pytest

from mgoe_tf.experimenting import files, page_models, page_settings, report_page, words
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.jobs import Failure
from mgoe_tf.experimenting.results import MEAN, Results, rare_tasks
from mgoe_tf.reports.differences import Difference

# mean AUC: mgoe 0.80, 0.82 and 0.84; mmoe 0.76, 0.78 and 0.77
VALUES = {
    ("", "mgoe", 0): (0.90, 0.70),
    ("", "mgoe", 1): (0.92, 0.72),
    ("", "mgoe", 2): (0.94, 0.74),
    ("", "mmoe", 0): (0.80, 0.72),
    ("", "mmoe", 1): (0.84, 0.72),
    ("", "mmoe", 2): (0.82, 0.72),
}


def text_of(page: str) -> str:
    text = html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page)))
    return re.sub(r"\s+", " ", text.replace("\u202f", " "))


def findings_of(schedule, **others) -> Findings:
    return Findings(schedule, Results.of(schedule.runs), [], **others)


def test_spreads_rankings_and_differences(written) -> None:
    results = Results.of(written(VALUES).runs)
    assert results.by_seed("small", "mgoe", "auc", "click") == {0: 0.90, 1: 0.92, 2: 0.94}
    spread = results.spread("small", "mgoe", "auc", MEAN)
    assert (spread.mean, spread.deviation, spread.number) == pytest.approx((0.82, 0.02, 3))
    assert results.ranking("small", ("mmoe", "mgoe")) == ["mgoe", "mmoe"]
    assert results.ranking("small", ("mgoe", "mmoe"), "buy") == ["mgoe", "mmoe"]  # 0.72 each
    difference = results.difference("small", ("mmoe", ""), ("mgoe", ""))
    # 0.04, 0.04 and 0.07
    assert difference.value == pytest.approx(0.05)
    assert difference.number == 3
    # deviation sqrt(3) / 100, error 0.01, quantile of two degrees of freedom 4.3027
    assert difference.reach == pytest.approx(0.043027, abs=1e-6)
    assert difference.is_beyond
    assert results.spread("small", "nobody", "auc", MEAN) is None


def test_runs_that_are_missing_are_left_out(written) -> None:
    values = {key: value for key, value in VALUES.items() if key != ("", "mmoe", 1)}
    results = Results.of(written(values).runs)
    assert results.spread("small", "mmoe", "auc", "click").number == 2
    assert results.difference("small", ("mmoe", ""), ("mgoe", "")).number == 2


def test_table_1_in_html(written) -> None:
    schedule = written(VALUES)
    difference = {"mmoe": {MEAN: Difference(0.04, 0.05, "users")}}
    page = "".join(
        page_models.sections(
            findings_of(schedule, over_users={"small": difference}), schedule.data[0]
        )
    )
    # best of a column bold, deviations beside it
    assert "<td><b>0.9200</b> <small>&plusmn;&#8239;0.0200</small></td>" in page
    assert "<td>0.8200 <small>&plusmn;&#8239;0.0200</small></td>" in page
    text = text_of(page)
    # 0.92 / 0.82, 0.72 / 0.72 and 0.82 / 0.77
    assert "lead of mgoe over the best rival +12.20 % +0.00 % +6.49 %" in text
    # logloss 0.08 after 0.18 and 0.18 after 0.23
    assert "lead of mgoe over the best rival +55.56 % +0.00 % +21.74 %" in text
    assert (
        "mgoe is first of 2 models by mean AUC, 0.8200, 6.49 % above the best rival, mmoe "
        "(0.7700). Over 3 seeds the difference is beyond the noise (paired t test, p = 0.038: "
        "+0.0500 \u00b1 0.0430). For other users of the kind, by the first seed's runs, it is "
        "within the noise (+0.0400 \u00b1 0.0500)."
    ) in text
    assert "No rival differs from mgoe by more than the noise of seeds and users." in text


def test_whoever_is_behind_is_said_to_be(written) -> None:
    values = {
        (s, {"mgoe": "mmoe", "mmoe": "mgoe"}[m], seed): v for (s, m, seed), v in VALUES.items()
    }
    schedule = written(values)
    results = Results.of(schedule.runs)
    told = words.verdict(results, "small", results.ranking("small", ("mgoe", "mmoe")), "mgoe", {})
    assert told.startswith(
        "mgoe is second of 2 models by mean AUC, 0.7700, 6.10 % below the best rival, mmoe (0.8200)"
    )


def test_one_seed_tells_nothing_of_seeds(written) -> None:
    schedule = written(VALUES, seeds=("1",))
    results = Results.of(schedule.runs)
    told = words.verdict(results, "small", ["mgoe", "mmoe"], "mgoe", {})
    assert "With one seed nothing is known of how far seeds move it." in told


def test_ablations_by_hand(written) -> None:
    values = VALUES | {
        ("no_cascade", "mgoe", seed): (0.80 + 0.02 * seed, 0.70 + 0.02 * seed) for seed in range(3)
    }
    schedule = written(values, parts=("ablations",), sweep_seeds=3)
    page = "".join(page_settings.sections(findings_of(schedule)))
    text = text_of(page)
    # 0.75, 0.77 and 0.79 after 0.80, 0.82 and 0.84: 0.05 less with every seed
    assert "w/o cascading 0.7700 \u00b1 0.0200 -0.0500 \u00b1 0.0000 0.2300 \u00b1 0.0200" in text
    assert "<b class=warning>-0.0500" in page
    assert "On small costs most: w/o cascading (-0.0500)." in text
    assert "w/o adjustment \u2013 \u2013 \u2013" in text


def test_temperatures_share_the_run_of_the_default(written) -> None:
    values = VALUES | {
        ("temperature_0.1", "mgoe", 0): (0.80, 0.70),
        ("temperature_1.9", "mgoe", 0): (0.96, 0.80),
    }
    schedule = written(values, parts=("temperature",), sweep_seeds=1)
    assert {run.setting for run in schedule.runs} == {"", "temperature_0.1", "temperature_1.9"}
    page = "".join(page_settings.sections(findings_of(schedule)))
    assert (
        "small: best at tau 1.9 (0.8800), worst at tau 0.1 (0.7500): more than twice the deviation "
        "over seeds (0.0200) apart."
    ) in text_of(page)
    assert page.count("<svg") == 1
    records = files.settings(findings_of(schedule))
    assert [(r["at"], r["is_default"], r["auc_mean"]) for r in records] == [
        ("0.1", False, pytest.approx(0.75)),
        ("1", True, pytest.approx(0.82)),
        ("1.9", False, pytest.approx(0.88)),
    ]


def test_protocols_by_hand(written, recorded) -> None:
    values = VALUES | {
        ("events_random", "mgoe", 0): (0.96, 0.84),
        ("events_random", "mmoe", 0): (0.80, 0.80),
    }
    schedule = written(values, data=recorded, parts=("protocols",), sweep_seeds=1)
    text = text_of("".join(page_settings.sections(findings_of(schedule))))
    # of seed 0 alone: 0.80 over 0.76, and 0.90 over 0.80
    assert "small: mgoe 0.8000 0.9000" in text
    assert "small: mmoe 0.7600 0.8000" in text
    assert (
        "small: mgoe has pairs, windows cut by time: +5.26 % over mmoe; events at random: +12.50 % "
        "over mmoe: the margin is larger with events at random."
    ) in text


def test_the_weights_of_the_grouping_are_a_grid(written, recorded) -> None:
    values = VALUES | {("omegas_1_0.5", "mgoe", 0): (0.70, 0.70)}
    schedule = written(values, data=recorded, parts=("omegas",))
    page = "".join(page_settings.sections(findings_of(schedule)))
    assert page.count("<svg") == 1
    text = text_of(page)
    assert "small: best at omega 2, 0.5 (0.8000), worst at omega 1, 0.5 (0.7000)" in text
    assert ">0.7000<" in page
    assert ">0.8000<" in page


def test_files_hold_what_the_page_says(written, tmp_path) -> None:
    schedule = written(VALUES)
    findings = findings_of(schedule)
    table = csv.DictReader(io.StringIO(files.as_csv(files.table1(findings))))
    (line,) = (r for r in table if (r["model"], r["metric"], r["task"]) == ("mgoe", "auc", "mean"))
    assert float(line["mean"]) == pytest.approx(0.82)
    assert float(line["deviation"]) == pytest.approx(0.02)
    assert float(line["lead_percent"]) == pytest.approx(100 * 0.05 / 0.77)
    names = files.write(findings, str(tmp_path))
    assert all((tmp_path / name).exists() for name in names)
    first = (tmp_path / "results.json").read_bytes()
    files.write(findings_of(schedule), str(tmp_path))
    assert (tmp_path / "results.json").read_bytes() == first


def test_the_page_tells_what_failed_and_refers_to_no_file(written) -> None:
    values = {key: value for key, value in VALUES.items() if key[1] == "mgoe"}
    schedule = written(values)
    findings = findings_of(schedule)
    findings.failures.append(Failure("small mmoe seed 0", "exit status 1: ValueError: <no>"))
    page = report_page.render(findings, "python -m mgoe_tf.experiments --output='a b'")
    text = text_of(page)
    assert "What was not done" in text
    assert "small mmoe seed 0 exit status 1: ValueError: <no>" in text
    assert "3 of 6 finished runs" in text
    assert "mgoe has a mean AUC of 0.8200; no other model has a finished run." in text
    assert "python -m mgoe_tf.experiments --output='a b'" in text
    assert not re.findall(r'(?:src|href)="(?![#d])', page)


def test_a_task_that_is_undefined_is_a_dash(written) -> None:
    values = {key: (click, None) for key, (click, _) in VALUES.items()}
    schedule = written(values)
    page = page_models.sections(findings_of(schedule), schedule.data[0])[0]
    assert "mgoe 0.9200 \u00b1 0.0200 \u2013 0.9200 \u00b1 0.0200" in text_of(page)


def test_rare_tasks() -> None:
    assert rare_tasks({"click": 50, "buy": 4, "like": 5}, 100) == ("buy",)
