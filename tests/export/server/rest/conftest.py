"""A REST port of the small model."""

import pytest

from tests.export.server.small_model import free_port, save_version, serving


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("rest") / "small"
    save_version(path, 7, add=0.1)
    port = free_port()
    with serving(path, rest_api_port=port):
        yield f"http://127.0.0.1:{port}/v1/models/small"
