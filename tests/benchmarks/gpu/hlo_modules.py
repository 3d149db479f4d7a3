"""Networks and their gradients as serialized HLO modules, with what they are checked against.

A folder of them is run by `run_hlo.py`, which is written beside them, wherever JAX is installed.
Inputs are what `embed` gives for rows of a data set, so that tables of ids are not in it.

Axes: B rows.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.eager.polymorphic_function import compiler_ir

from mgoe_tf.models.base import RankingModel

# Rows of the inputs that are kept; a module of more takes them over and over.
KEPT_ROWS = 128
MANIFEST = "modules.json"
# Copied, not imported: it needs JAX.
_RUNNER = pathlib.Path(__file__).with_name("run_hlo.py")


class Argument(NamedTuple):
    """An input or an output of a module.

    Attributes:
      name: of its array in the file of the model.
      axis: which one is of rows; None: none is.
    """

    name: str
    axis: int | None


def write_runner(folder: str, modules: Sequence[Mapping[str, Any]]) -> None:
    """Writes the list of modules and the script that runs them."""
    path = pathlib.Path(folder)
    (path / MANIFEST).write_text(json.dumps(modules, indent=1) + "\n")
    shutil.copyfile(_RUNNER, path / _RUNNER.name)


def write_modules(
    folder: str,
    name: str,
    model: RankingModel,
    features: Mapping[str, tf.Tensor],
    labels: Mapping[str, tf.Tensor],
    *,
    batch_sizes: Sequence[int],
    train_batch_size: int,
) -> list[dict[str, Any]]:
    """Writes a model's modules and arrays.

    Args:
      folder: for `<name>.<what>.<rows>.hlo` and `<name>.npz`.
      name: of the model.
      model: float32, with all its weights.
      features: encoded, of at least `KEPT_ROWS` flat rows.
      labels: by task, [B], -1 for none.
      batch_sizes: rows of the network's modules.
      train_batch_size: rows of the gradient's module.

    Returns:
      What `modules.json` says of each module.
    """
    # Products in whole float32, which else are left to the device.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    kept, fewer = (
        {"inputs": model.embed(_rows(features, count)), "labels": _rows(labels, count)}
        for count in (KEPT_ROWS, 2)
    )
    axes = tf.nest.map_structure(_axis_of_rows, kept, fewer)
    arrays = {
        argument.name: value.numpy()
        for key in kept
        for argument, value in zip(_arguments(key, axes), tf.nest.flatten(kept[key]), strict=True)
    }
    functions = [(network_of(model), "network", ("inputs",), rows) for rows in batch_sizes]
    functions.append((gradient_of(model), "gradient", tuple(kept), train_batch_size))
    modules = []
    for function, what, keys, rows in functions:
        given = [
            tf.nest.map_structure(
                lambda value, axis, rows=rows: _resized(value, axis, rows), kept[key], axes[key]
            )
            for key in keys
        ]
        serialized, weights, outputs = _traced(function, given, model, what)
        arrays |= weights
        for key, value in outputs.items():
            if what == "gradient":
                arrays[key] = value
            elif len(value) >= len(arrays.get(key, ())):
                arrays[key] = value[:KEPT_ROWS]
        file = f"{name}.{what}.{rows}.hlo"
        pathlib.Path(folder, file).write_bytes(serialized)
        of_rows = 0 if what == "network" else None
        modules.append(
            {
                "model": name,
                "what": what,
                "rows": rows,
                "file": file,
                "inputs": [
                    *(argument for key in keys for argument in _arguments(key, axes)),
                    *(Argument(key, None) for key in weights),
                ],
                "outputs": [Argument(key, of_rows) for key in outputs],
            }
        )
    np.savez_compressed(pathlib.Path(folder, f"{name}.npz"), **arrays)
    return modules


def network_of(model: RankingModel) -> Callable[..., dict[str, tf.Tensor]]:
    """From the inputs of `network` to logits by task, float32 [B]."""

    def network(inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        return {task: tf.cast(logit, tf.float32) for task, logit in model.network(inputs).items()}

    return network


def gradient_of(model: RankingModel) -> Callable[..., dict[str, tf.Tensor]]:
    """From inputs and labels to the loss and its gradient with respect to every dense weight.

    The loss is the sum over tasks of the mean log loss over the rows that have the task's label.
    Nothing is drawn at random and no moving statistics are updated: the network is that of
    evaluation.
    """
    tables = {id(table) for table in model.embeddings.variables}
    weights = [weight for weight in model.trainable_variables if id(weight) not in tables]
    network = network_of(model)

    def gradient(inputs: Mapping[str, Any], labels: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            losses = [_log_loss(labels[task], logit) for task, logit in network(inputs).items()]
            loss = tf.add_n(losses)
        found = tape.gradient(loss, weights, unconnected_gradients="zero")
        return {"loss": loss} | {f"{n:03d}": tf.cast(g, tf.float32) for n, g in enumerate(found)}

    return gradient


def _log_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The mean over rows that have a label; labels and logits: [B]."""
    labelled = tf.cast(labels >= 0.0, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(labels, 0.0), logits)
    return tf.math.divide_no_nan(tf.reduce_sum(labelled * losses), tf.reduce_sum(labelled))


def _traced(
    function: Callable[..., dict[str, tf.Tensor]],
    arguments: Sequence[Any],
    model: RankingModel,
    what: str,
) -> tuple[bytes, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """A function as a serialized HloModuleProto, the weights that it takes, and its outputs.

    Weights come after `arguments`. Outputs are in the order of the module's, that of their names.
    """
    traced = tf.function(function, autograph=False).get_concrete_function(*arguments)
    specs = [tf.TensorSpec(value.shape, value.dtype) for value in tf.nest.flatten(arguments)]
    serialized = compiler_ir.from_concrete_function(traced, specs)(
        "hlo_serialized", platform_name="CPU"
    )
    variables = {id(weight.handle): number for number, weight in enumerate(model.variables)}
    weights = {}
    for number, captured in enumerate(traced.captured_inputs):
        if id(captured) in variables:
            place = variables[id(captured)]
            weights[f"weights/{place:03d}"] = model.variables[place].numpy()
        else:
            weights[f"constants/{what}/{number:03d}"] = captured.numpy()
    outputs = {f"{what}/{key}": value.numpy() for key, value in traced(*arguments).items()}
    return serialized, weights, dict(sorted(outputs.items()))


def _rows(values: Mapping[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
    return {name: value[:count] for name, value in values.items()}


def _axis_of_rows(value: tf.Tensor, of_fewer: tf.Tensor) -> int:
    """In which axis a value follows the number of rows; -1: in none."""
    different = [
        n
        for n, sizes in enumerate(zip(value.shape, of_fewer.shape, strict=True))
        if len({*sizes}) > 1
    ]
    return different[0] if different else -1


def _resized(value: tf.Tensor, axis: int, rows: int) -> tf.Tensor:
    return value if axis < 0 else tf.gather(value, tf.range(rows) % KEPT_ROWS, axis=axis)


def _arguments(key: str, axes: Mapping[str, Any]) -> list[Argument]:
    """Of the leaves of a nest, in the order in which a function takes them."""
    return [
        Argument(f"{key}/{number:03d}", None if axis < 0 else axis)
        for number, axis in enumerate(tf.nest.flatten(axes[key]))
    ]
