"""One request from arrival to reply, as a list of steps.

Policy decides twice: `decide` when the request is here, `settle` when the origin's head is (engine/fetch.py).
Between the two lies a flight, which everyone who asks for the same waits for. This file says who waits for
whom, and what each of them is given.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, assert_never

from seawall.clock import Clock
from seawall.downstream.exchange import Handler, Reply, Request
from seawall.downstream.exchange import Sent as Delivered
from seawall.engine import replies
from seawall.engine.fetch import Fetcher, FlightKey, Sent, Trip, drop
from seawall.engine.grounds import Fetching, Grounds
from seawall.engine.handover import Begun, Handover
from seawall.engine.hitformiss import HitForMiss
from seawall.engine.invalidation import Invalidator
from seawall.engine.landing import Arriving, Kept, Landing, Lone
from seawall.engine.peers import NOBODY, Peers
from seawall.engine.popularity import Popularity
from seawall.engine.pour import Filling
from seawall.engine.purger import Purger
from seawall.engine.route import Everywhere, Route
from seawall.engine.searches import Searches
from seawall.engine.standing import Candidates, Standing
from seawall.engine.tally import Tally
from seawall.engine.uses import Uses
from seawall.engine.visit import Observer, Visit
from seawall.flight.table import Flight, FlightFailed, Flights, Pilot
from seawall.http.dates import format_date
from seawall.http.headers import EMPTY
from seawall.http.message import RequestHead
from seawall.policy.decide import decide
from seawall.policy.early import due_early, may_set_off
from seawall.policy.entry import Entry
from seawall.policy.forward import loops
from seawall.policy.key import cache_key, keyed_target
from seawall.policy.outcomes import (
    Complete,
    Decision,
    Failure,
    Fetch,
    PassOn,
    Refuse,
    Revalidate,
    Serve,
    ServeStale,
    Store,
)
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.policy.rules import DEFAULT, Rules
from seawall.policy.update import head_effect
from seawall.policy.validators import conditions
from seawall.policy.vary import matches, selected
from seawall.purge.applied import Applied, Mark
from seawall.store.levels import NOTHING, Levels
from seawall.store.stored import Gone, Stored
from seawall.upstream.answer import Answer

if TYPE_CHECKING:
    from seawall.flight.lease import Leases

# How often one request waits for a flight before it goes alone. The second wait is for those whom Vary told
# apart from the first flight, or whom its failure promoted; a third would only add the origin's delay again.
MOST_BOARDINGS = 3
# How often one request looks below memory: again only where an order came between the look and its result.
MOST_LOOKS = 2

# What a level below memory may hold although memory does not.
_MISSING = frozenset({Fwd.URI_MISS, Fwd.VARY_MISS, Fwd.MISS, Fwd.PARTIAL})


class Engine:
    """Answers requests. Owner of the flights; store, upstreams and observer are lent to it."""

    __slots__ = (
        "_chance",
        "_clock",
        "_fetcher",
        "_filling",
        "_flights",
        "_hit_for_miss",
        "_invalidator",
        "_leases",
        "_lone",
        "_node",
        "_observer",
        "_peers",
        "_popularity",
        "_purger",
        "_route",
        "_searches",
        "_standing",
        "_store",
        "_uses",
    )

    def __init__(
        self,
        *,
        node: str,
        clock: Clock,
        route: Callable[[RequestHead], Route | None],
        store: Levels,
        observer: Observer,
        fill_budget_bytes: int,
        most_in_memory: int = DEFAULT.max_object_bytes,
        standing: Standing | None = None,
        peers: Peers = NOBODY,
        chance: Callable[[], float] = random.random,
        popularity: Popularity | None = None,
        leases: Leases | None = None,
    ) -> None:
        """`standing` None: a node alone, that nobody sends orders to. `chance` gives numbers from [0, 1).

        `leases`: who fetches what, where other processes look into the same store; None: they do not.
        `popularity` counts what is served from the store; None: nobody wants to know."""
        self._standing = standing = standing or Standing(Applied())
        self._peers = peers
        self._node = node
        self._clock = clock
        self._route = route
        self._store = store
        self._observer = observer
        self._flights: Flights[Landing] = Flights()
        self._hit_for_miss = HitForMiss()
        self._searches = Searches()
        self._uses = Uses()
        self._chance = chance
        self._popularity = popularity
        self._leases = leases is not None
        self._filling = Filling(fill_budget_bytes, most_in_memory)
        self._fetcher = Fetcher(
            node=node,
            clock=clock,
            store=store,
            hit_for_miss=self._hit_for_miss,
            searches=self._searches,
            uses=self._uses,
            standing=standing,
            observer=observer,
            filling=self._filling,
            leases=leases,
            chance=chance,
        )
        self._invalidator = Invalidator(self._key_of, store, self._flights)
        self._purger = Purger(self._key_of, store, self._flights, clock, standing.applied)
        self._lone = count(1)

    @property
    def flights(self) -> int:
        """How many fetches are under way."""
        return len(self._flights)

    @property
    def purger(self) -> Purger:
        """How purge orders reach what is stored and what is under way."""
        return self._purger

    def grounds(self, tally: Tally) -> Grounds:
        """What plain hits, misses and passes rest on here, for who answers them before the engine is asked.

        `tally` is this observer's."""

        def rules(head: RequestHead) -> Rules | None:
            route = self._route(head)
            return None if route is None else route.rules

        return Grounds(
            node=self._node,
            clock=self._clock,
            rules=rules,
            memory=self._store.memory,
            standing=self._standing,
            searches=self._searches,
            uses=self._uses,
            tally=tally,
            popularity=self._popularity,
            # With a level below memory, or other processes that may have fetched it, a miss is no plain one.
            fetching=None
            if self._store.deep or self._leases
            else Fetching(
                route=self._route,
                only=self._route.route if isinstance(self._route, Everywhere) else None,
                store=self._store,
                flights=self._flights,
                hit_for_miss=self._hit_for_miss,
                filling=self._filling,
                hand_over=self.hand_over,
            ),
        )

    @property
    def invalidator(self) -> Invalidator:
        """How what an unsafe request has changed becomes stale, here and at other processes of this node."""
        return self._invalidator

    @property
    def key_of(self) -> Callable[[RequestHead], tuple[str, str] | None]:
        """The URL as it is keyed and the primary key, of what a request would ask; None where no route takes it."""
        return self._key_of

    async def holds(self, head: RequestHead) -> bool:
        """Is there something stored, fresh or not, that answers this request?"""
        names = self._key_of(head)
        if names is None:
            return False
        items = self._store.get(names[1])
        if self._store.deep and not any(matches(head, item.entry) for item in items):
            below = await self._store.promote(names[1])
            items = (*self._store.get(names[1]), *below.items)
        return any(matches(head, item.entry) for item in items)

    async def close(self) -> None:
        """Ends what is under way. Replies that still stream from it break, visibly."""
        await self._flights.close()

    async def handle(self, request: Request) -> Reply:
        """The reply to one request. Never raises but CancelledError: every fault has an answer."""
        visit = Visit(request, self._clock.now(), self._clock.monotonic())
        head, visit.from_peer = self._peers.admit(request.head)
        if head is not request.head:
            request = replace(request, head=head)
        visit.mark = self._standing.mark
        reply = await self._answer(visit, request)
        if visit.from_peer:
            reply.head = replies.for_peer(visit, reply.head, self._standing.applied)
        reply.done = partial(self._sent, visit)
        return reply

    def hand_over(self, request: Request, begun: Begun) -> Handover:
        """Goes on with a request that was forwarded before the engine was asked, from where its answer has come.

        A flight that others may board goes on from here, whoever has left meanwhile."""
        visit = Visit(request, begun.arrived_at, begun.started)
        decision, head = begun.decision, request.head
        visit.outcome = Outcome.MISS if decision.storable else Outcome.PASS
        visit.fwd, visit.reason, visit.mark = decision.fwd, decision.reason, begun.mark
        visit.origin_seconds = self._clock.monotonic() - visit.started
        trip = self._trip(
            visit, request, head, begun.key, begun.route, decision.fwd, decision=decision if decision.storable else None
        )
        flight, sent = begun.flight, begun.sent
        if flight is None:
            flight = self._flights.enter(FlightKey(trip.key, None, (), next(self._lone)))
            flight.overtaken = begun.overtaken
            passing = partial(self._pass_on, visit, trip, flight, sent)
            return Handover(self._answering(visit, passing), partial(self._let_go, flight, sent))
        pilot = partial(self._fetcher.fly, trip) if sent is None else partial(self._fetcher.go_on, trip, sent)
        self._flights.launch(flight, pilot)
        return Handover(
            self._answering(visit, partial(self._follow, visit, trip, flight)), partial(self._abandon, flight)
        )

    def _answering(self, visit: Visit, answer: Callable[[Request], Awaitable[Reply]]) -> Handler:
        async def handle(request: Request) -> Reply:
            reply = await answer(request)
            reply.done = partial(self._sent, visit)
            return reply

        return handle

    async def _follow(self, visit: Visit, trip: Trip, flight: Flight[Landing], request: Request) -> Reply:
        """As its leader."""
        landing, led = await self._await_landing(visit, trip, flight, led=True) or (None, True)
        reply = await self._disembark(visit, trip, landing, led, last=False)
        return reply if reply is not None else await self._answer(visit, request)

    async def _pass_on(
        self, visit: Visit, trip: Trip, flight: Flight[Landing], sent: Sent | None, request: Request
    ) -> Reply:
        try:
            if sent is None:
                self._flights.leave(flight)
                return await self._pass(visit, trip)
            return await self._passed(visit, trip, flight, sent)
        finally:
            if not flight.launched:
                self._flights.leave(flight)

    def _let_go(self, flight: Flight[Landing], sent: Sent | None) -> None:
        """A pass whose client has left before anybody looked at its answer."""
        if sent is not None:
            drop(sent.answer)
        self._flights.leave(flight)

    def _sent(self, visit: Visit, sent: Delivered) -> None:
        self._observer.visited(visit, sent, self._clock.monotonic() - visit.started)

    async def _answer(self, visit: Visit, request: Request) -> Reply:
        route = self._route(request.head)
        if route is None:
            return self._refuse(visit, request.head, Refuse(404, Reason.NO_ROUTE))
        if loops(request.head, self._node):
            return self._refuse(visit, request.head, Refuse(508, Reason.LOOP))
        head = request.head
        target = keyed_target(head.target, route.rules.key)
        if target != head.target:
            head = replace(head, target=target)
        key = self._searches.key(head, cache_key(head, route.rules.key))
        selecting: frozenset[str] = frozenset()
        looks, promoted = (MOST_LOOKS if self._store.deep else 0), NOTHING
        boarding, counted = 0, False
        while boarding < MOST_BOARDINGS:
            now = self._clock.now()
            items = self._store.get(key)
            if promoted.items and self._store.stands(promoted):
                items += promoted.items
            held = self._fetcher.candidates(items)
            visit.mark = self._standing.mark
            decision = decide(
                head,
                request.body is not None,
                held.entries,
                now,
                route.rules,
                self._hit_for_miss.holds(key, now),
            )
            if looks and self._is_worth_a_look(decision, held, now):
                looks -= 1
                promoted = await self._store.promote(key)
                continue
            if not counted and route.rules.min_uses > 1 and _asks_the_store(decision):
                self._uses.ask(key, now)
            counted = True
            match decision:
                case Serve(entry):
                    visit.outcome = Outcome.HIT
                    item = held.item(entry)
                    if (
                        route.rules.early_refresh
                        and self._due_early(head, entry, now, route.rules.early_refresh)
                        and self._refresh_behind(visit, request, head, key, route, item, held)
                    ):
                        visit.reason = Reason.EARLY_REFRESH
                    reply = await self._serve(visit, head, item)
                    if reply is not None:
                        return reply
                    visit.reason = None
                case ServeStale(entry, reason, refresh):
                    visit.outcome, visit.reason = Outcome.STALE, reason
                    if refresh:
                        self._refresh_behind(visit, request, head, key, route, held.item(entry), held)
                    reply = await self._serve(visit, head, held.item(entry))
                    if reply is not None:
                        return reply
                    visit.reason = None
                case Refuse():
                    return self._refuse(visit, head, decision)
                case Fetch(fwd, False, reason):
                    visit.outcome, visit.fwd, visit.reason = Outcome.PASS, fwd, reason
                    return await self._pass(visit, self._trip(visit, request, head, key, route, fwd))
                case Fetch() | Revalidate() | Complete():
                    visit.outcome, visit.fwd = Outcome.MISS, _fwd(decision)
                    visit.reason = None if isinstance(decision, Complete) else decision.reason
                    if held.fenced:
                        visit.reason = Reason.FENCED
                    trip = self._trip(visit, request, head, key, route, visit.fwd, decision=decision)
                    # Once a landing has told us what the resource varies on, we wait only for our own kind.
                    names = selecting | held.selecting()
                    boarded = await self._board(visit, trip, names)
                    boarding += 1
                    if boarded is None:
                        continue
                    landing, led = boarded
                    reply = await self._disembark(visit, trip, landing, led, last=boarding == MOST_BOARDINGS)
                    if reply is not None:
                        return reply
                    if isinstance(landing, Lone) and landing.answer is not None:
                        break
                    if landing is not None and not isinstance(landing, Lone):
                        selecting = frozenset(name for name, _ in _entry(landing).varied)
                case _:
                    assert_never(decision)
        # What landed was not for us, and waiting again would serialise what cannot be shared.
        fwd = visit.fwd or Fwd.MISS
        visit.collapsed = False
        return await self._pass(visit, self._trip(visit, request, head, key, route, fwd))

    def _is_worth_a_look(self, decision: Decision, held: Candidates, now: float) -> bool:
        """Could a level below memory change this?"""
        match decision:
            case Fetch(fwd, _, reason):
                # Storable or not: what is stored answers a HEAD too.
                missing = fwd in _MISSING or (fwd is Fwd.STALE and self._store.shared)
                return missing and reason is not Reason.HIT_FOR_MISS
            case Refuse():
                return decision.reason is Reason.ONLY_IF_CACHED
            case Serve(entry):
                return held.item(entry).look_again_at <= now
            case Revalidate(_, _, fwd) if fwd in _MISSING:
                return True  # what would be asked about are the other variants
            case Revalidate() | ServeStale():
                # Another node may have validated it already.
                return self._store.shared
            case Complete():
                return True

    # --- waiting for a flight ---

    async def _board(self, visit: Visit, trip: Trip, names: frozenset[str]) -> tuple[Landing | None, bool] | None:
        """What the flight for this trip landed (None: it failed without landing), and whether we led it.

        None: an order came between its take-off and its landing, and perhaps before us: the next flight, then.
        """
        key = FlightKey(trip.key, trip.head.headers.get("range"), selected(names, trip.head))
        if "authorization" in trip.head.headers:
            # Almost never to be shared (RFC 9111 3.5): nobody waits for it, and it waits for nobody.
            flight, led = self._flights.enter(key._replace(lone=next(self._lone))), True
            self._flights.launch(flight, self._pilot(trip))
        else:
            if self._standing.fenced():
                await self._await_elder(key)
            flight, led = self._flights.board(key, self._pilot(trip))
        return await self._await_landing(visit, trip, flight, led=led)

    async def _await_landing(
        self, visit: Visit, trip: Trip, flight: Flight[Landing], *, led: bool
    ) -> tuple[Landing | None, bool] | None:
        """The second half of _board."""
        if not led:
            visit.collapsed = True
            self._observer.collapsed()
        try:
            landing = await flight.wait()
        except FlightFailed:
            return None, led
        except BaseException:
            # Cancelled: the leader's client has left. What is for the leader only is let go, now or on landing.
            if led:
                self._abandon(flight)
            raise
        visit.origin_seconds = self._clock.monotonic() - visit.started
        if not led and self._is_overtaken(trip, landing):
            # Only the landing told the tags that the order names.
            self._flights.unlist(flight)
            return None
        return landing, led

    def _is_overtaken(self, trip: Trip, landing: Landing) -> bool:
        return isinstance(landing, Arriving) and self._standing.applied.overtakes(
            landing.mark, trip.key, landing.entry.tags
        )

    async def _await_elder(self, key: FlightKey) -> None:
        """Without a lease, only a flight that took off after the request came will do.

        One that was in the air already may have asked before a purge that we have not heard of: a frozen node comes
        back with it, after its purge was answered. All who wait for its landing board the next one together.
        """
        elder = self._flights.get(key)
        if elder is None:
            return
        with suppress(FlightFailed):
            await elder.wait()
        self._flights.unlist(elder)

    def _pilot(self, trip: Trip) -> Pilot[Landing]:
        return partial(self._fetcher.fly, trip)

    async def _disembark(
        self, visit: Visit, trip: Trip, landing: Landing | None, led: bool, *, last: bool
    ) -> Reply | None:
        """Our reply from what landed; None where it is not for us, or where we are to try ourselves."""
        now = self._clock.now()
        match landing:
            case None:
                return self._fail(visit, trip.head, Failure(Reason.BAD_RESPONSE, 502)) if led or last else None
            case Arriving(entry, fill, fwd_status, seat, mark, unstored):
                if not led and not (fill.joinable and matches(trip.head, entry)):
                    return None
                visit.fwd_status, visit.stored, visit.mark = fwd_status, led and unstored is None, mark
                visit.reason = unstored or visit.reason
                return replies.from_fill(visit, trip.head, entry, fill, seat if led else None, self._node, now)
            case Kept(item, fwd_status, stale):
                if not (led or matches(trip.head, item.entry)):
                    return None
                visit.fwd_status, visit.mark = fwd_status, self._standing.mark
                if stale is not None:
                    visit.outcome, visit.reason = Outcome.STALE, stale
                elif fwd_status is None:
                    visit.collapsed = True  # into a fetch of another process
                return await self._serve(visit, trip.head, item)
            case Lone(failure=Failure() as failure):
                # A failed flight promotes a waiter: whoever boards first leads the next one.
                return self._fail(visit, trip.head, failure) if led or last else None
            case Lone():
                if not led:
                    return None
                answer = landing.claim()
                assert answer is not None  # noqa: S101 (no failure, and claimed once: there is one leader)
                visit.fwd_status, visit.reason, visit.mark = answer.head.status, landing.reason, landing.mark
                _note_freshness(visit, answer)
                return replies.from_answer(visit, trip.head, answer, self._node)
            case _:
                assert_never(landing)

    def _abandon(self, flight: Flight[Landing]) -> None:
        flight.on_landing(lambda landing: landing.abandon())

    def _refresh_behind(
        self,
        visit: Visit,
        request: Request,
        head: RequestHead,
        key: str,
        route: Route,
        item: Stored,
        held: Candidates,
    ) -> bool:
        """One revalidation in the background, however many were served stale (RFC 5861 3) or draw an early one.

        Nobody waits for it. True: this request set it off.
        """
        trip = Trip(
            key,
            Request(head, None, request.peer, lambda _: None),
            head,
            Fwd.STALE,  # for an early one too: it has no word of its own in RFC 9211 2.2
            route.rules,
            route.background,
            conditions(item.entry),
            item.entry,
            trusted=visit.from_peer,
        )
        flight, led = self._flights.board(
            FlightKey(key, head.headers.get("range"), selected(held.selecting(), head)), self._pilot(trip)
        )
        if led:
            self._abandon(flight)
        return led

    def _due_early(self, head: RequestHead, entry: Entry, now: float, beta: float) -> bool:
        # From (0, 1]: the logarithm of 0 is not a number.
        return may_set_off(head) and due_early(entry, entry.fetch_seconds, now, beta, 1.0 - self._chance())

    # --- going alone ---

    async def _pass(self, visit: Visit, trip: Trip) -> Reply:
        """Forwarded as it came. What turns out to be for everyone is stored on its way (hit-for-miss, POST).

        The exchange belongs to this request: when its client leaves, it is cancelled.
        """
        flight = self._flights.enter(FlightKey(trip.key, None, (), next(self._lone)))
        try:
            requested_at, taken_off = self._clock.now(), self._standing.mark
            answer = await self._fetcher.send(trip, EMPTY, first=True)
            visit.origin_seconds = self._clock.monotonic() - visit.started
            return await self._passed(visit, trip, flight, Sent(requested_at, taken_off, answer))
        finally:
            if not flight.launched:
                self._flights.leave(flight)

    async def _passed(self, visit: Visit, trip: Trip, flight: Flight[Landing], sent: Sent) -> Reply:
        answer = sent.answer
        if isinstance(answer, Failure):
            return self._fail(visit, trip.head, answer)
        visit.fwd_status, visit.mark = answer.head.status, self._fetcher.mark_of(answer, sent.mark)
        _note_freshness(visit, answer)
        overtaken = flight.overtaken
        self._invalidator.after(trip.head, answer.head)
        flight.overtaken = overtaken  # by others; what this very request invalidates is older than its answer
        if trip.head.method == "HEAD":
            self._head_effects(trip, answer, sent.requested_at)
        elif (entry := self._storable(visit, trip, answer, sent.requested_at)) is not None:
            return await self._keep(visit, trip, flight, answer, entry, visit.mark)
        return replies.from_answer(visit, trip.head, answer, self._node)

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
            self._abandon(flight)
            raise
        reply = await self._disembark(visit, trip, landing, True, last=True)
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

    # --- small steps ---

    def _trip(
        self,
        visit: Visit,
        request: Request,
        head: RequestHead,
        key: str,
        route: Route,
        fwd: Fwd,
        *,
        decision: Fetch | Revalidate | Complete | None = None,
    ) -> Trip:
        """What goes forward for this decision; None: the request as it came, its own preconditions included."""
        asking = decision if isinstance(decision, Revalidate | Complete) else None
        return Trip(
            key,
            request,
            head,
            fwd,
            route.rules,
            route.upstream,
            asking.conditions if asking is not None else EMPTY,
            asking.entry if asking is not None else None,
            as_it_came=decision is None,
            trusted=visit.from_peer,
        )

    async def _serve(self, visit: Visit, head: RequestHead, item: Stored) -> Reply | None:
        """None: its body lay in a lower level and is not there any more. It is gone from all of them now."""
        self._store.touch(item)
        if self._popularity is not None:
            self._popularity.note(item.key)
        if isinstance(item.body, tuple):
            return replies.from_stored(visit, head, item, item.body, self._node, self._clock.now())
        try:
            return await replies.from_filed(visit, head, item, item.body, self._node, self._clock.now())
        except Gone:
            self._store.discard(item)
            visit.ttl = None
            return None

    def _refuse(self, visit: Visit, head: RequestHead, refuse: Refuse) -> Reply:
        visit.reason = refuse.reason
        return replies.refusal(visit, head, refuse.status, self._node, format_date(self._clock.now()))

    def _fail(self, visit: Visit, head: RequestHead, failure: Failure) -> Reply:
        visit.reason, visit.fwd_status = failure.reason, None
        return replies.refusal(visit, head, failure.status, self._node, format_date(self._clock.now()))

    def _key_of(self, head: RequestHead) -> tuple[str, str] | None:
        """The URL as it is keyed and the primary key, of what this request would ask; None where no route takes it."""
        route = self._route(head)
        if route is None:
            return None
        keyed = replace(head, target=keyed_target(head.target, route.rules.key))
        return keyed.url, self._searches.key(keyed, cache_key(keyed, route.rules.key))


def _note_freshness(visit: Visit, answer: Answer) -> None:
    """What is passed on is as fresh as the parent said. Without a parent's word the next tier judges by its fields."""
    if answer.peer is not None:
        visit.ttl = answer.peer.fresh_seconds


def _asks_the_store(decision: Decision) -> bool:
    """Could what is stored have answered this, if it were there?"""
    return not isinstance(decision, Fetch) or decision.fwd not in (Fwd.BYPASS, Fwd.METHOD)


def _entry(landing: Arriving | Kept) -> Entry:
    return landing.entry if isinstance(landing, Arriving) else landing.item.entry


def _fwd(decision: Fetch | Revalidate | Complete) -> Fwd:
    return Fwd.PARTIAL if isinstance(decision, Complete) else decision.fwd
