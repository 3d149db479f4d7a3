"""Data flows from input_pipeline to mgoe_tf to export; imports point the other way only."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("input_pipeline", "mgoe_tf", "export")
FORBIDDEN = {
    "input_pipeline": ("mgoe_tf", "export", "tests"),
    "mgoe_tf": ("export", "tests"),
    "export": ("tests",),
}


def _imported_modules(path: pathlib.Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_points_down_the_list(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        (str(path.relative_to(ROOT)), module)
        for path in files
        for module in _imported_modules(path)
        if module.split(".")[0] in FORBIDDEN[package]
    }
    assert not wrong


def test_only_filesystem_knows_tensorflow_io() -> None:
    users = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(module.split(".")[0] == "tensorflow_io" for module in _imported_modules(path))
    }
    assert users == {"input_pipeline/files/filesystem.py"}


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", ["input_pipeline.spec", "export.client"])
def test_light_modules_load_without_tensorflow(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('tensorflow', 'pandas') if m in sys.modules])"
    done = _run(code)
    assert done.stdout.strip() == "[]", done.stderr


def test_keras_2_is_selected_for_whoever_imports_us_first() -> None:
    done = _run("import mgoe_tf, tensorflow as tf; print(tf.keras.Model.__module__.split('.')[0])")
    assert done.stdout.strip() == "tf_keras", done.stderr


_KERAS_3 = "import os; os.environ.pop('TF_USE_LEGACY_KERAS', None); import tensorflow as tf; "


def test_keras_2_is_selected_after_tensorflow_while_nobody_has_used_keras() -> None:
    done = _run(_KERAS_3 + "import mgoe_tf; print(tf.keras.Model.__module__.split('.')[0])")
    assert done.stdout.strip() == "tf_keras", done.stderr


def test_keras_3_before_us_is_refused() -> None:
    done = _run(_KERAS_3 + "tf.keras.Model; import mgoe_tf")
    assert done.returncode != 0
    assert "mgoe_tf needs Keras 2 (tf_keras), but tf.keras is keras." in done.stderr


_CLIENT_FILES = sorted((ROOT / "export" / "client").glob("*.py"))
_CLIENT_MODULES = [f"export.client.{path.stem}" for path in _CLIENT_FILES]
_IMPORT_CLIENT = f"import {', '.join(_CLIENT_MODULES)}; "
# Nothing can be imported that is neither Python's own nor a dependency of the client.
_NOTHING_ELSE = """
import importlib.abc, sys
ALLOWED = {"export", "input_pipeline", "numpy", "grpc", "google", "typing_extensions"}
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is no dependency of the client")
sys.meta_path.insert(0, Nothing())
"""


def test_every_module_of_the_client_needs_grpcio_protobuf_and_numpy_only() -> None:
    assert "export.client.snapshot" in _CLIENT_MODULES
    done = _run(f"{_NOTHING_ELSE}{_IMPORT_CLIENT}print('mgoe_tf' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_the_client_reads_a_data_set_without_tensorflow(tmp_path: pathlib.Path) -> None:
    # What it imports only when it reads: a spec that is none is told as such, by its own check.
    (tmp_path / "dataset_spec.json").write_text("{}")
    read = f"""
from export.client.snapshot import GraphSnapshot
try:
    GraphSnapshot({str(tmp_path)!r})
except ValueError as error:
    print("dataset_spec.json" in str(error))
"""
    done = _run(_NOTHING_ELSE + read)
    assert done.stdout.strip() == "True", done.stderr


def test_the_client_works_beside_keras_3_and_leaves_it_alone() -> None:
    code = (
        "kind = tf.keras.Model.__module__.split('.')[0]; "
        f"{_IMPORT_CLIENT}"
        "print(kind, tf.keras.Model.__module__.split('.')[0], "
        "os.environ.get('TF_USE_LEGACY_KERAS'))"
    )
    done = _run(_KERAS_3 + code)
    assert done.stdout.strip() == "keras keras None", done.stderr
