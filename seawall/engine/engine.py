"""One request from arrival to reply, as a list of steps.

Policy decides twice: `decide` when the request is here, `settle` when the origin's head is (engine/fetch.py).
Between the two lies a flight, which everyone who asks for the same waits for. This file says who waits for
whom, and what each of them is given.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, assert_never

from seawall.clock import Clock
from seawall.downstream.exchange import Handler, Reply, Request
from seawall.downstream.exchange import Sent as Delivered
from seawall.engine import replies
from seawall.engine.alone import Alone
from seawall.engine.arrivals import Arrivals
from seawall.engine.boarding import Boarding, abandon
from seawall.engine.fetch import Fetcher, Trip
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
from seawall.flight.table import Flight, Flights
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
    Fetch,
    Refuse,
    Revalidate,
    Serve,
    ServeStale,
)
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.policy.rules import DEFAULT, Rules
from seawall.policy.validators import conditions
from seawall.policy.vary import matches
from seawall.purge.applied import Applied
from seawall.store.levels import NOTHING, Levels
from seawall.store.stored import Stored

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
        "_alone",
        "_arrivals",
        "_boarding",
        "_chance",
        "_clock",
        "_fetcher",
        "_filling",
        "_flights",
        "_hit_for_miss",
        "_invalidator",
        "_leases",
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
            unlist=self._flights.unlist,
        )
        self._invalidator = Invalidator(self._key_of, store, self._flights)
        self._purger = Purger(self._key_of, store, self._flights, clock, standing.applied)
        lone = count(1)
        self._arrivals = Arrivals(node, clock, store, popularity)
        self._boarding = Boarding(self._flights, self._fetcher, standing, clock, observer, lone)
        self._alone = Alone(
            self._flights, self._fetcher, store, standing, clock, self._invalidator, self._arrivals, lone
        )

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
            only=self._route.route if isinstance(self._route, Everywhere) else None,
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
        trip = self._trip(
            visit, request, head, begun.key, begun.route, decision.fwd, decision=decision if decision.storable else None
        )
        flight, sent = begun.flight, begun.sent
        if flight is None:
            visit.origin_seconds = self._clock.monotonic() - visit.started
            flight = self._alone.take_off(trip.key)
            flight.overtaken = begun.overtaken
            return Handover(
                self._answering(visit, lambda _: self._alone.go_on(visit, trip, flight, sent)),
                partial(self._alone.let_go, flight, sent),
            )
        pilot = partial(self._fetcher.fly, trip) if sent is None else partial(self._fetcher.go_on, trip, sent)
        self._flights.launch(flight, pilot)
        return Handover(self._answering(visit, partial(self._follow, visit, trip, flight)), partial(abandon, flight))

    def _answering(self, visit: Visit, answer: Callable[[Request], Awaitable[Reply]]) -> Handler:
        async def handle(request: Request) -> Reply:
            reply = await answer(request)
            reply.done = partial(self._sent, visit)
            return reply

        return handle

    async def _follow(self, visit: Visit, trip: Trip, flight: Flight[Landing], request: Request) -> Reply:
        """As its leader."""
        landing, led = await self._boarding.await_landing(visit, trip, flight, led=True) or (None, True)
        reply = await self._arrivals.disembark(visit, trip.head, landing, led, last=False)
        return reply if reply is not None else await self._answer(visit, request)

    def _sent(self, visit: Visit, sent: Delivered) -> None:
        self._observer.visited(visit, sent, self._clock.monotonic() - visit.started)

    async def _answer(self, visit: Visit, request: Request) -> Reply:
        route = self._route(request.head)
        if route is None:
            return self._arrivals.refuse(visit, request.head, Refuse(404, Reason.NO_ROUTE))
        if loops(request.head, self._node):
            return self._arrivals.refuse(visit, request.head, Refuse(508, Reason.LOOP))
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
                    beta = route.rules.early_refresh
                    if (
                        beta
                        and self._due_early(head, entry, now, beta)
                        and self._refresh(visit, request, head, key, route, item, held)
                    ):
                        visit.reason = Reason.EARLY_REFRESH
                    reply = await self._arrivals.serve(visit, head, item)
                    if reply is not None:
                        return reply
                    visit.reason = None
                case ServeStale(entry, reason, refresh):
                    visit.outcome, visit.reason = Outcome.STALE, reason
                    if refresh:
                        self._refresh(visit, request, head, key, route, held.item(entry), held)
                    reply = await self._arrivals.serve(visit, head, held.item(entry))
                    if reply is not None:
                        return reply
                    visit.reason = None
                case Refuse():
                    return self._arrivals.refuse(visit, head, decision)
                case Fetch(fwd, False, reason):
                    visit.outcome, visit.fwd, visit.reason = Outcome.PASS, fwd, reason
                    return await self._alone.send(visit, self._trip(visit, request, head, key, route, fwd))
                case Fetch() | Revalidate() | Complete():
                    visit.outcome, visit.fwd = Outcome.MISS, _fwd(decision)
                    visit.reason = None if isinstance(decision, Complete) else decision.reason
                    if held.fenced:
                        visit.reason = Reason.FENCED
                    trip = self._trip(visit, request, head, key, route, visit.fwd, decision=decision)
                    # Once a landing has told us what the resource varies on, we wait only for our own kind.
                    names = selecting | held.selecting()
                    boarded = await self._boarding.board(visit, trip, names)
                    boarding += 1
                    if boarded is None:
                        continue
                    landing, led = boarded
                    reply = await self._arrivals.disembark(visit, head, landing, led, last=boarding == MOST_BOARDINGS)
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
        return await self._alone.send(visit, self._trip(visit, request, head, key, route, fwd))

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

    # --- small steps ---

    def _refresh(
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
        return self._boarding.refresh_behind(trip, held.selecting())

    def _due_early(self, head: RequestHead, entry: Entry, now: float, beta: float) -> bool:
        # From (0, 1]: the logarithm of 0 is not a number.
        return may_set_off(head) and due_early(entry, entry.fetch_seconds, now, beta, 1.0 - self._chance())

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

    def _key_of(self, head: RequestHead) -> tuple[str, str] | None:
        """The URL as it is keyed and the primary key, of what this request would ask; None where no route takes it."""
        route = self._route(head)
        if route is None:
            return None
        keyed = replace(head, target=keyed_target(head.target, route.rules.key))
        return keyed.url, self._searches.key(keyed, cache_key(keyed, route.rules.key))


def _asks_the_store(decision: Decision) -> bool:
    """Could what is stored have answered this, if it were there?"""
    return not isinstance(decision, Fetch) or decision.fwd not in (Fwd.BYPASS, Fwd.METHOD)


def _entry(landing: Arriving | Kept) -> Entry:
    return landing.entry if isinstance(landing, Arriving) else landing.item.entry


def _fwd(decision: Fetch | Revalidate | Complete) -> Fwd:
    return Fwd.PARTIAL if isinstance(decision, Complete) else decision.fwd
