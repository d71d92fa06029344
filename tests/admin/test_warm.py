"""Warming on the admin port: read strictly, answered in order or as it comes, and only for who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest

from seawall.admin.app import create_app
from seawall.admin.openapi import description
from seawall.admin.port import AdminPort, open_port
from seawall.admin.tokens import Tokens
from seawall.admin.warm import Warmed, Warming, parse_asked
from seawall.engine.warmer import Warmed as EngineWarmed
from seawall.http.headers import Headers
from seawall.policy.reasons import Outcome
from seawall.purge.selection import Selection
from tests.purge.house import View

WARM = "the-token-of-a-warmer"
READ = "the-token-of-a-dashboard"
PURGE = "the-token-of-a-purger"
TOKENS = Tokens([("w", WARM, ["warm"]), ("r", READ, ["read"]), ("p", PURGE, ["purge"])])
A, B = "http://a.example/a", "http://a.example/b"

Each = Callable[[Warmed], Awaitable[bool]]


@dataclass
class Warmer:
    """Notes what it is asked, and answers once it may."""

    room: int = 2000
    asked: list[tuple[tuple[str, ...], list[tuple[str, str]], float]] = field(default_factory=list)
    may: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1_000_000))
    began: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    told: int = 0

    def has_room(self, urls: int) -> bool:
        return urls <= self.room

    async def warm(self, urls: Sequence[str], fields: Headers, seconds: float, each: Each) -> list[Warmed]:
        self.asked.append((tuple(urls), list(fields.items()), seconds))
        self.began.set()
        done: list[Warmed] = []
        for url in urls:
            await self.may.acquire()
            done.append(EngineWarmed(url, 200, Outcome.MISS, True, "", 10, 1.5))
            self.told += 1
            if not await each(done[-1]):
                break
        self.ended.set()
        return done


@dataclass
class Popular:
    """Notes what it is asked."""

    asked: list[tuple[int, Selection | None]] = field(default_factory=list)

    def top(self, n: int, what: Selection | None = None) -> list[tuple[str, int]]:
        self.asked.append((n, what))
        return [(A, 5), (B, 2)]


class Home:
    """An admin port over both."""

    def __init__(self) -> None:
        self.warmer = Warmer()
        self.popular = Popular()
        self.port: AdminPort | None = None

    @property
    def url(self) -> str:
        assert self.port is not None
        return f"http://{self.port.address}"

    async def ask(
        self, body: object, path: str = "/v1/warm", *, token: str = WARM, method: str = "POST"
    ) -> tuple[int, dict[str, object], str]:
        """Status, JSON object and media type."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.url + path, data=None if method == "GET" else content, headers=fields
            ) as answer,
        ):
            return answer.status, json.loads(await answer.read()), answer.content_type


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    built = Home()
    app = create_app(View("edge-1"), TOKENS, version="0", warming=Warming(built.warmer, built.popular))
    built.port = await open_port(app, "127.0.0.1", 0)
    yield built
    await built.port.close()


async def test_results_are_given_in_order_with_all_that_is_known(home: Home) -> None:
    status, said, media_type = await home.ask(
        {"urls": [B, "HTTP://A.example:80/a"], "headers": {"Accept-Language": " de "}, "timeout": "1500ms"}
    )
    assert (status, media_type) == (200, "application/json")
    one = {"status": 200, "outcome": "MISS", "stored": True, "why": None, "bytes": 10, "ms": 1.5}
    assert said == {"urls": [{"url": B, **one}, {"url": A, **one}]}
    assert home.warmer.asked == [((B, A), [("Accept-Language", "de")], 1.5)]


