"""The command that explains a score."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export import explain as explain_module
from export.client import CallError
from export.explain import ExplainOptions, as_table, draw, drawable, explain
from export.server.model_server import Server
from export.server.options import ServeOptions

ANSWER = {
    "alpha_user_1hop": np.array([0.5, 0.25, 0.25]),
    "attention_click_user_1hop": np.array([0.2, 0.6, 0.2]),
    # 0.1, 0.15, 0.05: shares 1/3, 1/2, 1/6
    "weight_click_user_1hop": np.array([0.1, 0.15, 0.05]),
    "adjustment_click": np.array(-0.125),
}
for name in ("user_2hop", "item_1hop", "item_2hop"):
    ANSWER |= {f"alpha_{name}": np.full(2, 0.5), f"attention_click_{name}": np.full(2, 0.5)}
    ANSWER[f"weight_click_{name}"] = np.full(2, 0.25)


def test_the_table_lists_the_largest_weights():
    lines = [line.split() for line in as_table(ANSWER, ["click"], top=2).splitlines()]
    assert lines[1] == ["click", "user_1hop", "1", "0.2500", "0.6000", "0.5000"]
    assert lines[2] == ["click", "user_1hop", "0", "0.5000", "0.2000", "0.3333"]
    assert lines[3] == ["click", "user_2hop", "0", "0.5000", "0.5000", "0.5000"]
    assert lines[-1] == ["click", "-0.1250"]
    assert len(lines) == 1 + 4 * 2 + 1 + 2


def test_numbers_of_a_model_without_macro_nodes_are_listed():
    answer = {
        "scale_brand": np.array(1.25),
        "conditional_click": np.array(0.5),
        "shares": np.array([0.1, 0.7, 0.2]),
    }
    lines = [line.split() for line in as_table(answer, ["click"], top=2).splitlines()]
    assert lines[0] == ["name", "entry", "value"]
    assert lines[1:] == [
        ["conditional_click", "0.5000"],
        ["scale_brand", "1.2500"],
        ["shares", "1", "0.7000"],
        ["shares", "2", "0.2000"],
    ]


def test_the_picture_is_written(tmp_path):
    draw(ANSWER, ["click"], "user 1, item $2$", str(tmp_path / "why.png"))
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_font_cannot_draw_is_written_as_numbers():
    # DejaVu Sans has Latin, Cyrillic and Greek letters, and none of Chinese
    assert drawable("caf\xe9 Юля") == "caf\xe9 Юля"
    assert drawable("用户 1\n") == "[U+7528][U+6237] 1[U+000A]"


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_a_server_and_a_directory_say_the_same(exported):
    ids = {"user_id": "u1", "item_id": "7"}
    of_directory = explain(ExplainOptions(export_dir=exported[0], **ids))
    base_path = str(Path(exported[0]).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=0))
    server.start()
    try:
        target = f"127.0.0.1:{server.port}"
        of_server = explain(ExplainOptions(target=target, model_name="m", **ids))
    finally:
        server.stop(0)
    assert of_server.tasks == of_directory.tasks == ("click", "buy")
    assert of_server.unknown == of_directory.unknown == ()
    assert set(of_server.answer) == set(of_directory.answer)
    for name, values in of_server.answer.items():
        np.testing.assert_allclose(values, of_directory.answer[name], atol=1e-6)


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_the_command(exported, tmp_path):
    command = [sys.executable, "-m", "export.explain", "--user_id=u1", "--item_id=7", "--top=1"]
    command += [f"--export_dir={exported[0]}", f"--output={tmp_path / 'why.svg'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "unknown" not in done.stderr
    assert "neighbour set" in done.stdout
    assert "adjustment of the logit" in done.stdout
    assert (tmp_path / "why.svg").read_text().startswith("<?xml")
    command[-1] = "--user_id=u1 "
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "user_id: unknown to the model, scored as cold: u1  (did you mean u1?)" in done.stderr
    (picture,) = tmp_path.glob("mgoe-explanation-*/explanation.png")
    assert done.stdout.endswith(f"wrote {picture}\n")


@pytest.mark.parametrize("exported", ["mmoe"], indirect=True)
def test_a_model_that_explains_nothing_is_named(exported):
    options = ExplainOptions(user_id="u1", item_id="7", export_dir=exported[0])
    with pytest.raises(ValueError, match=r"--export_dir: .* has the signatures .*, not explain"):
        explain(options)


def test_mistakes_are_named():
    for options, text in (
        ({}, "--user_id: must be given, got ''"),
        ({"user_id": "1", "item_id": "2", "top": 0}, "--top: must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=text):
            ExplainOptions(**options)
    options = ExplainOptions(user_id="1", item_id="2", target="localhost:1", timeout_seconds=0.1)
    with pytest.raises(CallError, match="no server answers at localhost:1"):
        explain_module.explain(options)
