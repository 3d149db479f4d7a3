"""Files that cannot be written or read, named in one line."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.failures import FileError, doing, is_failure, reason
from input_pipeline.files.json_file import read_json
from input_pipeline.files.paths import require_apart

ROOT = Path(__file__).parents[3]


def raised(error: Exception) -> FileError:
    with pytest.raises(FileError) as caught, doing("saving", "/m"):
        raise error
    return caught.value


def test_action_path_and_reason_are_named_once() -> None:
    full = raised(OSError(errno.ENOSPC, "No space left on device", "/m"))
    assert (str(full), full.errno) == ("saving /m: No space left on device", errno.ENOSPC)
    other = raised(PermissionError(errno.EACCES, "Permission denied", "/m/x"))
    assert str(other) == "saving /m: /m/x: Permission denied"
    assert str(raised(full)) == str(full)
    message = "{{function_node __wrapped__SaveV2}} /m/x; Disk quota exceeded [Op:SaveV2]\nmore"
    of_tensorflow = raised(tf.errors.ResourceExhaustedError(None, None, message))
    assert str(of_tensorflow) == "saving /m: /m/x; Disk quota exceeded"
    assert "ulimit -n" in reason(OSError(errno.EMFILE, "Too many open files"))


@pytest.mark.parametrize(
    "error", [FileNotFoundError("x"), FileExistsError("x"), ValueError("x"), KeyboardInterrupt()]
)
def test_what_callers_ask_for_and_what_is_no_file_s_passes(error) -> None:
    with pytest.raises(type(error)) as caught, doing("saving", "/m"):
        raise error
    assert caught.value is error
    assert is_failure(error) == isinstance(error, OSError)


def _limited(code: str, tmp_path: Path, limit: int, value: int) -> subprocess.CompletedProcess[str]:
    """Python under a resource limit."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        # or else half a module's bytecode would be kept
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_that_cannot_be_written_is_named_and_nothing_of_it_stays(tmp_path) -> None:
    (tmp_path / "kept.txt").write_text("old")
    code = (
        "from input_pipeline.commands.command import run_main\n"
        "from input_pipeline.files import filesystem\n"
        "run_main(lambda: filesystem.write_bytes('kept.txt', bytes(100_000)))"
    )
    done = _limited(code, tmp_path, resource.RLIMIT_FSIZE, 5000)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("FileError: writing .kept.txt.tmp-")
    assert line.endswith(": File too large")
    assert os.listdir(tmp_path) == ["kept.txt"]
    assert (tmp_path / "kept.txt").read_text() == "old"


def test_too_many_open_files_are_told_with_the_path(tmp_path) -> None:
    code = (
        "from input_pipeline.commands.command import run_main\n"
        "from input_pipeline.files import filesystem\n"
        "def main():\n"
        "    held = [filesystem.open_binary(f'{n}.bin', 'wb') for n in range(100)]\n"
        "run_main(main)"
    )
    done = _limited(code, tmp_path, resource.RLIMIT_NOFILE, 40)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("FileError: writing ")
    assert ".bin: Too many open files (`ulimit -n` tells" in line


def test_text_that_is_no_utf_8_names_its_file(tmp_path) -> None:
    (tmp_path / "x.json").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"x\.json: must be text in UTF-8: "):
        filesystem.read_text(str(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no text"),
        (" \n", "no text"),
        ('{"a": 1,\n "b"', "a file that is cut off in line 2"),
        (json.dumps({"a": [1, 2]})[:-2], "a file that is cut off in line 1"),
        ('{"a" 1}', "an error in line 1: Expecting ':' delimiter"),
    ],
)
def test_damaged_json_names_its_file_and_what_to_do(tmp_path, text, found) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json") as caught:
        read_json(str(path), "Write it again")
    assert str(caught.value) == f"{path}: must be JSON, got {found}. Write it again"


def test_directories_in_each_other_are_refused(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    data, link = str(tmp_path / "data"), str(tmp_path / "link")
    for model in (data, f"{data}/", f"{data}/model", f"{link}/model", link):
        with pytest.raises(ValueError, match=r"--model_dir: must be .*(the same as|inside) --data"):
            require_apart({"model_dir": model, "data_dir": data})
    with pytest.raises(ValueError, match=rf"--data_dir: .*, inside --model_dir={tmp_path}:"):
        require_apart({"model_dir": str(tmp_path), "data_dir": data})
    with pytest.raises(ValueError, match="inside --data_dir=gs://b/d"):
        require_apart({"model_dir": "gs://b/d/m", "data_dir": "gs://b/d"})
    require_apart({"model_dir": f"{data}-model", "data_dir": data, "export_base": "gs://b"})
