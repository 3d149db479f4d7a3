"""Every command of the README has a script, and each script answers --help."""

import ast
import importlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def _scripts() -> dict[str, str]:
    """From the script's name to `module:function`, as setup.py tells."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (call,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_setup(node))
    (points,) = (one.value for one in call.keywords if one.arg == "entry_points")
    lines = ast.literal_eval(points)["console_scripts"]
    return dict(line.split(" = ") for line in lines)


def _is_setup(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "setup"


SCRIPTS = _scripts()


def test_every_command_of_the_readme_has_a_script() -> None:
    used = set(re.findall(r"python -m ([a-z_.]+)", (ROOT / "README.md").read_text()))
    ours = {name for name in used if name.split(".")[0] in ("mgoe_tf", "input_pipeline", "export")}
    scripted = {target.partition(":")[0].removesuffix(".__main__") for target in SCRIPTS.values()}
    assert len(ours) > 5
    assert ours <= scripted


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_answers_help(script: str, tmp_path: pathlib.Path) -> None:
    module, _, function = SCRIPTS[script].partition(":")
    # as pip writes it
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    (tmp_path / script).write_text(code)
    done = subprocess.run(
        [sys.executable, str(tmp_path / script), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = importlib.import_module(module).__doc__
    assert document is not None
    assert document.splitlines()[0] in done.stdout
    assert len(re.findall(r"^ +--\S+", done.stdout, re.MULTILINE)) >= 4, done.stdout
