"""A body from a file of the kernel's to a client, without a copy of ours (sendfile(2)).

Past the transport, which knows no such thing: only while it holds nothing itself, or octets would overtake others. What
the kernel has no room for goes the transport's way, which then says when there is room again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Protocol

# What is read and given to the transport once the kernel's buffer is full: a little more than the transport holds
# without saying that it does (64 KiB), so that it does say so. Slow clients have so much of our memory each.
WAITING_BYTES = 68 * 1024

# More of this reply follows: the head is not to be a packet of its own. 3 us and a wake-up of the client less.
_MORE = getattr(socket, "MSG_MORE", 0)


class FileBody(Protocol):
    """Where a body lies in a file."""

    @property
    def fd(self) -> int: ...

    @property
    def offset(self) -> int:
        """Of its first octet in the file."""
        ...

    @property
    def length(self) -> int: ...

    def read(self, first: int, stop: int) -> bytes:
        """A copy of octets [first, stop)."""
        ...


class FileWay:
    """A client's socket beside its transport, which goes on to own the connection: closed when that has ended.

    A duplicate, because the transport's own cannot be had; so a connection that was ever sent a large body this way has
    two descriptors.
    """

    __slots__ = ("_socket", "_transport")

    def __init__(self, transport: asyncio.Transport, same: socket.socket) -> None:
        self._transport = transport
        self._socket = same

    def send(self, head: bytes, body: FileBody, at: int) -> tuple[bytes, int]:
        """Head, and body from octet `at`, as far as the kernel takes them at once: what is left of the head, and where
        the body is to go on. Raises OSError where the connection is broken."""
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size():
            return head, at
        if head:
            try:
                sent = self._socket.send(head, _MORE)
            except BlockingIOError:
                return head, at
            if sent < len(head):
                return head[sent:], at
        to, fd, offset, length = self._socket.fileno(), body.fd, body.offset, body.length
        try:
            while at < length:
                sent = os.sendfile(to, fd, offset + at, length - at)
                if not sent:
                    raise OSError("a body is cut short")  # the file has less than was said
                at += sent
        except BlockingIOError:
            pass
        return b"", at

    def close(self) -> None:
        self._socket.close()


def file_way(transport: asyncio.Transport) -> FileWay | None:
    """None where there is no such way: over TLS, and where the transport is no socket."""
    if transport.get_extra_info("sslcontext") is not None:
        return None
    wrapped: Any = transport.get_extra_info("socket")
    if wrapped is None:
        return None
    same = wrapped.dup()
    same.setblocking(False)
    return FileWay(transport, same)
