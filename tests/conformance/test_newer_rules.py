"""What the published package of the public suite is too old to ask, over real sockets.

Two requests, and what stands between them: is the second one answered from the store?
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from seawall.policy.rules import Rules
from tests.edge.house import house


@dataclass
class Case:
    """The origin's fields, seconds until the second request, and whether that is a hit."""

    fields: list[str]
    hit: bool
    later: float = 0.0
    status: int = 200
    request: list[tuple[str, str]] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)


DAYS = 86400.0

CDN = {
    "cdn freshness is used": Case(["CDN-Cache-Control: max-age=60"], hit=True, later=50),
    "cdn freshness ends": Case(["CDN-Cache-Control: max-age=60"], hit=False, later=61),
    "cdn lifetime of 2^31 is a long time": Case(["CDN-Cache-Control: max-age=2147483648"], hit=True, later=30 * DAYS),
    "cdn lifetime beyond 2^31 is clamped": Case(["CDN-Cache-Control: max-age=99999999999"], hit=True, later=30 * DAYS),
    "age counts against it": Case(["CDN-Cache-Control: max-age=3600", "Age: 12000"], hit=False),
    "zero is stale": Case(["CDN-Cache-Control: max-age=0", "Cache-Control: max-age=60"], hit=False),
    "unknown members are ignored": Case(["CDN-Cache-Control: max-age=60, foo=bar"], hit=True),
    "it goes before expires": Case(["CDN-Cache-Control: max-age=60", "Expires: 0"], hit=True),
    "it goes before a shorter max-age": Case(
        ["CDN-Cache-Control: max-age=3600", "Cache-Control: max-age=1"], hit=True, later=60
    ),
    "it goes before a longer max-age": Case(
        ["CDN-Cache-Control: max-age=1", "Cache-Control: max-age=3600"], hit=False, later=60
    ),
    "it overrides no-store for us": Case(["CDN-Cache-Control: max-age=60", "Cache-Control: no-store"], hit=True),
    "private in it holds": Case(["CDN-Cache-Control: private", "Cache-Control: max-age=60"], hit=False),
    "no-store in it holds": Case(["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"], hit=False),
    "no-cache in it holds": Case(["CDN-Cache-Control: no-cache", "Cache-Control: max-age=60"], hit=False),
    "a wrong type makes it invalid as a whole": Case(
        ['CDN-Cache-Control: max-age="60"', "Cache-Control: no-store"], hit=False
    ),
    "an invalid field leaves cache-control in force": Case(
        ["CDN-Cache-Control: max-age=,", "Cache-Control: max-age=60"], hit=True
    ),
    "names are case-sensitive in structured fields": Case(
        ["CDN-Cache-Control: MAX-AGE=60", "Cache-Control: no-store"], hit=False
    ),
}

AGE = {
    "only the first member counts": Case(["Cache-Control: max-age=60", "Age: 10, 9000"], hit=True),
    "a huge age is clamped, not an overflow": Case(["Cache-Control: max-age=60", "Age: 99999999999"], hit=False),
    "text is no age": Case(["Cache-Control: max-age=60", "Age: abc"], hit=True),
    "a negative age is none": Case(["Cache-Control: max-age=60", "Age: -7200"], hit=True),
    "our own time is added": Case(["Cache-Control: max-age=60", "Age: 30"], hit=False, later=31),
}

STATUS = {
    "must-understand overrides no-store for a status we know": Case(
        ["Cache-Control: max-age=60, no-store, must-understand"], hit=True
    ),
    "must-understand forbids a status we do not know": Case(
        ["Cache-Control: max-age=60, must-understand"], status=599, hit=False
    ),
    "599 with explicit freshness is stored": Case(["Cache-Control: max-age=60"], status=599, hit=True),
    "499 with explicit freshness is stored": Case(["Cache-Control: max-age=60"], status=499, hit=True),
}

