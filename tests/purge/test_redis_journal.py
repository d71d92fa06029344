"""The journal in Redis: what is told is there, under its own number, and nobody else can give that number."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from seawall.purge import redisscripts
from seawall.purge.journal import JournalError, Trimmed
from seawall.purge.leaseclock import lease_clock
from seawall.purge.ledger import Opening
from seawall.purge.order import Order
from seawall.purge.redisclient import open_client
from seawall.purge.redisidentity import Known
from seawall.purge.redisjournal import RedisJournal
from seawall.purge.redisledger import Client, Taken
from seawall.purge.selection import Selection
from tests.purge.redis_process import ABOUT, ALWAYS, EVERY_SECOND, HUB, ORDERS, RedisServer, redis_server, until
from tests.structure.sources import ROOT

LEASE = 2.0


def tagged(tag: str) -> Selection:
    return Selection(tags=(tag,))


async def opened(
    server: RedisServer,
    *,
    lease: float = LEASE,
    known: Known | None = None,
    max_orders: int = 1000,
    patience: float = 2.0,
) -> RedisJournal:
    return await RedisJournal.open(
        server.client(), node="hub", lease_seconds=lease, known=known, max_orders=max_orders, append_seconds=patience
    )


async def entries(server: RedisServer) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: list[tuple[bytes, dict[bytes, bytes]]] = await server.client().xrange(ORDERS)  # type: ignore[assignment]
    return found


async def opened_when_free(server: RedisServer, known: Known | None = None) -> RedisJournal:
    """The next term, once the lease of the one before has run out."""
    terms: list[RedisJournal] = []

    async def free() -> bool:
        try:
            terms.append(await opened(server, known=known))
        except Taken:
            return False
        return True

    await until(free)
    return terms[0]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "redis") as started:
        yield started


@pytest.fixture
async def journal(server: RedisServer) -> AsyncIterator[RedisJournal]:
    made = await opened(server)
    yield made
    await made.close()


# --- as the journal on disk ---


async def test_orders_are_numbered_from_one_and_read_back(journal: RedisJournal) -> None:
    assert (journal.first, journal.last, journal.after(0)) == (1, 0, [])
    assert journal.opening == Opening(new=True)
    first = await journal.append(tagged("a"), False, 10.0)
    second = await journal.append(tagged("b"), True, 11.0)
    assert first == Order(1, 10.0, tagged("a"), False)
    assert second == Order(2, 11.0, tagged("b"), True)
    assert journal.after(0) == [first, second]
    assert journal.after(1) == [second]
    assert journal.after(2) == []
    assert journal.after(3) == Trimmed(1, 2)
    assert (journal.first, journal.last) == (1, 2)


async def test_what_is_told_is_in_the_stream_under_its_number(server: RedisServer, journal: RedisJournal) -> None:
    await journal.append(tagged("a"), False, 0.0)
    ((entry, fields),) = await entries(server)
    assert (entry, list(fields)) == (b"1-0", [b"order"])
    assert b'"a"' in fields[b"order"]


async def test_what_comes_during_a_write_shares_the_next_one(server: RedisServer, journal: RedisJournal) -> None:
    client = server.client()
    server.freeze()
    first = asyncio.create_task(journal.append(tagged("first"), False, 0.0))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(journal.append(tagged(f"t{n}"), False, 0.0)) for n in range(200)]
    await asyncio.sleep(0)  # all of them have asked
    server.thaw()
    orders = [await first, *await asyncio.gather(*rest)]
    assert [order.number for order in orders] == list(range(1, 202))
    assert [order.what for order in orders] == [tagged("first"), *(tagged(f"t{n}") for n in range(200))]
    assert journal.after(0) == orders
    stats = await client.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] < 10


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(journal: RedisJournal) -> None:
    asked = [asyncio.create_task(journal.append(tagged(f"t{n}"), False, 0.0)) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(got[1], asyncio.CancelledError)
    assert isinstance(got[2], Order)
    assert got[2].number == 3
    assert len(journal.after(0)) == 3  # type: ignore[arg-type]


async def test_close_writes_what_was_asked_for_and_takes_no_more(server: RedisServer) -> None:
    journal = await opened(server)
    asked = asyncio.create_task(journal.append(tagged("a"), False, 0.0))
    await asyncio.sleep(0)
    await journal.close()
    assert (await asked).number == 1
    with pytest.raises(JournalError):
        await journal.append(tagged("b"), False, 0.0)
    await journal.close()
    # The lease was given back, so the next need not wait; and it reads what was written.
    again = await opened(server)
    assert (again.id, again.last, again.opening, again.after(0)) == (journal.id, 1, Opening(), [await asked])
    await again.close()


async def test_what_is_forgotten_is_answered_as_trimmed(server: RedisServer) -> None:
    journal = await opened(server, max_orders=10)
    for number in range(1, 31):
        await journal.append(tagged(f"t{number}"), False, 0.0)
    await journal.close()
    assert journal.last == 30
    assert 20 < journal.first <= 30
    assert journal.after(journal.first - 2) == Trimmed(journal.first, 30)
    held = journal.after(journal.first - 1)
    assert isinstance(held, list)
    assert [order.number for order in held] == list(range(journal.first, 31))
    assert await server.client().xlen(ORDERS) == len(held)
    again = await opened(server)
    assert (again.id, again.first, again.after(again.first - 1)) == (journal.id, journal.first, held)
    assert (await again.append(tagged("next"), False, 0.0)).number == 31
    await again.close()


async def test_octets_are_bounded_too(server: RedisServer) -> None:
    journal = await RedisJournal.open(server.client(), node="hub", lease_seconds=LEASE, max_bytes=2000)
    for number in range(40):
        await journal.append(tagged(f"{number}" * 40), False, 0.0)
    await journal.close()
    assert 1 <= sum(len(fields[b"order"]) for _, fields in await entries(server)) <= 2000


# --- who numbers ---


async def test_only_one_of_many_that_race_for_it_numbers(server: RedisServer) -> None:
    tries = await asyncio.gather(*(opened(server) for _ in range(8)), return_exceptions=True)
    won = [each for each in tries if isinstance(each, RedisJournal)]
    assert len(won) == 1
    assert all(isinstance(each, Taken) for each in tries if each is not won[0])
    await won[0].close()


async def test_who_lost_the_lease_writes_nothing_and_the_other_goes_on_with_the_same_journal(
    server: RedisServer,
) -> None:
    old = await opened(server, lease=0.2)
    await old.append(tagged("old"), False, 0.0)
    # Nobody keeps it, as in a process that is frozen. The lease runs out, and another process takes it.
    new = await opened_when_free(server)
    assert not old.holds(lease_clock())
    assert new.holds(lease_clock())
    assert (new.id, new.last) == (old.id, 1)
    late, fresh = await asyncio.gather(
        old.append(tagged("late"), False, 0.0), new.append(tagged("new"), False, 0.0), return_exceptions=True
    )
    assert isinstance(late, JournalError)
    assert isinstance(fresh, Order)
    assert fresh.number == 2
    assert old.ended.is_set()
    with pytest.raises(JournalError, match="another hub numbers"):
        await old.append(tagged("late"), False, 0.0)
    await old.close()  # and does not give back what is not its own
    assert (await new.append(tagged("newer"), False, 0.0)).number == 3
    await new.close()


async def test_a_lease_that_ran_out_and_that_nobody_took_is_taken_again(server: RedisServer) -> None:
    journal = await opened(server, lease=0.1)
    client = server.client()

    async def gone() -> bool:
        return not await client.exists(HUB)

    await until(gone)
    assert not journal.holds(lease_clock())
    assert (await journal.append(tagged("a"), False, 0.0)).number == 1
    assert not journal.ended.is_set()
    await journal.close()


async def test_who_had_it_before_another_one_did_ends_though_it_is_free_again(server: RedisServer) -> None:
    first = await opened(server, lease=0.1)
    client = server.client()

    async def gone() -> bool:
        return not await client.exists(HUB)

    await until(gone)
    second = await opened(server)
    await second.append(tagged("x"), False, 0.0)
    await second.close()
    with pytest.raises(JournalError):
        await first.append(tagged("y"), False, 0.0)
    assert first.ended.is_set()
    third = await opened(server)
    assert [order.what for order in third.after(0)] == [tagged("x")]  # type: ignore[union-attr]
    await third.close()


async def test_the_lease_is_prolonged_while_nothing_is_ordered(server: RedisServer) -> None:
    journal = await opened(server, lease=0.3)
    journal.keep()
    for _ in range(4):
        held_until = journal._held_until
        await until(lambda held_until=held_until: journal._held_until > held_until)  # type: ignore[misc]
    with pytest.raises(Taken):
        await opened(server)
    await journal.close()


# --- faults ---


async def test_killed_redis_is_a_refusal_and_no_order_that_was_told_is_lost(server: RedisServer) -> None:
    journal = await opened(server)
    journal.keep()
    told: list[Order] = []
    refused: list[Exception] = []

    async def purge(name: str) -> None:
        for number in range(1000):
            try:
                told.append(await journal.append(tagged(f"{name}-{number}"), False, 0.0))
            except JournalError as error:
                refused.append(error)
                return

    purging = [asyncio.create_task(purge(f"p{n}")) for n in range(8)]
    await until(lambda: len(told) > 100)
    await server.kill()
    await asyncio.gather(*purging)
    assert len(refused) == 8
    known = journal.known
    assert known.last == max(order.number for order in told)
    await server.start()
    await until(journal.ended.is_set)  # another process: somebody has to judge anew
    await journal.close()
    again = await opened(server, known=known)
    assert (again.id, again.opening) == (journal.id, Opening())
    there = {order.number: order for order in again.after(0)}  # type: ignore[union-attr]
    assert all(there[order.number] == order for order in told)
    await again.close()


async def test_frozen_redis_is_a_refusal_within_the_deadline_and_what_was_written_late_is_found(
    server: RedisServer,
) -> None:
    journal = await opened(server, patience=0.2, lease=5.0)
    found: list[Order] = []
    journal.on_found = found.append
    await journal.append(tagged("before"), False, 0.0)
    server.freeze()
    with pytest.raises(JournalError, match="carried out"):
        await journal.append(tagged("asked"), False, 0.0)
    # The next one never left this process: nobody has to wonder about it.
    with pytest.raises(JournalError, match=r"within 0\.2 s$"):
        await journal.append(tagged("never sent"), False, 0.0)
    assert journal.last == 1
    server.thaw()
    after = await journal.append(tagged("after"), False, 0.0)
    # Either the frozen Redis read it first, or it was made void: what is in the journal was carried out.
    there = journal.after(1)
    assert isinstance(there, list)
    assert there == [*found, after]
    assert [order.what for order in found] in ([], [tagged("asked")])
    assert len(await entries(server)) == journal.last
    await journal.close()


async def test_a_command_that_arrives_after_it_was_asked_for_anew_is_void(server: RedisServer) -> None:
    journal = await opened(server)
    late = journal._ledger._value
    await journal._resync()
    keys = (HUB, ABOUT, ORDERS)
    said = await server.client().eval(redisscripts.APPEND, 3, *keys, late, journal._ledger._run, journal.id, "0", "{}")
    assert said[0] == b"lease"
    assert await server.client().xlen(ORDERS) == 0
    await journal.close()


async def test_an_order_that_nobody_answered_for_is_found_by_the_lease_keeper(server: RedisServer) -> None:
    """As if the answer to an append had been lost with its connection."""
    journal = await opened(server, lease=0.5)
    found: list[Order] = []
    journal.on_found = found.append
    order = Order(1, 0.0, tagged("lost"))
    await journal._ledger.append(0, [order])
    journal.keep()
    await until(lambda: found == [order])
    assert journal.last == 1
    assert (await journal.append(tagged("next"), False, 0.0)).number == 2
    await journal.close()


async def test_an_order_that_nobody_answered_for_is_found_by_the_next_one(server: RedisServer) -> None:
    journal = await opened(server)
    found: list[Order] = []
    journal.on_found = found.append
    order = Order(1, 0.0, tagged("lost"))
    await journal._ledger.append(0, [order])
    assert (await journal.append(tagged("next"), False, 0.0)).number == 2
    assert found == [order]
    await journal.close()


async def test_redis_that_came_back_as_another_process_is_written_nothing(server: RedisServer) -> None:
    """Its lease was on disk and still stands, and so do all orders: yet only a new term may judge that."""
    journal = await opened(server, lease=60.0)
    await journal.append(tagged("a"), False, 0.0)
    await server.kill()
    await server.start()
    with contextlib.suppress(JournalError):
        await journal._ledger.server()  # the connection is a new one, and the append the first that is said on it
    with pytest.raises(JournalError, match="restarted"):
        await journal.append(tagged("b"), False, 0.0)
    assert journal.ended.is_set()
    assert len(await entries(server)) == 1
    await journal.close()


async def test_broken_connection_in_the_middle_is_told_as_what_it_was(server: RedisServer) -> None:
    journal = await opened(server)
    client = server.client()
    await journal.append(tagged("a"), False, 0.0)
    await client.client_kill_filter(_type="normal", skipme=True)
    assert (await journal.append(tagged("b"), False, 0.0)).number == 2
    assert [order.number for order in journal.after(0)] == [1, 2]  # type: ignore[union-attr]
    await journal.close()


class Swallowing:
    """A client that makes an error of a cancellation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.asked = asyncio.Event()

    async def execute_command(self, *args: object) -> object:
        self.asked.set()
        try:
            return await self._client.execute_command(*args)
        except asyncio.CancelledError:
            raise RedisConnectionError("cancelled") from None

    async def aclose(self) -> None:
        await self._client.aclose()