async def test_lines_come_one_by_one(home: Home) -> None:
    home.warmer.may = asyncio.Semaphore(0)
    fields = {"Authorization": f"Bearer {WARM}", "Accept": "text/html;q=0.1, application/x-ndjson"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{home.url}/v1/warm", json={"urls": [A, B]}, headers=fields) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        for url in (A, B):
            home.warmer.may.release()
            assert json.loads(await answer.content.readline())["url"] == url
        assert await answer.content.read() == b""


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/json"])
async def test_a_client_that_leaves_ends_the_rest(home: Home, accept: str) -> None:
    home.warmer.may = asyncio.Semaphore(0)
    body = json.dumps({"urls": [A] * 1000}).encode()
    head = (
        f"POST /v1/warm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {WARM}\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    assert home.port is not None
    _, writer = await asyncio.open_connection("127.0.0.1", home.port.port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(5):
        await home.warmer.began.wait()
        writer.transport.abort()
        while not home.warmer.ended.is_set():
            home.warmer.may.release()
            await asyncio.sleep(0.001)
    assert home.warmer.told < 1000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "an object is expected"),
        (b'{"urls":["http://a.example/"],"urls":[]}', "twice"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ({}, "urls: a list of URLs is expected"),
        ({"urls": []}, "urls: a list of URLs is expected"),
        ({"urls": "http://a.example/"}, "urls: a list"),
        ({"urls": [A] * 1001}, "urls: more than 1000"),
        ({"urls": [A, 1]}, "urls[1]: a string is expected"),
        ({"urls": [A, "/b"]}, "urls[1]: no absolute URL"),
        ({"urls": ["ftp://a.example/"]}, "urls[0]: the scheme is http or https"),
        ({"urls": ["http://a.example/\r\nX: 1"]}, "urls[0]: only visible ASCII"),
        ({"urls": [A], "url": A}, "no member but"),
        ({"urls": [A], "headers": []}, "headers: an object of strings"),
        ({"urls": [A], "headers": {"A": 1}}, "headers: an object of strings"),
        ({"urls": [A], "headers": {"A B": "1"}}, "headers[0]: no name"),
        ({"urls": [A], "headers": {"": "1"}}, "headers[0]: no name"),
        ({"urls": [A], "headers": {"A": "1\r\nB: 2"}}, "headers[0]: no value"),
        ({"urls": [A], "headers": {"A": "\u20ac"}}, "headers[0]: no value"),
        ({"urls": [A], "headers": {"Ok": "1", "Host": "b.example"}}, "headers[1]: this field is not"),
        ({"urls": [A], "headers": {"Range": "bytes=0-1"}}, "headers[0]: this field is not"),
        ({"urls": [A], "headers": {"Transfer-Encoding": "chunked"}}, "headers[0]: this field is not"),
        ({"urls": [A], "headers": {"If-None-Match": "*"}}, "headers[0]: this field is not"),
        ({"urls": [A], "headers": {"Content-Length": "3"}}, "headers[0]: this field is not"),
        ({"urls": [A], "headers": {"A": 9000 * "x"}}, "headers: more than"),
        ({"urls": [A], "headers": {f"A{number}": "" for number in range(33)}}, "headers: more than"),
        ({"urls": [A], "timeout": "61s"}, "timeout"),
        ({"urls": [A], "timeout": "0s"}, "timeout"),
        ({"urls": [A], "timeout": 30}, "timeout"),
        ({"urls": [A], "timeout": "30"}, "timeout"),
    ],
)
async def test_what_is_not_understood_whole_asks_for_nothing(home: Home, body: object, said: str) -> None:
    status, document, media_type = await home.ask(body)
    assert (status, media_type, document["status"]) == (400, "application/problem+json", 400)
    assert said in str(document["detail"])
    assert home.warmer.asked == []


async def test_every_bad_url_is_named(home: Home) -> None:
    _, document, _ = await home.ask({"urls": ["/a", A, "b"]})
    problems = document["problems"]
    assert isinstance(problems, list)
    assert [problem["where"] for problem in problems] == ["urls[0]", "urls[2]"]


def test_without_more_words_the_defaults_hold() -> None:
    asked = parse_asked({"urls": [A]})
    assert not isinstance(asked, list)
    assert (asked.urls, len(asked.fields), asked.seconds) == ((A,), 0, 30.0)


async def test_429_while_too_much_is_under_way(home: Home) -> None:
    home.warmer.room = 1
    status, document, _ = await home.ask({"urls": [A, B]})
    assert (status, document["status"], home.warmer.asked) == (429, 429, [])
    assert (await home.ask({"urls": [A]}))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "token", "expected"),
    [
        ("POST", "/v1/warm", "", 401),
        ("POST", "/v1/warm", "wrong", 401),
        ("POST", "/v1/warm", READ, 403),
        ("POST", "/v1/warm", PURGE, 403),
        ("GET", "/v1/warm", WARM, 405),
        ("GET", "/v1/popular", "", 401),
        ("GET", "/v1/popular", PURGE, 403),
        ("GET", "/v1/popular", READ, 200),
        ("GET", "/v1/popular", WARM, 200),
        ("POST", "/v1/popular", PURGE, 403),
        ("POST", "/v1/popular", READ, 200),
        ("POST", "/v1/popular", WARM, 200),
    ],
)
async def test_who_may_what(home: Home, method: str, path: str, token: str, expected: int) -> None:
    body = {"all": True} if path == "/v1/popular" else {"urls": [A]}
    status, _, media_type = await home.ask(body, path, token=token, method=method)
    assert (status, media_type == "application/problem+json") == (expected, expected >= 400)
    assert home.warmer.asked == []


