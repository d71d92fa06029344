"""Was every promise kept? A pure function from a recorded history to its violations, each with the few operations
that show it.

Sound: it flags nothing that a correct system may do. So each promise is put as weakly as intervals force it (an
operation takes effect somewhere between its two instants) and no weaker.

Words. W(v) is the write that made version v of a key; v stands at the origin certainly from W(v).acked on, possibly
from W(v).sent on. `before(P)` is the newest version of a key with W.acked <= P.sent: what certainly stood at the
origin when the purge was sent. A node is *troubled* while it, a node between it and the origin, or the origin has a
fault, from `struck_at` to `recovered_at` and `Bounds.recovery` beyond (health checks have to notice). A level below
the nodes' memory is in nobody's way: that it is frozen, dead or emptied costs hits, and excuses nothing.

INTEGRITY     A body that its framing calls complete has exactly the octets that its key, its variant and the version
              in its head give, and that version was written. Always, faults or not.

COMPLETENESS  No body that its framing calls complete has another length than the resource. One that visibly breaks
              off is LIVENESS's business.

NO FUTURE     R.version = v only if W(v).sent <= R.ended.

PURGE SAFETY  R.version >= before(P) for a read of a key that P names, through a node where P holds by R.began. It
              holds at a node
                  from P.acked, where the answer is `complete`, or the receipt calls the node `applied` or `fenced`
                  (fenced: its lease has certainly run out, so it asks before it serves);
                  from P.acked + lease + margin, where `partial` or `accepted` calls it `pending`: the order was
                  written down before the answer, and no lease reaches further than one lease beyond that;
                  never, where the purge was refused or not answered.
              Nothing is said of reads that began before: they may have waited for a fetch that the purge overtook.
              A soft purge lets through what says of itself that it is stale (`Read.said_stale`).
              Troubled or not: this is the promise that faults may not break.

RECEIPT       `complete` calls every node of the topology applied. No node is called `applied` that was frozen or
              dead or cut off from P.sent to P.acked without a pause: it cannot have applied the order.

MONOTONE      Of two reads of one key and variant at one node, where the first ended before the second began, the
              second is not older. This rests on a node having one parent for a key and one fetch in flight for it,
              each landing after the one before. It does not hold across trouble: a node whose shield is away asks
              the origin and gets ahead of what the shield stores, and falls behind when the shield is back. That
              ends when the last copy from before has run out (max_age + swr after the trouble), or with the first
              hard purge of the key, sent after the trouble, that is complete. Nor across a kill of the node itself,
              which is trouble too. So reads are compared within the stretches between. A shared level that comes back
              with what it held before (RESTORE) taints all nodes in the same way: what replaced that is lost.
              Over a shared level a read that says that it is stale may be older. It had run out when its parent
              fetched the newer one; that was stale by the time it came, so it was delivered and not kept; and the
              shared level was slow then, and has the older one now.
              Of a node of several processes each has a memory of its own; reads are compared where they certainly
              came from the same one (`Read.seat`).

STALENESS     Without any purge: v is superseded at the first W(u).acked with u > v. A read that began later than
              max_age after that says that it is stale, and one later than max_age + swr is served only by a troubled
              node. Both with `Bounds.slack`: Age counts whole seconds, so each tier can lose up to one. A MISS at a
              troubled node is excused: who joins a fetch that was frozen on its way gets what it brings.

LOAD          While no node had trouble, the origin has at most one fetch of a key and variant in flight, and one
              more for each purge meanwhile that names the key or any tag: what a purge may have overtaken flies on,
              and nobody may wait for it (which tags it has is known when it lands).

LIVENESS      A read ends within `Bounds.patience` and the time for which its node was troubled meanwhile; where the
              node was not troubled at all, with a whole 200. Never with a 4xx. A purge that met no trouble anywhere
              is `complete` within `Bounds.patience` (or `accepted`, where its caller did not wait).

Cost: sorting, and a bisection for each read. 200,000 reads and 2,000 purges of 50 keys take a few seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from tests.consistency.history import (
    ORIGIN,
    SHARED,
    Fault,
    FaultKind,
    History,
    Key,
    Operation,
    Purge,
    PurgeState,
    Read,
    Write,
    digest_of_body,
)
from tests.consistency.spans import Spans


class Invariant(StrEnum):
    """What can be violated; the docstring of this module says what each means."""

    INTEGRITY = "integrity"
    COMPLETENESS = "completeness"
    NO_FUTURE = "no future"
    PURGE_SAFETY = "purge safety"
    RECEIPT = "receipt"
    MONOTONE = "monotone"
    STALENESS = "staleness"
    LOAD = "load"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How patient the checker is, in seconds. They are the run's, not the product's: a slow machine needs more."""

    patience: float = 5.0
    recovery: float = 3.0
    slack: float = 2.0


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and the operations that show it, in the order of time."""

    invariant: Invariant
    what: str
    because: tuple[Operation, ...]

    def __str__(self) -> str:
        return "\n    ".join((f"{self.invariant.value}: {self.what}", *map(repr, self.because)))


@dataclass(frozen=True, slots=True)
class _Floor:
    """From `at` on, a node serves nothing older than `version`, because of this purge."""

    at: float
    version: int
    purge: Purge


class _Floors:
    """The floors of one key at one node, for the question: which is the highest that holds by now?"""

    __slots__ = ("_at", "_highest")

    def __init__(self, floors: list[_Floor]) -> None:
        floors.sort(key=lambda floor: floor.at)
        self._at = [floor.at for floor in floors]
        self._highest: list[_Floor] = []
        for floor in floors:
            best = self._highest[-1] if self._highest else floor
            self._highest.append(floor if floor.version >= best.version else best)

    def highest(self, now: float) -> _Floor | None:
        count = bisect_right(self._at, now)
        return self._highest[count - 1] if count else None


class _Writes:
    """The versions of one key."""

    __slots__ = ("_acked", "_newest", "_superseded", "by_version")

    def __init__(self, key: Key, writes: Sequence[Write]) -> None:
        first = Write(key.key, 1, float("-inf"), float("-inf"))
        self.by_version = {1: first, **{write.version: write for write in writes}}
        acked = sorted(
            ((write.acked_at, write) for write in self.by_version.values() if write.acked_at is not None),
            key=lambda pair: pair[0],
        )
        self._acked = [at for at, _ in acked]
        self._newest: list[Write] = []
        for _, write in acked:
            best = self._newest[-1] if self._newest else write
            self._newest.append(write if write.version >= best.version else best)
        # By version: the write that made it old first.
        self._superseded: dict[int, Write] = {}
        soonest: Write | None = None
        for version in sorted(self.by_version, reverse=True):
            if soonest is not None:
                self._superseded[version] = soonest
            write = self.by_version[version]
            if write.acked_at is not None and (soonest is None or write.acked_at < (soonest.acked_at or 0.0)):
                soonest = write

    def before(self, at: float) -> Write:
        """The newest version that certainly stood at the origin at this instant."""
        return self._newest[bisect_right(self._acked, at) - 1]

    def superseded(self, version: int) -> Write | None:
        """The write after which it certainly was not the newest any more."""
        return self._superseded.get(version)


class _Facts:
    """What all invariants ask of a history, computed once."""

    def __init__(self, history: History, bounds: Bounds) -> None:
        self.history = history
        self.bounds = bounds
        writes: dict[str, list[Write]] = defaultdict(list)
        for write in history.writes:
            writes[write.key].append(write)
        self.writes = {name: _Writes(key, writes[name]) for name, key in history.keys.items()}
        self.trouble = {node: self._spans(node) for node in history.setup.nodes}
        self.trouble_anywhere = Spans(
            self._lasting(fault) for fault in history.faults if fault.key is None and fault.node != SHARED
        )
        self.restored = Spans(self._lasting(fault) for fault in history.faults if fault.kind is FaultKind.RESTORE)
        self._of_key = {
            name: Spans(self._lasting(fault) for fault in history.faults if fault.key == name)
            for name in {fault.key for fault in history.faults if fault.key is not None}
        }
        self.purges_of: dict[str, list[Purge]] = {
            name: [purge for purge in history.purges if purge.names(key)] for name, key in history.keys.items()
        }

    @cached_property
    def whole(self) -> dict[tuple[str, str], list[Read]]:
        """The reads that got a whole 200 of a version that exists, by key and node."""
        groups: dict[tuple[str, str], list[Read]] = defaultdict(list)
        for read in self.history.reads:
            key = self.history.keys[read.key]
            if read.status == 200 and read.whole and read.version in self.writes[key.key].by_version:
                groups[read.key, read.node].append(read)
        return groups

    def troubled(self, read: Read) -> bool:
        """Was anything wrong on the way of this read, at any time of it?"""
        if self.trouble[read.node].touch(read.began_at, read.ended_at):
            return True
        of_key = self._of_key.get(read.key)
        return of_key is not None and of_key.touch(read.began_at, read.ended_at)

    def _spans(self, node: str) -> Spans:
        way = {node, ORIGIN, *self.history.setup.upstream[node]}
        return Spans(self._lasting(fault) for fault in self.history.faults if fault.key is None and fault.node in way)

    def _lasting(self, fault: Fault) -> tuple[float, float]:
        return fault.struck_at, fault.recovered_at + self.bounds.recovery


def check(history: History, bounds: Bounds | None = None) -> list[Violation]:
    """All violations; an empty list is what a correct system gives."""
    facts = _Facts(history, bounds or Bounds())
    return [
        *_bodies(facts),
        *_no_future(facts),
        *_purge_safety(facts),
        *_receipts(facts),
        *_monotone(facts),
        *_staleness(facts),
        *_load(facts),
        *_liveness(facts),
    ]


@dataclass(frozen=True, slots=True)
class Reach:
    """How many reads the checker could have found fault with: what a run without violations is worth."""

    bound: int  # a purge said that a version before theirs must not be served any more
    ordered: int  # one that ended before had a version beyond the first, and nothing excuses going back
    superseded: int  # their version was certainly not the newest any more
    calm: int  # nothing excuses them from anything


def reach(history: History, bounds: Bounds | None = None) -> Reach:
    """What `check` had to go by."""
    facts = _Facts(history, bounds or Bounds())
    bound = ordered = superseded = 0
    for (name, node), reads in facts.whole.items():
        hard, tainted = _floors(facts, name, node, soft=False), _tainted(facts, name, node)
        for read in reads:
            floor = hard.highest(read.began_at)
            bound += floor is not None and floor.version > 1
            ordered += (read.version or 0) > 1 and tainted.gap(read.began_at, read.ended_at) is not None
            write = facts.writes[name].superseded(read.version or 0)
            superseded += write is not None and write.acked_at is not None and write.acked_at < read.began_at
    return Reach(bound, ordered, superseded, sum(not facts.troubled(read) for read in history.reads))


# --- integrity and completeness ---


def _bodies(facts: _Facts) -> Iterator[Violation]:
    for read in facts.history.reads:
        if read.status != 200 or not read.whole:
            continue
        key = facts.history.keys[read.key]
        if read.length != key.size:
            what = f"{read.length} of {key.size} bytes were called complete"
            yield Violation(Invariant.COMPLETENESS, what, (read,))
        elif read.version is None or read.version not in facts.writes[read.key].by_version:
            yield Violation(Invariant.INTEGRITY, f"version {read.version} was never written", (read,))
        elif read.digest != digest_of_body(read.key, read.variant, read.version, key.size):
            yield Violation(Invariant.INTEGRITY, f"the body is {_whose(facts, read)}", (read,))


def _whose(facts: _Facts, read: Read) -> str:
    """Which body it is instead. Slow, and only for the message."""
    for name, key in facts.history.keys.items():
        if key.size != read.length:
            continue
        for variant in {*key.variants, ""}:
            for version in facts.writes[name].by_version:
                if digest_of_body(name, variant, version, key.size) == read.digest:
                    return f"that of {name}, variant {variant or 'none'}, version {version}"
    return "nobody's"


def _no_future(facts: _Facts) -> Iterator[Violation]:
    for (key, _), reads in facts.whole.items():
        by_version = facts.writes[key].by_version
        for read in reads:
            assert read.version is not None
            write = by_version[read.version]
            if write.sent_at > read.ended_at:
                early = write.sent_at - read.ended_at
                what = f"version {read.version} was read {early:.3f} s before it was written"
                yield Violation(Invariant.NO_FUTURE, what, (read, write))


# --- purges ---


def _holds_from(facts: _Facts, purge: Purge, node: str) -> float | None:
    """From when on the purge binds this node, whoever asks it. None: never."""
    setup = facts.history.setup
    match purge.state:
        case PurgeState.COMPLETE:
            return purge.acked_at
        case PurgeState.PARTIAL | PurgeState.ACCEPTED:
            settled = purge.nodes.get(node) in ("applied", "fenced")
            return purge.acked_at if settled else purge.acked_at + setup.lease + setup.margin
        case _:
            return None


def _purge_safety(facts: _Facts) -> Iterator[Violation]:
    for (key, node), reads in facts.whole.items():
        hard, soft = _floors(facts, key, node, soft=False), _floors(facts, key, node, soft=True)
        by_version = facts.writes[key].by_version
        for read in reads:
            assert read.version is not None
            floor = hard.highest(read.began_at)
            if floor is None or read.version >= floor.version:
                floor = None if read.said_stale else soft.highest(read.began_at)
            if floor is not None and read.version < floor.version:
                late = read.began_at - floor.at
                what = (
                    f"{node} served version {read.version} of {key}, not {floor.version}, {late:.3f} s after the purge"
                )
                yield Violation(Invariant.PURGE_SAFETY, what, (by_version[floor.version], floor.purge, read))


def _floors(facts: _Facts, key: str, node: str, *, soft: bool) -> _Floors:
    floors: list[_Floor] = []
    for purge in facts.purges_of[key]:
        holds_from = _holds_from(facts, purge, node) if purge.soft is soft else None
        if holds_from is not None:
            floors.append(_Floor(holds_from, facts.writes[key].before(purge.sent_at).version, purge))
    return _Floors(floors)


_DEAF = (FaultKind.FREEZE, FaultKind.KILL, FaultKind.CUT)


def _receipts(facts: _Facts) -> Iterator[Violation]:
    still = [fault for fault in facts.history.faults if fault.kind in _DEAF]
    everyone = set(facts.history.setup.nodes)
    for purge in facts.history.purges:
        applied = {node for node, state in purge.nodes.items() if state == "applied"}
        if purge.state is PurgeState.COMPLETE and applied != everyone:
            what = f"complete, and {', '.join(sorted(everyone - applied)) or 'a stranger'} is not among the applied"
            yield Violation(Invariant.RECEIPT, what, (purge,))
        for fault in still:
            if fault.node in applied and fault.began_at <= purge.sent_at and purge.acked_at <= fault.ended_at:
                what = f"{fault.node} is called applied and could not hear of it all the while"
                yield Violation(Invariant.RECEIPT, what, (fault, purge))


# --- order and age ---


def _monotone(facts: _Facts) -> Iterator[Violation]:
    for (name, node), reads in facts.whole.items():
        tainted = _tainted(facts, name, node)
        by_variant: dict[tuple[str, str], list[Read]] = defaultdict(list)
        for read in reads:
            by_variant[read.variant, read.seat].append(read)
        for each in by_variant.values():
            yield from _descents(each, tainted, stale_may_be_older=facts.history.setup.shared)


def _tainted(facts: _Facts, name: str, node: str) -> Spans:
    """When a node's copies of a key may come from parents that differ, or from before."""
    key = facts.history.keys[name]
    healing = sorted(
        (purge.sent_at, purge.acked_at)
        for purge in facts.purges_of[name]
        if purge.state is PurgeState.COMPLETE and not purge.soft
    )
    spans: list[tuple[float, float]] = []
    for begin, end in (*facts.trouble[node], *facts.restored):
        healed = min((acked for sent, acked in healing if sent >= end), default=float("inf"))
        spans.append((begin, min(healed, end + key.max_age + key.swr + facts.bounds.slack)))
    return Spans(spans)


