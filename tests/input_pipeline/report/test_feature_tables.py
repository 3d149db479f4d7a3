"""The tables of features in the data report."""

import re

import numpy as np
import pytest

from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import feature_tables
from tests.input_pipeline.logs import event_log, random_lines, with_features, write_log


def text_of(row: str) -> list[str]:
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td>(.*?)</td>", row)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    lines = with_features(random_lines(0), 0)
    options = PreparationOptions(
        source="taobao", cuts=(0.4, 0.6, 0.8), activity_features=True, num_user_macro_nodes=3
    )
    write_log(event_log(lines), options, str(folder))
    rows = {}
    for row in re.findall("<tr>.*?</tr>", (folder / "report.html").read_text()):
        cells = text_of(row)
        rows.setdefault(cells[0] if cells else "", cells)
    return lines, rows


def values_of(lines, owner, name):
    return [dict(getattr(line, f"{owner}_features"))[name] for line in lines]


def test_ids(page):
    lines, rows = page
    devices = values_of(lines, "context", "device")
    _, owner, number, missing, top, cells = rows["device"]
    assert (owner, number, cells) == ("context", "3", "1")
    assert missing == f"{devices.count(b'') / 240:.1%}"
    assert f"tv {devices.count(b'tv') / 240:.1%}" in top
    assert f"(empty) {devices.count(b'') / 240:.1%}" in top
    hours = values_of(lines, "context", "hour")
    assert rows["hour"][3] == f"{hours.count(None) / 240:.1%}"
    tags = values_of(lines, "item", "tags")
    assert rows["tags"][2] == str(len({tag for tag_list in tags for tag in tag_list}))
    assert rows["tags"][3] == f"{tags.count(()) / 240:.1%}"
    assert rows["tags"][5].strip() == f"{np.mean([len(t) for t in tags]):.1f}"


def test_numbers(page):
    lines, rows = page
    income = np.array(values_of(lines, "user", "income"))
    _, owner, over, missing, low, median, high, _ = rows["income"]
    assert (owner, over) == ("user", "events")
    assert missing == f"{np.isnan(income).mean():.1%}"
    assert [low, median, high] == [f"{f(income):.6g}" for f in (np.nanmin, np.nanmedian, np.nanmax)]
    users = {line.user for line in lines}
    assert rows["user_activity[days since the first event]"][2] == "nodes at the end"
    last = max(line.timestamp for line in lines)
    first = [min(line.timestamp for line in lines if line.user == user) for user in users]
    assert (
        rows["user_activity[days since the first event]"][6] == f"{(last - min(first)) / 86400:.6g}"
    )


def test_bars():
    svg = feature_tables.bars(np.array([0, 2, 4]))
    assert re.findall(r"height='([\d.]+)'", svg) == ["28", "0.0", "14.0", "28.0"]
    assert feature_tables.bars(np.zeros(0, int)).count("rect") == 0
