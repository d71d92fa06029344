"""Our end of a tunnel to an origin after 101: octets both ways, until both directions have ended.

Knows nothing of what runs through it.
"""

from __future__ import annotations

from typing import Protocol

from seawall.http.body import BodyBroken
from seawall.upstream.arriving import ArrivingBody


class Wire(Protocol):
    """What a tunnel needs of its connection."""

    def write(self, data: bytes) -> None: ...
    async def room(self) -> bool: ...
    def write_eof(self) -> None: ...
    def hang_up(self) -> None: ...


class Tunnel:
    """A Duplex over one connection. Owned by who relays it; it must be closed."""

    __slots__ = ("_inward", "_inward_ended", "_outward_ended", "_wire")

    def __init__(self, wire: Wire, inward: ArrivingBody) -> None:
        self._wire = wire
        self._inward = inward
        self._inward_ended = False
        self._outward_ended = False

    async def read(self) -> bytes:
        data = await self._inward.read()
        if not data:
            self._inward_ended = True
            if self._outward_ended:
                self.close()
        return data

    async def write(self, data: bytes) -> None:
        if self._outward_ended:
            raise BodyBroken("this direction of the tunnel was ended")
        self._wire.write(data)
        if not await self._wire.room():
            raise BodyBroken("the other side of the tunnel is gone")

    def write_eof(self) -> None:
        if self._outward_ended:
            return
        self._outward_ended = True
        self._wire.write_eof()
        if self._inward_ended:
            self.close()

    def close(self) -> None:
        self._outward_ended = True
        self._wire.hang_up()
        self._inward.close()
