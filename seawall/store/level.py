"""The level contract: what disk and Redis have in common, below the memory level of each process.

Asynchronous, off the event loop, and allowed to fail: a level that breaks is a miss and a counter. What keeps that
safe is the *stamp*: each level knows up to which purge order it has forgotten what it was told to forget, in the
same transaction as the forgetting, and tells it with whatever it finds. A reader that has applied more orders than
that compares them with what was found (Applied.overtakes); so a level that is slow, was down or comes back from a
backup can serve nothing that was purged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from seawall.store.stored import Filed, Stored


class LevelDown(Exception):
    """The level could not be asked, or did not answer in time. Says why; the caller goes on without it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Every order up to `number` of this journal was carried out. `generation` rises whenever orders were lost.

    A generation is one directory's or one process's own count: levels that several nodes share leave it alone.
    """

    journal: str = ""
    number: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Names:
    """Which objects an operation is about: each one that any of these selects.

    `urls` as they are keyed: the key itself and every key that begins with it and a line feed. `prefixes` are what
    a URL begins with, scheme included; a host is the prefix `scheme://authority/`. `exact` are Stored.names.
    """

    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    all: bool = False

    def selects(self, name: str, key: str, tags: Iterable[str]) -> bool:
        """Does one of them select the object of this name?"""
        if self.all or name in self.exact or (self.tags and not frozenset(self.tags).isdisjoint(tags)):
            return True
        url = key.partition("\n")[0]
        return url in self.urls or url.startswith(self.prefixes)


class How(Enum):
    """What becomes of what is selected. A level may always drop instead: that costs a hit and is never wrong."""

    DROP = "drop"
    STALE = "stale"  # policy.invalidate.stale_from(entry, at)
    INVALIDATE = "invalidate"  # policy.invalidate.invalidated(entry)
    COUNT = "count"  # nothing: only what is selected is told (Wrote.met)


@dataclass(frozen=True, slots=True)
class Put:
    """Keep this, in place of what it supersedes. `stamp`: the orders that it has survived.

    Where the level holds the same body under this name already, only the head changes. Refused (Wrote.refused) where
    the level has carried out orders that the stamp does not know of: one of them may be about this object.
    """

    item: Stored
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget these. `after`: the stamp that holds once this is done, where an order asks for it; None: local news.

    An order that the level has carried out already (its stamp is as far) does nothing.
    """

    names: Names
    how: How
    at: float  # seconds since the epoch
    after: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Orders were lost: nothing that the level holds may be served without asking. `stamp` holds afterwards."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Used:
    """These were served, from here or from the level above: the last to leave when room is needed."""

    names: tuple[str, ...]


Op = Put | Forget | Reset | Used


@dataclass(frozen=True, slots=True)
class Wrote:
    """What became of one operation.

    `refused`: why a Put was not kept, in one word for a label (too-large, overtaken, full). `met`: the names that a
    Forget selected, and the octets of their bodies.
    """

    refused: str | None = None
    met: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a level holds under a key, and the orders that it has survived there.

    Instants are those of the entry when it was put, shortened where the level was told so since (How).
    """

    items: tuple[Stored, ...]
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class LevelUsage:
    """What a level holds at this moment, and what it has counted since this process opened it."""

    bytes: int
    entries: int
    evicted: int = 0
    damaged: int = 0  # objects whose checksum did not agree, or that could not be read: misses
    failures: int = 0  # operations that ended as LevelDown


class Spool(Protocol):
    """A body on its way into a level, readable while it grows. One writer, many readers. Never in the way of a client:
    a level that breaks raises LevelDown here, and the caller goes on without it."""

    @property
    def written(self) -> int:
        """The octets that can be read back by now."""
        ...

    async def write(self, piece: bytes) -> None:
        """Takes a piece in; returns when it may take the next. Raises LevelDown."""
        ...

    async def read(self, at: int, most: int) -> bytes:
        """Up to `most` octets from position `at` on, which is below `written`. Raises LevelDown."""
        ...

    async def finish(self) -> Filed:
        """The body is whole. What is returned is the body of a Stored, and is kept by a Put of that. LevelDown."""
        ...

    def abort(self) -> None:
        """It will not be kept. Idempotent; readers may go on with what was written until they close."""
        ...


class Level(Protocol):
    """A level below memory. Owned by the process that opened it; one event loop. Every wait in it is bounded."""

    @property
    def tier(self) -> str:
        """The word for metrics and logs: disk, redis."""
        ...

    @property
    def shared(self) -> bool:
        """Do other nodes write to it, so that what it holds may be newer than what this process has seen?"""
        ...

    async def read(self, key: str) -> Found:
        """All variants and parts under the key. Damaged ones are left out, dropped and counted. Raises LevelDown."""
        ...

    async def write(self, ops: Sequence[Op]) -> list[Wrote]:
        """Does these in their order, all or none where the level can. Raises LevelDown: some may have been done, and
        each may be done again."""
        ...

    def spool(self) -> Spool | None:
        """A way in for a body too large for memory. None where the level takes none, or is down."""
        ...

    def usage(self) -> LevelUsage: ...

    async def close(self) -> None:
        """Lets it go. What was written stays."""
        ...


# Which of these names are still worth keeping although they are the oldest of a level: memory serves them.
Alive = Callable[[Sequence[str]], Sequence[str]]
