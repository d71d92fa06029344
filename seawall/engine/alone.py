"""Going alone: a request that waits for nobody, and for whose answer nobody waits.

What may not be stored, by the request or by what was learned of its key, goes forward as it came. The exchange belongs
to the request: when its client leaves, it is cancelled. What turns out to be for everyone all the same (hit-for-miss,
POST) is stored on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from seawall.clock import Clock
from seawall.downstream.exchange import Reply
from seawall.engine.arrivals import Arrivals
from seawall.engine.boarding import abandon
from seawall.engine.fetch import Fetcher, FlightKey, Sent, Trip, drop
from seawall.engine.invalidation import Invalidator
from seawall.engine.landing import Landing
from seawall.engine.standing import Standing
from seawall.engine.visit import Visit
from seawall.flight.table import Flight, Flights
from seawall.http.headers import EMPTY
from seawall.policy.entry import Entry
from seawall.policy.outcomes import Failure, PassOn, Store
from seawall.policy.update import head_effect
from seawall.policy.vary import matches
from seawall.purge.applied import Mark
from seawall.store.levels import Levels
from seawall.upstream.answer import Answer


class Alone:
    """Sends requests on by themselves. Everything is lent."""

    __slots__ = ("_arrivals", "_clock", "_fetcher", "_flights", "_invalidator", "_lone", "_standing", "_store")

    def __init__(
        self,
        flights: Flights[Landing],
        fetcher: Fetcher,
        store: Levels,
        standing: Standing,
        clock: Clock,
        invalidator: Invalidator,
        arrivals: Arrivals,
        lone: Iterator[int],
    ) -> None:
        self._flights = flights
        self._fetcher = fetcher
        self._store = store
        self._standing = standing
        self._clock = clock
        self._invalidator = invalidator
        self._arrivals = arrivals
        self._lone = lone

    def take_off(self, key: str) -> Flight[Landing]:
        """A flight that nobody else can board: so that orders reach what may yet be stored. To be left."""
        return self._flights.enter(FlightKey(key, None, (), next(self._lone)))

    async def send(self, visit: Visit, trip: Trip) -> Reply:
        """The reply to this trip."""
        flight = self.take_off(trip.key)
        try:
            requested_at, taken_off = self._clock.now(), self._standing.mark
            answer = await self._fetcher.send(trip, EMPTY, first=True)
            visit.origin_seconds = self._clock.monotonic() - visit.started
            return await self._settle(visit, trip, flight, Sent(requested_at, taken_off, answer))
        finally:
            self._leave(flight)

    async def go_on(self, visit: Visit, trip: Trip, flight: Flight[Landing], sent: Sent | None) -> Reply:
        """The same for one that was sent already; `sent` None: in vain, and it is to be sent again."""
        try:
            if sent is not None:
                return await self._settle(visit, trip, flight, sent)
        finally:
            self._leave(flight)
        return await self.send(visit, trip)

    def let_go(self, flight: Flight[Landing], sent: Sent | None) -> None:
        """In place of go_on, where the client has left already."""
        if sent is not None:
            drop(sent.answer)
        self._leave(flight)

    def _leave(self, flight: Flight[Landing]) -> None:
        if not flight.launched:
            self._flights.leave(flight)

    async def _settle(self, visit: Visit, trip: Trip, flight: Flight[Landing], sent: Sent) -> Reply:
        answer = sent.answer
        if isinstance(answer, Failure):
            return self._arrivals.fail(visit, trip.head, answer)
        visit.fwd_status, visit.mark = answer.head.status, self._fetcher.mark_of(answer, sent.mark)
        overtaken = flight.overtaken
        self._invalidator.after(trip.head, answer.head)
        flight.overtaken = overtaken  # by others; what this very request invalidates is older than its answer
        if trip.head.method == "HEAD":
            self._head_effects(trip, answer, sent.requested_at)
        elif (entry := self._storable(visit, trip, answer, sent.requested_at)) is not None:
            return await self._keep(visit, trip, flight, answer, entry, visit.mark)
        return self._arrivals.forwarded(visit, trip.head, answer)

    def _storable(self, visit: Visit, trip: Trip, answer: Answer, requested_at: float) -> Entry | None:
        """The entry where policy wants this stored although nobody waited for it."""
        if answer.tunnel is not None or answer.head.status == 304 or not trip.rules.cache:
            return None
        held = self._fetcher.candidates(self._store.get(trip.key))
        settlement = self._fetcher.settle(trip, answer, held, None, requested_at, asked=False)
        if isinstance(settlement, Store):
            return settlement.entry
        if isinstance(settlement, PassOn):
            visit.reason = visit.reason or settlement.reason
        return None

    async def _keep(
        self, visit: Visit, trip: Trip, flight: Flight[Landing], answer: Answer, entry: Entry, mark: Mark
    ) -> Reply:
        self._flights.launch(flight, partial(self._fetcher.keep, trip, answer=answer, entry=entry, mark=mark))
        try:
            landing = await flight.wait()
        except BaseException:
            abandon(flight)
            raise
        reply = await self._arrivals.disembark(visit, trip.head, landing, True, last=True)
        assert reply is not None  # noqa: S101 (led: what landed is ours)
        return reply

    def _head_effects(self, trip: Trip, answer: Answer, requested_at: float) -> None:
        """A HEAD's answer updates what is stored, or makes it stale (RFC 9111 4.3.5)."""
        now = self._clock.now()
        for item in self._store.get(trip.key):
            if not matches(trip.head, item.entry):
                continue
            updated = head_effect(item.entry, answer.head, requested_at, now, trip.rules)
            if updated is not None:
                self._store.refresh(item, updated)
