"""The hub's journal, as an event loop sees it: orders get their number, and are on the disk when it is told.

One thread of its own does the writing; what arrives while it writes goes down together with the next
fsync (group commit), so a burst of purges costs a few of them and not one each.
Invariant: `orders`, `first` and `last` name only what is on the disk.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seawall.purge.ledger import (
    MAX_JOURNAL_BYTES,
    MAX_ORDERS,
    RESERVE_BYTES,
    JournalError,
    Ledger,
    Opening,
)
from seawall.purge.order import Order
from seawall.purge.selection import Selection

__all__ = ["Journal", "JournalError", "Opening", "Trimmed"]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The orders after that number are not all there: forgotten, or never given by this journal.

    Whoever asked takes everything it stores for stale and goes on from `last`.
    """

    first: int
    last: int


@dataclass(slots=True)
class _Asked:
    what: Selection
    soft: bool
    at: float
    order: asyncio.Future[Order]


class Journal:
    """Durable orders with dense numbers from 1. `id` is the journal's identity: numbers mean nothing without it.

    Owns its thread and the task that feeds it; `close()` ends both. Belongs to one event loop.
    """

    def __init__(self, ledger: Ledger, writer: ThreadPoolExecutor) -> None:
        """Made by `open` only."""
        self._ledger = ledger
        self._writer = writer
        self._orders = ledger.orders
        self._first = ledger.first
        self._waiting: list[_Asked] = []
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        max_orders: int = MAX_ORDERS,
        max_bytes: int = MAX_JOURNAL_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> Journal:
        """The journal of this directory, which is ours alone from now on. Raises JournalError."""
        writer = ThreadPoolExecutor(1, thread_name_prefix="seawall-journal")
        try:
            ledger = await asyncio.get_running_loop().run_in_executor(
                writer,
                lambda: Ledger(directory, max_orders=max_orders, max_bytes=max_bytes, reserve_bytes=reserve_bytes),
            )
        except BaseException:
            writer.shutdown(wait=False)
            raise
        return cls(ledger, writer)

    @property
    def id(self) -> str:
        return self._ledger.id

    @property
    def opening(self) -> Opening:
        """What was found when it was opened."""
        return self._ledger.opening

    @property
    def first(self) -> int:
        """The oldest order that is held; `last + 1` where none is."""
        return self._first

    @property
    def last(self) -> int:
        """The newest order; 0 where there was never one."""
        return self._first + len(self._orders) - 1

    @property
    def reserved(self) -> bool:
        """Is the room for orders on a full disk there?"""
        return self._ledger.reserved

    def after(self, number: int) -> list[Order] | Trimmed:
        """The orders with higher numbers, in order; empty where `number` is the last."""
        if not self._first - 1 <= number <= self.last:
            return Trimmed(self._first, self.last)
        return self._orders[number + 1 - self._first :]

    async def append(self, what: Selection, soft: bool, now: float) -> Order:
        """The order, written down and numbered. `now` is seconds since the epoch.

        Raises JournalError: there is no such order then. Whoever is cancelled here may have given one.
        """
        if self._closed:
            raise JournalError("the journal is closed")
        asked = _Asked(what, soft, now, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush())
        return await asked.order

    async def close(self) -> None:
        """Writes what was asked for, then lets the file go. Again: nothing."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
            self._flusher = None
        await asyncio.get_running_loop().run_in_executor(None, self._writer.shutdown)
        self._ledger.close()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            # Numbers are given here, by the only task that appends: `last` cannot move before they are written.
            orders = [
                Order(self.last + place, asked.at, asked.what, asked.soft) for place, asked in enumerate(group, 1)
            ]
            try:
                await loop.run_in_executor(self._writer, self._ledger.append, orders)
            except JournalError as error:
                _refuse(group, error)
                self._forget()
                continue
            except BaseException as error:
                # BaseException: waiters depend on it, those who came meanwhile too.
                _refuse([*group, *self._waiting], error)
                self._waiting = []
                raise
            self._orders.extend(orders)
            for asked, order in zip(group, orders, strict=True):
                if not asked.order.done():
                    asked.order.set_result(order)
            self._forget()
            await loop.run_in_executor(self._writer, self._ledger.tidy)
            self._forget()

    def _forget(self) -> None:
        """What the file no longer holds is no longer held here. The writer rests while this is called."""
        del self._orders[: self._ledger.first - self._first]
        self._first = self._ledger.first


def _refuse(group: list[_Asked], error: BaseException) -> None:
    for asked in group:
        if not asked.order.done():
            # One for each waiter: an exception that is raised twice grows two tracebacks.
            refused = JournalError(str(error) or repr(error))
            refused.__cause__ = error
            asked.order.set_exception(refused)
