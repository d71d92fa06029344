"""Purges at the node that numbers them: every question is answered here. See service.py for what each means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from seawall.purge.answered import Answered, counted, full, refusal, told
from seawall.purge.asked import Asked, Wait
from seawall.purge.hubfeed import HubFeed
from seawall.purge.hubserver import HubServer
from seawall.purge.journal import JournalError
from seawall.purge.line import Connection
from seawall.purge.workers import by_node
from seawall.telemetry import events
from seawall.telemetry.metrics import PurgeUsage

# A dry run changes nothing, so nobody is to wait for a node that is gone: its feed is dropped after two leases.
LONGEST_COUNT = 5.0


class HubService:
    """Owner of the hub. `about` is what else is shown of a node, its role and region for instance."""

    passes = False

    def __init__(
        self, server: HubServer, about: Mapping[str, Mapping[str, str | None]], now: Callable[[], float]
    ) -> None:
        """Takes the server over, which has been started."""
        self._server = server
        self._about = about
        self._now = now

    def usage(self) -> PurgeUsage | None:
        return self._server.usage()

    async def purge(self, asked: Asked, by: str) -> Answered:
        """Orders it, and waits as long as was asked."""
        if asked.dry_run:
            return counted(await self._server.count(asked.what, min(asked.timeout, LONGEST_COUNT)))
        loop = asyncio.get_running_loop()
        patience_until = loop.time() + asked.timeout
        try:
            receipt = await self._server.order(asked.what, soft=asked.soft)
        except JournalError as error:
            events.error("purge.refused", by=by, why=str(error))
            return refusal(503, f"the order could not be written down, so nothing was purged: {error}")
        what = asked.what
        events.info(
            "purge.ordered",
            number=receipt.number,
            by=by,
            urls=len(what.urls),
            tags=len(what.tags),
            prefixes=len(what.prefixes),
            hosts=len(what.hosts),
            all=what.all,
            soft=asked.soft,
        )
        if asked.wait is Wait.ALL:
            patience = max(0.0, patience_until - loop.time())
            receipt = await self._server.settled(receipt.number, patience) or receipt
        return told(receipt)

    async def receipt(self, number: int) -> Answered:
        receipt = self._server.receipt(number)
        if receipt is None:
            return refusal(404, "no order of this number, or it is no longer kept")
        return Answered(200, full(receipt))

    async def purges(self, after: int | None, limit: int) -> Answered:
        journal = self._server.journal
        receipts = self._server.receipts(after, limit)
        oldest = receipts[-1].number if receipts else journal.first
        return Answered(
            200,
            {
                "journal": journal.id,
                "first": journal.first,
                "last": journal.last,
                "purges": [full(receipt) for receipt in receipts],
                "next": oldest if oldest > journal.first else None,
            },
        )

    async def topology(self) -> Answered:
        server, now = self._server, self._now()
        last = server.journal.last
        by_nodes = by_node(server.feeds.values(), lambda feed: feed.node)
        nodes: list[dict[str, object]] = [self._line(server.node, by_nodes.pop(server.node, []), last, now)]
        nodes += [self._line(node, feeds, last, now) for node, feeds in by_nodes.items()]
        return Answered(
            200,
            {"hub": server.node, "journal": server.journal.id, "last": last, "lease": server.lease_seconds}
            | {"nodes": nodes},
        )

    def ready(self) -> bool:
        """The hub follows nobody."""
        return True

    async def attend(self, connection: Connection) -> None:
        """One feed of a node, to its end."""
        await self._server.attend(connection)

    async def close(self) -> None:
        """Ends the feeds and closes the journal."""
        await self._server.close()

    def _line(self, node: str, feeds: Sequence[HubFeed], last: int, now: float) -> dict[str, object]:
        """A node is as far as the last of its processes. The hub's own is always there and follows nobody."""
        applied = min((feed.applied for feed in feeds), default=last)
        lease: dict[str, object] | None = None
        if feeds:
            # The margin is the hub's own caution: what is left of the lease itself is 0 by then.
            left = min(max(0.0, feed.view.until - now) for feed in feeds)
            lease = {"left": round(left, 3), "fenced": any(feed.view.fenced(now) for feed in feeds)}
        line = {
            **self._shown(node),
            "hub": node == self._server.node,
            "connected": all(feed.connected for feed in feeds),
            "applied": applied,
            "lag": max(0, last - applied),
            "lease": lease,
        }
        if any(feed.node != node for feed in feeds):
            line["workers"] = {"connected": sum(feed.connected for feed in feeds), "of": len(feeds)}
        return line

    def _shown(self, node: str) -> dict[str, object]:
        return {"node": node, "role": None, "region": None, **self._about.get(node, {})}

    def __repr__(self) -> str:
        return f"<HubService {self._server!r}>"
