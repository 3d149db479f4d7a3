"""Exit statuses and messages of commands."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401

ROOT = pathlib.Path(__file__).parents[3]
_IMPORTS = (
    "import sys\n"
    "from input_pipeline.files import filesystem\n"
    "from input_pipeline.commands.command import run_command, run_main\n"
)

_FULL = "OSError: /d/x: No space left on device\n"


def _run(code: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IMPORTS + code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_no_flag_is_refused() -> None:
    result = _run("sys.argv = ['command', 'stray']\nrun_command(print)")
    assert result.returncode == 1
    assert "unknown arguments: ['stray']" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("print('done')", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('--x: must be 1, got 2')", 1, "ValueError: --x: must be 1, got 2\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_exit_status_and_message(body: str, status: int, message: str) -> None:
    result = _run(f"def main():\n    {body}\nrun_main(main)")
    assert (result.returncode, result.stderr) == (status, message)


@pytest.mark.parametrize(
    "error", ["ValueError('x')", "OSError(28, 'No space left on device', '/d/x')"]
)
def test_the_environment_shows_where_an_error_was_raised(error: str) -> None:
    code = f"def main():\n    raise {error}\nrun_main(main)"
    plain, shown = (_run(code, {**os.environ, "MGOE_DEBUG": value}) for value in ("", "1"))
    assert len(plain.stderr.splitlines()) == 1
    assert plain.stderr.endswith({"V": "ValueError: x\n"}.get(error[0], _FULL))
    assert "in main" in shown.stderr
    assert shown.stderr.endswith(plain.stderr)


def test_an_error_of_tensorflow_is_one_line() -> None:
    result = _run(
        "import tensorflow as tf\n"
        "def main():\n    tf.io.gfile.GFile('/none/such', 'rb').read()\nrun_main(main)"
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "NotFoundError: /none/such; No such file or directory"
    )
    assert "Traceback" not in result.stderr


def test_a_bug_shows_its_traceback() -> None:
    result = _run("run_main(lambda: {}['key'])")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "KeyError: 'key'" in result.stderr


@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(3)", 3)])
def test_exit_status_after_s3(s3_bucket: S3Bucket, end: str, status: int) -> None:  # noqa: F811
    path = f"{s3_bucket.url}/status/{status}.txt"
    result = _run(
        f"def main():\n    filesystem.write_text({path!r}, 'x')\n"
        f"    print(filesystem.read_text({path!r}))\n    {end}\nrun_main(main)",
        s3_bucket.subprocess_environment,
    )
    assert (result.returncode, result.stdout) == (status, "x\n"), result.stderr


def test_an_error_after_s3_is_shown(s3_bucket: S3Bucket) -> None:  # noqa: F811
    result = _run(
        f"def main():\n    filesystem.exists({s3_bucket.url + '/x'!r})\n"
        "    raise ValueError('bad')\nrun_main(main)",
        s3_bucket.subprocess_environment,
    )
    assert result.returncode == 1
    assert result.stderr.endswith("ValueError: bad\n")
