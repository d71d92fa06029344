"""A hub and nodes that follow it, in one process and over real sockets; what they store is a shelf of names."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from seawall.admin.app import create_app
from seawall.admin.port import AdminPort, open_port
from seawall.admin.tokens import Tokens, nodes_token
from seawall.admin.view import Readiness, Ready
from seawall.purge.answered import Answered
from seawall.purge.applied import Applied
from seawall.purge.asked import Asked, Wait
from seawall.purge.hubservice import HubService
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.memberservice import MemberService
from seawall.purge.order import Match
from seawall.purge.selection import Selection
from seawall.purge.service import PurgeService, open_hub, open_member
from seawall.telemetry.metrics import JSON
from tests.purge.relay import Relay

LEASE = 0.5
SECRET = "the-secret-of-all-nodes"
ADMIN = "the-token-of-an-operator"
READER = "the-token-of-a-dashboard"
RANKS = {"shield-2": 1, "edge-ams": 2, "edge-nyc": 2}

_turn = itertools.count(1)


@dataclass(frozen=True)
class Met:
    matched: int
    octets: int


class Shelf:
    """What a node stores: URLs with tags, ten octets each. Keeps a diary of what was done to it."""

    def __init__(self, lease: Lease | None = None) -> None:
        self.held: dict[str, tuple[str, ...]] = {}
        self.distrusted = 0
        self.diary: list[tuple[int, Selection]] = []  # when, counted over all nodes, and what
        self.trusted_while_applying: list[bool] = []
        self.broken = False  # fails to forget
        self.stuck = False  # and to distrust
        self._lease = lease

    def fill(self) -> None:
        self.held |= {"http://a.example/1": ("t", "one"), "http://a.example/2": ("t",), "http://b.example/": ()}

    def count(self, what: Selection) -> Met:
        match = Match(what)
        found = sum(match(url, tags) for url, tags in self.held.items())
        return Met(found, 10 * found)

    def apply(self, what: Selection, *, soft: bool, number: int | None = None) -> Met:
        self.diary.append((next(_turn), what))
        if self._lease is not None:
            self.trusted_while_applying.append(self._lease.held(lease_clock()))
        if self.broken:
            raise RuntimeError("the shelf fell down")
        met, match = self.count(what), Match(what)
        self.held = {url: tags for url, tags in self.held.items() if not match(url, tags)}
        return met

    def distrust_all(self) -> Met:
        if self.stuck:
            raise RuntimeError("the shelf is stuck")
        self.distrusted += 1
        found = len(self.held)
        self.held.clear()
        return Met(found, 10 * found)


class View:
    """As the admin port sees the node; ready as far as it knows itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.role = "any"

    def ready(self) -> Readiness:
        return Ready()

    def stats(self) -> dict[str, JSON]:
        return {}

    def scrape(self, accept: str) -> tuple[str, bytes]:
        return "text/plain", b""


TOKENS = Tokens([("operator", ADMIN, ["purge", "read"]), ("dashboard", READER, ["read"]), nodes_token(SECRET)])


async def admin_port(service: PurgeService, name: str) -> AdminPort:
    return await open_port(create_app(View(name), TOKENS, version="0", purge=service), "127.0.0.1", 0)


class Member:
    """A node that follows the hub, behind a piece of network of its own."""

    def __init__(self, name: str, relay: Relay) -> None:
        self.name = name
        self.relay = relay
        self.lease = Lease(LEASE)
        self.applied = Applied()
        self.shelf = Shelf(self.lease)
        self.service: MemberService | None = None

    async def open(self, secret: str = SECRET, *, sole: bool = False) -> MemberService:
        self.service = await open_member(
            self.relay.url,
            secret,
            node=self.name,
            applied=self.applied,
            lease=self.lease,
            forgetter=self.shelf,
            sole=sole,
        )
        return self.service

    @property
    def trusts(self) -> bool:
        """May it serve what it stores without asking?"""
        return self.lease.held(lease_clock())

    async def close(self) -> None:
        if self.service is not None:
            await self.service.close()


class House:
    """The topology. The hub is called shield-1."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shelf = Shelf()
        self.applied = Applied()
        self.hub: HubService | None = None
        self.port: AdminPort | None = None
        self.members: dict[str, Member] = {}
        self._relays: list[Relay] = []

    async def open_hub(self, *, ranks: dict[str, int] | None = None, max_orders: int = 1000) -> HubService:
        self.applied = Applied()
        self.hub = await open_hub(
            self.directory,
            node="shield-1",
            ranks=RANKS if ranks is None else ranks,
            applied=self.applied,
            forgetter=self.shelf,
            lease_seconds=LEASE,
            about={"edge-ams": {"role": "edge", "region": "eu"}},
            max_orders=max_orders,
            reserve_bytes=0,
        )
        self.port = await admin_port(self.hub, "shield-1")
        for relay in self._relays:
            relay.to = self.port.port
        return self.hub

    async def close_hub(self) -> None:
        for relay in self._relays:
            relay.to = None
        if self.hub is not None and self.port is not None:
            await self.hub.close()
            await self.port.close()
        self.hub = self.port = None

    async def open_member(self, name: str) -> Member:
        """Connects, and begins to follow."""
        member = await self.new_member(name)
        await member.open(sole=True)
        return member

    async def new_member(self, name: str) -> Member:
        relay = Relay()
        await relay.open()
        relay.to = None if self.port is None else self.port.port
        self._relays.append(relay)
        member = self.members[name] = Member(name, relay)
        return member

    async def open_all(self) -> HubService:
        """Everybody is there, has caught up, holds a lease and stores the same three objects."""
        hub = await self.open_hub()
        self.shelf.fill()
        for name in RANKS:
            (await self.open_member(name)).shelf.fill()
        await until(lambda: all(member.trusts for member in self.members.values()))
        for member in self.members.values():
            member.shelf.fill()  # a node that is new to its hub begins by distrusting what it has
        return hub

    async def close(self) -> None:
        for member in self.members.values():
            await member.close()
        await self.close_hub()
        for relay in self._relays:
            await relay.close()


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    built = House(directory)
    try:
        yield built
    finally:
        await built.close()


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
    """Waits for something that nobody can announce, at the most this long."""
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.005)


def tag(name: str, *, timeout: float = 5.0, wait: Wait = Wait.ALL, dry_run: bool = False) -> Asked:
    return Asked(Selection(tags=(name,)), wait=wait, timeout=timeout, dry_run=dry_run)


def states(answered: Answered) -> dict[str, str]:
    """State by node."""
    nodes = answered.document["nodes"]
    assert isinstance(nodes, list)
    return {each["node"]: each["state"] for each in nodes}


def matched(answered: Answered) -> dict[str, int | None]:
    """Count by node."""
    nodes = answered.document["nodes"]
    assert isinstance(nodes, list)
    return {each["node"]: each["matched"] for each in nodes}
