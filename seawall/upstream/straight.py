"""The way to an origin with one address, in one step or not at all: the gate, the group and the pool at once.

For who asks from a callback and cannot wait. What it finds is what Gate, Group and Pool would have found one after the
other, and what became of it is told to all three, so that both kinds of requests are counted and bounded together.
Whatever needs a wait is left to them: a full gate, no idle connection, a breaker that is not closed.

Invariant: what `take` gave is brought to an end by exactly one of taken(), answered(), failed() and withdrawn().
"""

from __future__ import annotations

from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.breaker import State, Ticket
from seawall.upstream.connection import Connection
from seawall.upstream.gate import Gate, until_whole
from seawall.upstream.group import Group
from seawall.upstream.health import NEVER
from seawall.upstream.pool import Pool, may_retry

_CLOSED = State.CLOSED


class Straight:
    """As one request of a client's takes it. Lent: gate, group and pool belong to whoever made them."""

    __slots__ = ("_breaker", "_gate", "_group", "_health", "_member", "_pool")

    def __init__(self, gate: Gate, group: Group, pool: Pool) -> None:
        """`group` has one member, and the pool is its upstream."""
        (self._member,) = group.members.values()
        self._breaker = self._member.breaker
        self._health = self._member.health
        self._gate = gate
        self._group = group
        self._pool = pool

    def __repr__(self) -> str:
        return f"<Straight {self._pool!r}>"

    @property
    def ticket(self) -> Ticket:
        """The breaker's, for what is taken now."""
        return self._breaker.opened

    def take(self) -> Connection | None:
        """A connection to ask on now; None where the request would have to wait."""
        gate = self._gate
        # A closed breaker refuses nobody; one that is not makes of a request a trial, with an end that is waited for.
        if self._breaker.state is not _CLOSED or gate.in_flight >= gate.limit:
            return None
        connection = self._pool.take_idle()
        if connection is None:
            return None
        gate.step_in()  # last: who goes the long way after all is admitted once
        self._member.asked += 1
        return connection

    # --- what became of it ---

    def taken(self, ticket: Ticket) -> None:
        """The answer is whole."""
        # Where nothing has failed there is nothing to be forgotten: two calls of 0.1 us less.
        if self._breaker.failures:
            self._breaker.reached(ticket)
        if self._health.failed_at > NEVER:
            self._health.succeeded()
        self._gate.step_out()

    def answered(self, ticket: Ticket, answer: Answer) -> Answer:
        """Its head is here; the answer, whose body tells how it ends."""
        return until_whole(self._group.answered(self._member, ticket, answer), self._gate.step_out)

    def failed(self, ticket: Ticket, connection: Connection, error: UpstreamError) -> bool:
        """There was none. True: nothing was done that a second request does again, and nobody is to blame (pool.py)."""
        self._gate.step_out()
        if may_retry("GET", connection, error):
            self._pool.retried += 1
            self._breaker.undecided(ticket)
            # The long way takes the request up from its beginning, and counts it there.
            self._gate.admitted -= 1
            self._member.asked -= 1
            return True
        self._pool.failures[error.reason] += 1
        self._group.failed(self._member, ticket, error.reason)
        return False

    def withdrawn(self, ticket: Ticket) -> None:
        """Nobody waits for it any more."""
        self._breaker.undecided(ticket)
        self._gate.step_out()
