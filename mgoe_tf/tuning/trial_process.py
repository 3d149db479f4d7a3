"""The process of a trial: trains by the flags of mgoe_tf.train, and ends where its search has.

`python -m mgoe_tf.tuning.trial_process PROCESS TRIAL FLAGS`: the number of the search's process,
what the trial is called, and flags of training.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import NoReturn

from absl import app, flags

from input_pipeline.commands.command import refuse_arguments, run_main
from mgoe_tf import flags as train_flags
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.threads import set_intra_op_threads
from mgoe_tf.training.trainer import train


def end_with(process: int, *, every_seconds: float = 1.0) -> None:
    """Has this process told to end (SIGTERM, on which a run saves itself) once its parent is gone.

    A thread looks for that. The system could tell, too, but tells it once for each thread of the
    parent, and a second SIGTERM ends a run that is saving itself.

    Args:
      process: the number of the parent.
      every_seconds: how often it is looked for.
    """

    def watch() -> None:
        while os.getppid() == process:
            time.sleep(every_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()


def main() -> NoReturn:
    """The command."""
    program, process, trial, *arguments = sys.argv
    argv = [program, *arguments]

    def act(rest: list[str]) -> None:
        refuse_arguments(rest)
        quiet_tensorflow()
        model_options, options, _ = train_flags.read_train_flags(flags.FLAGS)
        set_intra_op_threads(options.intra_op_threads)
        train(model_options, options, trial=trial)

    def command() -> None:
        end_with(int(process))
        model = train_flags.look_ahead(argv).model
        train_flags.define_train_flags(flags.FLAGS, model)
        app.run(act, argv=argv, flags_parser=train_flags.parser_for(model, flags.FLAGS))

    run_main(command)


if __name__ == "__main__":
    main()
