"""report.html: what was run, what it shows, and how to make it again."""

from __future__ import annotations

import html

import mgoe_tf
from input_pipeline.pages.page import cards, document, row, section, table
from mgoe_tf.experimenting import page_cost, page_models, page_settings, words
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.reports.commands import prepare_command
from mgoe_tf.reports.origins import data_paragraph


def render(findings: Findings, command: str) -> str:
    """The page as one HTML document that refers to no other file.

    Args:
      findings: what it tells.
      command: that makes it again.
    """
    parts = [_head(findings), _short(findings), *page_cost.trades(findings)]
    for data in findings.schedule.data:
        parts += page_models.sections(findings, data)
    parts += page_cost.sections(findings)
    parts += page_settings.sections(findings)
    parts += [_failures(findings), _origins(findings, command)]
    return document("Experiments", list(filter(None, parts)))


def _head(findings: Findings) -> str:
    schedule = findings.schedule
    names = words.listed([data.name for data in schedule.data])
    notes = "".join(f"<p>{html.escape(note)}.</p>" for note in schedule.notes)
    finished = len(findings.results.runs)
    values = {
        "models": str(len(findings.models)),
        "data sets": str(len(schedule.data)),
        "seeds": str(len(schedule.options.chosen_seeds)),
        "finished runs": f"{finished:,} of {len(schedule.runs):,}",
        "not done": str(len(findings.failures)),
    }
    what = f"{words.count(len(findings.models), 'model')} on {names}"
    return (
        "<h1>Experiments</h1>"
        f"<p>{html.escape(what)}, trained "
        "with the same rows, the same early stopping on validation and the seeds that are told; "
        f"all figures are of the test rows. Plan {html.escape(schedule.options.plan)}.</p>"
        f"{notes}{cards(values)}"
    )


def _short(findings: Findings) -> str:
    items = []
    for data in findings.schedule.data:
        ranking = findings.ranking(data.name)
        users = findings.over_users.get(data.name, {})
        stands = (findings.results, data.name, ranking, findings.subject, users)
        if ranking:
            told = f"{words.verdict(*stands)} {words.told_apart(*stands)}"
        else:
            told = "No run was finished."
        items.append(f"<li><b>{html.escape(data.name)}</b>: {told}</li>")
    return section("In short", "", f"<ul>{''.join(items)}</ul>")


def _failures(findings: Findings) -> str:
    if not findings.failures:
        return ""
    rows = [
        row([html.escape(failure.name), html.escape(failure.reason)])
        for failure in findings.failures
    ]
    return section(
        "What was not done",
        "It is missing above. The same command tries it again and keeps all that is finished.",
        table(["what", "why"], rows, of_text=True),
    )


def _origins(findings: Findings, command: str) -> str:
    parts = [f"<pre>{html.escape(command)}</pre>"]
    for data in findings.schedule.data:
        parts.append(f"<h3>{html.escape(data.name)}</h3><p>{data_paragraph(data.spec)}</p>")
        parts.append(f"<pre>{html.escape(prepare_command(data.spec))}</pre>")
    rows = [
        row(
            [
                f"<code>{html.escape(model)}</code>",
                html.escape(data.name),
                f"<code>{html.escape(' '.join(findings.schedule.flags(data.name, model)))}</code>",
            ]
        )
        for data in findings.schedule.data
        for model in findings.models
    ]
    flags = table(["model", "data", "flags of mgoe_tf.train"], rows, of_text=True)
    return section(
        "How to make it again",
        f"mgoe_tf {mgoe_tf.__version__}. The command below goes on where it was stopped; runs, "
        "their logs and exports lie beside this page. Flags that are left out have their defaults.",
        f"{''.join(parts)}<details><summary>Flags of every model</summary>{flags}</details>",
    )
