"""What we emit, in the opinion of an independent linter of HTTP messages (httplint)."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest
from httplint import HttpResponseLinter
from httplint.note import levels

from tests.edge.house import house

PLAIN = "/make/max-age=60&etag=v1&last-modified&type=text/plain&size=100/x"


async def exchange(port: int, head: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    async with asyncio.timeout(5):
        data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


def complaints(response: bytes, method: str) -> list[str]:
    """What the linter finds bad in a response, by the names of its notes."""
    head, _, body = response.partition(b"\r\n\r\n")
    top, *lines = head.split(b"\r\n")
    version, status, reason = [*top.split(b" ", 2), b""][:3]
    linter = HttpResponseLinter()
    linter.is_head_response = method == "HEAD"
    linter.process_response_topline(version, status, reason)
    fields = [line.partition(b":") for line in lines]
    linter.process_headers([(name, value.strip()) for name, _, value in fields])
    chunked = any(name.lower() == b"transfer-encoding" for name, _, _ in fields)
    if not chunked:  # the linter wants content, not its framing
        linter.feed_content(body)
    linter.finish_content(True)
    return [type(note).__name__ for note in linter.notes if note.level == levels.BAD]


CASES = {
    "miss": (PLAIN, "GET", []),
    "hit": (PLAIN, "GET", []),
    "head": (PLAIN, "HEAD", []),
    "not modified": (PLAIN, "GET", ['If-None-Match: "v1"']),
    "one range": (PLAIN, "GET", ["Range: bytes=0-9"]),
    "several ranges": (PLAIN, "GET", ["Range: bytes=0-1,-2"]),
    "range beyond the end": (PLAIN, "GET", ["Range: bytes=500-"]),
    "private": ("/make/cache-control=private&type=text/plain&size=10/p", "GET", []),
    "chunked": ("/make/max-age=60&type=text/plain&framing=chunked&size=100/c", "GET", []),
    "not found": ("/make/status=404&type=text/plain&body=no/n", "GET", []),
    "only if cached": ("/nothing", "GET", ["Cache-Control: only-if-cached"]),
    "bad gateway": ("/make/fault=close/f", "GET", []),
    "loop": ("/x", "GET", ["CDN-Loop: edge-1"]),
    "unsafe": ("/make/type=text/plain&body=done/u", "POST", ["Content-Length: 0"]),
    "tagged": (f"/make/max-age=60&type=text/plain&body=t&header={quote('Surrogate-Key: a b')}/t", "GET", []),
}


@pytest.mark.parametrize("name", CASES)
async def test_linter_finds_nothing_bad_in_what_clients_get(name: str) -> None:
    path, method, fields = CASES[name]
    async with house() as edge:
        if name != "miss":
            await edge.get(PLAIN)
        lines = "".join(f"{field}\r\n" for field in fields)
        request = f"{method} {path} HTTP/1.1\r\nHost: {edge.url[7:]}\r\n{lines}Connection: close\r\n\r\n"
        assert complaints(await exchange(edge.server.port, request), method) == []


def test_linter_does_find_what_is_bad() -> None:
    assert complaints(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\nAge: -1\r\n\r\n", "GET") != []
