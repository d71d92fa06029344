"""The control API, spoken over HTTP as other programs do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from origin_stub import OriginStub
from origin_stub.stub import ControlAt
from tests.origin_stub.raw import ask


class Client:
    """Control requests, answered with status and JSON."""

    def __init__(self, session: aiohttp.ClientSession, address: str | None) -> None:
        self._session, self._base = session, f"http://{address}/_stub/"

    async def __call__(self, method: str, what: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self._session.request(method, self._base + what, **more) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def control(stub: OriginStub) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, stub.control_address)


async def test_a_script_put_over_http_is_played(stub: OriginStub, control: Client) -> None:
    replies = ["status=503", {"size": "1KiB", "header": ["A: b"]}]
    assert await control("PUT", "script?path=/a", json={"replies": replies}) == (200, {"replies": 2})
    first, second = await ask(stub, "/a"), await ask(stub, "/a")
    assert (first.status, second.status, second.field("A")) == (503, 200, "b")
    assert second.body == stub.body("/a", 1024)
    assert await control("DELETE", "script?path=/a") == (200, {"dropped": True})
    assert await control("DELETE", "script?path=/a") == (404, {"dropped": False})
    assert (await ask(stub, "/a")).status == 404


async def test_a_version_bumped_over_http_changes_the_body(stub: OriginStub, control: Client) -> None:
    assert await control("POST", "version?path=/make/a") == (200, {"version": 2})
    assert (await ask(stub, "/make/a?size=9")).body == stub.body("/make/a", 9, version=2)
    assert (await control("POST", "version"))[1] == {"version": 2}
    assert stub.version("/make/a") == 3


async def test_the_tally_tells_counts_and_last_requests(stub: OriginStub, control: Client) -> None:
    await ask(stub, "/a", "X-Who: me")
    status, tally = await control("GET", "tally?path=/a")
    assert (status, tally["count"], tally["most_at_once"], tally["statuses"]) == (200, 1, 1, {"404": 1})
    assert ["X-Who", "me"] in tally["last"][0]["headers"]
    _, everything = await control("GET", "tally")
    assert everything["total"]["count"] == 1
    assert everything["paths"] == {"/a": {"count": 1, "most_at_once": 1}}


async def test_a_program_can_wait_for_requests_and_open_the_gate(stub: OriginStub, control: Client) -> None:
    await control("PUT", "script?path=/a", json={"replies": ["gate=g&body=x"]})
    waiting = asyncio.create_task(control("GET", "arrived?path=/a&n=2"))
    asking = [asyncio.create_task(ask(stub, "/a")) for _ in range(2)]
    assert await waiting == (200, {"count": 2})
    assert (await control("GET", "gate/g?parked=2"))[1] == {"open": False, "passes": 0, "parked": 2}
    assert await control("POST", "gate/g/open?passes=1") == (200, {"open": False})
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert await control("POST", "gate/g/open") == (200, {"open": True})
    assert [one.body for one in await asyncio.gather(*asking)] == [b"x", b"x"]
    assert await control("POST", "gate/g/shut") == (200, {"open": False})
    assert (await control("GET", "gate"))[1] == {"g": {"open": False, "passes": 0, "parked": 0}}


async def test_waiting_in_vain_is_504(control: Client) -> None:
    assert await control("GET", "arrived?path=/a&timeout=10ms") == (504, {"count": 0})
    assert (await control("GET", "gate/g?parked=1&timeout=10ms"))[0] == 504


async def test_reset_over_http_forgets(stub: OriginStub, control: Client) -> None:
    await ask(stub, "/a")
    assert await control("POST", "reset") == (200, {"reset": True})
    assert stub.total.count == 0


@pytest.mark.parametrize(
    ("method", "what", "body", "status", "says"),
    [
        ("PUT", "script?path=/a", b"nonsense", 400, "not JSON"),
        ("PUT", "script?path=/a", b"[]", 400, '{"replies": [...]}'),
        ("PUT", "script?path=/a", b'{"replies": [3]}', 400, '{"replies": [...]}'),
        ("PUT", "script?path=/a", b'{"replies": []}', 400, "at least one"),
        ("PUT", "script?path=/a", b'{"replies": ["sice=1"]}', 400, "did you mean 'size'"),
        ("PUT", "script", b'{"replies": [""]}', 400, "?path="),
        ("GET", "arrived?path=/a&n=x", b"", 400, "x"),
        ("GET", "arrived?path=/a&timeout=soon", b"", 400, "not a duration"),
        ("GET", "nothing", b"", 404, "no GET /_stub/nothing"),
        ("POST", "tally", b"", 404, "no POST"),
    ],
)
async def test_errors_say_what_is_wrong(
    control: Client, method: str, what: str, body: bytes, status: int, says: str
) -> None:
    answered, told = await control(method, what, data=body)
    assert answered == status
    assert says in told["error"]


@pytest.mark.parametrize("field", ["Via", "Forwarded", "X-Forwarded-For", "CDN-Loop"])
async def test_what_came_through_a_proxy_is_not_heard(stub: OriginStub, control: Client, field: str) -> None:
    assert (await control("POST", "version?path=/a", headers={field: "1.1 edge"}))[0] == 403
    assert stub.version("/a") == 1


async def test_control_requests_are_not_counted(stub: OriginStub, control: Client) -> None:
    await control("GET", "tally")
    assert stub.total.count == 0


async def test_a_control_port_of_its_own_is_the_only_one() -> None:
    async with OriginStub(control=("127.0.0.1", 0)) as stub, aiohttp.ClientSession() as session:
        assert stub.control_address != stub.address
        assert (await Client(session, stub.control_address)("POST", "version?path=/a"))[0] == 200
        assert (await ask(stub, "/_stub/tally")).status == 404
        assert stub.version("/a") == 2


async def test_control_can_be_left_out() -> None:
    async with OriginStub(control=ControlAt.NOWHERE) as stub:
        assert stub.control_address is None
        assert (await ask(stub, "/_stub/tally")).status == 404