def _descents(reads: list[Read], tainted: Spans, *, stale_may_be_older: bool) -> Iterator[Violation]:
    by_end = sorted(reads, key=lambda read: read.ended_at)
    newest: dict[int, Read] = {}  # by the stretch between taints
    shown: set[tuple[int, int]] = set()  # one step back is one violation, however many saw it
    ended = 0
    for read in sorted(reads, key=lambda read: read.began_at):
        while ended < len(by_end) and by_end[ended].ended_at <= read.began_at:
            earlier = by_end[ended]
            ended += 1
            stretch = tainted.gap(earlier.began_at, earlier.ended_at)
            if stretch is not None:
                best = newest.get(stretch)
                if best is None or (earlier.version or 0) > (best.version or 0):
                    newest[stretch] = earlier
        if stale_may_be_older and read.said_stale:
            continue
        stretch = tainted.gap(read.began_at, read.ended_at)
        best = None if stretch is None else newest.get(stretch)
        if best is not None and (read.version or 0) < (best.version or 0):
            if (id(best), read.version or 0) in shown:
                continue
            shown.add((id(best), read.version or 0))
            what = f"{read.node} went from version {best.version} of {read.key} back to {read.version}"
            yield Violation(Invariant.MONOTONE, what, (best, read))


def _staleness(facts: _Facts) -> Iterator[Violation]:
    slack = facts.bounds.slack
    for (name, _), reads in facts.whole.items():
        key, writes = facts.history.keys[name], facts.writes[name]
        for read in reads:
            write = writes.superseded(read.version or 0)
            if write is None or write.acked_at is None:
                continue
            behind = read.began_at - write.acked_at
            if behind <= key.max_age + slack:
                continue
            if not read.said_stale:
                if not read.hit and facts.troubled(read):
                    continue
                what = f"{behind:.3f} s behind, max-age {key.max_age}, and does not say that it is stale"
            elif behind > key.max_age + key.swr + slack and not facts.troubled(read):
                what = f"{behind:.3f} s behind, max-age {key.max_age} and {key.swr} more, and nothing was wrong"
            else:
                continue
            yield Violation(Invariant.STALENESS, what, (write, read))


