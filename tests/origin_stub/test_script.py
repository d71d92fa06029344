"""Scripts, gates and counts, as a test uses them."""

from __future__ import annotations

import asyncio

import pytest

from origin_stub import Fault, OriginStub, Reply
from origin_stub.grammar import ScriptError
from tests.origin_stub.raw import ask, get


async def test_replies_are_used_in_order_and_the_last_repeats(stub: OriginStub) -> None:
    stub.script("/a", [Reply(500), "status=404", {"status": 201, "body": "made"}])
    heard = [await ask(stub, "/a?x=1") for _ in range(4)]
    assert [one.status for one in heard] == [500, 404, 201, 201]
    assert heard[-1].body == b"made"


async def test_the_nearest_script_wins(stub: OriginStub) -> None:
    stub.script("/a*", "status=201")
    stub.script("/a/b*", "status=202")
    stub.script("/a/b/c", "status=203")
    stub.script("/a/b/c?d", "status=205")
    asked = ["/a", "/a/x?y", "/a/b/x", "/a/b/c", "/a/b/c?e", "/a/b/c?d", "/b"]
    assert [(await ask(stub, one)).status for one in asked] == [201, 201, 202, 203, 203, 205, 404]


async def test_a_script_hides_the_site_until_it_is_dropped(stub: OriginStub) -> None:
    stub.script("/time", Reply(fault=Fault.CLOSE))
    assert (await ask(stub, "/time")).data == b""
    stub.unscript("/time")
    assert (await ask(stub, "/time")).status == 200


@pytest.mark.parametrize(("path", "replies"), [("/a", []), ("a", "status=200"), ("/a", ["sttus=1"])])
async def test_a_script_that_cannot_be_read_changes_nothing(
    stub: OriginStub, path: str, replies: list[str] | str
) -> None:
    stub.script("/a", "status=299")
    with pytest.raises(ScriptError):
        stub.script(path, replies)
    assert (await ask(stub, "/a")).status == 299


async def test_a_gate_holds_replies_until_it_opens(stub: OriginStub) -> None:
    stub.script("/a", "body=x&gate=g")
    asking = [asyncio.create_task(ask(stub, "/a")) for _ in range(5)]
    await stub.parked("g", 5)
    assert not any(one.done() for one in asking)
    assert stub.tally("/a").now == stub.tally("/a").most_at_once == 5
    stub.open("g", passes=2)
    await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    await stub.settled("/a", 2)
    assert stub.tally("/a").now == 3
    stub.open("g")
    assert [one.body for one in await asyncio.gather(*asking)] == [b"x"] * 5
    assert (await ask(stub, "/a")).body == b"x"
    assert (stub.tally("/a").now, stub.tally("/a").finished, stub.tally("/a").most_at_once) == (0, 6, 5)


async def test_a_gate_opened_before_anyone_came_is_open(stub: OriginStub) -> None:
    stub.open("g")
    assert (await ask(stub, "/make/a?gate=g&body=x")).body == b"x"
    stub.shut("g")
    asking = asyncio.create_task(ask(stub, "/make/a?gate=g&body=y"))
    await stub.parked("g")
    stub.open("g")
    assert (await asking).body == b"y"


async def test_waiting_in_vain_says_for_what(stub: OriginStub) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 requests for '/a'"):
        await stub.arrived("/a", within=0.01)
    with pytest.raises(TimeoutError, match="0 of 2 replies wait at gate 'g'"):
        await stub.parked("g", 2, within=0.01)


async def test_a_cancelled_wait_leaves_the_others_waiting(stub: OriginStub) -> None:
    one, two = (asyncio.create_task(stub.arrived("/a")) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await ask(stub, "/a")
    await two
    assert one.cancelled()


async def test_a_request_is_remembered_as_it_came(stub: OriginStub) -> None:
    await ask(stub, "/a?b=%41", "x-Odd: 1", "X-odd: \xe9", method="M-SEARCH")
    (asked,) = stub.tally("/a").last
    assert (asked.method, asked.target, asked.http, asked.serial) == ("M-SEARCH", "/a?b=%41", "1.1", 1)
    assert asked.headers[1:3] == [("x-Odd", "1"), ("X-odd", "\xe9")]
    assert asked.header("x-odd") == "1, \xe9"
    assert asked.header("absent") is None
    assert stub.tally("/a?b=%41").count == stub.tally("/a").count == stub.total.count == 1
    assert stub.tally("/a").methods == {"M-SEARCH": 1}
    assert stub.tally("/b").count == 0


async def test_reset_forgets_everything_and_lets_everyone_go(stub: OriginStub) -> None:
    stub.script("/a", "body=x&gate=g")
    stub.bump("/a")
    asking = asyncio.create_task(ask(stub, "/a"))
    await stub.parked("g")
    stub.reset()
    assert (await asking).body == b"x"
    assert (stub.total.count, stub.version("/a"), (await ask(stub, "/a")).status) == (0, 1, 404)


async def test_versions_never_repeat(stub: OriginStub) -> None:
    assert [stub.version("/a"), stub.bump("/a"), stub.bump(), stub.version("/a"), stub.version("/b")] == [1, 2, 2, 3, 2]


async def test_leaving_the_block_cuts_what_still_waits() -> None:
    async with OriginStub() as stub:
        reader, writer = await asyncio.open_connection(stub.host, stub.port)
        writer.write(get("/make/a?gate=never"))
        await stub.parked("never")
    assert await reader.read() == b""
    writer.close()


async def test_two_stubs_know_nothing_of_each_other() -> None:
    async with OriginStub() as one, OriginStub() as two:
        one.script("/a", "status=201")
        assert ((await ask(one, "/a")).status, (await ask(two, "/a")).status) == (201, 404)
        assert (one.total.count, two.total.count) == (1, 1)


def test_a_stub_that_is_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        OriginStub().script("/a", "status=200")
