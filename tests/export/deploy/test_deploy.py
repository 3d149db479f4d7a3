"""Deployment files against the message types and schemas of what reads them."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export import server_files
from export.client import Client
from export.client.batch_sizes import ALLOWED_BATCH_SIZES
from export.deploy import files
from export.deploy.__main__ import deploy
from export.deploy.options import DeployOptions
from export.server.batching_options import BatchingOptions
from export.server.model_server import Server
from export.server.options import ServeOptions

_EXPORT_BYTES = 400 << 20


@pytest.fixture
def base(tmp_path):
    """Two models of versions of some 400 MB, none of which is there for real."""
    for name in ("mgoe", "mmoe"):
        for version in ("1", "20"):
            folder = tmp_path / "exports" / name / version
            (folder / "variables").mkdir(parents=True)
            (folder / "saved_model.pb").write_bytes(b"")
            (folder / "assets.extra").mkdir()
            for path in ("variables/data", "assets.extra/tf_serving_warmup_requests"):
                with open(folder / path, "wb") as file:
                    file.truncate(_EXPORT_BYTES)
    return str(tmp_path / "exports")


def write(base, tmp_path, **options):
    output = tmp_path / "deploy"
    paths = deploy(DeployOptions(export_base=base, output=str(output), **options))
    assert sorted(paths) == sorted(str(p) for p in output.rglob("*") if p.is_file())
    return output


def manifest(output, name):
    return yaml.safe_load((output / name).read_text())


@pytest.mark.parametrize("platform", ["docker", "kubernetes"])
def test_protos_parse_as_their_real_messages(base, tmp_path, platform):
    config = write(base, tmp_path, platform=platform, model_names=("mgoe", "mmoe")) / "config"
    models = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((config / "models.config").read_text(), models)
    listed = {one.name: one.base_path for one in models.model_config_list.config}
    assert listed == {"mgoe": "/models/mgoe", "mmoe": "/models/mmoe"}
    for device, timeout in (("cpu", 0), ("gpu", 2000)):
        path = str(config / f"batching_parameters.{device}.txt")
        message = server_files.read(path, server_files.BatchingParameters(), "f")
        parameters = BatchingOptions.from_message(message)
        # With them a request without rows ends the real server, as the comments say.
        assert parameters.allowed_batch_sizes == (ALLOWED_BATCH_SIZES if device == "gpu" else ())
        comments = [line for line in Path(path).read_text().splitlines() if line[0] == "#"]
        assert ("WARNING" in " ".join(comments), len(comments) > 1) == (device == "gpu", True)
        assert parameters.batch_timeout_micros == timeout
        assert parameters.pad_variable_length_inputs
    path = str(config / "monitoring.config")
    message = server_files.read(path, server_files.MonitoringConfig(), "f")
    assert message.prometheus_config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize(
    ("device", "image", "gpus"),
    [("gpu", "tensorflow/serving:2.17.0-gpu", 1), ("cpu", "tensorflow/serving:2.17.0", 0)],
)
def test_docker_compose(base, tmp_path, device, image, gpus):
    output = write(base, tmp_path, device=device)
    serving = manifest(output, "docker-compose.yaml")["services"]["serving"]
    assert serving["image"] == image
    assert {v["target"]: v["source"] for v in serving["volumes"]} == {
        "/config": "./config",
        "/models": base,
    }
    resources = serving["deploy"]["resources"]
    # 1 GiB and three times 400 MiB, rounded up
    assert resources["limits"]["memory"] == "3G"
    assert len(resources.get("reservations", {}).get("devices", [])) == gpus
    assert (
        f"--batching_parameters_file=/config/batching_parameters.{device}.txt"
        in (serving["command"])
    )
    assert ("environment" in serving) == (device == "cpu")
    for flag in ("--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=-1"):
        assert (flag in serving["command"]) == (device == "cpu")
    assert all(port.startswith("127.0.0.1:") for port in serving["ports"])


def test_docker_compose_against_its_schema(base, tmp_path):
    compose_spec = pytest.importorskip("compose_spec")
    text = (write(base, tmp_path) / "docker-compose.yaml").read_text()
    parsed = compose_spec.PyCompose.from_yaml(text)
    assert "serving" in str(parsed.to_yaml())


def test_flags_are_those_that_the_embedded_server_knows(base, tmp_path):
    output = write(base, tmp_path)
    serving = manifest(output, "docker-compose.yaml")["services"]["serving"]
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in serving["command"])
    assert set(flags) <= set(ServeOptions.__dataclass_fields__)
    assert flags["grpc_max_threads"] == "256"


_KINDS = {
    "deployment.yaml": "V1Deployment",
    "service.yaml": "V1Service",
    "horizontal-pod-autoscaler.yaml": "V2HorizontalPodAutoscaler",
}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_kubernetes_manifests_against_the_clients_models(base, tmp_path, device):
    client = pytest.importorskip("kubernetes.client")
    output = write(base, tmp_path, platform="kubernetes", device=device)
    api = client.ApiClient()
    for name, kind in _KINDS.items():
        content = manifest(output, name)
        # An unknown field is lost on the way, one of another type is an error.
        parsed = api.deserialize(json.dumps(content), kind, "application/json")
        assert api.sanitize_for_serialization(parsed) == content, name


def test_kubernetes_manifests_fit_together(base, tmp_path):
    output = write(base, tmp_path, platform="kubernetes", name="ranker", max_replicas=5)
    deployment = manifest(output, "deployment.yaml")
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    labels = {"app": "ranker"}
    assert pod["metadata"]["labels"] == labels == deployment["spec"]["selector"]["matchLabels"]
    assert manifest(output, "service.yaml")["spec"]["selector"] == labels
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/mgoe"
    limits = container["resources"]["limits"]
    assert limits == {"memory": "3Gi", "nvidia.com/gpu": "1"}
    scaler = manifest(output, "horizontal-pod-autoscaler.yaml")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    monitor = manifest(output, "service-monitor.yaml")["spec"]
    ports = {port["name"] for port in manifest(output, "service.yaml")["spec"]["ports"]}
    assert monitor["endpoints"][0]["port"] in ports
    kustomization = manifest(output, "kustomization.yaml")
    named = kustomization["resources"] + kustomization["configMapGenerator"][0]["files"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(
        str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()
    )
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_remote_models_need_no_volume(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "model_bytes", lambda options: 1)
    for platform, name in (("docker", "docker-compose.yaml"), ("kubernetes", "deployment.yaml")):
        output = tmp_path / platform
        deploy(
            DeployOptions(platform=platform, export_base="gs://bucket/exports", output=str(output))
        )
        assert "gs://bucket/exports/mgoe" in (output / "config/models.config").read_text()
        assert "/models\n" not in (output / name).read_text()


@pytest.mark.parametrize("exported", ["mmoe"], indirect=True)
def test_the_embedded_server_runs_with_the_files(exported, tmp_path):
    base = str(Path(exported[0]).parent.parent)
    config = write(base, tmp_path, model_names=("mmoe",), device="cpu") / "config"
    path = config / "models.config"
    path.write_text(path.read_text().replace("/models/", f"{base}/"))
    options = ServeOptions(
        port=0,
        model_config_file=str(path),
        enable_batching=True,
        batching_parameters_file=str(config / "batching_parameters.cpu.txt"),
        monitoring_config_file=str(config / "monitoring.config"),
    )
    server = Server(options)
    server.start()
    try:
        with Client(f"127.0.0.1:{server.port}", "mmoe", timeout_seconds=30) as client:
            assert list(client.states().values()) == ["AVAILABLE"]
    finally:
        server.stop(0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"export_base": ""}, "--export_base: must be given, got ''"),
        ({"model_names": ("a", "a")}, r"--model_names: .* different names, got \['a', 'a'\]"),
        ({"name": "A b"}, "--name: must be lower-case letters, .* got 'A b'"),
        ({"cpus": 0}, "--cpus: must be at least 1, got 0"),
        ({"max_replicas": 1}, "--max_replicas: must be at least --min_replicas=2, got 1"),
        ({"model_names": ("other",)}, "--model_names: no version of other under"),
    ],
)
def test_mistakes_are_named_and_write_nothing(base, tmp_path, options, text):
    output = str(tmp_path / "deploy")
    with pytest.raises(ValueError, match=text):
        deploy(DeployOptions(**{"export_base": base, "output": output, **options}))
    assert not Path(output).exists()


def test_an_existing_output_is_left_alone(base, tmp_path):
    write(base, tmp_path)
    with pytest.raises(ValueError, match="--output: must not exist yet, got"):
        write(base, tmp_path)
    shutil.rmtree(tmp_path / "deploy")
    write(base, tmp_path)
