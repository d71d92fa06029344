"""A small model of the system in virtual time: edges with a level below their memory, a shield that is the hub, an
origin, numbered orders, leases.

It is what the checker is tried on, in two ways: as it stands it keeps every promise, and the checker must find
nothing; with one of its mutants it breaks one, and the checker must notice. Nothing of the product is in it, so it
cannot share the product's mistakes; its mechanisms are those of DESIGN.md, as small as they can be.

Every step of a node costs a random while, so all orders of events come up under some seed. What runs between two
awaits is atomic, like a turn of the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.consistency.history import (
    ORIGIN,
    Fault,
    FaultKind,
    History,
    Key,
    Load,
    Purge,
    PurgeState,
    Read,
    Setup,
    Write,
    digest_of_body,
)
from tests.consistency.virtual import Signal, World

EDGES = ("edge-1", "edge-2", "edge-3")
SHIELD = "shield"
LEASE = 0.5
MARGIN = 0.03


class Mutant(StrEnum):
    """One mistake each. The first seven are those of HAZARDS 3."""

    NO_EPOCH_CHECK = "a fetch that a purge overtook is stored all the same"
    EDGES_FIRST = "edges are purged before the shield, and a parent's answer does not say what it had applied"
    SKIPPED_EDGE = "one edge is left out of a purge, and the answer says complete"
    SWAPPED_BODIES = "two fetches under way at once get each other's bodies"
    TRUNCATED = "a body that broke off is stored and served as a whole one"
    VARY_IN_FLIGHT = "who asks for another variant joins the fetch that is under way"
    ACK_WHILE_FROZEN = "complete is said without waiting for an edge that is frozen"

    STALE_AS_FRESH = "what the shield served stale is fresh for the edge"
    REVIVED_BY_304 = "a 304 puts back what was purged while it was asked for"
    NO_LEASE = "a frozen or cut-off edge goes on serving from its cache"
    LEASE_FROM_ARRIVAL = "a lease counts from when the echo was read, not from when the ping was sent"
    NO_CATCH_UP = "a restarted edge that kept its cache goes on with the newest order"
    ACK_BEFORE_APPLIED = "complete is said when the order is written down"
    ONE_VARIANT = "a purge takes one variant and leaves the others"
    JOINS_UNLEASED = "who may not trust the cache is given what a fetch from before brings home"
    NOT_COLLAPSED = "everyone who misses fetches alone"
    TWO_SOURCES = "an edge asks the origin as often as the shield"
    IMMORTAL = "what is stored is fresh for ever"
    LOST_WAITERS = "who waits for a fetch is sometimes not woken"
    SOFT_IS_NOTHING = "a soft purge leaves what it names fresh"
    UNLABELLED = "what is served stale does not say so"
    UNSTAMPED = "what comes up from a lower level is not held against the orders that are still to be carried out there"
    NEWEST_STAMP = "an edge that comes back with its lower level says that this has carried out what its memory had"


class Gone(Exception):
    """The process died under its request."""


@dataclass(frozen=True, slots=True)
class Body:
    """Whose octets they are, and how many of them."""

    key: str
    variant: str
    version: int
    length: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A response on its way or stored. `mark` is the last order that the giver had applied when it was taken from."""

    version: int  # as its head says
    body: Body
    fresh_until: float
    swr_until: float
    whole: bool = True
    words: tuple[str, ...] = ()  # X-Cache, so far
    mark: int = 0
    unchanged: bool = False  # a 304


@dataclass(frozen=True, slots=True)
class Order:
    """A numbered purge; `covers` says which keys."""

    number: int
    covers: frozenset[str]
    soft: bool
    written_at: float


class Flight:
    """One fetch under way at a node."""

    __slots__ = ("landed", "outcome", "took_off_at")

    def __init__(self, world: World) -> None:
        self.landed = Signal(world)
        self.outcome: Copy | None = None  # None: it failed
        self.took_off_at = world.now


Where = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Put:
    """To be written below, when there is time. `number`: the orders that it had survived."""

    where: Where
    copy: Copy
    number: int


