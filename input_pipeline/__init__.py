"""From raw logs of users, items and behaviours to rows, TFRecords and tf.data datasets.

It imports nothing outside the standard library, and nothing in it needs Keras.
"""

import os

# TensorFlow reads this when it is imported; at level 1 it tells of missing GPU libraries.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
