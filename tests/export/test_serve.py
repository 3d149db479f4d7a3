"""The entry of `export.serve`: what importing it does to a process, and what running it does."""

import os
import subprocess
import sys

_SHOW = "print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'), 'tensorflow' in sys.modules)"
# In place of what would serve, so that `main` returns.
_MAIN = "export.serve.run_command = lambda *_, **__: None; export.serve.main(); "


def _run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {code}{_SHOW}"],
        env={**_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _environment():
    return {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}


def test_importing_it_leaves_onednn_and_tensorflow_alone():
    assert _run("import export.serve; ") == ["None", "False"]
    assert _run("import export.server.command; ") == ["None", "True"]


def test_the_command_turns_onednn_off_before_tensorflow_is_imported():
    # The variable at the moment TensorFlow is imported, told by a finder that sees the import.
    watch = (
        "import importlib.abc\n"
        "class Watch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'tensorflow': print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import export.serve\n"
    )
    assert _run(watch + _MAIN.replace("; ", "\n")) == ["0", "0", "True"]


def test_the_command_keeps_what_the_environment_says():
    assert _run(f"import export.serve; {_MAIN}", TF_ENABLE_ONEDNN_OPTS="1") == ["1", "True"]
