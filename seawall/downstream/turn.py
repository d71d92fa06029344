"""One request under way on a client's connection, and in whose hands its reply is: a task's, or the front's.

Holds what is needed between a head and the end of its reply. Decides nothing and writes nothing but interim responses;
the connection that owns it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from seawall.downstream.body import RequestBody
from seawall.downstream.reply import WRITE_BYTES, interim_block
from seawall.downstream.sendfile import FileBody
from seawall.http.bad import Bad
from seawall.http.message import RequestHead, ResponseHead

if TYPE_CHECKING:
    from seawall.downstream.connection import Connection

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Errand(Protocol):
    """What the front has gone for, so as to answer a turn."""

    @property
    def head(self) -> RequestHead:
        """The turn's request; asked for only where somebody has to see it."""
        ...

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        ...


class Pour:
    """What is left of a reply that lies in memory whole. `done` is told once: octets of the body, and all of them?"""

    __slots__ = ("body_bytes", "done", "file", "head", "length_bytes", "pieces")

    def __init__(
        self,
        head: bytes,
        pieces: Iterator[memoryview],
        length_bytes: int,
        body_bytes: int,
        done: Callable[[int, bool], None],
        file: FileBody | None = None,
    ) -> None:
        self.head = head  # b"" once it is written
        self.pieces = pieces
        self.file = file  # in place of pieces
        self.length_bytes = length_bytes  # of the whole body
        self.body_bytes = body_bytes  # that the transport has taken
        self.done = done


class Turn:
    """One request under way: what it needs between its head and the end of its reply. Owned by its connection."""

    __slots__ = ("_asked", "body", "connection", "errand", "fault", "head_sent", "pour", "stopped", "task")

    def __init__(self, connection: Connection, asked: RequestHead | Errand) -> None:
        self.connection = connection
        self._asked = asked
        self.body: RequestBody | None = None
        self.head_sent = False
        self.fault: Bad | None = None
        """Why it was stopped, where the client is still to be told."""
        self.stopped = False
        self.task: asyncio.Task[None] | None = None
        self.pour: Pour | None = None
        """In place of a task, where the front answers."""
        self.errand: Errand | None = None
        """The same, before it does."""

    @property
    def head(self) -> RequestHead:
        asked = self._asked
        return asked if isinstance(asked, RequestHead) else asked.head

    def ask(self) -> None:
        """The handler wants the body: the client may go on (RFC 9110 10.1.1)."""
        if not self.head_sent:
            self.connection.tell((CONTINUE,))

    def interim(self, head: ResponseHead) -> None:
        """See Request.interim. Raises ValueError where this is no interim response."""
        if not 100 <= head.status < 200 or head.status == 101:
            raise ValueError("no interim status")
        if self.head_sent or self.head.minor == 0:
            return
        if head.status == 100:
            # Ours to send, and once: when the body is first read.
            if self.body is not None and self.body.unasked:
                self.body.asked()
                self.ask()
            return
        self.connection.tell((interim_block(head),))


def in_writes(body: tuple[bytes, ...]) -> Iterator[memoryview]:
    """The body by reference, in pieces of what is written at a time."""
    for piece in body:
        view = memoryview(piece)
        for start in range(0, len(view), WRITE_BYTES):
            yield view[start : start + WRITE_BYTES]
