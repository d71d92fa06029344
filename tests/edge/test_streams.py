"""What a web app needs that is no cache business: bodies and tunnels that pass through, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.edge.house import MIB, House, house


@pytest.fixture
async def edge() -> AsyncIterator[House]:
    async with house() as edge:
        yield edge


async def test_upload_arrives_whole_and_streamed(edge: House) -> None:
    piece, pieces = bytes(range(256)) * 256, 80

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    async with edge.session.post(edge.url + "/echo", data=body()) as response:
        told = json.loads(await response.read())
    assert told["method"] == "POST"
    assert told["length"] == len(piece) * pieces
    assert told["sha256"] == hashlib.sha256(piece * pieces).hexdigest()


async def test_expect_100_continue_is_answered_and_the_body_arrives(edge: House) -> None:
    async with edge.session.put(edge.url + "/echo", data=b"x" * 1000, expect100=True) as response:
        told = json.loads(await response.read())
    assert told["length"] == 1000


async def test_server_sent_events_arrive_one_by_one(edge: House) -> None:
    # Held open by a gate behind the first event: a proxy that buffers would show nothing.
    edge.stub.script(
        "/events", ["type=text/event-stream&framing=chunked&body=data: 1%0A%0Adata: 2%0A%0A&at=9&gate-body=g"]
    )
    async with edge.session.get(edge.url + "/events") as response:
        assert response.headers["content-type"] == "text/event-stream"
        async with asyncio.timeout(5):
            assert await response.content.readany() == b"data: 1\n\n"
        edge.stub.open("g")
        assert await response.content.read() == b"data: 2\n\n"


async def test_websocket_passes_both_ways(edge: House) -> None:
    async with connect(edge.url.replace("http:", "ws:") + "/ws") as socket:
        for message in ("hello", "x" * 100_000):
            await socket.send(message)
            assert await socket.recv() == message


async def test_large_object_is_served_octet_for_octet_from_the_store(edge: House) -> None:
    path = "/make/size=8MiB&max-age=60/big"
    first, second = await edge.get(path), await edge.get(path)
    assert (first.x_cache, second.x_cache) == ("MISS", "HIT")
    assert first.body == second.body == edge.stub.body(path, 8 * MIB)


async def test_ranges_of_a_stored_body(edge: House) -> None:
    path = "/make/size=1000&max-age=60&etag/r"
    whole = (await edge.get(path)).body
    one = await edge.get(path, ("Range", "bytes=10-19"))
    assert (one.status, one.body, one.headers["content-range"]) == (206, whole[10:20], "bytes 10-19/1000")
    several = await edge.get(path, ("Range", "bytes=0-1,-2"))
    assert several.status == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert whole[:2] in several.body
    assert whole[-2:] in several.body
    assert (await edge.get(path, ("Range", "bytes=1000-"))).status == 416
    assert edge.asked(path) == 1


async def test_head_is_answered_from_a_stored_get_with_its_length(edge: House) -> None:
    path = "/make/size=1000&max-age=60/h"
    await edge.get(path)
    got = await edge.get(path, method="HEAD")
    assert (got.status, got.body, got.headers["content-length"], got.x_cache) == (200, b"", "1000", "HIT")


async def test_client_that_has_it_gets_304_from_the_store(edge: House) -> None:
    path = "/make/size=10&max-age=60&etag=v1/c"
    await edge.get(path)
    got = await edge.get(path, ("If-None-Match", '"v1"'))
    assert (got.status, got.body, got.x_cache) == (304, b"", "HIT")


@pytest.mark.parametrize("fault", ["truncate", "truncate-chunked", "reset-body"])
async def test_answer_that_breaks_off_breaks_for_the_client_and_is_not_stored(edge: House, fault: str) -> None:
    path = f"/make/size=1000&max-age=60&fault={fault}&at=100/t"
    for number in (1, 2):
        with pytest.raises(aiohttp.ClientPayloadError):
            await edge.get(path)
        assert edge.asked(path) == number
    assert len(edge.store) == 0
    assert edge.counters.not_stored["incomplete"] == 2
    assert edge.counters.aborted == 2


async def test_truncated_answer_never_replaces_a_good_stale_one(edge: House) -> None:
    edge.stub.script(
        "/s", ["max-age=10&size=100&etag=1", "max-age=10&size=100&etag=2&fault=truncate&at=50", "status=503"]
    )
    good = (await edge.get("/s")).body
    edge.clock.tick(11)
    with pytest.raises(aiohttp.ClientPayloadError):
        await edge.get("/s")
    (kept,) = edge.store.get(edge.url + "/s")
    assert b"".join(kept.body) == good


@pytest.mark.parametrize(("fault", "status", "reason"), [("close", 502, "reset"), ("garbage", 502, "bad-response")])
async def test_origin_that_makes_no_sense_is_a_502_with_its_reason(
    edge: House, fault: str, status: int, reason: str
) -> None:
    got = await edge.get(f"/make/fault={fault}/f")
    assert (got.status, got.x_cache) == (status, "ERROR")
    assert json.loads(got.body)["detail"] == reason
    assert reason in got.headers["cache-status"]
    assert edge.counters.upstream_failures[reason] >= 1
    assert len(edge.store) == 0


async def test_dead_origin_is_a_502_at_once_and_what_is_stored_is_served(edge: House) -> None:
    path = "/make/max-age=10&body=kept/d"
    await edge.get(path)
    await edge.stub.stop()
    assert (await edge.get("/other")).status == 502
    edge.clock.tick(11)
    got = await edge.get(path)
    assert (got.status, got.body, got.x_cache) == (200, b"kept", "STALE")


async def test_upload_that_its_client_breaks_off_never_looks_whole_to_the_origin(edge: House) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"POST /upload HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
    await writer.drain()
    await edge.stub.arrived("/upload", 1)
    writer.close()
    await writer.wait_closed()
    await edge.stub.settled("/upload", 1)
    assert edge.stub.tally("/upload").finished == 0


async def test_pass_whose_client_left_is_taken_back_from_the_origin(edge: House) -> None:
    edge.stub.script("/p", ["gate=g&cache-control=no-store"])
    _, writer = await asyncio.open_connection("127.0.0.1", edge.server.port)
    writer.write(b"POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
    await edge.stub.parked("g")
    writer.transport.abort()
    await edge.stub.settled("/p", 1)
    assert edge.stub.tally("/p").aborted == 1


async def test_unsafe_request_invalidates_what_it_changed(edge: House) -> None:
    edge.stub.script("/list", ["max-age=60&body=old", "max-age=60&body=new"])
    edge.stub.script("/add", ["status=303&header=Location: /list"])
    assert (await edge.get("/list")).body == b"old"
    assert (await edge.get("/list")).x_cache == "HIT"
    assert (await edge.get("/add", method="POST", data=b"item=1")).status == 303
    assert (await edge.get("/list")).body == b"new"


async def test_failed_unsafe_request_invalidates_nothing(edge: House) -> None:
    edge.stub.script("/list", ["max-age=60&body=old"])
    edge.stub.script("/add", ["status=500&header=Location: /list"])
    await edge.get("/list")
    await edge.get("/add", method="POST", data=b"item=1")
    assert (await edge.get("/list")).x_cache == "HIT"


async def test_cache_groups_are_invalidated_together(edge: House) -> None:
    for name in ("a", "b"):
        edge.stub.script(f"/{name}", [f'max-age=60&header=Cache-Groups: "{name}", "all"&body={name}'])
        await edge.get(f"/{name}")
    edge.stub.script("/write", ['status=204&header=Cache-Group-Invalidation: "a"'])
    await edge.get("/write", method="POST", data=b"")
    assert (await edge.get("/a")).x_cache == "MISS"
    assert (await edge.get("/b")).x_cache == "HIT"


async def test_request_that_comes_back_to_us_is_a_loop(edge: House) -> None:
    got = await edge.get("/loop", ("CDN-Loop", "other, edge-1; x=1"))
    assert (got.status, json.loads(got.body)["detail"]) == (508, "loop")
    assert edge.asked("/loop") == 0


async def test_forwarding_headers_of_strangers_are_not_believed(edge: House) -> None:
    told = json.loads(
        (
            await edge.get(
                "/echo",
                ("X-Forwarded-Host", "evil.example"),
                ("X-Forwarded-For", "6.6.6.6"),
                ("Forwarded", "host=evil.example"),
                ("X-Original-URL", "/admin"),
                ("X-Rewrite-URL", "/admin"),
            )
        ).body
    )
    seen = {name.lower(): value for name, value in told["headers"]}
    assert "evil" not in json.dumps(seen)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert "x-original-url" not in seen
    assert "x-rewrite-url" not in seen
    assert seen["cdn-loop"] == "edge-1"
