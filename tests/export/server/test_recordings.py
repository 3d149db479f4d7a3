"""Every recorded request is answered as TensorFlow Serving 2.17.1 answered it.

The recordings lie beside the project where there are any; without them only the kinds of requests
that the other tests write themselves are tried.
"""

import grpc
import pytest

from export.options import ExportOptions
from export.savedmodel import export
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from mgoe_tf.models.registry import model_class
from tests.export.conftest import write_model
from tests.export.server import recordings
from tests.export.server.small_model import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not recordings.PATH.exists(), reason="no recordings are at hand"),
]
# Labels whose messages differ, and why.
_DIFFERENT = {
    "malformed empty": "recorded under the name of another method",
    "user_id shape [8589934592, 0]": "more elements are claimed than are taken here",
    "user_id rank 254": "it runs in a copy of the graph, whose errors are worded otherwise",
    "predict signature_name ''": "the real server looks at inputs in no fixed order",
    **dict.fromkeys(
        (
            "examples: scalar",
            "predict columns B differs",
            "0 users, 1 list",
            "1 user, 2 lists",
            "2 users, 1 list",
        ),
        "operations that run side by side fail in no fixed order",
    ),
    **dict.fromkeys(
        ("item_id [3]", "scalar item_id", "predict column user_id [[]]"),
        "the graph of rank_ids is not the recorded one: other operations meet the mistake",
    ),
}


@pytest.fixture(scope="module")
def export_base(tmp_path_factory):
    """Untrained models on a data set with the features that the requests have."""
    folder = tmp_path_factory.mktemp("recordings")
    data_dir = str(folder / "data")
    prepare(
        PreparationOptions(
            source="synthetic", users=400, items=600, events=20_000, data_dir=data_dir
        )
    )
    for name in ("mgoe", "mmoe"):
        model_dir = str(folder / name)
        write_model(model_dir, name, data_dir, options=model_class(name).options_class())
        export(
            ExportOptions(
                model_dir=model_dir,
                export_base=str(folder / "exports"),
                model_name=name,
                data_dir=data_dir,
            )
        )
    return folder / "exports"


@pytest.mark.parametrize("mode", ["plain", "batch"])
def test_recorded_requests_are_answered_alike(export_base, tmp_path, mode):
    models = tmp_path / "models.config"
    models.write_text(
        "model_config_list {"
        + "".join(
            f' config {{ name: "{name}" base_path: "{export_base / name}" '
            'model_platform: "tensorflow" }'
            for name in ("mgoe", "mmoe")
        )
        + "}"
    )
    batching = tmp_path / "batching.txt"
    batching.write_text("max_batch_size { value: 1024 } pad_variable_length_inputs: true")
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    server = Server(
        ServeOptions(
            model_config_file=str(models),
            port=0,
            rest_api_port=free_port(),
            monitoring_config_file=str(monitoring),
            enable_batching=mode == "batch",
            batching_parameters_file=str(batching) if mode == "batch" else "",
            enable_model_warmup=False,
        )
    )
    server.start()
    codes, messages, count = [], [], 0
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            for recording in recordings.read():
                expected = recording.expected(mode)
                if expected is None:
                    continue
                found = recordings.send(recording, channel, server.options.rest_api_port)
                count += 1
                if found[0] != expected[0]:
                    codes.append((recording.label, expected, found))
                elif recording.label not in _DIFFERENT and (
                    recordings.comparable(*found) != recordings.comparable(*expected)
                ):
                    messages.append((recording.label, expected, found))
    finally:
        server.stop(0)
    assert not codes, f"{len(codes)} of {count} codes differ"
    assert not messages, f"{len(messages)} of {count} messages differ"
