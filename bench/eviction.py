"""Hit ratios of the eviction policies on three traces, beside those of libcachesim, and what a touch costs.

    .venv/bin/pip install -e '.[bench]'
    .venv/bin/python -m bench.eviction            prints the tables
    .venv/bin/python -m bench.eviction --write    puts them into docs/eviction.md and draws docs/eviction.svg

Without libcachesim the columns of comparison are left out. About a minute.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import random
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.linechart import Chart, Line, svg
from bench.traces import Trace, size_of, traces
from seawall.store.eviction.lfu import LFU
from seawall.store.eviction.protocol import Eviction
from seawall.store.eviction.words import WORDS, build

SHARES = (1, 2, 5, 10, 20, 40)  # cache sizes, per cent of the footprint
PAGE, PLOT = Path("docs/eviction.md"), Path("docs/eviction.svg")
GOAL = 0.5  # points


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy of ours, and the class of libcachesim that is the same algorithm."""

    title: str
    make: Callable[[int], Eviction]
    reference: str | None = None
    colour: str | None = None


def _exact_lfu(budget_bytes: int) -> Eviction:
    """Every use counts, nothing fades: LFU as the textbooks have it, up to 250 uses."""
    return LFU(budget_bytes, lambda: 0.5, lambda: 0, log_factor=0)


def _redis_lfu(budget_bytes: int) -> Eviction:
    return build("allkeys-lfu", budget_bytes, chance=random.Random(3).random, minutes=lambda: 0)


