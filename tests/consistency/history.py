"""What happened in a run, as seen from outside, on one monotonic clock: the only thing that the checker is told.

Knows no network and no rules. An operation is an interval: `sent_at`/`began_at` is before the first byte left the
recorder, `acked_at`/`ended_at` is after the last one came back, so whatever the system did for it lies between.
Instants are seconds of one clock for the whole run (CLOCK_MONOTONIC is the same for all processes of a machine).
On disk it is one JSON object a line, in the order in which the operations ended; the setup comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import TextIO

import msgspec

from origin_stub.body import body_bytes, body_key

ORIGIN = "origin"  # the name under which faults speak of it
SHARED = "redis"  # likewise of the level that nodes share, where they have one
SELECTING = "accept-language"  # the request field that selects a variant


class _Record(msgspec.Struct, frozen=True, tag_field="op", omit_defaults=True, forbid_unknown_fields=True):
    pass


class Setup(_Record, frozen=True, tag="setup"):
    """The topology. `upstream` names, for each node, every node between it and the origin (without the origin).

    `lease` is in seconds; `margin` is what may be added to it before it counts as run out. `levels`: where they keep
    what they store, in the run's own words. `shared`: they share a level below their memory.
    """

    upstream: dict[str, tuple[str, ...]]
    lease: float
    margin: float
    seed: int = 0
    levels: str = "memory"
    shared: bool = False

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(self.upstream)


class Key(_Record, frozen=True, tag="key"):
    """One resource: the size of its bodies in bytes, its variants, its tags, and for how long it may be reused.

    `max_age` is seconds of freshness and `swr` seconds beyond it in which it may be served stale. It exists in
    version 1 from the start.
    """

    key: str
    size: int
    max_age: float
    swr: float = 0.0
    tags: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("",)


class Write(_Record, frozen=True, tag="W"):
    """The origin's content of a key changed to `version`, at some instant of the interval.

    `acked_at` None: it may or may not have happened.
    """

    key: str
    version: int
    sent_at: float
    acked_at: float | None


class PurgeState(StrEnum):
    """What the system answered; the words of its receipts, and two for when there was none."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    ACCEPTED = "accepted"
    REFUSED = "refused"  # an error, said aloud
    UNANSWERED = "unanswered"


class Purge(_Record, frozen=True, tag="P"):
    """A purge and one answer to it. A receipt that was asked for again later is another one with the same `sent_at`.

    `nodes` is the state that the receipt gave each node. `via` is the node that was asked. `waited` is whether the
    caller asked to wait until all nodes are settled.
    """

    id: int
    via: str
    sent_at: float
    acked_at: float
    state: PurgeState
    nodes: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False
    waited: bool = True
    why: str = ""

    def names(self, key: Key) -> bool:
        """Does it concern this resource? Exact matching."""
        return (
            self.everything
            or key.key in self.keys
            or not set(self.tags).isdisjoint(key.tags)
            or any(key.key.startswith(prefix) for prefix in self.prefixes)
        )


class Read(_Record, frozen=True, tag="R"):
    """One request of a client and what it got.

    `status` None: no head came. `whole`: the framing said that the body had ended, so the client took it for
    complete. `version` is what the head claims; `digest` is of the octets that came (see `digest_of`).

    `seat`: at a node of several processes, reads with the same one came over one connection, so one process answered
    them all. Empty where the node is one process.
    """

    key: str
    variant: str
    node: str
    began_at: float
    ended_at: float
    status: int | None
    version: int | None
    whole: bool
    length: int
    digest: str
    x_cache: str = ""
    why: str = ""
    seat: str = ""

    @property
    def hit(self) -> bool:
        """Did the node nearest to the client call it fresh and from its own store?"""
        return self.x_cache.rpartition(",")[2].strip() == "HIT"

    @property
    def said_stale(self) -> bool:
        """Did the answer say that it was stale? One word a tier, the nearest to the client last.

        HIT says "fresh" whatever was said of it when it was stored; MISS and PASS hand on what the parent said.
        """
        words = [word.strip() for word in self.x_cache.split(",")]
        return words[-1] == "STALE" or (words[-1] in ("MISS", "PASS") and "STALE" in words)


