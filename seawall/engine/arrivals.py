"""What a caller gets: out of the store, out of what a flight has landed, or no for an answer.

Knows no flights, and fetches nothing. What is counted and told of a visit is noted here, on the way to its reply.
"""

from __future__ import annotations

from typing import assert_never

from seawall.clock import Clock
from seawall.downstream.exchange import Reply
from seawall.engine import replies
from seawall.engine.landing import Arriving, Kept, Landing, Lone
from seawall.engine.popularity import Popularity
from seawall.engine.visit import Visit
from seawall.http.dates import format_date
from seawall.http.message import RequestHead
from seawall.policy.outcomes import Failure, Refuse
from seawall.policy.reasons import Outcome, Reason
from seawall.policy.vary import matches
from seawall.store.arena import Extent
from seawall.store.levels import Levels
from seawall.store.stored import Gone, Stored
from seawall.upstream.answer import Answer


class Arrivals:
    """Makes replies. Everything is lent; `popularity` counts what is served from the store, None: nobody wants to
    know."""

    __slots__ = ("_clock", "_node", "_popularity", "_store")

    def __init__(self, node: str, clock: Clock, store: Levels, popularity: Popularity | None) -> None:
        self._node = node
        self._clock = clock
        self._store = store
        self._popularity = popularity

    async def disembark(
        self, visit: Visit, head: RequestHead, landing: Landing | None, led: bool, *, last: bool
    ) -> Reply | None:
        """Our reply from what landed; None where it is not for us, or where we are to try ourselves."""
        now = self._clock.now()
        match landing:
            case None:
                return self.fail(visit, head, Failure(Reason.BAD_RESPONSE, 502)) if led or last else None
            case Arriving(entry, fill, fwd_status, seat, mark, unstored):
                if not led and not (fill.joinable and matches(head, entry)):
                    return None
                visit.fwd_status, visit.stored, visit.mark = fwd_status, led and unstored is None, mark
                visit.reason = unstored or visit.reason
                return replies.from_fill(visit, head, entry, fill, seat if led else None, self._node, now)
            case Kept(item, fwd_status, mark, stale):
                if not (led or matches(head, item.entry)):
                    return None
                visit.fwd_status, visit.mark = fwd_status, mark
                if stale is not None:
                    visit.outcome, visit.reason = Outcome.STALE, stale
                elif fwd_status is None:
                    visit.collapsed = True  # into a fetch of another process
                return await self.serve(visit, head, item)
            case Lone(failure=Failure() as failure):
                # A failed flight promotes a waiter: whoever boards first leads the next one.
                return self.fail(visit, head, failure) if led or last else None
            case Lone():
                if not led:
                    return None
                answer = landing.claim()
                assert answer is not None  # noqa: S101 (no failure, and claimed once: there is one leader)
                visit.fwd_status, visit.reason, visit.mark = answer.head.status, landing.reason, landing.mark
                return self.forwarded(visit, head, answer)
            case _:
                assert_never(landing)

    def forwarded(self, visit: Visit, head: RequestHead, answer: Answer) -> Reply:
        """The origin's own answer. It is as fresh as the parent said; without a parent's word the next tier judges by
        its fields."""
        if answer.peer is not None:
            visit.ttl = answer.peer.fresh_seconds
        return replies.from_answer(visit, head, answer, self._node)

    async def serve(self, visit: Visit, head: RequestHead, item: Stored) -> Reply | None:
        """Out of the store. None: its body lay in a lower level and is not there any more; it is gone from all."""
        self._store.touch(item)
        if self._popularity is not None:
            self._popularity.note(item.key)
        held = item.held
        if isinstance(held, bytes | tuple | Extent):
            return replies.from_stored(visit, head, item, held, self._node, self._clock.now())
        try:
            return await replies.from_filed(visit, head, item, held, self._node, self._clock.now())
        except Gone:
            self._store.discard(item)
            visit.ttl = None
            return None

    def refuse(self, visit: Visit, head: RequestHead, refuse: Refuse) -> Reply:
        """What we will not do."""
        visit.reason = refuse.reason
        return replies.refusal(visit, head, refuse.status, self._node, format_date(self._clock.now()))

    def fail(self, visit: Visit, head: RequestHead, failure: Failure) -> Reply:
        """What an upstream could not do."""
        visit.reason, visit.fwd_status = failure.reason, None
        return replies.refusal(visit, head, failure.status, self._node, format_date(self._clock.now()))
