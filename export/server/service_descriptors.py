"""What gRPC reflection tells of the services."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
SERVICES = (
    PREDICTION_SERVICE,
    MODEL_SERVICE,
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
)
# The modules of the two services in tensorflow-serving-api do not load under protobuf 4.
_METHODS = {
    PREDICTION_SERVICE: {
        "Classify": ("ClassificationRequest", "ClassificationResponse"),
        "Regress": ("RegressionRequest", "RegressionResponse"),
        "Predict": ("PredictRequest", "PredictResponse"),
        "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
        "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
    },
    MODEL_SERVICE: {
        "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
        "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
    },
}
_MESSAGES = (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    """Adds a file after those that it imports."""
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add(pool, dependency, added)
    pool.AddSerializedFile(file.serialized_pb)


def service_pool() -> descriptor_pool.DescriptorPool:
    """A pool with SERVICES and their messages."""
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for module in (*_MESSAGES, health_pb2, reflection_pb2):
        _add(pool, module.DESCRIPTOR, added)
    file = descriptor_pb2.FileDescriptorProto(
        name="export/services.proto",
        package="tensorflow.serving",
        dependency=[module.DESCRIPTOR.name for module in _MESSAGES],
        syntax="proto3",
    )
    for full_name, methods in _METHODS.items():
        service = file.service.add(name=full_name.rpartition(".")[-1])
        for name, types in methods.items():
            request, response = (f".{file.package}.{kind}" for kind in types)
            service.method.add(name=name, input_type=request, output_type=response)
    pool.AddSerializedFile(file.SerializeToString())
    return pool
