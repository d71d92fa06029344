"""Bodies that the kernel sends from where they lie: what is held, what is given back, and what never changes."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.store import arena as arena_module
from seawall.store.arena import LEAST_BYTES, MOST_BYTES, Arena, open_arena
from seawall.store.memory import MemoryStore
from tests.store.test_memory import entry, item
from tests.structure.sources import ROOT

PAGE = resource.getpagesize()
LARGE = os.urandom(LEAST_BYTES)


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = open_arena()
    assert arena is not None, "this system has no memfd: every test here is for one that has"
    yield arena
    assert arena.used_bytes == 0
    assert taken_bytes(arena) == 0


def taken_bytes(arena: Arena) -> int:
    """What the file takes of the machine's memory, as the kernel counts."""
    return os.fstat(arena.fd).st_blocks * 512


@settings(max_examples=100)
@given(
    pieces=st.lists(st.binary(max_size=3 * 4096), max_size=5),
    first=st.integers(0, 20_000),
    stop=st.integers(0, 20_000),
)
def test_what_is_held_is_read_from_anywhere_to_anywhere(pieces: list[bytes], first: int, stop: int) -> None:
    arena = open_arena()
    assert arena is not None
    before = arena.hold([b"neighbour"])
    extent = arena.hold(pieces)
    behind = arena.hold([b"neighbour"])
    assert extent is not None
    assert before is not None
    assert behind is not None
    whole = b"".join(pieces)
    assert extent.length == len(whole)
    assert extent.read(first, stop) == whole[first:stop]
    assert before.read(0, 100) == behind.read(0, 100) == b"neighbour"


def test_whole_pages_are_taken_and_all_of_them_given_back(arena: Arena) -> None:
    held = [arena.hold([bytes([number]) * (PAGE + 1)]) for number in range(10)]
    assert arena.used_bytes == taken_bytes(arena) == 20 * PAGE
    del held[3:7]
    assert arena.used_bytes == taken_bytes(arena) == 12 * PAGE
    assert [each and each.read(PAGE, PAGE + 1) for each in held] == [bytes([number]) for number in (0, 1, 2, 7, 8, 9)]
    again = arena.hold([b"new" * PAGE])
    assert again is not None
    assert again.offset >= 20 * PAGE, "nothing is written where something was"
    del held, again


def test_what_a_client_has_not_taken_yet_stays_as_it_was_when_the_body_is_long_gone(arena: Arena) -> None:
    """The kernel holds the pages. If they were written anew, or emptied, a slow client would get another body."""
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client, server.accept()[0] as side:
        extent = arena.hold([LARGE])
        assert extent is not None
        side.setblocking(False)
        sent = os.sendfile(side.fileno(), extent.fd, extent.offset, extent.length)
        del extent
        assert taken_bytes(arena) == 0
        others = [arena.hold([b"\xff" * LEAST_BYTES]) for _ in range(20)]
        got = b""
        while len(got) < sent:
            got += client.recv(1 << 20)
        assert got == LARGE[:sent]
        del others


def test_a_system_without_such_files_keeps_bodies_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert open_arena() is None
    store = MemoryStore(1 << 20)
    store.put(item("k", LARGE))
    assert store.get("k")[0].held == LARGE
    store.check()


def test_a_kernel_that_does_not_know_of_seals_gives_a_file_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def older(name: str, flags: int) -> int:
        asked.append(flags)
        if flags & 0x08:
            raise OSError(errno.EINVAL, "Invalid argument")
        return memfd_create(name, flags)

    memfd_create = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", older)
    arena = open_arena()
    assert arena is not None
    assert arena.hold([b"x"]) is not None
    assert len(asked) == 2


def test_a_system_that_makes_no_holes_is_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing would ever be given back."""
    monkeypatch.setattr(arena_module, "_PUNCH", 0xFFFF)
    assert open_arena() is None


def test_where_the_kernel_has_no_room_a_body_stays_where_it_is_and_that_is_said_once() -> None:
    program = (
        "import logging, resource\n"
        "logging.basicConfig(format='%(message)s')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from seawall.store.memory import MemoryStore\n"
        "from tests.store.test_memory import item\n"
        "store = MemoryStore(1 << 20)\n"
        "for number in range(3):\n"
        "    store.put(item(f'k{number}', bytes([number]) * 70_000))\n"
        "store.check()\n"
        "print([store.get(f'k{number}')[0].body[0] == bytes([number]) * 70_000 for number in range(3)],\n"
        "      [type(store.get(f'k{number}')[0].held).__name__ for number in range(3)], store._arena.used_bytes)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == f"[True, True, True] ['Extent', 'bytes', 'bytes'] {-(-70_000 // PAGE) * PAGE}\n"
    assert said.stderr.count("arena.full") == 1


@pytest.mark.parametrize(
    ("size", "kind"),
    [(LEAST_BYTES - 1, "bytes"), (LEAST_BYTES, "Extent"), (MOST_BYTES, "Extent"), (MOST_BYTES + 1, "bytes")],
)
def test_only_bodies_that_are_worth_it_are_laid_out(size: int, kind: str) -> None:
    store = MemoryStore(64 << 20)
    new = item("k", b"x" * size)
    cost_bytes = new.cost_bytes
    assert store.put(new)
    (held,) = store.get("k")
    assert type(held.held).__name__ == kind
    assert (held.body_bytes, held.cost_bytes, held.body) == (size, cost_bytes, (b"x" * size,))
    store.check()


def test_a_body_moves_with_its_refreshed_entry_and_goes_with_the_last_who_has_it() -> None:
    store = MemoryStore(64 << 20)
    store.put(item("k", LARGE, tags=("t",)))
    (old,) = store.get("k")
    new = store.refresh(old, entry(tags=("t", "u")))
    assert new is not None
    assert new.held is old.held
    arena = store._arena
    assert arena is not None
    store.drop("k")
    del new
    assert old.body == (LARGE,)
    assert arena.used_bytes == LEAST_BYTES
    del old
    assert arena.used_bytes == 0


def test_a_budget_that_is_kept_is_kept_in_pages_as_well() -> None:
    store = MemoryStore(10 * (LEAST_BYTES + 2000))
    for number in range(100):
        store.put(item(f"k{number}", LARGE))
    assert store._arena is not None
    assert 0 < taken_bytes(store._arena) == store._arena.used_bytes <= store.budget_bytes
    store.close()
    assert taken_bytes(store._arena) == 0
