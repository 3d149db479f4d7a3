"""Times all models on a GPU: python -m tests.benchmarks.gpu [--output=FILE]

Inference and training steps in TensorFlow, in both precisions, with and without XLA; what a
combination cannot do is listed with its reason. Data are the synthetic source's, encoded and on
the device before they are timed.

With --write_hlo=DIR nothing is timed, and no GPU is needed: the network of every model and the
gradient of its log loss are written as HLO modules, with inputs, expected outputs and run_hlo.py,
which runs them where there is JAX but no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from typing import Any

import tensorflow as tf

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.text_table import table
from input_pipeline.files import filesystem
from mgoe_tf.models.options import require
from mgoe_tf.models.registry import MODELS
from tests.benchmarks.context import SCALES, Context
from tests.benchmarks.gpu.hlo_modules import KEPT_ROWS, write_modules, write_runner
from tests.benchmarks.gpu.timing import Timing, time_model
from tests.benchmarks.machine import machine
from tests.benchmarks.runs import Run, parsed_batches

_PRECISIONS = ("float32", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class GpuOptions:
    """What is measured or written."""

    device: str = option(
        "gpu", "Where TensorFlow runs. cpu is for trying the command out.", ("gpu", "cpu")
    )
    models: tuple[str, ...] = option(tuple(sorted(MODELS)), "Which models. Default: all.")
    batch_sizes: tuple[int, ...] = option((100, 1024, 8192), "Rows of an inference.")
    train_batch_size: int = option(1024, "Rows of a training step.")
    precisions: tuple[str, ...] = option(_PRECISIONS, "Of `mgoe_tf.train`.")
    calls: int = option(30, "Timed calls of each; three more come before.")
    scale: str = option("small", "Size of the data set, as of tests.benchmarks.", tuple(SCALES))
    folder: str = option(
        "",
        "Folder to keep data set and models in, for later runs. Default: a temporary one.",
        is_path=True,
    )
    output: str = option("", "JSON file to write; it must not exist yet.", is_path=True)
    write_hlo: str = option(
        "", "Folder to write HLO modules to instead; it must not exist yet.", is_path=True
    )

    def __post_init__(self) -> None:
        known = f"some of {', '.join(MODELS)}"
        require(self, known, ("models",), lambda name: name in MODELS)
        require(self, f"of {_PRECISIONS}", ("precisions",), lambda name: name in _PRECISIONS)
        sizes = ("batch_sizes", "train_batch_size", "calls")
        require(self, "at least 1", sizes, lambda value: value >= 1)
        for name in ("output", "write_hlo"):
            if getattr(self, name) and filesystem.exists(getattr(self, name)):
                raise FileExistsError(f"--{name}: must not exist yet, got {getattr(self, name)}")


def chosen_device(device: str) -> dict[str, Any]:
    """Sees to it that TensorFlow runs there, and says what it is.

    Args:
      device: `gpu` or `cpu`.

    Raises:
      ValueError: TensorFlow sees no GPU.
    """
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return {"kind": "cpu", "name": machine()["processor"]}
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise ValueError(
            "--device: TensorFlow sees no GPU here (its CUDA libraries come with "
            'pip install ".[gpu]"); --device=cpu tries the command out on the processor, and '
            "--write_hlo=DIR needs none"
        )
    tf.config.set_visible_devices(gpus[:1], "GPU")
    details = tf.config.experimental.get_device_details(gpus[0])
    return {"kind": "gpu", "name": details.get("device_name", gpus[0].name), "details": details}


def measure(options: GpuOptions, data_dir: str) -> list[Timing]:
    """Times everything; prints a line a model, precision and compiler."""
    timings: list[Timing] = []
    for name in options.models:
        for precision in options.precisions:
            for xla in (False, True):
                found = time_model(
                    name,
                    data_dir,
                    precision=precision,
                    xla=xla,
                    batch_sizes=options.batch_sizes,
                    train_batch_size=options.train_batch_size,
                    calls=options.calls,
                )
                timings += found
                tf.keras.backend.clear_session()
        print(f"{name}: done", flush=True)
    return timings


def table_of(timings: list[Timing]) -> str:
    """Medians of milliseconds, a line a model, precision and compiler; then failures."""
    columns = dict.fromkeys((timing.case.what, timing.case.rows) for timing in timings)
    lines: dict[tuple[str, str, str], dict[tuple[str, int], str]] = {}
    failures = []
    for timing in timings:
        case, told = timing.case, timing.to_json()
        of_line = lines.setdefault((case.model, case.precision, "XLA" if case.xla else ""), {})
        of_line[case.what, case.rows] = "failed" if timing.failure else f"{told['median_ms']:.3g}"
        if timing.failure:
            compiler = "with XLA" if case.xla else "without XLA"
            place = f"{case.model}, {case.precision}, {compiler}, {case.what} {case.rows:,}"
            failures.append(f"{place}: {timing.failure.splitlines()[0]}")
    header = ["ms", "precision", "", *(f"{what} {rows:,}" for what, rows in columns)]
    rows = [[*names, *(of.get(column, "") for column in columns)] for names, of in lines.items()]
    return "\n".join([table(header, rows), *failures])


def write_hlo(options: GpuOptions, data_dir: str) -> list[dict[str, Any]]:
    """Writes the modules of all models, and the script that runs them; returns their list."""
    filesystem.make_dirs(options.write_hlo)
    [parsed] = parsed_batches(data_dir, "train", KEPT_ROWS, 1)
    modules = []
    for name in options.models:
        run = Run.of(name, data_dir)
        features, labels = run.encode(parsed)
        modules += write_modules(
            options.write_hlo,
            name,
            run.model,
            features,
            labels,
            batch_sizes=options.batch_sizes,
            train_batch_size=options.train_batch_size,
        )
        print(f"{name}: written", flush=True)
    write_runner(options.write_hlo, modules)
    return modules


def _run(options: GpuOptions) -> None:
    device = chosen_device("cpu" if options.write_hlo else options.device)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or scratch
        filesystem.make_dirs(folder)
        data_dir = Context(SCALES[options.scale], folder).data_dir()
        if options.write_hlo:
            modules = write_hlo(options, data_dir)
            print(f"wrote {len(modules)} modules and run_hlo.py to {options.write_hlo}")
            return
        before = machine()
        timings = measure(options, data_dir)
    print(f"{device['name']}\n{table_of(timings)}")
    if options.output:
        told = [timing.to_json() for timing in timings]
        report = {"device": device, "machine": before, "timings": told}
        filesystem.write_text(options.output, json.dumps(report, indent=2, default=str) + "\n")


def main() -> None:
    """The command."""
    run_command(_run, GpuOptions, doc=__doc__)


if __name__ == "__main__":
    main()
