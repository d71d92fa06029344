"""A purge is over when it says so: stories with a hub and nodes over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.purge.asked import Wait
from seawall.purge.hubservice import HubService
from seawall.purge.lease import Lease
from tests.purge.house import ADMIN, LEASE, RANKS, House, admin_port, house, matched, states, tag, until

ALL = {"shield-1": "applied", **dict.fromkeys(RANKS, "applied")}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "journal") as built:
        yield built


async def test_a_purge_reaches_every_node_and_says_what_it_met(home: House) -> None:
    hub = await home.open_all()
    home.members["edge-nyc"].shelf.held.clear()
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, answer.document["state"], answer.document["matched"]) == (200, "complete", 6)
    assert states(answer) == ALL
    assert matched(answer) == {"shield-1": 2, "shield-2": 2, "edge-ams": 2, "edge-nyc": 0}
    for shelf in (home.shelf, home.members["edge-ams"].shelf):
        assert list(shelf.held) == ["http://b.example/"]
    assert "warning" not in answer.document
    assert (await hub.purge(tag("t"), "a test")).document["warning"]


async def test_nodes_nearer_to_the_origin_forget_first(home: House) -> None:
    hub = await home.open_all()
    await hub.purge(tag("t"), "a test")
    first = [home.shelf, home.members["shield-2"].shelf]
    last = [home.members["edge-ams"].shelf, home.members["edge-nyc"].shelf]
    turns = [[shelf.diary[0][0] for shelf in group] for group in (first, last)]
    assert turns[0] == sorted(turns[0])
    assert max(turns[0]) < min(turns[1])


async def test_any_node_takes_a_purge(home: House) -> None:
    await home.open_all()
    member = home.members["edge-ams"].service
    assert member is not None
    answer = await member.purge(tag("t"), "a test")
    assert (answer.status, states(answer)) == (200, ALL)
    again = await member.receipt(1)
    assert (again.status, again.document["tags"]) == (200, ["t"])
    listed = await member.purges(None, 10)
    assert listed.document["last"] == 1
    assert (await member.receipt(2)).status == 404


async def test_a_frozen_node_is_fenced_after_its_lease_and_comes_back_clean(home: House) -> None:
    hub = await home.open_all()
    frozen = home.members["edge-ams"]
    frozen.relay.hold()
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, answer.document["state"]) == (207, "partial")
    assert states(answer) == ALL | {"edge-ams": "fenced"}
    assert not frozen.trusts
    assert frozen.shelf.held, "it has not heard of the purge"

    frozen.relay.release()
    await until(lambda: frozen.trusts)
    assert list(frozen.shelf.held) == ["http://b.example/"]
    assert frozen.shelf.trusted_while_applying[-1] is False
    later = await hub.receipt(1)
    assert (later.document["state"], states(later)) == ("complete", ALL)


async def test_a_lease_runs_out_while_nobody_says_a_word(home: House) -> None:
    hub = await home.open_hub(ranks={"edge-ams": 1})
    only = await home.open_member("edge-ams")
    await until(lambda: only.trusts)
    only.relay.hold()
    answer = await hub.purge(tag("t", timeout=10 * LEASE), "a test")
    assert (answer.status, only.trusts) == (207, False)


async def test_a_node_whose_hub_falls_silent_connects_again(home: House) -> None:
    await home.open_hub(ranks={"edge-ams": 1})
    only = await home.open_member("edge-ams")
    await until(lambda: only.trusts)
    only.relay.hold()
    await until(lambda: only.relay.connections > 1)


async def test_who_does_not_wait_is_told_that_it_is_not_over(home: House) -> None:
    hub = await home.open_all()
    home.members["edge-ams"].relay.hold()
    for asked in (tag("t", wait=Wait.ACCEPTED), tag("t", timeout=0.05)):
        answer = await hub.purge(asked, "a test")
        assert (answer.status, answer.document["state"]) == (202, "accepted")
        assert states(answer)["edge-ams"] == "pending"
        assert states(answer)["shield-1"] == "applied"


async def test_a_node_that_was_cut_off_catches_up_before_it_trusts(home: House) -> None:
    hub = await home.open_all()
    away = home.members["edge-nyc"]
    away.relay.to = None
    away.relay.cut()
    answers = [await hub.purge(tag(name), "a test") for name in ("one", "t")]
    assert [answer.document["state"] for answer in answers] == ["partial", "partial"]
    assert home.port is not None
    away.relay.to = home.port.port
    await until(lambda: away.trusts)
    assert [what.tags for _, what in away.shelf.diary] == [("one",), ("t",)]
    assert away.shelf.trusted_while_applying == [False, False]
    assert (away.shelf.distrusted, away.applied.number) == (1, 2)


# Longer than any pause of a busy machine: who waited for a lease of this length would be told from who did not.
LONG_LEASE = 20.0


async def test_a_node_that_takes_leave_holds_nobody_up(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.purge.house.LEASE", LONG_LEASE)
    hub = await home.open_all()
    await home.members["edge-ams"].close()
    assert not home.members["edge-ams"].trusts
    started = asyncio.get_running_loop().time()
    answer = await hub.purge(tag("t"), "a test")
    assert asyncio.get_running_loop().time() - started < LONG_LEASE / 2
    assert states(answer) == ALL | {"edge-ams": "fenced"}


async def test_a_hub_that_comes_back_goes_on_where_it_was(home: House) -> None:
    hub = await home.open_all()
    await hub.purge(tag("one"), "a test")
    await home.close_hub()
    await until(lambda: not any(member.trusts for member in home.members.values()))
    hub = await home.open_hub()
    old = await hub.receipt(1)
    assert states(old)["shield-1"] == "applied"
    answer = await hub.purge(tag("t"), "a test")
    # Other processes of these names may hold what the old hub granted: a lease has to pass before these are believed.
    assert (answer.document["id"], answer.status) in [(2, 200), (2, 207)]
    await until(lambda: all(member.applied.number == 2 for member in home.members.values()))
    for number in (1, 2):
        await settled(hub, number)
    for member in home.members.values():
        assert [what.tags for _, what in member.shelf.diary] == [("one",), ("t",)]
        assert member.shelf.distrusted == 1, "only when it was new"


async def settled(hub: HubService, number: int) -> None:
    """Waits until every node has applied it."""

    async def complete() -> bool:
        return states(await hub.receipt(number)) == ALL

    await until(complete)


async def test_a_new_hub_reckons_with_what_the_old_one_has_granted(home: House) -> None:
    await home.open_hub(ranks={"edge-ams": 1})
    away = await home.open_member("edge-ams")
    await until(lambda: away.trusts)
    away.relay.to = None
    away.relay.cut()
    await home.close_hub()
    hub = await home.open_hub(ranks={"edge-ams": 1})
    away.relay.to = None
    assert away.trusts, "the story is about what the old hub granted"
    answer = await hub.purge(tag("t", timeout=0.0), "a test")
    assert states(answer)["edge-ams"] == "pending"
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, away.trusts) == (207, False)


async def test_nodes_that_are_alone_under_their_name_are_believed_at_once_by_a_new_hub(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.purge.house.LEASE", LONG_LEASE)
    await home.open_hub()
    for name in RANKS:
        await (await home.new_member(name)).open(sole=True)
    members = home.members.values()
    await until(lambda: all(member.trusts for member in members))
    await home.close_hub()
    hub = await home.open_hub()
    await until(lambda: all(member.service is not None and member.service._feed.connected for member in members))
    started = asyncio.get_running_loop().time()
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, states(answer)) == (200, ALL)
    assert asyncio.get_running_loop().time() - started < LONG_LEASE / 2


async def test_a_node_that_missed_more_than_is_kept_distrusts_everything(home: House) -> None:
    hub = await home.open_hub(max_orders=4)
    away = await home.open_member("edge-ams")
    await until(lambda: away.trusts)
    away.shelf.fill()
    away.relay.to = None
    away.relay.cut()
    for _ in range(12):
        await hub.purge(tag("other", wait=Wait.ACCEPTED), "a test")
    assert home.port is not None
    away.relay.to = home.port.port
    await until(lambda: away.applied.number == 12)
    assert (away.shelf.distrusted, away.shelf.held, away.shelf.diary) == (2, {}, [])
    await until(lambda: away.trusts)


async def test_a_journal_that_is_not_the_one_before_makes_everything_stale(home: House) -> None:
    hub = await home.open_all()
    await hub.purge(tag("one"), "a test")
    await home.close_hub()
    home.directory = home.directory / "another"
    await home.open_hub()
    members = home.members.values()
    await until(lambda: all(member.shelf.distrusted == 2 for member in members))
    assert all(not member.shelf.held for member in members)


async def test_a_purge_at_a_node_whose_hub_is_gone_is_a_loud_error(home: House) -> None:
    await home.open_all()
    member = home.members["edge-ams"]
    assert member.service is not None
    await home.close_hub()
    answer = await member.service.purge(tag("t"), "a test")  # its connection is taken, and ends
    assert (answer.status, "it is not known whether" in str(answer.document["detail"])) == (502, True)
    where = member.relay.url
    await member.relay.close()
    answer = await member.service.purge(tag("t"), "a test")
    assert (answer.status, "; nothing was purged" in str(answer.document["detail"])) == (503, True)
    assert where in str(answer.document["detail"])
    assert (await member.service.topology()).status == 503
    assert len(member.shelf.held) == 3
    assert member.service.ready(), "it goes on, and asks before it serves"


async def test_a_hub_that_does_not_answer_in_time_is_a_loud_error(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.open_all()
    member = home.members["edge-ams"]
    assert member.service is not None
    monkeypatch.setattr("seawall.purge.memberservice.SLACK_SECONDS", 0.1)
    member.relay.hold()
    answer = await member.service.purge(tag("t", timeout=0.1), "a test")
    assert (answer.status, "it is not known whether" in str(answer.document["detail"])) == (504, True)


async def test_a_node_is_not_ready_and_trusts_nothing_until_it_has_met_its_hub(home: House) -> None:
    member = await home.open_member("edge-ams")
    assert member.service is not None
    await until(lambda: member.relay.connections > 1)
    assert not member.service.ready()
    assert not member.trusts
    await home.open_hub()
    await until(lambda: member.trusts)
    assert member.service.ready()


async def test_a_node_with_another_secret_follows_nothing(home: House) -> None:
    await home.open_hub()
    stranger = await home.new_member("edge-ams")
    service = await stranger.open(secret="the-secret-of-somebody-else")
    answer = await service.purge(tag("t"), "a test")
    assert (answer.status, "purge.secret" in str(answer.document["detail"])) == (503, True)
    assert not service.ready()
    assert not stranger.trusts


async def test_a_node_that_is_not_in_the_topology_gets_no_orders(home: House) -> None:
    await home.open_hub()
    stranger = await home.open_member("edge-unknown")
    await until(lambda: stranger.relay.connections > 2)
    assert stranger.service is not None
    assert not stranger.service.ready()
    assert not stranger.trusts


async def test_the_newest_process_of_a_name_is_the_one_that_is_fed(home: House) -> None:
    hub = await home.open_all()
    elder = home.members["edge-ams"]
    younger = await home.new_member("edge-ams")
    await younger.open()  # not the only one of its name, and it does not say so
    elder.relay.to = None  # it does not come back and take its place again
    await until(lambda: younger.trusts)
    answer = await hub.purge(tag("t"), "a test")
    # Until the elder's lease has run out, what the younger confirms says nothing of it.
    assert answer.document["state"] == "complete"
    assert not elder.trusts
    assert [what.tags for _, what in younger.shelf.diary] == [("t",)]
    await elder.close()


async def test_a_purge_whose_caller_has_left_is_carried_out_all_the_same(home: House) -> None:
    hub = await home.open_all()
    caller = asyncio.create_task(hub.purge(tag("t"), "a test"))
    await asyncio.sleep(0)  # it has asked for its number
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    answer = await hub.purge(tag("one"), "a test")
    assert (answer.document["id"], answer.document["state"]) == (2, "complete")
    for shelf in (home.shelf, *(member.shelf for member in home.members.values())):
        assert [what.tags for _, what in shelf.diary] == [("t",), ("one",)]


async def test_purges_at_the_same_time_are_applied_everywhere_in_one_order(home: House) -> None:
    hub = await home.open_all()
    member = home.members["edge-ams"].service
    assert member is not None
    answers = await asyncio.gather(
        *((hub if turn % 2 else member).purge(tag(f"t{turn}"), "a test") for turn in range(40))
    )
    assert {answer.document["state"] for answer in answers} == {"complete"}
    diaries = [[what for _, what in shelf.diary] for shelf in (home.shelf, *(m.shelf for m in home.members.values()))]
    assert len(diaries[0]) == 40
    assert all(diary == diaries[0] for diary in diaries)


async def test_a_store_that_fails_to_forget_distrusts_everything_instead(home: House) -> None:
    hub = await home.open_all()
    broken = home.members["edge-ams"]
    broken.shelf.broken = home.shelf.broken = True
    answer = await hub.purge(tag("t"), "a test")
    assert answer.document["state"] == "complete"
    assert not broken.shelf.held
    assert not home.shelf.held


class Watched(Lease):
    """Counts how often it was given up."""

    surrendered = 0

    def surrender(self) -> None:
        self.surrendered += 1
        super().surrender()


async def test_a_node_that_can_neither_forget_nor_distrust_never_confirms(home: House) -> None:
    hub = await home.open_hub(ranks={"edge-ams": 1})
    member = await home.new_member("edge-ams")
    member.lease = lease = Watched(LEASE)
    await member.open()
    await until(lambda: member.trusts)
    member.shelf.broken = member.shelf.stuck = True
    answer = await hub.purge(tag("t", timeout=10 * LEASE), "a test")
    assert (answer.status, member.trusts) == (207, False)
    assert lease.surrendered
    assert states(await hub.receipt(1))["edge-ams"] == "fenced"


async def test_each_question_to_the_hub_has_a_connection_of_its_own(home: House) -> None:
    await home.open_all()
    member = home.members["edge-ams"]
    assert member.service is not None
    before = member.relay.connections
    for _ in range(2):
        await member.service.topology()
    assert member.relay.connections == before + 2


async def test_a_dry_run_counts_on_every_node_and_changes_nothing(home: House) -> None:
    hub = await home.open_all()
    answer = await hub.purge(tag("t", dry_run=True), "a test")
    assert (answer.status, answer.document["id"], answer.document["matched"]) == (200, None, 8)
    assert set(states(answer).values()) == {"counted"}
    assert (await hub.purges(None, 10)).document["purges"] == []
    assert all(len(member.shelf.held) == 3 for member in home.members.values())

    home.members["edge-nyc"].relay.hold()
    answer = await hub.purge(tag("t", dry_run=True, timeout=0.1), "a test")
    assert (answer.status, answer.document["state"], states(answer)["edge-nyc"]) == (207, "partial", "unknown")


async def test_the_topology_shows_who_follows_how_far(home: House) -> None:
    hub = await home.open_all()
    away = home.members["edge-nyc"]
    away.relay.to = None
    away.relay.cut()
    await hub.purge(tag("t"), "a test")
    said = (await hub.topology()).document
    assert (said["hub"], said["last"], said["lease"]) == ("shield-1", 1, LEASE)
    nodes = said["nodes"]
    assert isinstance(nodes, list)
    shown = {each["node"]: each for each in nodes}
    assert list(shown) == ["shield-1", *RANKS]
    assert {name: each["connected"] for name, each in shown.items()} == dict.fromkeys(shown, True) | {"edge-nyc": False}
    assert (shown["edge-ams"]["role"], shown["edge-ams"]["region"], shown["edge-ams"]["lag"]) == ("edge", "eu", 0)
    assert (shown["edge-nyc"]["lag"], shown["edge-nyc"]["lease"]["fenced"]) == (1, True)


async def test_a_node_alone_needs_nobody(home: House) -> None:
    hub = await home.open_hub(ranks={})
    home.shelf.fill()
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, states(answer), answer.document["matched"]) == (200, {"shield-1": "applied"}, 2)
    assert hub.ready()


async def test_the_list_is_newest_first_and_is_read_in_pages(home: House) -> None:
    hub = await home.open_hub(ranks={})
    for number in range(5):
        await hub.purge(tag(f"t{number}"), "a test")
    seen: list[object] = []
    after: object = None
    for _ in range(3):
        assert after is None or isinstance(after, int)
        page = (await hub.purges(after, 2)).document
        purges, after = page["purges"], page["next"]
        assert isinstance(purges, list)
        seen += [each["id"] for each in purges]
    assert (seen, after) == ([5, 4, 3, 2, 1], None)


async def test_a_journal_that_cannot_write_refuses_and_purges_nothing(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await home.open_all()
    monkeypatch.setattr("seawall.purge.ledger._write", _no_disk)
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.status, "nothing was purged" in str(answer.document["detail"])) == (503, True)
    assert len(home.shelf.held) == 3
    monkeypatch.undo()
    answer = await hub.purge(tag("t"), "a test")
    assert (answer.document["id"], answer.document["state"]) == (1, "complete")


def _no_disk(handle: int, content: bytes) -> None:
    raise OSError(5, "Input/output error")


async def test_two_nodes_that_take_each_other_for_the_hub_do_not_pass_a_purge_to_and_fro(home: House) -> None:
    one = await home.open_member("edge-ams")
    other = await home.open_member("edge-nyc")
    assert one.service is not None
    assert other.service is not None
    ports = [await admin_port(one.service, one.name), await admin_port(other.service, other.name)]
    one.relay.to, other.relay.to = ports[1].port, ports[0].port
    try:
        answer = await one.service.purge(tag("t"), "a test")
        assert (answer.status, "not the purge hub" in str(answer.document["detail"])) == (508, True)
    finally:
        for port in ports:
            await port.close()
    assert ADMIN not in str(answer.document)
