"""The messages of TensorFlow Serving's gRPC services, made without TensorFlow.

Importing tensorflow-serving-api's messages imports all of TensorFlow. A client needs few of them,
so they are declared here as tables: the bytes on the wire are the same, and both kinds can be used
in one process. The sources are the .proto files of tensorflow and tensorflow_serving/apis.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory

from export.client.descriptors import Package, build_pool

_TENSORFLOW = Package(
    "tensorflow",
    {
        "TensorShapeProto.Dim": "size:int64=1 name:string=2",
        "TensorShapeProto": "dim:*TensorShapeProto.Dim=2 unknown_rank:bool=3",
        "TensorProto": (
            "dtype:DataType=1 tensor_shape:TensorShapeProto=2 version_number:int32=3 "
            "tensor_content:bytes=4 float_val:*float=5 double_val:*double=6 int_val:*int32=7 "
            "string_val:*bytes=8 int64_val:*int64=10 bool_val:*bool=11"
        ),
        "TensorInfo": ("name:string=1|encoding dtype:DataType=2 tensor_shape:TensorShapeProto=3"),
        "SignatureDef": (
            "inputs:{TensorInfo}=1 outputs:{TensorInfo}=2 method_name:string=3 "
            "defaults:{TensorProto}=4"
        ),
        "BytesList": "value:*bytes=1",
        "FloatList": "value:*float=1",
        "Int64List": "value:*int64=1",
        "Feature": (
            "bytes_list:BytesList=1|kind float_list:FloatList=2|kind int64_list:Int64List=3|kind"
        ),
        "Features": "feature:{Feature}=1",
        "Example": "features:Features=1",
        "FeatureList": "feature:*Feature=1",
        "FeatureLists": "feature_list:{FeatureList}=1",
        "SequenceExample": "context:Features=1 feature_lists:FeatureLists=2",
    },
    {
        "DataType": (
            "DT_INVALID=0 DT_FLOAT=1 DT_DOUBLE=2 DT_INT32=3 DT_UINT8=4 DT_INT16=5 DT_INT8=6 "
            "DT_STRING=7 DT_COMPLEX64=8 DT_INT64=9 DT_BOOL=10"
        )
    },
)
_ERROR = Package(
    "tensorflow.error",
    {},
    {
        "Code": (
            "OK=0 CANCELLED=1 UNKNOWN=2 INVALID_ARGUMENT=3 DEADLINE_EXCEEDED=4 NOT_FOUND=5 "
            "ALREADY_EXISTS=6 PERMISSION_DENIED=7 RESOURCE_EXHAUSTED=8 FAILED_PRECONDITION=9 "
            "ABORTED=10 OUT_OF_RANGE=11 UNIMPLEMENTED=12 INTERNAL=13 UNAVAILABLE=14 DATA_LOSS=15 "
            "UNAUTHENTICATED=16"
        )
    },
)
# Examples are bytes fields here: the same bytes, which nobody needs to parse on the way.
_SERVING = Package(
    "tensorflow.serving",
    {
        "ModelSpec": (
            "name:string=1 version:google.protobuf.Int64Value=2|version_choice "
            "signature_name:string=3 version_label:string=4|version_choice"
        ),
        "PredictRequest": (
            "model_spec:ModelSpec=1 inputs:{tensorflow.TensorProto}=2 output_filter:*string=3"
        ),
        "PredictResponse": "outputs:{tensorflow.TensorProto}=1 model_spec:ModelSpec=2",
        "ExampleList": "examples:*bytes=1",
        "ExampleListWithContext": "examples:*bytes=1 context:bytes=2",
        "Input": (
            "example_list:ExampleList=1|kind "
            "example_list_with_context:ExampleListWithContext=2|kind"
        ),
        "ClassificationRequest": "model_spec:ModelSpec=1 input:Input=2",
        "Class": "label:string=1 score:float=2",
        "Classifications": "classes:*Class=1",
        "ClassificationResult": "classifications:*Classifications=1",
        "ClassificationResponse": "result:ClassificationResult=1 model_spec:ModelSpec=2",
        "RegressionRequest": "model_spec:ModelSpec=1 input:Input=2",
        "Regression": "value:float=1",
        "RegressionResult": "regressions:*Regression=1",
        "RegressionResponse": "result:RegressionResult=1 model_spec:ModelSpec=2",
        "GetModelMetadataRequest": "model_spec:ModelSpec=1 metadata_field:*string=2",
        "GetModelMetadataResponse": "model_spec:ModelSpec=1 metadata:{google.protobuf.Any}=2",
        "SignatureDefMap": "signature_def:{tensorflow.SignatureDef}=1",
        "GetModelStatusRequest": "model_spec:ModelSpec=1",
        "StatusProto": "error_code:tensorflow.error.Code=1 error_message:string=2",
        "ModelVersionStatus": (
            "version:int64=1 state:ModelVersionStatus.State=2 status:StatusProto=3"
        ),
        "GetModelStatusResponse": "model_version_status:*ModelVersionStatus=1",
    },
    {
        "ModelVersionStatus.State": (
            "UNKNOWN=0 START=10 LOADING=20 AVAILABLE=30 UNLOADING=40 END=50"
        )
    },
    ("tensorflow", "tensorflow.error"),
)
_POOL = build_pool((_TENSORFLOW, _ERROR, _SERVING))


def message_class(full_name: str) -> type[Any]:
    """The class of the message of that full name, e.g. `tensorflow.serving.PredictRequest`."""
    found: type[Any] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full_name))
    return found


TensorProto = message_class("tensorflow.TensorProto")
Example = message_class("tensorflow.Example")
SequenceExample = message_class("tensorflow.SequenceExample")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
ClassificationRequest = message_class("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message_class("tensorflow.serving.ClassificationResponse")
RegressionRequest = message_class("tensorflow.serving.RegressionRequest")
RegressionResponse = message_class("tensorflow.serving.RegressionResponse")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
STATES = _POOL.FindEnumTypeByName("tensorflow.serving.ModelVersionStatus.State").values_by_number

HINT = "input-at-fault"  # trailing metadata of `export.serve`: what a message leaves open
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
REGRESS = "/tensorflow.serving.PredictionService/Regress"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
