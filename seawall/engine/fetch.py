"""The pilot: one request to the upstream, what policy makes of the answer, and the body on its way to the store.

A pilot runs as a flight's task. It lands as soon as the head is settled, so callers stream while the body
arrives; it ends when the body has. What it read from the store before the request went out it reads again
when the answer is here: an order may have come between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, assert_never

from seawall.clock import Clock
from seawall.downstream.exchange import Request
from seawall.engine.hitformiss import HitForMiss
from seawall.engine.landing import Arriving, Kept, Landing, Lone
from seawall.engine.pour import Filling, pour
from seawall.engine.searches import Searches
from seawall.engine.standing import Candidates, Standing
from seawall.engine.uses import Uses
from seawall.engine.visit import Observer
from seawall.flight.fill import Fill
from seawall.flight.table import Flight
from seawall.http.body import BodyBroken
from seawall.http.headers import EMPTY, Headers, no_fields
from seawall.http.message import RequestHead
from seawall.policy.decide import decide
from seawall.policy.early import jittered
from seawall.policy.entry import Entry
from seawall.policy.forward import forward_head
from seawall.policy.invalidate import stale_from
from seawall.policy.outcomes import (
    Again,
    Combine,
    Failure,
    PassOn,
    Refresh,
    Serve,
    Settlement,
    Store,
    UseStale,
)
from seawall.policy.reasons import Fwd, Reason
from seawall.policy.rules import Rules
from seawall.policy.settle import settle
from seawall.purge.applied import Mark
from seawall.store.level import Spool
from seawall.store.levels import Levels
from seawall.store.memory import supersedes
from seawall.store.stored import Stored, stored
from seawall.upstream.answer import Answer, PeerNote, UpstreamError
from seawall.upstream.upstream import Upstream

if TYPE_CHECKING:
    from seawall.flight.lease import Leases

# How long one process may fetch while others wait for it; beyond, a second fetch is the lesser evil.
LEASE_SECONDS = 10.0
# How long it may take until what was fetched is where the others look.
SETTLE_SECONDS = 1.0

# RFC 9110 15.6.5: a time-out is a 504, everything else that an upstream can do wrong a 502.
_TIMEOUTS = frozenset({Reason.CONNECT_TIMEOUT, Reason.FIRST_BYTE_TIMEOUT, Reason.IDLE_TIMEOUT})

# Something was stored for the key when this went out: it has earned its place, and this takes it over.
_HELD = frozenset({Fwd.STALE, Fwd.REQUEST, Fwd.PARTIAL, Fwd.VARY_MISS})


class FlightKey(NamedTuple):
    """What must be equal for two requests to wait for one fetch. `selected`: the selecting fields known so far."""

    key: str
    requested_range: str | None
    selected: tuple[tuple[str, str | None], ...]
    # Set for flights that cannot be shared: makes them unlike any other.
    lone: int = 0


@dataclass(frozen=True, slots=True)
class Trip:
    """One request that goes forward: what for, and by which road."""

    key: str
    request: Request
    head: RequestHead  # as keyed: its target is what is forwarded
    fwd: Fwd
    rules: Rules
    upstream: Upstream
    conditions: Headers = field(default_factory=no_fields)  # ours, in place of the client's
    about: Entry | None = None  # the stored response that the conditions speak of
    as_it_came: bool = False  # the client's own preconditions go along
    trusted: bool = False  # a node of ours asks: what it says of its own client stands


@dataclass(frozen=True, slots=True)
class Sent:
    """A trip that has gone out already: when, after which orders, and what has come of it."""

    requested_at: float
    mark: Mark
    answer: Answer | Failure


def failure_of(error: UpstreamError) -> Failure:
    """How an upstream's failure is told to a client."""
    if error.reason is Reason.QUEUE_FULL:
        return Failure(error.reason, 503)
    return Failure(error.reason, 504 if error.reason in _TIMEOUTS else 502)


