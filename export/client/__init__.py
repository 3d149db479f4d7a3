"""Calls a model of TensorFlow Serving or of `export.serve`; needs grpcio, protobuf, NumPy only.

with Client("localhost:8500", "mgoe") as client:
    outputs = client.predict(
        {"user_id": np.array([7]), "item_id": np.array([[1, 2, 3]])}, "rank_ids"
    )
"""

from export.client.client import CallError, Client, Input, Signature

__all__ = ["CallError", "Client", "Input", "Signature"]
