"""Runs a command that ends when whoever started it has ended, however that was.

python child_process.py PARENT EXECUTABLE ARGUMENTS... becomes the command. Standard library only,
since it is run as a file: nothing else of this package is imported. Linux only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2); it is kept over execve


def main() -> None:
    """Asks for SIGTERM at the parent's end, and becomes the command."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
