"""Fills a store of features in a Redis server: `export.client.feature_store` says what it holds.

A load writes its nodes under a version of its own, which nobody reads before it is whole: then one
command makes it the current one, and the nodes of the one before it are removed. A load that was
killed leaves a version that is never read, and that the next load removes.
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from export.client.feature_store import ENCODING, StoreError, StoreKeys, connect, node_key, told_of
from export.client.node_values import NodeColumns, encode
from input_pipeline.feature import NODES, Feature

_TIMEOUT_SECONDS = 60.0  # a server that saves itself may be slow to answer
_LOCK_MILLISECONDS = 120_000
_NODES_A_COMMAND = 512
Chunks = Iterable["tuple[NDArray[Any], NodeColumns]"]


class StoreLoader:
    """Loads new versions of a store, one at a time.

    Args:
      url: of the Redis server.
      name: of the store.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._keys = StoreKeys(name)
        self._server = connect(url, _TIMEOUT_SECONDS)
        self._token = secrets.token_hex(8).encode()

    def load(
        self,
        described: Mapping[str, Any],
        features: Mapping[str, Sequence[Feature]],
        nodes: Mapping[str, Chunks],
    ) -> int:
        """Loads a version, makes it the current one, and removes all others.

        Args:
          described: what a reader has to know, for JSON.
          features: by owner, what the values hold, in this order.
          nodes: by owner, the ids and features of nodes, some at a time.

        Returns:
          How many bytes the ids and values of all nodes have.

        Raises:
          StoreError: the server does not answer; another load is under way, or took over; nodes
            were lost on the way. The store then is as it was.
          ValueError: an id or a list is longer than a value can tell.
        """
        with told_of(self._url):
            self._begin()
            try:
                self._remove_all_but(self._server.get(self._keys.current))
                version = self._new_version()
                told = json.dumps({"encoding": ENCODING, **described})
                self._server.set(self._keys.features(version), told)
                size = 0
                for owner in NODES:
                    for ids, columns in nodes[owner]:
                        size += self._write(version, owner, features[owner], ids, columns)
                    self._require_whole(version, owner, described["nodes"][owner])
                self._publish(version)
                self._remove_all_but(version.encode())
                return size
            finally:
                self._end()

    def _begin(self) -> None:
        taken = self._server.set(self._keys.loading, self._token, nx=True, px=_LOCK_MILLISECONDS)
        if not taken:
            raise StoreError(
                f"{self._keys.loading}: another load is under way, or was killed in the last "
                f"{_LOCK_MILLISECONDS // 1000} s"
            )

    def _end(self) -> None:
        if self._server.get(self._keys.loading) == self._token:
            self._server.delete(self._keys.loading)

    def _new_version(self) -> str:
        """A version that no load has had yet; whoever loads next knows of it."""
        first = int(time.time())
        number = next(
            n for n in itertools.count(first) if self._server.sadd(self._keys.versions, n)
        )
        return str(number)

    def _write(
        self,
        version: str,
        owner: str,
        features: Sequence[Feature],
        ids: NDArray[Any],
        columns: NodeColumns,
    ) -> int:
        fields = [node_key(one) for one in ids.tolist()]
        # without features a node still is one that the store knows
        values = encode(features, columns).tolist() if features else [b""] * len(fields)
        pipeline = self._server.pipeline(transaction=False)
        for start in range(0, len(fields), _NODES_A_COMMAND):
            part = slice(start, start + _NODES_A_COMMAND)
            items = [*itertools.chain.from_iterable(zip(fields[part], values[part], strict=True))]
            pipeline.hset(self._keys.nodes(version, owner), items=items)
        # Again: a load that has taken over meanwhile has removed the version, and must know of it.
        pipeline.sadd(self._keys.versions, version)
        pipeline.pexpire(self._keys.loading, _LOCK_MILLISECONDS)
        pipeline.execute()
        return sum(map(len, fields)) + sum(map(len, values))

    def _require_whole(self, version: str, owner: str, wanted: int) -> None:
        found = self._server.hlen(self._keys.nodes(version, owner))
        if found != wanted:
            raise StoreError(
                f"{self._keys.nodes(version, owner)}: must have {wanted} nodes, got {found}: the "
                "server has removed some meanwhile"
            )

    def _publish(self, version: str) -> None:
        """Makes a version the current one, unless another load has taken over."""
        import redis

        with self._server.pipeline() as pipeline:
            try:
                pipeline.watch(self._keys.loading)
                if pipeline.get(self._keys.loading) != self._token:
                    raise redis.WatchError
                pipeline.multi()
                pipeline.set(self._keys.current, version)
                pipeline.execute()
            except redis.WatchError:
                raise StoreError(
                    f"{self._keys.loading}: another load has taken over, since this one was not "
                    f"heard of for {_LOCK_MILLISECONDS // 1000} s"
                ) from None

    def _remove_all_but(self, version: bytes | None) -> None:
        for other in self._server.smembers(self._keys.versions):
            if other != version:
                # its memory is freed in the background
                self._server.unlink(*self._keys.of_version(other.decode()))
                self._server.srem(self._keys.versions, other)