SUBJECTS = (
    Subject("allkeys-lru", lambda size: build("allkeys-lru", size), "LRU", "#c0392b"),
    Subject("s3fifo", lambda size: build("s3fifo", size), "S3FIFO", "#2980b9"),
    Subject("allkeys-lfu, every use counted", _exact_lfu, "LFU"),
    Subject("allkeys-lfu", _redis_lfu, None, "#e08e0b"),
    Subject("tinylfu", lambda size: build("tinylfu", size), None, "#27ae60"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Hit ratios in per cent, one for each of SHARES."""

    subject: Subject
    ours: list[float]
    theirs: list[float] | None


def hit_ratio(policy: Eviction, trace: Trace) -> float:
    hits = 0
    for name in trace.names:
        if name in policy:
            policy.touch(name)
            hits += 1
        else:
            policy.admit(name, size_of(name))
    policy.check()
    return 100 * hits / len(trace.names)


def reference_ratio(library: Any, algorithm: str, size_bytes: int, trace: Trace) -> float:
    cache = getattr(library, algorithm)(size_bytes, hashpower=18)
    request, hits = library.Request(), 0
    for name in trace.names:
        request.obj_id, request.obj_size = name, size_of(name)
        hits += cache.get(request)
    return 100 * hits / len(trace.names)


def measured(trace: Trace, library: Any) -> Iterator[Row]:
    sizes = [trace.footprint_bytes * share // 100 for share in SHARES]
    for subject in SUBJECTS:
        _progress(f"{trace.title}: {subject.title}")
        theirs = None
        if library is not None and subject.reference is not None:
            theirs = [reference_ratio(library, subject.reference, size, trace) for size in sizes]
        yield Row(subject, [hit_ratio(subject.make(size), trace) for size in sizes], theirs)


def table(trace: Trace, rows: list[Row]) -> str:
    """In Markdown: the hit ratio, and in brackets how far it is from libcachesim's."""
    lines = [
        f"**{trace.title}** ({len(trace.names):,} requests, {len(set(trace.names)):,} names)",
        "",
        "| policy | same as | " + " | ".join(f"{share} %" for share in SHARES) + " |",
        "|---|---|" + "---:|" * len(SHARES),
    ]
    for row in rows:
        cells = [f"{ours:.2f}" for ours in row.ours]
        if row.theirs is not None:
            cells = [f"{ours:.2f} ({ours - theirs:+.2f})" for ours, theirs in zip(row.ours, row.theirs, strict=True)]
        lines.append(f"| {row.subject.title} | {row.subject.reference or '–'} | {' | '.join(cells)} |")
    return "\n".join(lines)


# --- what it costs ---

_OBJECTS = 100_000


def costs(names: list[str]) -> str:
    """In Markdown, for every policy: a touch, an admission that makes somebody leave, and the memory for a name."""
    lines = [
        "| policy | touch, ns | miss: admit and evict, ns | bytes a name |",
        "|---|---:|---:|---:|",
    ]
    for word in WORDS:
        _progress(f"costs: {word}")
        lines.append(f"| {word} | {_touch_ns(word, names):.0f} | {_miss_ns(word):.0f} | {_name_bytes(word):.0f} |")
    return "\n".join(lines)


def _touch_ns(word: str, names: list[str]) -> float:
    """In a cache that holds a fifth of the names and has settled."""
    policy = build(word, 1000 * len(set(names)) // 5)
    for name in names:
        if name in policy:
            policy.touch(name)
        else:
            policy.admit(name, 1000, 1.0)
    held = [name for name in names if name in policy]
    return min(_timed(policy.touch, held) for _ in range(9))


def _timed(touch: Callable[[str], None], names: list[str]) -> float:
    started = time.perf_counter_ns()
    for name in names:
        touch(name)
    return (time.perf_counter_ns() - started) / len(names)


def _miss_ns(word: str) -> float:
    policy = build(word, 1000 * _OBJECTS // 10)
    best = float("inf")
    for turn in range(3):
        names = [f"http://shop.example/{turn}/{number}" for number in range(_OBJECTS)]
        started = time.perf_counter_ns()
        for name in names:
            policy.admit(name, 1000, 1.0)
        best = min(best, (time.perf_counter_ns() - started) / _OBJECTS)
    return best


def _name_bytes(word: str) -> float:
    """With everything that a policy remembers of names that left, too."""
    names = [f"http://shop.example/{number}" for number in range(2 * _OBJECTS)]
    gc.collect()
    tracemalloc.start()
    policy = build(word, 1000 * _OBJECTS)
    for name in names:
        policy.admit(name, 1000, 1.0)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / len(policy)


# --- the page and the picture ---


def plot(found: list[tuple[Trace, list[Row]]]) -> str:
    charts = [
        Chart(
            trace.title,
            [Line(row.subject.title, row.subject.colour, row.ours, row.theirs) for row in rows if row.subject.colour],
        )
        for trace, rows in found
    ]
    note = "○ libcachesim"
    return svg(charts, [str(share) for share in SHARES], "cache size, % of the footprint", note)


def write(tables: str, cost_table: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for mark, text in (("tables", tables), ("costs", cost_table)):
        between = f"(?<=<!-- {mark}: written by bench/eviction.py -->\n\n).*?(?=\n\n<!-- end of {mark} -->)"
        head, tail = re.split(between, page, maxsplit=1, flags=re.DOTALL)
        page = f"{head}{text}{tail}"
    PAGE.write_text(page, encoding="utf-8")


def _progress(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/eviction.md and docs/eviction.svg")
    arguments = parser.parse_args()
    try:
        library = importlib.import_module("libcachesim")
    except ImportError:
        library = None
        print("libcachesim is not installed: nothing to compare with (pip install -e '.[bench]')", file=sys.stderr)
        if arguments.write:
            return 1
    found = [(trace, list(measured(trace, library))) for trace in traces()]
    tables = "\n\n".join(table(trace, rows) for trace, rows in found)
    asked = [f"http://shop.example/items/{name}?page=1" for name in found[0][0].names]
    cost_table = costs(asked)
    print(f"{tables}\n\n{cost_table}")
    if arguments.write:
        write(tables, cost_table)
        PLOT.write_text(plot(found), encoding="utf-8")
    worst = max(
        (
            abs(a - b)
            for _, rows in found
            for row in rows
            for a, b in zip(row.ours, row.theirs or row.ours, strict=True)
        ),
        default=0,
    )
    print(f"\nFarthest from libcachesim: {worst:.2f} points (goal: {GOAL})")
    return 1 if worst > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
