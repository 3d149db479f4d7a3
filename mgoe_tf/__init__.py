"""MGOE (Macro Graph of Experts): a multi-task ranking model, its training and evaluation.

Importing this package selects Keras 2 (tf_keras) for TensorFlow, because TensorFlow Recommenders
and parameter-server training need it: before TensorFlow is imported, or after, as long as nobody
has used `tf.keras` yet.
"""

import os
import sys

import input_pipeline  # noqa: F401  (sets how much TensorFlow prints, before it is imported)

__version__ = "0.2.0"

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
