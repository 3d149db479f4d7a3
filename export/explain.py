"""Why a model scores an item so for a user: python -m export.explain --user_id=ID --item_id=ID

Asks the signature `explain` of a server, or of an export's directory, and prints for every task and
neighbour set the macro nodes of the largest weights; a picture shows all of them.

Axes: K macro nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client import Client, Input
from export.client.context import context_inputs, filled_context, parse_context
from export.client.ranking import parse_ids
from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from mgoe_tf.evaluation import tables
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS

_SIGNATURE = "explain"
Answer = Mapping[str, NDArray[Any]]
Ask = Callable[[Mapping[str, NDArray[Any]]], Answer]


@dataclasses.dataclass(frozen=True)
class ExplainOptions:
    """Which score is explained."""

    user_id: str = option("", "Raw id of the user; required.")
    item_id: str = option("", "Raw id of the item; required.")
    context: tuple[str, ...] = option(
        (),
        "Features of the request itself, name=value,name=value,...; | between several values of "
        "one. What is left out is missing.",
    )
    export_dir: str = option("", "Version directory of an export to ask. Default: a server.")
    target: str = option("localhost:8500", "host:port of the server's gRPC.")
    model_name: str = option("mgoe", "The model's name on the server.")
    timeout_seconds: float = option(10.0, "For the call to the server.")
    top: int = option(3, "How many macro nodes of each task and neighbour set are printed.")
    picture: str = option("explanation.png", "Picture to write; its suffix says the format.")

    def __post_init__(self) -> None:
        for name in ("user_id", "item_id", "picture"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must be given, got ''")
        if self.top < 1:
            raise ValueError(f"--top: must be at least 1, got {self.top}")


def explain(explain_options: ExplainOptions) -> dict[str, NDArray[Any]]:
    """What the model attends to for the user and the item.

    Returns:
      By name of the output (see `MGOE.explain`): [K], or [] for `adjustment_<task>`.

    Raises:
      ValueError: the model has no signature `explain`; an id of another type than it wants.
      CallError: the server does not answer.
    """
    if explain_options.export_dir:
        return _ask(explain_options, *_of_directory(explain_options.export_dir))
    with Client(
        explain_options.target, explain_options.model_name, explain_options.timeout_seconds
    ) as client:
        wanted = client.inputs(_SIGNATURE)
        return _ask(explain_options, wanted, lambda ids: client.predict(ids, _SIGNATURE))


def _of_directory(export_dir: str) -> tuple[Mapping[str, Input], Ask]:
    import tensorflow as tf  # a server is asked without it

    loaded = tf.saved_model.load(export_dir)
    if _SIGNATURE not in loaded.signatures:
        raise ValueError(
            f"--export_dir: {export_dir} has the signatures {sorted(loaded.signatures)}, not "
            f"{_SIGNATURE}"
        )
    specs = loaded.signatures[_SIGNATURE].structured_input_signature[1]
    wanted = {
        name: Input(spec.dtype.as_datatype_enum, tuple(size or -1 for size in spec.shape))
        for name, spec in specs.items()
    }

    def ask(ids: Mapping[str, NDArray[Any]]) -> Answer:
        # Through `loaded`: a signature alone does not keep its weights.
        signature = loaded.signatures[_SIGNATURE]
        outputs = signature(**{name: tf.constant(value) for name, value in ids.items()})
        return {name: output.numpy() for name, output in outputs.items()}

    return wanted, ask


def _ask(
    explain_options: ExplainOptions, wanted: Mapping[str, Input], ask: Ask
) -> dict[str, NDArray[Any]]:
    user_id = parse_ids([explain_options.user_id], wanted["user_id"])
    item_id = parse_ids([explain_options.item_id], wanted["item_id"])
    of_context = context_inputs(wanted)
    given = parse_context(explain_options.context, of_context)
    ids = {"user_id": user_id, "item_id": item_id[np.newaxis]}
    answer = ask(ids | filled_context(given, of_context))
    return {name: np.asarray(output)[0, 0] for name, output in answer.items()}


def tasks_of(answer: Answer) -> list[str]:
    """The tasks that an answer tells of, in alphabetical order."""
    prefix, suffix = "attention_", f"_{NEIGHBOR_SETS[0]}"
    return sorted(
        name.removeprefix(prefix).removesuffix(suffix)
        for name in answer
        if name.startswith(prefix) and name.endswith(suffix)
    )


def as_table(answer: Answer, top: int) -> str:
    """For every task and neighbour set the macro nodes of the largest weights."""
    rows = []
    for task in tasks_of(answer):
        for name in NEIGHBOR_SETS:
            weights = answer[f"weight_{task}_{name}"]
            for node in np.argsort(-weights, kind="stable")[:top]:
                numbers = (
                    answer[f"alpha_{name}"][node],
                    answer[f"attention_{task}_{name}"][node],
                    weights[node] / weights.sum(),
                )
                rows.append([task, name, str(node), *(f"{number:.4f}" for number in numbers)])
    header = ["task", "neighbour set", "macro node", "alpha", "attention", "share of weight"]
    text = tables.table(header, rows)
    adjustments = [
        [task, f"{answer[f'adjustment_{task}']:+.4f}"]
        for task in tasks_of(answer)
        if f"adjustment_{task}" in answer
    ]
    if adjustments:
        text += "\n\n" + tables.table(["task", "adjustment of the logit"], adjustments)
    return text


def draw(answer: Answer, title: str, path: str) -> None:
    """Writes a picture: a row a task, a column a neighbour set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = tasks_of(answer)
    figure, axes = pyplot.subplots(
        len(tasks), len(NEIGHBOR_SETS), figsize=(14, 2.2 * len(tasks) + 1), squeeze=False
    )
    for row, task in zip(axes, tasks, strict=True):
        for axis, name in zip(row, NEIGHBOR_SETS, strict=True):
            weights = answer[f"weight_{task}_{name}"]
            nodes = np.arange(len(weights))
            axis.bar(nodes, weights / weights.sum(), color="tab:blue", label="share of weight")
            axis.plot(nodes, answer[f"alpha_{name}"], "k_", label="alpha")
            axis.plot(nodes, answer[f"attention_{task}_{name}"], "r.", label="attention")
            axis.set_title(f"{task}, {name}", fontsize=9)
            axis.set_ylim(bottom=0)
            axis.tick_params(labelsize=7)
            axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[-1]:
        axis.set_xlabel("macro node", fontsize=8)
    axes[0, 0].legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _explain(explain_options: ExplainOptions) -> None:
    answer = explain(explain_options)
    print(as_table(answer, explain_options.top))
    title = f"user {explain_options.user_id}, item {explain_options.item_id}"
    draw(answer, title, explain_options.picture)
    print(f"\nwrote {explain_options.picture}")


def main() -> None:
    """The command."""
    run_command(_explain, ExplainOptions, doc=__doc__)


if __name__ == "__main__":
    main()
