"""One line a request, written behind the back of those who serve them.

The loop appends to a bounded list; one thread formats and writes in batches: at BATCH lines or once a second. A
disk that is slow, full or gone costs lines and a counter, never a client. A file that was renamed away (logrotate)
is noticed before the next batch, and SIGUSR1's handler may call reopen().
Invariant: a line is written whole or not at all, as far as the file system goes along (O_APPEND, one write a batch).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from seawall.telemetry import events
from seawall.telemetry.escape import escaped
from seawall.telemetry.metrics import Counters

# 200 bytes a line: a second's pause at full speed is 20 MB of lines held. Beyond it lines are lost and counted.
MAX_WAITING = 100_000
BATCH = 512
SECONDS_BETWEEN_WRITES = 1.0
STDOUT = "stdout"


class Record(NamedTuple):
    """What is written of one request. Text is as it came from the network; seconds unless said otherwise."""

    at: float  # epoch
    client: str
    method: str
    scheme: str
    authority: str
    target: str
    minor: int
    status: int
    body_bytes: int
    seconds: float
    outcome: str
    reason: str = ""
    fwd: str = ""
    ttl: float | None = None
    origin_seconds: float | None = None
    referer: str = ""
    user_agent: str = ""


# The same without its name: a tuple display is 0.05 us where Record(...) is 0.5, and hits are counted in those.
Fields = tuple[
    float, str, str, str, str, str, int, int, int, float, str, str, str, float | None, float | None, str, str
]


class Formatter(Protocol):
    """A way to write a record down: one line, line feed included."""

    def __call__(self, record: Record) -> bytes: ...


class Combined:
    """NCSA combined, then the outcome and the seconds, as nginx users append $upstream_cache_status.

    The request line shows the whole URL: a cache serves many hosts, and the format has no field for one.
    """

    def __init__(self) -> None:
        self._second = -1
        self._time = ""

    def __call__(self, record: Record) -> bytes:
        second = int(record.at)
        if second != self._second:
            self._second = second
            # Not strftime's %b: month names must not follow the machine's language.
            when = time.gmtime(second)
            month = "JanFebMarAprMayJunJulAugSepOctNovDec"[when.tm_mon * 3 - 3 : when.tm_mon * 3]
            self._time = time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", when)
        url = f"{record.scheme}://{record.authority}{record.target}"
        return (
            f"{escaped(record.client) or '-'} - - [{self._time}]"
            f' "{escaped(record.method)} {escaped(url)} HTTP/1.{record.minor}" {record.status} {record.body_bytes}'
            f' "{escaped(record.referer) or "-"}" "{escaped(record.user_agent) or "-"}"'
            f" {record.outcome} {record.seconds:.6f}\n"
        ).encode("ascii")


class Json:
    """One object a line; a field that does not apply is null."""

    # JSON needs no escape from 0x7f on, a terminal does.
    _CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")

    def __init__(self, node: str) -> None:
        self._node = node
        self._encoder = msgspec.json.Encoder()

    def __call__(self, record: Record) -> bytes:
        line = self._encoder.encode(
            {
                "ts": round(record.at, 6),
                "client": record.client,
                "method": record.method,
                "url": f"{record.scheme}://{record.authority}{record.target}",
                "status": record.status,
                "bytes": record.body_bytes,
                "seconds": round(record.seconds, 6),
                "outcome": record.outcome,
                "reason": record.reason or None,
                "fwd": record.fwd or None,
                "ttl": None if record.ttl is None else round(record.ttl, 3),
                "upstream_seconds": None if record.origin_seconds is None else round(record.origin_seconds, 6),
                "referer": record.referer or None,
                "user_agent": record.user_agent or None,
                "node": self._node,
            }
        )
        return self._CONTROLS.sub(lambda match: b"\\u00%02x" % match.group()[-1], line) + b"\n"


class AccessLog:
    """Owner of the file and of the thread that writes it; `write` may be called by one thread."""

    def __init__(self, path: str, formatter: Formatter, counters: Counters, *, most_waiting: int = MAX_WAITING) -> None:
        """Opens the file (`stdout` is standard output). Raises OSError: better now than after an hour."""
        self._path = path
        self._format = formatter
        self._counters = counters
        self._most_waiting = most_waiting
        self._waiting: deque[Record | Fields] = deque()
        self._wake = threading.Event()
        self._reopen = False
        self._ending = False
        self._warned = False
        self._fd: int | None = self._open()
        self._writer = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._writer.start()

    def __repr__(self) -> str:
        return f"<AccessLog {self._path} waiting={len(self._waiting)} dropped={self._counters.access_log_dropped}>"

    def write(self, record: Record | Fields) -> None:
        """Takes a record, or all the fields of one in their order. Never waits: one too many is dropped and counted."""
        if len(self._waiting) >= self._most_waiting:
            self._counters.access_log_dropped += 1
            return
        self._waiting.append(record)
        if len(self._waiting) == BATCH:
            self._wake.set()

    def reopen(self) -> None:
        """Opens the path again before the next line; safe in a signal handler."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Writes what waits and ends the thread; a disk that hangs is given up after `timeout` seconds."""
        self._ending = True
        self._wake.set()
        self._writer.join(timeout)
        self._counters.access_log_dropped += len(self._waiting)
        if not self._writer.is_alive():
            self._shut()

    # --- the thread ---

    def _run(self) -> None:
        while True:
            self._wake.wait(SECONDS_BETWEEN_WRITES)
            self._wake.clear()
            ending = self._ending  # asked before the batch: what is appended later is not promised
            self._write_all()
            if ending:
                return

    def _write_all(self) -> None:
        if self._reopen or self._moved():
            self._reopen = False
            self._shut()
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            records = [each if isinstance(each, Record) else Record._make(each) for each in taken]
            try:
                self._put(b"".join(map(self._format, records)))
                self._warned = False
            except OSError as error:
                self._counters.access_log_errors += 1
                self._counters.access_log_lost += len(records)
                self._shut()
                if not self._warned:
                    # Once per outage: a full disk would otherwise fill the next log with its complaints.
                    self._warned = True
                    events.warning("accesslog.failed", path=self._path, why=error.strerror or str(error))

    def _put(self, lines: bytes) -> None:
        if self._fd is None:
            self._fd = self._open()
        for piece in _atoms(lines) if self._path == STDOUT else (lines,):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def _open(self) -> int:
        if self._path == STDOUT:
            return os.dup(1)
        # 0640: a log holds addresses and URLs; its group may read it, as Debian's adm does.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _moved(self) -> bool:
        """Is the file no longer the one under its name?"""
        if self._fd is None or self._path == STDOUT:
            return False
        try:
            named, held = Path(self._path).stat(), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)

    def _shut(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None


def _atoms(lines: bytes) -> Iterator[bytes]:
    """Whole lines, as many at a time as a pipe takes in one piece (PIPE_BUF, 4 KiB): workers of a node share it. Only
    a single line that is longer may be torn; a file (O_APPEND) has no such bound."""
    start = end = 0
    while start < len(lines):
        following = lines.index(b"\n", end) + 1
        if following - start > select.PIPE_BUF and end > start:
            yield lines[start:end]
            start = end
        end = following
        if end == len(lines):
            yield lines[start:end]
            start = end


def access_log(path: str, style: str, node: str, counters: Counters) -> AccessLog:
    """The log that a topology asks for: `style` is combined or json. Raises OSError."""
    formatters: dict[str, Callable[[], Formatter]] = {"combined": Combined, "json": lambda: Json(node)}
    return AccessLog(path, formatters[style](), counters)
