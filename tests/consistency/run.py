"""The randomised run: readers, writers, purgers and faults over real processes, and the checker over what they saw.

    python -m tests.consistency.run --reads 200000 --purges 2000 --seed 7 --levels disk        (or: make consistency)

What happens follows from the seed; when, from the machine. So a seed says which course to look for again, and the
history that a failed run leaves behind (history.jsonl) says what it was: `--check FILE` judges it once more.
Exit codes: 0 every promise was kept, 1 violations, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL
from time import monotonic

import aiohttp
from yarl import URL

from tests.consistency.checker import Bounds, Reach, Violation, check, reach
from tests.consistency.history import (
    ORIGIN,
    SELECTING,
    SHARED,
    Fault,
    FaultKind,
    History,
    Key,
    Load,
    Purge,
    PurgeState,
    Read,
    Recorder,
    Setup,
    Write,
    digest_of,
    read_history,
)
from tests.consistency.spans import Spans
from tests.consistency.world import (
    EDGES,
    HOST,
    LEASE,
    MARGIN,
    NODES,
    SHIELD,
    Levels,
    Process,
    Told,
    World,
    freeze,
    send,
    world,
)
from tests.redis_servers import RedisProcess

# A loaded machine with two cores is slow; a parent is looked at once a second and let back in by degrees.
BOUNDS = Bounds(patience=8.0, recovery=4.0, slack=2.5)
HEAL_SECONDS = 30.0
READ_TIMEOUT = aiohttp.ClientTimeout(total=20.0)
GIVES_UP = aiohttp.ClientTimeout(total=0.015)
QUIET_SECONDS = 2.0  # at the beginning, without purges and faults
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. A run ends when there were `reads` reads and `purges` purges and each kind of fault
    once, or after `seconds`."""

    seed: int
    reads: int
    purges: int
    seconds: float
    readers: int = 4  # for each edge
    purgers: int = 6
    levels: Levels = Levels.MEMORY
    strikes: tuple[str, ...] = ()  # the names of those faults that happen; none named: all that there are


Held = Mapping[str, Mapping[str, object]]  # what a node's levels hold and have counted, by level


@dataclass
class Outcome:
    """A run and what the checker says of it."""

    history: History
    violations: list[Violation]
    seconds: float
    gave_up: int = 0
    complaints: list[str] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)  # at the end
    only_below: int = 0  # objects that some node held in a lower level and not in memory, at the most

    @cached_property
    def reach(self) -> Reach:
        return reach(self.history, BOUNDS)

    @property
    def good(self) -> bool:
        return not (self.violations or self.complaints)

    def lines(self) -> Iterator[str]:
        """The report."""
        reads, purges = self.history.reads, self.history.purges
        answered = Counter(read.x_cache.rpartition(",")[2].strip() or str(read.status) for read in reads)
        yield f"{len(reads)} reads in {self.seconds:.1f} s ({len(reads) / self.seconds:.0f}/s), {self.gave_up} given up"
        yield "  answered: " + ", ".join(f"{count} {word}" for word, count in answered.most_common())
        states = Counter(purge.state.value for purge in purges)
        yield f"{len(purges)} purge answers: " + ", ".join(f"{count} {state}" for state, count in states.most_common())
        wrong = Spans((fault.struck_at, fault.recovered_at) for fault in self.history.faults)
        answers: dict[str, list[float]] = {"complete, undisturbed": [], "complete, disturbed": [], "partial": []}
        for purge in purges:
            disturbed = "disturbed" if wrong.touch(purge.sent_at, purge.acked_at) else "undisturbed"
            name = "partial" if purge.state is PurgeState.PARTIAL else f"{purge.state.value}, {disturbed}"
            if purge.waited and name in answers:
                answers[name].append(purge.acked_at - purge.sent_at)
        for name, took in answers.items():
            yield f"  {name}: p50 {_percentile(took, 50):.1f} ms, p99 {_percentile(took, 99):.1f} ms"
        faults = Counter(f"{fault.kind.value} {fault.node}" for fault in self.history.faults)
        yield f"{len(self.history.faults)} faults: " + ", ".join(f"{count} {what}" for what, count in faults.items())
        yield f"{len(self.history.writes)} writes, {len(self.history.loads)} counts of fetches at once"
        for node, levels in self.held.items():
            yield f"  {node}: " + "; ".join(
                f"{level} {', '.join(f'{value} {name}' for name, value in counts.items() if value) or 'empty'}"
                for level, counts in levels.items()
            )
        if self.only_below:
            yield f"  up to {self.only_below} objects of a node lay below its memory only"
        held = self.reach
        yield (
            f"reads that could have shown something: {held.bound} bound by a purge, {held.ordered} in order, "
            f"{held.superseded} of what was not the newest, {held.calm} with no excuse"
        )
        yield f"{len(self.violations)} violations"
        yield from map(str, self.violations[:SHOWN])
        if len(self.violations) > SHOWN:
            kinds = Counter(violation.invariant.value for violation in self.violations)
            yield "... " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        yield from self.complaints


