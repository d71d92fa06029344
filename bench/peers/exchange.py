"""Asking over a raw socket: one exchange that is looked at, or very many that only have to be right.

Knows as much HTTP/1.1 as the three systems need to be asked for a stored response: a head, and a body of the length
that the head says.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_ADDRESS = "127.0.0.1"
# The same whoever asks: it is part of what names a stored response.
HOST = "shop.example"


class Unexpected(Exception):
    """A server answered something else than it must. Says what."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One response as it came."""

    status: int
    head: bytes  # with the empty line
    body: bytes

    @property
    def wire_bytes(self) -> int:
        return len(self.head) + len(self.body)

    def value(self, name: str) -> str | None:
        """The first value of a field."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb": *(.*?)\r?$", self.head)
        return found[1].decode() if found else None


def request(path: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


def ask(port: int, path: str, fields: Iterable[tuple[str, str]] = (), timeout: float = 10.0) -> Heard:
    """One exchange on a connection of its own. OSError where there is nobody, Unexpected where it breaks off."""
    with socket.create_connection((_ADDRESS, port), timeout) as connection:
        connection.sendall(request(path, fields))
        return _receive(connection)


def _receive(connection: socket.socket) -> Heard:
    got = b""
    while (end := got.find(b"\r\n\r\n") + 4) < 4:
        got += _more(connection)
    head = got[:end]
    status, length = read_head(head)
    parts, missing = [got[end:]], length - (len(got) - end)
    while missing > 0:
        parts.append(_more(connection))
        missing -= len(parts[-1])
    return Heard(status, head, b"".join(parts))


def _more(connection: socket.socket) -> bytes:
    got = connection.recv(1 << 20)
    if not got:
        raise Unexpected("the connection closed in the middle of a response")
    return got


def read_head(head: bytes) -> tuple[int, int]:
    """The status, and how long the body is that follows."""
    status = _STATUS.match(head)
    if status is None:
        raise Unexpected(f"not a response: {head[:80]!r}")
    number = int(status[1])
    if number in (204, 304):
        return number, 0
    length = _LENGTH.search(head)
    if length is None:
        raise Unexpected(f"a response without Content-Length: {head[:200]!r}")
    return number, int(length[1])


class _Line:
    """One connection of `fill`: what it still has to receive of the response it waits for."""

    __slots__ = ("buffer", "connection", "missing")

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection((_ADDRESS, port), 10)
        self.connection.setblocking(False)
        self.buffer = b""
        self.missing = -1  # octets of the body; below 0 the head is not whole yet

    def over(self, body_bytes: int) -> bool:
        """Takes in what came. True where that was the last of a response; Unexpected where it is not as it must be."""
        got = self.connection.recv(1 << 18)
        if not got:
            raise Unexpected("the connection closed while it was asked")
        if self.missing < 0:
            self.buffer += got
            end = self.buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
            status, length = read_head(self.buffer[:end])
            if (status, length) != (200, body_bytes):
                raise Unexpected(f"status {status} with {length} octets, not 200 with {body_bytes}")
            self.missing = length - (len(self.buffer) - end)
            self.buffer = b""
        else:
            self.missing -= len(got)
        if self.missing < 0:
            raise Unexpected("more than the response was sent")
        if self.missing == 0:
            self.missing = -1
            return True
        return False


def fill(port: int, paths: Iterable[str], body_bytes: int, connections: int = 32) -> int:
    """Asks for every path once, over some connections at a time; how many that were.

    Unexpected at the first that is not 200 with a body of this length; TimeoutError after ten seconds of silence.
    """
    waiting: Iterator[str] = iter(paths)
    lines: dict[int, _Line] = {}
    poll = select.epoll()
    answered = 0
    try:
        for _ in range(connections):
            path = next(waiting, None)
            if path is None:
                break
            line = _Line(port)
            lines[line.connection.fileno()] = line
            poll.register(line.connection.fileno(), select.EPOLLIN)
            line.connection.send(request(path))
        busy = len(lines)
        while busy:
            ready = poll.poll(10)
            if not ready:
                raise TimeoutError(f"port {port} was silent for 10 s")
            for number, _ in ready:
                line = lines[number]
                if not line.over(body_bytes):
                    continue
                answered += 1
                path = next(waiting, None)
                if path is None:
                    busy -= 1
                else:
                    line.connection.send(request(path))
    finally:
        poll.close()
        for line in lines.values():
            line.connection.close()
    return answered