class FaultKind(StrEnum):
    """What was done to the system."""

    FREEZE = "freeze"  # SIGSTOP to SIGCONT; of one process where the node has several
    KILL = "kill"  # SIGKILL to the start of the next process
    CUT = "cut"  # nothing passes between the node and its hub; its clients and its parent's data port reach it
    TRUNCATE = "truncate"  # the origin breaks off the bodies of `key`
    FLUSH = "flush"  # the shared level was emptied
    RESTORE = "restore"  # the shared level was killed, and came back with what it held a while before


class Fault(_Record, frozen=True, tag="F"):
    """Something was wrong at `node` (which can be ORIGIN or SHARED): certainly from `began_at` to `ended_at`, and at no
    time before `struck_at` or after `recovered_at`.

    FREEZE and KILL: the process did nothing in between, so `began_at` is after it was seen to have stopped and
    `ended_at` before it could go on. CUT: no order reached it in between. `recovered_at` is when it was seen to serve
    again.
    """

    kind: FaultKind
    node: str
    struck_at: float
    began_at: float
    ended_at: float
    recovered_at: float
    key: str | None = None


class Load(_Record, frozen=True, tag="L"):
    """The most fetches of a key that the origin had in flight at the same time, over an interval."""

    key: str
    most: int
    began_at: float
    ended_at: float


Operation = Write | Purge | Read | Fault | Load
Line = Setup | Key | Operation

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


@dataclass
class History:
    """A whole run. Built by one recorder, then only read."""

    setup: Setup
    keys: dict[str, Key] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    purges: list[Purge] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def add(self, *lines: Key | Operation) -> None:
        """Takes each where it belongs."""
        for line in lines:
            match line:
                case Read():
                    self.reads.append(line)
                case Write():
                    self.writes.append(line)
                case Purge():
                    self.purges.append(line)
                case Fault():
                    self.faults.append(line)
                case Load():
                    self.loads.append(line)
                case Key():
                    self.keys[line.key] = line


class Recorder:
    """A history that is also written to a file, line by line. Use it as a context."""

    def __init__(self, setup: Setup, file: Path | None = None) -> None:
        self.history = History(setup)
        self._file: TextIO | None = None if file is None else file.open("w", encoding="utf-8")
        self._write(setup)

    def add(self, *lines: Key | Operation) -> None:
        self.history.add(*lines)
        for line in lines:
            self._write(line)

    def _write(self, line: Line) -> None:
        if self._file is not None:
            self._file.write(_encoder.encode(line).decode() + "\n")

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def encode(line: Line) -> str:
    """One line of the file, without its end."""
    return _encoder.encode(line).decode()


def read_history(lines: Iterable[str]) -> History:
    """The history that these lines hold. Raises msgspec.DecodeError, or ValueError where the setup is not first."""
    decoded = (_decoder.decode(line) for line in lines)
    setup = next(decoded, None)
    if not isinstance(setup, Setup):
        raise ValueError("a history begins with its setup")
    history = History(setup)
    for line in decoded:
        if isinstance(line, Setup):
            raise ValueError("a history has one setup")
        history.add(line)
    return history


def digest_of(octets: bytes) -> str:
    """What stands for a body in a history."""
    return blake2b(octets, digest_size=12).hexdigest()


@lru_cache(maxsize=1 << 17)
def digest_of_body(key: str, variant: str, version: int, size: int) -> str:
    """The digest of the body that origin_stub makes of these; what tells its variants apart is SELECTING."""
    selecting = f"{SELECTING}={variant}" if variant else ""
    return digest_of(body_bytes(body_key(key, selecting), version, size))
