"""Features of the request itself, such as the hour or the device, as a signature wants them.

A server tells the type and the shape of an input, and nothing more. So what is not known reads by
its type, as the features of a prepared data set do: see `Input.missing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.client.client import Input
from export.client.tensors import DT_STRING, TYPES

# Between the values of one feature.
SEPARATOR = "|"
_IDS = ("user_id", "item_id")


def context_inputs(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """The inputs of `rank_ids` or `explain` that are of the request itself: all but the ids."""
    return {name: wanted for name, wanted in inputs.items() if name not in _IDS}


def parse_context(
    texts: Sequence[str], wanted: Mapping[str, Input], flag: str = "--context"
) -> dict[str, NDArray[Any]]:
    """What was given of the context, of one request: [1, ...] by name.

    Args:
      texts: `name=value` each, several values of a feature with `|` between them; no value: it is
        missing.
      wanted: the context's inputs.
      flag: what messages call the texts.

    Raises:
      ValueError: a name that is not wanted, or given twice; a value of another type; too many.
    """
    found: dict[str, NDArray[Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in wanted or name in found:
            raise ValueError(
                f"{flag}: must be name=value, each name once, of {sorted(wanted)}, got {text!r}"
            )
        values = value.split(SEPARATOR) if value else []
        found[name] = _row(f"{flag}: {name}", values, wanted[name])
    return found


def filled_context(
    given: Mapping[str, NDArray[Any]], wanted: Mapping[str, Input]
) -> dict[str, NDArray[Any]]:
    """The whole context of one request, [1, ...]: what was not given is missing."""
    missing = {name: _row(name, [], input_) for name, input_ in wanted.items() if name not in given}
    return {**given, **missing}


def _row(what: str, texts: Sequence[str], wanted: Input) -> NDArray[Any]:
    """Values as an input of one request, [1, ...]; what is left over is missing."""
    shape = wanted.shape[1:]
    if len(texts) > math.prod(shape):
        raise ValueError(f"{what} must have at most {math.prod(shape)} values, got {list(texts)}")
    row: NDArray[Any] = np.full(math.prod(shape), wanted.missing, TYPES[wanted.dtype][0])
    row[: len(texts)] = [_value(what, text, wanted) for text in texts]
    return row.reshape(1, *shape)


def _value(what: str, text: str, wanted: Input) -> Any:
    if wanted.dtype == DT_STRING:
        return text.encode()
    kind = TYPES[wanted.dtype][0]
    try:
        return kind(int(text) if np.issubdtype(kind, np.integer) else float(text))
    except (ValueError, OverflowError):
        name = "an integer" if np.issubdtype(kind, np.integer) else "a number"
        raise ValueError(f"{what} must be {name}, got {text!r}") from None
