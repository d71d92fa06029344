"""The hub of a journal in Redis: term after term, each a HubService like any other, with a pause between two.

    waiting   another hub numbers, or may believe so, or Redis cannot be asked: nothing is purged (503), no node is
              fed, none is granted a lease, and this node itself trusts nothing that it stores
    term      this hub holds the lease: everything is as with a journal on its own disk

A term that ends (see redisjournal.py) closes its feeds. The nodes connect again; in the next term they go on where
they are, if it is still the same journal, and else take what they store for stale. To them it is a hub that was
restarted, which they know how to live with.

The lease in Redis is what makes two hubs of one name harmless: who does not hold it grants no leases to nodes, so one
node lease after another hub began its term nobody trusts what the former one said last. A hub counts from the
beginning of its term before it calls a silent node fenced (hub.py), and that is longer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from seawall.purge.answered import Answered, refusal
from seawall.purge.applied import Applied
from seawall.purge.asked import Asked
from seawall.purge.forgetter import Forgetter
from seawall.purge.hubserver import HubServer
from seawall.purge.hubservice import HubService
from seawall.purge.lease import Lease
from seawall.purge.ledger import JournalError
from seawall.purge.line import Connection
from seawall.purge.redisidentity import Known
from seawall.purge.redisjournal import RedisJournal
from seawall.telemetry import events
from seawall.telemetry.metrics import PurgeUsage

# How often a lease is asked for that another hub has: the share of its length.
TRIES_A_LEASE = 10
# A node that cannot number yet serves all the same, so its start waits no longer than that for a Redis that is silent.
START_SECONDS = 2.0


class RedisHub:
    """A PurgeService. Owner of the terms' task; the engine's `lease` is prolonged here with the journal's."""

    passes = False

    def __init__(
        self,
        open_journal: Callable[[Known | None], Awaitable[RedisJournal]],
        close_client: Callable[[], Awaitable[None]],
        *,
        node: str,
        ranks: Mapping[str, int],
        applied: Applied,
        lease: Lease,
        forgetter: Forgetter,
        hub_lease_seconds: float,
        about: Mapping[str, Mapping[str, str | None]],
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`lease` is what the engine asks at each hit; its `seconds` are those of the nodes."""
        self._open_journal = open_journal
        self._close_client = close_client
        self._node = node
        self._ranks = ranks
        self._applied = applied
        self._lease = lease
        self._forgetter = forgetter
        self._pause = hub_lease_seconds / TRIES_A_LEASE
        self._about = about
        self._now = now
        self._wall = wall
        self._known: Known | None = None
        self._journal: RedisJournal | None = None
        self._term: HubService | None = None
        self._why = "this hub has just started"
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Begins, and returns when the journal was opened or could not be, for the first time: soon, in any case."""
        assert self._task is None  # noqa: S101
        self._task = asyncio.get_running_loop().create_task(self._run(), name="purge-terms")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._tried.wait()

    def usage(self) -> PurgeUsage | None:
        return None if self._term is None else self._term.usage()

    async def purge(self, asked: Asked, by: str) -> Answered:
        return self._refused() if self._term is None else await self._term.purge(asked, by)

    async def receipt(self, number: int) -> Answered:
        return self._refused() if self._term is None else await self._term.receipt(number)

    async def purges(self, after: int | None, limit: int) -> Answered:
        return self._refused() if self._term is None else await self._term.purges(after, limit)

    async def topology(self) -> Answered:
        return self._refused() if self._term is None else await self._term.topology()

    def ready(self) -> bool:
        """Does this hub number the orders, as far as it can know?"""
        return self._term is not None and self._journal is not None and self._journal.holds(self._now())

    async def attend(self, connection: Connection) -> None:
        """One feed, to its end; while nobody numbers here that is at once."""
        if self._term is not None:
            await self._term.attend(connection)

    async def close(self) -> None:
        """Ends the term and gives the lease back, so that another hub need not wait for it to run out."""
        self._closing.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._end_term("this hub ends")
        await self._close_client()

    def _refused(self) -> Answered:
        return refusal(503, f"nothing was purged, for no orders are numbered here: {self._why}")

    async def _run(self) -> None:
        # Not for ever: a cancellation can get lost in a client library, see redisjournal.py.
        while not self._closing.is_set():
            try:
                journal = await self._open_journal(self._known)
            except JournalError as error:
                self._complain(str(error))
            except Exception as error:
                # Without this task nothing would ever be purged again.
                self._complain(repr(error))
            else:
                if self._closing.is_set():
                    await journal.close()
                    return
                await self._live(journal)
            self._tried.set()
            if not self._closing.is_set():
                await asyncio.sleep(self._pause)

    async def _live(self, journal: RedisJournal) -> None:
        self._journal = journal
        journal.keep()
        try:
            if await self._alone(journal):
                self._begin_term(journal)
                self._tried.set()
                await journal.ended.wait()
        except Exception as error:
            self._complain(repr(error))
        # Not where this is cancelled: close() ends the term then.
        await self._end_term(journal.why)

    async def _alone(self, journal: RedisJournal) -> bool:
        """Waits until no other hub can take itself for the one that numbers. False where the term ended before that."""
        left = journal.alone_at - self._now()
        if left > 0:
            self._complain(f"the journal was lost, and an earlier hub may believe for {left:.1f} s that it numbers")
            self._tried.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await journal.ended.wait()
        return not journal.ended.is_set()

    def _begin_term(self, journal: RedisJournal) -> None:
        replaced = journal.opening.replaced
        if replaced is not None:
            events.error("journal.replaced", journal=journal.id, why=replaced)
        server = HubServer(
            journal,
            node=self._node,
            ranks=self._ranks,
            applied=self._applied,
            forgetter=self._forgetter,
            lease_seconds=self._lease.seconds,
            now=self._now,
            wall=self._wall,
            may_grant=journal.holds,
        )
        server.start()
        self._term = HubService(server, self._about, self._now)
        journal.on_found = server.found
        journal.on_held = self._held
        journal.on_ended = self._lease.surrender
        self._why = ""
        events.info("journal.term_began", journal=journal.id, last=journal.last)

    def _held(self, asked_at: float, seconds: float) -> None:
        # Everything that was acknowledged is applied here, and no other hub has numbered.
        self._lease.pinged(asked_at)
        self._lease.echoed(asked_at, seconds)

    async def _end_term(self, why: str) -> None:
        self._lease.surrender()
        journal, self._journal = self._journal, None
        term, self._term = self._term, None
        self._why = why
        if journal is not None:
            self._ending = asyncio.get_running_loop().create_task(self._let_go(term, journal), name="purge-term-end")
        if self._ending is not None:
            await asyncio.shield(self._ending)  # close() may cancel this and wait for the same

    async def _let_go(self, term: HubService | None, journal: RedisJournal) -> None:
        if term is not None:
            await term.close()
        await journal.close()
        self._known = journal.known

    def _complain(self, why: str) -> None:
        """Once for each reason."""
        if why != self._why:
            self._why = why
            events.error("journal.unavailable", why=why)

    def __repr__(self) -> str:
        return f"<RedisHub {self._node} {self._term!r}>" if self._term is not None else f"<RedisHub {self._node} waits>"
