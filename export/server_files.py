"""The configuration files that TensorFlow Serving's flags name: text protos, and how to read them.

tensorflow-serving-api does not ship these three message types; they are declared here after
session_bundle_config.proto, monitoring_config.proto and ssl_config.proto of TensorFlow Serving.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import message_factory, text_format
from google.protobuf.message import Message

from export.client.descriptors import Package, build_pool
from input_pipeline.files import filesystem

_POOL = build_pool(
    [
        Package(
            "tensorflow.serving",
            {
                "BatchingParameters": (
                    "max_batch_size:google.protobuf.Int64Value=1 "
                    "batch_timeout_micros:google.protobuf.Int64Value=2 "
                    "max_enqueued_batches:google.protobuf.Int64Value=3 "
                    "num_batch_threads:google.protobuf.Int64Value=4 "
                    "thread_pool_name:google.protobuf.StringValue=5 allowed_batch_sizes:*int64=6 "
                    "pad_variable_length_inputs:bool=7 "
                    "max_execution_batch_size:google.protobuf.Int64Value=8 "
                    "enable_large_batch_splitting:google.protobuf.BoolValue=9"
                ),
                "PrometheusConfig": "enable:bool=1 path:string=2",
                "MonitoringConfig": "prometheus_config:PrometheusConfig=1",
                "SSLConfig": (
                    "server_key:string=1 server_cert:string=2 custom_ca:string=3 "
                    "client_verify:bool=4"
                ),
            },
        )
    ]
)


def _class(name: str) -> type[Any]:
    found: type[Any] = message_factory.GetMessageClass(
        _POOL.FindMessageTypeByName(f"tensorflow.serving.{name}")
    )
    return found


BatchingParameters = _class("BatchingParameters")
MonitoringConfig = _class("MonitoringConfig")
SSLConfig = _class("SSLConfig")
MessageT = TypeVar("MessageT", bound=Message)


def read(path: str, message: MessageT, flag: str) -> MessageT:
    """Parses a text proto into `message` and returns it.

    Raises:
      ValueError: naming `flag`, where there is no such file or it is not such a message.
    """
    try:
        text_format.Parse(filesystem.read_text(path), message)
    except OSError as error:
        raise ValueError(f"--{flag}: cannot read {path}: {error}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            f"--{flag}: {path} is no {message.DESCRIPTOR.name} in text format: {error}"
        ) from None
    return message
