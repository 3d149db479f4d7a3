"""MGOE (Macro Graph of Experts): a multi-task ranking model, its training and evaluation.

Importing this package selects Keras 2 (tf_keras) for TensorFlow, because TensorFlow Recommenders
and parameter-server training need it: before TensorFlow is imported, or after, as long as nobody
has used `tf.keras` yet.

From Python, `build_model`, `load_model`, `read_spec` and `TrainOptions` are here; they are imported
when they are first asked for, so that importing the package alone stays light.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import input_pipeline  # noqa: F401  (sets how much TensorFlow prints, before it is imported)

__version__ = "0.5.0"

if TYPE_CHECKING:
    from input_pipeline.spec import read_spec
    from mgoe_tf.models.registry import build_model
    from mgoe_tf.training.checkpoints import load_model
    from mgoe_tf.training.options import TrainOptions

__all__ = ["TrainOptions", "build_model", "load_model", "read_spec"]

_DEFINED_IN = {
    "TrainOptions": "mgoe_tf.training.options",
    "build_model": "mgoe_tf.models.registry",
    "load_model": "mgoe_tf.training.checkpoints",
    "read_spec": "input_pipeline.spec",
}
_KERAS_SWITCH = "TF_USE_LEGACY_KERAS"

os.environ[_KERAS_SWITCH] = "1"
if "tensorflow" in sys.modules:
    # Looking at it makes TensorFlow choose, where it has not chosen yet.
    _KERAS = sys.modules["tensorflow"].keras.__name__
    if not _KERAS.startswith("tf_keras"):
        raise ImportError(
            f"mgoe_tf needs Keras 2 (tf_keras), but tf.keras is {_KERAS}: Keras 3 was used before "
            "mgoe_tf was imported. Import mgoe_tf first, or set "
            f"{_KERAS_SWITCH}=1 in the environment."
        )


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_DEFINED_IN[name]), name)
