"""From raw logs of users, items and behaviours to rows, TFRecords and tf.data datasets.

Importing this package selects Keras 2 (tf_keras) for TensorFlow, because TensorFlow Recommenders
and parameter-server training need it. It imports nothing outside the standard library.
"""

import os
import sys

_KERAS_SWITCH = "TF_USE_LEGACY_KERAS"

if "tensorflow" in sys.modules and "tf_keras" not in sys.modules:
    raise ImportError(
        "mgoe_tf needs Keras 2 (tf_keras), but TensorFlow was imported with Keras 3 before it. "
        "Import input_pipeline, mgoe_tf or export before tensorflow, or set "
        f"{_KERAS_SWITCH}=1 in the environment."
    )
os.environ[_KERAS_SWITCH] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
