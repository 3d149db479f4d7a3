"""The lines of README.md's "From Python" run as they stand, whoever imported TensorFlow first."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import mgoe_tf
from tests.data_sets import write_small_data_set

ROOT = pathlib.Path(__file__).parents[2]


def lines_of_readme() -> str:
    section = (ROOT / "README.md").read_text().split("\n## From Python\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return block


def python(code: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_are_at_most_ten():
    assert len([line for line in lines_of_readme().splitlines() if line]) <= 10


@pytest.mark.parametrize("first", ["", "import tensorflow as tf\n"], ids=["alone", "tensorflow"])
def test_they_build_train_and_evaluate(tmp_path, first):
    write_small_data_set(str(tmp_path / "quickstart/data"))
    done = python(first + lines_of_readme(), tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "quickstart/small/config.json").read_text())
    assert config["model_options"]["head_units"] == 8
    metrics = json.loads((tmp_path / "quickstart/small/metrics_test.json").read_text())
    aucs = {task: values["auc"] for task, values in metrics["tasks"].items()}
    assert done.stdout.splitlines()[-1] == str(aucs)
    assert "Trainable params" in done.stdout
    assert min(aucs.values()) > 0.6


def test_what_is_public_is_imported_when_it_is_asked_for(tmp_path):
    done = python("import sys, mgoe_tf; print('tensorflow' in sys.modules)", tmp_path)
    assert done.stdout.strip() == "False", done.stderr
    for name in mgoe_tf.__all__:
        assert getattr(mgoe_tf, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'mgoe_tf' has no attribute 'nothing'"):
        _ = mgoe_tf.nothing
