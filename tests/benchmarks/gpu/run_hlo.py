"""Times the modules of a folder on this machine's JAX: python run_hlo.py [--output=FILE]

Needs the standard library, NumPy and JAX alone. The folder, by default the one that this file lies
in, was written by `python -m tests.benchmarks.gpu --write_hlo=DIR`: `modules.json` says which
modules there are and what they take, `<model>.npz` holds inputs, weights and expected outputs.
Every module is compiled by JAX's own compiler, called once, checked, and then timed. Prints JSON;
what failed is in it, and the status is 1 then.

A module is float32 throughout. At `highest` its products are too, and its outputs are checked; at
`default` the hardware may take a shorter format (TF32 on NVIDIA's GPUs, as TensorFlow and JAX do of
themselves), and the error is told only. Times are those of one call from Python until its outputs
are there, inputs and weights lying on the device.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import jax
import jaxlib
import numpy as np

PRECISIONS = ("highest", "default")
# Of how far an output is from the expected one, as a part of the largest number of its array.
TOLERANCE = 1e-4
SMALLEST = 1e-3  # what arrays of smaller numbers are compared with
WARM_UPS = 3


def main() -> int:
    """The command; returns its status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=str(pathlib.Path(__file__).parent))
    parser.add_argument("--models", default="", help="comma-separated; default: all")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--calls", type=int, default=50, help="of each module, timed one by one")
    parser.add_argument("--output", default="", help="JSON file to write; default: print it")
    arguments = parser.parse_args()
    precisions = arguments.precisions.split(",")
    if not precisions or set(precisions) - set(PRECISIONS):
        parser.error(f"--precisions: must be some of {PRECISIONS}, got {arguments.precisions!r}")
    if arguments.calls < 1:
        parser.error(f"--calls: must be at least 1, got {arguments.calls}")
    folder = pathlib.Path(arguments.folder)
    modules = json.loads((folder / "modules.json").read_text())
    known = {module["model"] for module in modules}
    models = set(filter(None, arguments.models.split(","))) or known
    if models - known:
        parser.error(f"--models: must be some of {sorted(known)}, got {arguments.models!r}")

    jax.config.update("jax_enable_x64", True)  # else 64-bit inputs would be cut
    found = []
    for module in (module for module in modules if module["model"] in models):
        for precision in precisions:
            found.append(_measured(folder, module, precision, arguments.calls))
            print(_line(found[-1]), file=sys.stderr, flush=True)
    device = jax.devices()[0]
    report = {
        "device": {"platform": device.platform, "kind": device.device_kind},
        "versions": {"jax": jax.__version__, "jaxlib": jaxlib.__version__},
        "modules": found,
    }
    text = json.dumps(report, indent=2)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(text + "\n")
    else:
        print(text)
    return int(not all(module["is_right"] for module in found))


def _measured(folder: pathlib.Path, module: dict, precision: str, calls: int) -> dict:
    """What is told of a module; a failure is told as its message."""
    told = {key: module[key] for key in ("model", "what", "rows")} | {"precision": precision}
    try:
        return told | _times(folder, module, precision, calls)
    except Exception as error:
        return told | {"is_right": False, "failure": f"{type(error).__name__}: {error}"[:1000]}


def _times(folder: pathlib.Path, module: dict, precision: str, calls: int) -> dict:
    device = jax.devices()[0]
    with np.load(folder / f"{module['model']}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    start = time.perf_counter()
    execute = _compiled((folder / module["file"]).read_bytes(), precision, device)
    compile_seconds = time.perf_counter() - start
    inputs = [
        jax.device_put(_of_rows(arrays[name], axis, module["rows"]), device)
        for name, axis in module["inputs"]
    ]
    outputs = execute(inputs)
    error = 0.0
    for output, (name, axis) in zip(outputs, module["outputs"], strict=True):
        expected = _of_rows(arrays[name], axis, module["rows"])
        if output.shape != expected.shape:
            raise ValueError(f"{name}: must be of shape {expected.shape}, got {output.shape}")
        # np.maximum hands NaN on, which is not below the tolerance
        largest = np.max(np.abs(expected), initial=SMALLEST)
        apart = np.max(np.abs(np.asarray(output) - expected), initial=0.0)
        error = float(np.maximum(error, apart / largest))
    milliseconds = []
    for number in range(WARM_UPS + calls):
        start = time.perf_counter()
        jax.block_until_ready(execute(inputs))
        if number >= WARM_UPS:
            milliseconds.append((time.perf_counter() - start) * 1000)
    return {
        "is_right": error <= TOLERANCE or precision != "highest",
        "largest_error": error,
        "median_ms": statistics.median(milliseconds),
        "p90_ms": float(np.quantile(milliseconds, 0.9)),
        "calls": calls,
        "compile_seconds": compile_seconds,
    }


def _of_rows(array: np.ndarray, axis, rows: int) -> np.ndarray:
    """An array as it is, or, where an axis is one of rows, its rows over and over."""
    if axis is None:
        return array
    return np.take(array, np.arange(rows) % array.shape[axis], axis=axis)


def _compiled(serialized: bytes, precision: str, device):
    """From a serialized HloModuleProto to what takes arrays and gives arrays.

    JAX has no public function for it. Its compiler takes MLIR, which the same library makes of an
    HLO module; names are those of jaxlib 0.4.30 to 0.7.
    """
    from jax._src.lib import xla_client

    computation = xla_client.XlaComputation(serialized)
    mlir = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
    if precision == "default":
        mlir = mlir.replace("HIGHEST", "DEFAULT")
    options = xla_client.CompileOptions()
    client = device.client
    if hasattr(client, "compile_and_load"):
        executable = client.compile_and_load(mlir, xla_client.DeviceList((device,)), options)
    else:
        executable = client.compile(mlir, options)
    return executable.execute


def _line(told: dict) -> str:
    name = "{model} {what}, {rows} rows, {precision}".format(**told)
    if "failure" in told:
        return f"{name}: {told['failure'].splitlines()[0]}"
    right = "" if told["is_right"] else ", WRONG"
    return f"{name}: {told['median_ms']:.3f} ms, error {told['largest_error']:.1e}{right}"


if __name__ == "__main__":
    sys.exit(main())
