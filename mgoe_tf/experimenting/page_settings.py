"""The page's second part: the model of interest otherwise, and rows made otherwise."""

from __future__ import annotations

import html
from collections.abc import Sequence

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table
from mgoe_tf.experimenting import figures, published, words
from mgoe_tf.experimenting.cells import DASH, spread_cell
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.plans import PROTOCOL, Setting
from mgoe_tf.experimenting.results import MEAN
from mgoe_tf.experimenting.statistics import Spread, lead


def sections(findings: Findings) -> list[str]:
    """Table 2, Figures 3 and 4, and the protocols, as far as they were run."""
    found = [
        _ablations(findings),
        _sweep(
            findings,
            "temperature",
            "Figure 3a. Temperature",
            "tau of the macro weights (Eq. 14): lower is sharper. The dashed line is the setting "
            "of all other tables.",
            "temperature",
        ),
        _sweep(
            findings,
            "groups",
            "Figure 3b. Number of macro nodes",
            "K of users and of items, each a data set prepared anew from the same log. The dashed "
            "line is the number of all other tables.",
            "K",
        ),
        _omegas(findings),
        _protocols(findings),
    ]
    return list(filter(None, found))


def _name_of(findings: Findings, data: DataSet, setting: Setting) -> str:
    """The name under which the runs of a setting are: "" where it is that of the first table."""
    seed = findings.schedule.options.chosen_seeds[0]
    return findings.schedule.run_of(data, findings.subject, seed, setting).setting


def _spread(
    findings: Findings, data: DataSet, name: str, part: str, metric: str = "auc"
) -> Spread | None:
    """Over the seeds that a part has: others would move the runs that it shares with the table."""
    seeds = findings.schedule.seeds_of(part)
    return findings.results.spread(
        data.name, findings.subject, metric, MEAN, setting=name, seeds=seeds
    )


def _ablations(findings: Findings) -> str:
    settings = findings.schedule.settings("ablations")
    if not settings:
        return ""
    subject, rows = findings.subject, []
    head = ["setting"]
    for data in findings.schedule.data:
        head += [f"{data.name}: AUC", "less than all of it", "logloss"]
        if data.spec.source in published.ABLATIONS:
            head.append("paper: AUC")
    for setting in (None, *settings):
        cells = [f"<b>{subject}</b>" if setting is None else html.escape(setting.title)]
        for data in findings.schedule.data:
            cells += _ablation_cells(findings, data, setting)
        rows.append(row(cells))
    told = [_ablation_words(findings, data, settings) for data in findings.schedule.data]
    return section(
        f"Table 2. {html.escape(subject)} without its parts",
        "Mean AUC and logloss over tasks, &plusmn; the deviation over seeds. <i>Less than all of "
        "it</i>: the change when the part is taken away, with the 95 % interval of a paired t test "
        f"over seeds; red: the model loses by more than the noise. {' '.join(told)}",
        table(head, rows),
    )


def _ablation_cells(findings: Findings, data: DataSet, setting: Setting | None) -> list[str]:
    name = "" if setting is None else setting.name
    paper = published.ABLATIONS.get(data.spec.source)
    beside = [] if paper is None else [f"{paper[name][0]:.4f}" if name in paper else DASH]
    if setting is not None and not _name_of(findings, data, setting):
        return ["<small>has it anyway</small>", DASH, DASH, *beside]
    auc = spread_cell(_spread(findings, data, name, "ablations"))
    logloss = spread_cell(_spread(findings, data, name, "ablations", "logloss"))
    if setting is None:
        return [auc, "", logloss, *beside]
    change = findings.results.difference(
        data.name, (findings.subject, ""), (findings.subject, name)
    )
    if change is None:
        return [DASH, DASH, DASH, *beside]
    if change.reach is None:
        return [auc, f"<small>{change.value:+.4f}, ?</small>", logloss, *beside]
    shown = f"{change.value:+.4f} <small>&plusmn;&#8239;{change.reach:.4f}</small>"
    kind = "good" if change.value > 0 else "warning"
    shown = f"<b class={kind}>{shown}</b>" if change.is_beyond else shown
    return [auc, shown, logloss, *beside]


