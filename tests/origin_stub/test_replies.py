"""What a reply looks like on the wire: framing, conditions, ranges, interim responses, variants, and the site."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from origin_stub import OriginStub
from tests.origin_stub.raw import ask, get, hear


async def test_a_body_is_exactly_the_one_of_its_path_and_version(stub: OriginStub) -> None:
    heard = await ask(stub, "/make/a?size=200KiB")
    assert heard.body == stub.body("/make/a", 200 * 1024)
    stub.bump("/make/a")
    again = await ask(stub, "/make/a?size=200KiB")
    assert again.body == stub.body("/make/a", 200 * 1024, version=2) != heard.body
    assert again.field("Stub-Version") == "2"
    assert again.field("Stub-Serial") == "2"


@pytest.mark.parametrize(
    ("options", "tail", "field"),
    [
        ("body=hello", b"hello", ("Content-Length", "5")),
        ("body=hello&framing=chunked", b"5\r\nhello\r\n0\r\n\r\n", ("Transfer-Encoding", "chunked")),
        ("body=hello&framing=chunked&piece=3", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", ("Transfer-Encoding", "chunked")),
        ("body=hi&framing=chunked&trailer=A:b", b"2\r\nhi\r\n0\r\nA: b\r\n\r\n", ("Trailer", "A")),
        ("body=hello&framing=close", b"hello", ("Connection", "close")),
        ("status=204", b"", ("Content-Length", None)),
        ("status=204&framing=length&body=evil", b"evil", ("Content-Length", "4")),
        ("status=304", b"", ("Content-Length", None)),
        ("size=0", b"", ("Content-Length", "0")),
        ("header=a-B:%20c&header=a-B:d", b"", ("A-b", "c")),
        ("date=off", b"", ("Date", None)),
        ("plain", b"", ("Stub-Serial", None)),
    ],
)
async def test_framing_is_as_asked(stub: OriginStub, options: str, tail: bytes, field: tuple[str, str | None]) -> None:
    heard = await ask(stub, f"/make/a?{options}")
    assert heard.body == tail
    assert heard.field(field[0]) == field[1]


async def test_fields_keep_their_order_and_case(stub: OriginStub) -> None:
    heard = await ask(stub, "/make/a?header=zZ:1&header=Aa:2&header=zZ:3&plain&date=off")
    assert heard.head == (b"HTTP/1.1 200 OK\r\nzZ: 1\r\nAa: 2\r\nzZ: 3\r\nContent-Length: 0\r\nConnection: close\r\n")


async def test_options_may_stand_in_the_path(stub: OriginStub) -> None:
    heard = await ask(stub, "/make/status=203&size=9/deep/er?max-age=5")
    assert (heard.status, heard.field("Cache-Control"), len(heard.body)) == (203, "max-age=5", 9)


async def test_an_option_that_is_unknown_is_400(stub: OriginStub) -> None:
    heard = await ask(stub, "/make/a?sice=1")
    assert heard.status == 400
    assert b"did you mean 'size'" in heard.body


async def test_head_has_the_fields_of_get_and_no_body(stub: OriginStub) -> None:
    full = await ask(stub, "/make/a?size=5000&etag")
    head = await ask(stub, "/make/a?size=5000&etag", method="HEAD")
    assert head.body == b""
    assert head.field("Content-Length") == full.field("Content-Length") == "5000"
    assert head.field("ETag") == full.field("ETag")


async def test_a_connection_serves_one_request_after_another(stub: OriginStub) -> None:
    both = await hear(stub, get("/make/a?body=one", close=False) + get("/make/a?body=two&framing=chunked"))
    assert both.data.count(b"HTTP/1.1 200 OK") == 2
    assert both.body.startswith(b"one")
    assert len({asked.peer for asked in stub.tally("/make/a").last}) == 1


async def test_http_1_0_is_closed_unless_it_asks_to_stay(stub: OriginStub) -> None:
    heard = await hear(stub, b"GET /make/a?body=x HTTP/1.0\r\n\r\n")
    assert (heard.ending, heard.body) == ("fin", b"x")


@pytest.mark.parametrize(
    ("options", "fields", "status"),
    [
        ("etag=x", ['If-None-Match: "x"'], 304),
        ("etag=x", ['If-None-Match: "y", W/"x"'], 304),
        ("etag=x", ["If-None-Match: *"], 304),
        ("etag=x", ['If-None-Match: "y"'], 200),
        ("etag=x&conditional=off", ['If-None-Match: "x"'], 200),
        ("etag=x&status=503", ['If-None-Match: "x"'], 503),
        ("last-modified", ["If-Modified-Since: Thu, 01 Jan 2026 00:01:00 GMT"], 304),
        ("last-modified", ["If-Modified-Since: Thu, 01 Jan 2026 00:00:59 GMT"], 200),
        ("last-modified", ["If-Modified-Since: rubbish"], 200),
        (
            "etag=x&last-modified",
            ['If-None-Match: "y"', "If-Modified-Since: Thu, 01 Jan 2026 00:01:00 GMT"],
            200,
        ),
        ("size=3", ['If-None-Match: "x"'], 200),
    ],
)
async def test_validators_decide_about_304(stub: OriginStub, options: str, fields: list[str], status: int) -> None:
    heard = await ask(stub, f"/make/a?{options}&type=text/css", *fields)
    assert heard.status == status
    if status == 304:
        assert heard.body == b""
        assert heard.field("Content-Type") is heard.field("Content-Length") is None
        assert stub.tally("/make/a").statuses[304] == 1


async def test_validators_change_with_the_version(stub: OriginStub) -> None:
    first = await ask(stub, "/make/a?etag&last-modified")
    stub.bump("/make/a")
    second = await ask(stub, "/make/a?etag&last-modified", f"If-None-Match: {first.field('ETag')}")
    assert second.status == 200
    assert second.field("ETag") != first.field("ETag")
    assert second.field("Last-Modified") == "Thu, 01 Jan 2026 00:02:00 GMT"


@pytest.mark.parametrize(
    ("fields", "status", "content_range", "part"),
    [
        (["Range: bytes=0-0"], 206, "bytes 0-0/1000", slice(0, 1)),
        (["Range: bytes=990-"], 206, "bytes 990-999/1000", slice(990, 1000)),
        (["Range: bytes=-5"], 206, "bytes 995-999/1000", slice(995, 1000)),
        (["Range: bytes=-5000"], 206, "bytes 0-999/1000", slice(0, 1000)),
        (["Range: bytes=5-9999"], 206, "bytes 5-999/1000", slice(5, 1000)),
        (["Range: bytes=1000-"], 416, "bytes */1000", slice(0, 0)),
        (["Range: bytes=-0"], 416, "bytes */1000", slice(0, 0)),
        (["Range: bytes=9-1"], 200, None, slice(0, 1000)),
        (["Range: bytes=0-1,5-6"], 200, None, slice(0, 1000)),
        (["Range: lines=0-1"], 200, None, slice(0, 1000)),
        (["Range: bytes=-"], 200, None, slice(0, 1000)),
        (["Range: bytes=0-1", 'If-Range: "x"'], 206, "bytes 0-1/1000", slice(0, 2)),
        (["Range: bytes=0-1", 'If-Range: "y"'], 200, None, slice(0, 1000)),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_one_range_is_answered_with_that_part(
    stub: OriginStub, fields: list[str], status: int, content_range: str | None, part: slice, framing: str
) -> None:
    heard = await ask(stub, f"/make/a?size=1000&etag=x&framing={framing}", *fields)
    body = stub.body("/make/a", 1000)[part]
    assert (heard.status, heard.field("Content-Range")) == (status, content_range)
    if framing == "chunked":
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    assert heard.body == body


async def test_interim_responses_come_first(stub: OriginStub) -> None:
    heard = await ask(stub, "/make/a?early=103%20Link:%20</a.css>&early=102&body=x")
    assert heard.data.startswith(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n"
    )


async def test_variants_have_bodies_of_their_own(stub: OriginStub) -> None:
    english = await ask(stub, "/make/a?size=99&vary=accept-language", "Accept-Language: en")
    german = await ask(stub, "/make/a?size=99&vary=accept-language", "Accept-Language: de")
    assert english.field("Vary") == "accept-language"
    assert english.body == stub.body("/make/a", 99, variant="accept-language=en")
    assert german.body == stub.body("/make/a", 99, variant="accept-language=de") != english.body


async def test_a_gate_in_the_body_holds_back_the_rest(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/make/a?body=hello+world&gate-body=half&at=5"))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5) == b"hello"
    await stub.parked("half")
    stub.open("half")
    assert await reader.read() == b" world"
    writer.close()


async def test_pieces_arrive_one_by_one(stub: OriginStub) -> None:
    started = asyncio.get_running_loop().time()
    heard = await ask(stub, "/make/a?size=40&piece=10&piece-delay=20ms&framing=chunked")
    assert asyncio.get_running_loop().time() - started >= 0.06
    assert heard.body.count(b"a\r\n") >= 4


@pytest.mark.parametrize(
    ("target", "status", "fields"),
    [
        ("/", 200, {"Content-Type": "text/html; charset=utf-8"}),
        ("/static/app.css", 200, {"Cache-Control": "public, max-age=3600", "Content-Type": "text/css"}),
        ("/static/logo.svg", 200, {"Content-Type": "image/svg+xml"}),
        ("/static/some.bin", 200, {"Content-Length": "16384"}),
        ("/static/no.such", 404, {}),
        ("/time", 200, {"Cache-Control": "public, max-age=2, stale-while-revalidate=10"}),
        ("/private", 200, {"Cache-Control": "private, max-age=60"}),
        ("/no-store", 200, {"Cache-Control": "no-store"}),
        ("/vary", 200, {"Vary": "Accept-Language", "Content-Language": "en"}),
        ("/tagged", 200, {"Surrogate-Key": "demo tour"}),
        ("/error", 503, {"Retry-After": "1"}),
        ("/redirect", 301, {"Location": "/static/app.css"}),
        ("/healthz", 200, {}),
        ("/<script>", 404, {}),
        ("http://origin.example/healthz", 200, {}),
    ],
)
async def test_the_site_has_this_page(stub: OriginStub, target: str, status: int, fields: dict[str, str]) -> None:
    heard = await ask(stub, target)
    assert heard.status == status
    assert {name: heard.field(name) for name in fields} == fields
    assert b"<script>" not in heard.body or target == "/"


async def test_static_files_revalidate(stub: OriginStub) -> None:
    first = await ask(stub, "/static/app.css")
    assert (await ask(stub, "/static/app.css", f"If-None-Match: {first.field('ETag')}")).status == 304


async def test_gzip_is_by_accept_encoding(stub: OriginStub) -> None:
    plain, coded = await ask(stub, "/gzip"), await ask(stub, "/gzip", "Accept-Encoding: gzip, br")
    assert plain.field("Vary") == coded.field("Vary") == "Accept-Encoding"
    assert gzip.decompress(coded.body) == plain.body
    assert plain.field("ETag") != coded.field("ETag")


async def test_private_shows_whose_it_is(stub: OriginStub) -> None:
    assert b"sid=alice" in (await ask(stub, "/private", "Cookie: sid=alice")).body
