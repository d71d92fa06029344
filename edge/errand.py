"""A plain miss or pass is fetched without a task: asked for where its octets arrive, answered where the answer's do.

    octets -> key, nothing stored -> decide -> a connection that is idle -> asked
    the answer's octets -> lines -> settle -> stored -> head and body out

Nothing waits in between but an Errand: a flight in the engine's table, which others may board and orders overtake, and
a turn of the client's connection. What comes back whole in one piece, framed by a length, is answered here. All else,
and every failure, is handed over to the engine at the moment when it is here (engine/handover.py), and goes its usual
way from there: a longer body, an answer that policy would rather validate or use something stale for, a client that has
left, an order that came between.

Its law is the front's: it may say and store only what the engine would have. It asks the same doors of policy.

Figures beside the code: CPython 3.11, uvloop. With the kernel's part, on one busy machine, a miss took 190 us of CPU
and a pass 165 through the engine's two tasks; they take 55 and 31 here. Without it: bench/path.py.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from functools import partial
from typing import Final

from edge.heardlines import Lines
from edge.hotheads import Asked
from edge.hotreplies import Replies
from seawall.downstream.connection import Connection
from seawall.downstream.exchange import Request
from seawall.downstream.server import Server
from seawall.downstream.turn import Turn
from seawall.engine.fetch import FlightKey, Sent, failure_of
from seawall.engine.grounds import Fetching, Grounds
from seawall.engine.handover import Begun
from seawall.engine.landing import Arriving, Landing
from seawall.engine.route import Route
from seawall.flight.fill import Fill
from seawall.flight.table import Flight
from seawall.http.headers import EMPTY, Headers, headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.wire import ORIGIN_FORM, serialize_request_head
from seawall.policy.decide import decide
from seawall.policy.entry import Entry
from seawall.policy.forward import forward_head
from seawall.policy.key import keyed_target
from seawall.policy.outcomes import Failure, Fetch, PassOn, Settlement, Store
from seawall.policy.reasons import Outcome, Reason
from seawall.policy.rules import Rules
from seawall.policy.settle import settle
from seawall.policy.storable import BY_DIRECTIVES
from seawall.purge.applied import Mark
from seawall.store.shards import TOP
from seawall.store.stored import stored
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.connection import Connection as OriginConnection
from seawall.upstream.straight import Straight

# A body up to here is copied behind its head, as front.py does.
JOIN_BYTES = 4 * 1024
# Blocks of fields as they go forward, by client address: 0.7 KiB each.
MOST_FORWARDED = 4096
_MOST_WAYS = 1024
_MOST_FORBIDDEN = 1024

# What is told of a reply: status, outcome, reason, seconds of freshness, and when the answer was here (monotonic).
_Told = tuple[int, Outcome, Reason | None, float | None, float]

_MISS: Final = Outcome.MISS
_PASS: Final = Outcome.PASS


class Way:
    """A route as errands see it; None in place of one where its requests are never plain."""

    __slots__ = ("alone", "route", "rules", "straight", "together", "trims")

    def __init__(self, route: Route, straight: Straight, together: Fetch, alone: Fetch) -> None:
        self.route = route
        self.rules = route.rules
        self.straight = straight
        self.trims = route.rules.key.query_allow is not None or bool(route.rules.key.query_deny)
        """Does it leave arguments of the query out?"""
        self.together = together
        """What policy decides where nothing is stored."""
        self.alone = alone
        """The same for a key that was uncacheable a moment ago."""


def _way_of(route: Route) -> Way | None:
    rules, straight = route.rules, route.straight
    if straight is None or rules.min_uses > 1 or rules.ttl_jitter or rules.key.headers or rules.key.cookies:
        return None
    # Of a GET that asks nothing of caches, for which nothing is stored, policy looks at nothing else.
    plain = RequestHead("GET", "http", "any", "/")
    together, alone = (decide(plain, False, (), 0.0, rules, hit_for_miss) for hit_for_miss in (False, True))
    if not isinstance(together, Fetch) or not isinstance(alone, Fetch):
        return None
    return Way(route, straight, together, alone)


class Errands:
    """Begins them. Everything is lent but two memos: of lines that came, and of blocks as they go forward."""

    __slots__ = (
        "_dicts",
        "_forwarded",
        "_holds",
        "_route",
        "_way",
        "_ways",
        "answered",
        "applied",
        "counters",
        "fetching",
        "filling",
        "flights",
        "forbidden",
        "lines",
        "log",
        "monotonic",
        "node",
        "offset",
        "replies",
        "searches",
        "server",
    )

    def __init__(self, grounds: Grounds, fetching: Fetching, server: Server, replies: Replies) -> None:
        self.fetching = fetching
        self.server = server
        self.replies = replies
        self.node = grounds.node
        self.monotonic = grounds.clock.monotonic
        self.offset = grounds.clock.offset
        self.applied = grounds.standing.applied
        self.searches = grounds.searches
        self.counters = grounds.tally.counters
        self.log = grounds.tally.log
        self.lines = Lines()
        self.answered = 0
        """Replies that were given without a task; only ever grows."""
        self.forbidden: dict[tuple[Asked, int, tuple[bytes, ...]], PassOn] = {}
        """By fields of the request, status and cache directives: 0.3 us where settle() and its head take 6."""
        self._forwarded: dict[tuple[Asked, str, bool], bytes] = {}
        self._ways: dict[int, tuple[Route, Way | None]] = {}
        self._way = None if grounds.only is None else _way_of(grounds.only)
        """That of every request."""
        self._dicts = grounds.memory.buckets.dicts
        self._route = fetching.route
        self.flights = fetching.flights
        self.filling = fetching.filling
        self._holds = fetching.hit_for_miss.holds

    def begin(self, asked: Asked, target: bytes, key: str, connection: Connection, started: float, now: float) -> bool:
        """For a GET of this block that nothing in memory may answer. True: it is under way, and the turn waits for it.

        `target` is as it came, and was read by nobody yet.
        """
        if asked.conditional or asked.directives or ORIGIN_FORM.fullmatch(target) is None:
            return False
        way = self._way
        if way is None:
            given = asked.head
            head = RequestHead("GET", given.scheme, given.authority, target.decode("ascii"), given.headers)
            route = self._route(head)
            if route is None:
                return False
            known = self._ways.get(id(route))
            way = known[1] if known is not None and known[0] is route else self._learn(route)
            if way is None:
                return False
        if way.trims and _is_trimmed(target, way.rules):
            return False
        decision = way.alone if self._holds(key, now) else way.together
        storable = decision.storable
        flights = self.flights
        if storable:
            flight_key = FlightKey(key, None, ())
            if flights.get(flight_key) is not None:
                return False
        block = self._forwarded.get((asked, connection.peer, storable))
        if block is None:
            block = self._forward(asked, connection.peer, storable)
        origin = way.straight.take()
        if origin is None:
            return False
        errand = Errand(self, asked, target, key, way, decision, origin, connection, started, now)
        try:
            if storable:
                errand.flight = flights.enter(flight_key, errand.abort, boarding=True)
            else:
                flights.unlisted += 1
                errand._unlisted = True
            errand.turn = turn = connection.wait_for(errand)
            origin.ask(b"GET %b%b" % (target, block), errand, turn.interim)
        except Exception:
            errand.let_go()
            raise
        return True

    def forbid(self, which: tuple[Asked, int, tuple[bytes, ...]], why: PassOn) -> None:
        """Remembers what policy says of every such answer, whatever else is in its head (storable.BY_DIRECTIVES)."""
        if len(self.forbidden) >= _MOST_FORBIDDEN:
            self.forbidden.clear()
        self.forbidden[which] = why

    def holds(self, key: str) -> bool:
        """Is something stored for it by now?"""
        return key in self._dicts[hash(key) >> TOP]

    def _learn(self, route: Route) -> Way | None:
        if len(self._ways) >= _MOST_WAYS:
            self._ways.clear()
        way = _way_of(route)
        self._ways[id(route)] = route, way
        return way

    def _forward(self, asked: Asked, peer: str, storable: bool) -> bytes:
        """The request as it goes forward, from behind its target on: what Fetcher.send and the pool would write."""
        head, alone = asked.head, not storable
        ahead = forward_head(head, peer=peer, node=self.node, keep_conditions=alone, keep_range=True, upgrade=alone)
        block = serialize_request_head(ahead)[len("GET ") + len(head.target) :]
        if len(self._forwarded) >= MOST_FORWARDED:
            self._forwarded.clear()
        self._forwarded[asked, peer, storable] = block
        return block


def _is_trimmed(target: bytes, rules: Rules) -> bool:
    """Does the route leave something of this target out?"""
    given = target.decode("ascii")
    return keyed_target(given, rules.key) != given


class Errand:
    """One request on its way: the waiter of the origin's connection (upstream's Taker) and the errand of its turn."""

    __slots__ = (
        "_arrived_at",
        "_asked",
        "_connection",
        "_decision",
        "_errands",
        "_generation",
        "_head",
        "_key",
        "_number",
        "_origin",
        "_over",
        "_overtakings",
        "_started",
        "_target",
        "_ticket",
        "_unlisted",
        "_way",
        "flight",
        "turn",
    )

    def __init__(
        self,
        errands: Errands,
        asked: Asked,
        target: bytes,
        key: str,
        way: Way,
        decision: Fetch,
        origin: OriginConnection,
        connection: Connection,
        started: float,
        now: float,
    ) -> None:
        self._errands = errands
        self._asked = asked
        self._target = target
        self._key = key
        self._way = way
        self._decision = decision
        self._origin = origin
        self._connection = connection
        self._started = started
        self._arrived_at = now
        applied = errands.applied
        self._number, self._generation = applied.number, applied.generation
        self._overtakings = errands.flights.overtakings
        self._ticket = way.straight.ticket
        self._over = False
        self._head: RequestHead | None = None
        self.flight: Flight[Landing] | None = None
        """None for a pass, which nobody boards."""
        self._unlisted = False
        self.turn: Turn | None = None

    def __repr__(self) -> str:
        return f"<Errand {self._key} {'over' if self._over else 'under way'}>"

    @property
    def head(self) -> RequestHead:
        """The request. Made when somebody looks at it, which for a pass is hardly ever: 0.7 us."""
        head = self._head
        if head is None:
            given = self._asked.head
            target = self._target.decode("ascii")
            head = self._head = RequestHead("GET", given.scheme, given.authority, target, given.headers)
        return head

    # --- the client's side ---

    def abandon(self) -> None:
        """Its client has left. What may be for others is fetched all the same."""
        self.turn = None
        if not self._decision.storable:
            self.abort()

    def abort(self) -> None:
        """Nobody waits for it any more; or the table closes, and a client that waits all the same is told so."""
        if not self._over:
            self._end()
            self._way.straight.withdrawn(self._ticket)
            self._origin.desert(self)
            if self.turn is None:
                self._leave_flight()
            else:
                self._hand_over(Failure(Reason.BAD_RESPONSE, 502))

    # --- the origin's side ---

    def done(self) -> bool:
        return self._over

    def take(self, connection: OriginConnection, octets: bytes) -> bool:
        """See Taker. Whatever goes wrong here is ours: it ends both connections, and the front with them."""
        try:
            return self._take(connection, octets)
        except Exception:
            self._broken()
            return True

    def set_result(self, answer: Answer, /) -> None:
        """What is not answered here; as of a future."""
        try:
            self._end()
            answer = self._way.straight.answered(self._ticket, answer)
            self._hand_over(answer)
        except Exception:
            if self.flight is None or not self.flight.launched:  # else its pilot sees to it
                # Later: the connection that brings it is in the middle of it.
                asyncio.get_running_loop().call_soon(answer.body.close)
            self._broken()

    def set_exception(self, exception: Exception, /) -> None:
        """The same for a failure."""
        try:
            assert isinstance(exception, UpstreamError), exception  # noqa: S101 (nothing else breaks without a body)
            if self._way.straight.failed(self._ticket, self._origin, exception):
                self._over = True
                self._hand_over(None)
            else:
                self._end()
                self._errands.counters.upstream_failures[exception.reason] += 1
                self._hand_over(failure_of(exception))
        except Exception:
            self._broken()

    def _take(self, origin: OriginConnection, octets: bytes) -> bool:
        """Everything that may speak against it first, then everything that it does."""
        end = octets.find(b"\r\n\r\n") + 4
        if end < 4:
            return False
        errands, turn, flight = self._errands, self.turn, self.flight
        heard = errands.lines.read(octets[:end])
        if heard is None:
            return False
        status, said, pairs, shown, length, hint, directing = heard
        if len(octets) - end != length:
            return False
        applied = errands.applied
        if applied.number != self._number or applied.generation != self._generation:
            return False
        if flight is not None and flight.overtaken:
            return False
        if turn is not None and not self._connection.is_plain(turn):
            return False
        if errands.holds(self._key):
            return False
        landed = errands.monotonic()
        now, rules, decision = landed + errands.offset, self._way.rules, self._decision
        settled: Settlement | None = None
        fields = EMPTY
        if rules.cache:  # else nothing is ever stored, and nobody asks
            which = self._asked, status, directing
            settled = errands.forbidden.get(which)
            if settled is None:
                fields = headers(pairs)
                reply = ResponseHead(status, said, fields, 1)
                settled = settle(self.head, False, reply, True, None, (), self._arrived_at, now, rules)
                if isinstance(settled, PassOn) and settled.reason in BY_DIRECTIVES:
                    errands.forbid(which, settled)
        body = octets[end:]
        if isinstance(settled, Store):
            entry = settled.entry
            kind = entry.kind
            if flight is None or kind.line is None or kind.traced or not errands.filling.fits(length):
                return False
            self._leave(origin, hint)
            self._keep(flight, entry, fields, body)
            if turn is not None:
                head = errands.replies.stored(entry, decision.fwd, decision.reason, now, length)
                self._reply(turn, head, body, (status, _MISS, decision.reason, entry.fresh_until - now, landed))
            return True
        if (settled is not None and not isinstance(settled, PassOn)) or turn is None:
            return False
        if flight is not None and flight.waiting:
            return False
        self._leave(origin, hint)
        self._leave_flight()
        reason, outcome = decision.reason, _PASS
        if decision.storable:
            assert settled is not None  # noqa: S101 (a route without a cache shares nothing)
            reason, outcome = settled.reason, _MISS
            if settled.remember:
                errands.fetching.hit_for_miss.remember(self._key, now)
            errands.counters.not_stored[settled.reason] += 1
        elif reason is None and settled is not None:
            reason = settled.reason
        shown.append(errands.replies.passed(outcome, decision.fwd, status, reason) % length)
        self._reply(turn, b"".join(shown), body, (status, outcome, reason, None, landed))
        return True

    def _keep(self, flight: Flight[Landing], entry: Entry, fields: Headers, body: bytes) -> None:
        """As Fetcher.keep, for a body that is there."""
        errands, key = self._errands, self._key
        fetching = errands.fetching
        if flight.waiting:
            fill = Fill(len(body))
            if body:
                fill.write(body)
            fill.finish()
            seat = fill.reader()
            flight.land(Arriving(entry, fill, entry.status, seat, Mark(self._generation, self._number)))
            seat.close()
        errands.flights.leave(flight)
        if not fetching.store.put(stored(key, entry, (body,) if body else ())):
            errands.counters.not_stored[Reason.TOO_LARGE] += 1
            return
        fetching.hit_for_miss.forget(key)
        if errands.searches.said or "no-vary-search" in fields:
            errands.searches.learn(self.head, key, entry)

    def _reply(self, turn: Turn, head: bytes, body: bytes, told: _Told) -> None:
        self.turn = None
        errands, connection = self._errands, self._connection
        errands.answered += 1
        length = len(body)
        if length <= JOIN_BYTES:
            send = connection.send
            send(head + body)
        else:
            connection.send_all([head, body])
        if connection.full:
            connection.await_taken(turn, length, partial(self._tell, told))
        else:
            self._tell(told, length, True)
            connection.replied(turn)

    def _tell(self, told: _Told, body_bytes: int, complete: bool) -> None:
        """As Tally.visited."""
        errands = self._errands
        status, outcome, reason, ttl, landed = told
        seconds = errands.monotonic() - self._started
        counters = errands.counters
        counters.requests[outcome] += 1
        histogram = counters.request_seconds  # as its observe(): 0.2 us a call
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds
        counters.sent_bytes += body_bytes
        if not complete:
            counters.aborted += 1
        if errands.log is not None:
            asked, fields = self.head, self.head.headers
            errands.log.write(
                (self._arrived_at, self._connection.peer, "GET", asked.scheme, asked.authority, asked.target, 1, status,
                 body_bytes, seconds, outcome, reason or "", self._decision.fwd, ttl, landed - self._started,
                 fields.get("referer", ""), fields.get("user-agent", ""))
            )  # fmt: skip

    def _leave(self, origin: OriginConnection, hint: str | None) -> None:
        """The exchange is over, and its connection is for others."""
        self._end()
        self._way.straight.taken(self._ticket)
        origin.taken(hint)

    def _leave_flight(self) -> None:
        flights = self._errands.flights
        if self.flight is None:
            if self._unlisted:
                self._unlisted = False
                flights.unlisted -= 1
        elif not self.flight.launched:
            flights.leave(self.flight)

    def _end(self) -> None:
        """It was one request to the origin, whatever came of it."""
        self._over = True
        self._errands.counters.origin_requests[self._decision.fwd] += 1

    # --- what is not answered here ---

    def _hand_over(self, answer: Answer | Failure | None) -> None:
        """None: the request is to be sent anew."""
        turn, connection, mark = self.turn, self._connection, Mark(self._generation, self._number)
        self.turn = None
        flights = self._errands.flights
        if self.flight is None:
            self._leave_flight()
        begun = Begun(
            self._key,
            self._way.route,
            self._decision,
            self.flight,
            flights.overtakings != self._overtakings,  # what orders have overtaken, the mark tells
            mark,
            self._arrived_at,
            self._started,
            None if answer is None else Sent(self._arrived_at, mark, answer),
        )
        interim = _to_nobody if turn is None else turn.interim
        handed = self._errands.fetching.hand_over(Request(self.head, None, connection.peer, interim), begun)
        if turn is None:
            handed.let_go()
        else:
            try:
                connection.hand_over(turn, handed.handle, handed.let_go)
            except Exception:
                handed.let_go()
                raise

    def let_go(self) -> None:
        """Of everything that it holds, after a fault of ours."""
        if not self._over:
            self._over = True
            self._way.straight.withdrawn(self._ticket)
            self._origin.drop("a fault of ours")
        self.turn = None
        self._origin.desert(self)
        self._leave_flight()

    def _broken(self) -> None:
        self.let_go()
        self._errands.server.front_failed(self._connection)


def _to_nobody(head: ResponseHead) -> None:
    """Where an interim response goes whose client has left."""
