"""A body from its source into a fill: how much of it is held in memory, what goes to a spool, and when to give up.

in memory ──▶ beyond `most_in_memory` or the budget: into a spool ──▶ beyond `most_bytes`, or the spool failed:
              passed on only. None of which the client notices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seawall.flight.fill import Fill, Unread
from seawall.http.body import BodyBroken, BodyReader
from seawall.policy.reasons import Reason
from seawall.store.level import LevelDown, Spool
from seawall.store.stored import Filed

# Bodies up to here become one bytes object when they have arrived: one write on each hit. Above, joining
# would hold the body twice for a moment.
JOIN_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Poured:
    """A body that was poured: the whole of it, or why it is not to be stored."""

    body: tuple[bytes, ...] | Filed | None
    why_not: Reason | None = None


class Filling:
    """How much memory the bodies hold that are still arriving, of all flights together."""

    __slots__ = ("budget_bytes", "held_bytes", "most_in_memory")

    def __init__(self, budget_bytes: int, most_in_memory: int) -> None:
        """`most_in_memory`: of one body, in bytes."""
        self.budget_bytes = budget_bytes
        self.most_in_memory = most_in_memory
        self.held_bytes = 0

    def fits(self, length: int | None) -> bool:
        """May a body of this length be held in memory now? Of an unknown length: yes, as far as it goes."""
        return length is None or (length <= self.most_in_memory and self.held_bytes + length <= self.budget_bytes)


async def pour(
    body: BodyReader,
    fill: Fill,
    most_bytes: int,
    filling: Filling,
    spool: Spool | None,
    new_spool: Callable[[], Spool | None],
) -> Poured:
    """The whole body into the fill. `spool`: where it goes from the beginning on; else `new_spool` is asked when it
    outgrows memory. Readers of the fill have their end, or their failure, when this returns."""
    pouring = _Pouring(body, fill, most_bytes, filling, spool, new_spool)
    if spool is not None:
        fill.spill(spool)
    try:
        return await pouring.run()
    finally:
        pouring.let_go()


class _Pouring:
    """One body on its way. `spool` is aborted by let_go() unless it was finished."""

    __slots__ = ("_body", "_fill", "_filling", "_held_bytes", "_most_bytes", "_new_spool", "_spool", "_why_not")

    def __init__(
        self,
        body: BodyReader,
        fill: Fill,
        most_bytes: int,
        filling: Filling,
        spool: Spool | None,
        new_spool: Callable[[], Spool | None],
    ) -> None:
        self._body = body
        self._fill = fill
        self._most_bytes = most_bytes
        self._filling = filling
        self._spool = spool
        self._new_spool = new_spool
        self._held_bytes = 0
        self._why_not: Reason | None = None

    async def run(self) -> Poured:
        fill = self._fill
        try:
            while piece := await self._body.read():
                fill.write(piece)
                if self._why_not is None:
                    await self._keep(len(piece))
                await fill.room()
        except BodyBroken as broken:
            fill.fail(str(broken))
            return Poured(None, Reason.INCOMPLETE)
        except Unread:
            fill.fail("nobody reads it")
            return Poured(None, self._why_not)
        fill.finish()
        if self._why_not is not None:
            return Poured(None, self._why_not)
        if self._spool is not None:
            return await self._filed(self._spool)
        pieces = fill.whole()
        assert pieces is not None  # noqa: S101 (finished, kept, and not in a spool)
        if fill.bytes_in <= JOIN_BYTES and len(pieces) > 1:
            pieces = (b"".join(pieces),)
        return Poured(pieces)

    def let_go(self) -> None:
        """Whatever happened: nothing of this body is held any more by what was its way in."""
        self._filling.held_bytes -= self._held_bytes
        self._held_bytes = 0
        if self._spool is not None:
            self._spool.abort()
            self._spool = None

    async def _keep(self, came: int) -> None:
        """One more piece is in the fill: where is it to be?"""
        fill, filling = self._fill, self._filling
        if self._spool is None:
            self._held_bytes += came
            filling.held_bytes += came
            outgrown = fill.bytes_in > filling.most_in_memory
            if outgrown or filling.held_bytes > filling.budget_bytes:
                self._spool = self._new_spool() if fill.bytes_in <= self._most_bytes else None
                if self._spool is None:
                    self._give_up(Reason.TOO_LARGE if outgrown else Reason.NO_ROOM)
                    return
                fill.spill(self._spool)
        if fill.bytes_in > self._most_bytes:
            self._give_up(Reason.TOO_LARGE)
        elif self._spool is not None:
            try:
                await fill.spilled()
            except LevelDown:
                self._give_up(Reason.NO_ROOM)
            else:
                filling.held_bytes -= self._held_bytes
                self._held_bytes = 0

    def _give_up(self, why: Reason) -> None:
        self._why_not = why
        self._fill.forget()
        self.let_go()

    async def _filed(self, spool: Spool) -> Poured:
        try:
            await self._fill.spilled()
            filed = await spool.finish()
        except LevelDown:
            return Poured(None, Reason.NO_ROOM)
        self._spool = None
        return Poured(filed)
