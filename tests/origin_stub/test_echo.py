"""Answers that tell back what arrived."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import aiohttp
import websockets

from origin_stub import OriginStub
from tests.origin_stub.raw import get, hear


async def test_echo_tells_the_request_as_it_arrived(stub: OriginStub) -> None:
    body = bytes(range(256)) * 1000
    head = f"PATCH /echo?a=%2f HTTP/1.1\r\nhOST: x\r\nX: 1\r\nx: 2\r\nContent-Length: {len(body)}\r\n"
    told = json.loads((await hear(stub, f"{head}Connection: close\r\n\r\n".encode() + body)).body)
    assert (told["method"], told["target"], told["http"]) == ("PATCH", "/echo?a=%2f", "1.1")
    assert told["headers"][:3] == [["hOST", "x"], ["X", "1"], ["x", "2"]]
    assert (told["length"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


async def test_a_coded_upload_is_counted_as_it_came(stub: OriginStub) -> None:
    # Content-Encoding is not ours to undo: a proxy that decoded it would be found out here.
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stub.url}/upload", data=b"not gzip", headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert (await answer.json())["length"] == 8


async def test_an_upload_of_any_size_is_streamed(stub: OriginStub) -> None:
    digest = hashlib.sha256()
    piece = bytes(64 * 1024)

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            digest.update(piece)
            yield piece

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stub.url}/upload", data=pieces(512)) as answer,
    ):
        told = await answer.json()
    assert told == {"length": 32 << 20, "sha256": digest.hexdigest()}
    assert stub.tally("/upload").body_bytes == 32 << 20


async def test_the_websocket_sends_every_message_back(stub: OriginStub) -> None:
    async with websockets.connect(f"ws://{stub.address}/ws", max_size=None) as socket:
        for message in ("hello", "", "grüße", b"\x00\xff", bytes(300_000)):
            await socket.send(message)
            assert await socket.recv() == message
    assert stub.tally("/ws").count == 1


async def test_events_come_one_by_one(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/events?count=3&gate=tick"))
    assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
    assert b"id: 1\n" in await reader.readuntil(b"\n\n")
    for tick in (2, 3):
        await stub.parked("tick")
        stub.open("tick", passes=1)
        assert b"id: %d\n" % tick in await reader.readuntil(b"\n\n")
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()


async def test_events_with_a_bad_number_are_refused(stub: OriginStub) -> None:
    assert (await hear(stub, get("/events?count=many"))).status == 400
