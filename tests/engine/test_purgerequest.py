"""PURGE on the port that clients use: closed by default, open to whom the file allows, never passed on."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.downstream.exchange import Reply, Request
from seawall.engine.purgerequest import Allowed, with_purge
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.purge.hubservice import HubService
from seawall.purge.selection import Selection
from tests.purge.house import House, house

TOKEN = "a-token-that-purges"
LOCAL = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def holder(secret: str) -> str | None:
    return "ci" if secret == TOKEN else None


CLOSED = Allowed()
BY_TOKEN = Allowed(holder=holder)
BY_ADDRESS = Allowed(LOCAL, holder)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "journal") as built:
        await built.open_hub(ranks={})
        built.shelf.fill()
        yield built


class Body:
    length = None
    closed = False

    async def read(self) -> bytes:
        raise AssertionError("nobody wants it")

    def close(self) -> None:
        self.closed = True


async def engine(request: Request) -> Reply:
    return Reply(ResponseHead(299, "the engine's", headers()))


async def send(
    hub: HubService | None,
    allowed: Allowed,
    *,
    method: str = "PURGE",
    target: str = "/1",
    peer: str = "127.0.0.1",
    body: Body | None = None,
    fields: tuple[tuple[str, str], ...] = (),
) -> tuple[int, dict[str, object], Reply]:
    assert hub is not None
    head = RequestHead(method, "http", "a.example", target, headers(fields))
    reply = await with_purge(engine, hub, allowed)(Request(head, body, peer, lambda _: None))
    assert isinstance(reply.body, tuple)
    return reply.head.status, json.loads(b"".join(reply.body) or b"{}"), reply


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {secret}"),)


@pytest.mark.parametrize(
    ("allowed", "peer", "fields", "expected"),
    [
        (CLOSED, "127.0.0.1", (), 405),
        (CLOSED, "127.0.0.1", bearer(TOKEN), 405),
        (BY_TOKEN, "127.0.0.1", (), 405),
        (BY_TOKEN, "192.0.2.1", bearer("wrong"), 403),
        (BY_TOKEN, "192.0.2.1", bearer(""), 403),
        (BY_TOKEN, "192.0.2.1", (("Authorization", f"Basic {TOKEN}"),), 405),
        (BY_TOKEN, "192.0.2.1", (*bearer(TOKEN), *bearer(TOKEN)), 405),
        (BY_TOKEN, "192.0.2.1", bearer(TOKEN), 200),
        (BY_ADDRESS, "192.0.2.1", bearer(TOKEN), 200),
        (BY_ADDRESS, "127.0.0.1", bearer("wrong"), 403),
        (BY_ADDRESS, "127.9.9.9", (), 200),
        (BY_ADDRESS, "::ffff:127.0.0.1", (), 200),
        (BY_ADDRESS, "fd00::1%eth0", (), 200),
        (BY_ADDRESS, "::1", (), 403),
        (BY_ADDRESS, "192.0.2.1", (), 403),
        (BY_ADDRESS, "192.0.2.1", (("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")), 403),
        (BY_ADDRESS, "", (), 403),
        (BY_ADDRESS, "/run/socket", (), 403),
    ],
)
async def test_who_may_purge_here(
    home: House, allowed: Allowed, peer: str, fields: tuple[tuple[str, str], ...], expected: int
) -> None:
    status, said, reply = await send(home.hub, allowed, peer=peer, fields=fields)
    assert status == expected
    assert ("http://a.example/1" in home.shelf.held) == (expected != 200)
    assert reply.head.headers["Cache-Control"] == "no-store"
    if expected != 200:
        assert (said["status"], reply.head.headers["Content-Type"]) == (expected, "application/problem+json")
        assert ("Allow" in reply.head.headers) == (expected == 405)


async def test_it_purges_exactly_this_url_and_answers_when_it_is_over(home: House) -> None:
    status, said, _ = await send(home.hub, BY_ADDRESS)
    assert (status, said["state"], said["matched"]) == (200, "complete", 1)
    assert [what for _, what in home.shelf.diary] == [Selection(urls=("http://a.example/1",))]
    assert "http://a.example/2" in home.shelf.held


@pytest.mark.parametrize(("value", "soft"), [("1", True), (" 1 ", True), ("0", False), ("true", False)])
async def test_fastly_s_field_asks_for_a_soft_one(home: House, value: str, soft: bool) -> None:
    _, said, _ = await send(home.hub, BY_ADDRESS, fields=(("Fastly-Soft-Purge", value),))
    assert said["soft"] is soft


async def test_a_url_that_nothing_could_be_stored_under_is_refused(home: House) -> None:
    status, _, _ = await send(home.hub, BY_ADDRESS, target="/\x7f")
    assert (status, home.shelf.diary) == (400, [])


async def test_a_body_is_let_go_unread(home: House) -> None:
    body = Body()
    assert (await send(home.hub, BY_ADDRESS, body=body))[0] == 200
    assert body.closed


@pytest.mark.parametrize("method", ["GET", "purge", "POST", "BAN"])
async def test_other_methods_are_the_engine_s(home: House, method: str) -> None:
    fields = (("X-HTTP-Method-Override", "PURGE"),)
    assert (await send(home.hub, BY_ADDRESS, method=method, fields=fields))[0] == 299
    assert home.shelf.diary == []