def _percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds; 0 where there is nothing."""
    if len(seconds) < 2:
        return seconds[0] * 1000 if seconds else 0.0
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


def make_keys(chance: Random, levels: Levels = Levels.MEMORY) -> list[Key]:
    """Some that only a purge makes new, and some that run out soon; with variants and without. Where there is a level
    below it, memory has no room for half of them."""
    keys: list[Key] = []
    sizes = (200, 200, 3000, 12_000) if levels is Levels.MEMORY else (200, 6000, 7000, 12_000)
    variants: tuple[str, ...]
    for number in range(16):
        variants = ("de", "en", "fr") if number % 2 else ("",)
        size = chance.choice(sizes)
        keys.append(Key(f"/long/{number}", size, 600.0, 0.0, (f"t{number % 5}", "long"), variants))
    for number in range(6):
        variants = ("de", "en") if number % 3 == 0 else ("",)
        keys.append(Key(f"/short/{number}", 900, 1.0, 2.0, (f"t{number % 5}", "short"), variants))
    return keys


Strike = Callable[[Random], Coroutine[None, None, None]]


@dataclass
class _Seated:
    """A session of one connection at a time, and what stands for the one that it has now."""

    session: aiohttp.ClientSession
    seat: str = ""


@asynccontextmanager
async def _one_connection(new_seat: Callable[[], str]) -> AsyncIterator[_Seated]:
    async def connected(*_: object) -> None:
        seated.seat = new_seat()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1), cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[tracing]
    ) as session:
        seated = _Seated(session)
        yield seated


class Run:
    """One run over one world. `drive` is its whole life."""

    def __init__(self, plan: Plan, over: World, session: aiohttp.ClientSession, recorder: Recorder) -> None:
        self._plan = plan
        self._world = over
        self._session = session
        self._several = plan.levels is Levels.WORKERS
        self._seats = 0
        self._recorder = recorder
        self._chance = Random(plan.seed)
        self._keys = make_keys(self._chance, plan.levels)
        self._versions = {key.key: 1 for key in self._keys}
        # A script of the origin has one writer at a time.
        self._locks = {key.key: asyncio.Lock() for key in self._keys}
        self._witness: Key | None = None
        self._reads = 0
        self._purges = 0
        self._rounds = 0  # how often each kind of fault has been there
        self._ended = False
        self._asides: set[asyncio.Task[None]] = set()
        self.gave_up = 0
        self.held: dict[str, Held] = {}
        self.only_below = 0

    async def drive(self) -> None:
        """Everything, until the plan is fulfilled. Raises what went wrong outside of the system under test."""
        for key in self._keys:
            await self._world.publish(key, 1, 0.0)
            self._recorder.add(key)
        await self._world.heal(HEAL_SECONDS)
        works: list[Coroutine[None, None, None]] = [self._faults(), self._witnesses(), self._writer()]
        works += [self._purger(number) for number in range(self._plan.purgers)]
        for edge in EDGES:
            works.append(self._trickle(edge))
            works += [self._reader(edge, number) for number in range(self._plan.readers)]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for work in works:
                group.create_task(work)
        if self._asides:
            await asyncio.wait(self._asides)
        await self._later_receipts()
        for node in NODES:
            self.held[node] = await self._world.held(node)

    async def _watch(self) -> None:
        plan, until = self._plan, monotonic() + self._plan.seconds
        while monotonic() < until:
            await asyncio.sleep(0.05)
            if self._reads >= plan.reads and self._purges >= plan.purges and self._rounds > 0:
                break
        self._ended = True

    def _is_over(self) -> bool:
        return self._ended

    def _aside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    # --- reading ---

    async def _reader(self, edge: str, number: int) -> None:
        """One client after the other's answer, all over one connection for as long as that holds."""
        chance = Random(f"{self._plan.seed} {edge} {number}")
        async with _one_connection(self._new_seat) as session:
            while not self._ended:
                if not await self._read(edge, self._any_key(chance), chance, session):
                    await asyncio.sleep(0.02)
                if self._purges and self._reads * self._plan.purges > (self._purges + 50) * self._plan.reads:
                    await asyncio.sleep(0.05)

    def _new_seat(self) -> str:
        self._seats += 1
        return str(self._seats)

    async def _trickle(self, edge: str) -> None:
        """Clients who come whether or not those before them were answered."""
        chance = Random(f"{self._plan.seed} {edge}")
        while not self._ended:
            await asyncio.sleep(chance.expovariate(20.0))
            self._aside(self._look(edge, self._any_key(chance), chance))

    async def _look(self, edge: str, key: Key, chance: Random) -> None:
        await self._read(edge, key, chance)

    def _any_key(self, chance: Random) -> Key:
        if self._witness is not None and chance.random() < (0.05 if self._purges else 0.5):
            return self._witness
        return chance.choice(self._keys)

    async def _read(self, edge: str, key: Key, chance: Random, own: _Seated | None = None) -> bool:
        """One request, recorded. False where it went wrong. `own`: over this connection."""
        variant = chance.choice(key.variants)
        leaves = chance.random() < 0.01
        fields = {"Host": HOST, SELECTING: variant} if variant else {"Host": HOST}
        url = URL(f"{self._world.url_of(edge)}{key.key}", encoded=True)
        status = version = None
        body, whole, said, why = b"", False, "", ""
        began_at = monotonic()
        try:
            timeout = GIVES_UP if leaves else READ_TIMEOUT
            session = self._session if own is None else own.session
            async with session.get(url, headers=fields, timeout=timeout) as response:
                status, said = response.status, response.headers.get("X-Cache", "")
                shown = response.headers.get("Stub-Version", "")
                version = int(shown) if shown.isdigit() else None
                body = await response.read()
                whole = True
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = repr(error)[:120]
        if leaves and not whole:
            self.gave_up += 1
            return True
        digest = digest_of(body) if whole and status == 200 else ""
        seat = "" if not self._several else self._new_seat() if own is None else own.seat
        ended_at = monotonic()
        self._recorder.add(
            Read(
                key.key, variant, edge, began_at, ended_at, status, version, whole, len(body), digest, said, why, seat
            )
        )  # fmt: skip
        self._reads += 1
        return status == 200

    # --- writing and purging ---

    async def _writer(self) -> None:
        """Changes that nobody purges for."""
        chance = Random(f"{self._plan.seed} writer")
        while not self._ended:
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            await self._write(chance.choice(self._keys), chance)

    async def _write(self, key: Key, chance: Random) -> None:
        async with self._locks[key.key]:
            self._versions[key.key] += 1
            version, sent_at = self._versions[key.key], monotonic()
            acked_at = None
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._publish(key, version, chance)
                acked_at = monotonic()
            self._recorder.add(Write(key.key, version, sent_at, acked_at))

    async def _publish(self, key: Key, version: int, chance: Random, *, broken: bool = False) -> None:
        delay = chance.choice((0.0, 0.0, 0.02, 0.08))
        await self._world.publish(key, version, delay, broken=broken, slow=chance.random() < 0.15)

    async def _purger(self, number: int) -> None:
        chance = Random(f"{self._plan.seed} purger {number}")
        await asyncio.sleep(QUIET_SECONDS)  # in which the origin must not see two fetches of a key at once
        while not self._ended:
            # As many for each read as the plan says, spread over the whole run.
            if self._purges * self._plan.reads > self._reads * self._plan.purges:
                await asyncio.sleep(0.01)
                continue
            self._purges += 1
            key = chance.choice(self._keys)
            if chance.random() < 0.9:
                await self._write(key, chance)
            await self._purge(key, chance)

    async def _purge(self, key: Key, chance: Random) -> None:
        """One purge that names this key somehow, through any node; then those who look whether it was true."""
        asked = Purge(0, chance.choice(NODES), 0.0, 0.0, PurgeState.UNANSWERED)
        body: dict[str, object]
        keys: tuple[str, ...] = ()
        tags: tuple[str, ...] = ()
        prefixes: tuple[str, ...] = ()
        everything = False
        match chance.choices(("url", "urls", "tag", "prefix", "host", "all"), (50, 10, 25, 12, 1, 2))[0]:
            case "url":
                keys = (key.key,)
            case "urls":
                keys = tuple({key.key, *(each.key for each in chance.sample(self._keys, 3))})
            case "tag":
                tags = (chance.choice(key.tags[:1] * 4 + key.tags),)
            case "prefix":
                prefixes = (key.key,)
            case _:
                everything = True
        body = {
            "urls": [f"http://{HOST}{each}" for each in keys],
            "tags": list(tags),
            "prefixes": [f"http://{HOST}{each}" for each in prefixes],
            "all": everything and chance.random() < 0.5,
        }
        if everything and not body["all"]:
            body["hosts"] = [HOST]
        soft, waited = chance.random() < 0.1, chance.random() > 0.05
        body |= {"soft": soft, "wait": "all" if waited else "accepted"}
        sent_at = monotonic()
        told = await self._world.purge(asked.via, body)
        acked_at = monotonic()
        made = Purge(
            told.number, asked.via, sent_at, acked_at, told.state, told.nodes,
            keys, tags, prefixes, everything, soft, waited, told.why,
        )  # fmt: skip
        named = [each for each in self._keys if made.names(each)]
        for edge in EDGES:
            self._aside(self._look(edge, chance.choice(named), chance))
        self._recorder.add(made)

    async def _later_receipts(self) -> None:
        """What became of the purges that were not complete when they were answered."""
        open_ones = [
            purge for purge in self._recorder.history.purges if purge.state in (PurgeState.PARTIAL, PurgeState.ACCEPTED)
        ]
        for purge in open_ones[-200:]:
            told: Told = await self._world.receipt(SHIELD, purge.id)
            if told.state is PurgeState.COMPLETE:
                self._recorder.add(
                    Purge(
                        purge.id,
                        SHIELD,
                        purge.sent_at,
                        monotonic(),
                        told.state,
                        told.nodes,
                        purge.keys,
                        purge.tags,
                        purge.prefixes,
                        purge.everything,
                        purge.soft,
                        waited=False,
                    )
                )

    # --- watching the load ---

    async def _witnesses(self) -> None:
        """Keys that nobody purges, one after the other: of them the origin sees one fetch at a time."""
        number = 0
        while not self._ended:
            key = Key(f"/witness/{number}", 400, 1.0)
            number += 1
            began_at = monotonic()
            try:
                await self._world.publish(key, 1, 0.05)
                self._recorder.add(key)
                self._witness = key
                await asyncio.sleep(QUIET_SECONDS - 0.2)
                self._recorder.add(Load(key.key, await self._world.most_at_once(key), began_at, monotonic()))
                await self._look_below()
            except (aiohttp.ClientError, OSError, TimeoutError):
                continue

    async def _look_below(self) -> None:
        for node in NODES:
            held = await self._world.held(node)
            entries = [int(str(level["entries"])) for level in held.values()]
            # None of its workers may have answered just now.
            self.only_below = max([self.only_below, *(below - entries[0] for below in entries[1:])])

    # --- disturbing ---

    async def _faults(self) -> None:
        """Each kind once, in an order of its own each time; a quiet stretch before, between and behind."""
        chance = Random(f"{self._plan.seed} faults")
        strikes = [*self._strikes_at_nodes(), *self._strikes_at_levels()]
        if chosen := self._plan.strikes:  # each once
            kinds = [strike for strike in dict.fromkeys(strikes) if strike.__name__.removeprefix("_") in chosen]
        else:
            kinds = strikes
        await asyncio.sleep(QUIET_SECONDS)
        while not self._ended:
            chance.shuffle(kinds)
            for fault in kinds:
                if self._is_over():
                    return
                await fault(chance)
                await asyncio.sleep(chance.choice((0.2, 1.0, BOUNDS.recovery + 2.0 if self._rounds else 1.0)))
            await asyncio.sleep(BOUNDS.recovery + 2.0)
            self._rounds += 1

    def _strikes_at_nodes(self) -> list[Strike]:
        return [
            self._freeze_long,
            self._freeze_briefly,
            self._cut_off,
            self._kill_edge,
            self._kill_shield,
            self._freeze_origin,
            self._break_off,
        ]

    def _strikes_at_levels(self) -> list[Strike]:
        match self._plan.levels:
            case Levels.MEMORY:
                return []
            case Levels.DISK:
                return [self._kill_edge, self._kill_shield]  # where most can go wrong
            case Levels.WORKERS:
                return [self._freeze_worker, self._kill_worker, self._kill_keeper]
            case Levels.REDIS:
                return [self._freeze_redis, self._kill_redis, self._flush_redis, self._restore_redis]

    async def _freeze_long(self, chance: Random) -> None:
        await self._freeze(chance.choice(EDGES), chance.uniform(1.2, 1.7) * LEASE)

    async def _freeze_briefly(self, chance: Random) -> None:
        await self._freeze(chance.choice(EDGES), chance.uniform(0.1, 0.8) * LEASE)

    async def _freeze_origin(self, chance: Random) -> None:
        await self._freeze(ORIGIN, chance.uniform(0.3, 1.5))

    async def _freeze(self, node: str, seconds: float) -> None:
        process, struck_at = self._world.processes[node], monotonic()
        try:
            await process.freeze()
            began_at = monotonic()
            await asyncio.sleep(seconds)
        finally:
            ended_at = monotonic()
            process.thaw()
        recovered_at = await self._world.heal(HEAL_SECONDS)
        self._recorder.add(Fault(FaultKind.FREEZE, node, struck_at, began_at, ended_at, recovered_at))

    async def _cut_off(self, chance: Random) -> None:
        """An edge that hears nothing of its hub, while clients reach it and it reaches the shield."""
        edge, struck_at = chance.choice(EDGES), monotonic()
        relay = self._world.relays[edge]
        relay.cut()
        began_at = monotonic()
        await asyncio.sleep(chance.uniform(1.2, 2.0) * LEASE)
        ended_at = monotonic()
        relay.mend()
        recovered_at = await self._world.heal(HEAL_SECONDS)
        self._recorder.add(Fault(FaultKind.CUT, edge, struck_at, began_at, ended_at, recovered_at))

    async def _kill_edge(self, chance: Random) -> None:
        await self._kill(chance.choice(EDGES), chance.uniform(0.0, 1.5), chance)

    async def _kill_shield(self, chance: Random) -> None:
        await self._kill(SHIELD, chance.uniform(0.0, 1.5), chance)

    async def _kill(self, node: str, seconds: float, chance: Random, *, alone: bool = False) -> None:
        process, struck_at = self._world.processes[node], monotonic()
        await process.kill(alone=alone)
        began_at = monotonic()
        self._exchange_cache(node, chance)
        await asyncio.sleep(seconds)
        ended_at = monotonic()
        await process.start()
        recovered_at = await self._world.heal(HEAL_SECONDS)
        self._recorder.add(Fault(FaultKind.KILL, node, struck_at, began_at, ended_at, recovered_at))

    def _exchange_cache(self, node: str, chance: Random) -> None:
        """What a node finds on its disk when it is back: mostly what it left there; or an older copy, or nothing."""
        draw = chance.random()
        if draw < 0.25 and self._world.restore_cache(node):
            return
        if draw > 0.95:
            self._world.lose_cache(node)
        elif draw > 0.5:
            self._world.keep_cache(node)

    # --- one of several processes ---

    def _worker(self, chance: Random) -> tuple[str, Process, int]:
        edge = chance.choice(EDGES)
        process = self._world.processes[edge]
        return edge, process, chance.choice(sorted(process.workers()))

    async def _freeze_worker(self, chance: Random) -> None:
        edge, _, worker = self._worker(chance)
        struck_at = monotonic()
        try:
            await freeze(worker)
            began_at = monotonic()
            await asyncio.sleep(chance.uniform(0.3, 1.7) * LEASE)
        finally:
            ended_at = monotonic()
            send(worker, SIGCONT)
        recovered_at = await self._world.heal(HEAL_SECONDS)
        self._recorder.add(Fault(FaultKind.FREEZE, edge, struck_at, began_at, ended_at, recovered_at))

    async def _kill_worker(self, chance: Random) -> None:
        """Its keeper starts another one at once."""
        edge, process, worker = self._worker(chance)
        struck_at = monotonic()
        send(worker, SIGKILL)
        began_at = monotonic()
        while worker in (now := process.workers()) or len(now) < 2:  # noqa: ASYNC110 (the keeper tells nobody)
            await asyncio.sleep(0.01)
        recovered_at = await self._world.heal(HEAL_SECONDS)
        # When the next one could apply an order, nobody has seen.
        self._recorder.add(Fault(FaultKind.KILL, edge, struck_at, began_at, began_at, recovered_at))

    async def _kill_keeper(self, chance: Random) -> None:
        """Its workers find out and drain."""
        await self._kill(chance.choice(EDGES), chance.uniform(0.0, 0.5), chance, alone=True)

    # --- a level that nodes share ---

    @property
    def _redis(self) -> RedisProcess:
        assert self._world.redis is not None
        return self._world.redis

    async def _freeze_redis(self, chance: Random) -> None:
        redis, struck_at = self._redis, monotonic()
        redis.stop()
        began_at = monotonic()
        try:
            await asyncio.sleep(chance.choice((chance.uniform(0.02, 0.3), chance.uniform(0.3, 3.0))))
        finally:
            ended_at = monotonic()
            redis.go_on()
        self._recorder.add(Fault(FaultKind.FREEZE, SHARED, struck_at, began_at, ended_at, monotonic()))

    async def _kill_redis(self, chance: Random) -> None:
        struck_at, began_at, ended_at = await self._restart_redis(chance)
        self._recorder.add(Fault(FaultKind.KILL, SHARED, struck_at, began_at, ended_at, monotonic()))

    async def _restart_redis(self, chance: Random) -> tuple[float, float, float]:
        redis, struck_at = self._redis, monotonic()
        await asyncio.to_thread(redis.kill)
        began_at = monotonic()
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        ended_at = monotonic()
        await asyncio.to_thread(redis.start)
        return struck_at, began_at, ended_at

    async def _flush_redis(self, chance: Random) -> None:
        for _ in range(chance.randint(1, 4)):
            struck_at = monotonic()
            await asyncio.to_thread(self._redis.ask, "FLUSHALL")
            done_at = monotonic()
            self._recorder.add(Fault(FaultKind.FLUSH, SHARED, struck_at, done_at, done_at, done_at))
            await asyncio.sleep(chance.uniform(0.0, 0.5))

    async def _restore_redis(self, chance: Random) -> None:
        """It comes back with what it held some time before: what it was told since, it does not know."""
        await asyncio.to_thread(self._redis.ask, "SAVE")
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        struck_at, began_at, ended_at = await self._restart_redis(chance)
        self._redis.snapshot.unlink()  # for the next who kills it
        self._recorder.add(Fault(FaultKind.RESTORE, SHARED, struck_at, began_at, ended_at, monotonic()))

    async def _break_off(self, chance: Random) -> None:
        """The bodies of a few keys end in the middle for a while; purged, so that they are fetched."""
        keys = sorted(chance.sample(self._keys, 3), key=lambda key: key.key)  # one order, or two could wait in a ring
        struck_at = monotonic()
        for key in keys:
            await self._locks[key.key].acquire()
        try:
            for key in keys:
                await self._publish(key, self._versions[key.key], chance, broken=True)
            began_at = monotonic()
            await self._world.purge(SHIELD, {"urls": [f"http://{HOST}{key.key}" for key in keys]})
            await asyncio.sleep(chance.uniform(0.3, 0.8))
            for key in keys:
                await self._publish(key, self._versions[key.key], chance)
            ended_at = monotonic()
        finally:
            for key in keys:
                self._locks[key.key].release()
        await asyncio.sleep(0.3)  # what broke off before may still be on its way
        for key in keys:
            fault = Fault(FaultKind.TRUNCATE, ORIGIN, struck_at, began_at, ended_at, monotonic(), key.key)
            self._recorder.add(fault)


