"""What was promised to be written down is there again, or the journal says that it is another one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from seawall.purge.ledger import JournalError, Ledger, Opening
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from tests.structure.sources import ROOT

SMALL = {"reserve_bytes": 8192}


def orders(first: int, last: int, tag: str = "t") -> list[Order]:
    return [
        Order(number, 1.5 * number, Selection(tags=(f"{tag}{number}",)), number % 2 == 0)
        for number in range(first, last + 1)
    ]


def opened(directory: Path, **bounds: int) -> Ledger:
    return Ledger(directory, **{**SMALL, **bounds})


def written(directory: Path, count: int) -> tuple[str, bytes]:
    """A journal of so many orders, closed: its id and its file."""
    ledger = opened(directory)
    if count:
        ledger.append(orders(1, count))
    ledger.close()
    return ledger.id, (directory / "orders").read_bytes()


def test_orders_are_there_again(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    assert (ledger.opening, ledger.first, ledger.last, ledger.orders) == (Opening(new=True), 1, 0, [])
    ledger.append(orders(1, 2))
    ledger.append(orders(3, 3))
    ledger.close()
    again = opened(tmp_path)
    assert (again.id, again.first, again.last, again.opening) == (ledger.id, 1, 3, Opening())
    assert again.orders == orders(1, 3)
    again.append(orders(4, 4))
    again.close()
    third = opened(tmp_path)
    assert third.orders == orders(1, 4)
    third.close()


def test_two_journals_are_never_the_same(tmp_path: Path) -> None:
    assert written(tmp_path / "a", 0)[0] != written(tmp_path / "b", 0)[0]


def test_a_torn_tail_is_cut_off_at_every_octet(tmp_path: Path) -> None:
    """Whatever part of the last line was written: it was never promised, and everything before it was."""
    identity, whole = written(tmp_path, 3)
    end_of_two = whole.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(end_of_two, len(whole)):
        (tmp_path / "orders").write_bytes(whole[:length])
        ledger = opened(tmp_path)
        assert (ledger.id, ledger.orders) == (identity, orders(1, 2)), length
        assert ledger.opening == Opening(cut_bytes=length - end_of_two)
        ledger.append(orders(3, 3, "other"))
        ledger.close()
        again = opened(tmp_path)
        assert (again.id, again.orders) == (identity, orders(1, 2) + orders(3, 3, "other"))
        again.close()


def test_a_tail_of_zeros_after_a_power_cut_is_cut_off(tmp_path: Path) -> None:
    identity, whole = written(tmp_path, 2)
    (tmp_path / "orders").write_bytes(whole + bytes(4096))
    ledger = opened(tmp_path)
    assert (ledger.id, ledger.orders, ledger.opening) == (identity, orders(1, 2), Opening(cut_bytes=4096))
    ledger.close()


def test_a_flipped_bit_anywhere_makes_another_journal(tmp_path: Path) -> None:
    """Never an order less under the same id: nodes would not know that they missed it."""
    identity, whole = written(tmp_path, 3)
    for place in range(len(whole) - 1):  # the last octet is a torn tail
        damaged = bytearray(whole)
        damaged[place] ^= 0x02
        (tmp_path / "orders").write_bytes(damaged)
        ledger = opened(tmp_path)
        assert ledger.id != identity, place
        assert (ledger.first, ledger.last, ledger.orders) == (1, 0, [])
        assert ledger.opening.replaced
        assert (tmp_path / "orders.damaged").read_bytes() == damaged
        ledger.append(orders(1, 1))
        ledger.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [],
        lambda lines: lines[1:],
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:2], *lines[1:]],
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        lambda lines: [*lines[:2], b"\n", *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
    ],
    ids=["empty", "no header", "first gone", "middle gone", "one twice", "swapped", "empty line", "two headers"],
)
def test_lines_that_do_not_follow_each_other_make_another_journal(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    identity, whole = written(tmp_path, 3)
    (tmp_path / "orders").write_bytes(b"".join(damage(whole.splitlines(keepends=True))))
    ledger = opened(tmp_path)
    assert ledger.id != identity
    assert ledger.opening.replaced
    ledger.close()


def test_a_start_that_put_the_file_aside_and_died_does_not_make_the_next_one_look_new(tmp_path: Path) -> None:
    written(tmp_path, 3)
    (tmp_path / "orders").rename(tmp_path / "orders.damaged")
    ledger = opened(tmp_path)
    assert not ledger.opening.new
    assert ledger.opening.replaced
    ledger.close()


def test_a_journal_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    import zlib

    written(tmp_path, 1)
    payload = b"seawall-orders 2 0123 1"
    later = b"%08x %s\n" % (zlib.crc32(payload), payload)
    (tmp_path / "orders").write_bytes(later)
    with pytest.raises(JournalError, match="version"):
        opened(tmp_path)
    assert (tmp_path / "orders").read_bytes() == later


def test_only_one_may_have_it_open(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    with pytest.raises(JournalError, match="another process"):
        opened(tmp_path)
    ledger.append(orders(1, 1))
    ledger.close()
    opened(tmp_path).close()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "journal"
    directory.mkdir(parents=True, mode=0o777)
    directory.chmod(0o777)
    ledger = opened(directory)
    ledger.append(orders(1, 1))
    ledger.close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o077 for file in directory.iterdir()} == {0}


# --- bounds ---


def test_the_oldest_are_forgotten_and_numbers_go_on(tmp_path: Path) -> None:
    ledger = opened(tmp_path, max_orders=100)
    for number in range(1, 351):
        ledger.append(orders(number, number))
        ledger.tidy()
        assert ledger.last == number
        assert ledger.last - ledger.first < 100
    first = ledger.first
    ledger.close()
    again = opened(tmp_path, max_orders=100)
    assert (again.id, again.first, again.last) == (ledger.id, first, 350)
    assert again.orders == orders(first, 350)
    again.close()


def test_its_bytes_are_bounded_and_the_newest_order_is_always_kept(tmp_path: Path) -> None:
    ledger = opened(tmp_path, max_bytes=20_000)
    for number in range(1, 30):
        ledger.append([Order(number, 0.0, Selection(tags=("x" * 15_000,)))])
        ledger.tidy()
        assert ledger.size_bytes <= 20_000
        assert (tmp_path / "orders").stat().st_size == ledger.size_bytes
        assert ledger.first <= ledger.last == number
    ledger.close()


def test_a_kill_in_the_middle_of_the_rewriting_loses_nothing(tmp_path: Path) -> None:
    identity, whole = written(tmp_path, 5)
    (tmp_path / "orders.new").write_bytes(whole[:40])
    ledger = opened(tmp_path)
    assert (ledger.id, ledger.orders) == (identity, orders(1, 5))
    assert not (tmp_path / "orders.new").exists()
    ledger.close()


# --- a disk that is full, or broken ---


def failing(number: int) -> Callable[..., int]:
    def call(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_an_error_of_the_disk_is_loud_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    ledger.append(orders(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.EIO))
        with pytest.raises(JournalError):
            ledger.append(orders(2, 3))
    assert ledger.last == 1
    ledger.append(orders(2, 2, "other"))
    ledger.close()
    again = opened(tmp_path)
    assert again.orders == orders(1, 1) + orders(2, 2, "other")
    again.close()


def test_half_a_write_before_the_error_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(tmp_path)
    ledger.append(orders(1, 1))
    write, calls = os.write, 0

    def half(handle: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.EIO, "broken")
        return write(handle, content[: len(content) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(JournalError):
            ledger.append(orders(2, 3))
    ledger.append(orders(2, 2))
    ledger.close()
    again = opened(tmp_path)
    assert (again.orders, again.opening) == (orders(1, 2), Opening())
    again.close()


def test_after_a_failed_fsync_the_file_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fsync would report success for pages that the kernel has dropped."""
    ledger = opened(tmp_path)
    ledger.append(orders(1, 2))
    inode = (tmp_path / "orders").stat().st_ino
    sync, calls = os.fsync, 0

    def failing_once(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.EIO, "broken")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_once)
        with pytest.raises(JournalError):
            ledger.append(orders(3, 3))
    assert (tmp_path / "orders").stat().st_ino == inode
    ledger.append(orders(3, 3))
    assert (tmp_path / "orders").stat().st_ino != inode
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        for _ in range(2):
            with pytest.raises(JournalError):
                ledger.append(orders(4, 4))
    ledger.append(orders(4, 4))
    ledger.close()
    again = opened(tmp_path)
    assert again.orders == orders(1, 4)
    again.close()


