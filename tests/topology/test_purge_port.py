"""Who may purge, and with which words: whatever is refused has no effect at all, on either port."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.topology.city import HOST, ORIGIN, City, Settings, city, edge, own_word, shield

pytestmark = pytest.mark.asyncio(loop_scope="module")

PURGER, READER = "the-secret-of-a-pipeline", "the-secret-of-a-dashboard"
TOKENS = [
    {"name": "ci", "env": "CI_SECRET", "may": ["purge"]},
    {"name": "board", "env": "BOARD_SECRET", "may": ["read"]},
]
NODES = {"shield-1": shield(), "edge-ams": edge("shield-1"), "edge-open": edge("shield-1")}


def allow_here(file: Settings) -> None:
    file["purge"]["allow"] = ["192.0.2.0/24", "127.0.0.0/8"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    """One for all: nothing here changes it, or the next one fails. Only edge-open takes PURGE from addresses."""
    async with city(
        tmp_path_factory.mktemp("town"),
        NODES,
        start=False,
        environment={"CI_SECRET": PURGER, "BOARD_SECRET": READER},
        change={"edge-open": allow_here},
        admin={"tokens": TOKENS},
        purge={"lease": "30s"},
    ) as built:
        built.tokens = {"operate": PURGER, "look": READER}
        await built.start(*NODES)
        await built.ready(*NODES)
        built.stub.script("/p", ["body=kept&max-age=600&header=Surrogate-Key: t"])
        for name in ("edge-ams", "edge-open"):
            await built.warm(name, "/p")
        yield built


async def nothing_happened(town: City) -> None:
    """The object is where it was, no order was given, and the origin has never seen the method."""
    for name in ("edge-ams", "edge-open"):
        assert own_word(await town.get(name, "/p")) == "HIT"
    assert (await town.ask("shield-1", "/v1/purges")).document["last"] == 0
    assert town.stub.total.methods["PURGE"] == 0


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {secret}"),)


@pytest.mark.parametrize(
    ("node", "path", "fields", "status"),
    [
        ("edge-ams", "/p", (), 405),
        ("edge-ams", "/p", (("Authorization", "Basic dTpw"),), 405),
        ("edge-ams", "/p", (("X-Forwarded-For", "192.0.2.1"),), 405),
        ("edge-ams", "/p", bearer("wrong"), 403),
        ("edge-ams", "/p", bearer(READER), 403),
        ("edge-ams", "/p", bearer(""), 403),
        ("edge-ams", "/p", bearer(PURGER) * 2, 405),
        ("edge-open", "/p", bearer("wrong"), 403),
        ("edge-open", "*", (), 400),
        ("shield-1", "/p", (), 405),
    ],
)
async def test_purge_on_the_data_port_is_closed_unless_the_file_opens_it(
    town: City, node: str, path: str, fields: tuple[tuple[str, str], ...], status: int
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    async with town.client(node) as client:
        got = await client.ask(f"PURGE {path} HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\n".encode())
    assert got.status == status
    assert json.loads(got.body)["status"] == status
    assert ("allow" in got.fields) == (status == 405)
    await nothing_happened(town)


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", "/v1/purge", "", 401),
        ("POST", "/v1/purge", "wrong", 401),
        ("POST", f"/v1/purge?access_token={PURGER}", "", 401),
        ("POST", "/v1/purge", READER, 403),
        ("GET", "/v1/purge", PURGER, 405),
        ("PUT", "/v1/purge", PURGER, 405),
        ("DELETE", "/v1/purges/1", PURGER, 405),
        ("PURGE", "/v1/purge", PURGER, 405),
        ("GET", "/v1/purges/x", PURGER, 404),
        ("GET", "/v1/purges/1", PURGER, 404),
        ("GET", "/v1/purges?limit=0", PURGER, 400),
        ("GET", "/v1/stats", PURGER, 403),
        ("GET", "/v1/feed", PURGER, 403),
        ("GET", "/v1/feed", READER, 403),
    ],
)
async def test_admin_port_refuses_wrong_tokens_and_methods(
    town: City, method: str, path: str, token: str, status: int
) -> None:
    body = {"json": {"urls": [f"{ORIGIN}/p"]}} if method != "GET" else {}
    said = await town.ask("shield-1", path, method=method, token=token, **body)
    assert said.status == status
    assert said.is_problem
    assert ("www-authenticate" in said.fields) == (status in (401, 403))
    await nothing_happened(town)


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"t"',
    b"{}",
    b'{"tags":[]}',
    b'{"tags":"t"}',
    b'{"tags":[1]}',
    b'{"tag":["t"]}',
    b'{"tags":["t"],"tags":["other"]}',
    b'{"tags":["t"],"wait":"maybe"}',
    b'{"tags":["t"],"soft":1}',
    b'{"tags":["t"],"timeout":5}',
    b'{"tags":["t"],"timeout":"-1s"}',
    b'{"tags":["t"],"timeout":"1d"}',
    b'{"tags":["t",""]}',
    b'{"tags":["t","a\\u0000"]}',
    b'{"tags":["t","a\\r\\nb"]}',
    b'{"tags":["t","\\ud800"]}',
    b'{"tags":["t"],"urls":["/p"]}',
    b'{"tags":["t"],"urls":["shop.example/p"]}',
    b'{"tags":["t"],"urls":["ftp://shop.example/p"]}',
    b'{"tags":["t"],"urls":["http://shop.example/p#part"]}',
    b'{"tags":["t"],"urls":["http://user@shop.example/p"]}',
    b'{"tags":["t"],"urls":["http://shop.example/a b"]}',
    '{"tags":["t"],"urls":["http://shop.example/é"]}'.encode(),
    b'{"tags":["t"],"prefixes":["shop.example/?q="]}',
    b'{"tags":["t"],"hosts":["http://shop.example"]}',
    b'{"tags":["t"],"hosts":["shop.example/p"]}',
    b'{"tags":["t"],"all":true}',
    b'{"all":"yes"}',
    b'{"tags":["t"]} {"all":true}',
    b'{"tags":["caf\xe9"]}',  # latin-1, not UTF-8
    b'\xff\xfe{\x00"\x00',
    b"[" * 100_000,
    json.dumps({"tags": ["t", "x" * (16 * 1024 + 1)]}).encode(),
    json.dumps({"tags": [f"t{number}" for number in range(1001)]}).encode(),
    json.dumps({"tags": [f"{number}" + "x" * 1000 for number in range(300)]}).encode(),
]


@pytest.mark.parametrize("at", ["shield-1", "edge-ams"])
async def test_body_that_is_not_understood_whole_purges_nothing(town: City, at: str) -> None:
    for body in MALFORMED:
        said = await town.ask(at, "/v1/purge", method="POST", token=PURGER, data=body)
        assert (said.status, said.is_problem) == (400, True), (body[:80], said)
        assert b"shop.example" not in json.dumps(said.document).encode(), "what was sent is not quoted"
    large = io.BytesIO(b'{"tags":["' + b"x" * (3 << 20) + b'"]}')
    huge = await town.ask(at, "/v1/purge", method="POST", token=PURGER, data=large)
    assert (huge.status, huge.is_problem) == (413, True)
    rebound = await town.ask(at, "/v1/purge", method="POST", token=PURGER, data=b"{}", headers={"Host": "evil.example"})
    assert (rebound.status, rebound.is_problem) == (421, True)
    await nothing_happened(town)


async def test_whom_the_file_allows_purges_with_one_request(town: City) -> None:
    """Last in this file: it does what the others may not."""
    askers = [("edge-ams", bearer(PURGER)), ("edge-open", ()), ("edge-open", bearer(PURGER))]
    for number, (node, fields) in enumerate(askers, 1):
        got = await town.get(node, "/p", *fields, method="PURGE")
        said = json.loads(got.body)
        assert (got.status, said["id"], said["state"]) == (200, number, "complete")
        assert {each["node"]: each["matched"] for each in said["nodes"]} == dict.fromkeys(NODES, 1)
        for name in ("edge-ams", "edge-open"):
            assert own_word(await town.get(name, "/p")) == "MISS"
            await town.warm(name, "/p")
    soft = await town.get("edge-open", "/p", ("Fastly-Soft-Purge", "1"), method="PURGE")
    assert json.loads(soft.body)["soft"] is True
    assert town.stub.total.methods["PURGE"] == 0
