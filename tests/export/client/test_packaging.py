"""The client without TensorFlow, installed as the README says from a wheel of this project."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.client import Client
from export.server.model_server import Server
from export.server.options import ServeOptions

_ROOT = Path(__file__).parents[3]
_PACKAGES = ("input_pipeline", "mgoe_tf", "export")
# Arguments: target, user, items. Prints what is installed of the trainer, then the scores.
_ASK = """
import importlib.util, sys
import numpy as np
from export.client import Client

training = ("tensorflow", "tf_keras", "keras", "absl")
print([name for name in training if importlib.util.find_spec(name)])
target, user, *items = sys.argv[1:]
with Client(target, "m") as client:
    inputs = {"user_id": np.array([user.encode()], object), "item_id": np.array([items], np.int64)}
    print(*client.predict(inputs, "rank_ids")["score"][0].tolist())
"""


def _run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _documented() -> list[list[str]]:
    """The arguments of pip in the README's section on serving."""
    serving = (_ROOT / "README.md").read_text().partition("## Serving")[2].partition("\n## ")[0]
    return [line.split()[1:] for line in serving.splitlines() if line.startswith("pip install ")]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """The scripts of a virtual environment in which the client was installed."""
    folder = tmp_path_factory.mktemp("packaging")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(_ROOT / name, folder / name)
    for name in _PACKAGES:
        shutil.copytree(
            _ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "wheels", "."),
        cwd=folder,
    )
    (wheel,) = (folder / "wheels").iterdir()
    _run(sys.executable, "-m", "venv", "venv", cwd=folder)
    commands = _documented()
    assert [command[-1] for command in commands] == ["numpy", "."]
    for command in commands:
        arguments = [str(wheel) if part == "." else part for part in command]
        _run(folder / "venv/bin/python", "-m", "pip", *arguments, cwd=folder)
    return folder / "venv/bin"


@pytest.mark.slow
@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_the_client_alone_asks_a_server(environment, exported, run, tmp_path):
    base_path = str(Path(exported[0]).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=0))
    server.start()
    try:
        target = f"127.0.0.1:{server.port}"
        ask = (environment / "python", "-c", _ASK, target, "u1", 0, 7, 14)
        installed, scores = _run(*ask, cwd=tmp_path).splitlines()
        assert installed == "[]"
        inputs = {"user_id": np.array([b"u1"], object), "item_id": np.array([[0, 7, 14]])}
        with Client(target, "m") as client:
            expected = client.predict(inputs, "rank_ids")["score"][0]
        np.testing.assert_allclose([float(score) for score in scores.split()], expected)
        command = (
            *(environment / "mgoe-client", f"--target={target}", "--model_name=m"),
            *(f"--data_dir={run.data_dir}", "--user_id=u1", "--signature=rank", "--top=3"),
        )
        header, *rows = _run(*command, cwd=tmp_path).splitlines()
        assert header.split() == ["item_id", "score", "click", "buy"]
        assert len(rows) == 3
    finally:
        server.stop(0)
