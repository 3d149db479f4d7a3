"""The messages of TensorFlow Serving's gRPC services, made without TensorFlow.

Importing tensorflow-serving-api's messages imports all of TensorFlow. A client needs few of them,
so they are declared
here as a table and built in a descriptor pool of their own: the bytes on the wire are the same, and
both kinds can be used in one process. The sources are the .proto files of tensorflow and
tensorflow_serving/apis.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

# Field tables, one string a message: name:type=number. `*type` is repeated, `{type}` a map from
# string to it, and a trailing `|name` puts the field into that oneof.
_TENSORFLOW = {
    "TensorShapeProto.Dim": "size:int64=1 name:string=2",
    "TensorShapeProto": "dim:*TensorShapeProto.Dim=2 unknown_rank:bool=3",
    "TensorProto": (
        "dtype:DataType=1 tensor_shape:TensorShapeProto=2 version_number:int32=3 "
        "tensor_content:bytes=4 float_val:*float=5 double_val:*double=6 int_val:*int32=7 "
        "string_val:*bytes=8 int64_val:*int64=10 bool_val:*bool=11"
    ),
    "TensorInfo": "name:string=1|encoding dtype:DataType=2 tensor_shape:TensorShapeProto=3",
    "SignatureDef": (
        "inputs:{TensorInfo}=1 outputs:{TensorInfo}=2 method_name:string=3 defaults:{TensorProto}=4"
    ),
}
_SERVING = {
    "ModelSpec": (
        "name:string=1 version:google.protobuf.Int64Value=2|version_choice signature_name:string=3 "
        "version_label:string=4|version_choice"
    ),
    "PredictRequest": (
        "model_spec:ModelSpec=1 inputs:{tensorflow.TensorProto}=2 output_filter:*string=3"
    ),
    "PredictResponse": "outputs:{tensorflow.TensorProto}=1 model_spec:ModelSpec=2",
    "GetModelMetadataRequest": "model_spec:ModelSpec=1 metadata_field:*string=2",
    "GetModelMetadataResponse": "model_spec:ModelSpec=1 metadata:{google.protobuf.Any}=2",
    "SignatureDefMap": "signature_def:{tensorflow.SignatureDef}=1",
    "GetModelStatusRequest": "model_spec:ModelSpec=1",
    "StatusProto": "error_code:tensorflow.error.Code=1 error_message:string=2",
    "ModelVersionStatus": "version:int64=1 state:ModelVersionStatus.State=2 status:StatusProto=3",
    "GetModelStatusResponse": "model_version_status:*ModelVersionStatus=1",
}
_DATA_TYPES = (
    "DT_INVALID=0 DT_FLOAT=1 DT_DOUBLE=2 DT_INT32=3 DT_UINT8=4 DT_INT16=5 DT_INT8=6 DT_STRING=7 "
    "DT_COMPLEX64=8 DT_INT64=9 DT_BOOL=10"
)
_CODES = (
    "OK=0 CANCELLED=1 UNKNOWN=2 INVALID_ARGUMENT=3 DEADLINE_EXCEEDED=4 NOT_FOUND=5 "
    "ALREADY_EXISTS=6 PERMISSION_DENIED=7 RESOURCE_EXHAUSTED=8 FAILED_PRECONDITION=9 ABORTED=10 "
    "OUT_OF_RANGE=11 UNIMPLEMENTED=12 INTERNAL=13 UNAVAILABLE=14 DATA_LOSS=15 UNAUTHENTICATED=16"
)
_STATES = "UNKNOWN=0 START=10 LOADING=20 AVAILABLE=30 UNLOADING=40 END=50"
_ENUMS = {
    "tensorflow.DataType": _DATA_TYPES,
    "tensorflow.error.Code": _CODES,
    "tensorflow.serving.ModelVersionStatus.State": _STATES,
}
_FILES: tuple[tuple[str, tuple[str, ...], dict[str, str], tuple[str, ...]], ...] = (
    ("tensorflow", ("DataType",), _TENSORFLOW, ()),
    ("tensorflow.error", ("Code",), {}, ()),
    (
        "tensorflow.serving",
        ("ModelVersionStatus.State",),
        _SERVING,
        ("tensorflow", "tensorflow.error"),
    ),
)

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "int32": _Field.TYPE_INT32,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
}


def _set_type(field: Any, kind: str, package: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    full = kind if kind.startswith(("tensorflow.", "google.")) else f"{package}.{kind}"
    field.type = _Field.TYPE_ENUM if full in _ENUMS else _Field.TYPE_MESSAGE
    field.type_name = f".{full}"


def _add_field(message: Any, text: str, package: str, scope: str) -> None:
    name, _, rest = text.partition(":")
    kind, _, rest = rest.partition("=")
    number, _, oneof = rest.partition("|")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("{"):
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add_field(entry, "key:string=1", package, scope)
        _add_field(entry, f"value:{kind[1:-1]}=2", package, scope)
        kind = f"*{package}.{scope}.{entry.name}"
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    _set_type(field, kind.lstrip("*"), package)
    if oneof:
        if oneof not in [declared.name for declared in message.oneof_decl]:
            message.oneof_decl.add(name=oneof)
        field.oneof_index = [declared.name for declared in message.oneof_decl].index(oneof)


def _file(package: str, enums: Any, messages: Any, imports: Any) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"export/{package}.proto", package=package, syntax="proto3"
    )
    file.dependency.extend(f"export/{name}.proto" for name in imports)
    if imports:
        file.dependency.extend((any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name))
    scopes: dict[str, Any] = {}
    for name in sorted(messages):  # an outer message sorts before those nested in it
        outer, _, inner = name.rpartition(".")
        scopes[name] = (
            scopes[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        )
        for text in messages[name].split():
            _add_field(scopes[name], text, package, name)
    for name in enums:
        outer, _, inner = name.rpartition(".")
        enum = (scopes[outer] if outer else file).enum_type.add(name=inner)
        for text in _ENUMS[f"{package}.{name}"].split():
            label, _, number = text.partition("=")
            enum.value.add(name=label, number=int(number))
    return file


def _build_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for package, enums, messages, imports in _FILES:
        pool.AddSerializedFile(_file(package, enums, messages, imports).SerializeToString())
    return pool


_POOL = _build_pool()


def message_class(full_name: str) -> Any:
    """The class of the message of that full name, e.g. `tensorflow.serving.PredictRequest`."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full_name))


TensorProto = message_class("tensorflow.TensorProto")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
STATES = _POOL.FindEnumTypeByName("tensorflow.serving.ModelVersionStatus.State").values_by_number

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
