"""Which server to ask for a bucket: the only one, the master that Sentinels name, or the one that has its slot.

Knows no script and no time limit of an operation. What is known is used until it turns out wrong; then it is found
out again in the background, once for all who ask, with a pause between attempts. A wrong answer is harmless: a
server that is no master any more refuses to write, and what it lets us read carries the stamp it had.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from redis.crc import key_slot

from seawall.store.redisserver import Command, RedisServer, Reply, Unreached
from seawall.store.redisurl import Address, Kind, Place

# Between two attempts to find out. A failover takes seconds; asking more often does not make it shorter.
FIND_PAUSE_SECONDS = 0.25
FIND_SECONDS = 2.0


class RedisRoute(ABC):
    """Owner of the servers, and of the task that finds out about them."""

    def __init__(self, place: Place, first: Sequence[Command]) -> None:
        self._place = place
        self._first = first
        self._servers: dict[Address, RedisServer] = {}
        self._finding: asyncio.Task[None] | None = None
        self._found_at = float("-inf")
        self._closed = False

    async def server(self, tag: str) -> RedisServer:
        """Whom to ask for the keys with this hash tag. Raises Unreached; the caller bounds the time."""
        address = self._address(tag)
        if address is None:
            self._find()
            if self._finding is not None:
                await asyncio.wait({self._finding})  # and whatever ends it, it is not ours to be cancelled by
            address = self._address(tag)
        if address is None:
            raise Unreached(f"{self} does not say which server to ask")
        return self.at(address)

    def at(self, address: Address) -> RedisServer:
        """The server at this address, where a redirection points."""
        if self._closed:
            raise Unreached("closed")
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = RedisServer(address, self._place, self._first)
        return server

    def moved(self, tag: str, address: Address) -> None:
        """A server said that another one has it."""
        self._find()

    def doubt(self) -> None:
        """A server did not answer, or not as a master does."""
        self._find()

    async def close(self) -> None:
        """Ends every connection."""
        self._closed = True
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        for server in self._servers.values():
            await server.close()
        self._servers.clear()

    @abstractmethod
    def _address(self, tag: str) -> Address | None:
        """Where it is as far as is known."""

    @abstractmethod
    async def _ask_around(self) -> None:
        """Finds out. What fails leaves everything as it was."""

    def _find(self) -> None:
        loop = asyncio.get_running_loop()
        if self._closed or self._finding is not None or loop.time() < self._found_at + FIND_PAUSE_SECONDS:
            return
        self._finding = loop.create_task(self._find_out(), name=f"redis-route-{self}")

    async def _find_out(self) -> None:
        try:
            async with asyncio.timeout(FIND_SECONDS):
                await self._ask_around()
        except (TimeoutError, ValueError, Unreached):
            pass  # what was known stays; whoever knows nothing gets Unreached
        finally:
            self._finding = None
            self._found_at = asyncio.get_running_loop().time()

    async def _keep(self, addresses: set[Address]) -> None:
        """Servers that have left are let go."""
        for address in set(self._servers) - addresses:
            await self._servers.pop(address).close()

    def __str__(self) -> str:
        return ",".join(map(str, self._place.addresses))


class OneServer(RedisRoute):
    """The address that was given; there is nothing to find out."""

    def _address(self, tag: str) -> Address | None:
        return self._place.addresses[0]

    def _find(self) -> None:
        return

    async def _ask_around(self) -> None:
        return


class SentinelRoute(RedisRoute):
    """The master of a service, as the first Sentinel says that knows it."""

    def __init__(self, place: Place, first: Sequence[Command]) -> None:
        super().__init__(place, first)
        self._master: Address | None = None
        # Most Sentinels have no password, and refuse whoever comes with one.
        nobody = replace(place, user=None, password=None)
        self._sentinels = [
            RedisServer(address, who, db=0)
            for address in place.addresses
            for who in ((nobody, place) if place.password else (nobody,))
        ]

    def _address(self, tag: str) -> Address | None:
        return self._master

    async def _ask_around(self) -> None:
        for sentinel in self._sentinels:
            try:
                # Each may hang; together they have FIND_SECONDS.
                async with asyncio.timeout(FIND_SECONDS / len(self._sentinels)):
                    [reply] = await sentinel.ask([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._place.service)])
            except (Unreached, TimeoutError):
                continue
            match reply:
                case [bytes() as host, bytes() as port]:
                    self._master = Address(host.decode(), int(port))
                    await self._keep({self._master})
                    return
                case _:
                    continue

    async def close(self) -> None:
        await super().close()
        for sentinel in self._sentinels:
            await sentinel.close()


class ClusterRoute(RedisRoute):
    """The master of the slot that a hash tag falls into."""

    def __init__(self, place: Place, first: Sequence[Command]) -> None:
        super().__init__(place, first)
        self._slots: list[tuple[int, int, Address]] = []
        self._of_tag: dict[str, Address] = {}  # of those asked for so far: 64 buckets and no more

    def _address(self, tag: str) -> Address | None:
        address = self._of_tag.get(tag)
        if address is None:
            slot = key_slot(f"{{{tag}}}".encode())
            address = next((at for low, high, at in self._slots if low <= slot <= high), None)
            if address is not None:
                self._of_tag[tag] = address
        return address

    def moved(self, tag: str, address: Address) -> None:
        self._of_tag[tag] = address
        self._find()

    async def _ask_around(self) -> None:
        known = {*self._servers, *self._place.addresses}
        for address in sorted(known, key=str):
            try:
                async with asyncio.timeout(FIND_SECONDS / len(known)):
                    [reply] = await self.at(address).ask([("CLUSTER", "SLOTS")])
            except (Unreached, TimeoutError):
                continue
            if slots := _slots(reply, address):
                self._slots = slots
                self._of_tag = {}
                await self._keep({at for _, _, at in slots})
                return


def _slots(reply: Reply, asked: Address) -> list[tuple[int, int, Address]]:
    """First slot, last slot and master of each range; nothing where the reply is not of that form."""
    found: list[tuple[int, int, Address]] = []
    for one in reply if isinstance(reply, list) else ():
        match one:
            case [int() as low, int() as high, [host, int() as port, *_], *_]:
                # An empty host is the one that was asked.
                name = host.decode() if isinstance(host, bytes) and host else asked.host
                found.append((low, high, Address(name, port)))
            case _:
                return []
    return found


def route_to(place: Place, first: Sequence[Command]) -> RedisRoute:
    """The way to a place; `first` is what each new connection to a server with data begins with."""
    match place.kind:
        case Kind.SERVER:
            return OneServer(place, first)
        case Kind.SENTINEL:
            return SentinelRoute(place, first)
        case Kind.CLUSTER:
            return ClusterRoute(place, first)
