"""What a worker is told by its keeper: which node it is a part of, and what it inherited.

Handed over through a socket that only the two hold: the topology as the keeper has it, not as its file may read by
now, or a worker that is replaced would follow other rules than its siblings.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seawall.admin.tokens import Scope
from seawall.config.passing import decode, encode
from seawall.config.schema import Topology
from seawall.purge.workers import feed_name

LENGTH_BYTES = 8
# What keeper and workers may ask of each other: all that an operator may, and to follow the orders.
TRUSTED = (Scope.NODE, Scope.READ, Scope.PURGE, Scope.WARM)
HOLDER = "(workers)"


@dataclass(frozen=True, slots=True)
class Post:
    """One worker's. Descriptors are inherited under the same numbers."""

    topology: Topology
    node: str
    worker: int  # from 0
    listening: tuple[int, ...]  # bound to the data address, and listened on by the keeper too
    admin: int  # listening too: where the keeper asks
    secret: str  # what the keeper and its workers know each other by
    hub: Path | None  # the keeper's Unix socket, where the keeper numbers the purge orders
    alone: bool  # the keeper holds the node's lock: no process of an earlier keeper serves under another post

    @property
    def feed(self) -> str:
        """The name under which this worker follows the orders; events are logged under it too."""
        return feed_name(self.node, self.worker)

    @property
    def token(self) -> tuple[str, str, Iterable[str]]:
        """For Tokens: the keeper, asking this worker, or the other way round."""
        return HOLDER, self.secret, TRUSTED

    def encode(self) -> bytes:
        """With its length before it."""
        body = encode(self)
        return len(body).to_bytes(LENGTH_BYTES, "big") + body


def take_post(control: socket.socket) -> Post:
    """The worker's own, from its end of the socket. Raises EOFError where the keeper is gone."""
    with control.makefile("rb") as stream:
        length = int.from_bytes(_exactly(stream.read(LENGTH_BYTES), LENGTH_BYTES), "big")
        body = _exactly(stream.read(length), length)
    return decode(Post, body)


def _exactly(octets: bytes, length: int) -> bytes:
    if len(octets) != length:
        raise EOFError("the keeper is gone")
    return octets
