"""Behind 101: octets both ways until both directions have ended. Nothing of HTTP left (RFC 9110 7.8).

Knows no timer: the connection cuts a tunnel in which nothing moves.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from seawall.downstream.inbox import Inbox
from seawall.downstream.reply import Outlet
from seawall.http.body import Duplex


class Mouth(Outlet, Protocol):
    """The client's end of a tunnel."""

    def write_eof(self) -> None:
        """Ends the direction to the client; the other one goes on."""
        ...


class Splice:
    """Two directions joined. `body_bytes` counts what went to the client."""

    __slots__ = ("_far", "_inbox", "_mouth", "body_bytes")

    def __init__(self, inbox: Inbox, mouth: Mouth, far: Duplex) -> None:
        self._inbox = inbox
        self._mouth = mouth
        self._far = far
        self.body_bytes = 0

    async def run(self) -> None:
        """Returns when both directions have ended cleanly; raises a group of BodyBroken and ClientGone otherwise."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._up())
            both.create_task(self._down())

    async def _up(self) -> None:
        while data := await self._inbox.read():
            await self._far.write(data)
        self._far.write_eof()

    async def _down(self) -> None:
        while data := await self._far.read():
            self._mouth.write((data,))
            self.body_bytes += len(data)
            if self._mouth.full:
                await self._mouth.room()
        self._mouth.write_eof()
