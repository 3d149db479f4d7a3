"""Numbers as the real server writes them."""

import numpy as np

from export.server.rest import json_values


def test_floats_are_written_with_nine_digits_where_six_are_not_exact():
    values = [0.1, 0.66907406, 8.1, 1e-7, 16777216.0]
    written = [json_values.plain_float(float(np.float32(value))) for value in values]
    assert written == [0.1, 0.669074059, 8.1, 1e-7, 16777216.0]
