"""What a .npy file begins with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def npy_header(shape: tuple[int, ...], dtype: Any) -> bytes:
    """Of an array in C order; its values follow."""
    head = io.BytesIO()
    headers: Any = np.lib.format
    told = {
        "descr": headers.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    headers.write_array_header_1_0(head, told)
    return head.getvalue()