class Fetcher:
    """Sends trips out and files what comes back. One for each process."""

    __slots__ = (
        "_chance",
        "_clock",
        "_filling",
        "_hit_for_miss",
        "_leases",
        "_node",
        "_observer",
        "_searches",
        "_standing",
        "_store",
        "_unlist",
        "_uses",
    )

    def __init__(
        self,
        *,
        node: str,
        clock: Clock,
        store: Levels,
        hit_for_miss: HitForMiss,
        searches: Searches,
        uses: Uses,
        standing: Standing,
        observer: Observer,
        filling: Filling,
        leases: Leases | None,
        chance: Callable[[], float],
        unlist: Callable[[Flight[Landing]], None],
    ) -> None:
        """`chance` gives numbers from [0, 1). `unlist`: a flight keeps its passengers and takes no more."""
        self._node = node
        self._clock = clock
        self._store = store
        self._hit_for_miss = hit_for_miss
        self._searches = searches
        self._uses = uses
        self._chance = chance
        self._standing = standing
        self._observer = observer
        self._filling = filling
        self._leases = leases
        self._unlist = unlist

    async def send(self, trip: Trip, conditions: Headers, *, first: bool) -> Answer | Failure:
        """One exchange with the upstream."""
        head = forward_head(
            trip.head,
            peer=trip.request.peer,
            node=self._node,
            keep_conditions=trip.as_it_came and first,
            keep_range=trip.about is None,
            extra=conditions,
            upgrade=trip.as_it_came,
            trusted=trip.trusted,
        )
        self._observer.forwarded(trip.fwd)
        try:
            return await trip.upstream.exchange(head, trip.request.body, interim=trip.request.interim)
        except UpstreamError as error:
            self._observer.failed(error.reason)
            return failure_of(error)
        except BodyBroken:
            # The client's own body: the origin was cut off, and nobody waits for an answer.
            return Failure(Reason.CLIENT_ABORT, 400)

    async def fly(self, trip: Trip, flight: Flight[Landing]) -> None:
        """The pilot of a flight whose answer may be shared and stored: fetched here, or by another process."""
        leases = self._leases
        if leases is None:
            await self._fetch(trip, flight)
            return
        lease = await leases.take(trip.key, LEASE_SECONDS)
        if lease is None:
            await leases.wait(trip.key, LEASE_SECONDS)
            if await self._land_anothers(trip, flight):
                return
            await self._fetch(trip, flight)
            return
        try:
            await self._fetch(trip, flight)
            # Nobody is to board any more: what landed is in the store by now, or it was not for others. Who boarded
            # would be given what was true at the landing, and be turned away by what is the leader's alone.
            self._unlist(flight)
            # Who waits for the lease looks below, and what was stored here is on its way there.
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self._store.settled(trip.key)
        finally:
            await leases.release(lease)

    async def _land_anothers(self, trip: Trip, flight: Flight[Landing]) -> bool:
        """Lands what another process has fetched meanwhile, where that answers this trip."""
        promoted = await self._store.promote(trip.key)
        items = self._store.get(trip.key)
        if self._store.stands(promoted):
            items += promoted.items
        held = self.candidates(items)
        match decide(trip.head, False, held.entries, self._clock.now(), trip.rules, False):
            case Serve(entry):
                flight.land(Kept(held.item(entry), None, self._standing.mark))
                return True
            case _:
                return False

    async def go_on(self, trip: Trip, sent: Sent, flight: Flight[Landing]) -> None:
        """The pilot of a flight that was flown by hand until its answer came. No other process fetches meanwhile."""
        await self._fetch(trip, flight, sent)

    async def _fetch(self, trip: Trip, flight: Flight[Landing], sent: Sent | None = None) -> None:
        """`sent`: the trip has gone out already."""
        conditions, about = trip.conditions, trip.about
        for first in (True, False):
            if first and sent is not None:
                taken_off, requested_at, answer = sent.mark, sent.requested_at, sent.answer
            else:
                taken_off, requested_at = self._standing.mark, self._clock.now()
                answer = await self.send(trip, conditions, first=first)
            mark = self.mark_of(answer, taken_off)
            # The store again, not what stood there before the await: what a purge or an unsafe request has
            # taken away meanwhile must not be revived by a 304 (HAZARDS T28).
            held = self.candidates(() if flight.overtaken else self._store.get(trip.key))
            if any(self._standing.applied.overtakes(mark, trip.key, item.entry.tags) for item in held.items):
                held = self.candidates(())
            settlement = self.settle(trip, answer, held, about, requested_at, asked=bool(conditions))
            if not isinstance(settlement, Again):
                await self._land(trip, flight, answer, settlement, held, mark)
                return
            # The answer fits nothing that we hold: once more, without conditions.
            drop(answer)
            self._observer.not_stored(settlement.reason)
            conditions, about = EMPTY, None
        flight.land(Lone(None, Failure(Reason.BAD_RESPONSE, 502), Reason.BAD_RESPONSE, mark))

    def candidates(self, items: tuple[Stored, ...]) -> Candidates:
        """As policy may see them now."""
        return Candidates(items, fenced=bool(items) and self._standing.fenced())

    def mark_of(self, answer: Answer | Failure, taken_off: Mark) -> Mark:
        """The orders that were applied to this answer: the parent's word, or those applied when it was asked for."""
        if isinstance(answer, Failure) or answer.peer is None:
            return taken_off
        return self._standing.applied.mark_of(answer.peer.journal, answer.peer.number)

    def settle(
        self,
        trip: Trip,
        answer: Answer | Failure,
        held: Candidates,
        about: Entry | None,
        requested_at: float,
        *,
        asked: bool,
    ) -> Settlement:
        """Policy's second door, with what stands in the store now; then a parent's word about it, and chance."""
        now = self._clock.now()
        found = held.find(about)
        settlement = settle(
            trip.head,
            asked,
            answer if isinstance(answer, Failure) else answer.head,
            isinstance(answer, Failure) or answer.delimited,
            held.shown(found) if found is not None else None,
            held.entries,
            requested_at,
            now,
            trip.rules,
        )
        peer = None if isinstance(answer, Failure) else answer.peer
        if peer is not None:
            settlement = _as_fresh_as(settlement, peer, now)
        return _jittered(settlement, trip.rules.ttl_jitter, self._chance()) if trip.rules.ttl_jitter else settlement

    async def _land(
        self,
        trip: Trip,
        flight: Flight[Landing],
        answer: Answer | Failure,
        settlement: Store | Refresh | Combine | UseStale | PassOn,
        held: Candidates,
        mark: Mark,
    ) -> None:
        match settlement:
            case Store(entry):
                assert isinstance(answer, Answer)  # noqa: S101 (policy stores no failure)
                await self.keep(trip, flight, answer, entry, mark)
            case Combine(entry, updated):
                assert isinstance(answer, Answer)  # noqa: S101
                seed = held.item(entry).body
                assert isinstance(seed, tuple)  # noqa: S101 (what is to be combined is a part, and those are in memory)
                await self.keep(trip, flight, answer, updated, mark, seed=seed)
            case Refresh(entry, updated):
                assert isinstance(answer, Answer)  # noqa: S101
                item = held.item(entry)
                answer.body.close()
                # refresh() can only refuse what no longer fits the budget, as nothing was awaited since `held`
                # was read: then the validated body still answers this once.
                fresh = self._store.refresh(item, updated) or stored(trip.key, updated, item.held)
                flight.land(Kept(fresh, answer.head.status, self._standing.mark))
            case UseStale(entry, reason):
                item = held.item(entry)
                drop(answer)
                status = None if isinstance(answer, Failure) else answer.head.status
                flight.land(Kept(item, status, self._standing.mark, reason))
            case PassOn(reason, remember):
                if remember:
                    self._hit_for_miss.remember(trip.key, self._clock.now())
                if isinstance(answer, Failure):
                    flight.land(Lone(None, answer, reason, mark))
                else:
                    self._observer.not_stored(reason)
                    flight.land(Lone(answer, None, reason, mark))
            case _:
                assert_never(settlement)

    async def keep(
        self,
        trip: Trip,
        flight: Flight[Landing],
        answer: Answer,
        entry: Entry,
        mark: Mark,
        seed: tuple[bytes, ...] = (),
    ) -> None:
        """Lands what is to be stored, pours its body in, and stores it once it is whole.

        What has not been asked for often enough is shared with those who wait, and not stored (HAZARDS T67).
        """
        length = answer.body.length
        unstored = self._too_little_asked(trip)
        spool = None
        if not self._filling.fits(length):
            spool = self._spool_for(entry, unstored)
            if spool is None:
                why = Reason.NO_ROOM if self._filling.most_in_memory >= (length or 0) else Reason.TOO_LARGE
                self._not_kept(trip, why)
                flight.land(Lone(answer, None, why, mark))
                return
        seeded = sum(map(len, seed))
        fill = Fill(None if length is None else length + seeded, seed)
        flight.land(Arriving(entry, fill, answer.head.status, fill.reader(), mark, unstored))
        try:
            poured = await pour(
                answer.body,
                fill,
                trip.rules.max_object_bytes,
                self._filling,
                spool,
                lambda: self._spool_for(entry, unstored),
            )
        finally:
            # Cancelled too (close): nobody may wait for a body that has no writer any more.
            if not fill.ended:
                fill.fail("the fetch was cancelled")
            answer.body.close()
        why_not = poured.why_not
        if why_not is None and entry.part is not None and fill.bytes_in != entry.part.last - entry.part.first + 1:
            why_not = Reason.INCOMPLETE
        if why_not is None and (
            flight.overtaken
            or self._standing.applied.overtakes(mark, trip.key, entry.tags)
            or self._met_another(trip.key, entry)
        ):
            why_not = Reason.OVERTAKEN
        if why_not is None and unstored is not None:
            why_not = unstored
            self._hit_for_miss.forget(trip.key)  # it may be shared, so the next may wait for it
        if why_not is not None or poured.body is None:
            self._not_kept(trip, why_not or Reason.TOO_LARGE)
        elif self._store.put(stored(trip.key, entry, poured.body)):
            self._hit_for_miss.forget(trip.key)
            self._searches.learn(trip.head, trip.key, entry)
        else:
            self._observer.not_stored(Reason.TOO_LARGE)

    def _not_kept(self, trip: Trip, why: Reason) -> None:
        self._observer.not_stored(why)
        if why is Reason.TOO_LARGE:
            self._hit_for_miss.remember(trip.key, self._clock.now())

    def _spool_for(self, entry: Entry, unstored: Reason | None) -> Spool | None:
        """Where a body goes that is too large for memory. Parts are not: they are there to be put together."""
        return self._store.spool() if entry.part is None and unstored is None else None

    def _too_little_asked(self, trip: Trip) -> Reason | None:
        least = trip.rules.min_uses
        if least <= 1 or trip.fwd in _HELD or self._uses.count(trip.key, self._clock.now()) >= least:
            return None
        return Reason.MIN_USES

    def _met_another(self, key: str, entry: Entry) -> bool:
        """Was the same variant fetched by somebody else meanwhile? Then this one is not to be stored.

        Two fetches of one variant can be under way where Vary was not known when the first took off. If the other was
        asked for after our answer had come, it is newer and stays. If they overlapped, nobody can tell which of the
        two the origin made first, and to keep either could show a client an older version than it has seen: both go.
        """
        met = False
        for item in self._store.get(key):
            if supersedes(entry, item.entry) and item.entry.stored_at > entry.requested_at:
                met = True
                if item.entry.requested_at <= entry.stored_at:
                    self._store.discard(item)
        return met


