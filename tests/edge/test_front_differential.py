"""The hot path may say only what the engine would have said: everything goes through both, and every octet is compared.

That the two could differ at all is seen to by `answered`: what a plain hit is has to be the front's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall.policy.entry import Part
from seawall.policy.rules import DEFAULT, KeyRules, Rules
from tests.edge.twins import DATE, MODIFIED, Twins, request, twins

GZIP, PLAIN = (("accept-encoding", "gzip"),), (("accept-encoding", None),)
GERMAN = (("accept-language", "de"),)


def fill(city: Twins) -> None:
    """One of each kind of stored response, at a target that names it."""
    etag, modified = ("ETag", '"v1"'), ("Last-Modified", MODIFIED)
    length, html = ("Content-Length", "10"), ("Content-Type", "text/html")
    keep = city.keep
    # What the front answers.
    keep("/plain", html, length, etag, modified, ("Cache-Control", "max-age=361"))
    keep("/plain?a=1&b=%20", html)
    keep("/weak", html, ("ETag", 'W/"v1"'), length)
    keep("/odd-etag", ("ETag", "v1"))
    keep("/dated", html, modified)
    keep("/undated", html)
    keep("/long", length, html, body=(b"0123456789" * 5000,))
    keep("/joined", body=(b"0123456789" * 1000,))
    keep("/pieces", body=(b"01234", b"56789"))
    keep("/empty", html, body=())
    keep("/empty-piece", html, body=(b"",))
    keep("/404", html, status=404, reason="Not Found")
    keep("/301", ("Location", "http://a.example/plain"), etag, status=301, reason="Moved Permanently")
    keep("/no-reason", status=200, reason="")
    keep("/cookie", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), etag)
    keep("/tags", ("Surrogate-Key", "one two"), etag, ("Cache-Tag", "three"), html, tags=("one", "two", "three"))
    keep("/surrogate", ("Surrogate-Control", "max-age=60"), html)
    keep("/gzip", ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"), etag, varied=GZIP)
    keep(
        "/shield", ("Via", "1.1 shield"), ("Cache-Status", "shield; fwd=miss; stored"), ("X-Cache", "MISS"), etag, html
    )
    keep("/long-way", ("via", "1.0 a, 1.1 b"), html, ("VIA", "1.1 c"), ("Cache-Status", "a; hit"), ("x-cache", "HIT"))
    keep("/obs", ("X-Text", "caf\xe9"), ("x-Empty", ""), ("X-Colon", "a: b: c"))
    keep("/twice", ("X-A", "1"), html, ("x-a", "2"), ("Link", "</b>"), ("X-A", "3"))
    keep("/304-fields", html, ("Content-Language", "de"), ("Digest", "x"), ("Content-MD5", "y"), etag, modified)
    keep("/expires", ("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"))
    keep("/young", html, age=-3.0)
    keep("/ancient", html, age=3e9)
    keep("/last-second", html, left=0.5)
    keep("/nearly-over", html, left=0.3)  # where early refreshes set in, one is set off
    keep("/swr", html, left=10.0, swr=60.0)
    keep("/must-revalidate", must_revalidate=True)
    keep("/two", etag, ("Content-Encoding", "gzip"), varied=GZIP, body=(b"zipped",))
    keep("/two", etag, varied=PLAIN)
    keep("/language", ("Content-Language", "de"), varied=GERMAN)
    # What it leaves alone.
    keep("/large", html, body=(b"x" * 300_000,))
    keep("/large-pieces", html, body=(b"x" * 200_000, b"y" * 200_000))
    keep("/stale", html, left=-1.0)
    keep("/at-the-end", html, left=0.0)
    keep("/stale-swr", html, left=-1.0, swr=60.0)
    keep("/no-cache", html, no_cache=True)
    keep("/invalidated", html, etag, invalidated=True)
    keep("/part", ("Content-Range", "bytes 0-9/20"), etag, part=Part(0, 9, 20, "bytes=0-9"), status=206)
    keep("/204", status=204, reason="No Content", body=())
    keep("/no-date", html, bare=True)
    keep("/with-age", html, ("Age", "7"))
    keep("/hop", html, ("Keep-Alive", "timeout=5"))
    keep("/upgrade", html, ("Upgrade", "h2c"))
    keep("/odd-reason", status=200, reason="Tr\xe8s bien")
    keep("/extended", html, key="http://a.example/extended\nx-a:1")
    keep("/other-host", html, host="b.example")
    keep("/port", html, host="a.example:8080")


ONE_LINE = [
    'If-None-Match: "v1"', 'If-None-Match: W/"v1"', 'If-None-Match: "v2", "v1"', 'If-None-Match: "v2"',
    "If-None-Match: *", "If-None-Match:", "If-None-Match: v1", 'If-None-Match: "v1', 'if-none-match: "V1"',
    f"If-Modified-Since: {MODIFIED}", f"If-Modified-Since: {DATE}",
    "If-Modified-Since: Fri, 15 Jan 2027 05:59:59 GMT", "If-Modified-Since: Friday, 15-Jan-27 07:00:00 GMT",
    "If-Modified-Since: Fri Jan 15 07:00:00 2027", "If-Modified-Since: yesterday", "If-Modified-Since:",
    'If-Match: "v1"', "If-Match: *", 'If-Match: "v2"', f"If-Unmodified-Since: {MODIFIED}",
    "Range: bytes=0-3", "Range: bytes=2-", "Range: bytes=0-1,4-5", "Range: bytes=99-", 'If-Range: "v1"',
    "Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: max-age=100", "Cache-Control: min-fresh=400",
    "Cache-Control: no-store", "Cache-Control: only-if-cached", "Cache-Control: max-stale=60", "Pragma: no-cache",
    "Cache-Control: , ,no-cache=\"x", "Authorization: Basic YTpi", "Cookie: a=1", "X-A: 1",
    "Accept-Encoding: gzip", "Accept-Encoding: GZIP;q=1.0", "Accept-Encoding: gzip, br", "Accept-Encoding: identity",
    "Accept-Encoding:", "Accept-Encoding: gzip;q=x", "Accept-Language: de", "Accept-Language: de-AT, de;q=0.9",
    "Accept-Language: en", "Connection: close", "Connection: keep-alive", "Connection: Keep-Alive",
    "Connection: keep-alive, close", "Connection: keep-alive, x-a", "Connection: Content-Length", "Connection:",
    "Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue", "Expect: x", "TE: trailers", "Trailer: X",
    "Content-Length: 0", "Content-Length: 00", "Content-Length: -1", "Transfer-Encoding: identity",
    "CDN-Loop: edge-1", "CDN-Loop: other", "Via: 1.1 edge-1", "Seawall-Peer: shared", "Seawall-Peer: guessed",
    "Seawall-Order: j 1", "Seawall-Fresh: 9", "X-HTTP-Method-Override: DELETE", "X-Forwarded-Host: evil",
    "Host: a.example", "Host: b.example", "User-Agent: \xe9", "Referer: http://a.example/", "X:", "X:  ", "x-\xe9: a",
    "Bad Name: a", "X : a", ": a", "no colon", " folded", "\tfolded", "X: a\x00b", "X: a\x07b", "X: a\rb", "X: a\nb",
    "X: " + "y" * 5000, "Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Max-Forwards: 0",
]  # fmt: skip

TWO_LINES = [
    ("Connection: Upgrade", "Upgrade: websocket"),
    ('If-None-Match: "v2"', 'If-None-Match: "v1"'),
    ('If-None-Match: "v2"', f"If-Modified-Since: {DATE}"),
    (f"If-Modified-Since: {MODIFIED}", f"If-Modified-Since: {DATE}"),
    ("Range: bytes=0-3", 'If-Range: "v1"'),
    ("Range: bytes=0-3", 'If-Range: "v2"'),
    ("Connection: keep-alive", "Connection: close"),
    ("Accept-Encoding: br", "Accept-Encoding: gzip"),
    ("Cache-Control: no-cache", "Pragma: no-cache"),
    ("Referer: http://x/", "User-Agent: a browser"),
    ("Content-Length: 5", "Content-Length: 5"),
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ("Seawall-Peer: shared", 'If-None-Match: "v1"'),
]

# HAZARDS.md: heads that two readers could read differently. Nothing of them may find its way past the parser.
HEADS = [
    b"GET /plain HTTP/1.1\nHost: a.example\n\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\n\r\n\r\n",
    b"GET  /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain  HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain HTTP/1.1 \r\nHost: a.example\r\n\r\n",
    b"GET\t/plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b" GET /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"\r\nGET /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"\r\n\r\nGET /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"get /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GETT /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain\r\n\r\n",
    b"GET /plain HTTP/1.1\r\n\r\n",
    b"GET /plain HTTP/1.0\r\n\r\n",
    b"GET /plain HTTP/1.0\r\nHost: a.example\r\n\r\n",
    b"GET /plain HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n",
    b"GET /plain HTTP/1.2\r\nHost: a.example\r\n\r\n",
    b"GET /plain HTTP/2.0\r\nHost: a.example\r\n\r\n",
    b"GET /plain http/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: A.example\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example.\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example:\r\n\r\n",
    b"GET /port HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example, b\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: \r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHOST:a.example\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost:\ta.example \t\r\n\r\n",
    b"GET http://a.example/plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET http://a.example/plain HTTP/1.1\r\nHost: b.example\r\n\r\n",
    b"GET https://a.example/plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET ?a HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET .example/plain HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /plain#x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain\x00 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /pl\xe4in HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /%70lain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET //plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /./plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain? HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /extended\nx-a:1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /extended HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n\r\n",
    b"GET /other-host HTTP/1.1\r\nHost: b.example\r\n\r\n",
    b"GET /other-host HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"POST /plain HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /plain HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\nContent-Length: 31\r\n\r\nGET /weak HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"TRACE /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"PURGE /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"QUERY /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"HEADX /plain HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\n" + b"X: y\r\n" * 128 + b"\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\n" + b"X: y\r\n" * 127 + b"\r\n",
    b"GET /plain HTTP/1.1\r\nHost: a.example\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"GET HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b" HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]

# Behind each conversation: on a connection that lives, this is answered; both sides then say goodbye the same way.
BEHIND = request("/weak") + request("/plain", "Connection: close")


def city(rules: Rules = DEFAULT, *, forgetful: bool = False) -> Twins:
    made = twins(lambda head: rules, forgetful=forgetful)
    fill(made)
    return made


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
async def test_every_kind_of_response_to_every_kind_of_request(forgetful: bool) -> None:
    both = city(forgetful=forgetful)
    for target in both.targets:
        for lines in [(), *((line,) for line in ONE_LINE), *TWO_LINES]:
            for method in ("GET", "HEAD"):
                both.restore(target)
                await both.same(request(target, *lines, method=method))
    both.check()
    # Of what is refused, passed on, asked for in part or stale nothing is the front's, and of the rest everything.
    assert both.answered > len(PLAIN_HITS) * len(ONE_LINE)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: repr(head[:60]))
async def test_odd_heads(head: bytes) -> None:
    both = city()
    await both.same(head + BEHIND)
    await both.same(head, BEHIND)
    await both.same(BEHIND[: len(BEHIND) // 2], BEHIND[len(BEHIND) // 2 :] + head)
    both.check()
    assert both.answered


PLAIN_HITS = [
    "/plain", "/plain?a=1&b=%20", "/weak", "/odd-etag", "/dated", "/undated", "/long", "/joined", "/pieces", "/empty",
    "/empty-piece", "/404", "/301", "/no-reason", "/cookie", "/tags", "/surrogate", "/shield", "/long-way", "/obs",
    "/twice", "/304-fields", "/expires", "/young", "/ancient", "/last-second", "/swr", "/must-revalidate", "/large",
    "/large-pieces",
]  # fmt: skip


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
@pytest.mark.parametrize("target", PLAIN_HITS)
async def test_a_plain_hit_is_the_fronts_answer(target: str, forgetful: bool) -> None:
    both = city(forgetful=forgetful)
    for lines in [(), ("Accept-Encoding: gzip", "Cookie: a=1"), ('If-None-Match: "v1"',), ("Cache-Control: no-cache",)]:
        for method in ("GET", "HEAD"):
            before = both.answered
            await both.same(request(target, *lines, method=method))
            assert both.answered == before + 1
    both.check()


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
async def test_a_variant_is_the_fronts_answer_to_those_who_select_it(forgetful: bool) -> None:
    both = city(forgetful=forgetful)
    for target, line, answers in [
        ("/gzip", "Accept-Encoding: gzip", True),
        ("/gzip", "Accept-Encoding: GZIP;q=1", True),
        ("/gzip", "Accept-Encoding: br", False),
        ("/two", "Accept-Encoding: gzip", True),
        ("/two", "X-A: 1", True),
        ("/two", "Accept-Encoding: br", False),
        ("/language", "Accept-Language: de", True),
        ("/language", "Accept-Language: de-AT, de;q=0.9", False),
    ]:
        for _ in range(3):
            before = both.answered
            await both.same(request(target, line))
            assert both.answered == before + answers, (target, line)
    both.check()


LEFT_ALONE = [
    "/stale", "/at-the-end", "/stale-swr", "/no-cache", "/invalidated", "/part", "/204", "/no-date", "/with-age",
    "/hop", "/upgrade", "/odd-reason", "/extended", "/other-host", "/absent",
]  # fmt: skip


@pytest.mark.parametrize("target", LEFT_ALONE)
async def test_what_is_no_plain_hit_is_left_to_the_engine(target: str) -> None:
    both = city()
    for _ in range(3):
        await both.same(request(target))
    both.check()
    assert both.answered == 0


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
async def test_a_pipeline_cut_at_every_octet(forgetful: bool) -> None:
    pipeline = b"".join(
        [
            request("/plain"), request("/weak", 'If-None-Match: "v1"'), request("/absent"), request("/joined"),
            request("/404", method="HEAD"), b"\r\n", request("/plain", "Range: bytes=0-3"), request("/gzip"),
            request("/plain", "Content-Length: 3"), b"abc", request("/plain"), request("/plain", "Connection: close"),
        ]
    )  # fmt: skip
    both = city(forgetful=forgetful)
    await both.same(pipeline)  # from the second time on, what cannot be stored is known not to be
    whole = (await both.same(pipeline)).octets
    for cut in range(1, len(pipeline)):
        assert (await both.same(pipeline[:cut], pipeline[cut:])).octets == whole
    assert (await both.same(*(pipeline[at : at + 1] for at in range(len(pipeline))))).octets == whole
    both.check()
    assert both.answered > 4 * len(pipeline)


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
async def test_time_goes_on_and_each_second_is_told_alike(forgetful: bool) -> None:
    both = twins(forgetful=forgetful)
    both.keep("/fresh", ("Content-Type", "text/html"), age=0.0, left=3.0)
    both.keep("/uneven", age=0.7, left=2.9)
    both.keep("/late", left=1e6)
    for step in range(400):
        both.clock.at += 0.01 if step % 7 else 0.013
        for target in ("/fresh", "/uneven", "/late"):
            await both.same(request(target))
            await both.same(request(target, 'If-None-Match: "x"', method="HEAD"))
    both.check()
    assert 3 * 400 < both.answered < 6 * 400  # until they were stale


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
@pytest.mark.parametrize("nudge", [-1e-6, -3e-7, 0.0, 3e-7, 1e-6])
async def test_the_instants_at_which_a_head_changes(nudge: float, forgetful: bool) -> None:
    both = twins(forgetful=forgetful)
    both.keep("/x", age=0.0, left=5.0)
    start = both.clock.at
    for second in range(1, 7):
        for before in (0.5, 0.0):
            both.clock.at = start + second - before + nudge
            for _ in range(3):
                await both.same(request("/x"))
    both.check()


RULES = {
    "directives": Rules(request_directives=True),
    "pass": Rules(cache=False),
    "keyed by a header": Rules(key=KeyRules(headers=("x-a",))),
    "keyed by a cookie": Rules(key=KeyRules(cookies=("a",))),
    "without arguments": Rules(key=KeyRules(query_allow=())),
    "without some": Rules(key=KeyRules(query_deny=("b",))),
    "early": Rules(early_refresh=1.0),
    "min_uses": Rules(min_uses=2),
}


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
async def test_every_rule_that_a_hit_depends_on(rules: Rules, forgetful: bool) -> None:
    both = city(rules, forgetful=forgetful)
    both.keep("/plain?a=1", ("ETag", '"v1"'))
    for target in (
        "/plain",
        "/plain?a=1",
        "/plain?a=1&b=%20",
        "/extended",
        "/gzip",
        "/stale",
        "/swr",
        "/nearly-over",
        "/last-second",
    ):
        for lines in [(), *((line,) for line in ONE_LINE)]:
            await both.same(request(target, *lines))
    both.check()


async def test_routes_are_asked_for_each_object_and_method() -> None:
    hold, never = Rules(), Rules(cache=False)

    def route(head: object) -> Rules | None:
        method, target = head.method, head.target  # type: ignore[attr-defined]
        if target == "/404":
            return None
        return never if target == "/weak" or (target == "/dated" and method == "HEAD") else hold

    both = twins(route)
    fill(both)
    for target in ("/plain", "/weak", "/dated", "/404"):
        for method in ("GET", "HEAD", "GET"):
            await both.same(request(target, method=method))
    both.check()
    assert both.answered == 3


async def test_what_the_origin_brought_is_stored_and_hit_alike() -> None:
    both = twins()
    for _ in range(3):
        for lines in [(), ("Accept-Encoding: gzip",), ('If-None-Match: "kept"',), ("Accept-Encoding: br, gzip",)]:
            for target in ("/kept", "/kept/a", "/kept/search?a=1&utm=2", "/kept/search?a=1", "/kept/search?a=1&utm=3"):
                await both.same(request(target, *lines))
    both.check()
    assert both.answered


async def test_purges_and_refreshes_between_hits() -> None:
    both = city()
    for target in ("/plain", "/gzip", "/two"):
        await both.same(request(target, "Accept-Encoding: gzip"), request(target, "Accept-Encoding: gzip"))
        for side in both.sides:
            side.store.drop(f"http://a.example{target}")
        await both.same(request(target, "Accept-Encoding: gzip"), request(target, "Accept-Encoding: gzip"))
    both.keep("/plain", ("ETag", '"v2"'), body=(b"newer",))
    assert b"newer" in (await both.same(request("/plain", 'If-None-Match: "v1"'))).octets
    both.check()


async def test_a_known_block_does_not_complete_a_host() -> None:
    both = city()
    both.keep("/", host="a")
    for _ in range(3):
        await both.same(request("/", host="a"))
        for line in (
            "GET .example/plain",
            "GET  /",
            "GET",
            "GET ",
            "HEAD.example/plain",
            "GETX/",
            "GET\t/",
            "HEAD ",
            "/",
        ):
            await both.same(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await both.same(f"{line} HTTP/1.1\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    both.check()
    assert both.answered == 3


async def test_the_origins_word_about_queries_outranks_what_stands_under_the_very_url() -> None:
    both = twins()
    both.keep("/kept/search?a=1&utm=1", body=(b"from before it was said",))
    target = "/kept/search?a=1&utm=1"
    assert b"from before" in (await both.same(request(target), request(target))).octets
    await both.same(request("/kept/search?a=1&utm=2"))
    assert b"from before" not in (await both.same(request(target), request(target))).octets
    both.check()
    assert both.answered == 2


async def test_of_variants_that_may_both_be_meant_the_engine_chooses() -> None:
    both = twins()
    wanted = "de-AT, de;q=0.9"
    both.keep("/x", ("Content-Language", "de"), varied=GERMAN, body=(b"newer",))
    both.keep(
        "/x", ("Content-Language", "de"), varied=(("accept-language", wanted.lower()),), body=(b"older",), age=99.0
    )
    for _ in range(3):
        await both.same(request("/x", f"Accept-Language: {wanted}"))
        await both.same(request("/x", "Accept-Language: de"))
    both.check()


async def test_lines_of_one_block_under_other_targets_and_hosts() -> None:
    both = city()
    for host in ("a.example", "b.example", "a.example:8080", "A.EXAMPLE"):
        for target in ("/plain", "/other-host", "/port", "/weak"):
            await both.same(request(target, "Accept: */*", host=host))
    both.check()


# --- what nobody thought of ---

_words = st.sampled_from([line.encode("latin-1") for line in ONE_LINE])
_targets = st.sampled_from([*PLAIN_HITS, *LEFT_ALONE, "/gzip", "/two", "/language"]).map(str.encode)
_noise = st.binary(max_size=6)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET", b"HEAD", b"GET", b"GET", b"POST"]))
    version = draw(st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.10"]))
    lines = [b"Host: a.example", *draw(st.lists(_words, max_size=3))]
    head = b"\r\n".join([b" ".join([method, draw(_targets), version]), *draw(st.permutations(lines)), b"", b""])
    if draw(st.integers(0, 3)) == 0:  # damaged: octets put in, taken out or put in place of others
        at, span = draw(st.integers(0, len(head))), draw(st.integers(0, 4))
        head = head[:at] + draw(_noise) + head[at + span :]
    return head


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(heads(), min_size=1, max_size=5), st.lists(st.integers(1, 400), max_size=3))
def test_whatever_is_sent(run: Callable[..., None], sent: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(sent)
    at = [0, *sorted(cut for cut in set(cuts) if cut < len(octets)), len(octets)]
    run([octets[first:stop] for first, stop in pairwise(at)])


@pytest.fixture
def run() -> Callable[..., None]:
    import asyncio

    def talk(pieces: list[bytes]) -> None:
        async def story() -> None:
            both = city()
            await both.same(request("/plain") + request("/plain"))
            await both.same(*pieces)
            await both.same(*pieces)
            both.check()

        asyncio.run(story())

    return talk
