"""A hub whose journal is in Redis: what its nodes see of Redis, of the hub and of a second one coming and going."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.purge.asked import Wait
from seawall.purge.redishub import RedisHub
from tests.purge.house import RANKS, Member, Shelf, states, tag
from tests.purge.redis_house import RedisHouse, redis_house
from tests.purge.redis_process import EVERY_SECOND, HUB, until

ALL = dict.fromkeys(("shield-1", *RANKS), "applied")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[RedisHouse]:
    async with redis_house(tmp_path) as built:
        yield built


def hub_of(home: RedisHouse) -> RedisHub:
    assert home.redis_hub is not None
    return home.redis_hub


def all_trust(home: RedisHouse) -> bool:
    return home.trusts and all(member.trusts for member in home.members.values())


def kept(member: Member) -> set[str]:
    return set(member.shelf.held)


def shelves(home: RedisHouse) -> list[Shelf]:
    return [home.shelf, *(member.shelf for member in home.members.values())]


async def ordered(home: RedisHouse, name: str) -> int:
    """An order that every node has applied."""
    said = await hub_of(home).purge(tag(name), "a test")
    assert said.status in (200, 207), said.document
    number = said.document["id"]
    assert isinstance(number, int)

    async def applied() -> bool:
        return set(states(await hub_of(home).receipt(number)).values()) == {"applied"}

    await until(applied)
    return number


async def test_purge_reaches_every_node(home: RedisHouse) -> None:
    await home.open_all()
    said = await hub_of(home).purge(tag("one"), "a test")
    assert (said.status, said.document["id"], states(said)) == (200, 1, ALL)
    for member in home.members.values():
        assert kept(member) == {"http://a.example/2", "http://b.example/"}
    assert home.trusts
    assert hub_of(home).ready()


async def test_order_that_is_found_after_it_was_told_is_carried_out_once(home: RedisHouse) -> None:
    await home.open_all()
    await ordered(home, "one")
    term = hub_of(home)._term
    assert term is not None
    server, done = term._server, len(home.shelf.diary)
    (order,) = server.journal.after(0)  # type: ignore[misc]
    server.found(order)
    assert (len(home.shelf.diary), server._given) == (done, {})
    assert await ordered(home, "t") == 2


async def test_hub_that_starts_elsewhere_goes_on_and_nodes_keep_what_they_store(home: RedisHouse) -> None:
    await home.open_all()
    assert await ordered(home, "one") == 1
    before = await hub_of(home).purges(None, 10)
    distrusted = {name: member.shelf.distrusted for name, member in home.members.items()}
    await home.close_hub()
    await home.open_hub()  # with an empty memory, and it never had anything on disk
    await until(lambda: all_trust(home))
    after = await hub_of(home).purges(None, 10)
    assert (after.document["journal"], after.document["last"]) == (before.document["journal"], 1)
    assert {name: member.shelf.distrusted for name, member in home.members.items()} == distrusted
    for member in home.members.values():
        assert kept(member) == {"http://a.example/2", "http://b.example/"}
    assert await ordered(home, "t") == 2
    for member in home.members.values():
        assert kept(member) == {"http://b.example/"}


async def test_node_that_was_away_while_the_hub_moved_hears_of_what_it_missed(home: RedisHouse) -> None:
    await home.open_all()
    away = home.members["edge-ams"]
    distrusted = away.shelf.distrusted
    away.relay.to = None
    away.relay.cut()
    await hub_of(home).purge(tag("one", wait=Wait.ACCEPTED), "a test")
    await home.close_hub()
    await home.open_hub()
    await until(lambda: kept(away) == {"http://a.example/2", "http://b.example/"})
    await until(lambda: all_trust(home))
    assert away.shelf.distrusted == distrusted


async def test_second_process_of_the_name_waits_and_takes_over(home: RedisHouse) -> None:
    await home.open_all()
    second = await home.open_redis_hub()
    assert not second.ready()
    refused = await second.purge(tag("one"), "a test")
    assert refused.status == 503
    assert "another hub numbers the orders: shield-1/" in str(refused.document["detail"])
    assert (await second.topology()).status == 503
    assert (await second.receipt(1)).status == 503
    assert (await second.purges(None, 10)).status == 503
    assert await ordered(home, "one") == 1
    await home.close_hub()
    await until(second.ready)
    said = await second.purges(None, 10)
    assert said.document["last"] == 1
    await second.close()


async def test_hub_that_lost_its_lease_grants_none_and_trusts_nothing(home: RedisHouse) -> None:
    """Another hub came while this one could not say that it is there."""
    await home.open_all()
    client = home.server.client()
    await client.set(HUB, "shield-9/other.1")
    await until(lambda: not hub_of(home).ready())
    assert not home.trusts
    await until(lambda: not any(member.trusts for member in home.members.values()))
    assert (await hub_of(home).purge(tag("one"), "a test")).status == 503
    await client.delete(HUB)
    await until(lambda: all_trust(home))
    assert await ordered(home, "one") == 1


async def test_end_of_the_term_counts_at_once(home: RedisHouse) -> None:
    await home.open_all()
    journal = hub_of(home)._journal
    assert journal is not None
    journal._end("another hub numbers")
    assert not home.trusts
    assert not hub_of(home).ready()


async def test_hub_that_ends_while_its_term_ends_leaves_nothing_behind(home: RedisHouse) -> None:
    await home.open_all()
    hub = hub_of(home)
    journal = hub._journal
    assert journal is not None
    journal._end("another hub numbers")
    await until(lambda: hub._ending is not None)
    await hub.close()
    assert not await home.server.client().exists(HUB)
    assert journal._keeper is not None
    assert journal._keeper.done()


async def test_purge_while_redis_is_gone_is_a_loud_error_and_purges_nothing(home: RedisHouse) -> None:
    await home.open_all()
    await home.server.kill()
    said = await hub_of(home).purge(tag("one"), "a test")
    assert said.status == 503
    assert said.media_type == "application/problem+json"
    for shelf in shelves(home):
        assert "http://a.example/1" in shelf.held
    # Nobody can be sure any more that no other hub numbers; so nobody trusts what it stores.
    await until(lambda: not home.trusts and not any(member.trusts for member in home.members.values()))
    assert not hub_of(home).ready()
    distrusted = {name: member.shelf.distrusted for name, member in home.members.items()}
    await home.server.start()
    await until(lambda: all_trust(home))
    assert {name: member.shelf.distrusted for name, member in home.members.items()} == distrusted
    assert await ordered(home, "one") == 1


async def test_frozen_redis_is_an_error_within_bounded_time(home: RedisHouse) -> None:
    await home.open_all()
    home.server.freeze()
    async with asyncio.timeout(6):
        said = await hub_of(home).purge(tag("one", timeout=30.0), "a test")
    assert said.status == 503
    home.server.thaw()
    await until(lambda: all_trust(home))
    await ordered(home, "t")
    for member in home.members.values():
        assert kept(member) == {"http://b.example/"}


@pytest.mark.parametrize("loss", ["flushed", "restarted, and not durable"])
async def test_loss_makes_everything_stale_at_every_node(tmp_path: Path, loss: str) -> None:
    async with redis_house(tmp_path, EVERY_SECOND) as home:
        await home.open_all()
        await ordered(home, "one")
        journal = (await hub_of(home).purges(None, 1)).document["journal"]
        if loss == "flushed":
            await home.server.client().flushall()
        else:
            await home.server.kill()
            await home.server.start()

        async def another() -> bool:
            return (await hub_of(home).purges(None, 1)).document.get("journal") not in (None, journal)

        await until(another)
        # A lease of the old term may last until then: nothing has been purged since that it could miss.
        await until(lambda: not any(shelf.held for shelf in shelves(home)))
        await until(lambda: all_trust(home))
        assert await ordered(home, "t") == 1


async def test_lost_orders_of_a_dead_hub_make_everything_stale(home: RedisHouse, tmp_path: Path) -> None:
    """The hub's machine is gone, and Redis comes back from an old copy: nodes know more than both."""
    await home.open_all()
    await ordered(home, "nothing")
    home.server.backup(tmp_path / "old")
    await ordered(home, "one")
    await home.close_hub()
    await home.server.kill()
    home.server.restore(tmp_path / "old")
    await home.server.start()
    await home.open_hub()

    async def waits_for_one_that_is_cut_off() -> bool:
        refused = await hub_of(home).purge(tag("one"), "a test")
        assert refused.status == 503
        return "an earlier hub may believe" in str(refused.document["detail"])

    # First for the lease that the old copy still holds, then as long as one may last that was lost with the orders.
    await until(waits_for_one_that_is_cut_off)
    await until(lambda: hub_of(home).ready())
    await until(lambda: not any(member.shelf.held for member in home.members.values()))
    await until(lambda: all_trust(home))


