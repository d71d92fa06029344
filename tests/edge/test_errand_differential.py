"""An errand may say, store, count and log only what the engine would have: everything goes through both, to origins
that answer in octets of the test's, and everything is compared.

That the two could differ at all is seen to by `fetched`: what comes whole in one piece has to be an errand's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.downstream.limits import Limits
from seawall.http.message import RequestHead
from seawall.policy.rules import DEFAULT, KeyRules, Rules, SetCookie
from tests.edge.rawtwins import Answer, End, Question, Script, raw_twins
from tests.edge.test_front_differential import HEADS, ONE_LINE, TWO_LINES
from tests.edge.twins import DATE, MODIFIED, request

OLD = "Fri, 15 Jan 2027 07:00:00 GMT"
LATER = "Fri, 15 Jan 2027 09:00:00 GMT"
SHARED, NOT_SHARED = "Cache-Control: max-age=600", "Cache-Control: no-store"
LARGE = bytes(range(256)) * 1200  # 300 KiB


def answer(
    *lines: str,
    status: str = "200 OK",
    body: bytes = b"hello",
    date: str | None = DATE,
    length: bool = True,
    version: str = "1.1",
) -> bytes:
    """One answer, each line as given."""
    head = [f"HTTP/{version} {status}", *([f"Date: {date}"] if date is not None else []), *lines]
    if length:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def whole(*lines: str, **more: Any) -> Answer:
    return Answer((answer(*lines, **more),))


def framed(*lines: str, body: bytes, end: End = End.KEPT) -> Answer:
    return Answer((answer(*lines, body=body, length=False),), end)


# What comes of each, and how often of three times an errand answers it: whoever is kept is a hit from then on.
ANSWERS: dict[str, tuple[int, Answer]] = {
    "shared": (1, whole(SHARED, "Content-Type: text/html", 'ETag: "v1"')),
    "not-shared": (3, whole(NOT_SHARED)),
    "private": (3, whole("Cache-Control: private, max-age=300")),
    "nothing-said": (3, whole("Content-Type: text/html")),
    "validator-only": (1, whole('ETag: "v1"', "Cache-Control: no-cache")),
    "no-cache": (3, whole("Cache-Control: no-cache")),
    "max-age-0": (1, whole("Cache-Control: max-age=0", 'ETag: "v1"')),
    "max-age-0-bare": (3, whole("Cache-Control: max-age=0")),
    "swr": (1, whole("Cache-Control: max-age=0, stale-while-revalidate=600")),
    "s-maxage": (1, whole("Cache-Control: max-age=0, s-maxage=300, must-revalidate")),
    "public": (1, whole("Cache-Control: public, max-age=300", "Expires: 0")),
    "cc-twice": (3, whole(SHARED, NOT_SHARED)),
    "cc-odd": (1, whole('CACHE-CONTROL:max-age="300", foo=bar,,')),
    "cdn": (1, whole("CDN-Cache-Control: max-age=300", NOT_SHARED)),
    "cdn-no": (3, whole("CDN-Cache-Control: no-store", SHARED)),
    "surrogate": (1, whole('Surrogate-Control: max-age=300, content="ESI/1.0"', NOT_SHARED)),
    "expires": (1, whole(f"Expires: {LATER}")),
    "expired": (3, whole("Expires: Fri, 15 Jan 2027 06:00:00 GMT")),
    "expires-bad": (3, whole("Expires: tomorrow")),
    "modified": (1, whole(f"Last-Modified: {MODIFIED}")),
    "modified-cookie": (3, whole(f"Last-Modified: {MODIFIED}", "Set-Cookie: a=1")),
    "pragma": (1, whole("Pragma: no-cache", SHARED)),
    "must-understand": (1, whole("Cache-Control: must-understand, no-store, max-age=300")),
    "no-date": (0, whole(SHARED, date=None)),
    "no-date-not-shared": (0, whole(NOT_SHARED, date=None)),
    "odd-date": (1, whole(SHARED, date="yesterday")),
    "empty-date": (3, whole(NOT_SHARED, date="")),
    "two-dates": (1, whole(SHARED, f"date: {OLD}")),
    "old-date": (1, whole("Cache-Control: max-age=6000", date=OLD)),
    "too-old-date": (3, whole(SHARED, date=OLD)),
    "young-date": (1, whole(SHARED, date=LATER)),
    "age": (0, whole(SHARED, "Age: 7")),
    "age-not-shared": (0, whole(NOT_SHARED, "Age: 7")),
    "age-over": (0, whole(SHARED, "Age: 700")),
    "via": (0, whole(SHARED, "Via: 1.1 shield", "X-Cache: HIT", "Cache-Status: shield; hit")),
    "x-cache": (0, whole(NOT_SHARED, "x-cache: MISS")),
    "ours": (0, whole(SHARED, "Seawall-Fresh: 9", "Seawall-Order: j 7")),
    "close": (0, whole(SHARED, "Connection: close")),
    "close-not-shared": (0, whole(NOT_SHARED, "Connection: Close")),
    "keep-alive": (1, whole(SHARED, "Connection: keep-alive", "Keep-Alive: timeout=3, max=100")),
    "keep-alive-not-shared": (3, whole(NOT_SHARED, "Connection: Keep-Alive", "Keep-Alive: timeout=2")),
    "keep-alive-twice": (3, whole(NOT_SHARED, "Keep-Alive: timeout=2", "Keep-Alive: timeout=3")),
    "keep-alive-empty": (3, whole(NOT_SHARED, "Keep-Alive:", "Connection: keep-alive", "Keep-Alive: timeout=3")),
    "keep-alive-odd": (3, whole(NOT_SHARED, "Keep-Alive: max=3; timeout=4")),
    "option": (0, whole(SHARED, "Connection: keep-alive, X-Secret", "X-Secret: 1")),
    "option-empty": (0, whole(SHARED, "Connection:")),
    "option-length": (0, whole(SHARED, "Connection: Content-Length")),
    "proxy-connection": (0, whole(SHARED, "Proxy-Connection: keep-alive")),
    "upgrade": (0, whole(SHARED, "Upgrade: h2c")),
    "trailer": (0, whole(SHARED, "Trailer: X")),
    "te": (0, whole(NOT_SHARED, "TE: trailers")),
    "204": (0, whole(SHARED, status="204 No Content", body=b"", length=False)),
    "204-length": (0, whole(SHARED, status="204 No Content", body=b"")),
    "205": (1, whole(SHARED, status="205 Reset Content", body=b"")),
    "304": (0, whole(SHARED, status="304 Not Modified", body=b"", length=False)),
    "206": (0, whole(SHARED, "Content-Range: bytes 0-4/10", status="206 Partial Content")),
    "301": (1, whole(SHARED, "Location: /elsewhere", status="301 Moved Permanently")),
    "302": (3, whole("Location: /elsewhere", status="302 Found")),
    "400": (3, whole(status="400 Bad Request")),
    "400-shared": (1, whole(SHARED, status="400 Bad Request")),
    "404": (3, whole(status="404 Not Found")),
    "404-shared": (1, whole(SHARED, status="404 Not Found")),
    "416": (3, whole(SHARED, status="416 Range Not Satisfiable")),
    "429": (3, whole(SHARED, "Retry-After: 9", status="429 Too Many Requests")),
    "500": (3, whole(status="500 Internal Server Error")),
    "500-shared": (1, whole(SHARED, status="500 Internal Server Error")),
    "502": (3, whole(status="502 Bad Gateway")),
    "503": (3, whole(NOT_SHARED, status="503 Service Unavailable")),
    "299": (1, whole(SHARED, status="299 What")),
    "599": (1, whole(SHARED, status="599 What")),
    "cookie": (3, whole(SHARED, "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2")),
    "cookie-public": (1, whole("Cache-Control: public, max-age=300", "Set-Cookie: a=1")),
    "cookie-private": (1, whole('Cache-Control: max-age=300, private="set-cookie"', "Set-Cookie: a=1")),
    "vary": (1, whole(SHARED, "Vary: Accept-Encoding", "Content-Encoding: gzip")),
    "vary-all": (3, whole(SHARED, "Vary: *")),
    "vary-ours": (3, whole(SHARED, "Vary: X-Forwarded-For")),
    "vary-odd": (1, whole(SHARED, "vary: accept-encoding,, Cookie", "VARY: user-agent")),
    "tags": (1, whole(SHARED, "Surrogate-Key: one two", "Cache-Tag: three, four", 'Cache-Groups: "g"')),
    "tags-not-shared": (3, whole(NOT_SHARED, "surrogate-key: one two", "CACHE-TAG: three", 'cache-groups: "g"')),
    "tags-odd": (1, whole(SHARED, "Surrogate-Key: \xe9 one", "Cache-Tag: ,,", "cache-groups: bad")),
    "tags-many": (3, whole(SHARED, "Surrogate-Key: " + " ".join(f"tag-{number}" for number in range(3000)))),
    "search": (1, whole(SHARED, "No-Vary-Search: params")),
    "search-not-shared": (3, whole(NOT_SHARED, "No-Vary-Search: params")),
    "empty": (1, whole(SHARED, body=b"")),
    "empty-not-shared": (3, whole(NOT_SHARED, body=b"")),
    "joined": (1, whole(SHARED, body=b"0123456789" * 409)),
    "beside": (1, whole(SHARED, body=b"0123456789" * 5000)),
    "beside-not-shared": (3, whole(NOT_SHARED, body=b"0123456789" * 5000)),
    "large": (0, whole(SHARED, body=LARGE)),
    "large-not-shared": (0, whole(NOT_SHARED, body=LARGE)),
    "octets": (0, Answer(tuple(bytes([octet]) for octet in answer(SHARED)))),
    "octets-not-shared": (0, Answer(tuple(bytes([octet]) for octet in answer(NOT_SHARED)))),
    "two-pieces": (0, Answer((answer(SHARED)[:-3], answer(SHARED)[-3:]))),
    "head-first": (0, Answer((answer(SHARED)[:-5], answer(SHARED)[-5:]))),
    "truncated": (0, Answer((answer(SHARED)[:-2],), End.FIN)),
    "truncated-not-shared": (0, Answer((answer(NOT_SHARED)[:-2],), End.FIN)),
    "truncated-head": (0, Answer((answer(SHARED)[:-9],), End.FIN)),
    "head-only": (0, Answer((answer(SHARED)[:-5],), End.RESET)),
    "behind": (0, Answer((answer(SHARED) + b"HTTP/1.1 200 OK\r\n",))),
    "behind-not-shared": (0, Answer((answer(NOT_SHARED) + b"x",))),
    "twice": (0, Answer((answer(SHARED) * 2,))),
    "behind-later": (1, Answer((answer(SHARED), b"\r\n"))),
    "behind-later-not-shared": (3, Answer((answer(NOT_SHARED), answer(NOT_SHARED)))),
    "then-fin": (1, Answer((answer(SHARED),), End.FIN)),
    "then-fin-not-shared": (3, Answer((answer(NOT_SHARED),), End.FIN)),
    "then-reset": (3, Answer((answer(NOT_SHARED),), End.RESET)),
    "chunked": (0, framed(SHARED, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")),
    "chunked-not-shared": (0, framed(NOT_SHARED, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")),
    "chunked-bad": (0, framed(NOT_SHARED, "Transfer-Encoding: chunked", body=b"5\r\nhello0\r\n\r\n")),
    "te-and-length": (0, whole(SHARED, "Transfer-Encoding: chunked")),
    "until-close": (0, framed(SHARED, body=b"hello", end=End.FIN)),
    "until-close-not-shared": (0, framed(NOT_SHARED, "Connection: close", body=b"hello", end=End.FIN)),
    "two-lengths": (0, whole(SHARED, "Content-Length: 5")),
    "two-lengths-unlike": (0, whole(SHARED, "content-length: 6")),
    **{
        f"length-{place}": (0, framed(SHARED, f"Content-Length: {value}", body=b"hello", end=End.FIN))
        for place, value in enumerate(["+5", "05", "5, 5", "-5", "0x5", "5 5", "", "\xb2", "9" * 19, "5\t;", "five"])
    },
    "length-spaces": (1, framed(SHARED, "CONTENT-LENGTH: \t 5 \t", body=b"hello")),
    **{
        f"line-{place}": (0, Answer((answer(NOT_SHARED, "Fill: x").replace(b"Fill: x", line),)))
        for place, line in enumerate(
            [
                b"no colon", b": no name", b"X : a", b"X\t: a", b" folded", b"\tfolded", b"X: a\r\n folded",
    b"X: a\x00b", b"X: a\x07b", b"X: a\rb", b"X: a\nY: b", b"X\n: a", b"B@d: a", b"x-\xe9: a", b"X: a\x7fb", b"\nX: a",
                b"Content Length: 5", b"Content-Length : 5", b"Transfer-Encoding : chunked",
            ]
        )
    },
    "bare-lf": (0, Answer((answer(NOT_SHARED).replace(b"\r\n", b"\n"),), End.FIN)),
    "bare-lf-end": (0, Answer((answer(NOT_SHARED).replace(b"\r\n\r\n", b"\n\n"),), End.FIN)),
    "100": (0, Answer((b"HTTP/1.1 100 Continue\r\n\r\n" + answer(SHARED),))),
    "103": (0, Answer((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(SHARED),))),
    "103-before": (0, Answer((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer(NOT_SHARED)))),
    "103-thrice": (0, Answer((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3, answer(SHARED)))),
    "103-length": (0, Answer((b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + answer(SHARED),))),
    "101": (0, whole(SHARED, "Upgrade: x", status="101 Switching Protocols")),
    "no-reason": (1, whole(SHARED, status="200")),
    "no-reason-space": (1, whole(SHARED, status="200 ")),
    "no-reason-not-shared": (3, whole(NOT_SHARED, status="200")),
    "long-reason": (3, whole(NOT_SHARED, status="200 " + "x" * 600)),
    "odd-reason": (0, whole(SHARED, status="200 Tr\xe8s bien")),
    "odd-reason-not-shared": (3, whole(NOT_SHARED, status="200 Tr\xe8s\tbien ")),
    "percent": (3, whole(NOT_SHARED, "X: 100%d %s %", status="200 100% %d")),
    "percent-shared": (1, whole(SHARED, "X: 100%d %s %", status="200 100% %d")),
    **{
        f"status-{place}": (0, Answer((answer(NOT_SHARED).replace(b"HTTP/1.1 200 OK", line, 1),), End.FIN))
        for place, line in enumerate(
            [
                b"HTTP/1.0 200 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 999 OK", b"HTTP/1.1 600 OK", b"HTTP/1.1 20 OK",
                b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.2 200 OK", b"HTTP/2 200 OK",
                b"http/1.1 200 OK", b"HTTP/1.1 200\tOK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK", b"ICY 200 OK",
                b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK", b"", b"\r\n", b"HTTP/1.1 \xb200 OK",
            ]
        )
    },
    "http-1.0-shared": (0, whole(SHARED, version="1.0")),
    "http-1.0-keep-alive": (0, whole(SHARED, "Connection: keep-alive", version="1.0")),
    "lower-case": (1, whole(SHARED.lower(), "content-type:text/html", 'etag:"x"')),
    "white": (1, whole("Cache-Control: \t max-age=600\t ", "X:\t  a  b \t", "Y:", "Z:   ")),
    "obs-text": (3, whole(NOT_SHARED, "X: caf\xe9 \x80\xff")),
    "obs-text-shared": (1, whole(SHARED, "X: caf\xe9 \x80\xff")),
    "long-line": (1, whole(SHARED, "X: " + "y" * 5000)),
    "longest-line": (3, whole(NOT_SHARED, *("X: " + "y" * 505,) * 2, "X: " + "y" * 509, "X: " + "y" * 510)),
    "long-head": (0, whole(NOT_SHARED, *["X: " + "y" * 8000] * 9)),
    "nearly-long-head": (1, whole(SHARED, *["X: " + "y" * 8000] * 8)),
    "300-fields": (0, whole(NOT_SHARED, *["X: y"] * 300)),
    "256-fields": (3, whole(NOT_SHARED, *["X: y"] * 253)),
    "257-fields": (0, whole(NOT_SHARED, *["X: y"] * 254)),
    "twice-named": (1, whole(SHARED, "X-A: 1", "Link: </b>", "x-a: 2", "LINK: </c>")),
    "reset": (0, Answer((), End.RESET)),
    "fin": (0, Answer((), End.FIN)),
    "junk": (0, Answer((b"\x15\x03\x01\x00\x02\x02\x50",), End.FIN)),
    "empty-lines": (0, Answer((b"\r\n\r\n",), End.FIN)),
}  # fmt: skip


def by_path(question: Question) -> Answer:
    """The first segment names the answer; others get one that may not be shared."""
    name = question.target.strip("/").partition("/")[0].partition("?")[0]
    return ANSWERS[name if name in ANSWERS else "not-shared"][1]


def run(loop: str, story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(story)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("name", ANSWERS)
def test_every_kind_of_answer_time_and_again(name: str, loop: str) -> None:
    async def story() -> None:
        expected, _ = ANSWERS[name]
        async with raw_twins(by_path) as raw:
            fetched = 0
            for _ in range(3):
                await raw.warm()
                before = raw.fetched
                await raw.same(request(f"/{name}", "User-Agent: x", "Referer: y"))
                raw.check()
                fetched += raw.fetched - before
            assert fetched == expected

    run(loop, story())


# --- requests ---

TARGETS = [
    "/", "//", "//x", "/x//y", "/x/", "/x?", "/x?a=b&c=%", "/x?a=/?&", "/?", "/??", "/a%20b", "/%2e%2e/x", "/../x",
    "/./x", "/x/..", "/%", "/%zz", "/%00", "/%0d%0aX:%20y", "/x;y=1", "/'\"<>", "/{}|\\^`", "/*", "/@", "/:80", "/~",
    "/-_.!~()", "/" + "x" * 8000, "/" + "x" * 9000, "/x?" + "y" * 8000, "/x#y", "/x y", "/x\ty", "/\xe9", "/x\x7f",
    "/x\x00", "/x\ny", "http://a.example/x", "http://a.example", "http://b.example/x", "https://a.example/x", "*",
    "x", "", "?x", "/x HTTP/1.1",
]  # fmt: skip


def always(name: str) -> Script:
    return lambda question: ANSWERS[name][1]


@pytest.mark.parametrize("name", ["shared", "not-shared", "vary", "modified"])
async def test_every_kind_of_request(name: str) -> None:
    async with raw_twins(always(name)) as raw:
        kinds = [(), *((line,) for line in ONE_LINE), *TWO_LINES]
        for place, lines in enumerate(kinds):
            for _ in range(2):
                await raw.same(request(f"/{place}", *lines))
        raw.check()
        assert raw.fetched > len(kinds) / 4


@pytest.mark.parametrize("name", ["shared", "not-shared"])
async def test_every_kind_of_target(name: str) -> None:
    async with raw_twins(always(name)) as raw:
        for target in TARGETS:
            for _ in range(3):
                await raw.same(request(target))
            await raw.same(request(target) + request(target, "X: y"))
        raw.check()
        assert raw.fetched > len(TARGETS) / 2


@pytest.mark.parametrize("name", ["shared", "not-shared"])
async def test_odd_heads(name: str) -> None:
    behind = request("/weak") + request("/plain", "Connection: close")
    async with raw_twins(always(name)) as raw:
        for head in HEADS:
            await raw.same(head + behind)
            await raw.same(head, behind)
            await raw.same(behind[: len(behind) // 2], behind[len(behind) // 2 :] + head)
            for side in raw.both.sides:
                side.store.drop("http://a.example/plain")
                side.store.drop("http://a.example/weak")
        raw.check()
        assert raw.fetched > len(HEADS)


async def test_hosts_blocks_and_methods() -> None:
    async with raw_twins(by_path) as raw:
        for host in ("a.example", "A.example", "b.example:8080", "a.example:80", "[::1]", "a%b", "a_b", "x"):
            for name in ("shared", "not-shared"):
                for method in ("GET", "HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "get"):
                    await raw.same(request(f"/{name}", "Accept: */*", method=method, host=host))
        raw.check()
        assert raw.fetched


async def test_a_pipeline_cut_at_every_octet() -> None:
    pipeline = b"".join(
        [
            request("/shared/1"), request("/not-shared"), request("/close"), request("/not-shared"), request("/vary"),
            b"\r\n", request("/chunked"), request("/not-shared", "Content-Length: 3"), b"abc", request("/not-shared"),
            request("/404"), request("/not-shared", "Connection: close"),
        ]
    )  # fmt: skip
    async with raw_twins(by_path) as raw:
        for cut in range(0, len(pipeline), 5):
            await raw.same(*(piece for piece in (pipeline[:cut], pipeline[cut:]) if piece))
            for side in raw.both.sides:
                side.store.drop("http://a.example/shared/1")
        await raw.same(*(pipeline[at : at + 1] for at in range(len(pipeline))))
        raw.check()
        assert raw.fetched > len(pipeline) / 5


async def test_time_goes_on() -> None:
    """What is kept becomes stale, and what is known as uncacheable is forgotten."""
    async with raw_twins(by_path) as raw:
        for _ in range(30):
            for name in ("shared", "not-shared", "old-date", "swr", "validator-only", "404", "chunked"):
                await raw.same(request(f"/{name}"))
            raw.both.clock.at += 23.7
        raw.check()
        assert raw.fetched > 30


# --- routes ---

SEVERAL = [
    "shared", "not-shared", "private", "nothing-said", "no-cache", "max-age-0", "swr", "cdn", "expires", "modified",
    "age", "close", "204", "301", "404", "404-shared", "500", "503", "cookie", "cookie-public", "cookie-private",
    "vary", "vary-all", "tags", "tags-not-shared", "empty", "chunked", "until-close", "odd-reason",
]  # fmt: skip

# And how often an errand answers, at least: never where it may know too little.
ROUTES: dict[str, tuple[int, Rules | None]] = {
    "none": (0, None),
    "pass": (60, Rules(cache=False)),
    "pass with more": (60, Rules(cache=False, ttl=60.0, tags=("t",))),
    "ttl": (20, Rules(ttl=60.0)),
    "ttl 0": (30, Rules(ttl=0.0)),
    "default ttl": (20, Rules(default_ttl=90.0)),
    "stale": (30, Rules(stale_while_revalidate=60.0, stale_if_error=60.0, stale_if_unreachable=0.0)),
    "negative": (30, Rules(negative_ttl=(("404", 90.0), ("5xx", 90.0)))),
    "cookies stored": (30, Rules(set_cookie=SetCookie.STORE)),
    "cookies stripped": (30, Rules(set_cookie=SetCookie.STRIP)),
    "cookies passed": (30, Rules(set_cookie=SetCookie.PASS)),
    "tags": (30, Rules(tags=("t", "u"))),
    "three octets": (30, Rules(max_object_bytes=3)),
    "short heads": (30, Rules(max_head_bytes=90)),
    "no variants": (30, Rules(max_variants=0)),
    "directives": (30, Rules(request_directives=True)),
    "early": (30, Rules(early_refresh=1.0)),
    "no arguments": (30, Rules(key=KeyRules(query_allow=()))),
    "some arguments": (30, Rules(key=KeyRules(query_deny=("utm_*",)))),
    "keyed by a header": (0, Rules(key=KeyRules(headers=("accept",)))),
    "keyed by a cookie": (0, Rules(key=KeyRules(cookies=("a",)))),
    "min_uses": (0, Rules(min_uses=2)),
    "jitter": (0, Rules(ttl_jitter=0.5)),
}


@pytest.mark.parametrize("name", ROUTES)
async def test_every_rule_that_an_answer_depends_on(name: str) -> None:
    least, rules = ROUTES[name]
    async with raw_twins(
        by_path, lambda head: None if head.target != "/warm" and rules is None else rules or DEFAULT
    ) as raw:
        await raw.warm()
        before = raw.fetched
        for asked in SEVERAL:
            for lines in [(), (), ("Cookie: a=1", "Accept: x")]:
                await raw.same(request(f"/{asked}", *lines))
        for target in ("/shared/a?b=1&utm_x=2", "/shared/a?b=1", "/not-shared?a", "/not-shared?", "/search?a=1"):
            await raw.same(request(target), request(target, "Cache-Control: no-cache"))
        raw.check()
        assert raw.fetched - before >= least
        assert least or raw.fetched == before


async def test_routes_are_asked_for_each_target() -> None:
    kinds = {"/a": Rules(cache=False), "/b": Rules(ttl=60.0), "/c": Rules(min_uses=2), "/d": None}

    def route(head: RequestHead) -> Rules | None:
        return kinds.get(head.target[:2], DEFAULT)

    async with raw_twins(always("nothing-said"), route) as raw:
        for _ in range(3):
            for target in ("/a", "/b", "/c", "/d", "/e", "/a2", "/b2"):
                await raw.same(request(target))
        raw.check()
        assert raw.fetched >= 10


# --- where there is no room ---


@pytest.mark.parametrize("most", [{"store_bytes": 700}, {"fill_budget_bytes": 4}, {"limits": Limits(max_requests=2)}])
async def test_without_room(most: dict[str, Any]) -> None:
    async with raw_twins(by_path, **most) as raw:
        for _ in range(3):
            for name in ("shared", "not-shared", "beside", "empty", "vary"):
                await raw.same(request(f"/{name}") * 2)
        raw.check()
        assert bool(raw.fetched) == ("limits" not in most)


# --- what nobody thought of ---

LINES = [
    SHARED, NOT_SHARED, "Cache-Control: private", "Cache-Control: no-cache", f"Date: {DATE}", f"Date: {OLD}", "Age: 3",
    "Connection: keep-alive", "Connection: close", "Connection: X", "Keep-Alive: timeout=3", "X: y", "X:", "x: \xe9",
    "Set-Cookie: a=1", "Vary: Accept", "Vary: *", "Via: 1.0 x", "X-Cache: HIT", "ETag: W/x", 'ETag: "x"',
    "Surrogate-Key: a b", "No-Vary-Search: params", "Transfer-Encoding: chunked", "Upgrade: x", "Content-Length: 5",
    "Content-Length: 0", "Content-Length: 7", f"Expires: {LATER}", f"Last-Modified: {MODIFIED}",
    "Content-Range: bytes 0-4/9", "Content-Type: text/html", "X: " + "z" * 600,
]  # fmt: skip
_STATUSES = ["200 OK"] * 8 + [
    "404 Not Found",
    "204 No Content",
    "304 x",
    "206 x",
    "500",
    "301 x",
    "103 x",
    "100 x",
    "999 x",
]


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    lines = [
        *draw(st.sampled_from([[f"Date: {DATE}", "Content-Length: 5"], []])),
        *draw(st.lists(st.sampled_from(LINES), max_size=5)),
    ]
    version = draw(st.sampled_from(["1.1"] * 9 + ["1.0"]))
    octets = answer(
        *draw(st.permutations(lines)), status=draw(st.sampled_from(_STATUSES)), version=version, date=None, length=False
    )
    octets += draw(st.sampled_from([b"", b"", b"", b"5\r\nhello\r\n0\r\n\r\n", b"x"]))
    if draw(st.integers(0, 3)) == 0:  # damaged: octets put in, taken out or put in place of others
        at, span = draw(st.integers(0, len(octets))), draw(st.integers(0, 4))
        octets = octets[:at] + draw(st.binary(max_size=4)) + octets[at + span :]
    cuts = draw(st.lists(st.integers(1, len(octets) or 1), max_size=2))
    at_each = [0, *sorted(cut for cut in set(cuts) if cut < len(octets)), len(octets)]
    pieces = tuple(octets[first:stop] for first, stop in pairwise(at_each) if first < stop)
    # What does not end by itself does so by the connection's end.
    return Answer(pieces, draw(st.sampled_from([End.FIN, End.FIN, End.RESET])))


@settings(max_examples=80, deadline=None)
@given(st.lists(answers(), min_size=1, max_size=3), st.sampled_from(ONE_LINE[:40]))
def test_whatever_comes_back(comes: list[Answer], line: str) -> None:
    async def story() -> None:
        async with raw_twins(lambda question: comes[int(question.target[1:2]) % len(comes)]) as raw:
            for number in range(len(comes)):
                for lines in ((), (), (line,)):
                    await raw.same(request(f"/{number}", *lines))
            raw.check()

    asyncio.run(story())