def _ablation_words(findings: Findings, data: DataSet, settings: Sequence[Setting]) -> str:
    worth, within = [], []
    for setting in settings:
        name = _name_of(findings, data, setting)
        change = findings.results.difference(
            data.name, (findings.subject, ""), (findings.subject, name)
        )
        if not name or change is None or change.reach is None:
            continue
        if change.is_beyond and change.value < 0:
            worth.append((change.value, setting.title))
        elif not change.is_beyond:
            within.append(setting.title)
    if not worth and not within:
        return ""
    titles = [f"{title} ({value:+.4f})" for value, title in sorted(worth)]
    costs = f"costs most: {words.listed(titles)}" if titles else "no part is worth more than noise"
    rest = f"; within the noise: {words.listed(within)}" if within else ""
    return html.escape(f"On {data.name} {costs}{rest}.")


def _sweep(findings: Findings, part: str, title: str, text: str, label: str) -> str:
    settings = findings.schedule.settings(part)
    shown, told = {}, []
    for data in findings.schedule.data:
        named = [(_name_of(findings, data, one), one) for one in settings]
        points = [
            (one.at[0], spread)
            for name, one in named
            if (spread := _spread(findings, data, name, part))
        ]
        if len(points) < 2:
            continue
        marked = next((one.at[0] for name, one in named if not name), None)
        shown[data.name] = svg(figures.sweep(sorted(points), label=label, marked=marked))
        told.append(
            words.best_setting(
                findings.results,
                data.name,
                findings.subject,
                [(n, o.title) for n, o in named],
                findings.schedule.seeds_of(part),
            )
        )
    if not shown:
        return ""
    return section(title, f"{text} {html.escape(' '.join(told))}", panels(shown))


def _omegas(findings: Findings) -> str:
    settings = findings.schedule.settings("omegas")
    shown, told = {}, []
    for data in findings.schedule.data:
        named = [(_name_of(findings, data, one), one) for one in settings]
        values = {
            (one.at[0], one.at[1]): spread.mean
            for name, one in named
            if (spread := _spread(findings, data, name, "omegas"))
        }
        if len(values) < 2:
            continue
        shown[data.name] = svg(figures.grid(values, names=("omega high", "omega low")))
        told.append(
            words.best_setting(
                findings.results,
                data.name,
                findings.subject,
                [(n, o.title) for n, o in named],
                findings.schedule.seeds_of("omegas"),
            )
        )
        told.append(words.low_weight(data.name, values))
    if not shown:
        return ""
    return section(
        "Figure 4. Weights of active and inactive nodes",
        "Mean AUC by the weights in the grouping (Eq. 9), each a data set prepared anew. "
        + html.escape(" ".join(filter(None, told))),
        panels(shown),
    )


def _protocols(findings: Findings) -> str:
    if not findings.schedule.settings("protocols"):
        return ""
    models = findings.schedule.models_of("protocols")
    seeds = findings.schedule.seeds_of("protocols")
    rows, told = [], []
    for data in findings.schedule.data:
        name = _name_of(findings, data, PROTOCOL)
        if not any(
            findings.results.spread(data.name, m, "auc", MEAN, setting=name) for m in models
        ):
            continue
        for model in models:
            ours, theirs = (
                findings.results.spread(data.name, model, "auc", MEAN, setting=setting, seeds=seeds)
                for setting in ("", name)
            )
            name_of_row = html.escape(f"{data.name}: {model}")
            rows.append(row([name_of_row, spread_cell(ours), spread_cell(theirs)]))
        told.append(_protocol_words(findings, data, models, name))
    if not rows:
        return ""
    return section(
        "Is the margin a matter of protocol?",
        "Mean AUC of the same models on the rows of the tables above, and with an event a row, "
        "windows drawn at random and users of at least 20 events, as the paper likely had them: "
        "there a row may know what came after it, and labels of an event exclude one another. "
        + html.escape(" ".join(told)),
        table(["model", "rows of the tables", "events at random"], rows),
    )


def _protocol_words(findings: Findings, data: DataSet, models: Sequence[str], name: str) -> str:
    margins, seeds = {}, findings.schedule.seeds_of("protocols")
    for title, setting in ((f"{data.protocol}", ""), ("events at random", name)):
        means = {
            model: spread.mean
            for model in models
            if (
                spread := findings.results.spread(
                    data.name, model, "auc", MEAN, setting=setting, seeds=seeds
                )
            )
        }
        ours = means.pop(findings.subject, None)
        if ours is None or not means:
            return ""
        rival = max(means, key=lambda model: means[model])
        margins[title] = (lead(ours, means[rival]), rival)
    first, second = margins.values()
    told = "; ".join(
        f"{title}: {percent:+.2f} % over {rival}" for title, (percent, rival) in margins.items()
    )
    verdict = (
        "the margin is larger with events at random"
        if second[0] > first[0]
        else "the margin is not larger with events at random"
    )
    return f"{data.name}: {findings.subject} has {told}: {verdict}."
