import re

import numpy as np
import pytest

from input_pipeline.log.rows import Rows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report.window_statistics import window_statistics
from tests.input_pipeline.logs import event_log, random_lines, write_log


def test_a_window_counts_its_rows_and_ranks_them_by_each_signal():
    none = np.zeros(4, np.uint32)
    rows = Rows(none, none, np.array([1, 1, 0, 0], np.uint32), none, None, none > 0, none)
    told = {"item cold": np.array([0, 0, 1, 1]), "user cold": np.array([1, 0, 0, 1])}
    statistics = window_statistics("test", rows, ("click",), told)
    assert statistics.aucs == {
        "item cold": {"click": (0.0, 2, 2)},
        "user cold": {"click": (0.5, 2, 2)},
    }
    assert statistics.rate("click") == 0.5


@pytest.mark.parametrize("clock", [90, None])
def test_the_page_is_one_self_contained_file(tmp_path, clock):
    options = PreparationOptions(
        source="taobao",
        cuts=(0.4, 0.6, 0.8),
        num_user_macro_nodes=3,
        num_item_macro_nodes=4,
    )
    spec = write_log(event_log(random_lines(0, clock=clock)), options, str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == (5 if clock else 4)
    # What is referred to is in the file: parts of figures, and the pixels of the heat map.
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert f"{spec.counts['rows']['train']:,}" in page
    for heading in (
        "What single numbers win",
        "Macro edges",
        "Degrees",
        "What the macro edges say by themselves",
        "effective number",
    ):
        assert heading in page
    assert ("no clock" in page) == (clock is None)
