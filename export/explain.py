"""Why a model scores an item so for a user: python -m export.explain --user_id=ID --item_id=ID

Asks the signature `explain` of a server, or of an export's directory, and prints for every task and
neighbour set the macro nodes of the largest weights; a picture shows all of them. What a model
without macro nodes says are numbers, which are printed as they are.

Axes: K macro nodes.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client import Client, Input, known_ids
from export.client.context import context_inputs, filled_context, parse_context
from export.client.ranking import parse_ids
from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.text_table import table
from input_pipeline.files.failures import doing
from input_pipeline.files.literal_path import literal_path
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS

_SIGNATURE = "explain"
Answer = Mapping[str, NDArray[Any]]
Ask = Callable[[Mapping[str, NDArray[Any]], str], Answer]  # of inputs and a signature


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
    output: str = option(
        "",
        "Picture to write; its suffix says the format. Default: a new file in the machine's "
        "directory for temporary files (TMPDIR), whose path is printed. Only of models with macro "
        "nodes.",
        is_path=True,
    )

    def __post_init__(self) -> None:
        for name in ("user_id", "item_id"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must be given, got ''")
        if self.top < 1:
            raise ValueError(f"--top: must be at least 1, got {self.top}")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a model says of a score.

    Attributes:
      answer: by name of the output (see the `explain` of the model): [K] each, or [] of numbers.
      tasks: in their order.
      unknown: a line for each of user and item that the model does not know.
    """

    answer: Answer
    tasks: tuple[str, ...]
    unknown: tuple[str, ...]


def explain(explain_options: ExplainOptions) -> Explanation:
    """What the model attends to for the user and the item.

    Raises:
      ValueError: the model has no signature `explain`; an id of another type than it wants.
      CallError: the server does not answer.
    """
    if explain_options.export_dir:
        return _ask(explain_options, *_of_directory(explain_options.export_dir))
    with Client(
        explain_options.target, explain_options.model_name, explain_options.timeout_seconds
    ) as client:
        wanted = {name: client.inputs(name) for name in (_SIGNATURE, known_ids.SIGNATURE)}
        return _ask(explain_options, wanted, client.predict)


def _of_directory(export_dir: str) -> tuple[Mapping[str, Mapping[str, Input]], Ask]:
    import tensorflow as tf  # a server is asked without it

    loaded = tf.saved_model.load(literal_path(export_dir))
    if _SIGNATURE not in loaded.signatures:
        raise ValueError(
            f"--export_dir: {export_dir} has the signatures {sorted(loaded.signatures)}, not "
            f"{_SIGNATURE}"
        )
    wanted = {
        name: {
            key: Input(spec.dtype.as_datatype_enum, tuple(size or -1 for size in spec.shape))
            for key, spec in loaded.signatures[name].structured_input_signature[1].items()
        }
        for name in (_SIGNATURE, known_ids.SIGNATURE)
    }

    def ask(ids: Mapping[str, NDArray[Any]], name: str) -> Answer:
        # Through `loaded`: a signature alone does not keep its weights.
        signature = loaded.signatures[name]
        outputs = signature(**{name: tf.constant(value) for name, value in ids.items()})
        return {name: output.numpy() for name, output in outputs.items()}

    return wanted, ask


def _ask(
    explain_options: ExplainOptions, wanted: Mapping[str, Mapping[str, Input]], ask: Ask
) -> Explanation:
    inputs = wanted[_SIGNATURE]
    user_id = parse_ids([explain_options.user_id], inputs["user_id"], lambda _: "--user_id")
    item_id = parse_ids([explain_options.item_id], inputs["item_id"], lambda _: "--item_id")
    of_context = context_inputs(inputs)
    given = parse_context(explain_options.context, of_context)
    ids = {"user_id": user_id, "item_id": item_id[np.newaxis]}
    answer = ask(ids | filled_context(given, of_context), _SIGNATURE)
    model = known_ids.ModelIds(
        lambda rows: ask(rows, known_ids.SIGNATURE), wanted[known_ids.SIGNATURE]
    )
    told = (
        known_ids.of_unknown(model.knows, owner, asked)
        for owner, asked in (("user", user_id), ("item", item_id))
    )
    return Explanation(
        {name: np.asarray(output)[0, 0] for name, output in answer.items()},
        model.tasks(),
        tuple(line for line in told if line),
    )


def attends(answer: Answer, tasks: Sequence[str]) -> bool:
    """Whether the answer is one of weights of macro nodes, as MGOE's is."""
    return all(f"weight_{task}_{name}" in answer for task in tasks for name in NEIGHBOR_SETS)


def as_table(answer: Answer, tasks: Sequence[str], top: int) -> str:
    """For every task and neighbour set the macro nodes of the largest weights.

    Of a model without macro nodes all numbers by name, and the largest entries of lists.
    """
    if not attends(answer, tasks):
        return _numbers_table(answer, top)
    rows = []
    for task in tasks:
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
    text = table(header, rows)
    adjustments = [
        [task, f"{answer[f'adjustment_{task}']:+.4f}"]
        for task in tasks
        if f"adjustment_{task}" in answer
    ]
    if adjustments:
        text += "\n\n" + table(["task", "adjustment of the logit"], adjustments)
    return text


def _numbers_table(answer: Answer, top: int) -> str:
    rows = []
    for name, value in sorted(answer.items()):
        if value.ndim == 0:
            rows.append([name, "", f"{value:.4f}"])
            continue
        entries = value.ravel()
        for entry in np.argsort(-entries, kind="stable")[:top]:
            rows.append([name, str(entry), f"{entries[entry]:.4f}"])
    return table(["name", "entry", "value"], rows)


def draw(answer: Answer, tasks: Sequence[str], title: str, path: str) -> None:
    """Writes a picture: a row a task, a column a neighbour set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

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
    figure.suptitle(drawable(title), parse_math=False)
    figure.tight_layout()
    try:
        with doing("writing", path):
            figure.savefig(path, dpi=120)
    finally:
        pyplot.close(figure)


def drawable(text: str) -> str:
    """A text with what the font of pictures cannot draw as its number, U+4E2D, in brackets."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return "".join(
        sign if sign.isprintable() and font.get_char_index(ord(sign)) else f"[U+{ord(sign):04X}]"
        for sign in text
    )


def _explain(explain_options: ExplainOptions) -> None:
    explanation = explain(explain_options)
    for line in explanation.unknown:
        print(line, file=sys.stderr)
    print(as_table(explanation.answer, explanation.tasks, explain_options.top))
    if not attends(explanation.answer, explanation.tasks):
        return
    title = f"user {explain_options.user_id}, item {explain_options.item_id}"
    path = explain_options.output
    if not path:
        path = os.path.join(tempfile.mkdtemp(prefix="mgoe-explanation-"), "explanation.png")
    draw(explanation.answer, explanation.tasks, title, path)
    print(f"\nwrote {path}")


def main() -> None:
    """The command."""
    run_command(_explain, ExplainOptions, doc=__doc__)


if __name__ == "__main__":
    main()
