"""Several addresses behind one Upstream: who is asked, who is asked next, and what is learned from it.

Knows no roles: the members are a node's parents or the addresses of an origin, and the fallback is an
upstream like any other. What each member is worth is its Health and its Breaker; here they are read and told.

Who is asked, in the order of the key's ranking (or of the round):

    1. members that are healthy and can be reached
    2. none of them has been tried: the least bad of the others that may be tried at all. With a fallback, not
       one whose last request failed a moment ago: two witnesses against it are enough
    3. the fallback, where there is one
    4. without one, the others of 2

A member whose breaker is open is not tried. Where nobody may be, the request is refused at once, with the
reason for which the first one could not be reached: then stale content is served after 0 s instead of 2.

A request goes on to the next only where nothing can be done twice: it has a safe method and no body, or no
octet of it was sent. At most `attempts` members are asked, and no further one once `patience` is over; the
fallback comes on top.

A full queue is no failure of the member, and not a case for the fallback: somebody is there, with more to do
than is good for him, and what stands behind him would get all of it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random

from seawall.http.body import BodyReader
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.breaker import Breaker, Ticket
from seawall.upstream.health import Health
from seawall.upstream.replay import Replay
from seawall.upstream.ring import rank
from seawall.upstream.upstream import Upstream
from seawall.upstream.watched import Ending, WatchedBody

# As pool.py: of the idempotent methods only the safe ones (HAZARDS F19).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_UNREACHED = frozenset({Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.TLS_FAILED})
_NOTHING_SENT = _UNREACHED | {Reason.QUEUE_FULL}

# What an address of an origin says when it is not the application that answers. Of a parent it is no sign of
# anything: it passes on what the origin said, and all parents would be ejected for one origin that is down.
GATEWAY_FAILURES = frozenset({502, 503, 504})


class Pick(StrEnum):
    """How members are ranked for a request."""

    RING = "ring"  # by its URL: every node asks the same member, which then has it
    ROUND_ROBIN = "round-robin"  # in turn


@dataclass(slots=True, eq=False)
class Member:
    """One address of a group, which owns it and closes its upstream."""

    name: str
    upstream: Upstream
    health: Health = field(default_factory=Health)
    breaker: Breaker = field(default_factory=Breaker)
    weight: float = 1.0
    preferred: bool = False  # of our own region: asked before the others
    asked: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)

    def probed(self, ok: bool, now: float) -> bool:
        """A probe's result; True where the member's health changed by it."""
        if ok:
            self.breaker.invite(now)
        return self.health.probed(ok)


class Group:
    """An Upstream over several. Used from one event loop; owns no task."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        pick: Pick = Pick.RING,
        fallback: Upstream | None = None,
        attempts: int = 3,
        patience: float = 30.0,
        max_ejected: float = 0.5,
        failing: frozenset[int] = frozenset(),
        now: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        """`max_ejected`: the share of members that may be unhealthy before requests eject no more of them.

        `failing`: statuses that count as a failure of the member that sent them (GATEWAY_FAILURES). The
        fallback is only lent: whoever made it closes it. `patience` is in seconds.
        """
        if not members or len({member.name for member in members}) != len(members):
            raise ValueError("a group needs members, each with a name of its own")
        if attempts < 1:
            raise ValueError(f"{attempts} attempts")
        self.members = {member.name: member for member in members}
        self.pick = pick
        self.attempts = attempts
        self.patience = patience
        self.max_ejected = max_ejected
        self.failed_over = 0  # requests that were passed on to the next member
        self.fell_back = 0
        self.refused = 0  # nobody was worth a try
        self._fallback = fallback
        self._failing = failing
        self._now = now
        self._random = random or Random()  # noqa: S311 (spreads load, protects nothing)
        self._turn = self._random.randrange(len(members))
        self._weights = {member.name: member.weight for member in members if member.weight != 1.0} or None
        self._preferred = frozenset(member.name for member in members if member.preferred)

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        """As any Upstream's. Raises the UpstreamError of the last member that was asked."""
        if body is None:
            return await self._exchange(head, None, interim)
        replay = Replay(body)
        try:
            return await self._exchange(head, replay, interim)
        finally:
            replay.finish()

    async def _exchange(
        self, head: RequestHead, body: Replay | None, interim: Callable[[ResponseHead], None] | None
    ) -> Answer:
        left = self.ranked(head)
        give_up_at = self._now() + self.patience
        last: UpstreamError | None = None
        tried = 0
        while tried < self.attempts and (last is None or self._now() < give_up_at):
            # Looked at anew each time: while one failed, others may have come or gone.
            member = choose(left, self._now(), first=not tried, fallback=self._fallback is not None)
            if member is None:
                break
            left.remove(member)
            self.failed_over += tried > 0
            tried += 1
            try:
                return await self._ask(member, head, body, interim)
            except UpstreamError as error:
                if not _repeatable(head, body, error):
                    raise
                last = error
        if self._fallback is not None and (last is None or last.reason is not Reason.QUEUE_FULL):
            self.fell_back += 1
            return await self._fallback.exchange(head, body, interim=interim)
        if last is None:
            self.refused += 1
            raise self._refusal(left)
        raise last

    def ranked(self, head: RequestHead) -> list[Member]:
        """All members in the order in which this request would ask them, were they all well."""
        if self.pick is Pick.RING:
            names = rank(head.url, list(self.members), weights=self._weights, prefer=self._preferred)
            return [self.members[name] for name in names]
        members = list(self.members.values())
        now = self._now()
        well = [member for member in members if _is_well(member, now)]
        if any(member.preferred for member in well):
            well = [member for member in well if member.preferred]
        if well:
            # Among those who are well: skipping the sick ones later would give their share to their neighbours.
            self._turn += 1
            first = self._turn % len(well)
            well = well[first:] + well[:first]
        others = [member for member in members if member not in well]
        return well + sorted(others, key=lambda member: not member.preferred)

    def unhealthy(self, now: float) -> int:
        """Members that are not asked while there are others."""
        return sum(not member.health.healthy(now) for member in self.members.values())

    # --- one member ---

    async def _ask(
        self,
        member: Member,
        head: RequestHead,
        body: BodyReader | None,
        interim: Callable[[ResponseHead], None] | None,
    ) -> Answer:
        member.asked += 1
        ticket = member.breaker.take(self._now())
        try:
            answer = await member.upstream.exchange(head, body, interim=interim)
        except UpstreamError as error:
            self.failed(member, ticket, error.reason)
            raise
        except BaseException:  # cancelled, or the client's body broke
            member.breaker.undecided(ticket)
            raise
        return self.answered(member, ticket, answer)

    def answered(self, member: Member, ticket: Ticket, answer: Answer) -> Answer:
        """What this member says of itself by answering; the answer, whose body will say more."""
        member.breaker.reached(ticket)
        if answer.head.status in self._failing:
            self._fail(member)
            return answer
        if answer.body.length == 0:  # that of a tunnel too
            member.health.succeeded()
            return answer
        return replace(answer, body=WatchedBody(answer.body, lambda ending: self._note_body(member, ending)))

    def failed(self, member: Member, ticket: Ticket, reason: Reason) -> None:
        """The same of a request that got no usable answer."""
        member.failures[reason] += 1
        if reason is Reason.QUEUE_FULL:
            member.breaker.undecided(ticket)
            return
        if reason in _UNREACHED:
            member.breaker.unreached(ticket, reason, self._now(), self._random.random())
        else:
            member.breaker.reached(ticket)
        self._fail(member)

    def _note_body(self, member: Member, ending: Ending) -> None:
        """A head is half of an answer: a member that always breaks off in the middle is no healthy one."""
        if ending is Ending.BROKEN:
            member.failures[Reason.INCOMPLETE] += 1
            self._fail(member)
        else:
            member.health.succeeded()

    def _fail(self, member: Member) -> None:
        now = self._now()
        may_eject = self.unhealthy(now) + 1 <= self.max_ejected * len(self.members)
        member.health.failed(now, may_eject=may_eject, jitter=self._random.random())

    def _refusal(self, left: list[Member]) -> UpstreamError:
        now = self._now()
        soonest = min(left, key=lambda member: member.breaker.next_try(now))
        wait = soonest.breaker.next_try(now)
        return UpstreamError(
            left[0].breaker.why or Reason.CONNECT_FAILED,
            f"{', '.join(member.name for member in left)}: not tried, because nobody could be reached a moment ago; "
            f"{soonest.name} is tried again in {wait:.1f} s",
        )

    async def close(self) -> None:
        """Closes the members, not the fallback. Idempotent."""
        await asyncio.gather(*(member.upstream.close() for member in self.members.values()))

    def __repr__(self) -> str:
        now = self._now()
        states = ", ".join(
            f"{member.name} {member.breaker.refusal(now) or member.health.unfit(now) or 'fit'}"
            for member in self.members.values()
        )
        return f"<Group {self.pick}: {states}>"


def choose(left: Sequence[Member], now: float, *, first: bool, fallback: bool) -> Member | None:
    """Who of those not yet tried is asked now; None: nobody. The order of `left` is the order of preference."""
    able = [member for member in left if member.breaker.refusal(now) is None]
    for member in able:
        if member.health.healthy(now):
            return member
    if fallback:
        able = [member for member in able if first and not member.health.failed_lately(now)]
    # min() keeps the first of equals.
    return min(able, key=lambda member: member.health.failed_lately(now), default=None)


def _is_well(member: Member, now: float) -> bool:
    return member.breaker.refusal(now) is None and member.health.healthy(now)


def _repeatable(head: RequestHead, body: Replay | None, error: UpstreamError) -> bool:
    """May the request go to somebody else after this?"""
    if error.reason in _NOTHING_SENT and (body is None or body.rewind()):
        return True
    return body is None and head.method in _SAFE
