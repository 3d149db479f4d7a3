"""The private messages against those of tensorflow-serving-api, byte for byte."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from export.client import protocol, tensors

ARRAYS = {
    "ids": np.array([3, -1, 2**62], np.int64),
    "edges": np.array([[0.5, np.inf], [np.nan, -0.0]], np.float32),
    "names": np.array([[b"a"], [b"\xff\x00"]], object),
    "flag": np.array(True),
    "none": np.zeros((0, 4), np.float64),
    "small": np.array([7], np.int32),
}


def _request(request):
    request.model_spec.name = "mgoe"
    request.model_spec.version.value = 1_700_000_000
    request.model_spec.signature_name = "serving_default"
    request.output_filter.extend(["click", "score"])
    for name, array in ARRAYS.items():
        tensors.encode(array, request.inputs[name])
    return request.SerializeToString(deterministic=True)


def test_a_predict_request_has_the_same_bytes():
    assert _request(protocol.PredictRequest()) == _request(predict_pb2.PredictRequest())


def test_golden_bytes_of_a_request():
    request = protocol.PredictRequest()
    request.model_spec.name = "m"
    tensors.encode(np.array([1.0], np.float32), request.inputs["x"])
    # model_spec (field 1, 3 bytes): name (field 1, 1 byte) "m"
    golden = b"\x0a\x03\x0a\x01m"
    # dtype DT_FLOAT = 1; tensor_shape (field 2) with one dim (field 2) of size (field 1) 1; 4 bytes
    # of content
    tensor = b"\x08\x01\x12\x04\x12\x02\x08\x01\x22\x04\x00\x00\x80\x3f"
    # inputs (field 2): entry of key (field 1) "x" and value (field 2)
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(tensor)]) + tensor
    assert request.SerializeToString() == golden + b"\x12" + bytes([len(entry)]) + entry


def test_a_version_label_replaces_a_version_as_in_the_real_messages():
    for make in (protocol.PredictRequest, predict_pb2.PredictRequest):
        spec = make().model_spec
        spec.version.value = 3
        spec.version_label = "stable"
        assert spec.WhichOneof("version_choice") == "version_label"


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_arrays_go_to_tensorflow_and_back(name):
    message = protocol.TensorProto()
    tensors.encode(ARRAYS[name], message)
    real = tf.make_tensor_proto(ARRAYS[name]).FromString(message.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(real), ARRAYS[name])
    theirs = protocol.TensorProto.FromString(tf.make_tensor_proto(ARRAYS[name]).SerializeToString())
    decoded = tensors.decode(theirs)
    np.testing.assert_array_equal(decoded, ARRAYS[name])
    assert decoded.dtype == ARRAYS[name].dtype


@pytest.mark.parametrize("size", [0, 1, 31, 32, 2**14 // 4, 2**21 // 4])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.bool_])
def test_answers_are_the_same_messages_as_value_by_value(kind, size):
    # sizes around those at which a length takes a byte more
    array = np.arange(2 * size).astype(kind)[::2]
    message, expected = (tf.make_tensor_proto(0).FromString(b"") for _ in range(2))
    tensors.encode_values(array, message)
    expected.dtype = tf.dtypes.as_dtype(kind).as_datatype_enum
    expected.tensor_shape.dim.add(size=size)
    getattr(expected, tensors.TYPES[expected.dtype][1]).extend(array.tolist())
    assert message == expected


def test_metadata_answers_are_read():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    info = signatures.signature_def["serving_default"].inputs["user_id"]
    info.name, info.dtype = "serving_default_user_id:0", 9
    info.tensor_shape.dim.add(size=-1)
    real = get_model_metadata_pb2.GetModelMetadataResponse()
    real.model_spec.name = "mgoe"
    packed = any_pb2.Any()
    packed.Pack(signatures)
    real.metadata["signature_def"].CopyFrom(packed)
    ours = protocol.GetModelMetadataResponse.FromString(real.SerializeToString())
    read = protocol.SignatureDefMap.FromString(ours.metadata["signature_def"].value)
    assert read.signature_def["serving_default"].inputs["user_id"].tensor_shape.dim[0].size == -1
    assert ours.SerializeToString(deterministic=True) == real.SerializeToString(deterministic=True)


def test_status_answers_are_read():
    real = get_model_status_pb2.GetModelStatusResponse()
    status = real.model_version_status.add(version=7, state=50)
    status.status.error_code = 5
    status.status.error_message = "gone"
    ours = protocol.GetModelStatusResponse.FromString(real.SerializeToString())
    assert protocol.STATES[ours.model_version_status[0].state].name == "END"
    assert ours.SerializeToString() == real.SerializeToString()


def _tensor(dtype, sizes, **values):
    message = protocol.TensorProto(dtype=dtype, **values)
    for size in sizes:
        message.tensor_shape.dim.add(size=size)
    return message


def test_values_are_repeated_or_cut_and_missing_values_are_zero():
    repeated = tensors.decode(_tensor(1, [2, 2], float_val=[1.0, 2.0]))
    np.testing.assert_array_equal(repeated, [[1.0, 2.0], [2.0, 2.0]])
    np.testing.assert_array_equal(tensors.decode(_tensor(9, [1], int64_val=[1, 2])), [1])
    assert tensors.decode(_tensor(1, [0, 2], tensor_content=b"abc")).shape == (0, 2)
    np.testing.assert_array_equal(tensors.decode(_tensor(9, [2])), [0, 0])
    np.testing.assert_array_equal(tensors.decode(_tensor(7, [1])), np.array([b""], object))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (_tensor(1, [2], tensor_content=b"abc"), r"must have 8 bytes for shape \[2\], got 3"),
        (_tensor(1, [-1]), r"at least 0, got \[-1\]"),
        (_tensor(8, [1]), "dtype must be one of .* got 8"),
    ],
)
def test_broken_tensors_are_refused(message, text):
    with pytest.raises(ValueError, match=text):
        tensors.decode(message)


def test_a_huge_claim_is_refused_before_memory_is_taken():
    for sizes in ([1 << 40, 1 << 40], [1 << 40, 0]):
        with pytest.raises(ValueError, match="more than"):
            tensors.decode(_tensor(1, sizes, float_val=[1.0]))


def test_an_array_of_another_type_cannot_be_sent():
    with pytest.raises(ValueError, match="got complex128"):
        tensors.encode(np.zeros(1, complex), protocol.TensorProto())


def test_classify_and_regress_requests_have_the_same_bytes():
    examples = [tf.train.Example(), tf.train.Example()]
    examples[0].features.feature["user_id"].int64_list.value.append(7)
    serialized = [example.SerializeToString() for example in examples]
    for ours_class, real_class in (
        (protocol.ClassificationRequest, classification_pb2.ClassificationRequest),
        (protocol.RegressionRequest, regression_pb2.RegressionRequest),
    ):
        ours, real = ours_class(), real_class()
        for request in (ours, real):
            request.model_spec.name = "mgoe"
            request.model_spec.signature_name = "classify"
        ours.input.example_list.examples.extend(serialized)
        real.input.example_list.examples.extend(examples)
        assert ours.SerializeToString() == real.SerializeToString()


def test_classify_and_regress_answers_are_read():
    real = classification_pb2.ClassificationResponse()
    real.result.classifications.add().classes.add(label="click", score=0.25)
    ours = protocol.ClassificationResponse.FromString(real.SerializeToString())
    (read,) = ours.result.classifications[0].classes
    assert (read.label, read.score) == ("click", 0.25)
    values = regression_pb2.RegressionResponse()
    values.result.regressions.add(value=0.5)
    ours = protocol.RegressionResponse.FromString(values.SerializeToString())
    assert ours.result.regressions[0].value == 0.5
