"""The page's first part: all models on each data set."""

from __future__ import annotations

import html
from collections.abc import Sequence

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table
from mgoe_tf.experimenting import page_published, words
from mgoe_tf.experimenting.cells import DASH, spread_cell
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.results import MEAN, SMALLER_IS_BETTER, rare_tasks
from mgoe_tf.experimenting.statistics import lead
from mgoe_tf.reports import figures
from mgoe_tf.reports.comparison_report import difference_cell

_SLICES = {
    "warm": "user and item are in the graph",
    "cold_user": "the user is not in the graph yet",
    "cold_item": "the item is not in the graph yet",
}


def sections(findings: Findings, data: DataSet) -> list[str]:
    """Table 1 of a data set, with what stands beside it."""
    ranking = findings.ranking(data.name)
    if not ranking:
        return [section(html.escape(data.name), "No run was finished.", "")]
    users = findings.over_users.get(data.name, {})
    stands = (findings.results, data.name, ranking, findings.subject, users)
    runs = max(len(findings.results.by_seed(data.name, model, "auc", MEAN)) for model in ranking)
    text = (
        f"{_rows(data)} Each figure is the mean over up to {words.count(runs, 'seed')} of the AUC "
        "on the test rows, &plusmn; the standard deviation between seeds; the best of a column is "
        f"bold. {words.verdict(*stands)}"
    )
    parts = [
        section(
            f"Table 1. All models on {html.escape(data.name)}",
            text,
            _metric_table(findings, data, ranking, "auc") + _dots(findings, data, ranking),
        ),
        _differences(findings, data, ranking, words.told_apart(*stands)),
        section(
            f"Logloss on {html.escape(data.name)}",
            "How far probabilities are from what came, smaller is better. "
            + _logloss_words(findings, data, ranking),
            _metric_table(findings, data, ranking, "logloss"),
        ),
        _others(findings, data, ranking),
        _slices(findings, data, ranking),
        page_published.render(findings, data),
    ]
    return list(filter(None, parts))


def _rows(data: DataSet) -> str:
    counts = data.spec.counts
    rows = counts["rows"]
    return html.escape(
        f"{counts['events']:,} events of {counts['users']:,} users and {counts['items']:,} items "
        f"({data.spec.source}); {data.protocol}: {rows.get('test', 0):,} test rows."
    )


def _columns(data: DataSet) -> list[str]:
    return [*data.spec.task_names, MEAN]


def _metric_table(findings: Findings, data: DataSet, ranking: Sequence[str], metric: str) -> str:
    columns, sign = _columns(data), 1 if metric in SMALLER_IS_BETTER else -1
    spreads = {
        (model, task): findings.results.spread(data.name, model, metric, task)
        for model in ranking
        for task in columns
    }
    best = {
        task: min(
            (model for model in ranking if spreads[model, task]),
            key=lambda model: sign * spreads[model, task].mean,  # type: ignore[union-attr]
            default=None,
        )
        for task in columns
    }
    rows = [
        row(
            [
                html.escape(model),
                *(
                    spread_cell(spreads[model, task], is_best=best[task] == model)
                    for task in columns
                ),
            ]
        )
        for model in ranking
    ]
    leads = _leads(findings, data, ranking, metric)
    if leads:
        title = f"<i>lead of {html.escape(findings.subject)} over the best rival</i>"
        rows.append(row([title, *leads]))
    return table(["model", *columns], rows)


def _leads(findings: Findings, data: DataSet, ranking: Sequence[str], metric: str) -> list[str]:
    """By how many per cent the model of interest is ahead in each column."""
    smaller = metric in SMALLER_IS_BETTER
    if findings.subject not in ranking or len(ranking) < 2:
        return []
    cells = []
    for task in _columns(data):
        means = {
            model: spread.mean
            for model in ranking
            if (spread := findings.results.spread(data.name, model, metric, task))
        }
        ours = means.pop(findings.subject, None)
        if ours is None or not means:
            cells.append(DASH)
            continue
        rival = min(means.values()) if smaller else max(means.values())
        percent = lead(ours, rival, smaller_is_better=smaller)
        kind = "good" if percent > 0 else "warning"
        cells.append(f"<b class={kind}>{percent:+.2f}&#8239;%</b>")
    return cells


def _dots(findings: Findings, data: DataSet, ranking: Sequence[str]) -> str:
    values = {
        model: list(findings.results.by_seed(data.name, model, "auc", MEAN).values())
        for model in ranking
    }
    return panels({"mean AUC, a dot a seed": svg(figures.runs(values, label="test AUC"))})


def _logloss_words(findings: Findings, data: DataSet, ranking: Sequence[str]) -> str:
    means = {
        model: spread.mean
        for model in ranking
        if (spread := findings.results.spread(data.name, model, "logloss", MEAN))
    }
    if findings.subject not in means or len(means) < 2:
        return ""
    order = sorted(means, key=lambda model: means[model])
    place = order.index(findings.subject)
    other = "the next" if place == 0 else "the best"
    rival = order[1] if place == 0 else order[0]
    return (
        f"{findings.subject} is {words.ordinal(place + 1)} by mean logloss, "
        f"{means[findings.subject]:.4f}; {other} is {rival} with {means[rival]:.4f}."
    )