async def test_close_does_not_hang_on_a_cancellation_that_got_lost(server: RedisServer) -> None:
    client = Swallowing(open_client(server.url).client)
    journal = await RedisJournal.open(client, node="hub", lease_seconds=0.5)
    server.freeze()
    client.asked.clear()
    journal.keep()
    await client.asked.wait()
    async with asyncio.timeout(5):
        await journal.close()
    server.thaw()
    await client.aclose()


async def test_full_redis_refuses_orders_and_leaves_the_lease(server: RedisServer) -> None:
    journal = await opened(server, lease=1.0)
    journal.keep()
    client = server.client()
    await journal.append(tagged("a"), False, 0.0)
    await client.config_set("maxmemory", "1")
    with pytest.raises(JournalError, match="maxmemory"):
        await journal.append(tagged("b"), False, 0.0)
    held_until = journal._held_until
    await until(lambda: journal._held_until > held_until)
    await client.config_set("maxmemory", "0")
    assert (await journal.append(tagged("c"), False, 0.0)).number == 2
    await journal.close()


# --- whose journal it is ---


async def test_flushed_redis_ends_the_term_and_the_next_has_another_id(server: RedisServer) -> None:
    journal = await opened(server)
    await journal.append(tagged("a"), False, 0.0)
    await server.client().flushall()
    with pytest.raises(JournalError, match="gone"):
        await journal.append(tagged("b"), False, 0.0)
    assert journal.ended.is_set()
    await journal.close()
    again = await opened(server, known=journal.known)
    assert again.id != journal.id
    assert again.last == 0
    assert again.opening.replaced is not None
    assert again.alone_at <= lease_clock()  # it was this process's lease that was lost, and nobody else's
    await again.close()
    stranger = await opened(server, known=Known(journal.id, 1))
    assert stranger.id == again.id
    await stranger.close()