async def run(plan: Plan, directory: Path) -> Outcome:
    """The whole run; its history and the nodes' logs are in `directory`."""
    upstream: dict[str, tuple[str, ...]] = {SHIELD: (), **dict.fromkeys(EDGES, (SHIELD,))}
    setup = Setup(upstream, LEASE, MARGIN, plan.seed, plan.levels.value, plan.levels is Levels.REDIS)
    began_at = monotonic()
    async with world(directory, plan.levels) as over:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
            with Recorder(setup, directory / "history.jsonl") as recorder:
                driver = Run(plan, over, session, recorder)
                await driver.drive()
        died = [name for name, process in over.processes.items() if process.ended]
    seconds = monotonic() - began_at
    complaints = [f"{name} had died" for name in died]
    complaints += [
        f"{name} logged a fault of its own:\n{over.processes[name].log()[-2000:]}"
        for name in over.processes
        if "Traceback" in over.processes[name].log()
    ]
    violations = check(recorder.history, BOUNDS)
    return Outcome(recorder.history, violations, seconds, driver.gave_up, complaints, driver.held, driver.only_below)


def main(words: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.consistency.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--reads", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--purges", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=1800.0, help="the end in any case, default: %(default)s")
    parser.add_argument(
        "--levels", type=Levels, choices=tuple(Levels), default=Levels.MEMORY, metavar="|".join(Levels),
        help="where the nodes keep what they store, default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep history and logs here; else only of a failed run"
    )
    parser.add_argument("--check", type=Path, metavar="FILE", help="judge a recorded history once more")
    asked = parser.parse_args(words)
    if asked.levels is Levels.REDIS and shutil.which("redis-server") is None:
        parser.error("--levels redis needs redis-server, which is not installed here")
    if asked.check is not None:
        with asked.check.open(encoding="utf-8") as lines:
            history = read_history(lines)
        outcome = Outcome(history, check(history, BOUNDS), max((r.ended_at for r in history.reads), default=1.0))
    else:
        if asked.keep is not None:
            asked.keep.mkdir(parents=True, exist_ok=True)
        directory = asked.keep or Path(tempfile.mkdtemp(prefix="seawall-consistency-"))
        plan = Plan(asked.seed, asked.reads, asked.purges, asked.seconds, levels=asked.levels)
        outcome = asyncio.run(run(plan, directory))
        if asked.keep is None and outcome.good:
            shutil.rmtree(directory)
        else:
            outcome.complaints += [f"history and logs: {directory}"] if not outcome.good else []
    print("\n".join(outcome.lines()))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