def _as_fresh_as(settlement: Settlement, peer: PeerNote, now: float) -> Settlement:
    """What a parent served stale is delivered and not kept; nothing is fresh longer here than it was there."""
    match settlement:
        case Store() | Combine() if peer.fresh_seconds <= 0:
            return PassOn(Reason.PARENT_STALE, remember=False)
        case Store(entry):
            return Store(stale_from(entry, now + peer.fresh_seconds))
        case Combine(entry, updated):
            return Combine(entry, stale_from(updated, now + peer.fresh_seconds))
        case Refresh(entry, updated):
            return Refresh(entry, stale_from(updated, now + peer.fresh_seconds))
        case _:
            return settlement


def _jittered(settlement: Settlement, share: float, chance: float) -> Settlement:
    """What was stored together does not expire together."""
    match settlement:
        case Store(entry):
            return Store(jittered(entry, share, chance))
        case Combine(entry, updated):
            return Combine(entry, jittered(updated, share, chance))
        case Refresh(entry, updated):
            return Refresh(entry, jittered(updated, share, chance))
        case _:
            return settlement


def drop(answer: Answer | Failure) -> None:
    """Nobody wants it."""
    if isinstance(answer, Answer):
        answer.body.close()
        if answer.tunnel is not None:
            answer.tunnel.close()