@pytest.mark.parametrize("gone", [ORDERS, ABOUT, "newest"])
async def test_half_of_a_journal_is_none(server: RedisServer, gone: str) -> None:
    """Evicted, or deleted by hand: whoever comes without knowing anything notices."""
    journal = await opened(server)
    for number in range(3):
        await journal.append(tagged(f"t{number}"), False, 0.0)
    await journal.close()
    if gone == "newest":
        await server.client().xdel(ORDERS, "3-0")
    else:
        await server.client().delete(gone)
    again = await opened(server)
    assert again.id != journal.id
    assert again.opening.replaced is not None
    assert (again.last, await server.client().xlen(ORDERS)) == (0, 0)
    await again.close()


async def test_an_order_missing_from_the_middle_makes_it_another_journal(server: RedisServer) -> None:
    journal = await opened(server)
    for number in range(3):
        await journal.append(tagged(f"t{number}"), False, 0.0)
    await journal.close()
    await server.client().xdel(ORDERS, "2-0")
    again = await opened(server)
    assert again.id != journal.id
    await again.close()


async def test_stream_that_is_cut_while_a_hub_numbers_ends_its_term(server: RedisServer) -> None:
    journal = await opened(server, lease=0.5)
    journal.keep()
    await journal.append(tagged("a"), False, 0.0)
    await server.client().delete(ORDERS)
    await until(journal.ended.is_set)
    assert not journal.holds(lease_clock())
    await journal.close()


