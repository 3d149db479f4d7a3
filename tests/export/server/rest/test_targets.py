"""What a request line asks for."""

import pytest

from export.server.rest import targets


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/v1/models/m:predict", ("/v1/models/m:predict",) * 2),
        ("/a?b=c?d#e", ("/a", "/a?b=c?d#e")),
        ("/a%2fb", ("/a%2fb", "/a%2fb")),
        ("http://host:80/v1/x", ("/v1/x", "/v1/x")),
        ("//v1/models/m", ("/models/m", "/models/m")),  # v1 is the host
        ("http://host", ("/", "/")),
    ],
)
def test_targets(target, parts):
    assert targets.split(target) == parts


@pytest.mark.parametrize("target", ["/%", "/%4g", '/"', "/a b", "/\xe9", "/a#b#c", "/[1]"])
def test_what_is_no_target(target):
    assert targets.split(target) is None
