"""Purging on the admin port: what is not understood whole has no effect, and who may not is told so."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from seawall.admin.openapi import description
from seawall.telemetry.metrics import JSON
from tests.purge.house import ADMIN, LEASE, READER, SECRET, House, admin_port, house, until


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "journal") as built:
        await built.open_hub(ranks={})
        built.shelf.fill()
        yield built


async def ask(
    home: House, method: str, path: str, body: bytes | None = None, token: str | None = ADMIN, **fields: str
) -> tuple[int, dict[str, object], str]:
    """Status, JSON object and media type."""
    assert home.port is not None
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"http://{home.port.address}{path}", data=None if body is None else io.BytesIO(body), headers=named
        ) as answer,
    ):
        content = await answer.read()
        return answer.status, json.loads(content) if content else {}, answer.content_type


async def test_a_purge_and_its_receipt(home: House) -> None:
    status, said, media_type = await ask(home, "POST", "/v1/purge", b'{"tags":["t"]}')
    assert (status, said["id"], said["state"], said["matched"]) == (200, 1, "complete", 2)
    assert media_type == "application/json"
    assert said["nodes"] == [
        {"node": "shield-1", "state": "applied", "matched": 2, "bytes": 20, "ms": said["nodes"][0]["ms"]}  # type: ignore[index]
    ]
    status, said, _ = await ask(home, "GET", "/v1/purges/1", token=READER)
    assert (status, said["id"], said["tags"]) == (200, 1, ["t"])
    status, said, _ = await ask(home, "GET", "/v1/purges?limit=1")
    assert (status, len(said["purges"])) == (200, 1)  # type: ignore[arg-type]
    assert (await ask(home, "GET", "/v1/topology", token=READER))[1]["hub"] == "shield-1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe{}",
        b'{"tags":["\\ud800"]}',
        b'{"tags":["t"],"tags":["other"]}',
        b"[" * 100_000,
        b"{}",
        b'{"tags":[]}',
        b'{"tag":["t"]}',
        b'{"tags":"t"}',
        b'{"tags":[1]}',
        b'{"tags":[""]}',
        b'{"tags":["a\\u0000b"]}',
        b'{"tags":["a\\r\\nb"]}',
        b'{"tags":["' + b"x" * 20_000 + b'"]}',
        b'{"urls":["/relative"]}',
        b'{"urls":["http://a.example/ space"]}',
        b'{"urls":["ftp://a.example/"]}',
        b'{"urls":["http://user@a.example/"]}',
        b'{"prefixes":["http://a.example/?q"]}',
        b'{"hosts":["http://a.example"]}',
        b'{"all":true,"tags":["t"]}',
        b'{"all":"true"}',
        b'{"all":1}',
        b'{"tags":["t"],"soft":"no"}',
        b'{"tags":["t"],"dry_run":0}',
        b'{"tags":["t"],"wait":"some"}',
        b'{"tags":["t"],"wait":["all"]}',
        b'{"tags":["t"],"timeout":30}',
        b'{"tags":["t"],"timeout":"30"}',
        b'{"tags":["t"],"timeout":"11m"}',
        b'{"tags":["t"],"timeout":"-1s"}',
        json.dumps({"tags": [f"t{number}" for number in range(1001)]}).encode(),
        json.dumps({"tags": [str(number) + "x" * 400 for number in range(900)]}).encode(),
    ],
)
async def test_a_body_that_is_not_understood_whole_has_no_effect(home: House, body: bytes) -> None:
    status, said, media_type = await ask(home, "POST", "/v1/purge", body)
    assert (status, media_type, said["status"]) == (400, "application/problem+json", 400)
    assert len(str(said["detail"])) < 500
    assert (len(home.shelf.held), home.shelf.diary) == (3, [])
    assert (await ask(home, "GET", "/v1/purges"))[1]["purges"] == []


async def test_a_problem_says_which_name_it_is_about(home: House) -> None:
    _, said, _ = await ask(home, "POST", "/v1/purge", b'{"tags":["t",""],"urls":["x"],"wait":"no","soft":1}')
    problems = said["problems"]
    assert isinstance(problems, list)
    assert [each["where"] for each in problems] == ["urls[0]", "tags[1]", "soft", "wait"]


async def test_a_body_that_is_too_large_is_not_read(home: House) -> None:
    status, _, _ = await ask(home, "POST", "/v1/purge", b" " * (3 << 20))
    assert status == 413
    assert len(home.shelf.held) == 3


@pytest.mark.parametrize(
    ("method", "path", "token", "expected"),
    [
        ("POST", "/v1/purge", None, 401),
        ("POST", "/v1/purge", "wrong", 401),
        ("POST", "/v1/purge", ADMIN[:-1], 401),
        ("POST", "/v1/purge", READER, 403),
        ("GET", "/v1/purge", ADMIN, 405),
        ("PUT", "/v1/purge", ADMIN, 405),
        ("PURGE", "/v1/purge", ADMIN, 405),
        ("DELETE", "/v1/purges/1", ADMIN, 405),
        ("GET", "/v1/purges/0", ADMIN, 404),
        ("GET", "/v1/purges/1", ADMIN, 404),
        ("GET", "/v1/purges/-1", ADMIN, 404),
        ("GET", "/v1/purges/x", ADMIN, 404),
        ("GET", "/v1/purges/" + "9" * 100, ADMIN, 404),
        ("GET", "/v1/purges?limit=0", ADMIN, 400),
        ("GET", "/v1/purges?limit=1001", ADMIN, 400),
        ("GET", "/v1/purges?after=x", ADMIN, 400),
        ("GET", "/v1/purges?limit=1&limit=2", ADMIN, 400),
        ("GET", "/v1/purges?page=2", ADMIN, 400),
        ("GET", "/v1/purges", None, 401),
        ("GET", "/v1/topology", None, 401),
        ("GET", "/v1/feed", None, 401),
        ("GET", "/v1/feed", ADMIN, 403),
        ("GET", "/v1/feed", SECRET, 426),
    ],
)
async def test_who_may_not_or_asks_wrongly_is_told_so(
    home: House, method: str, path: str, token: str | None, expected: int
) -> None:
    body = b'{"all":true}' if method != "GET" else None
    status, said, media_type = await ask(home, method, path, body, token)
    assert (status, media_type, said["status"]) == (expected, "application/problem+json", expected)
    assert len(home.shelf.held) == 3


async def test_no_field_turns_a_request_into_a_purge(home: House) -> None:
    for name in ("X_HTTP_Method_Override", "X_Method_Override"):
        status, _, _ = await ask(home, "GET", "/v1/purge", None, ADMIN, **{name: "POST"})
        assert status == 405


async def test_whoever_may_purge_may_ask_what_became_of_it_but_nothing_more(home: House) -> None:
    from seawall.admin.app import create_app
    from seawall.admin.port import open_port
    from seawall.admin.tokens import Tokens
    from tests.purge.house import View

    assert home.hub is not None
    tokens = Tokens([("ci", ADMIN, ["purge"])])
    port = await open_port(create_app(View("a"), tokens, version="0", purge=home.hub), "127.0.0.1", 0)
    before, home.port = home.port, port
    try:
        assert (await ask(home, "POST", "/v1/purge", b'{"all":true}'))[0] == 200
        assert (await ask(home, "GET", "/v1/purges/1"))[0] == 200
        assert (await ask(home, "GET", "/v1/topology"))[0] == 403
    finally:
        home.port = before
        await port.close()


@pytest.mark.parametrize("word", ["{}", '{"is":"ping","t0":1}', "x", '{"is":"hello","node":"edge-ams"}', ""])
async def test_a_feed_that_begins_with_no_greeting_is_ended(home: House, word: str) -> None:
    assert home.port is not None
    fields = {"Authorization": f"Bearer {SECRET}"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{home.port.address}/v1/feed", headers=fields) as socket,
    ):
        await socket.send_str(word)
        assert (await socket.receive(5)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def test_a_node_that_has_not_caught_up_is_not_ready(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        member = await home.open_member("edge-ams")
        assert member.service is not None
        home.port = port = await admin_port(member.service, "edge-ams")
        try:
            status, said, _ = await ask(home, "GET", "/readyz", token=None)
            assert (status, said["detail"]) == (503, "catching-up")
            assert (await ask(home, "GET", "/v1/feed", token=SECRET))[0] == 404, "it is no hub"
            home.port = None
            await home.open_hub()
            await until(lambda: member.trusts, 10 * LEASE)
            home.port, hub = port, home.port
            assert (await ask(home, "GET", "/readyz", token=None))[0] == 200
            home.port = hub
        finally:
            await port.close()


@pytest.mark.parametrize("feeds", [True, False])
async def test_the_description_lists_exactly_the_routes(tmp_path: Path, feeds: bool) -> None:
    from seawall.admin.app import create_app
    from tests.purge.house import TOKENS, View

    async with house(tmp_path) as home:
        hub = await home.open_hub()
        service = hub if feeds else await (await home.new_member("edge-ams")).open()
        app = create_app(View("a"), TOKENS, version="0", purge=service)
    served = {
        (resource.canonical, method.lower())
        for resource in app.router.resources()
        for method in (route.method for route in resource)
        if method != "HEAD"
    }
    listed = {(path, method) for path, each in _paths(feeds).items() for method in each}
    assert listed == served


def _paths(feeds: bool) -> dict[str, dict[str, JSON]]:
    paths = description("0", purges=True, feeds=feeds)["paths"]
    assert isinstance(paths, dict)
    return paths  # type: ignore[return-value]
