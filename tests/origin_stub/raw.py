"""A client that hides nothing: bytes out, bytes in, and how the connection ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from origin_stub import OriginStub


@dataclass(frozen=True, slots=True)
class Heard:
    """All bytes of a connection, and whether FIN or RST ended it."""

    data: bytes
    ending: str

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    def field(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


def get(target: str, *fields: str, method: str = "GET", close: bool = True) -> bytes:
    """The bytes of a request without content."""
    lines = [f"{method} {target} HTTP/1.1", "Host: origin.example", *fields]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def hear(stub: OriginStub, request: bytes) -> Heard:
    """Send the bytes on a new connection and listen until it ends."""
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    data = bytearray()
    try:
        writer.write(request)
        while piece := await reader.read(65536):
            data += piece
        return Heard(bytes(data), "fin")
    except ConnectionResetError:
        # What came before the RST; the reader keeps it although read() raises.
        return Heard(bytes(data) + bytes(reader._buffer), "rst")  # type: ignore[attr-defined]
    finally:
        writer.close()


async def ask(stub: OriginStub, target: str, *fields: str, method: str = "GET") -> Heard:
    """One request, answered and closed."""
    return await hear(stub, get(target, *fields, method=method))
