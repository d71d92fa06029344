"""The hub's journal in Redis: the same promises as journal.py's, and orders outlive the hub's machine.

One object is one *term*: from when a hub took the lease on the journal to when something was not as it left it
(another hub numbers, Redis is another process, orders are missing). `ended` says so, and then only `close()` is left;
whoever wants to go on opens it again, which judges anew what is there (redisidentity.py).

What arrives while a group is written goes down with the next one, and all of a group in one script, so with one fsync
where Redis has `appendfsync always`.

Every command has a deadline. After one that was not answered nobody knows what became of it, so the journal is
`suspect`, as a file is after a failed fsync: before anything else it raises its epoch, which makes what is still on
its way void, and reads what came. An order that turns up then was asked for by someone who was told "not known"; it
is an order like any other and `on_found` carries it out. Taking it back would need the same Redis to be sound twice,
and an order is a fact: nobody is harmed by a purge too many.

Invariants: `orders`, `first` and `last` name only what Redis acknowledged. `holds(now)` is true only while no other
hub can have the lease: it is counted from before the command that prolonged it was sent.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from seawall.purge.journal import Trimmed
from seawall.purge.lease import NEVER, margin
from seawall.purge.leaseclock import lease_clock
from seawall.purge.ledger import MAX_JOURNAL_BYTES, MAX_ORDERS, JournalError, Opening
from seawall.purge.order import Order
from seawall.purge.redisidentity import Begins, Found, Known, judge
from seawall.purge.redisledger import (
    NAMESPACE,
    Client,
    Elsewhere,
    Free,
    Lost,
    RedisLedger,
    Server,
    Taken,
    Unlike,
    Written,
)
from seawall.purge.selection import Selection
from seawall.telemetry import events

# For one append, whatever has to be found out first. A client waits this long to hear that it has to ask again.
APPEND_SECONDS = 2.0
# Reading a whole journal takes longer; its lease is prolonged with each page.
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 0.5
TOUCHES_A_LEASE = 5
# In one script: Redis serves nobody else while it runs, and this many take it some milliseconds.
MAX_GROUP = 1000

NOT_KNOWN = "; should it have been written down all the same, it will be carried out"


@dataclass(slots=True)
class _Asked:
    what: Selection
    soft: bool
    at: float
    order: asyncio.Future[Order]


class RedisJournal:
    """Durable orders with dense numbers from 1, as long as `ended` is not set. Belongs to one event loop.

    Owns the tasks that write and that keep the lease; the client belongs to the caller.

    `alone_at`: not before then may anything be done with it but `keep`. Where the journal was lost, the lease of
    another hub may have been lost with it, and that hub, if it is cut off from Redis, counts on it until it runs out.
    """

    reserved = True  # room is Redis's business: see docs/decisions.md

    def __init__(
        self,
        ledger: RedisLedger,
        journal: str,
        written: list[Written],
        last: int,
        opening: Opening,
        held_until: float,
        alone_at: float,
        *,
        lease_seconds: float,
        now: Callable[[], float],
        append_seconds: float,
        max_orders: int,
        max_bytes: int,
    ) -> None:
        """Made by `open` only."""
        self.id = journal
        self.opening = opening
        self.ended = asyncio.Event()
        self.on_found: Callable[[Order], None] | None = None  # told of orders that nobody's `append` answers for
        self.on_held: Callable[[float, float], None] | None = None  # told when the lease was asked for, and how long
        self.on_ended: Callable[[], None] | None = None  # told in the turn of the event loop in which it is known
        self._ledger = ledger
        self._orders = [each.order for each in written]
        self._octets = [each.octets for each in written]
        self._size = sum(self._octets)
        self._first = written[0].order.number if written else last + 1
        self._held_until = self._had_until = held_until
        self.alone_at = alone_at
        self._lease_seconds = lease_seconds
        self._now = now
        self._append_seconds = append_seconds
        self._max_orders = max_orders
        self._max_bytes = max_bytes
        self._waiting: list[_Asked] = []
        self._flusher: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # of whoever talks to Redis
        self._durable = False
        self._suspect = False  # a command was sent and not answered
        self._sent = False  # of the group that is being written
        self._why = "the journal is closed"
        self._complaint = ""
        self._closed = False

    @classmethod
    async def open(
        cls,
        client: Client,
        *,
        node: str,
        lease_seconds: float,
        known: Known | None = None,
        now: Callable[[], float] = lease_clock,
        namespace: str = NAMESPACE,
        alone: bool = True,
        open_seconds: float = OPEN_SECONDS,
        append_seconds: float = APPEND_SECONDS,
        max_orders: int = MAX_ORDERS,
        max_bytes: int = MAX_JOURNAL_BYTES,
    ) -> RedisJournal:
        """Takes the lease on the journal, for `lease_seconds` at a time. `now` is the lease's clock, in seconds.

        `alone`: no other server can take the place of the one that answers (no Sentinel, no cluster).
        `known` is what a term before this one, in this process, has seen. Raises JournalError: Taken where another
        hub numbers, anything else where Redis cannot be asked or holds what this version cannot read.
        """
        ledger = RedisLedger(client, node, lease_seconds, namespace, alone=alone)
        try:
            async with asyncio.timeout(open_seconds):
                server = await ledger.server()
                asked_at = now()
                found = await ledger.take(server.durable)
                journal, written, last, opening = await _settled(ledger, found, known)
                _warn_of(server)
        except BaseException as error:
            await _give_back(ledger)
            if isinstance(error, TimeoutError):
                raise Lost("Redis gave no answer") from error
            raise
        return cls(
            ledger,
            journal,
            written,
            last,
            opening,
            asked_at + lease_seconds - margin(lease_seconds),
            now() + lease_seconds if opening.replaced is not None and not _had_it(known, asked_at) else asked_at,
            lease_seconds=lease_seconds,
            now=now,
            append_seconds=append_seconds,
            max_orders=max_orders,
            max_bytes=max_bytes,
        )

    @property
    def first(self) -> int:
        """The oldest order that is held; `last + 1` where none is."""
        return self._first

    @property
    def last(self) -> int:
        """The newest order; 0 where there was never one."""
        return self._first + len(self._orders) - 1

    @property
    def known(self) -> Known:
        """What a later term has to find again."""
        return Known(self.id, self.last, self._had_until)

    @property
    def why(self) -> str:
        """Why the term ended."""
        return self._why

    def holds(self, now: float) -> bool:
        """Is it certain that no other hub numbers at this moment?"""
        return now < self._held_until

    def after(self, number: int) -> list[Order] | Trimmed:
        """The orders with higher numbers, in order; empty where `number` is the last."""
        if not self._first - 1 <= number <= self.last:
            return Trimmed(self._first, self.last)
        return self._orders[number + 1 - self._first :]

    def keep(self) -> None:
        """Begins to prolong the lease, until the term ends. Once, when what was found is applied here."""
        assert self._keeper is None  # noqa: S101
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="purge-journal-lease")

    async def append(self, what: Selection, soft: bool, now: float) -> Order:
        """The order, written down and numbered. `now` is seconds since the epoch.

        Raises JournalError after two deadlines at the latest: there is no such order then, or, where the message
        says so, it is not known. Whoever is cancelled here may have given one.
        """
        if self._closed or self.ended.is_set():
            raise JournalError(self._why)
        asked = _Asked(what, soft, now, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush())
        return await asked.order

    async def close(self) -> None:
        """Writes what was asked for, then gives the lease back. Again: nothing."""
        if self._closed:
            return
        self._closed = True
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._held_until = NEVER
        await _give_back(self._ledger)

    # --- writing ---

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
            try:
                orders = await self._written(group)
            except JournalError as error:
                _refuse(group, error)
                continue
            except BaseException as error:
                # BaseException: waiters depend on it, those who came meanwhile too.
                _refuse([*group, *self._waiting], error)
                self._waiting = []
                raise
            for asked, order in zip(group, orders, strict=True):
                if not asked.order.done():
                    asked.order.set_result(order)
            await self._tidy()

    async def _written(self, group: list[_Asked]) -> list[Order]:
        if self.ended.is_set():
            raise JournalError(self._why)
        self._sent = False
        try:
            async with asyncio.timeout(self._append_seconds), self._turn:
                return await self._append(group)
        except TimeoutError as error:
            why = f"Redis gave no answer within {self._append_seconds:g} s"
            raise Lost(why + NOT_KNOWN if self._sent else why) from error
        except (Taken, Unlike, Elsewhere) as error:
            self._end(str(error))
            raise

    async def _append(self, group: list[_Asked]) -> list[Order]:
        if self._suspect:
            await self._resync()
        elif not self.holds(self._now()):
            await self._touch()
        orders = self._numbered(group)
        try:
            return await self._try(orders)
        except Lost as error:
            # Perhaps only the connection broke: ask while the client still waits.
            try:
                found = await self._resync()
            except Lost:
                raise Lost(f"{error}{NOT_KNOWN}") from error
            if found == orders:
                return orders
            self._sent = False  # nor will it be: that was made sure of
        except Free:
            # It ran out between two touches; taken again unless somebody else came first.
            await self._touch()
        except Elsewhere:
            # The journal is longer or shorter than this hub thought; touching it tells which.
            await self._touch()
        return await self._try(self._numbered(group))

    def _numbered(self, group: list[_Asked]) -> list[Order]:
        # Numbers are given here, by the only task that appends, with the lock: `last` cannot move meanwhile.
        return [Order(self.last + place, asked.at, asked.what, asked.soft) for place, asked in enumerate(group, 1)]

    async def _try(self, orders: list[Order]) -> list[Order]:
        self._suspect = self._sent = True
        try:
            written = await self._ledger.append(self.last, orders)
        except Lost:
            raise
        except JournalError:
            self._suspect = self._sent = False  # it was answered: nothing was written
            raise
        self._suspect = False
        self._hold(written)
        return orders

    async def _tidy(self) -> None:
        """Forgets the older half where there is too much. A failure loses nothing and is tried again."""
        if len(self._orders) <= self._max_orders and self._size <= self._max_bytes:
            return
        keep = octets = 0
        for each in reversed(self._octets):
            if keep and (keep >= self._max_orders // 2 or octets + each > self._max_bytes // 2):
                break
            keep += 1
            octets += each
        dropped = len(self._orders) - keep
        try:
            async with asyncio.timeout(self._append_seconds), self._turn:
                await self._ledger.trim(self._first + dropped)
        except (JournalError, TimeoutError):
            return
        del self._orders[:dropped], self._octets[:dropped]
        self._first += dropped
        self._size = octets

    def _hold(self, written: list[Written]) -> None:
        self._orders.extend(each.order for each in written)
        self._octets.extend(each.octets for each in written)
        self._size += sum(each.octets for each in written)

    # --- the lease ---

    async def _keep(self) -> None:
        # `_closed` too: a cancellation that comes together with an answer or a timeout can get lost on its way through
        # a client library, and close() waits for this task.
        while not (self.ended.is_set() or self._closed):
            try:
                async with asyncio.timeout(self._append_seconds), self._turn:
                    self._durable = (await self._ledger.server()).durable
                    await (self._resync() if self._suspect else self._touch())
                if self._complaint:
                    events.info("journal.reached", journal=self.id, last=self.last)
                self._complaint = ""
            except (Taken, Unlike, Elsewhere) as error:
                self._end(str(error))
                return
            except TimeoutError:
                self._complain("Redis gave no answer")
            except JournalError as error:
                self._complain(str(error))
            except Exception as error:
                # Without this task the lease runs out and every purge is refused.
                self._complain(repr(error))
            if not self._closed:
                await asyncio.sleep(self._lease_seconds / TOUCHES_A_LEASE)

    async def _touch(self, *, afresh: bool = False) -> list[Order]:
        """Prolongs the lease. The orders that turned up, which are carried out by now."""
        asked_at = self._now()
        try:
            newest = await self._ledger.touch(self.last, self._durable, afresh=afresh)
        except Elsewhere as error:
            raise Unlike(f"Redis has lost acknowledged orders: {error}, and {self.last} were acknowledged") from error
        found: list[Written] = []
        if newest > self.last:
            found = await self._ledger.read(self.last + 1)
            if not found or (found[0].order.number, found[-1].order.number) != (self.last + 1, newest):
                raise Unlike(f"orders {self.last + 1} to {newest} are not all there")
            self._hold(found)
            for each in found:
                events.warning("journal.found", number=each.order.number)
                if self.on_found is not None:
                    self.on_found(each.order)
        self._held_until = asked_at + self._lease_seconds - margin(self._lease_seconds)
        if self.on_held is not None:
            self.on_held(asked_at, self._held_until - asked_at)
        return [each.order for each in found]

    async def _resync(self) -> list[Order]:
        """Finds out what became of what was not answered; it cannot happen any more afterwards."""
        found = await self._touch(afresh=True)
        self._suspect = False
        return found

    def _end(self, why: str) -> None:
        if not self.ended.is_set():
            self._why = why
            self._had_until, self._held_until = self._held_until, NEVER
            self.ended.set()
            if self.on_ended is not None:
                self.on_ended()
            events.error("journal.term_ended", journal=self.id, last=self.last, why=why)

    def _complain(self, why: str) -> None:
        """Once for each reason: a Redis that is gone for an hour is one event."""
        if why != self._complaint:
            self._complaint = why
            events.error("journal.unavailable", journal=self.id, why=why)

    def __repr__(self) -> str:
        state = "ended" if self.ended.is_set() else "suspect" if self._suspect else "sound"
        return f"<RedisJournal {self.id} {self._first}..{self.last} {state} until={self._held_until:.3f}>"


async def _settled(ledger: RedisLedger, found: Found, known: Known | None) -> tuple[str, list[Written], int, Opening]:
    """Reads what is there and says whose it is: id, orders, newest number, and what is to be told of it."""
    judgement = judge(found, known)
    if not isinstance(judgement, Begins):
        try:
            written = await ledger.read(1) if judgement.last else []
            if judgement.last and (not written or written[-1].order.number != judgement.last):
                raise Unlike("its newest order is missing")
        except Unlike as error:
            judgement = Begins(str(error))
        else:
            await ledger.settle(found, judgement.id, begin=False)
            return judgement.id, written, judgement.last, Opening()
    journal = secrets.token_hex(8)
    await ledger.settle(found, journal, begin=True)
    return journal, [], 0, Opening(new=judgement.why is None, replaced=judgement.why)


def _had_it(known: Known | None, asked_at: float) -> bool:
    """Was the lease this process's own until now, so that no other can believe that it has it?"""
    return known is not None and asked_at < known.held_until


async def _give_back(ledger: RedisLedger) -> None:
    """What cannot be given back runs out."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await ledger.release()
    except (JournalError, TimeoutError):
        pass


def _warn_of(server: Server) -> None:
    if not server.durable:
        events.warning(
            "journal.not_durable",
            why="after a restart or failover of Redis everything stored is stale: it has no appendfsync always, "
            "or replicas, or does not say",
        )
    if server.evicts is not None:
        events.warning("journal.may_be_evicted", policy=server.evicts, instead="volatile-lru or noeviction")


def _refuse(group: list[_Asked], error: BaseException) -> None:
    for asked in group:
        if not asked.order.done():
            # One for each waiter: an exception that is raised twice grows two tracebacks.
            refused = JournalError(str(error) or repr(error))
            refused.__cause__ = error
            asked.order.set_exception(refused)
