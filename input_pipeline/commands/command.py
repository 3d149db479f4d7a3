"""How the commands begin and end."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags

from input_pipeline.commands.options import define_flags, from_flags


def run_command(act: Callable[..., Any], *options_classes: type) -> NoReturn:
    """Defines the flags of some options, reads them, and ends the process with `act(*options)`.

    Raises:
      SystemExit: with the status of `run_main`; also for arguments that are no flags.
    """
    for options_class in options_classes:
        define_flags(options_class, flags.FLAGS)

    def main(arguments: list[str]) -> None:
        refuse_arguments(arguments)
        act(*(from_flags(options_class, flags.FLAGS) for options_class in options_classes))

    run_main(lambda: app.run(main))


def refuse_arguments(arguments: list[str]) -> None:
    """Raises UsageError where something is left of a command line that is no flag."""
    if arguments[1:]:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")


def run_main(command: Callable[[], Any]) -> NoReturn:
    """Runs a command and ends the process with its exit status: `run_main(lambda: app.run(main))`.

    A caller's mistake (ValueError, OSError, ImportError) ends in its message alone and status 1;
    `--verbosity=1` shows where it was raised. Once tensorflow-io was imported the process ends
    without the interpreter's own shutdown, in which version 0.37.1 aborts ("pure virtual method
    called", status 134) whatever the command returned.
    """
    status: Any = 0
    try:
        status = command()
    except SystemExit as request:
        status = request.code
    except KeyboardInterrupt:
        status = 130
    except (ValueError, OSError, ImportError) as error:
        logging.debug("raised here:", exc_info=True)
        status = f"{type(error).__name__}: {error}"
    except Exception:
        traceback.print_exc()
        status = 1
    if "tensorflow_io" not in sys.modules:
        sys.exit(status)
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)
