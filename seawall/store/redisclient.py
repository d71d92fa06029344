"""Asking Redis, in bounded time: each round trip has 50 ms, and one that is down is not waited for.

Knows no layout: a call is a command with the hash tag of its keys. Whatever goes wrong is LevelDown, redirections and
forgotten scripts apart, which are followed. Calls for one tag are carried out in their order; each may be carried out
twice, so all of them are such that it makes no difference.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)

from seawall.store.level import LevelDown
from seawall.store.redisroute import RedisRoute, route_to
from seawall.store.redisserver import Command, RedisServer, Reply, Unreached
from seawall.store.redisurl import Address, parse_redis_url

# HAZARDS F11: a level that takes longer than that costs more than the fetch it saves.
OPERATION_SECONDS = 0.05
# First try, then after a redirection, then after another one or once the scripts are there again.
ROUNDS = 3


class Script:
    """A Lua script, sent once and then named by its digest."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, tag: str, keys: Sequence[bytes], *args: bytes | str | int) -> Call:
        """Runs it over these keys, which all carry the tag."""
        return Call(tag, ("EVALSHA", self.sha, len(keys), *keys, *args))


@dataclass(frozen=True, slots=True)
class Call:
    """One command, and the hash tag of its keys: what stands in braces."""

    tag: str
    command: Command


class RedisClient:
    """Owner of the way there. Nothing is connected before the first call. `seconds`: what one round trip may take."""

    def __init__(self, url: str, scripts: Sequence[Script] = (), *, seconds: float = OPERATION_SECONDS) -> None:
        """Raises ValueError with what is wrong with the URL."""
        place = parse_redis_url(url)
        self.seconds = seconds
        self._loads: list[Command] = [("SCRIPT", "LOAD", script.text) for script in scripts]
        self._route: RedisRoute = route_to(place, self._loads)

    async def run(self, calls: Sequence[Call]) -> list[Reply]:
        """What each was answered, in one round trip to each server concerned. Raises LevelDown, then some may have
        been done."""
        deadline = asyncio.get_running_loop().time() + self.seconds
        trip = _Trip(calls)
        for _ in range(ROUNDS):
            groups = await self._groups(trip, deadline)
            # Every server gets its part, also where another one is down: a purge does not wait for that.
            asked = [self._ask(trip, server, places, deadline) for server, places in groups]
            await (asked[0] if len(asked) == 1 else asyncio.gather(*asked))
            if not trip.left:
                break
        if trip.wrong is not None:
            raise LevelDown(trip.wrong)
        if trip.left:
            raise LevelDown("redis: sent from server to server")
        return trip.replies

    async def close(self) -> None:
        """Ends every connection."""
        await self._route.close()

    async def _groups(self, trip: _Trip, deadline: float) -> list[tuple[RedisServer, list[int]]]:
        """Who is to be asked what, in order."""
        groups: dict[RedisServer, list[int]] = {}
        for place in trip.left:
            call = trip.calls[place]
            try:
                if place in trip.asking:
                    server = self._route.at(trip.asking[place])
                else:
                    async with asyncio.timeout_at(deadline):
                        server = await self._route.server(call.tag)
            except (Unreached, TimeoutError) as error:
                trip.wrong = f"redis: {error}" if str(error) else f"redis: {self._route} did not answer in time"
                continue
            groups.setdefault(server, []).append(place)
        trip.left = []
        return list(groups.items())

    async def _ask(self, trip: _Trip, server: RedisServer, places: list[int], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        breaker = server.breaker
        if not breaker.may_ask(loop.time()):
            trip.wrong = f"redis: {server.address} did not answer a moment ago"
            self._route.doubt()
            return
        before = self._loads if trip.forgotten else []
        commands, at = _spread(trip, places, before)
        try:
            async with asyncio.timeout_at(deadline):
                replies = await server.ask(commands)
        except TimeoutError:
            breaker.failed(loop.time(), timeout=True)
            trip.wrong = f"redis: {server.address} did not answer in {self.seconds * 1000:.0f} ms"
            self._route.doubt()
        except Unreached as error:
            breaker.failed(loop.time(), timeout=False)
            trip.wrong = f"redis: {server.address}: {error}"
            self._route.doubt()
        except BaseException:
            breaker.undecided()
            raise
        else:
            breaker.answered()
            self._sort(trip, server, places, [replies[index] for index in at])

    def _sort(self, trip: _Trip, server: RedisServer, places: list[int], replies: list[Reply]) -> None:
        """Takes answers over; from the first one on that was not carried out, the rest is asked again, in order."""
        for done, (place, reply) in enumerate(zip(places, replies, strict=True)):
            match reply:
                case MovedError():
                    self._route.moved(trip.calls[place].tag, _pointed(reply, server))
                case AskError():
                    trip.asking[place] = _pointed(reply, server)
                case NoScriptError():
                    trip.forgotten = True
                case ResponseError():
                    trip.wrong = f"redis: {server.address}: {reply}"
                    if isinstance(reply, ReadOnlyError | ClusterDownError | MasterDownError):
                        self._route.doubt()
                    continue
                case _:
                    trip.replies[place] = reply
                    continue
            trip.left += places[done:]
            return


class _Trip:
    """What one run has still to ask and what it was told."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.replies: list[Reply] = [None] * len(calls)
        self.left = list(range(len(calls)))
        self.asking: dict[int, Address] = {}
        self.forgotten = False  # a server did not know a script
        self.wrong: str | None = None


def _spread(trip: _Trip, places: list[int], before: Sequence[Command]) -> tuple[list[Command], list[int]]:
    """The commands to send, and at which of them the answers to these calls stand."""
    commands = list(before)
    at: list[int] = []
    for place in places:
        if trip.asking.pop(place, None) is not None:
            commands.append(("ASKING",))
        at.append(len(commands))
        commands.append(trip.calls[place].command)
    return commands, at


def _pointed(error: AskError, server: RedisServer) -> Address:
    """Where a redirection points; without a host, to another port of the same."""
    return Address(error.host or server.address.host, error.port)
