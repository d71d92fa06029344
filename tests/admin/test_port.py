"""The admin port tells balancers and scrapers what they need, and everything else only to holders of tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from seawall.admin.app import create_app
from seawall.admin.guard import known_host
from seawall.admin.openapi import description
from seawall.admin.port import AdminPort, open_port
from seawall.admin.tokens import EVERYTHING, Tokens
from seawall.admin.view import NotReady, Readiness, Ready
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import JSON, Counters, Gauges, snapshot

READER = "reader-secret-0123456789"
PURGER = "purger-secret-0123456789"
TOKENS = Tokens([("reader", READER, ["read"]), ("purger", PURGER, ["purge"])])


@dataclass
class Node:
    """A node as the admin port sees it."""

    name: str = "edge-ams"
    role: str = "edge"
    state: Readiness = field(default_factory=Ready)
    counters: Counters = field(default_factory=Counters)
    broken: bool = False

    def ready(self) -> Readiness:
        return self.state

    def stats(self) -> dict[str, JSON]:
        if self.broken:
            raise RuntimeError("inner secret")
        return snapshot(self.counters, Gauges())

    def scrape(self, accept: str) -> tuple[str, bytes]:
        return Scrape(self.counters, Gauges(), self.name)(accept)


@dataclass
class Answer:
    """What came back, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        said = json.loads(self.body)
        assert isinstance(said, dict)
        return said


