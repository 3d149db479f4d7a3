"""What commands print where nobody can or will read it."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
_IMPORTS = "import os, sys\nfrom input_pipeline.commands.command import run_main\n"


def _run(
    tmp_path: pathlib.Path, body: str, redirection: str = "", **environment: str
) -> tuple[int, str, str]:
    code = f"{_IMPORTS}def main():\n    {body}\nrun_main(main)\n"
    (tmp_path / "command.py").write_text(code)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"'{sys.executable}' command.py {redirection}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_what_an_encoding_lacks_is_escaped(tmp_path) -> None:
    body = "print('caf\\xe9', '\\u7528'); print('\\u7528', file=sys.stderr)"
    status, out, err = _run(tmp_path, body, PYTHONIOENCODING="ascii")
    assert (status, out, err) == (0, "caf\\xe9 \\u7528\n", "\\u7528\n")
    status, out, _ = _run(tmp_path, body, PYTHONIOENCODING="utf-8")
    assert (status, out) == (0, "café 用\n")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error_and_no_file_takes_its_place(tmp_path, redirection) -> None:
    body = (
        "f = open('data', 'wb'); os.write(2, b'noise'); print('said', flush=True); "
        "print('told', file=sys.stderr, flush=True); f.write(b'whole'); f.close(); "
        "open('end', 'w').close()"
    )
    status, _, err = _run(tmp_path, body, redirection)
    assert (status, err.replace("noise", "").strip()) in ((0, ""), (0, "told"))
    assert (tmp_path / "data").read_bytes() == b"whole"
    assert (tmp_path / "end").exists()


def test_a_reader_that_has_gone_is_no_error(tmp_path) -> None:
    body = (
        "[print(n, 'x' * 1000, flush=True) for n in range(2000)]; open('end', 'w').close(); "
        "return 0"
    )
    status, out, err = _run(tmp_path, body, "| head -n 1")
    assert (status, out[:2], err) == (0, "0 ", "")
    assert (tmp_path / "end").exists()


def test_a_full_disk_is_an_error(tmp_path) -> None:
    status, _, err = _run(tmp_path, "print('said')", "> /dev/full")
    assert status == 1
    assert err == "OSError: writing what the command says: No space left on device\n"
