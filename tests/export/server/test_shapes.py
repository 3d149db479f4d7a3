"""Inputs of other shapes than the signatures': the graphs answer or refuse them, and go on."""

import collections
import itertools

import numpy as np

from export import warmup
from export.client import tensors
from export.server.errors import ServingError
from export.server.servable import Servable

_SIZES = (0, 1, 2, 3, 7)


def _requests(path):
    """The warm-up's first request of each signature that takes tensors."""
    found = {}
    for log in warmup.read(path):
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            found.setdefault(request.model_spec.signature_name, request)
    return found


def _told(servable, signature, inputs):
    """OK, or the code, the message and the hint of an error."""
    try:
        servable.predict(signature, inputs)
    except ServingError as failure:
        return f"{failure.code.name} {failure.message} {failure.hint}"
    return "OK"


def test_no_shape_ends_the_process_or_is_an_internal_error(exported):
    servable = Servable(1, exported[0])
    random = np.random.default_rng(3)
    codes = collections.Counter()
    for signature, request in _requests(exported[0]).items():
        for name, rank in itertools.product(sorted(request.inputs), range(5)):
            changed = type(request)()
            changed.CopyFrom(request)
            tensor = changed.inputs[name]
            array = tensors.decode(tensor)
            shape = random.choice(_SIZES, rank)
            filled = np.resize(array.ravel(), shape).astype(array.dtype)
            tensor.Clear()
            tensors.encode(filled, tensor)
            told = _told(servable, signature, changed.inputs)
            codes[told.partition(" ")[0]] += 1
            causes = (f"input {name} must have", "inputs must have one batch size", "users must be")
            assert told == "OK" or any(text in told for text in causes)
    servable.unload()
    assert set(codes) == {"OK", "INVALID_ARGUMENT"}
