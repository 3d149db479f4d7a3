"""What the REST interface tells of a model as JSON: its versions and its signatures."""

from __future__ import annotations

import json
from typing import Any

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from export.server import errors

_STATE = get_model_status_pb2.ModelVersionStatus.State


def status(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """A GetModelStatusResponse as JSON."""
    states = {
        "model_version_status": [
            {
                "version": str(version.version),
                "state": _STATE.Name(version.state),
                "status": {
                    "error_code": errors.code_of(version.status.error_code).name,
                    "error_message": version.status.error_message,
                },
            }
            for version in response.model_version_status
        ]
    }
    return _text(states)


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _tensor_info(info: meta_graph_pb2.TensorInfo) -> dict[str, Any]:
    dims = [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim]
    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {"dim": dims, "unknown_rank": info.tensor_shape.unknown_rank},
        "name": info.name,
    }


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """A GetModelMetadataResponse as JSON."""
    packed = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(packed)
    signatures: dict[str, Any] = {
        name: {
            "inputs": {key: _tensor_info(info) for key, info in signature.inputs.items()},
            "outputs": {key: _tensor_info(info) for key, info in signature.outputs.items()},
            "method_name": signature.method_name,
            "defaults": {},
        }
        for name, signature in packed.signature_def.items()
    }
    spec = {
        "name": response.model_spec.name,
        "signature_name": "",
        "version": str(response.model_spec.version.value),
    }
    described = {"signature_def": {"signature_def": signatures}}
    return _text({"model_spec": spec, "metadata": described})
