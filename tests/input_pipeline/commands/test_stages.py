"""What a long command says of itself."""

import io

from input_pipeline.commands import stages


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_every_stage() -> None:
    stream = _Terminal()
    told = stages.Stages(stream)
    told.begin("reading")
    for _ in told.turns(range(2), "window"):
        told.begin("writing")
    told.begin("report")
    text = stream.getvalue()
    assert text.startswith("reading ...\n")
    assert "windows: 100%" in text
    assert ", writing]" in text
    assert text.endswith("report ...\n")


def test_elsewhere_it_speaks_once_a_minute(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(stages.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    told = stages.Stages(stream)
    told.begin("reading")
    for turn in told.turns(range(3), "window"):
        now[0] += 59.0 if turn == 0 else 32.0
        told.begin("writing")
    assert stream.getvalue() == "after 2 min: window 2 of 3: writing ...\n"
