"""What a model was made of: the parts of a run's page that tell it."""

from __future__ import annotations

import dataclasses
import html
from typing import Any

from input_pipeline.pages.page import row, section, table
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.reports.commands import prepare_command, train_command
from mgoe_tf.reports.run_facts import RunFacts

_ROWS = {
    "pairs": "A row is a user and an item that met in a window of the log, beside sampled pairs "
    "that did not",
    "events": "A row is an event of the log",
    "exposures": "A row is an item that was shown to a user",
}
_SPLITS = {
    "time": "windows are cut by time, and every row reads only what came before its window",
    "order": "windows are cut at each user's own position, since the log has no clock",
    "random": "windows are cut at random, so that rows may read what came after them",
}


def sections(facts: RunFacts) -> list[str]:
    """Data, parts, weights, commands and versions."""
    return [
        section("The data", data_paragraph(facts.spec), _rates(facts.spec)),
        _switches(facts),
        _weights(facts),
        _commands(facts),
        _versions(facts),
    ]


def data_paragraph(spec: DatasetSpec) -> str:
    """A data set in a few sentences, as HTML."""
    counts, rows = spec.counts, spec.counts["rows"]
    sizes = ", ".join(f"{number:,} of {split}" for split, number in rows.items())
    features = [
        feature.name
        for owner in INPUT_OWNERS
        for feature in spec.select(owner)
        if feature.role in ("side", "numeric")
    ]
    columns = f"beside ids, rows tell {', '.join(features)}" if features else "rows tell ids alone"
    return html.escape(
        f"{counts['events']:,} events of {counts['users']:,} users and {counts['items']:,} items "
        f"({spec.source}). {_ROWS[spec.rows]}; {_SPLITS[spec.split]}. There are {sizes} rows; "
        f"{columns}. The graph has {spec.num_user_macro_nodes} groups of users and "
        f"{spec.num_item_macro_nodes} of items. The report.html of the data set shows more."
    )


def _rates(spec: DatasetSpec) -> str:
    positives, numbers = spec.counts["positives"], spec.counts["rows"]
    rows = [
        row(
            [split, f"{numbers[split]:,}"]
            + [
                f"{of_split.get(task, 0):,} "
                f"<small>{of_split.get(task, 0) / max(1, numbers[split]):.2%}</small>"
                for task in spec.task_names
            ]
        )
        for split, of_split in positives.items()
    ]
    return table(["window", "rows", *(f"{task} positives" for task in spec.task_names)], rows)


def _switches(facts: RunFacts) -> str:
    """Every part of the model, and of the data, that an ablation turns off."""
    of_model = facts.loaded.model_options
    rows = [
        _switch(field, getattr(of_model, field.name))
        for field in dataclasses.fields(of_model)
        if isinstance(field.default, bool)
    ]
    rows += [
        _switch(field, facts.spec.flags[field.name])
        for field in dataclasses.fields(PreparationOptions)
        if field.name == "preference" and field.name in facts.spec.flags
    ]
    return section(
        "Which parts were on",
        "Ablations turn a part off, to see what it is worth.",
        table(["part", "", "what it does"], rows, of_text=True),
    )


def _switch(field: dataclasses.Field[Any], value: bool) -> str:
    state = "<b class=good>on</b>" if value else "<b class=warning>off</b>"
    flag = f"<code>--{'' if value else 'no'}{field.name}</code>"
    return row([flag, state, html.escape(field.metadata["help"])])


def _weights(facts: RunFacts) -> str:
    rows = [
        row([html.escape(name.replace("_", " ")), f"{number:,}"])
        for name, number in facts.by_part().items()
        if number
    ]
    return section("Weights", "Trained numbers, by part of the model.", table(["part", ""], rows))


def _commands(facts: RunFacts) -> str:
    options = facts.loaded.train_options
    commands = (prepare_command(facts.spec), train_command(options, facts.loaded.model_options))
    texts = "".join(f"<pre>{html.escape(command)}</pre>" for command in commands)
    flags = [
        row([f"<code>--{name}</code>", html.escape(str(value))])
        for name, value in facts.history.card["flags"].items()
    ]
    return section(
        "How to make it again",
        "Paths are those of the machine and folder where it was trained; both directories must "
        "not exist yet. The same command, versions, processor and number of threads give the same "
        "weights. Flags that are left out have their defaults.",
        f"{texts}<details><summary>All flags of training</summary>"
        f"{table(['flag', 'value'], flags, of_text=True)}</details>",
    )


def _versions(facts: RunFacts) -> str:
    last = facts.history.card["sessions"][-1]
    told = {
        **last["versions"],
        "platform": last["platform"],
        "processors": last["cpus"],
        "devices": ", ".join(last["devices"]),
        "threads of an operation": last["intra_op_threads"] or "TensorFlow's choice",
        "begun": facts.history.card["sessions"][0]["begun"],
        "ended": last.get("ended", ""),
        "parts that a process trained": len(facts.history.card["sessions"]),
        "SHA-256 of the data set's spec": facts.history.card["data"]["checksum"],
    }
    rows = [row([html.escape(name), html.escape(str(value))]) for name, value in told.items()]
    return section("Versions and machine", "", table(["", ""], rows, of_text=True))
