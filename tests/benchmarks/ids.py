"""Suite `ids`: an export of very many ids is loaded, asked and swapped by the embedded server."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import shutil
import time
from typing import Any

import numpy as np
import tensorflow as tf

from export.client import CallError, Client, Input
from export.client.tensors import TYPES
from export.options import ExportOptions
from export.savedmodel import export
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.files import filesystem
from input_pipeline.spec import SPEC_FILE, DatasetSpec, read_spec
from mgoe_tf.models.registry import model_class
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from tests.benchmarks.context import Context
from tests.benchmarks.line import Line
from tests.benchmarks.measure import peak_memory
from tests.benchmarks.table import lengthened

_MODEL = "mmoe"  # its id tables are nearly all that it has
_CANDIDATES = 100
_IDS_A_ROW = 5  # ids of a hashed table by row


@dataclasses.dataclass(frozen=True)
class Served:
    """What a server did with one export.

    Attributes:
      load_seconds, swap_seconds: until the first and the second version were available.
      load_cpu_seconds: of the process meanwhile.
      gigabytes, swap_peak_gigabytes, swapped_gigabytes: of resident memory that the model takes:
        loaded, at most during the swap, and after it.
      milliseconds, swapped_milliseconds: medians of `rank` of 100 candidates.
      failed: calls that were not answered during the swap.
    """

    load_seconds: float
    load_cpu_seconds: float
    gigabytes: float
    milliseconds: float
    swap_seconds: float
    swap_peak_gigabytes: float
    swapped_gigabytes: float
    swapped_milliseconds: float
    failed: int


def run(context: Context) -> list[Line]:
    """Bytes, seconds and memory by what the ids go through, and by the numbers of the tables."""
    data_dir, ids = context.data_dir(), context.scale.table_sizes[-1]
    spawn = multiprocessing.get_context("spawn")
    found: dict[tuple[str, str], tuple[int, float, Served]] = {}
    for id_tables in ("vocabulary", "hashed"):
        model_dir = _model(data_dir, ids, id_tables, filesystem.join(context.folder, "ids"))
        for dtype in ("float32", "float16"):
            base = f"{model_dir}-{dtype}"
            # each in processes of its own, whose memory is that of one export
            with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
                seconds = process.submit(_export, model_dir, base, dtype).result()
            with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
                served = process.submit(serve, base, context.scale.steps).result()
            size = sum(f.stat().st_size for f in pathlib.Path(base, "1").rglob("*") if f.is_file())
            found[id_tables, dtype] = size, seconds, served
            shutil.rmtree(base)
        shutil.rmtree(model_dir)
    lines = []
    for (id_tables, dtype), (size, seconds, served) in found.items():
        name = f"{ids:,} ids, {id_tables}, {dtype}"
        other = found["vocabulary", "float32"]
        told = {"export s": seconds, **dataclasses.asdict(served)}
        lines += [
            Line(f"{name}: export", "GB", [size / 1e9], [other[0] / 1e9], "vocabulary, float32",
                 details=told),
            Line(f"{name}: load", "s", [served.load_seconds], [other[2].load_seconds],
                 "vocabulary, float32"),
            Line(f"{name}: loaded", "GB", [served.gigabytes], [other[2].gigabytes],
                 "vocabulary, float32"),
            Line(f"{name}: rank of {_CANDIDATES}", "ms", [served.milliseconds],
                 [served.swapped_milliseconds], "after a swap"),
            Line(f"{name}: swap", "s", [served.swap_seconds], [served.load_seconds], "its load"),
            Line(f"{name}: after a swap", "GB", [served.swapped_gigabytes],
                 [served.swap_peak_gigabytes], "most during the swap"),
        ]  # fmt: skip
    return lines


def _model(data_dir: str, ids: int, id_tables: str, folder: str) -> str:
    """A model directory of half as many users and half as many items, which nobody trained."""
    model_dir = filesystem.join(folder, id_tables)
    hash_rows = max(1, ids // 2 // _IDS_A_ROW) if id_tables == "hashed" else 0
    options = TrainOptions(
        data_dir=data_dir,
        model_dir=model_dir,
        model=_MODEL,
        id_tables=id_tables,
        hash_rows=hash_rows,
    )
    spec = lengthened(read_spec(data_dir), ids // 2).with_hashed_ids(hash_rows)
    vocabularies = filesystem.join(model_dir, "vocabulary")
    filesystem.make_dirs(vocabularies)
    for column in spec.vocabularies:
        if not column.hash_rows:
            lines = _ids(spec, column.name, np.arange(column.embedded)).tolist()
            text = b"".join(b"%s\n" % (one if isinstance(one, bytes) else b"%d" % one)
                            for one in lines)  # fmt: skip
            filesystem.write_bytes(filesystem.join(vocabularies, f"{column.name}.txt"), text)
    filesystem.write_text(filesystem.join(model_dir, SPEC_FILE), spec.to_json())
    model_options = model_class(_MODEL).options_class()
    config = {"model_options": model_options, "train_options": options}
    contents: dict[str, Any] = {name: dataclasses.asdict(of) for name, of in config.items()}
    checkpoints.write_json(
        filesystem.join(model_dir, checkpoints.CONFIG_FILE), {**contents, "assets": {}}
    )
    tf.keras.utils.set_random_seed(0)
    model = checkpoints.new_model(spec, model_options, options)
    checkpoints.manager(tf.train.Checkpoint(model=model), model_dir, "best").save(1)
    return model_dir


def _ids(spec: DatasetSpec, column: str, numbers: np.ndarray) -> np.ndarray:
    """The raw ids of these numbers: integers, or strings of some ten characters."""
    if spec.vocabulary(column).dtype == "int64":
        return numbers.astype(np.int64) * 7919
    return np.array([b"%s%09d" % (column[:1].encode(), n) for n in numbers.tolist()], object)


def _export(model_dir: str, base: str, dtype: str) -> float:
    begin = time.perf_counter()
    path = export(
        ExportOptions(
            model_dir=model_dir,
            export_base=os.path.dirname(base),
            model_name=os.path.basename(base),
            version=1,
            id_table_dtype=dtype,
        )
    )
    seconds = time.perf_counter() - begin
    shutil.copytree(path, f"{base}-next")
    return seconds


def serve(base: str, calls: int) -> Served:
    """Serves version 1 below `base`, and then what lies beside it as version 2."""
    server = Server(
        ServeOptions(
            model_name="m", model_base_path=base, port=0, file_system_poll_wait_seconds=0.1
        )
    )
    with peak_memory() as peak:
        begin, cpu = time.perf_counter(), time.process_time()
        server.start()
        load_seconds, load_cpu = time.perf_counter() - begin, time.process_time() - cpu
    empty = peak.before_gigabytes
    failed = 0
    with Client(f"127.0.0.1:{server.port}", "m", timeout_seconds=60) as client:
        requests = _requests(client.inputs("rank"), read_spec_of(base), calls)
        milliseconds = _median(client, requests)
        with peak_memory() as loaded:
            pass
        with peak_memory() as peak:
            begin = time.perf_counter()
            os.rename(f"{base}-next", os.path.join(base, "2"))
            while client.states() != {1: "END", 2: "AVAILABLE"}:
                try:
                    client.predict(requests[0], "rank")
                except CallError:
                    failed += 1
            swap_seconds = time.perf_counter() - begin
        swapped_milliseconds = _median(client, requests)
        with peak_memory() as swapped:
            pass
    server.stop(0)
    return Served(
        load_seconds,
        load_cpu,
        loaded.before_gigabytes - empty,
        milliseconds,
        swap_seconds,
        peak.gigabytes - empty,
        swapped.before_gigabytes - empty,
        swapped_milliseconds,
        failed,
    )


def read_spec_of(base: str) -> DatasetSpec:
    """The spec inside version 1 of an export."""
    return read_spec(os.path.join(base, "1", "assets.extra"))


def _requests(wanted: dict[str, Input], spec: DatasetSpec, count: int) -> list[dict[str, Any]]:
    """Random ids; everything else is missing."""
    random, found = np.random.default_rng(0), []
    for _ in range(count):
        request: dict[str, Any] = {}
        for name, of in wanted.items():
            shape = [1, _CANDIDATES][: 1 + (of.shape[1:2] == (-1,))] + [
                size for size in of.shape[1:] if size >= 0
            ]
            request[name] = np.full(shape, of.missing, TYPES[of.dtype][0])
            if name in ("user_id", "item_id"):
                numbers = random.integers(0, spec.vocabulary(name).embedded, shape)
                request[name] = _ids(spec, name, numbers.ravel()).reshape(shape)
        found.append(request)
    return found


def _median(client: Client, requests: list[dict[str, Any]]) -> float:
    """Milliseconds of a call."""
    times = []
    for request in requests:
        begin = time.perf_counter()
        client.predict(request, "rank")
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times))