Ask = Callable[..., Awaitable[Answer]]
Start = Callable[..., Awaitable[Ask]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    ports: list[AdminPort] = []
    sessions: list[aiohttp.ClientSession] = []

    async def begin(node: Node | None = None, tokens: Tokens = TOKENS, **options: object) -> Ask:
        app = create_app(node or Node(), tokens, version="1.2.3", **options)  # type: ignore[arg-type]
        port = await open_port(app, "127.0.0.1", 0)
        ports.append(port)
        session = aiohttp.ClientSession(f"http://{port.address}")
        sessions.append(session)

        async def ask(path: str, token: str = "", method: str = "GET", **headers: str) -> Answer:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if token:
                sent["Authorization"] = f"Bearer {token}"
            async with session.request(method, path, headers=sent) as response:
                return Answer(response.status, dict(response.headers), await response.read())

        return ask

    yield begin
    for session in sessions:
        await session.close()
    for port in ports:
        await port.close()


def is_problem(answer: Answer, status: int) -> bool:
    return (
        answer.status == status
        and answer.headers["Content-Type"] == "application/problem+json"
        and answer.json["status"] == status
        and answer.json["type"] == "about:blank"
        and bool(answer.json["title"])
    )


async def test_health_and_readiness_are_open(start: Start) -> None:
    node = Node()
    ask = await start(node)
    assert (await ask("/healthz")).status == 200
    assert (await ask("/readyz")).status == 200
    node.state = NotReady("draining")
    answer = await ask("/readyz")
    assert is_problem(answer, 503)
    assert answer.json["detail"] == "draining"
    assert (await ask("/healthz")).status == 200
    assert (await ask("/healthz", method="HEAD")).status == 200


@pytest.mark.parametrize(
    ("path", "token", "status", "challenge"),
    [
        ("/v1/stats", "", 401, 'Bearer realm="seawall"'),
        ("/v1/stats", "wrong", 401, 'Bearer realm="seawall", error="invalid_token"'),
        ("/v1/stats", READER[:-1], 401, 'Bearer realm="seawall", error="invalid_token"'),
        ("/v1/stats", PURGER, 403, 'Bearer realm="seawall", error="insufficient_scope", scope="read"'),
        ("/v1/openapi.json", "", 401, 'Bearer realm="seawall"'),
        ("/metrics", "", 401, 'Bearer realm="seawall"'),
        ("/metrics", PURGER, 403, 'Bearer realm="seawall", error="insufficient_scope", scope="read"'),
    ],
)
async def test_no_token_no_answer(start: Start, path: str, token: str, status: int, challenge: str) -> None:
    ask = await start()
    answer = await ask(path, token)
    assert is_problem(answer, status)
    assert answer.headers["WWW-Authenticate"] == challenge
    assert READER not in answer.body.decode()


async def test_a_token_of_the_scope_opens(start: Start) -> None:
    node = Node()
    node.counters.collapsed = 5
    ask = await start(node)
    answer = await ask("/v1/stats", READER)
    assert answer.status == 200
    said = {name: answer.json[name] for name in ("node", "role", "version", "collapsed")}
    assert said == {"node": "edge-ams", "role": "edge", "version": "1.2.3", "collapsed": 5}
    assert answer.headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in answer.headers["Server"]
    assert b"seawall_collapsed_total 5.0" in (await ask("/metrics", READER)).body


async def test_metrics_may_be_open_and_nothing_else_is_then(start: Start) -> None:
    ask = await start(open_metrics=True)
    assert (await ask("/metrics")).status == 200
    assert (await ask("/v1/stats")).status == 401


@pytest.mark.parametrize(
    "said", [f"bearer {READER}", f"Bearer  {READER}", f"Basic {READER}", READER, "Bearer", "Bearer \xff\xfe"]
)
async def test_the_scheme_has_no_case_and_must_be_bearer(start: Start, said: str) -> None:
    ask = await start()
    expected = 200 if said.lower().startswith("bearer ") and READER in said else 401
    assert (await ask("/v1/stats", Authorization=said)).status == expected


async def test_a_token_in_the_url_is_none(start: Start) -> None:
    ask = await start()
    assert (await ask(f"/v1/stats?access_token={READER}")).status == 401


async def test_nobody_gets_in_where_there_are_no_tokens(start: Start) -> None:
    ask = await start(tokens=Tokens([]))
    assert (await ask("/v1/stats", READER)).status == 401
    assert (await ask("/v1/stats", Authorization="Bearer ")).status == 401


async def test_unknown_paths_and_methods_are_problems(start: Start) -> None:
    ask = await start()
    assert is_problem(await ask("/nothing"), 404)
    assert is_problem(await ask("/v1/nothing", READER), 404)
    answer = await ask("/v1/stats", READER, method="DELETE")
    assert is_problem(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_a_fault_of_ours_is_a_problem_without_details(start: Start) -> None:
    ask = await start(Node(broken=True))
    answer = await ask("/v1/stats", READER)
    assert is_problem(answer, 500)
    assert b"inner secret" not in answer.body


async def test_a_client_that_left_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that was killed leaves its feed like this."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        asked.set()
        assert request.transport is not None
        while not request.transport.is_closing():  # noqa: ASYNC110 (what it waits for has no event)
            await asyncio.sleep(0)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            await response.write(b"late")
        finally:
            ended.set()
        return response

    app = create_app(Node(), TOKENS, version="1")
    app.router.add_get("/late", late)
    port = await open_port(app, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*port.address.split(":"))
    writer.write(b"GET /late HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await asked.wait()
    writer.transport.abort()
    await ended.wait()
    await port.close()
    assert "admin.failed" not in caplog.text
    assert "Error handling request" not in caplog.text


@pytest.mark.parametrize(
    ("host", "known"),
    [
        *(
            ("127.0.0.1:8081", True),
            ("[::1]:8081", True),
            ("localhost", True),
            ("LOCALHOST.:1", True),
            ("10.1.2.3", True),
        ),
        *(("admin.example:8081", True), ("Admin.Example", True)),
        *(("evil.example", False), ("127.0.0.1.evil.example", False), ("admin.example.evil", False), ("", False)),
        *(("[evil]", False), ("a@127.0.0.1", False), ("127.0.0.1:", False), ("127.0.0.1, evil.example", False)),
    ],
)
def test_a_host_is_known_when_dns_cannot_rebind_it(host: str, known: bool) -> None:
    assert known_host(host, {"admin.example"}) is known


async def test_a_rebound_name_gets_nothing_not_even_health(start: Start) -> None:
    ask = await start(host_names=["Admin.Example"])
    for path in ("/healthz", "/metrics", "/v1/stats", "/nothing"):
        assert is_problem(await ask(path, READER, Host="evil.example"), 421)
    assert (await ask("/v1/stats", READER, Host="admin.example:81")).status == 200


async def test_two_hosts_are_none() -> None:
    app = create_app(Node(), TOKENS, version="1")
    port = await open_port(app, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\nConnection: close\r\n\r\n")
        head = await reader.read()
        assert head.split(b" ")[1] in (b"400", b"421")
        writer.close()
        await writer.wait_closed()
    finally:
        await port.close()


async def test_the_description_lists_exactly_what_is_there() -> None:
    app = create_app(Node(), TOKENS, version="1")
    there = {
        (resource.canonical, route.method.lower())
        for resource in app.router.resources()
        for route in resource
        if route.method != "HEAD"
    }
    paths = description("1")["paths"]
    assert isinstance(paths, dict)
    said = {(path, method) for path, item in paths.items() if isinstance(item, dict) for method in item}
    assert said == there


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    first = await open_port(create_app(Node(), TOKENS, version="1"), "127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="address already in use"):
            await open_port(create_app(Node(), TOKENS, version="1"), "127.0.0.1", first.port)
    finally:
        await first.close()


def test_scopes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="everything"):
        Tokens([("a", READER, ["everything"])])


def test_the_scopes_are_the_words_of_the_file() -> None:
    from seawall.config.schema import Scope

    assert {scope.value for scope in Scope} == {scope.value for scope in EVERYTHING}


def test_secrets_are_not_shown() -> None:
    assert READER not in repr(TOKENS)
    assert repr(TOKENS) == "<Tokens of reader, purger>"
