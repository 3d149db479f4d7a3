"""The page's third part: what models cost, and what AUC they give for it."""

from __future__ import annotations

import html
from typing import Any

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table
from mgoe_tf.experimenting import figures, words
from mgoe_tf.experimenting.cells import DASH
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.results import MEAN
from mgoe_tf.experimenting.timing import BATCH_SIZES, SIGNATURES

_TITLES = {
    "serving_default": "flat rows",
    "rank": "a user's features with candidates'",
    "rank_ids": "ids alone",
}
# What the picture that decides is about: a request by ids with this many candidates.
_DECIDING = ("rank_ids", 100)
# With more of the processors' time for others than this, times are theirs, too.
_QUIET = 0.1


def sections(findings: Findings) -> list[str]:
    """Figure 5 and sizes, of every data set."""
    found = []
    for data in findings.schedule.data:
        found += [_times(findings, data), _sizes(findings, data)]
    return list(filter(None, found))


def trades(findings: Findings) -> list[str]:
    """AUC against milliseconds, of every data set that was measured."""
    return list(filter(None, (_trade(findings, data) for data in findings.schedule.data)))


def _trade(findings: Findings, data: DataSet) -> str:
    times = findings.milliseconds(data.name, *_DECIDING)
    points = {
        model: (times[model], spread.mean)
        for model in findings.ranking(data.name)
        if model in times and (spread := findings.results.spread(data.name, model, "auc", MEAN))
    }
    if not points:
        return ""
    label = f"ms of a request by ids, {_DECIDING[1]} candidates (logarithmic)"
    figure = figures.trade(points, label=label, chosen=findings.subject)
    return section(
        f"AUC against milliseconds: {html.escape(data.name)}",
        "Up and to the left is better; along the dashed line no model is both quicker and better. "
        + html.escape(trade_words(findings.subject, points))
        + _other_work(findings.machine),
        panels({"": svg(figure)}),
    )


def trade_words(subject: str, points: dict[str, tuple[float, float]]) -> str:
    """Where the model of interest stands; (milliseconds, mean AUC) by model."""
    if subject not in points or len(points) < 2:
        return ""
    milliseconds, auc = points[subject]
    better = [model for model, point in points.items() if point[1] > auc]
    quicker = [model for model, point in points.items() if point[0] < milliseconds]
    both = [model for model in better if model in quicker]
    order = sorted(points, key=lambda model: points[model][0])
    text = (
        f"A request takes {subject} {milliseconds:.2f} ms, {order.index(subject) + 1} of "
        f"{len(points)} from the quickest ({order[0]}, {points[order[0]][0]:.2f} ms) to the "
        f"slowest ({order[-1]}, {points[order[-1]][0]:.2f} ms)"
    )
    if both:
        return f"{text}; in less time these rank better: {words.listed(both)}."
    if better:
        return f"{text}; what ranks better ({words.listed(better)}) is slower."
    return f"{text}; no model ranks better."


def _times(findings: Findings, data: DataSet) -> str:
    if not findings.timings.get(data.name):
        return ""
    models = [m for m in findings.ranking(data.name) if findings.timings[data.name]]
    places = [(signature, rows) for signature in SIGNATURES for rows in BATCH_SIZES]
    by_place = {place: findings.milliseconds(data.name, *place) for place in places}
    shown = {
        f"{rows:,} row{'' if rows == 1 else 's'}": svg(
            figures.bars(
                {
                    _TITLES[name]: {m: v for m in models if (v := by_place[name, rows].get(m))}
                    for name in ("serving_default", "rank_ids")
                },
                label="milliseconds (logarithmic)",
            )
        )
        for rows in BATCH_SIZES
    }
    rows = [
        row(
            [html.escape(model)]
            + [
                f"{by_place[place][model]:.2f}" if model in by_place[place] else DASH
                for place in places
            ]
        )
        for model in models
    ]
    head = ["model", *(f"{_TITLES[name]}: {number:,}" for name, number in places)]
    machine = findings.machine
    devices = html.escape(", ".join(machine.get("devices", [])))
    calls = findings.timings[data.name][0].calls
    return section(
        f"Figure 5. Time of inference: {html.escape(data.name)}",
        f"Medians of {calls} calls of the exported models in milliseconds, all models in turns, "
        "in sessions of one process, operations in the thread that calls: "
        f"{machine.get('cpus')} processors, {_threads(machine.get('intra_op_threads'))} within an "
        f"operation, {devices}. By ids the model looks up what it knows of user and items itself. "
        + html.escape(_times_words(findings, data))
        + _other_work(machine),
        panels(shown) + table(head, rows),
    )


def _other_work(machine: dict[str, Any]) -> str:
    """A warning where the processors had other work while times were taken."""
    share = machine.get("other_work")
    if share is None or share < _QUIET:
        return ""
    return (
        f" <b class=warning>Other processes had {share:.0%} of the processors meanwhile: these "
        "times are not to be relied on. Delete timing.json, and give the command again on a quiet "
        "machine.</b>"
    )


def _threads(number: int | None) -> str:
    return words.count(number, "thread") if number else "as many threads as TensorFlow chooses"


def _times_words(findings: Findings, data: DataSet) -> str:
    times = findings.milliseconds(data.name, *_DECIDING)
    ours = times.get(findings.subject)
    others = {m: t for m, t in times.items() if m != findings.subject}
    if ours is None or not others:
        return ""
    told = [f"{model} {ours / taken:.1f}" for model, taken in sorted(others.items())]
    return (
        f"By ids with {_DECIDING[1]} candidates {findings.subject} takes so many times as long as: "
        f"{', '.join(told)}."
    )


def _sizes(findings: Findings, data: DataSet) -> str:
    sizes = findings.sizes.get(data.name, {})
    if not sizes:
        return ""
    rows = []
    for model in (m for m in findings.ranking(data.name) if m in sizes):
        size = sizes[model]
        cells = [
            f"{size.dense_weights:,}",
            f"{size.table_weights:,}",
            _number(size.row_multiplications),
            _number(size.fixed_multiplications),
            DASH if size.export_bytes is None else f"{size.export_bytes / 1e6:.1f}",
            f"{findings.seconds[data.name].get(model, 0):.0f}",
        ]
        rows.append(row([html.escape(model), *cells]))
    head = ["model", "dense weights", "weights of id tables", "multiplications a row"]
    head += ["whatever the rows", "export, MB", "training, s"]
    known = {m: s.row_multiplications for m, s in sizes.items() if s.row_multiplications}
    told = ""
    if known and findings.subject in known:
        least, most = (choose(known, key=lambda model: known[model]) for choose in (min, max))
        told = (
            f"A row costs {findings.subject} {known[findings.subject]:,} multiplications; the "
            f"least costs {least} ({known[least]:,}), the most {most} ({known[most]:,})."
        )
    workers = findings.schedule.options.workers
    return section(
        f"Sizes: {html.escape(data.name)}",
        "Trained numbers; multiplications of matrix products from embeddings (and what graphs "
        "give) to predictions, for each row and whatever the number of rows (an export computes "
        "once what depends on weights alone); the exported model with its graph; time of training "
        f"and validation, in which {workers} runs shared the machine. {html.escape(told)}",
        table(head, rows),
    )


def _number(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"
