"""The page's first part: all models on each data set."""

from __future__ import annotations

import html
from collections.abc import Sequence

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table
from mgoe_tf.experimenting import published, words
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.results import MEAN, SMALLER_IS_BETTER, rare_tasks
from mgoe_tf.experimenting.statistics import Spread, lead
from mgoe_tf.reports import figures
from mgoe_tf.reports.comparison_report import difference_cell

_SLICES = {
    "warm": "user and item are in the graph",
    "cold_user": "the user is not in the graph yet",
    "cold_item": "the item is not in the graph yet",
}
_DASH = "&ndash;"


def spread_cell(spread: Spread | None, *, is_best: bool = False, digits: int = 4) -> str:
    """Mean and deviation as HTML, bold where it is the best."""
    if spread is None:
        return _DASH
    mean = f"{spread.mean:.{digits}f}"
    mean = f"<b>{mean}</b>" if is_best else mean
    if spread.deviation is None:
        return mean
    return f"{mean} <small>&plusmn;&thinsp;{spread.deviation:.{digits}f}</small>"


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
        _published(findings, data),
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
        rows.append(row(["<i>lead over the best rival</i>", *leads]))
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
            cells.append(_DASH)
            continue
        rival = min(means.values()) if smaller else max(means.values())
        percent = lead(ours, rival, smaller_is_better=smaller)
        kind = "good" if percent > 0 else "warning"
        cells.append(f"<b class={kind}>{percent:+.2f}&thinsp;%</b>")
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
    place = words.ordinal(order.index(findings.subject) + 1)
    return (
        f"{findings.subject} is {place} by mean logloss, {means[findings.subject]:.4f}; the best "
        f"is {order[0]} with {means[order[0]]:.4f}."
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
            value = _DASH if over_seeds is None else f"<small>{over_seeds.value:+.4f}</small>"
            cells += [value, _DASH]
        else:
            shown = f"{over_seeds.value:+.4f} <small>&plusmn;&thinsp;{over_seeds.reach:.4f}</small>"
            kind = "good" if over_seeds.value > 0 else "warning"
            shown = f"<b class={kind}>{shown}</b>" if over_seeds.is_beyond else shown
            cells += [shown, words.p_value(over_seeds.p_value)]
        over_users = findings.over_users.get(data.name, {}).get(rival, {})
        cells += [
            difference_cell(over_users[task], "auc") if task in over_users else _DASH
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


def _others(findings: Findings, data: DataSet, ranking: Sequence[str]) -> str:
    """GAUC, calibration and, of rare tasks, the area under the precision-recall curve."""
    positives = data.spec.counts.get("positives", {}).get("test", {})
    number = data.spec.counts["rows"].get("test", 0)
    rare = rare_tasks({t: positives.get(t, 0) for t in data.spec.task_names}, number)
    columns = [("gauc", task, f"GAUC {task}", 4) for task in _columns(data)]
    columns += [("calibration", task, f"calibration {task}", 2) for task in data.spec.task_names]
    columns += [("auprc", task, f"AUPRC {task}", 4) for task in rare]
    rows = [
        row(
            [
                html.escape(model),
                *(
                    spread_cell(
                        findings.results.spread(data.name, model, metric, task), digits=digits
                    )
                    for metric, task, _, digits in columns
                ),
            ]
        )
        for model in ranking
    ]
    told = ", ".join(f"{task} {positives.get(task, 0) / max(1, number):.2%}" for task in rare)
    by_chance = f" Rare tasks are {told} positive, which is their AUPRC by chance." if rare else ""
    return section(
        f"Other metrics on {html.escape(data.name)}",
        "GAUC: AUC within the rows of each user. Calibration: mean prediction over mean outcome, 1 "
        f"is right. AUPRC: average precision, of tasks with few positives.{by_chance}",
        table(["model", *(title for _, _, title, _ in columns)], rows),
    )


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


def _published(findings: Findings, data: DataSet) -> str:
    """The paper's AUCs beside those that were found, where it used a log of the kind."""
    known = published.MODELS.get(data.spec.source)
    if not known:
        return ""

    def ours(model: str | None, task: str) -> str:
        if model is None:
            return _DASH
        return spread_cell(findings.results.spread(data.name, model, "auc", task))

    rows = [
        row(
            [
                html.escape(task),
                *(f"{value:.4f}" for value in (of_task.mmoe, of_task.mgoe)),
                f"{of_task.rival:.4f} <small>{of_task.rival_name}</small>",
                ours("mmoe", task),
                ours("mgoe", task),
                f"{ours(rival, task)} <small>{html.escape(rival or '')}</small>",
            ]
        )
        for task, of_task in known.items()
        if task in data.spec.task_names
        for rival in [findings.best_rival(data.name, task)]
    ]
    head = ["task", "paper: MMoE", "paper: MGOE", "paper: best rival"]
    head += ["here: MMoE", "here: MGOE", "here: best rival"]
    return section(
        f"Beside the paper's figures: {html.escape(data.name)}",
        f"AUC. The paper's rows ({published.SIZES[data.spec.source]} after its filtering) are not "
        f"these ({data.spec.counts['users']:,} users, {data.spec.counts['items']:,} items), nor is "
        "how they were divided: compare how far apart models are, not the figures themselves.",
        table(head, rows),
    )
