"""Inputs of other shapes than the signatures': the graphs answer or refuse them, and go on."""

import collections
import itertools

import numpy as np
import tensorflow as tf

from export import warmup
from export.client import tensors
from export.server.errors import ServingError
from export.server.servable import Servable
from export.server.services import as_serving_error

_SIZES = (0, 1, 2, 3, 7)


def _requests(path):
    """The warm-up's first request of each signature that takes tensors."""
    found = {}
    for log in warmup.read(path):
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            found.setdefault(request.model_spec.signature_name, request)
    return found


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
            try:
                servable.predict(signature, changed.inputs)
                codes["OK"] += 1
            except (ServingError, tf.errors.OpError) as error:
                failure = as_serving_error(error)
                codes[failure.code.name] += 1
                told = (
                    f"input {name} must have",
                    "inputs must have one batch size",
                    "users must be",
                )
                assert any(text in failure.message for text in told)
    servable.unload()
    assert set(codes) == {"OK", "INVALID_ARGUMENT"}