ROUTES = {
    "ttl overrides the origin": Case(["Cache-Control: no-cache"], hit=True, rules=Rules(ttl=60)),
    "default_ttl fills in": Case([], hit=True, rules=Rules(default_ttl=60)),
    "default_ttl does not override": Case(
        ["Cache-Control: max-age=1"], hit=False, later=2, rules=Rules(default_ttl=60)
    ),
    "negative_ttl by status": Case([], status=404, hit=True, rules=Rules(negative_ttl=(("404", 60),))),
    "negative_ttl ends": Case([], status=404, hit=False, later=61, rules=Rules(negative_ttl=(("404", 60),))),
    "negative_ttl by class": Case([], status=503, hit=True, rules=Rules(negative_ttl=(("5xx", 5),))),
    "cache: false passes always": Case(["Cache-Control: max-age=60"], hit=False, rules=Rules(cache=False)),
    "surrogate-control goes before cache-control": Case(
        ["Surrogate-Control: max-age=60", "Cache-Control: no-store"], hit=True
    ),
    "cdn-cache-control goes before surrogate-control": Case(
        ["CDN-Cache-Control: no-store", "Surrogate-Control: max-age=60"], hit=False
    ),
    "a client's no-cache is no lever by default": Case(
        ["Cache-Control: max-age=60"], hit=True, request=[("Cache-Control", "no-cache")]
    ),
    "a route may make it one": Case(
        ["Cache-Control: max-age=60"],
        hit=False,
        request=[("Cache-Control", "no-cache")],
        rules=Rules(request_directives=True),
    ),
}


@pytest.mark.parametrize("case", [pytest.param(c, id=n) for t in (CDN, AGE, STATUS, ROUTES) for n, c in t.items()])
async def test_second_request_is_answered_from_the_store_exactly_where_the_rules_say(case: Case) -> None:
    async with house(case.rules) as edge:
        options = "&".join([f"status={case.status}", *(f"header={quote(line)}" for line in case.fields)])
        path = f"/make/{quote(options, safe='=&%')}/x"
        first = await edge.get(path)
        assert (first.status, first.serial) == (case.status, 1)
        edge.clock.tick(case.later)
        second = await edge.get(path, *case.request)
        assert second.status == case.status
        assert (second.serial == 1) is case.hit, second.headers["cache-status"]


async def test_cdn_cache_control_is_passed_on() -> None:
    async with house() as edge:
        got = await edge.get("/make/header=CDN-Cache-Control:%20max-age=60/x")
        assert got.headers["cdn-cache-control"] == "max-age=60"


async def raw_exchange(port: int, request: bytes) -> bytes:
    """One request on a connection that it ends: every octet that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(5):
        data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


@pytest.mark.parametrize("status", [102, 103])
async def test_interim_response_is_relayed_and_the_final_one_stored(status: int) -> None:
    async with house() as edge:
        path = f"/make/early={status}%20Link:%20%3Ca.css%3E&max-age=60&body=final/x"
        request = f"GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode()
        first = await raw_exchange(edge.server.port, request)
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert first.count(b"HTTP/1.1 ") == 2
        assert first.endswith(b"final")
        second = await raw_exchange(edge.server.port, request)
        assert second.startswith(b"HTTP/1.1 200 ")
        assert b"X-Cache: HIT" in second
        assert second.count(b"HTTP/1.1 ") == 1


async def test_stale_while_revalidate_holds_inside_its_window_only() -> None:
    async with house() as edge:
        path = "/make/cache-control=max-age=10,%20stale-while-revalidate=20&etag/x"
        await edge.get(path)
        edge.clock.tick(15)
        stale = await edge.get(path)
        assert (stale.x_cache, stale.serial) == ("STALE", 1)
        await edge.stub.settled(path, 2)
        edge.clock.tick(31)
        late = await edge.get(path)
        assert late.x_cache == "MISS"


async def test_stale_if_error_holds_for_the_listed_errors_inside_its_window_only() -> None:
    async with house() as edge:
        edge.stub.script("/x", ["cache-control=max-age=10, stale-if-error=20&body=good", "status=503&body=bad"])
        await edge.get("/x")
        edge.clock.tick(15)
        got = await edge.get("/x")
        assert (got.status, got.body, got.x_cache) == (200, b"good", "STALE")
        edge.clock.tick(20)
        got = await edge.get("/x")
        assert (got.status, got.body) == (503, b"bad")
