"""The journal on an event loop: an order that was told is on the disk, under its own number."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from seawall.purge.journal import Journal, JournalError, Trimmed
from seawall.purge.ledger import Ledger
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from tests.structure.sources import ROOT


def tagged(tag: str) -> Selection:
    return Selection(tags=(tag,))


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(tmp_path, reserve_bytes=8192)
    yield opened
    await opened.close()


async def test_orders_are_numbered_from_one_and_read_back(journal: Journal) -> None:
    assert (journal.first, journal.last, journal.after(0)) == (1, 0, [])
    first = await journal.append(tagged("a"), False, 10.0)
    second = await journal.append(tagged("b"), True, 11.0)
    assert first == Order(1, 10.0, tagged("a"), False)
    assert second == Order(2, 11.0, tagged("b"), True)
    assert journal.after(0) == [first, second]
    assert journal.after(1) == [second]
    assert journal.after(2) == []
    assert (journal.first, journal.last) == (1, 2)


async def test_numbers_that_this_journal_never_gave_are_not_answered_with_nothing(journal: Journal) -> None:
    await journal.append(tagged("a"), False, 0.0)
    assert journal.after(2) == Trimmed(1, 1)


async def test_what_is_told_is_on_the_disk_and_what_is_not_yet_on_the_disk_is_not_told(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync, syncing, sync = threading.Event(), asyncio.Event(), os.fsync
    loop = asyncio.get_running_loop()

    def held(handle: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        assert may_sync.wait(10)
        sync(handle)

    monkeypatch.setattr(os, "fsync", held)
    asked = asyncio.create_task(journal.append(tagged("a"), False, 0.0))
    await syncing.wait()
    assert not asked.done()
    assert (journal.last, journal.after(0)) == (0, [])
    may_sync.set()
    assert (await asked).number == 1
    assert b'"a"' in (tmp_path / "orders").read_bytes()


async def test_what_comes_during_a_write_shares_the_next_one(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, may_sync, syncing, sync = 0, threading.Event(), asyncio.Event(), os.fsync
    loop = asyncio.get_running_loop()

    def counted(handle: int) -> None:
        nonlocal syncs
        syncs += 1
        loop.call_soon_threadsafe(syncing.set)
        assert may_sync.wait(10)
        sync(handle)

    monkeypatch.setattr(os, "fsync", counted)
    first = asyncio.create_task(journal.append(tagged("first"), False, 0.0))
    await syncing.wait()
    rest = [asyncio.create_task(journal.append(tagged(f"t{n}"), False, 0.0)) for n in range(200)]
    await asyncio.sleep(0)  # all of them have asked
    may_sync.set()
    orders = [await first, *await asyncio.gather(*rest)]
    assert [order.number for order in orders] == list(range(1, 202))
    assert [order.what for order in orders] == [tagged("first"), *(tagged(f"t{n}") for n in range(200))]
    assert journal.after(0) == orders
    assert syncs == 2


async def test_a_disk_error_reaches_everyone_of_the_group_and_the_numbers_are_given_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", broken)
        failed = await asyncio.gather(
            *(journal.append(tagged(f"t{n}"), False, 0.0) for n in range(5)), return_exceptions=True
        )
    assert [type(each) for each in failed] == [JournalError] * 5
    assert journal.last == 0
    assert (await journal.append(tagged("a"), False, 0.0)).number == 1


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(journal: Journal) -> None:
    asked = [asyncio.create_task(journal.append(tagged(f"t{n}"), False, 0.0)) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(got[1], asyncio.CancelledError)
    assert isinstance(got[2], Order)
    # Whether its order was given is not known to it; it was, and has its number.
    assert got[2].number == 3
    assert len(journal.after(0)) == 3  # type: ignore[arg-type]


async def test_close_writes_what_was_asked_for_and_takes_no_more(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, reserve_bytes=0)
    asked = asyncio.create_task(journal.append(tagged("a"), False, 0.0))
    await asyncio.sleep(0)
    await journal.close()
    assert (await asked).number == 1
    with pytest.raises(JournalError):
        await journal.append(tagged("b"), False, 0.0)
    await journal.close()
    again = await Journal.open(tmp_path, reserve_bytes=0)
    assert (again.id, again.last) == (journal.id, 1)
    await again.close()


async def test_two_cannot_have_it_open(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        await Journal.open(tmp_path)


async def test_what_is_forgotten_is_answered_as_trimmed(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, max_orders=10, reserve_bytes=0)
    for number in range(1, 31):
        await journal.append(tagged(f"t{number}"), False, 0.0)
    await journal.close()  # and what the last one made too much is forgotten
    assert journal.last == 30
    assert 20 < journal.first <= 30
    assert journal.after(journal.first - 2) == Trimmed(journal.first, 30)
    held = journal.after(journal.first - 1)
    assert isinstance(held, list)
    assert [order.number for order in held] == list(range(journal.first, 31))


APPENDING = """
    import asyncio, sys
    from pathlib import Path
    from seawall.purge.journal import Journal
    from seawall.purge.selection import Selection

    async def purger(journal, name):
        while True:
            for n in range(1_000_000):
                order = await journal.append(Selection(tags=(f"{name}-{n}",)), False, 0.0)
                print(order.number, order.what.tags[0], flush=True)

    async def main():
        journal = await Journal.open(Path(sys.argv[1]), reserve_bytes=0, max_orders=int(sys.argv[2]))
        print("open", journal.id, journal.opening.replaced, flush=True)
        await asyncio.gather(*(purger(journal, f"{sys.argv[3]}-{n}") for n in range(8)))

    asyncio.run(main())
"""


@pytest.mark.parametrize("max_orders", [1_000_000, 40], ids=["kept", "compacted all the time"])
def test_kill_9_loses_nothing_that_was_told(tmp_path: Path, max_orders: int) -> None:
    chance = random.Random(11)
    told: dict[int, str] = {}
    identities: set[str] = set()
    for life in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APPENDING), str(tmp_path), str(max_orders), f"life{life}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        _, identity, replaced = process.stdout.readline().split()
        identities.add(identity)
        assert replaced == "None"
        for _ in range(chance.randrange(1, 150)):
            number, tag = process.stdout.readline().split()
            told[int(number)] = tag
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                number, tag = line.split()
                told[int(number)] = tag
        process.wait()
        process.stdout.close()
    ledger = Ledger(tmp_path, reserve_bytes=0, max_orders=max_orders)
    assert {ledger.id} == identities
    assert ledger.last >= max(told)
    there = {order.number: order.what.tags[0] for order in ledger.orders}
    assert {number: tag for number, tag in told.items() if number >= ledger.first}.items() <= there.items()
    if max_orders > 1000:
        assert ledger.first == 1
    ledger.close()


async def test_errors_that_are_not_the_disks_wake_everyone_too(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    loop = asyncio.get_running_loop()
    heard: list[object] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    monkeypatch.setattr(journal._ledger, "append", mistaken)
    with pytest.raises(JournalError, match="a mistake of ours"):
        await journal.append(tagged("a"), False, 0.0)


def test_the_thread_has_a_name(tmp_path: Path) -> None:
    async def story(names: Callable[[], set[str]]) -> bool:
        journal = await Journal.open(tmp_path, reserve_bytes=0)
        found = any(name.startswith("seawall-journal") for name in names())
        await journal.close()
        return found and not any(name.startswith("seawall-journal") for name in names())

    assert asyncio.run(story(lambda: {thread.name for thread in threading.enumerate()}))
