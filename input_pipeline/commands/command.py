"""How the commands begin and end."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags

from input_pipeline.commands import streams
from input_pipeline.commands.flag_help import grouped_help
from input_pipeline.commands.options import define_flags, from_flags
from input_pipeline.files.failures import is_failure, reason

_HELP = frozenset({"--help", "-help", "-h"})
# Shows where an error was raised, as --verbosity=1 does, also of commands without that flag.
DEBUG_VARIABLE = "MGOE_DEBUG"


def run_command(
    act: Callable[..., Any], *options_classes: type, doc: str | None = None
) -> NoReturn:
    """Defines the flags of some options, reads them, and ends the process with `act(*options)`.

    Args:
      act: the command.
      options_classes: of its arguments.
      doc: what `--help` says before it lists the flags.

    Raises:
      SystemExit: with the status of `run_main`; also for arguments that are no flags.
    """
    for options_class in options_classes:
        define_flags(options_class, flags.FLAGS)

    def describe() -> None:
        groups = {title(options_class): options_class for options_class in options_classes}
        print(f"{doc}\n{grouped_help(groups, flags.FLAGS)}")

    def main(arguments: list[str]) -> None:
        refuse_arguments(arguments)
        act(*(from_flags(options_class, flags.FLAGS) for options_class in options_classes))

    wants_help = doc is not None and not _HELP.isdisjoint(sys.argv[1:])
    run_main(describe if wants_help else lambda: app.run(main))


def title(options_class: type) -> str:
    """Of the flags of an options class: the first line of what its docstring says."""
    return (options_class.__doc__ or options_class.__name__).strip().splitlines()[0].rstrip(".")


def refuse_arguments(arguments: list[str]) -> None:
    """Raises UsageError where something is left of a command line that is no flag."""
    if arguments[1:]:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")


def run_main(command: Callable[[], Any]) -> NoReturn:
    """Runs a command and ends the process with its exit status: `run_main(lambda: app.run(main))`.

    A caller's mistake (ValueError, ImportError) and what a file system or TensorFlow refuses
    (OSError, tf.errors.OpError) end in one message and status 1; `--verbosity=1`, or MGOE_DEBUG=1
    in the environment, shows where it was raised. Once tensorflow-io was imported the process ends
    without the interpreter's own shutdown, in which version 0.37.1 aborts ("pure virtual method
    called", status 134) whatever the command returned.
    """
    streams.open_streams()
    status = _status_of(command)
    try:
        streams.flush_streams()
    except OSError as error:
        status = status or f"OSError: writing what the command says: {reason(error)}"
    if "tensorflow_io" not in sys.modules:
        sys.exit(status)
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status or 0)


def _status_of(command: Callable[[], Any]) -> Any:
    """What `sys.exit` takes: a number, or a message."""
    try:
        return command()
    except SystemExit as request:
        return request.code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, (ValueError, ImportError)) or is_failure(error):
            _tell_where_raised()
            return told(error)
        traceback.print_exc()
        return 1


def told(error: BaseException) -> str:
    """An error that a command ends with, as its message."""
    return f"{type(error).__name__}: {reason(error) if is_failure(error) else error}"


def _tell_where_raised() -> None:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    else:
        logging.debug("raised here:", exc_info=True)
