"""Features of users and items in a Redis server, joined to requests of `rank`.

Needs redis (the extra `redis`), grpcio, protobuf and NumPy; neither TensorFlow nor a data set.

    store = FeatureStore("redis://localhost:6379", "mgoe")
    with Client("localhost:8500", "mgoe") as client:
        inputs = store.rank_inputs(users, items, client.inputs("rank"))
        outputs = client.predict(inputs, "rank")

The keys of a store, all of which begin with its name:

    <name>:current             the version that is read; set last, when a version is whole
    <name>:<version>:features  JSON: what the values hold, and of what they were made
    <name>:<version>:user      a hash: from an id, as text, to what is known of the user, as bytes
    <name>:<version>:item      the same of items; node_values.py says what is in the bytes
    <name>:versions            a set: versions that may have keys, also of loads that were killed
    <name>:loading             who is loading; it expires soon after the loader was last heard of

Axes: B users, N candidates of each.
"""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.client.client import Client, Input
from export.client.context import filled_context
from export.client.node_values import decode
from input_pipeline.feature import NODES, Feature

ENCODING = 1
_RETRIES = 5  # a version that is read is replaced by a newer one at most this often in a request


class StoreError(OSError):
    """The server of a store does not answer, or its store cannot be read."""


class StoreKeys:
    """The keys of a store; see the module."""

    def __init__(self, name: str) -> None:
        if not name or ":" in name:
            raise ValueError(f"store_name: must be a name without a colon, got {name!r}")
        self.current = f"{name}:current"
        self.versions = f"{name}:versions"
        self.loading = f"{name}:loading"
        self._name = name

    def features(self, version: str) -> str:
        """The key of what a version holds."""
        return f"{self._name}:{version}:features"

    def nodes(self, version: str, owner: str) -> str:
        """The key of what a version knows of users, or of items."""
        return f"{self._name}:{version}:{owner}"

    def of_version(self, version: str) -> tuple[str, ...]:
        """All keys of a version."""
        return (self.features(version), *(self.nodes(version, owner) for owner in NODES))


def connect(url: str, timeout_seconds: float) -> Any:
    """A client of a Redis server; it connects when it is first asked.

    Raises:
      ImportError: the package is missing.
      ValueError: it is no URL of Redis.
    """
    try:
        import redis
    except ImportError as error:
        raise ImportError(
            "redis_url: needs the package redis, which the extra of that name brings: "
            "pip install 'mgoe_tf[redis]'"
        ) from error
    try:
        return redis.Redis.from_url(
            url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds
        )
    except ValueError as error:
        raise ValueError(f"redis_url: {error}") from None


@contextlib.contextmanager
def told_of(url: str) -> Iterator[None]:
    """Raises StoreError, which names the server, for what the package `redis` raises."""
    import redis

    try:
        yield
    except redis.RedisError as error:
        parts = urllib.parse.urlsplit(url)
        address = parts.hostname or parts.path
        if parts.port:
            address = f"{address}:{parts.port}"
        raise StoreError(f"redis_url: the server at {address}: {error}") from error


def node_key(one: Any) -> bytes:
    """The field of a raw id: an integer as its decimal."""
    return one if isinstance(one, bytes) else b"%d" % one


class _Version(NamedTuple):
    """What is stored under one version.

    Attributes:
      name: of the version.
      features: of each owner, in the order of its values.
      context: of the request itself, which the store does not hold.
    """

    name: str
    features: Mapping[str, tuple[Feature, ...]]
    context: tuple[str, ...]


