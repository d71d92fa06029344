"""Breaking a connection on purpose, below what an HTTP server would let through: RST, and bytes that are no HTTP."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios

from aiohttp import web

# The first line is no status line, and a NUL and a bare CR are in what follows.
GARBAGE = b"\x16\x03\x01 not HTTP at all\r\n\x00: \r x\r\n\r\n"
UNSOLICITED = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=3600\r\nStub-Unsolicited: 1\r\n\r\nEVIL"


async def flush(request: web.BaseRequest) -> None:
    """Return once the peer's kernel has everything written so far. ConnectionError or cancellation if it leaves."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the peer has left")
    # With a mark of 0 the transport pauses its writer for as long as it holds a byte, which drain() waits for.
    transport.set_write_buffer_limits(high=0)
    await request.writer.drain()
    sock = transport.get_extra_info("socket")
    # RST discards what is still queued on this side. The kernel tells how much that is (SIOCOUTQ, tcp(7)) but not
    # when it changes, and it counts sockets on Linux only.
    while sys.platform == "linux" and not transport.is_closing() and _queued(sock):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def _queued(sock: socket.socket) -> int:
    """Bytes that the peer has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def reset(transport: asyncio.Transport | None) -> None:
    """End the connection with RST. What the kernel has sent before may still be read by the peer."""
    if transport is None or transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    # SO_LINGER on, 0 seconds: close() discards what is unsent and sends RST (tcp(7)).
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