SHORTEN = "redis.call('HSET', KEYS[1], 'last', '1'); redis.call('XDEL', KEYS[2], '2-0')"


async def test_journal_that_is_shorter_than_it_was_ends_the_term(server: RedisServer) -> None:
    journal = await opened(server, lease=0.5)
    journal.keep()
    for name in ("a", "b"):
        await journal.append(tagged(name), False, 0.0)
    await server.client().eval(SHORTEN, 2, ABOUT, ORDERS)
    await until(journal.ended.is_set)
    assert "lost acknowledged orders" in journal.why
    await journal.close()


async def test_journal_of_a_later_version_is_left_alone(server: RedisServer) -> None:
    client = server.client()
    await client.hset(ABOUT, mapping={"version": "2", "id": "x", "last": "0"})
    with pytest.raises(JournalError, match="version"):
        await opened(server)
    assert await client.hget(ABOUT, "id") == b"x"
    assert not await client.exists(HUB)


async def test_hub_elsewhere_goes_on_with_the_journal(server: RedisServer) -> None:
    """Nothing on disk, nothing in memory: everything that is needed is in Redis."""
    first = await opened(server)
    orders = [await first.append(tagged(f"t{number}"), False, 0.0) for number in range(5)]
    await first.close()
    second = await opened(server)
    assert (second.id, second.after(0)) == (first.id, orders)
    await second.close()


