"""Small files of a data set, for models that need some."""

import pathlib
import tempfile
from collections.abc import Callable

import numpy as np
from scipy import sparse

from input_pipeline.graph.merging_matrix import box_cox
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds, to_lines
from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.registry import MODELS

# Removed when the process ends.
_FOLDER = tempfile.TemporaryDirectory()


def random_graph(spec: DatasetSpec, cut: int) -> sparse.csr_matrix:
    """A merging matrix of all users and items of the vocabulary, each of which has a neighbour."""
    random = np.random.default_rng(cut)
    users, items = (spec.vocabulary(f"{owner}_id").size for owner in ("user", "item"))
    most = 2 ** len(spec.tasks) - 1
    ranks = random.integers(1, most, (users, items), endpoint=True)
    ranks[random.random(ranks.shape) > 0.1 * (cut + 1)] = 0
    ranks[np.arange(users), np.arange(users) % items] = most
    ranks[np.arange(items) % users, np.arange(items)] = 1
    scores = sparse.csr_matrix(ranks.astype(float))
    scores.data = box_cox(scores.data, spec.flags["beta"])
    return scores


def _write_graph(path: pathlib.Path, spec: DatasetSpec) -> None:
    cut = path.parent.name
    sparse.save_npz(path, random_graph(spec, len(spec.cuts) + 1 if cut == "latest" else int(cut)))


def _write_counts(path: pathlib.Path, spec: DatasetSpec) -> None:
    """Everything was seen once."""
    name = path.stem.removesuffix("_counts")
    np.save(path, np.ones(spec.vocabulary(name).embedded, np.int64))


def _write_task_table(path: pathlib.Path, spec: DatasetSpec) -> None:
    """Of every user counts by task and item macro node."""
    shape = (spec.vocabulary("user_id").size, len(spec.tasks), spec.num_item_macro_nodes)
    np.save(path, np.random.default_rng(0).poisson(1.0, shape).astype(np.float32))


def raw_ids(spec: DatasetSpec, name: str) -> RawIds:
    """The ids of a vocabulary, from whose text hashed rows follow."""
    vocabulary = spec.vocabulary(name)
    if vocabulary.dtype == "int64":
        return np.arange(vocabulary.size) * 70 - 3
    return ByteStrings.of([b"%d of %d" % (n, vocabulary.size) for n in range(vocabulary.size)])


def _write_ids(path: pathlib.Path, spec: DatasetSpec) -> None:
    path.write_bytes(to_lines(raw_ids(spec, path.stem)))


_WRITERS: dict[str, Callable[[pathlib.Path, DatasetSpec], None]] = {
    "merging_matrix.npz": _write_graph,
    "task_table.npy": _write_task_table,
    "user_id_counts.npy": _write_counts,
    "item_id_counts.npy": _write_counts,
    "user_id.txt": _write_ids,
    "item_id.txt": _write_ids,
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
