"""Stampede control: one upstream fetch per key, however many ask.

Knows nothing of HTTP or storage; a flight carries whatever its pilot lands.
Invariant: a flight is in the table from its take-off until its task has ended or it was overtaken;
there is at most one for a key.

The life of a flight:

    AIRBORNE  the pilot has taken off; callers wait
       |  land(value)        every caller has the value; newcomers get it at once
       v
    LANDED    the pilot may go on (filling a body that callers stream)
       |  the pilot returns
       v
    GONE      the key is free

    AIRBORNE -> GONE without landing: the flight has failed, and every caller gets FlightFailed with the
    pilot's exception as its cause. Callers decide who flies next: the first to board again leads.

A flight may also be flown by hand, without a task (`enter`): who entered it lands it and leaves it, from callbacks,
or gives it to a pilot half-way (`launch`). Those who board it cannot tell the difference.

Cancellation belongs to the caller, the flight belongs to the table: a caller that is cancelled, leader or
not, takes only its own wait with it. The table cancels what is left when it closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class FlightFailed(Exception):
    """The flight ended without landing; `__cause__` is what its pilot raised."""


class Flight(Generic[T]):
    """One fetch under way. Made by Flights only."""

    __slots__ = ("_abort", "_failure", "_landed", "_on_landing", "_task", "_value", "_waiters", "key", "overtaken")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.overtaken = False  # an order came after the take-off: what lands is not to be stored
        self._value: T | None = None
        self._landed = False
        self._failure: BaseException | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._on_landing: Callable[[T], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._abort: Callable[[], None] | None = None  # of one that is flown by hand: the table closes

    @property
    def launched(self) -> bool:
        """Its pilot has taken off: the table sees to its end."""
        return self._task is not None

    @property
    def landed(self) -> bool:
        return self._landed

    def land(self, value: T) -> None:
        """For the pilot: here is what was fetched. Once."""
        assert not self._landed  # noqa: S101
        self._value = value
        self._landed = True
        self._wake()
        if self._on_landing is not None:
            self._on_landing(value)

    def on_landing(self, then: Callable[[T], None]) -> None:
        """For a leader that leaves: `then` is called with what lands, now if it has landed. Never on failure."""
        if self._landed:
            then(self._value)  # type: ignore[arg-type]
        else:
            self._on_landing = then

    async def wait(self) -> T:
        """What landed. Raises FlightFailed. A cancelled wait ends this wait and nothing else."""
        while not self._landed and self._failure is None:
            # A future for each caller, not one shielded for all: no inner future to make, and none can
            # cancel another's.
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        if self._landed:
            return self._value  # type: ignore[return-value]
        raise FlightFailed from self._failure

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def __repr__(self) -> str:
        if self._landed:
            state = "landed"
        elif self._failure is not None:
            state = f"failed {self._failure!r}"
        else:
            state = f"airborne waiting={self.waiting}"
        return f"<Flight {self.key!r} {state}{' overtaken' if self.overtaken else ''}>"

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


Pilot = Callable[[Flight[T]], Coroutine[Any, Any, None]]


class Flights(Generic[T]):
    """All flights of a process, and owner of their tasks."""

    __slots__ = ("_flying", "_table", "overtakings", "unlisted")

    def __init__(self) -> None:
        self.overtakings = 0  # overtake() was called so often; who has no flight compares
        self.unlisted = 0  # fetches under way that have no flight, because nobody can board them; counted by who flies
        self._table: dict[Hashable, Flight[T]] = {}
        self._flying: set[Flight[T]] = set()  # those that were overtaken are here, and no longer in the table

    def board(self, key: Hashable, pilot: Pilot[T]) -> tuple[Flight[T], bool]:
        """The flight for this key, and whether the caller leads it: `pilot` takes off where none was under way."""
        flight = self._table.get(key)
        if flight is not None:
            return flight, False
        flight = Flight(key)
        self._table[key] = flight
        self.launch(flight, pilot)
        return flight, True

    def enter(self, key: Hashable, abort: Callable[[], None] | None = None, *, boarding: bool = False) -> Flight[T]:
        """A flight without a task, so that overtake() reaches it: launch() it, or leave() it.

        `boarding`: others may board it; none is under way for this key. `abort` is called, once, where the table
        closes before either, and has to leave() it.
        """
        flight: Flight[T] = Flight(key)
        flight._abort = abort
        self._flying.add(flight)
        if boarding:
            assert key not in self._table  # noqa: S101
            self._table[key] = flight
        return flight

    def leave(self, flight: Flight[T]) -> None:
        """It was entered and never launched, and is over. Who waits for it without a landing is told that it failed."""
        flight._abort = None
        self._flying.discard(flight)
        self.unlist(flight)
        if flight._waiters and not flight._landed:
            flight._fail(RuntimeError("it was left without landing"))

    def launch(self, flight: Flight[T], pilot: Pilot[T]) -> None:
        """The pilot takes off; the table owns its task."""
        self._flying.add(flight)
        flight._abort = None
        flight._task = asyncio.get_running_loop().create_task(self._fly(flight, pilot))

    def get(self, key: Hashable) -> Flight[T] | None:
        return self._table.get(key)

    def __len__(self) -> int:
        """How many are under way, those that were overtaken among them."""
        return len(self._flying) + self.unlisted

    def __iter__(self) -> Iterator[Flight[T]]:
        return iter(tuple(self._flying))

    def unlist(self, flight: Flight[T]) -> None:
        """It keeps its passengers and takes no more."""
        if self._table.get(flight.key) is flight:
            del self._table[flight.key]

    def close_boarding(self, concerns: Callable[[Hashable], bool]) -> int:
        """Every flight whose key this concerns keeps its passengers and takes no more; how many there were."""
        met = [flight for flight in self._flying if concerns(flight.key)]
        for flight in met:
            self.unlist(flight)
        return len(met)

    def overtake(self, concerns: Callable[[Hashable], bool]) -> int:
        """close_boarding, and what these flights land is marked as overtaken.

        It was asked for before the order, so it is for those who were already waiting and is
        not stored (HAZARDS F08).
        """
        self.overtakings += 1
        for flight in self._flying:
            if concerns(flight.key):
                flight.overtaken = True
        return self.close_boarding(concerns)

    async def close(self) -> None:
        """Cancels what is under way and waits until it has ended."""
        for flight in tuple(self._flying):
            abort, flight._abort = flight._abort, None
            if abort is not None:
                abort()
        tasks = [flight._task for flight in self._flying if flight._task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        for flight in tuple(self._flying):
            if flight.launched:
                # A task that is cancelled before its first step never takes that, nor what stands in its finally.
                self._ended(flight, asyncio.CancelledError())

    async def _fly(self, flight: Flight[T], pilot: Pilot[T]) -> None:
        failure: BaseException = RuntimeError("the pilot returned without landing")
        try:
            await pilot(flight)
        except BaseException as error:
            # BaseException: a waiter depends on it. Cancelled pilots (close) must wake their callers too.
            failure = error
            if not isinstance(error, Exception):
                raise
            if flight.landed:
                # Past the landing nobody hears a failure from here: the pilot tells it through what it landed.
                raise
        finally:
            self._ended(flight, failure)

    def _ended(self, flight: Flight[T], failure: BaseException) -> None:
        self._flying.discard(flight)
        self.unlist(flight)
        if not flight.landed:
            flight._fail(failure)
