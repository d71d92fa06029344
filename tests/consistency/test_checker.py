"""The checker before it judges anything: silent on the smallest history that keeps a promise, loud on the smallest
that breaks it, silent on a correct system under many seeds, and loud on every mutant of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from time import perf_counter

import pytest

from tests.consistency.checker import Bounds, Invariant, check
from tests.consistency.double import Mutant, System
from tests.consistency.history import (
    ORIGIN,
    SHARED,
    Fault,
    FaultKind,
    History,
    Key,
    Line,
    Load,
    Operation,
    Purge,
    PurgeState,
    Read,
    Setup,
    Write,
    digest_of_body,
    encode,
    read_history,
)
from tests.consistency.spans import Spans

SETUP = Setup({"shield": (), "e1": ("shield",), "e2": ("shield",)}, lease=5.0, margin=0.1)
KEYS = {
    "/a": Key("/a", size=100, max_age=1000.0, tags=("t",)),
    "/b": Key("/b", size=100, max_age=1000.0, variants=("de", "en")),
    "/s": Key("/s", size=100, max_age=10.0, swr=5.0),
}
BOUNDS = Bounds(patience=5.0, recovery=1.0, slack=1.0)
APPLIED = dict.fromkeys(SETUP.nodes, "applied")
FENCED = {**APPLIED, "e2": "fenced"}
PENDING = {**APPLIED, "e2": "pending"}


def read(
    at: float, version: int, key: str = "/a", *, node: str = "e1", variant: str = "", took: float = 0.1,
    says: str = "MISS, HIT", of: str = "", of_variant: str | None = None, of_version: int | None = None,
    length: int = 100, whole: bool = True, status: int | None = 200, seat: str = "",
) -> Read:  # fmt: skip
    """A read that got this version; `of...` is whose body it really was."""
    body_variant = variant if of_variant is None else of_variant
    digest = digest_of_body(of or key, body_variant, of_version or version, length)
    return Read(key, variant, node, at, at + took, status, version, whole, length, digest, says, seat=seat)


def write(at: float, version: int, key: str = "/a", *, acked: bool = True) -> Write:
    return Write(key, version, at, at + 0.1 if acked else None)


def purge(
    at: float, state: PurgeState = PurgeState.COMPLETE, nodes: dict[str, str] | None = None, *,
    took: float = 0.1, key: str = "/a", tag: str = "", prefix: str = "", everything: bool = False, soft: bool = False,
) -> Purge:  # fmt: skip
    keys = () if tag or prefix or everything else (key,)
    tags, prefixes = ((tag,) if tag else ()), ((prefix,) if prefix else ())
    given = APPLIED if nodes is None else nodes
    return Purge(1, "e1", at, at + took, state, given, keys, tags, prefixes, everything, soft)


def fault(
    begin: float, end: float, node: str = "e2", kind: FaultKind = FaultKind.FREEZE, key: str | None = None
) -> Fault:
    return Fault(kind, node, begin, begin, end, end, key)


# Each: what it shows, the history that keeps the promise, the one that breaks it.
PAIRS: dict[str, tuple[Invariant, list[Operation], list[Operation]]] = {
    "a body is of its own key": (Invariant.INTEGRITY, [read(1, 1)], [read(1, 1, of="/b")]),
    "a body is of its own variant": (
        Invariant.INTEGRITY,
        [read(1, 1, "/b", variant="de")],
        [read(1, 1, "/b", variant="de", of_variant="en")],
    ),
    "a body is of the version in its head": (
        Invariant.INTEGRITY,
        [write(0, 2), read(1, 2)],
        [write(0, 2), read(1, 2, of_version=1)],
    ),
    "a version was written": (Invariant.INTEGRITY, [write(0, 2), read(1, 2)], [read(1, 2)]),
    "what looks whole is whole": (
        Invariant.COMPLETENESS,
        [fault(0, 2, ORIGIN, FaultKind.TRUNCATE, "/a"), read(1, 1, length=50, whole=False)],
        [fault(0, 2, ORIGIN, FaultKind.TRUNCATE, "/a"), read(1, 1, length=50)],
    ),
    "a version is read once its write has begun": (
        Invariant.NO_FUTURE,
        [write(1, 2), read(0.95, 2)],
        [write(1, 2), read(0.85, 2)],
    ),
    "a write that nobody confirmed may have happened": (
        Invariant.NO_FUTURE,
        [write(1, 2, acked=False), read(1, 2)],
        [write(1, 2, acked=False), read(0.5, 2)],
    ),
    "complete binds reads that begin after it": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1), read(1.05, 1, took=9.0, node="e2"), fault(1.05, 10)],
        [write(0, 2), purge(1), read(1.15, 1)],
    ),
    "what was written during a purge may be missed by it": (
        Invariant.PURGE_SAFETY,
        [write(0.95, 2), purge(1), read(2, 1)],
        [write(0.85, 2), purge(1), read(2, 1)],
    ),
    "a purge by tag binds what carries it": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1, tag="T"), read(2, 1)],
        [write(0, 2), purge(1, tag="t"), read(2, 1)],
    ),
    "a purge by prefix binds what begins so": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1, prefix="/b"), read(2, 1)],
        [write(0, 2), purge(1, prefix="/"), read(2, 1)],
    ),
    "a purge of all binds everything": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1, everything=True), read(2, 2)],
        [write(0, 2), purge(1, everything=True), read(2, 1)],
    ),
    "an earlier purge still binds after a later one": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1), purge(2, took=3.0), read(3, 2)],
        [write(0, 2), purge(1), purge(2, took=3.0), read(3, 1)],
    ),
    "a fenced node is bound at once": (
        Invariant.PURGE_SAFETY,
        [fault(0, 9), write(0, 2), purge(1, PurgeState.PARTIAL, FENCED, took=5.5), read(6.4, 1, node="e2", took=3)],
        [fault(0, 9), write(0, 2), purge(1, PurgeState.PARTIAL, FENCED, took=5.5), read(6.6, 1, node="e2", took=3)],
    ),
    "a pending node is bound one lease later": (
        Invariant.PURGE_SAFETY,
        [fault(0, 9), write(0, 2), purge(1, PurgeState.ACCEPTED, PENDING), read(6.1, 1, node="e2", took=3)],
        [fault(0, 9), write(0, 2), purge(1, PurgeState.ACCEPTED, PENDING), read(6.3, 1, node="e2", took=3)],
    ),
    "of a partial purge the others are bound at once": (
        Invariant.PURGE_SAFETY,
        [fault(0, 9), write(0, 2), purge(1, PurgeState.ACCEPTED, PENDING), read(1.2, 1, node="e2", took=8)],
        [fault(0, 9), write(0, 2), purge(1, PurgeState.ACCEPTED, PENDING), read(1.2, 1, node="e1")],
    ),
    "a refused purge binds nobody": (
        Invariant.PURGE_SAFETY,
        [fault(0, 9), write(0, 2), purge(1, PurgeState.REFUSED, {}, took=8.1), read(9.2, 1)],
        [fault(0, 9), write(0, 2), purge(1, took=8.1), read(9.2, 1)],
    ),
    "a soft purge lets through what says that it is stale": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1, soft=True), read(2, 1, says="MISS, STALE")],
        [write(0, 2), purge(1, soft=True), read(2, 1, says="STALE, HIT")],
    ),
    "a hard purge does not": (
        Invariant.PURGE_SAFETY,
        [write(0, 2), purge(1), read(2, 2, says="MISS, STALE")],
        [write(0, 2), purge(1), read(2, 1, says="MISS, STALE")],
    ),
    "complete means all": (Invariant.RECEIPT, [purge(1)], [purge(1, nodes={"shield": "applied", "e1": "applied"})]),
    "a frozen node applies nothing": (
        Invariant.RECEIPT,
        [fault(0, 3), purge(1, took=2.1)],
        [fault(0, 3), purge(1, took=1.9)],
    ),
    "a dead node applies nothing": (
        Invariant.RECEIPT,
        [fault(1.05, 3, kind=FaultKind.KILL), purge(1)],
        [fault(0.95, 3, kind=FaultKind.KILL), purge(1)],
    ),
    "a node that is cut off applies nothing": (
        Invariant.RECEIPT,
        [fault(0, 3, kind=FaultKind.CUT), purge(1, PurgeState.ACCEPTED, PENDING)],
        [fault(0, 3, kind=FaultKind.CUT), purge(1)],
    ),
    "a node does not go back": (
        Invariant.MONOTONE,
        [write(0, 2), read(1, 2), read(1.05, 1), read(2, 1, node="e2")],
        [write(0, 2), read(1, 2), read(1.15, 1)],
    ),
    "each variant goes forward on its own": (
        Invariant.MONOTONE,
        [write(0, 2, "/b"), read(1, 2, "/b", variant="de"), read(2, 1, "/b", variant="en")],
        [write(0, 2, "/b"), read(1, 2, "/b", variant="de"), read(2, 1, "/b", variant="de")],
    ),
    "a parent's fault excuses until its copies have run out": (
        Invariant.MONOTONE,
        [fault(2, 3, "shield"), write(0, 2, "/s"), read(2.5, 2, "/s"), read(4.5, 1, "/s")],
        [fault(2, 3, "e1"), write(0, 2, "/s"), read(2.5, 2, "/s", node="e2"), read(4.5, 1, "/s", node="e2")],
    ),
    "a complete purge ends the excuse": (
        Invariant.MONOTONE,
        [fault(2, 3, "shield"), write(0, 2), read(4.5, 2), read(5.5, 1)],
        [fault(2, 3, "shield"), purge(4.1), write(4.2, 2), read(4.5, 2), read(5.5, 1)],
    ),
    "a shared level from before excuses it too": (
        Invariant.MONOTONE,
        [write(0, 2), read(1, 2), fault(1.2, 1.3, SHARED, FaultKind.RESTORE), read(4, 1)],
        [write(0, 2), read(1, 2), fault(1.2, 1.3, SHARED, FaultKind.KILL), read(4, 1)],
    ),
    "each process of a node goes forward on its own": (
        Invariant.MONOTONE,
        [write(0, 2), read(1, 2, seat="1"), read(2, 1, seat="2")],
        [write(0, 2), read(1, 2, seat="1"), read(2, 1, seat="1")],
    ),
    "what ran out says so": (
        Invariant.STALENESS,
        [write(0, 2, "/s"), read(11.0, 1, "/s"), read(16.0, 1, "/s", says="MISS, STALE")],
        [write(0, 2, "/s"), read(11.2, 1, "/s")],
    ),
    "stale has an end": (
        Invariant.STALENESS,
        [write(0, 2, "/s"), fault(15, 17, ORIGIN), read(16.2, 1, "/s", says="MISS, STALE")],
        [write(0, 2, "/s"), read(16.2, 1, "/s", says="MISS, STALE")],
    ),
    "stale from a parent is not fresh": (
        Invariant.STALENESS,
        [write(0, 2, "/s"), fault(11, 17, ORIGIN), read(12, 1, "/s", says="STALE, MISS")],
        [write(0, 2, "/s"), fault(11, 17, ORIGIN), read(12, 1, "/s", says="STALE, HIT")],
    ),
    "one fetch for each variant": (Invariant.LOAD, [Load("/b", 2, 0, 9)], [Load("/b", 3, 0, 9)]),
    "and one for each purge": (Invariant.LOAD, [purge(1), Load("/a", 2, 0, 9)], [purge(1), Load("/a", 3, 0, 9)]),
    "and one for each purge of a tag that it might have": (
        Invariant.LOAD,
        [purge(1, tag="T"), Load("/a", 2, 0, 9)],
        [purge(1, key="/b"), Load("/a", 2, 0, 9)],
    ),
    "faults excuse more": (
        Invariant.LOAD,
        [fault(1, 2, "shield", FaultKind.KILL), Load("/a", 3, 0, 9)],
        [fault(10, 11, "shield", FaultKind.KILL), Load("/a", 3, 0, 9)],
    ),
    "that of a shared level does not": (
        Invariant.LOAD,
        [fault(1, 2, SHARED, FaultKind.KILL), Load("/a", 1, 0, 9)],
        [fault(1, 2, SHARED, FaultKind.KILL), Load("/a", 2, 0, 9)],
    ),
    "a read is answered": (
        Invariant.LIVENESS,
        [read(1, 1, took=4.9), fault(7, 9, "e1"), read(7, 1, status=None)],
        [read(1, 1, status=None)],
    ),
    "with a whole 200": (
        Invariant.LIVENESS,
        [fault(0, 1, ORIGIN), read(1, 1, status=502)],
        [fault(0, 1, "e2"), read(1, 1, status=502)],
    ),
    "also where a shared level is gone": (
        Invariant.LIVENESS,
        [fault(0, 1, SHARED), read(1, 1)],
        [fault(0, 1, SHARED), read(1, 1, status=502)],
    ),
    "never with 4xx": (Invariant.LIVENESS, [read(1, 1)], [fault(0, 2, ORIGIN), read(1, 1, status=404)]),
    "in time": (
        Invariant.LIVENESS,
        [fault(1, 5, "e1"), read(1, 1, took=9.0)],
        [fault(1, 5, "e1"), read(1, 1, took=11.0)],
    ),
    "a purge is complete without a shared level": (
        Invariant.LIVENESS,
        [fault(2, 8, SHARED, FaultKind.KILL), purge(3)],
        [fault(2, 8, SHARED, FaultKind.KILL), purge(3, PurgeState.PARTIAL, FENCED)],
    ),
    "a purge without trouble is complete": (
        Invariant.LIVENESS,
        [purge(1), fault(2, 8), purge(3, PurgeState.PARTIAL, FENCED)],
        [purge(1, PurgeState.PARTIAL, FENCED)],
    ),
}  # fmt: skip


def history(lines: list[Operation]) -> History:
    made = History(SETUP)
    made.add(*KEYS.values(), *lines)
    return made


@pytest.mark.parametrize("name", PAIRS)
def test_silent_where_the_promise_is_kept(name: str) -> None:
    _, kept, _ = PAIRS[name]
    assert check(history(kept), BOUNDS) == []


@pytest.mark.parametrize("name", PAIRS)
def test_loud_where_it_is_broken_and_about_nothing_else(name: str) -> None:
    invariant, _, broken = PAIRS[name]
    found = check(history(broken), BOUNDS)
    assert [violation.invariant for violation in found] == [invariant]
    assert all(operation in broken for operation in found[0].because)


def test_what_says_that_it_is_stale_may_be_older_over_a_shared_level_only() -> None:
    lines: list[Operation] = [write(0, 2, "/s"), read(1, 2, "/s"), read(2, 1, "/s", says="MISS, STALE")]
    shared = History(Setup(SETUP.upstream, SETUP.lease, SETUP.margin, shared=True))
    shared.add(*KEYS.values(), *lines)
    assert check(shared, BOUNDS) == []
    assert [violation.invariant for violation in check(history(lines), BOUNDS)] == [Invariant.MONOTONE]
    shared.add(read(3, 1, "/s", says="STALE, HIT"))
    assert [violation.invariant for violation in check(shared, BOUNDS)] == [Invariant.MONOTONE]


def test_every_invariant_has_its_pair() -> None:
    assert {invariant for invariant, _, _ in PAIRS.values()} == set(Invariant)


def test_violation_says_whose_body_it_was() -> None:
    (violation,) = check(history([read(1, 1, "/b", variant="de", of="/a", of_variant="")]), BOUNDS)
    assert violation.what == "the body is that of /a, variant none, version 1"


# --- the double ---

# Its nodes recover as soon as they are back, and its ages are exact.
DOUBLE = Bounds(patience=2.0, recovery=0.6, slack=0.05)
SECONDS = 10.0
CLEAN_SEEDS = 20
# The shyest mutant shows under one seed of eight. Seeds are fixed, so what is found once is found always.
MOST_SEEDS = 30


@dataclass(frozen=True, slots=True)
class Caught:
    mutant: Mutant
    by: Invariant


CAUGHT = (
    Caught(Mutant.NO_EPOCH_CHECK, Invariant.PURGE_SAFETY),
    Caught(Mutant.EDGES_FIRST, Invariant.PURGE_SAFETY),
    Caught(Mutant.SKIPPED_EDGE, Invariant.PURGE_SAFETY),
    Caught(Mutant.SWAPPED_BODIES, Invariant.INTEGRITY),
    Caught(Mutant.TRUNCATED, Invariant.COMPLETENESS),
    Caught(Mutant.VARY_IN_FLIGHT, Invariant.INTEGRITY),
    Caught(Mutant.ACK_WHILE_FROZEN, Invariant.RECEIPT),
    Caught(Mutant.ACK_WHILE_FROZEN, Invariant.PURGE_SAFETY),
    Caught(Mutant.STALE_AS_FRESH, Invariant.STALENESS),
    Caught(Mutant.REVIVED_BY_304, Invariant.PURGE_SAFETY),
    Caught(Mutant.NO_LEASE, Invariant.PURGE_SAFETY),
    Caught(Mutant.LEASE_FROM_ARRIVAL, Invariant.PURGE_SAFETY),
    Caught(Mutant.NO_CATCH_UP, Invariant.PURGE_SAFETY),
    Caught(Mutant.ACK_BEFORE_APPLIED, Invariant.PURGE_SAFETY),
    Caught(Mutant.ONE_VARIANT, Invariant.PURGE_SAFETY),
    Caught(Mutant.JOINS_UNLEASED, Invariant.PURGE_SAFETY),
    Caught(Mutant.NOT_COLLAPSED, Invariant.LOAD),
    Caught(Mutant.TWO_SOURCES, Invariant.MONOTONE),
    Caught(Mutant.IMMORTAL, Invariant.STALENESS),
    Caught(Mutant.LOST_WAITERS, Invariant.LIVENESS),
    Caught(Mutant.SOFT_IS_NOTHING, Invariant.PURGE_SAFETY),
    Caught(Mutant.UNLABELLED, Invariant.STALENESS),
    Caught(Mutant.UNSTAMPED, Invariant.PURGE_SAFETY),
    Caught(Mutant.NEWEST_STAMP, Invariant.PURGE_SAFETY),
)


@lru_cache(maxsize=CLEAN_SEEDS)
def lived_under(seed: int) -> History:
    return System(seed).run(SECONDS)


@pytest.mark.parametrize("seed", range(CLEAN_SEEDS))
def test_silent_on_a_correct_system(seed: int) -> None:
    lived = lived_under(seed)
    assert [str(violation) for violation in check(lived, DOUBLE)] == []
    assert len(lived.reads) > 2000
    assert len(lived.purges) > 50


def test_seeds_together_meet_every_state_and_fault() -> None:
    lived = [lived_under(seed) for seed in range(CLEAN_SEEDS)]
    assert {purge.state for run in lived for purge in run.purges} >= {PurgeState.COMPLETE, PurgeState.PARTIAL}
    assert {fault.kind for run in lived for fault in run.faults} == {
        FaultKind.FREEZE,
        FaultKind.KILL,
        FaultKind.TRUNCATE,
    }
    assert {word for run in lived for read in run.reads for word in read.x_cache.split(", ")} >= {
        "HIT",
        "MISS",
        "STALE",
    }


@pytest.mark.parametrize("caught", CAUGHT, ids=lambda caught: f"{caught.mutant.name} by {caught.by.value}")
def test_loud_on_a_mutant(caught: Caught) -> None:
    found = _first_seed(caught)
    assert found is not None, f"{caught.mutant.value}: not noticed under {MOST_SEEDS} seeds"


def _first_seed(caught: Caught) -> int | None:
    def noticed(seed: int) -> bool:
        lived = System(seed, caught.mutant).run(SECONDS)
        return any(violation.invariant is caught.by for violation in check(lived, DOUBLE))

    return next((seed for seed in range(MOST_SEEDS) if noticed(seed)), None)


def test_every_mutant_is_listed() -> None:
    assert {caught.mutant for caught in CAUGHT} == set(Mutant)


def test_same_seed_same_history() -> None:
    assert System(7).run(3.0) == System(7).run(3.0)


def test_history_survives_its_file() -> None:
    lived = System(3).run(3.0)
    lines: list[Line] = [lived.setup, *lived.keys.values(), *lived.writes, *lived.purges]
    lines += [*lived.reads, *lived.faults, *lived.loads]
    assert read_history(encode(line) for line in lines) == lived


# --- size ---


@pytest.mark.timeout(60)
def test_two_hundred_thousand_reads_are_checked_in_seconds() -> None:
    made = History(SETUP)
    keys = [Key(f"/k/{n}", 100, 1000.0, variants=("de", "en")) for n in range(40)]
    made.add(*keys)
    version, clock = dict.fromkeys((key.key for key in keys), 1), count()
    for n in range(2000):
        name = f"/k/{n % 40}"
        version[name] += 1
        made.add(write(next(clock), version[name], name), purge(next(clock), key=name))
        made.add(*_reads(next(clock), version, 100))
    began = perf_counter()
    assert check(made, BOUNDS) == []
    assert len(made.reads) == 200_000
    assert perf_counter() - began < 20.0


def _reads(at: float, version: dict[str, int], reads: int) -> Iterator[Read]:
    for n in range(reads):
        name = f"/k/{n % 40}"
        yield read(at, version[name], name, variant=("de", "en")[n % 2], node=("e1", "e2")[n % 3 > 0], took=0.5)


# --- spans ---


def test_spans_merge_touch_overlap_and_leave_gaps() -> None:
    spans = Spans([(5.0, 6.0), (1.0, 2.0), (2.0, 3.0)])
    assert (spans.begins, spans.ends) == ([1.0, 5.0], [3.0, 6.0])
    assert [spans.touch(*each) for each in [(0, 0.9), (0, 1), (3, 4), (3.1, 4.9), (5.5, 9)]] == [
        False, True, True, False, True,
    ]  # fmt: skip
    assert spans.overlap(2.5, 5.25) == 0.75
    assert [spans.gap(*each) for each in [(0, 0.5), (3.5, 4.5), (7, 8), (0.5, 1.5), (3.5, 7)]] == [0, 1, 2, None, None]