@pytest.mark.parametrize(
    ("settings", "remembered", "kept"),
    [
        ({}, True, True),
        ({}, False, False),  # it may be an old copy: nobody knows how far the journal went
        (EVERY_SECOND, True, False),
        ({"appendonly": "no"}, True, False),
        ({"no-appendfsync-on-rewrite": "yes"}, True, False),
    ],
)
async def test_restarted_redis_keeps_the_journal_only_where_nothing_can_be_lost(
    tmp_path: Path, settings: dict[str, str], remembered: bool, kept: bool
) -> None:
    async with redis_server(tmp_path / "redis", ALWAYS | settings) as server:
        journal = await opened(server)
        order = await journal.append(tagged("a"), False, 0.0)
        await journal.close()
        await server.kill()
        await server.start()
        again = await opened(server, known=journal.known if remembered else None)
        assert (again.id == journal.id) is kept
        assert again.after(0) == ([order] if kept else [])
        await again.close()


async def test_old_copy_of_the_data_is_another_journal(tmp_path: Path, server: RedisServer) -> None:
    journal = await opened(server, lease=0.2)
    await journal.append(tagged("a"), False, 0.0)
    server.backup(tmp_path / "backup")
    await journal.append(tagged("b"), False, 0.0)
    await journal.close()
    await server.kill()
    server.restore(tmp_path / "backup")
    await server.start()
    again = await opened_when_free(server, journal.known)
    # The copy may lack the lease of a hub that is cut off: this one waits as long as that one may believe in it.
    assert again.alone_at > lease_clock()
    assert again.id != journal.id
    assert "2 orders were acknowledged" in str(again.opening.replaced)
    await again.close()


