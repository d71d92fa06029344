"""Waiting for a flight: whom a request waits for, and when it must not.

Knows no stored responses but those that tell what a resource varies on. Decides nothing about the request; whoever asks
has decided that it goes forward, and may wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from seawall.clock import Clock
from seawall.engine.fetch import Fetcher, FlightKey, Trip
from seawall.engine.landing import Arriving, Landing
from seawall.engine.standing import Standing
from seawall.engine.visit import Observer, Visit
from seawall.flight.table import Flight, FlightFailed, Flights, Pilot
from seawall.policy.vary import selected


class Boarding:
    """The gate to the flights. Everything is lent; `lone` gives the numbers of flights that nobody else boards."""

    __slots__ = ("_clock", "_fetcher", "_flights", "_lone", "_observer", "_standing")

    def __init__(
        self,
        flights: Flights[Landing],
        fetcher: Fetcher,
        standing: Standing,
        clock: Clock,
        observer: Observer,
        lone: Iterator[int],
    ) -> None:
        self._flights = flights
        self._fetcher = fetcher
        self._standing = standing
        self._clock = clock
        self._observer = observer
        self._lone = lone

    async def board(self, visit: Visit, trip: Trip, names: frozenset[str]) -> tuple[Landing | None, bool] | None:
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
        return await self.await_landing(visit, trip, flight, led=led)

    async def await_landing(
        self, visit: Visit, trip: Trip, flight: Flight[Landing], *, led: bool
    ) -> tuple[Landing | None, bool] | None:
        """The same for one that was boarded already, or is led."""
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
                abandon(flight)
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

    def refresh_behind(self, trip: Trip, names: frozenset[str]) -> bool:
        """One revalidation in the background, however many were served stale (RFC 5861 3) or draw an early one.

        Nobody waits for it. True: this request set it off.
        """
        key = FlightKey(trip.key, trip.head.headers.get("range"), selected(names, trip.head))
        flight, led = self._flights.board(key, self._pilot(trip))
        if led:
            abandon(flight)
        return led


def abandon(flight: Flight[Landing]) -> None:
    """Its leader has left: what is for the leader only is let go, now or on landing."""
    flight.on_landing(lambda landing: landing.abandon())
