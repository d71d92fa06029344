"""A request is one line, whatever it was made of; a log that cannot be written costs lines, never a client."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.telemetry.accesslog import AccessLog, Combined, Json, Record, access_log
from seawall.telemetry.metrics import Counters

RECORD = Record(
    at=1795410494.5,
    client="192.0.2.1",
    method="GET",
    scheme="http",
    authority="shop.example",
    target="/a?b=c",
    minor=1,
    status=200,
    body_bytes=1024,
    seconds=0.00123,
    outcome="HIT",
    reason="",
    fwd="",
    ttl=30.0,
    user_agent="curl/8",
)

# The regular expression that log analysers use for combined, with our two fields after it.
NCSA = re.compile(
    r'(?P<client>\S+) (\S+) (\S+) \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+)'
    r' "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)" (?P<outcome>[A-Z]+) (?P<seconds>[\d.]+)\n'
)
NASTY = st.text(st.characters(max_codepoint=0xFF) | st.sampled_from('"\\\n\r\x1b\x9b\x85 '), max_size=30)


@pytest.fixture
def closing() -> Iterator[Callable[[AccessLog], AccessLog]]:
    opened: list[AccessLog] = []

    def remember(log: AccessLog) -> AccessLog:
        opened.append(log)
        return log

    yield remember
    for log in opened:
        log.close()


def test_combined_is_ncsa_combined_with_outcome_and_seconds() -> None:
    assert Combined()(RECORD) == (
        b'192.0.2.1 - - [23/Nov/2026:05:08:14 +0000] "GET http://shop.example/a?b=c HTTP/1.1" 200 1024 "-" "curl/8"'
        b" HIT 0.001230\n"
    )


def test_json_has_every_field() -> None:
    assert json.loads(Json("edge-ams")(RECORD)) == {
        "ts": 1795410494.5,
        "client": "192.0.2.1",
        "method": "GET",
        "url": "http://shop.example/a?b=c",
        "status": 200,
        "bytes": 1024,
        "seconds": 0.00123,
        "outcome": "HIT",
        "reason": None,
        "fwd": None,
        "ttl": 30.0,
        "upstream_seconds": None,
        "referer": None,
        "user_agent": "curl/8",
        "node": "edge-ams",
    }


@given(target=NASTY, agent=NASTY, referer=NASTY, method=NASTY)
def test_no_request_forges_a_line_or_moves_a_cursor(target: str, agent: str, referer: str, method: str) -> None:
    record = RECORD._replace(target=target, user_agent=agent, referer=referer, method=method)
    combined = Combined()(record)
    assert all(0x20 <= octet < 0x7F for octet in combined[:-1])
    match = NCSA.fullmatch(combined.decode("ascii"))
    assert match
    assert match["status"] == "200"
    line = Json("n")(record)
    assert line.count(b"\n") == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line[:-1].decode())
    said = json.loads(line)
    assert (said["user_agent"] or "", said["method"]) == (agent, method)


def test_what_is_written_is_on_disk_after_close(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = access_log(str(path), "combined", "n", Counters())
    for status in range(200, 600):
        log.write(RECORD._replace(status=status))
    log.close()
    assert [int(line.split('" ')[1][:3]) for line in path.read_text().splitlines()] == list(range(200, 600))
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("style", ["combined", "json"])
def test_fields_in_their_order_are_as_good_as_a_record(tmp_path: Path, style: str) -> None:
    """Hits push plain tuples: the line is the same."""
    path = tmp_path / "access.log"
    log = access_log(str(path), style, "edge-1", Counters())
    log.write(RECORD)
    log.write(tuple(RECORD))
    log.close()
    first, second = path.read_bytes().splitlines()
    assert first == second


def test_a_log_that_was_renamed_away_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = access_log(str(path), "json", "n", Counters())
    log.write(RECORD)
    path.rename(tmp_path / "access.log.1")
    log.write(RECORD)
    log.close()
    lines = sum(len(file.read_text().splitlines()) for file in tmp_path.iterdir())
    assert path.exists()
    assert lines == 2


def test_reopen_takes_the_path_again(tmp_path: Path, closing: Callable[[AccessLog], AccessLog]) -> None:
    path = tmp_path / "access.log"
    log = closing(access_log(str(path), "json", "n", Counters()))
    log.reopen()
    log.write(RECORD)
    log.close()
    assert len(path.read_text().splitlines()) == 1


def test_a_log_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        access_log(str(tmp_path), "json", "n", Counters())


class Stuck:
    """A formatter that holds the writer until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, record: Record) -> bytes:
        self.entered.set()
        self.go.wait(10)
        return b"x\n"


def test_lines_beyond_the_bound_are_dropped_and_counted(
    tmp_path: Path, closing: Callable[[AccessLog], AccessLog]
) -> None:
    counters, stuck = Counters(), Stuck()
    log = closing(AccessLog(str(tmp_path / "l"), stuck, counters, most_waiting=3))
    log.write(RECORD)
    log.reopen()  # wakes the writer, which takes the first line and is held with it
    assert stuck.entered.wait(10)
    for _ in range(5):
        log.write(RECORD)
    assert counters.access_log_dropped == 2
    stuck.go.set()
    log.close()
    assert (tmp_path / "l").read_bytes() == b"x\n" * 4


def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    counters, stuck = Counters(), Stuck()
    log = AccessLog(str(tmp_path / "l"), stuck, counters)
    log.write(RECORD)
    log.reopen()
    assert stuck.entered.wait(10)
    log.write(RECORD)
    log.close(timeout=0.05)
    assert counters.access_log_dropped == 1
    stuck.go.set()
    log.close()


def test_a_full_disk_costs_a_counter_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counters, full = Counters(), True
    written = threading.Event()
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if full:
            written.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("seawall.telemetry.accesslog.os.write", write)
    log = access_log(str(tmp_path / "l"), "combined", "n", counters)
    for _ in range(2):
        written.clear()
        log.write(RECORD)
        log.reopen()
        assert written.wait(10)
    full = False
    log.write(RECORD)
    log.close()
    assert counters.access_log_errors == 2
    assert counters.access_log_lost == 2
    assert (tmp_path / "l").read_bytes().count(b"\n") == 1
    assert [record.getMessage() for record in caplog.records].count("accesslog.failed") == 1


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("seawall.telemetry.accesslog.os.write", lambda fd, data: real(fd, data[:7]))
    log = access_log(str(tmp_path / "l"), "combined", "n", Counters())
    log.write(RECORD)
    log.close()
    assert (tmp_path / "l").read_bytes() == Combined()(RECORD)
