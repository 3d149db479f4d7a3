"""The train command from flags to its last words, in a process of its own."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import types
from collections.abc import Mapping

import pytest

from mgoe_tf import train
from mgoe_tf.evaluation import tables
from mgoe_tf.training.options import TrainOptions

ROOT = pathlib.Path(__file__).parents[2]


def run(
    *arguments: str,
    cwd: pathlib.Path,
    module: str = "mgoe_tf.train",
    environment: Mapping[str, str] = types.MappingProxyType({}),
):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("model", ["mmoe"])
def test_one_command_prepares_trains_and_says_what_is_next(tmp_path, model) -> None:
    done = run(
        *("--flagfile=quickstart.flags", f"--model={model}", "--users=100", "--items=120"),
        *("--events=4000", "--cuts=0.4,0.6,0.8", "--epochs=1", f"--model_dir=quickstart/{model}"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "--data_dir=quickstart/data does not exist yet: preparing it" in done.stdout
    metrics = json.loads((tmp_path / f"quickstart/{model}/metrics_test.json").read_text())
    best = json.loads((tmp_path / "quickstart/data/world/best_auc.json").read_text())["test"]
    assert tables.beside_best(metrics, best) in done.stdout
    assert "best possible" in done.stdout
    assert "--model=mgoe --model_dir=quickstart/mgoe" in done.stdout
    assert f"tensorboard --logdir=quickstart/{model}" in done.stdout

    again = run(
        *("--flagfile=quickstart.flags", "--users=99", "--model_dir=quickstart/other"),
        cwd=tmp_path,
    )
    assert again.returncode == 1
    message = "ValueError: --events=100000: quickstart/data was prepared with 4000."
    assert again.stderr.splitlines()[-1].startswith(message)
    assert not (tmp_path / "quickstart/other").exists()


def test_ids_that_the_terminal_cannot_show_are_escaped(tmp_path) -> None:
    lines = ["user,item,ts,click"]
    lines += [f"ü{n % 5},я{n * 3 % 7},{n},{int(n % 3 == 0)}" for n in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run(
        *("--source=csv", "--input=log.csv", "--user_column=user", "--item_column=item"),
        *("--timestamp_column=ts", "--task_columns=click", "--cuts=0.3,0.6,0.8", "--epochs=1"),
        *("--data_dir=q", "--model_dir=m s", "--model=mmoe", "--embedding_dim=2"),
        cwd=tmp_path,
        environment={"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(r" --data_dir=q $'--user_id=\xc3\xbc0'" + "\n")
    assert "python -m export.savedmodel '--model_dir=m s' " in done.stdout
    assert (tmp_path / "m s/metrics_test.json").exists()


def test_the_tensorboard_that_is_installed_starts(tmp_path) -> None:
    done = run("--version", cwd=tmp_path, module="tensorboard.main")
    assert done.returncode == 0, done.stderr


def test_missing_data_without_a_source_is_an_error(tmp_path) -> None:
    done = run("--data_dir=nothing", "--model_dir=run", cwd=tmp_path)
    assert done.returncode == 1
    message = "ValueError: --data_dir=nothing does not exist: prepare it with"
    assert done.stderr.splitlines()[-1].startswith(message)


def test_help_is_of_the_chosen_model(tmp_path) -> None:
    done = run("--help", "--model", "mmoe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(train.__doc__)
    assert "--num_experts:" in done.stdout
    assert "--head_units" not in done.stdout


def test_a_flag_of_another_model_is_refused(tmp_path) -> None:
    done = run("--model=mmoe", "--head_units=99", cwd=tmp_path)
    assert done.returncode == 1
    message = "ValueError: --head_units is a flag of mgoe. --model=mmoe takes --embedding_dim "
    assert done.stderr.splitlines()[-1].startswith(message)


def test_next_commands_hold_the_paths_of_the_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    vocabulary = pathlib.Path("d/vocabulary/user_id.txt")
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("user 1\nuser 2\n")
    options = TrainOptions(data_dir="d", model_dir=f"{tmp_path}/a/", model="mgoe")
    repeated = ["--data_dir=d", "--epochs=3"]
    text = train.next_commands(options, repeated)
    lines = [line.strip() for line in text.splitlines() if not line.startswith("  #")]
    assert lines == [
        f"python -m mgoe_tf.train --data_dir=d --epochs=3 --model=mmoe --model_dir={tmp_path}/mmoe",
        f"python -m mgoe_tf.compare --model_dirs={tmp_path}/a,{tmp_path}/mmoe",
        f"tensorboard --logdir={tmp_path}/a",
        f"python -m export.savedmodel --model_dir={tmp_path}/a --data_dir=d "
        f"--export_base={tmp_path}/exports --model_name=mgoe",
        f"python -m export.serve --model_name=mgoe --model_base_path={tmp_path}/exports/mgoe "
        "--port=8500",
        "python -m export.client --target=localhost:8500 --model_name=mgoe --data_dir=d "
        "'--user_id=user 1'",
    ]
    (tmp_path / "mmoe").mkdir()
    (tmp_path / "mmoe/config.json").touch()
    assert "mgoe_tf.train" not in train.next_commands(options, repeated)
    warm = dataclasses.replace(options, model_dir=f"{tmp_path}/b/mgoe", warm_start="a")
    assert "compare" not in train.next_commands(warm, [*repeated, "--warm_start=a"])
    vocabulary.write_bytes(b"caf\xe9\n")  # Latin-1
    assert train.next_commands(options, repeated).endswith(r"$'--user_id=caf\xe9'")


def test_tables() -> None:
    metrics = {
        "split": "test",
        "rows": 1234,
        "tasks": {"click": {"auc": 0.75}, "buy": {"auc": None}},
        "average": {"auc": 0.75, "logloss": 0.5},
    }
    assert tables.beside_best(metrics, {"click": 0.8, "buy": None}).splitlines() == [
        "test AUC   model  best possible",
        "click     0.7500         0.8000",
        "buy            -              -",
        "average   0.7500         0.8000",
    ]
    assert tables.beside_best(metrics, None).splitlines()[1] == "click     0.7500"
