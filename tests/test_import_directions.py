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


def test_the_client_works_beside_keras_3_and_leaves_it_alone() -> None:
    code = "tf.keras.Model; import export.client; print(os.environ.get('TF_USE_LEGACY_KERAS'))"
    done = _run(_KERAS_3 + code)
    assert done.stdout.strip() == "None", done.stderr
