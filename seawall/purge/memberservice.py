"""Purges at any node but the hub: passed to the hub, and its answer given back. See service.py.

A purge that did not get there is a loud error that says whether it may have been carried out all the same. There
is no queue: a purge that is delivered later than its caller believes would hide what it could not do.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from seawall.purge.answered import Answered, refusal
from seawall.purge.asked import Asked, as_members
from seawall.purge.line import Connection
from seawall.purge.link import Link, LinkError, LinkTimeout
from seawall.telemetry import events
from seawall.telemetry.metrics import PurgeUsage

# Beyond what the caller is ready to wait: for the way to the hub and back, and for its disk.
SLACK_SECONDS = 5.0
READ_SECONDS = 10.0


class Follows(Protocol):
    """Who follows the orders for this node: its feed, or nobody in this process."""

    @property
    def ready(self) -> bool:
        """Has it caught up?"""
        ...

    async def close(self) -> None: ...


class Nobody:
    """Follows nothing, for a process that stores nothing."""

    ready = True

    async def close(self) -> None:
        pass


class MemberService:
    """Owner of the feed and of the way to the hub."""

    passes = True

    def __init__(self, link: Link, feed: Follows) -> None:
        """Takes both over; the feed has been started."""
        self._link = link
        self._feed = feed

    def usage(self) -> PurgeUsage | None:
        return None

    async def purge(self, asked: Asked, by: str) -> Answered:
        """What the hub answers. 503: it did not get there; 502 and 504: it may have been carried out."""
        events.info("purge.passed", by=by, hub=self._link.url, dry_run=asked.dry_run)
        body = msgspec.json.encode(as_members(asked))
        return await self._ask("POST", "/v1/purge", body, asked.timeout + SLACK_SECONDS)

    async def receipt(self, number: int) -> Answered:
        return await self._ask("GET", f"/v1/purges/{number}", None, READ_SECONDS)

    async def purges(self, after: int | None, limit: int) -> Answered:
        query = f"?limit={limit}" + ("" if after is None else f"&after={after}")
        return await self._ask("GET", f"/v1/purges{query}", None, READ_SECONDS)

    async def topology(self) -> Answered:
        return await self._ask("GET", "/v1/topology", None, READ_SECONDS)

    def ready(self) -> bool:
        """Has this node caught up with its hub since it started?"""
        return self._feed.ready

    async def attend(self, connection: Connection) -> None:
        """Feeds are the hub's."""
        raise AssertionError("asked of a node that passes on")

    async def close(self) -> None:
        """Takes leave of the hub: from here on nothing stored is served without asking."""
        await self._feed.close()
        await self._link.close()

    async def _ask(self, method: str, path: str, body: bytes | None, seconds: float) -> Answered:
        changes = method != "GET"
        try:
            answer = await self._link.ask(method, path, body, seconds)
        except LinkError as error:
            status = 503 if not error.sent else 504 if isinstance(error, LinkTimeout) else 502
            return self._unanswered(status, str(error), changes)
        try:
            document = msgspec.json.decode(answer.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._unanswered(502, f"what it answered is not JSON (status {answer.status})", changes)
        return Answered(answer.status, document)

    def _unanswered(self, status: int, why: str, changes: bool) -> Answered:
        outcome = ""
        if changes:
            outcome = "; nothing was purged" if status == 503 else "; it is not known whether anything was purged"
        events.error("purge.unanswered", hub=self._link.url, why=why)
        return refusal(status, f"the purge hub at {self._link.url} gave no answer: {why}{outcome}")

    def __repr__(self) -> str:
        return f"<MemberService {self._link!r} {self._feed!r}>"