# --- load and liveness ---


def _load(facts: _Facts) -> Iterator[Violation]:
    for load in facts.history.loads:
        if facts.trouble_anywhere.touch(load.began_at, load.ended_at):
            continue
        key = facts.history.keys[load.key]
        reach = load.began_at - facts.bounds.patience
        purges = [
            purge
            for purge in facts.history.purges
            if purge.sent_at <= load.ended_at and purge.acked_at >= reach and (purge.tags or purge.names(key))
        ]
        most = len(key.variants) * (1 + len({purge.sent_at for purge in purges}))
        if load.most > most:
            what = f"{load.most} fetches of {load.key} at the same time, {most} would do"
            yield Violation(Invariant.LOAD, what, (*purges[:3], load))


def _liveness(facts: _Facts) -> Iterator[Violation]:
    patience = facts.bounds.patience
    for read in facts.history.reads:
        took = read.ended_at - read.began_at
        if took > patience and took > patience + facts.trouble[read.node].overlap(read.began_at, read.ended_at):
            yield Violation(Invariant.LIVENESS, f"answered after {took:.3f} s", (read,))
        if read.status == 200 and read.whole:
            continue
        if read.status is not None and 400 <= read.status < 500:
            yield Violation(Invariant.LIVENESS, f"status {read.status} for a good request", (read,))
        elif not facts.troubled(read):
            got = {None: "no answer", 200: "broken off"}.get(read.status, f"status {read.status}")
            yield Violation(Invariant.LIVENESS, f"{got}, and nothing was wrong", (read,))
    for purge in facts.history.purges:
        took = purge.acked_at - purge.sent_at
        if facts.trouble_anywhere.touch(purge.sent_at, purge.acked_at):
            continue
        done = purge.state is PurgeState.COMPLETE or (purge.state is PurgeState.ACCEPTED and not purge.waited)
        # Where nobody waited, the later receipt is of the moment that somebody looked.
        if not done or (took > patience and purge.waited):
            what = f"a purge is {purge.state.value} after {took:.3f} s, and nothing was wrong"
            yield Violation(Invariant.LIVENESS, what, (purge,))
