"""Which path is which call, and what is told of a model."""

from tests.export.server.small_model import call


def test_status_and_metadata(url):
    state = {"version": "7", "state": "AVAILABLE"}
    expected = {
        "model_version_status": [state | {"status": {"error_code": "OK", "error_message": ""}}]
    }
    assert call(url) == (200, expected)
    assert call(f"{url}/versions/7") == (200, expected)
    status, answer = call(f"{url}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "small", "signature_name": "", "version": "7"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["edges"]["dtype"] == "DT_FLOAT"
    sizes = [dim["size"] for dim in signature["inputs"]["edges"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "3"]


def test_an_unknown_model_is_not_found(url):
    status, answer = call(url.replace("small", "other"))
    assert (status, answer) == (404, {"error": "Could not find any versions of model other"})