class Origin:
    """The origin: the version of each key, and how many fetches of it are in flight."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._world = system.world
        self.versions = dict.fromkeys(system.keys, 1)
        self.breaking: set[str] = set()
        self._flying = dict.fromkeys(system.keys, 0)
        self.most = dict.fromkeys(system.keys, 0)

    def begin_tally(self) -> None:
        self.most = dict(self._flying)

    async def fetch(self, key: Key, variant: str, known: int | None) -> Copy:
        """The version is chosen when the request arrives, and reaches the asker a while later."""
        name = key.key
        await self._world.lag(0.001, 0.005)
        self._flying[name] += 1
        self.most[name] = max(self.most[name], self._flying[name])
        version, now = self.versions[name], self._world.now
        await self._world.lag(0.001, 0.06 if self._world.chance.random() < 0.3 else 0.01)
        self._flying[name] -= 1
        await self._world.lag(0.001, 0.005)
        broken = name in self.breaking
        body = Body(name, variant, version, key.size // 2 if broken else key.size)
        fresh = now + key.max_age
        copy = Copy(version, body, fresh, fresh + key.swr, whole=not broken)
        return replace(copy, unchanged=version == known and not broken)


class Node:
    """An edge or the shield; `parent` is asked first, the origin where that does not answer."""

    def __init__(self, system: System, name: str, parent: Node | None) -> None:
        self.name = name
        self._system = system
        self._world = system.world
        self._parent = parent
        self.store: dict[Where, Copy] = {}
        self._below: dict[Where, Copy] = {}
        self._below_number = 0  # the orders that were carried out there
        self._given: list[Put | Order] = []  # what is still to be done there, in order
        self._flights: dict[Where, Flight] = {}
        self._applied: list[Order] = []  # the last is `number`
        self.number = 0
        self.lease_until = -1.0
        self.up = True
        self.ready = True
        self.life = 0
        self.frozen: Signal | None = None
        self.echo_due = False
        self._swap: tuple[Flight, Copy] | None = None

    def is_(self, mutant: Mutant) -> bool:
        return self._system.mutant is mutant

    # --- its process ---

    async def step(self, life: int, least: float = 0.0, most: float = 0.002) -> None:
        """A while of its time. Stands still while it is frozen; raises Gone when it has died."""
        await self._world.lag(least, most)
        while self.frozen is not None and self.life == life:
            await self.frozen.wait()
            await self._world.lag(0.0, 0.01)  # requests and orders wait in sockets; which is read first is chance
        if self.life != life or not self.up:
            raise Gone

    def die(self, *, keeps_store: bool) -> None:
        """What was in memory is lost, and what was to be written below; that itself may outlive the process."""
        self.up = self.ready = False
        self.life += 1
        self.lease_until = -1.0
        self.store.clear()
        self._given.clear()
        if not keeps_store:
            self._below.clear()
        elif not self.is_(Mutant.NEWEST_STAMP):
            self.number = self._below_number
            self._applied = [order for order in self._applied if order.number <= self.number]
        self._below_number = self.number
        flights, self._flights = self._flights, {}
        for flight in flights.values():
            flight.landed.give()

    # --- requests ---

    async def answer(self, key: Key, variant: str) -> Copy | None:
        """What a client or a node gets. None is a 502. Raises Gone where no answer comes."""
        life = self.life
        if not self.ready:
            raise Gone
        await self.step(life)
        asked_at = self._world.now
        where = (key.key, variant)
        while True:
            if where not in self.store:
                await self._look_below(life, where)
            stored = self.store.get(where)
            trusted = self._trusted()
            if stored is not None and trusted:
                if self._world.now < stored.fresh_until or self.is_(Mutant.IMMORTAL):
                    return self._said(stored, "HIT")
                if self._world.now < stored.swr_until:
                    self._board(where, key)
                    return self._said(stored, "STALE")
            flight, led = self._board(where, key)
            if led or trusted or flight.took_off_at >= asked_at or self.is_(Mutant.JOINS_UNLEASED):
                break
            # What took off before this request came may bring home what a purge that we cannot know of has named.
            await flight.landed.wait()
            await self.step(life)
        if not led and self.is_(Mutant.LOST_WAITERS) and self._world.chance.random() < 0.3:
            await self._world.sleep(3.0)
        await flight.landed.wait()
        await self.step(life)
        return None if flight.outcome is None else self._said(flight.outcome, "MISS")

    async def _look_below(self, life: int, where: Where) -> None:
        """Brings up what the lower level holds or is about to."""
        if self._parent is None:
            return
        await self.step(life, 0.0, 0.003)
        found, number = self._below.get(where), self._below_number
        for given in self._given:
            if isinstance(given, Put) and given.where == where:
                found, number = given.copy, given.number
        await self.step(life, 0.0, 0.003)
        written_since = any(isinstance(given, Put) and given.where == where for given in self._given)
        if found is None or where in self.store or written_since or self._below.get(where, found) is not found:
            return
        if self.is_(Mutant.UNSTAMPED) or not self._overtaken(number, self._system.keys[where[0]]):
            self.store[where] = found

    def _keep(self, where: Where, copy: Copy) -> None:
        self.store[where] = copy
        if self._parent is not None:
            self._given.append(Put(where, copy, self.number))

    def write_below(self) -> None:
        """Does what was given, in one transaction."""
        for given in self._given:
            if isinstance(given, Put):
                self._below[given.where] = given.copy
            else:
                for where in [where for where in self._below if where[0] in given.covers]:
                    del self._below[where]
                self._below_number = given.number
        self._given.clear()

    def _trusted(self) -> bool:
        """May what is stored be served without asking?"""
        return self.name == SHIELD or self._world.now < self.lease_until or self.is_(Mutant.NO_LEASE)

    def _said(self, copy: Copy, word: str) -> Copy:
        if copy.words and copy.words[-1] == "stood in":
            return replace(copy, words=(*copy.words[:-1], "STALE"), mark=self.number)
        if word == "STALE" and self.is_(Mutant.UNLABELLED):
            word = "HIT"
        return replace(
            copy, words=(*copy.words, word), mark=min(copy.mark, self.number) if word == "MISS" else self.number
        )

    def _board(self, where: Where, key: Key) -> tuple[Flight, bool]:
        joined = where
        if self.is_(Mutant.VARY_IN_FLIGHT):
            joined = next((other for other in self._flights if other[0] == where[0]), where)
        flight = self._flights.get(joined)
        if flight is not None and not self.is_(Mutant.NOT_COLLAPSED):
            return flight, False
        flight = self._flights[where] = Flight(self._world)
        self._world.spawn(self._fly(flight, where, key))
        return flight, True

    async def _fly(self, flight: Flight, where: Where, key: Key) -> None:
        life, mark, stored = self.life, self.number, self.store.get(where)
        try:
            came = await self._ask(life, key, where[1], stored.version if stored is not None else None)
            await self.step(life)
        except Gone:
            return
        if came is not None:
            came = self._maybe_swapped(flight, came)
        if self._flights.get(where) is flight:
            del self._flights[where]
        flight.outcome = self._landed(where, key, came, stored, mark)
        flight.landed.give()

    async def _ask(self, life: int, key: Key, variant: str, known: int | None) -> Copy | None:
        """The parent, or the origin while the parent is away."""
        strays = self.is_(Mutant.TWO_SOURCES) and self._world.chance.random() < 0.5
        if self._parent is not None and not strays:
            try:
                await self._world.lag(0.001, 0.01)
                came = await self._parent.answer(key, variant)
                await self._world.lag(0.001, 0.01)
            except Gone:
                pass
            else:
                if came is not None and came.version == known and came.whole:
                    return replace(came, unchanged=True)
                return came
        if self._parent is not None:
            await self.step(life)
        # Of whoever is no node, nothing is known but when it was asked.
        return replace(await self._system.origin.fetch(key, variant, known), mark=self.number)

    def _landed(self, where: Where, key: Key, came: Copy | None, stored: Copy | None, mark: int) -> Copy | None:
        """What those who wait are given, and what is stored."""
        overtaken = self._overtaken(mark, key)
        if came is None:
            kept = self.store.get(where)
            return replace(kept, words=("stood in",)) if kept is not None and self._trusted() else None
        if self._parent is not None and not self.is_(Mutant.EDGES_FIRST):
            overtaken = overtaken or self._overtaken(came.mark, key)
        if self.is_(Mutant.NO_EPOCH_CHECK):
            overtaken = False
        if came.unchanged and stored is not None:
            present = self.store.get(where) is stored
            came = replace(came, body=stored.body, unchanged=False)
            if (present and not overtaken) or self.is_(Mutant.REVIVED_BY_304):
                self._keep(where, came)
            return came
        if not came.whole and self.is_(Mutant.TRUNCATED):
            came = replace(came, whole=True)
        if self.is_(Mutant.STALE_AS_FRESH) and "STALE" in came.words:
            came = replace(came, fresh_until=self._world.now + key.max_age)
        if came.whole and not overtaken:
            self._keep(where, replace(came, words=tuple("MISS" for _ in came.words)))
        return came

    def _overtaken(self, mark: int, key: Key) -> bool:
        return any(order.number > mark and key.key in order.covers for order in reversed(self._applied[-64:]))

    def _maybe_swapped(self, flight: Flight, came: Copy) -> Copy:
        if not self.is_(Mutant.SWAPPED_BODIES) or self._world.chance.random() > 0.05:
            return came
        other, self._swap = self._swap, (flight, came)
        return came if other is None else replace(came, body=other[1].body)

    # --- orders ---

    def apply(self, order: Order) -> None:
        """Store and flights, in one turn."""
        self.number = order.number
        self._applied.append(order)
        if self._parent is not None:
            self._given.append(order)
        spared: set[str] = set()
        for where in [where for where in self.store if where[0] in order.covers]:
            if self.is_(Mutant.ONE_VARIANT) and where[0] not in spared and where[1]:
                spared.add(where[0])
                continue
            if not order.soft:
                del self.store[where]
            elif not self.is_(Mutant.SOFT_IS_NOTHING):
                self.store[where] = replace(
                    self.store[where], fresh_until=min(self._world.now, self.store[where].fresh_until)
                )
        for where in [where for where in self._flights if where[0] in order.covers]:
            del self._flights[where]  # it lands for those who wait; who comes now starts another

    def catch_up_blindly(self, number: int) -> None:
        self.number = number


class Hub:
    """Numbers the orders and feeds the edges; lives in the shield's process, its journal on a disk."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._world = system.world
        self.orders: list[Order] = []
        self.confirmed = dict.fromkeys(EDGES, 0)
        self._fenced = dict.fromkeys(EDGES, 0)
        self._lease_until = dict.fromkeys(EDGES, 0.0)
        self.news = Signal(self._world)

    def restarted(self) -> None:
        """What was granted is forgotten, so everybody may hold a whole lease."""
        self._lease_until = dict.fromkeys(EDGES, self._world.now + LEASE)
        self.confirmed = dict.fromkeys(EDGES, 0)

    def write(self, covers: frozenset[str], soft: bool) -> Order:
        order = Order(len(self.orders) + 1, covers, soft, self._world.now)
        self.orders.append(order)
        return order

    def announce(self) -> None:
        news, self.news = self.news, Signal(self._world)
        news.give()

    def grant(self, edge: str) -> float:
        """How long this edge may trust its cache from now on."""
        confirmed = self.confirmed[edge]
        if confirmed < self._fenced[edge]:
            return 0.0
        grant = LEASE
        if confirmed < len(self.orders):
            grant = max(0.0, min(LEASE, self.orders[confirmed].written_at + LEASE - self._world.now))
        self._lease_until[edge] = max(self._lease_until[edge], self._world.now + grant)
        return grant

    def state_of(self, edge: str, order: Order) -> str:
        if self.confirmed[edge] >= order.number:
            return "applied"
        if self._fenced[edge] >= order.number:
            return "fenced"
        if self._world.now > self._lease_until[edge] + MARGIN:
            self._fenced[edge] = len(self.orders)
            return "fenced"
        return "pending"


