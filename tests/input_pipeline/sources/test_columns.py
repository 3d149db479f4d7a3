"""Blocks of a column joined to one column of distinct values, ascending."""

import numpy as np
import pyarrow as pa
import pytest

from input_pipeline.sources.columns import to_categorical

LOWEST, HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@pytest.mark.parametrize(
    ("low", "high"), [(0, 40), (-20, 20), (HIGHEST - 30, HIGHEST), (LOWEST, HIGHEST)]
)
@pytest.mark.parametrize("is_integer", [True, False])
def test_blocks_that_share_values(low, high, is_integer):
    random = np.random.default_rng(0)
    numbers = np.append(random.integers(low, high, 300, endpoint=True), [low, high, low])
    cells = [b"%s%d" % (b"" if is_integer else b"u", number) for number in numbers.tolist()]
    blocks = [cells[:100], cells[100:250], cells[250:]]
    found = to_categorical(
        [pa.array(block, pa.binary()).dictionary_encode() for block in blocks], "who"
    )
    expected = numbers.tolist() if is_integer else cells
    assert found.values.tolist() == sorted(set(expected))
    assert [found.values[code] for code in found.codes] == expected