def _differences(findings: Findings, data: DataSet, ranking: Sequence[str], text: str) -> str:
    """What the model of interest has more than each rival, over seeds and over users."""
    rivals = [model for model in ranking if model != findings.subject]
    if findings.subject not in ranking or not rivals:
        return ""
    columns, rows = _columns(data), []
    for rival in rivals:
        over_seeds = findings.results.difference(data.name, (rival, ""), (findings.subject, ""))
        cells = [html.escape(rival)]
        if over_seeds is None or over_seeds.reach is None:
            value = DASH if over_seeds is None else f"<small>{over_seeds.value:+.4f}</small>"
            cells += [value, DASH]
        else:
            shown = f"{over_seeds.value:+.4f} <small>&plusmn;&#8239;{over_seeds.reach:.4f}</small>"
            kind = "good" if over_seeds.value > 0 else "warning"
            shown = f"<b class={kind}>{shown}</b>" if over_seeds.is_beyond else shown
            cells += [shown, _p_cell(over_seeds.p_value)]
        over_users = findings.over_users.get(data.name, {}).get(rival, {})
        cells += [
            difference_cell(over_users[task], "auc") if task in over_users else DASH
            for task in columns
        ]
        rows.append(row(cells))
    head = ["less the AUC of", "mean, over seeds", "p", *(f"{c}, over users" for c in columns)]
    seed = findings.schedule.options.chosen_seeds[0]
    return section(
        f"Which differences on {html.escape(data.name)} are real?",
        f"AUC of {findings.subject} less that of each rival. Over seeds: the mean difference of "
        "runs of equal seeds and its 95 % interval, by a paired t test. Over users: the runs of "
        f"seed {seed} alone, with the interval of a bootstrap over users: whether these two models "
        "would differ for other users, too. Coloured and bold: beyond the interval; one of twenty "
        f"is by chance. {text}",
        table(head, rows),
    )


def _p_cell(value: float | None) -> str:
    return "&lt;&#8239;0.001" if value is not None and value < 0.001 else words.p_value(value)


def _others(findings: Findings, data: DataSet, ranking: Sequence[str]) -> str:
    """GAUC, calibration and, of rare tasks, the area under the precision-recall curve."""
    positives = data.spec.counts.get("positives", {}).get("test", {})
    number = data.spec.counts["rows"].get("test", 0)
    rare = rare_tasks({t: positives.get(t, 0) for t in data.spec.task_names}, number)
    told = ", ".join(f"{task} {positives.get(task, 0) / max(1, number):.2%}" for task in rare)
    chance = f" By chance it is the share of positive rows: {told}." if rare else ""
    parts = {
        "GAUC": ("gauc", _columns(data), 4, "AUC within the rows of each user, averaged."),
        "Calibration": (
            *("calibration", list(data.spec.task_names), 2),
            "Mean prediction over mean outcome: 1 is right, above it too much is promised.",
        ),
        "AUPRC of rare tasks": (
            *("auprc", list(rare), 4),
            f"Average precision, of tasks with few positives.{chance}",
        ),
    }
    tables = "".join(
        f"<h3>{title}</h3><p>{html.escape(text)}</p>"
        + _plain_table(findings, data, ranking, metric, tasks, digits)
        for title, (metric, tasks, digits, text) in parts.items()
        if tasks
    )
    return section(f"Other metrics on {html.escape(data.name)}", "", tables)


def _plain_table(
    findings: Findings,
    data: DataSet,
    ranking: Sequence[str],
    metric: str,
    tasks: Sequence[str],
    digits: int,
) -> str:
    rows = [
        row(
            [html.escape(model)]
            + [
                spread_cell(findings.results.spread(data.name, model, metric, task), digits=digits)
                for task in tasks
            ]
        )
        for model in ranking
    ]
    return table(["model", *tasks], rows)


def _slices(findings: Findings, data: DataSet, ranking: Sequence[str]) -> str:
    spreads = {
        (model, part): findings.results.spread(data.name, model, "auc", MEAN, part=part)
        for model in ranking
        for part in _SLICES
    }
    best = {
        part: max(
            (model for model in ranking if spreads[model, part]),
            key=lambda model: spreads[model, part].mean,  # type: ignore[union-attr]
            default=None,
        )
        for part in _SLICES
    }
    rows = [
        row(
            [html.escape(model)]
            + [spread_cell(spreads[model, part], is_best=best[part] == model) for part in _SLICES]
        )
        for model in ranking
    ]
    told = "; ".join(
        f"{part.replace('_', ' ')} ({meaning}): {best[part]}"
        for part, meaning in _SLICES.items()
        if best[part]
    )
    return section(
        f"Warm and cold rows of {html.escape(data.name)}",
        f"Mean AUC over tasks in parts of the test rows. The best: {told}. Parts with few positive "
        "rows are mostly chance, which the deviation shows.",
        table(["model", *(part.replace("_", " ") for part in _SLICES)], rows),
    )
