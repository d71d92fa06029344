"""What is measured: the table of scenarios, and what each must be answered with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bench.peers.origin import ETAG, SMALL_BYTES

CONNECTIONS = 64
ZIPF_OBJECTS, ZIPF_SKEW = 10_000, 0.9


class Asks(Enum):
    """How much of it the origin may see."""

    NEVER = "never"  # all are hits
    ALWAYS = "always"  # one for one


@dataclass(frozen=True, slots=True)
class Fleet:
    """The three systems, started alike. Scenarios that name the same fleet share the processes."""

    name: str
    objects: int = 0  # /o/0 and so on, stored before the first measurement
    storage_bytes: int | None = None  # None: Seawall's default, for all three
    access_log: bool = False
    disk: bool = False


PLAIN = Fleet("plain", objects=ZIPF_OBJECTS)
LOGGED = Fleet("logged", access_log=True)
# What is stored by misses would push out what the others hit.
UPSTREAM = Fleet("upstream")
ON_DISK = Fleet("disk", disk=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table. `path` is asked as it is, or is what a script puts a number behind."""

    name: str
    title: str
    fleet: Fleet
    path: str
    body_bytes: int
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    threads: int = 1
    script: str | None = None
    # For the script, behind the path; {seed} and {start} are filled in for each measurement.
    arguments: tuple[str, ...] = ()
    asks: Asks = Asks.NEVER

    @property
    def probe_path(self) -> str:
        """A path that it may ask for, to look at one answer."""
        return self.path if self.script in (None, "browser") else f"{self.path}0"


def _hit(size: int, title: str) -> Scenario:
    return Scenario(f"hit-{size}", f"hit {title}", PLAIN, f"/size/{size}", size)


HIT = _hit(1024, "1 KiB")
HITS = (HIT, _hit(16 << 10, "16 KiB"), _hit(128 << 10, "128 KiB"), _hit(1 << 20, "1 MiB"))

NOT_MODIFIED = Scenario("not-modified", "304", PLAIN, "/o/0", 0, status=304, fields=(("If-None-Match", ETAG),))
ZIPF = Scenario(
    "zipf", f"Zipf {ZIPF_SKEW} over {ZIPF_OBJECTS:,}", PLAIN, "/o/", SMALL_BYTES,
    script="zipf", arguments=(str(ZIPF_OBJECTS), str(ZIPF_SKEW), "{seed}"),
)  # fmt: skip
BROWSER = Scenario("browser", "browser-like headers", PLAIN, "/size/1024", 1024, threads=CONNECTIONS, script="browser")
HIT_LOGGED = Scenario("hit-logged", "hit 1 KiB, access log", LOGGED, "/size/1024", 1024)
BROWSER_LOGGED = Scenario(
    "browser-logged", "browser-like, access log", LOGGED, "/size/1024", 1024, threads=CONNECTIONS, script="browser"
)
MISS = Scenario(
    "miss", "cacheable miss", UPSTREAM, "/miss/", SMALL_BYTES,
    script="fresh", arguments=("{start}",), asks=Asks.ALWAYS,
)  # fmt: skip
MISS_ON_DISK = Scenario(
    "miss-disk", "miss, Seawall with --data", ON_DISK, "/miss/", SMALL_BYTES,
    script="fresh", arguments=("{start}",), asks=Asks.ALWAYS,
)  # fmt: skip
PASS = Scenario("pass", "uncached pass", UPSTREAM, "/pass/same", SMALL_BYTES, asks=Asks.ALWAYS)


def stored(objects: int) -> Scenario:
    """Hits of so many objects, asked for at random."""
    short = f"{objects // 1_000_000}m" if objects >= 1_000_000 else f"{objects // 1000}k"
    # An object of 1 KiB is a file of 4 KiB with nginx; 8 KiB leaves room in each of the three.
    fleet = Fleet(f"stored-{short}", objects, storage_bytes=max(1 << 30, objects * 8192))
    title = f"{objects:,} stored, at random"
    return Scenario(
        f"stored-{short}", title, fleet, "/o/", SMALL_BYTES, script="uniform", arguments=(str(objects), "{seed}")
    )


STORED = tuple(stored(objects) for objects in (1000, 10_000, 100_000))
STORED_FULL = (*STORED, stored(1_000_000))
# Memory is measured where so many come in after the first thousand.
FOOTPRINT_OBJECTS = 100_000

USUAL = (*HITS, NOT_MODIFIED, ZIPF, BROWSER, HIT_LOGGED, BROWSER_LOGGED, MISS, MISS_ON_DISK, PASS)
QUICK = (HIT, BROWSER, MISS, PASS)
EVERY = (*USUAL, *STORED_FULL)
