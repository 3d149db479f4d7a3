"""Ending a run between two steps when the process is told to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """A run was told to end, and has saved itself. Exit status: 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class StopRequest:
    """Remembers the first SIGTERM or SIGINT; a second one acts as it always does."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Listens while the block runs, where Python lets it: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def remember(number: int, frame: FrameType | None) -> None:
            del frame
            self.number = number
            for other in _SIGNALS:
                signal.signal(other, before[other])

        for number in _SIGNALS:
            signal.signal(number, remember)
        try:
            yield self
        finally:
            for number in _SIGNALS:
                signal.signal(number, before[number])