async def test_what_is_popular_is_ranked(home: Home) -> None:
    status, said, _ = await home.ask(None, "/v1/popular?top=7", method="GET")
    assert (status, said) == (200, {"urls": [{"url": A, "hits": 5}, {"url": B, "hits": 2}]})
    await home.ask(None, "/v1/popular", method="GET")
    await home.ask({"urls": ["HTTP://a.example"], "tags": ["t"], "top": 3}, "/v1/popular")
    await home.ask({"all": True}, "/v1/popular")
    assert home.popular.asked == [
        (7, None),
        (100, None),
        (3, Selection(urls=("http://a.example/",), tags=("t",))),
        (100, Selection(all=True)),
    ]


@pytest.mark.parametrize(
    "query", ["top=0", "top=10001", "top=x", "top=", "top=-1", "top=1&top=2", "n=3", "top=" + 99 * "9"]
)
async def test_a_question_that_means_nothing_is_refused(home: Home, query: str) -> None:
    status, _, media_type = await home.ask(None, f"/v1/popular?{query}", method="GET")
    assert (status, media_type, home.popular.asked) == (400, "application/problem+json", [])


@pytest.mark.parametrize(
    "body",
    [{}, {"top": 5}, {"all": True, "top": 0}, {"all": True, "top": True}, {"all": True, "soft": True}, {"urls": ["/"]}],
)
async def test_a_selection_that_means_nothing_is_refused(home: Home, body: object) -> None:
    status, _, media_type = await home.ask(body, "/v1/popular")
    assert (status, media_type, home.popular.asked) == (400, "application/problem+json", [])


async def test_the_description_lists_exactly_the_routes() -> None:
    app = create_app(View("a"), TOKENS, version="0", warming=Warming(Warmer(), Popular()))
    served = {
        (resource.canonical, route.method.lower())
        for resource in app.router.resources()
        for route in resource
        if route.method != "HEAD"
    }
    paths = description("0", warms=True)["paths"]
    assert isinstance(paths, dict)
    assert {(path, method) for path, item in paths.items() if isinstance(item, dict) for method in item} == served
    assert ("/v1/warm", "post") in served


async def test_a_node_describes_what_it_has(home: Home) -> None:
    _, said, _ = await home.ask(None, "/v1/openapi.json", token=READ, method="GET")
    assert isinstance(said["paths"], dict)
    assert {"/v1/warm", "/v1/popular"} < said["paths"].keys()
