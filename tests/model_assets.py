"""Small files of a data set, for models that need some."""

import pathlib
import tempfile
from collections.abc import Callable

import numpy as np

from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.registry import MODELS

# Removed when the process ends.
_FOLDER = tempfile.TemporaryDirectory()


def _write_task_table(path: pathlib.Path, spec: DatasetSpec) -> None:
    """Of every user counts by task and item macro node."""
    shape = (spec.vocabulary("user_id").size, len(spec.tasks), spec.num_item_macro_nodes)
    np.save(path, np.random.default_rng(0).poisson(1.0, shape).astype(np.float32))


_WRITERS: dict[str, Callable[[pathlib.Path, DatasetSpec], None]] = {
    "task_table.npy": _write_task_table,
}


def assets_of(name: str, spec: DatasetSpec) -> dict[str, str]:
    """The files that a registered model needs of a data set, by name, made up."""
    found = {}
    for asset in MODELS[name].assets(spec):
        path = pathlib.Path(_FOLDER.name, *spec.task_names, asset)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _WRITERS[path.name](path, spec)
        found[asset] = str(path)
    return found
