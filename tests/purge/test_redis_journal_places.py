"""The journal where Sentinel or a cluster says which server has it: another server in its place is another journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.purge.journal import JournalError
from seawall.purge.ledger import Opening
from seawall.purge.redisclient import Opened, open_client
from seawall.purge.redisidentity import Known
from seawall.purge.redisjournal import RedisJournal
from seawall.purge.selection import Selection
from tests.purge.redis_process import until
from tests.redis_servers import RedisServers, redis_servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    with redis_servers(tmp_path) as started:
        yield started


async def opened(there: Opened, known: Known | None = None) -> RedisJournal:
    return await RedisJournal.open(there.client, node="hub", lease_seconds=0.5, known=known, alone=there.alone)


def tagged(tag: str) -> Selection:
    return Selection(tags=(tag,))


async def test_failover_makes_another_journal(servers: RedisServers) -> None:
    master, replica, sentinel = await asyncio.to_thread(servers.sentinel)
    there = open_client(f"redis+sentinel://127.0.0.1:{sentinel.port}/cache")
    journal = await opened(there)
    journal.keep()
    assert (await journal.append(tagged("a"), False, 0.0)).number == 1
    await asyncio.to_thread(master.kill)
    with pytest.raises(JournalError):
        await journal.append(tagged("b"), False, 0.0)
    # As soon as Sentinel has promoted the replica, the term ends by itself.
    await until(journal.ended.is_set, 30)
    await journal.close()
    terms: list[RedisJournal] = []

    async def again() -> bool:
        try:
            terms.append(await opened(there, journal.known))
        except JournalError:
            return False
        return True

    await until(again)
    (next_term,) = terms
    assert next_term.id != journal.id
    assert next_term.opening.replaced is not None
    assert (await next_term.append(tagged("c"), False, 0.0)).number == 1
    assert replica.ask("XLEN", "seawall:{journal}:orders") == 1
    await next_term.close()
    await there.close()


async def test_cluster_keeps_it_in_one_slot(servers: RedisServers) -> None:
    nodes = await asyncio.to_thread(servers.cluster)
    there = open_client("redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes))
    journal = await opened(there)
    orders = [await journal.append(tagged(f"t{number}"), False, 0.0) for number in range(3)]
    await journal.close()
    again = await opened(there)
    assert (again.id, again.opening, again.after(0)) == (journal.id, Opening(), orders)
    await again.close()
    await there.close()