async def test_redis_with_a_replica_is_not_believed_to_lose_nothing(tmp_path: Path, server: RedisServer) -> None:
    async with redis_server(tmp_path / "replica", {"replicaof": f"127.0.0.1 {server.process.port}"}) as replica:
        client = replica.client()

        async def follows() -> bool:
            return bool((await client.info("replication"))["master_link_status"] == "up")

        await until(follows)
        journal = await opened(server, lease=0.2)
        await journal.append(tagged("a"), False, 0.0)
        assert await server.client().hget(ABOUT, "durable") == b"0"
        # The replica is promoted, as a Sentinel would: it may lack what the master had acknowledged.
        await server.kill()
        await client.replicaof("NO", "ONE")
        again = await opened_when_free(replica, journal.known)
        assert again.id != journal.id
        await again.close()
        await journal.close()


APPENDING = """
    import asyncio, sys
    from seawall.purge.redisclient import open_client
    from seawall.purge.redisjournal import RedisJournal
    from seawall.purge.redisledger import Taken
    from seawall.purge.selection import Selection

    async def purger(journal, name):
        for n in range(1_000_000):
            order = await journal.append(Selection(tags=(f"{name}-{n}",)), False, 0.0)
            print(order.number, order.what.tags[0], flush=True)

    async def main():
        client = open_client(sys.argv[1]).client
        while True:
            try:
                journal = await RedisJournal.open(client, node="hub", lease_seconds=0.3, max_orders=int(sys.argv[2]))
                break
            except Taken:
                await asyncio.sleep(0.02)
        journal.keep()
        print("open", journal.id, journal.opening.replaced, flush=True)
        await asyncio.gather(*(purger(journal, f"{sys.argv[3]}-{n}") for n in range(8)))

    asyncio.run(main())
"""


@pytest.mark.parametrize("max_orders", [1_000_000, 40], ids=["kept", "trimmed all the time"])
async def test_hub_that_was_killed_leaves_everything_that_was_told_to_the_next(
    server: RedisServer, max_orders: int
) -> None:
    def live(life: int) -> tuple[str, dict[int, str]]:
        told: dict[int, str] = {}
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APPENDING), server.url, str(max_orders), f"life{life}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        _, identity, replaced = process.stdout.readline().split()
        assert replaced == "None"
        for _ in range(random.Random(life).randrange(1, 150)):
            number, tag = process.stdout.readline().split()
            told[int(number)] = tag
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                number, tag = line.split()
                told[int(number)] = tag
        process.wait()
        process.stdout.close()
        return identity, told

    told: dict[int, str] = {}
    identities: set[str] = set()
    for life in range(4):
        identity, more = await asyncio.to_thread(live, life)
        identities.add(identity)
        assert not told.keys() & more.keys()
        told |= more
    journal = await opened_when_free(server)
    assert {journal.id} == identities
    assert journal.last >= max(told)
    there = {order.number: order.what.tags[0] for order in journal.after(journal.first - 1)}  # type: ignore[union-attr]
    assert {number: tag for number, tag in told.items() if number >= journal.first}.items() <= there.items()
    await journal.close()