class System:
    """Everything, and who makes use of it. `run` is its whole life."""

    def __init__(self, seed: int, mutant: Mutant | None = None) -> None:
        self.world = World(seed)
        self.mutant = mutant
        self.keys = {key.key: key for key in _keys()}
        upstream = {SHIELD: (), **dict.fromkeys(EDGES, (SHIELD,))}
        self.history = History(Setup(upstream, LEASE, MARGIN, seed))
        self.history.add(*self.keys.values())
        self.origin = Origin(self)
        self.shield = Node(self, SHIELD, None)
        self.edges = {name: Node(self, name, self.shield) for name in EDGES}
        self.hub = Hub(self)

    def run(self, seconds: float) -> History:
        """Readers, writers, purgers and faults for that long."""
        world = self.world
        for edge in self.edges.values():
            world.spawn(self._pings(edge))
            world.spawn(self._feed(edge))
        world.run(LEASE)  # everybody is connected and has a lease when the first request comes
        for edge in self.edges.values():
            world.spawn(self._clients(edge))
            world.spawn(self._evictions(edge))
            world.spawn(self._writing_below(edge))
        for _ in range(2):
            world.spawn(self._writer())
        world.spawn(self._faults(seconds))
        world.spawn(self._tallies())
        world.run(seconds)
        world.close()
        return self.history

    # --- between hub and edges ---

    async def _pings(self, edge: Node) -> None:
        while True:
            await self.world.sleep(LEASE / 5)
            life, pinged_at = edge.life, self.world.now
            try:
                await edge.step(life)
                pinged_at = self.world.now
                await self.world.lag(0.001, 0.01)
                if not self.shield.ready or not edge.ready:
                    continue
                grant = self.hub.grant(edge.name)
                edge.echo_due = True
                await self.world.lag(0.001, 0.02)
                edge.echo_due = False
                await edge.step(life)
            except Gone:
                continue
            if self.mutant is Mutant.LEASE_FROM_ARRIVAL:
                pinged_at = self.world.now
            edge.lease_until = max(edge.lease_until, pinged_at + grant)

    async def _feed(self, edge: Node) -> None:
        """Orders to one edge, dense, over one connection; a new one after each death."""
        hub = self.hub
        while True:
            life, hub_life = edge.life, self.shield.life
            try:
                if not (edge.up and self.shield.ready):
                    await self.world.sleep(0.01)
                    continue
                await self.world.lag(0.001, 0.01)
                await edge.step(life)
                if not edge.ready and self.mutant is Mutant.NO_CATCH_UP:
                    edge.catch_up_blindly(len(hub.orders))
                hub.confirmed[edge.name] = edge.number
                goal = len(hub.orders)
                edge.ready = edge.ready or edge.number >= goal
                while True:
                    if edge.number >= len(hub.orders):
                        await hub.news.wait()
                    await self.world.lag(0.001, 0.01)
                    await edge.step(life)
                    if self.shield.life != hub_life or not self.shield.ready:
                        break
                    for order in hub.orders[edge.number :]:
                        if not self._skips(edge):
                            edge.apply(order)
                        edge.number = order.number
                    edge.ready = edge.ready or edge.number >= goal
                    confirmed = edge.number
                    await self.world.lag(0.001, 0.01)
                    if self.shield.life == hub_life:
                        hub.confirmed[edge.name] = max(hub.confirmed[edge.name], confirmed)
                        hub.announce()
            except Gone:
                await self.world.sleep(0.01)

    def _skips(self, edge: Node) -> bool:
        return self.mutant is Mutant.SKIPPED_EDGE and edge.name == EDGES[-1]

    async def _evictions(self, edge: Node) -> None:
        """Room is short; any entry may leave at any time."""
        while True:
            await self.world.lag(0.0, 0.2)
            if edge.store:
                del edge.store[self.world.chance.choice(list(edge.store))]

    async def _writing_below(self, edge: Node) -> None:
        """Behind everybody's back, as soon as there is time."""
        while True:
            try:
                await edge.step(edge.life, 0.0, 0.6)
                edge.write_below()
            except Gone:
                await self.world.sleep(0.01)

    async def purge(self, covers: frozenset[str], soft: bool) -> tuple[PurgeState, dict[str, str]]:
        """What the hub does with a purge, and what it answers."""
        hub, shield = self.hub, self.shield
        life = shield.life
        if not shield.ready:
            return PurgeState.REFUSED, {}
        await shield.step(life)
        order = hub.write(covers, soft)
        if self.mutant is Mutant.ACK_BEFORE_APPLIED:
            self.world.spawn(self._later(order, life))
            return PurgeState.COMPLETE, dict.fromkeys((SHIELD, *EDGES), "applied")
        edges_first = self.mutant is Mutant.EDGES_FIRST
        if not edges_first:
            shield.apply(order)
        hub.announce()
        patience = self.world.now + 3 * LEASE
        while True:
            states = {edge: hub.state_of(edge, order) for edge in EDGES}
            if self.mutant is Mutant.ACK_WHILE_FROZEN:
                for edge in EDGES:
                    if self.edges[edge].frozen is not None:
                        states[edge] = "applied"
            if "pending" not in states.values() or self.world.now > patience:
                break
            await shield.step(life, 0.005, 0.01)
        if edges_first:
            await shield.step(life, 0.005, 0.03)
            shield.apply(order)
        states[SHIELD] = "applied"
        if "pending" in states.values():
            return PurgeState.ACCEPTED, states
        return PurgeState.PARTIAL if "fenced" in states.values() else PurgeState.COMPLETE, states

    async def _later(self, order: Order, life: int) -> None:
        with suppress(Gone):
            await self.shield.step(life, 0.01, 0.05)
            self.shield.apply(order)
            self.hub.announce()

    # --- those who use it ---

    async def _clients(self, edge: Node) -> None:
        """They come whether or not those before them were answered: before a frozen edge a queue grows."""
        chance = self.world.chance
        while True:
            await self.world.lag(0.0, 0.012)
            key = chance.choice(list(self.keys.values()))
            self.world.spawn(self._read(edge, key, chance.choice(key.variants)))

    async def _read(self, edge: Node, key: Key, variant: str) -> None:
        began_at = self.world.now
        await self.world.lag(0.0005, 0.003)
        got: Copy | None = None
        status: int | None = 502
        try:
            got = await edge.answer(key, variant)
        except Gone:
            status = None
        await self.world.lag(0.0005, 0.003)
        if got is None:
            self.history.add(Read(key.key, variant, edge.name, began_at, self.world.now, status, None, True, 0, ""))
            return
        of = got.body
        size = self.keys[of.key].size
        digest = digest_of_body(of.key, of.variant, of.version, size) if of.length == size else "broken"
        self.history.add(
            Read(
                key.key, variant, edge.name, began_at, self.world.now, 200, got.version, got.whole,
                of.length, digest, ", ".join(got.words),
            )
        )  # fmt: skip

    async def _writer(self) -> None:
        chance, versions = self.world.chance, self.origin.versions
        while True:
            await self.world.lag(0.0, 0.15)
            key = chance.choice(list(self.keys.values()))
            if chance.random() < 0.85:
                sent_at = self.world.now
                await self.world.lag(0.0005, 0.003)
                versions[key.key] += 1
                version = versions[key.key]
                await self.world.lag(0.0005, 0.003)
                self.history.add(Write(key.key, version, sent_at, self.world.now))
            if chance.random() < 0.7:
                await self._purge(key)

    async def _purge(self, key: Key) -> None:
        chance = self.world.chance
        soft = chance.random() < 0.15
        by_tag = chance.random() < 0.4
        tags = key.tags[:1] if by_tag else ()
        asked = Purge(0, EDGES[0], 0, 0, PurgeState.UNANSWERED, tags=tags, keys=() if by_tag else (key.key,), soft=soft)
        covers = frozenset(name for name, each in self.keys.items() if asked.names(each))
        sent_at = self.world.now
        await self.world.lag(0.001, 0.01)
        try:
            state, nodes = await self.purge(covers, soft)
        except Gone:
            state, nodes = PurgeState.UNANSWERED, {}
        await self.world.lag(0.001, 0.01)
        # Who has just been told that it is gone looks whether it is.
        looked_at = self.keys[chance.choice(sorted(covers))]
        for edge in self.edges.values():
            self.world.spawn(self._read(edge, looked_at, chance.choice(looked_at.variants)))
        number = len(self.history.purges) + 1
        self.history.add(
            Purge(
                number,
                EDGES[0],
                sent_at,
                self.world.now,
                state,
                nodes,
                keys=asked.keys,
                tags=asked.tags,
                soft=soft,
            )
        )

    # --- those who disturb it ---

    async def _faults(self, seconds: float) -> None:
        chance = self.world.chance
        kinds = (self._freeze, self._freeze, self._kill, self._kill, self._kill_shield, self._break_off)
        await self.world.sleep(seconds / 5)  # a quiet stretch first, and room to recover at the end
        while self.world.now < seconds - 3.0:
            await self.world.lag(0.0, 0.5)
            await chance.choice(kinds)(chance.choice(list(self.edges.values())))
            await self.world.lag(0.0, 0.5)

    async def _freeze(self, edge: Node) -> None:
        if self.world.chance.random() < 0.5:  # with a word of the hub in its buffer
            while not edge.echo_due and self.shield.up:
                await self.world.sleep(0.001)
        thaw = edge.frozen = Signal(self.world)
        struck_at = self.world.now
        # Mostly shorter than a lease, or a little longer: that is where the mistakes are.
        await self.world.lag(0.1, 3.0 * LEASE)
        ended_at = self.world.now
        edge.frozen = None
        thaw.give()
        self._fault(FaultKind.FREEZE, edge.name, struck_at, ended_at)

    async def _kill(self, edge: Node) -> None:
        struck_at = self.world.now
        edge.die(keeps_store=self.world.chance.random() < 0.6)
        await self.world.lag(0.05, 1.0)
        ended_at = self.world.now
        edge.up = True
        while not edge.ready:
            await self.world.sleep(0.01)
        self._fault(FaultKind.KILL, edge.name, struck_at, ended_at)

    async def _kill_shield(self, _: Node) -> None:
        struck_at = self.world.now
        self.shield.die(keeps_store=False)
        await self.world.lag(0.05, 1.5 * LEASE)
        ended_at = self.world.now
        self.shield.number = len(self.hub.orders)
        self.shield.up = self.shield.ready = True
        self.hub.restarted()
        self.hub.announce()
        self._fault(FaultKind.KILL, SHIELD, struck_at, ended_at)

    async def _break_off(self, _: Node) -> None:
        keys = self.world.chance.sample(list(self.keys), 4)
        struck_at = self.world.now
        self.origin.breaking.update(keys)
        await self.world.lag(0.2, 0.6)
        self.origin.breaking.clear()
        ended_at = self.world.now
        await self.world.sleep(0.2)  # what broke off before may still be on its way
        for key in keys:
            self.history.add(Fault(FaultKind.TRUNCATE, ORIGIN, struck_at, struck_at, ended_at, self.world.now, key))

    def _fault(self, kind: FaultKind, node: str, struck_at: float, ended_at: float) -> None:
        self.history.add(Fault(kind, node, struck_at, struck_at, ended_at, self.world.now))

    async def _tallies(self) -> None:
        while True:
            began_at = self.world.now
            self.origin.begin_tally()
            await self.world.sleep(0.5)
            for key, most in self.origin.most.items():
                self.history.add(Load(key, most, began_at, self.world.now))


def _keys() -> Iterator[Key]:
    """Some that only a purge makes new, some that run out soon; with variants and without; of few sizes, so that
    swapped bodies are not told apart by their lengths."""
    for number in range(8):
        long_lived = number % 2 == 0
        yield Key(
            f"/k/{number}",
            size=2000 if number < 6 else 900,
            max_age=60.0 if long_lived else 0.2,
            swr=0.0 if long_lived else 0.2,
            tags=(f"t{number // 2}",),
            variants=("de", "en", "fr") if number % 4 < 2 else ("",),
        )
