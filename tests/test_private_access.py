"""Private names of TensorFlow and Keras that the sources use, against the table in the notes.

A private name may go with any release, so that each is listed in BUILD_NOTES.md, with the reason
and the test that fails where it is gone.
"""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("input_pipeline", "mgoe_tf", "export")
_HEADING = "### Private names of TensorFlow and Keras"
_PRIVATE_MODULES = ("tensorflow.python", "tensorflow.compiler", "tf_keras.src", "keras")
# Documented in spite of the underscore: of named tuples, and of `os`.
_PUBLIC = frozenset({"_replace", "_asdict", "_fields", "_make", "_exit"})
_BY_NAME = frozenset({"getattr", "setattr", "hasattr", "delattr"})


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in _PUBLIC


def _defined(tree: ast.AST) -> set[str]:
    """Names of functions, classes and variables, and attributes that `self` is given."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _own(node):
            names.add(node.attr)
    return names


def _own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _used(tree: ast.AST, everywhere: set[str]) -> Iterator[str]:
    """The private names in a file that this project does not define.

    `self._x` may be of a base class, so that it counts as ours if any file defines it. `other._x`
    must be defined in the same file: modules keep to the public names of each other.
    """
    here = _defined(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr):
            if node.attr not in (everywhere if _own(node) else here):
                yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _BY_NAME and len(node.args) > 1:
                name = getattr(node.args[1], "value", None)
                if isinstance(name, str) and _private(name) and name not in here:
                    yield name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            for module in modules:
                if any(module == one or module.startswith(one + ".") for one in _PRIVATE_MODULES):
                    yield module


def _found() -> set[tuple[str, str]]:
    trees = {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    everywhere = set().union(*map(_defined, trees.values()))
    return {(path, name) for path, tree in trees.items() for name in _used(tree, everywhere)}


def _table() -> list[list[str]]:
    """The cells of the notes' table, a row each: file, names, why, test."""
    section = (ROOT / "BUILD_NOTES.md").read_text().partition(_HEADING)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_private_name_is_listed_and_every_listed_one_is_used() -> None:
    listed = {
        (path.strip("`"), name)
        for path, names, _, _ in _table()
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert listed
    assert _found() == listed


def test_every_listed_name_is_guarded_by_a_test_that_there_is() -> None:
    for path, _, why, tests in _table():
        assert why, path
        guards = re.findall(r"`([^`:]+)::(\w+)`", tests)
        assert guards, path
        for file, name in guards:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{path}: {file}::{name}"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from tensorflow.python.eager import context", ["tensorflow.python.eager"]),
        ("import tf_keras.src.backend", ["tf_keras.src.backend"]),
        ("import keras_tuner, tensorflow.core.protobuf", []),
        ("variable._handle_name = 1\nlayer.call(x)._keras_mask", ["_handle_name", "_keras_mask"]),
        ("getattr(x, '_trackable', None)", ["_trackable"]),
        ("class A(Layer):\n  def call(self): return self._compute_dtype", ["_compute_dtype"]),
        ("class A:\n  def __init__(self, b): self._b = b\n  def f(self, o): return o._b", []),
        ("t._replace(a=1); os._exit(0); x.__dict__", []),
    ],
)
def test_what_counts_as_private(source: str, names: list[str]) -> None:
    tree = ast.parse(source)
    assert sorted(_used(tree, _defined(tree))) == names