async def test_hub_starts_without_redis_and_begins_when_it_is_there(home: RedisHouse) -> None:
    await home.server.kill()
    await home.open_hub()
    assert not hub_of(home).ready()
    assert not home.trusts
    assert (await hub_of(home).purge(tag("one"), "a test")).status == 503
    await home.server.start()
    await until(lambda: home.trusts and hub_of(home).ready())
    assert (await hub_of(home).purge(tag("one", wait=Wait.ACCEPTED), "a test")).status in (200, 202)


async def test_two_hubs_of_one_name_never_number_at_once(home: RedisHouse) -> None:
    """Both are asked all the time, and the lease goes to and fro: every order that was told is in the journal."""
    rivals = [await home.open_redis_hub(ranks={}) for _ in range(2)]
    client = home.server.client()
    told: dict[int, str] = {}
    enough = asyncio.Event()
    numbered: set[int] = set()

    async def ask(which: int) -> None:
        for turn in range(100_000):
            if enough.is_set():
                return
            name = f"{which}-{turn}"
            said = await rivals[which].purge(tag(name, wait=Wait.ACCEPTED), "a test")
            if said.status < 400:
                number = said.document["id"]
                assert isinstance(number, int)
                assert number not in told
                told[number] = name
                numbered.add(which)
            else:
                await asyncio.sleep(0.001)

    async def disturb() -> None:
        """A third one takes the lease for a moment, and then whoever comes first has it."""
        while numbered != {0, 1} or len(told) < 100:
            await client.set(HUB, "shield-9/other.1")
            await until(lambda: not any(hub.ready() for hub in rivals))
            await client.delete(HUB)
            await until(lambda: any(hub.ready() for hub in rivals))
            seen = len(told)
            await until(lambda seen=seen: len(told) > seen)  # type: ignore[misc]
        enough.set()

    async with asyncio.timeout(30):
        await asyncio.gather(ask(0), ask(1), disturb())
    ready = next(hub for hub in rivals if hub.ready())
    listed = (await ready.purges(None, 1000)).document
    there = {each["id"]: each["tags"] for each in listed["purges"]}  # type: ignore[attr-defined]
    assert len(there) >= 100
    assert all(there[number] == [name] for number, name in told.items() if number in there)
    assert max(told) == listed["last"]
    assert min(there) == listed["first"]
    for hub in rivals:
        await hub.close()