class FeatureStore:
    """Reads a store that `python -m export.features --format=redis` filled.

    A request is one round trip. Should a newer version have taken the place of the one that was
    read, it is read again: all nodes of a request are of one version.

    Args:
      url: of the server: redis://host:port, rediss:// over TLS.
      name: of the store.
      timeout_seconds: for the server's answers.
    """

    def __init__(self, url: str, name: str, timeout_seconds: float = 1.0) -> None:
        self._url = url
        self._keys = StoreKeys(name)
        self._server = connect(url, timeout_seconds)
        self._version: _Version | None = None

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()

    def rank_inputs(
        self,
        user_id: NDArray[Any],
        item_id: NDArray[Any],
        wanted: Mapping[str, Input],
        context: Mapping[str, NDArray[Any]] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The inputs of signature `rank`. Nodes that the store does not have are cold.

        Args:
          user_id: raw ids, [B]: int64, or object of bytes.
          item_id: [B, N].
          wanted: the signature's inputs, from `Client.inputs("rank")`.
          context: the request's own features, [B, ...]; what it leaves out is missing.

        Raises:
          StoreError: the server does not answer; there is no store, or it has lost its nodes.
          ValueError: the model reads what the store does not have, or has of another width.
        """
        ids = {"user": user_id, "item": item_id.ravel()}
        for _ in range(_RETRIES):
            version = self._version or self._read_version()
            if version is None:
                continue
            read = _owners_read(version, wanted)
            values = self._read(version, {owner: ids[owner] for owner in read})
            if values is not None:
                break
            self._version = None
        else:
            raise StoreError(
                f"{self._keys.current}: what it names was gone {_RETRIES} times in one request"
            )
        inputs = {"user_id": user_id, "item_id": item_id}
        for owner in read:
            try:
                found = decode(version.features[owner], values[owner])
            except ValueError as error:
                raise StoreError(f"{self._keys.nodes(version.name, owner)}: {error}") from None
            inputs |= {name: found[name] for name in found if name in wanted}
        shape = item_id.shape
        for feature in version.features["item"]:
            if feature.name in inputs:
                inputs[feature.name] = inputs[feature.name].reshape(*shape, *feature.shape)
        own = {name: spec for name, spec in wanted.items() if name in version.context}
        filled = filled_context(context or {}, own)
        for name, value in filled.items():
            inputs[name] = value if name in (context or {}) else np.repeat(value, len(user_id), 0)
        return inputs

    def _read_version(self) -> _Version | None:
        """The version that is to be read; None where it is gone by now."""
        with told_of(self._url):
            current = self._server.get(self._keys.current)
            told = current and self._server.get(self._keys.features(current.decode()))
        if current is None:
            raise StoreError(
                f"{self._keys.current}: there is no store of this name; `python -m export.features "
                "--format=redis` fills one"
            )
        if told is None:
            return None
        contents = json.loads(told)
        if contents["encoding"] != ENCODING:
            raise StoreError(
                f"{self._keys.features(current.decode())}: encoding must be {ENCODING}, got "
                f"{contents['encoding']}: the store is of another version of this package"
            )
        self._version = _Version(
            current.decode(),
            {o: tuple(map(Feature.from_json, contents[o])) for o in NODES},
            tuple(contents["context"]),
        )
        return self._version

    def _read(
        self, version: _Version, ids: Mapping[str, NDArray[Any]]
    ) -> dict[str, list[bytes | None]] | None:
        """The values of nodes by owner; None where the version is current no more."""
        pipeline = self._server.pipeline(transaction=False)
        for owner, of_owner in ids.items():
            fields = [node_key(one) for one in of_owner.tolist()]
            pipeline.hmget(self._keys.nodes(version.name, owner), fields)
        pipeline.exists(*(self._keys.nodes(version.name, owner) for owner in NODES))
        # Last: a version's nodes are removed after it has been replaced, and not before.
        pipeline.get(self._keys.current)
        with told_of(self._url):
            *values, there, current = pipeline.execute()
        if current is None or current.decode() != version.name:
            return None
        if there != len(NODES):
            raise StoreError(
                f"{self._keys.current}: version {version.name} has lost its nodes: the server "
                "removes keys that do not expire (maxmemory-policy), or somebody did"
            )
        return dict(zip(ids, values, strict=True))


def _owners_read(version: _Version, wanted: Mapping[str, Input]) -> tuple[str, ...]:
    """The owners of whom a model reads more than ids; ValueError where the store is not for it."""
    shapes = {"user_id": (-1,), "item_id": (-1, -1)}
    for owner, leading in zip(NODES, shapes.copy().values(), strict=True):
        shapes |= {f.name: (*leading, *f.shape) for f in version.features[owner]}
    for name, spec in wanted.items():
        if name in version.context:
            continue
        if name not in shapes:
            raise ValueError(f"store: the model reads {name}, which the store does not have")
        if spec.shape != shapes[name]:
            raise ValueError(
                f"store: the model reads {name} with shape {list(spec.shape)}, the store has "
                f"{list(shapes[name])}: of a data set prepared otherwise than the model's"
            )
    return tuple(owner for owner in NODES if any(f.name in wanted for f in version.features[owner]))


class ByStore:
    """Asks `rank` with features from a store: an `Ask` of `ranking.rank`.

    Args:
      store: that has them.
      wanted: the signature's inputs.
      context: features of the request itself, [1, ...]; what it leaves out is missing.
    """

    def __init__(
        self,
        store: FeatureStore,
        wanted: Mapping[str, Input],
        context: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self._store, self._wanted, self._context = store, wanted, context

    def __call__(
        self, client: Client, user_id: NDArray[Any], item_ids: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        """Answers, [N] each, for a user [1] and candidates [N]."""
        inputs = self._store.rank_inputs(user_id, item_ids[np.newaxis], self._wanted, self._context)
        outputs = client.predict(inputs, "rank")
        return {name: output[0] for name, output in outputs.items()}
