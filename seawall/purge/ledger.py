"""The file that orders are written down in, and what is made of it when it is opened again.

Synchronous, and owned by one thread. Knows no event loop; `journal.py` puts one in front of it.

The file is lines, each with its checksum:

    <crc32> seawall-orders 1 <id> <first>
    <crc32> {"number":<first>,...}
    <crc32> {"number":<first+1>,...}

`append` returns when the lines are on the disk (fsync). What it did not return for was never promised, so
three endings are told apart when the file is opened:

- a tail without a line feed was torn while it was written: never promised, cut off;
- a whole line with a wrong checksum or number was promised and is damaged. The orders behind it may have
  been applied by some nodes and not by others, and skipping it would leave a purged response alive
  somewhere for ever. The file is put aside and a new journal begins, with a new id: whoever knew the old
  one must take everything it stores for stale;
- a version that we do not know was written by a later Seawall: we refuse to start rather than destroy it.

A failed fsync leaves the kernel's idea of the file and the disk's apart, and a second fsync reports
success without having written (PostgreSQL met this in 2018). So after one, the file is `suspect`: the next
append first writes all of it anew, under a new name, and renames it.

A full disk: first the reserve is given up; where there is none left, the journal forgets its older half.
Nodes that lag behind that far take everything for stale, which is safe; an order that is not written down
is not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from seawall.purge.order import Order, decode, encode
from seawall.purge.reserve import Reserve

VERSION = 1
# Every node that was away for fewer purges than this catches up; behind it, all that it stores is stale.
MAX_ORDERS = 100_000
MAX_JOURNAL_BYTES = 16 << 20
RESERVE_BYTES = 1 << 20

_MAGIC = b"seawall-orders"
# EFBIG: RLIMIT_FSIZE or the filesystem's own limit. For the journal they are the same as a full disk.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class JournalError(Exception):
    """The order is not written down, and so was not given. The caller tells its client, loudly (a 5xx)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What was found at the start; the operator hears of everything but nothing.

    `cut_bytes` of a torn tail were never promised. `replaced` says why the file was put aside, and the
    journal has a new id then.
    """

    new: bool = False
    cut_bytes: int = 0
    replaced: str | None = None


class _Damaged(Exception):
    """The file cannot be what was written."""


class Ledger:
    """An open journal file: it is ours alone until `close()`. Raises JournalError from everything but `close`."""

    def __init__(
        self,
        directory: Path,
        *,
        max_orders: int = MAX_ORDERS,
        max_bytes: int = MAX_JOURNAL_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        self._path = directory / "orders"
        self._directory = directory
        self._max_orders = max_orders
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._reserve = Reserve(directory / "reserve", reserve_bytes)
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._suspect = False
        self._handle = -1
        self._lock = -1
        self.id = ""
        self.first = 1  # of the orders that are held; last + 1 where none is
        self.opening = Opening()
        try:
            self._own()
            self._reserve.establish()
            self.orders = self._recover()
        except OSError as error:
            self.close()
            raise JournalError(f"{directory}: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def last(self) -> int:
        """The newest order's number, 0 where there was never one."""
        return self.first + len(self._lines) - 1

    @property
    def size_bytes(self) -> int:
        return self._size

    @property
    def reserved(self) -> bool:
        return self._reserve.held

    def append(self, orders: Sequence[Order]) -> None:
        """Writes these down, all or none, and returns when they are on the disk. Numbers go on from `last`."""
        assert [order.number for order in orders] == list(  # noqa: S101
            range(self.last + 1, self.last + 1 + len(orders))
        )
        lines = [_line(encode(order)) for order in orders]
        for make_room in (self._give_up_reserve, self._forget_half, None):
            try:
                self._append(lines)
                break
            except OSError as error:
                if make_room is None or error.errno not in _NO_ROOM:
                    raise JournalError(f"{self._path}: {error}") from error
                with contextlib.suppress(OSError):
                    make_room()
        self._lines.extend(lines)

    def tidy(self) -> None:
        """Forgets the older half where there is too much, and takes the reserve back where there is room for it.

        Apart from `append`, so that nobody waits for it. A failure here loses nothing and is tried again.
        """
        self._reserve.establish()
        limit = self._max_bytes
        if not self._reserve.held:
            # While the disk is full, the room that the reserve gave up is all there is: half of it for the
            # file, the rest for the rewriting of it.
            limit = min(limit, self._reserve_bytes // 2)
        if len(self._lines) > self._max_orders or self._size > limit:
            with contextlib.suppress(OSError):
                self._rewrite(self._max_orders // 2, limit // 2)
                self._reserve.establish()

    def close(self) -> None:
        """Lets the file and the lock go."""
        for handle in (self._handle, self._lock):
            if handle >= 0:
                os.close(handle)
        self._handle = self._lock = -1

    def _own(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._directory}: another process has this journal open") from None

    # --- opening ---

    def _recover(self) -> list[Order]:
        (self._directory / "orders.new").unlink(missing_ok=True)  # a rewriting that did not get to its end
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            # A start that put the file aside and got no further: not new to those who knew the old one.
            aside = (self._directory / "orders.damaged").exists()
            self._begin(Opening(replaced="put aside by an earlier start") if aside else Opening(new=True))
            return []
        end = content.rfind(b"\n") + 1
        try:
            lines = content[:end].splitlines(keepends=True)
            orders = self._read(lines)
        except _Damaged as damage:
            # Kept for whoever wants to know; the name is always the same, so it is never more than one.
            self._path.replace(self._directory / "orders.damaged")
            self._begin(Opening(replaced=str(damage)))
            return []
        self._lines = deque(lines[1:])
        self._size = end
        self._handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        cut = len(content) - end
        if cut:
            os.ftruncate(self._handle, end)
        # What a killed process wrote may be in the kernel only, and we are about to tell nodes of it.
        os.fsync(self._handle)
        self.opening = Opening(cut_bytes=cut)
        return orders

    def _read(self, lines: list[bytes]) -> list[Order]:
        if not lines:
            raise _Damaged("no header")
        words = _checked(lines[0], 1).split(b" ")
        if words[0] != _MAGIC or len(words) != 4:
            raise _Damaged("no header")
        if words[1] != b"%d" % VERSION:
            raise JournalError(f"{self._path}: written by a version that this one does not know")
        orders: list[Order] = []
        self.id = words[2].decode()
        self.first = int(words[3])
        for row, line in enumerate(lines[1:], 2):
            payload = _checked(line, row)
            if not payload.startswith(b"{"):
                raise _Damaged(f"line {row} is no order")
            try:
                order = decode(payload)
            except msgspec.DecodeError:
                # Its checksum is right: it was written so, by a version with more to say.
                raise JournalError(f"{self._path}: line {row} holds an order that this version cannot read") from None
            if order.number != self.first + len(orders):
                raise _Damaged(f"line {row} is out of turn")
            orders.append(order)
        return orders

    def _begin(self, opening: Opening) -> None:
        self.id = secrets.token_hex(8)
        self.first = 1
        try:
            self._rewrite(0, 0)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._reserve.release():
                raise
            self._rewrite(0, 0)
        self.opening = opening

    # --- writing ---

    def _append(self, lines: list[bytes]) -> None:
        if self._suspect:
            self._rewrite(self._max_orders, self._max_bytes)
        try:
            _write(self._handle, b"".join(lines))
        except OSError:
            self._cut()
            raise
        try:
            os.fsync(self._handle)
        except OSError:
            self._suspect = True
            self._cut()
            raise
        self._size += sum(map(len, lines))

    def _cut(self) -> None:
        """Takes back what was written in vain, or the next line would stand in the middle of it."""
        try:
            os.ftruncate(self._handle, self._size)
            os.fsync(self._handle)
        except OSError:
            self._suspect = True

    def _give_up_reserve(self) -> None:
        if self._reserve.release():
            self.tidy()

    def _forget_half(self) -> None:
        self._rewrite(len(self._lines) // 2, self._size // 2)

    def _rewrite(self, most_orders: int, most_bytes: int) -> None:
        """Writes the newest orders that fit, at least one, to a new file, and puts it in the old one's place."""
        keep = octets = 0
        for line in reversed(self._lines):
            if keep and (keep >= most_orders or octets + len(line) > most_bytes):
                break
            keep += 1
            octets += len(line)
        dropped = len(self._lines) - keep
        header = _line(b"%s %d %s %d" % (_MAGIC, VERSION, self.id.encode(), self.first + dropped))
        content = b"".join((header, *islice(self._lines, dropped, None)))
        draft = self._directory / "orders.new"
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(handle, content)
            os.fsync(handle)
            draft.replace(self._path)
        except BaseException:
            os.close(handle)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = handle
        self._size = len(content)
        self.first += dropped
        for _ in range(dropped):
            self._lines.popleft()
        # Until the directory is on the disk, a power cut brings the old file back, without what comes next.
        self._suspect = True
        _sync_directory(self._directory)
        self._suspect = False


def _line(payload: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def _checked(line: bytes, row: int) -> bytes:
    """What the line says, where its checksum agrees."""
    payload = line[9:-1]
    if line[:9] != b"%08x " % zlib.crc32(payload):
        raise _Damaged(f"line {row} does not agree with its checksum")
    return payload


def _write(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
