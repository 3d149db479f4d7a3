"""Which users and items of a window a model knows nothing of.

Axes: N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log import vocabulary
from input_pipeline.log.raw_ids import as_array
from input_pipeline.spec import DatasetSpec

_EXAMPLES = 5


def unknown_ids(
    data_dir: str, spec: DatasetSpec, name: str, rows: NDArray[Any], macro: NDArray[Any]
) -> dict[str, Any]:
    """The ids that have neither an embedding of their own nor a place in the window's graph.

    Args:
      data_dir, spec: of the data set.
      name: of the vocabulary.
      rows: vocabulary row of each row's id, int [N], -1 where it has none.
      macro: macro node of each row's id, int [N], -1 where the graph does not have it.

    Returns:
      How many `rows` they are in; how many `ids` they are, `of` how many; some `examples` as text.
    """
    embedded = vocabulary.embedding_rows(data_dir, spec, name) > 0
    # ids that came after training are beyond the end
    place = np.where((rows >= 0) & (rows < len(embedded)), rows, len(embedded))
    unknown = ~np.append(embedded, False)[place] & (macro < 0)
    distinct = np.unique(rows[unknown])
    named = distinct[distinct >= 0][:_EXAMPLES]
    ids = as_array(vocabulary.read_ids(data_dir, spec, name)[named]).tolist()
    return {
        "rows": int(np.count_nonzero(unknown)),
        "ids": len(distinct),
        "of": len(np.unique(rows)),
        "examples": [
            one.decode(errors="backslashreplace") if isinstance(one, bytes) else str(one)
            for one in ids
        ],
    }
