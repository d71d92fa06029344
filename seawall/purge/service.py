"""Purging as a node offers it, whichever node is asked: one protocol, and how each kind of node opens its own.

    hub       = await open_hub(data / "journal", node="shield-1", ranks={"edge-ams": 1}, applied=standing.applied,
                               forgetter=engine.purger, lease_seconds=5.0)
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
    now: Callable[[], float] = lease_clock,
) -> MemberService:
    """A node that follows the hub at this admin address. Returns at once: it connects, and again, in the background.

    `now` is the clock that the lease is asked with. `sole`: say so only where no other process of this name can
    still be serving, anywhere; the hub then need not wait for one lease before it believes this one. `distance`
    makes the hub as far away as the topology's `link` says.
    """
    # Imported here: aiohttp's client costs 100 ms, and a node alone needs none of it.
    from seawall.purge.feedclient import FeedClient
    from seawall.purge.link import Link
    from seawall.purge.memberservice import MemberService

    link = Link(hub_url, secret, node)
    feed = NodeFeed(node, secrets.token_hex(8), applied, lease, sole=sole)
    client = FeedClient(link, feed, lease, forgetter, now, distance)
    client.start()
    return MemberService(link, client)
