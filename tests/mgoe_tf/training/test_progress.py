import io

import pytest

from mgoe_tf.training import progress
from mgoe_tf.training.loop import Run
from mgoe_tf.training.position import Position


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    times = iter(range(0, 10**6, 10))  # ten seconds between any two looks
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))


def run_to(stream: io.StringIO, steps: int) -> progress.ProgressLine:
    line = progress.ProgressLine(batch_size=100, stream=stream)
    run = Run(Position(epoch=1), steps_per_epoch=50, epochs=3)
    line.begin(run)
    for _ in range(steps):
        run.position.step += 1
        run.position.batch += 1
        line.after_step(run, {})
    return line


def test_a_terminal_has_one_line_that_goes_away(clock) -> None:
    stream = Terminal()
    line = run_to(stream, 2)
    # a step in 10 s
    first = "\r\x1b[Kepoch 2/3, step 1 of 50: 10 rows/s, 8:10 left in the epoch"
    second = "\r\x1b[Kepoch 2/3, step 2 of 50: 10 rows/s, 8:00 left in the epoch"
    assert stream.getvalue() == first + second
    line.print("epoch done")
    assert stream.getvalue() == first + second + "\r\x1b[Kepoch done\n"


def test_elsewhere_there_is_a_line_a_minute(clock) -> None:
    stream = io.StringIO()
    run_to(stream, 13)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "epoch 2/3, step 6 of 50: 10 rows/s, 7:20 left in the epoch",
        "epoch 2/3, step 12 of 50: 10 rows/s, 6:20 left in the epoch",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(7.4, "0:07"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_durations(seconds, shown) -> None:
    assert progress.duration(seconds) == shown
