"""Purging as a node offers it, whichever node is asked: one protocol, and how each kind of node opens its own.

    hub       = await open_hub(data / "journal", node="shield-1", ranks={"edge-ams": 1}, applied=standing.applied,
                               forgetter=engine.purger, lease_seconds=5.0)
    hub       = await open_redis_hub("redis://10.0.0.5/0", node="shield-1", ranks={"edge-ams": 1},
                                     applied=standing.applied, lease=standing.lease, forgetter=engine.purger)
    member    = await open_member("http://127.0.0.1:8201", secret, node="edge-ams", applied=standing.applied,
                                  lease=standing.lease, forgetter=engine.purger)

Knows no roles and no HTTP server. A node alone is a hub without ranks: the same journal, nobody to feed.

What each is handed: `ranks` names every other node and how many nodes stand between it and an origin;
`applied` and `lease` are those that the engine asks at each hit and each landing, so that an order counts for
both in the same turn of the event loop; `forgetter` is the engine's purger; the clock is the lease's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from seawall.purge.answered import Answered
from seawall.purge.applied import Applied
from seawall.purge.asked import Asked
from seawall.purge.distant import Distance
from seawall.purge.forgetter import Forgetter
from seawall.purge.hubserver import HubServer
from seawall.purge.hubservice import HubService
from seawall.purge.journal import Journal
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.ledger import MAX_JOURNAL_BYTES, MAX_ORDERS, RESERVE_BYTES
from seawall.purge.line import Connection
from seawall.purge.nodefeed import NodeFeed
from seawall.telemetry import events
from seawall.telemetry.metrics import PurgeUsage

if TYPE_CHECKING:
    from seawall.purge.memberservice import MemberService
    from seawall.purge.redishub import RedisHub
    from seawall.purge.redisidentity import Known
    from seawall.purge.redisjournal import RedisJournal

# Of the nodes' lease. Longer than it, so that Redis may be restarted without a node noticing; a hub that was killed
# can be replaced after this long.
REDIS_LEASES = 2


class PurgeService(Protocol):
    """What the admin port and the data port ask. Every answer is one that a client can be given; nothing raises."""

    @property
    def passes(self) -> bool:
        """Does this node pass everything to another one, the hub?"""
        ...

    def usage(self) -> PurgeUsage | None:
        """What purges cost, for telemetry. None where only the hub knows."""
        ...

    async def purge(self, asked: Asked, by: str) -> Answered:
        """Purges, or counts. `by` is who asked, for the log. See answered.py for the statuses."""
        ...

    async def receipt(self, number: int) -> Answered:
        """One order and what became of it by now, or 404."""
        ...

    async def purges(self, after: int | None, limit: int) -> Answered:
        """Up to `limit` orders of the journal, newest first, of numbers below `after`."""
        ...

    async def topology(self) -> Answered:
        """The nodes, and their state as the hub sees it."""
        ...

    def ready(self) -> bool:
        """Has this node caught up with the orders, so that it may serve what it stores?"""
        ...

    async def attend(self, connection: Connection) -> None:
        """One feed of another node, to its end. Only where `passes` is False."""
        ...

    async def close(self) -> None:
        """Ends it. At the end of a drain, and before the admin port is closed: feeds keep its connections."""
        ...


async def open_hub(
    directory: Path,
    *,
    node: str,
    ranks: Mapping[str, int],
    applied: Applied,
    forgetter: Forgetter,
    lease_seconds: float,
    about: Mapping[str, Mapping[str, str | None]] | None = None,
    now: Callable[[], float] = lease_clock,
    wall: Callable[[], float] = time.time,
    max_orders: int = MAX_ORDERS,
    max_bytes: int = MAX_JOURNAL_BYTES,
    reserve_bytes: int = RESERVE_BYTES,
) -> HubService:
    """The hub, with its journal in this directory, which is made where it is not there. Raises JournalError.

    Open it before the node answers its first request: what the store kept is brought up to date here.
    """
    journal = await Journal.open(directory, max_orders=max_orders, max_bytes=max_bytes, reserve_bytes=reserve_bytes)
    opening = journal.opening
    if opening.replaced is not None:
        events.error("journal.replaced", directory=str(directory), why=opening.replaced)
    elif opening.cut_bytes:
        events.warning("journal.cut", directory=str(directory), cut_bytes=opening.cut_bytes)
    try:
        server = HubServer(
            journal,
            node=node,
            ranks=ranks,
            applied=applied,
            forgetter=forgetter,
            lease_seconds=lease_seconds,
            now=now,
            wall=wall,
        )
    except BaseException:
        await journal.close()
        raise
    server.start()
    return HubService(server, about or {}, now)


async def open_redis_hub(
    url: str,
    *,
    node: str,
    ranks: Mapping[str, int],
    applied: Applied,
    lease: Lease,
    forgetter: Forgetter,
    about: Mapping[str, Mapping[str, str | None]] | None = None,
    hub_lease_seconds: float | None = None,
    now: Callable[[], float] = lease_clock,
    wall: Callable[[], float] = time.time,
    max_orders: int = MAX_ORDERS,
    max_bytes: int = MAX_JOURNAL_BYTES,
) -> RedisHub:
    """The hub, with its journal in the Redis of this URL. Raises ValueError for a URL that is none.

    It returns after the first attempt, whatever became of that: where Redis is not there, or another hub numbers, it
    goes on trying, and is not `ready`. So this node has a `lease` too, which ends with the right to number: what it
    stores is trusted only as long as nobody else can have purged it.
    """
    # Imported here: redis-py costs 100 ms, and a journal on disk needs none of it.
    from seawall.purge.redisclient import open_client
    from seawall.purge.redishub import RedisHub
    from seawall.purge.redisjournal import RedisJournal

    opened = open_client(url)
    seconds = REDIS_LEASES * lease.seconds if hub_lease_seconds is None else hub_lease_seconds

    async def journal(known: Known | None) -> RedisJournal:
        return await RedisJournal.open(
            opened.client,
            node=node,
            lease_seconds=seconds,
            known=known,
            now=now,
            alone=opened.alone,
            max_orders=max_orders,
            max_bytes=max_bytes,
        )

    hub = RedisHub(
        journal,
        opened.close,
        node=node,
        ranks=ranks,
        applied=applied,
        lease=lease,
        forgetter=forgetter,
        hub_lease_seconds=seconds,
        about=about or {},
        now=now,
        wall=wall,
    )
    await hub.start()
    return hub


async def open_member(
    hub_url: str,
    secret: str,
    *,
    node: str,
    applied: Applied,
    lease: Lease,
    forgetter: Forgetter,
    sole: bool = False,
    distance: Distance | None = None,
    socket: Path | None = None,
    now: Callable[[], float] = lease_clock,
) -> MemberService:
    """A node that follows the hub at this admin address. Returns at once: it connects, and again, in the background.

    `now` is the clock that the lease is asked with. `sole`: say so only where no other process of this name can
    still be serving, anywhere; the hub then need not wait for one lease before it believes this one. `distance`
    makes the hub as far away as the topology's `link` says. `socket`: the hub's Unix socket, where it is one's.
    """
    # Imported here: aiohttp's client costs 100 ms, and a node alone needs none of it.
    from seawall.purge.feedclient import FeedClient
    from seawall.purge.link import Link
    from seawall.purge.memberservice import MemberService

    link = Link(hub_url, secret, node, socket)
    feed = NodeFeed(node, secrets.token_hex(8), applied, lease, sole=sole)
    client = FeedClient(link, feed, lease, forgetter, now, distance)
    client.start()
    return MemberService(link, client)


def open_passer(hub_url: str, secret: str, *, node: str) -> MemberService:
    """A process that stores nothing and passes all that it is asked to the hub at this admin address."""
    from seawall.purge.link import Link
    from seawall.purge.memberservice import MemberService, Nobody

    return MemberService(Link(hub_url, secret, node), Nobody())