def test_a_full_disk_takes_the_reserve_and_the_order_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    reserve = tmp_path / "reserve"
    assert reserve.stat().st_blocks * 512 >= SMALL["reserve_bytes"]
    write = os.write

    def full_while_reserved(handle: int, content: bytes) -> int:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "full")
        return write(handle, content)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_while_reserved)
        patch.setattr(os, "posix_fallocate", no_room)
        ledger.append(orders(1, 2))
        ledger.tidy()
        assert not reserve.exists()
    ledger.tidy()
    assert ledger.reserved, "there is room again"
    ledger.close()
    again = opened(tmp_path)
    assert again.orders == orders(1, 2)
    again.close()


def test_a_full_disk_without_a_reserve_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened(tmp_path, reserve_bytes=0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        with pytest.raises(JournalError):
            ledger.append(orders(1, 1))
    ledger.append(orders(1, 1))
    assert ledger.last == 1
    ledger.close()


LIMITED = """
    import resource, sys
    from pathlib import Path
    from seawall.purge.ledger import Ledger
    from seawall.purge.order import Order
    from seawall.purge.selection import Selection
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    ledger = Ledger(Path(sys.argv[1]), reserve_bytes=8192)
    for number in range(1, 2001):
        ledger.append([Order(number, 0.0, Selection(tags=(f"t{number}",)))])
        ledger.tidy()
    print(ledger.first, ledger.last, ledger.id)
"""


def child(program: str, *arguments: str, around: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*around, sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)


def test_a_limit_on_the_size_of_files_makes_it_forget_and_not_fail(tmp_path: Path) -> None:
    ended = child(LIMITED, str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    first, last, identity = ended.stdout.split()
    assert int(first) > 1
    assert last == "2000"
    ledger = opened(tmp_path)
    assert (ledger.id, ledger.first, ledger.last) == (identity, int(first), 2000)
    ledger.close()


FULL = """
    import errno, os, sys
    from pathlib import Path
    from seawall.purge.ledger import Ledger
    from seawall.purge.order import Order
    from seawall.purge.selection import Selection

    def fill(disk):
        handle = os.open(disk / "cache", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while True:
                os.write(handle, bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        os.close(handle)

    disk = Path(sys.argv[1])
    ledger = Ledger(disk / "journal", reserve_bytes=65536)
    assert ledger.reserved
    fill(disk)
    for number in range(1, 5001):
        ledger.append([Order(number, 0.0, Selection(tags=(f"t{number}",)))])
        ledger.tidy()
    assert not ledger.reserved
    ledger.close()
    again = Ledger(disk / "journal", reserve_bytes=65536)
    assert (again.id, again.last) == (ledger.id, 5000)
    (disk / "cache").unlink()
    again.tidy()
    assert again.reserved
    print(again.first, again.last)
"""


def test_thousands_of_purges_go_through_on_a_disk_that_a_cache_has_filled(tmp_path: Path) -> None:
    """A real tmpfs of 1 MiB in a mount namespace of its own."""
    unshare = shutil.which("unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"', str(disk))
    if unshare is None or subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace to be had here")
    ended = child(FULL, str(disk), around=mounted)
    assert ended.returncode == 0, ended.stderr
    first, last = map(int, ended.stdout.split())
    assert last == 5000
    assert first < 5000
