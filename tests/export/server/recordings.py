"""Requests whose answers by the real server were recorded: read, sent here, compared."""

import base64
import dataclasses
import gzip
import http.client
import json
import re
from pathlib import Path

import grpc

PATH = Path(__file__).parents[4] / "shared" / "serving" / "real_server.jsonl.gz"
_MODEL_SERVICE = ("GetModelStatus", "HandleReloadConfigRequest")
# What the real server did not answer, or the recording client did not send.
_UNANSWERED = ("CRASH", "TimeoutError", "InvalidURL")


@dataclasses.dataclass(frozen=True)
class Recording:
    """A request, and the real server's code and message by mode: `plain` or `batch`."""

    label: str
    kind: str
    method: str
    path: str
    headers: dict
    body: bytes
    answers: dict

    def expected(self, mode):
        """(code, message), or None where the real server gave no answer."""
        code, message = self.answers[mode]["code"], self.answers[mode]["message"]
        return None if code in _UNANSWERED else (str(code), message)


def read(path=PATH):
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            yield Recording(
                label=row["label"],
                kind=row["kind"],
                method=row["method"],
                path=row.get("path", ""),
                headers=row.get("headers", {}),
                body=base64.b64decode(row["request"]),
                answers={mode: row[mode] for mode in ("plain", "batch")},
            )


def _send_grpc(recording, channel):
    method = recording.method
    if not method.startswith("/"):
        service = "ModelService" if method in _MODEL_SERVICE else "PredictionService"
        method = f"/tensorflow.serving.{service}/{method}"
    try:
        channel.unary_unary(method)(recording.body, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def _send_rest(recording, port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            recording.method, recording.path, recording.body or None, recording.headers
        )
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    try:
        return str(answer.status), content.decode()
    except UnicodeDecodeError:  # as the recordings have such answers
        return str(answer.status), str(content)


def send(recording, channel, rest_port):
    """(code, message) of a server."""
    if recording.kind == "grpc":
        return _send_grpc(recording, channel)
    return _send_rest(recording, rest_port)


def comparable(code, message):
    """A message without what exports of two revisions, or two versions of gRPC, do not share."""
    if code in ("OK", "200", "INTERNAL", "UNIMPLEMENTED"):
        return ""
    return re.sub(r"__inference_\w+?_\d+\}\}\{\{node [^}]*\}\}", "__inference_N", message)
