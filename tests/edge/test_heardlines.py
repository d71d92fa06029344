"""An origin's head line by line: what is said of it is what the parser, the framing and the header rules would say."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.heardlines
from edge.heardlines import MOST_LINE_BYTES, MOST_LINES, Lines
from seawall.http.bad import Bad
from seawall.http.framing import Length, keep_alive, response_framing
from seawall.http.headers import end_to_end
from seawall.http.wire import MAX_HEAD_BYTES, parse_response_head
from seawall.policy.trace import INTERNAL
from seawall.upstream.connection import MAX_FIELDS
from tests.edge.test_errand_differential import ANSWERS, LINES

PLAIN = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\n"
DIRECTING = frozenset({"cache-control", "cdn-cache-control", "surrogate-control"})


def agrees(lines: Lines, head: bytes) -> bool:
    """Is it heard? Then everything that is said of it is so."""
    heard = lines.read(head)
    assert heard == lines.read(head)
    if heard is None:
        return False
    status, reason, pairs, shown, length, hint, directing = heard
    parsed = parse_response_head(head, max_fields=MAX_FIELDS)
    assert not isinstance(parsed, Bad)
    assert len(head) <= MAX_HEAD_BYTES
    assert (status, reason, parsed.minor) == (parsed.status, parsed.reason, 1)
    assert response_framing("GET", parsed) == Length(length)
    assert keep_alive(parsed)
    kept = end_to_end(parsed.headers)
    assert pairs == list(kept.items())
    assert "date" in kept
    assert hint == parsed.headers.get("keep-alive")
    visible = [pair for pair in kept.items() if pair[0].lower() not in INTERNAL | {"content-length"}]
    assert b"".join(shown).decode("latin-1") == "".join(
        [f"HTTP/1.1 {status} {reason}\r\n", *(f"{name}: {value}\r\n" for name, value in visible)]
    )
    told = [line for line in head.split(b"\r\n") if line.partition(b":")[0].decode("latin-1").lower() in DIRECTING]
    assert directing == tuple(told)
    return True


def heads() -> list[bytes]:
    found = []
    for _, answer in ANSWERS.values():
        head, mark, _ = b"".join(answer.pieces).partition(b"\r\n\r\n")
        if mark:
            found.append(head + mark)
    return found


def test_whatever_is_said_of_a_head_is_so() -> None:
    lines = Lines()
    known = heads()
    heard = [agrees(lines, head) for head in known]
    assert heard == [agrees(Lines(), head) for head in known], "whatever came before"
    assert sum(heard) > len(known) / 3


def test_a_line_may_be_anywhere_and_stand_beside_any_other() -> None:
    lines = Lines()
    for one, other in product(LINES, LINES):
        for extra in ([], ["Date: x", "Content-Length: 5"]):
            agrees(lines, "\r\n".join(["HTTP/1.1 200 OK", one, *extra, other, "", ""]).encode("latin-1"))


UNHEARD = [
    "Age: 3", "Via: 1.1 x", "X-Cache: HIT", "Cache-Status: x; hit", "Connection: close", "Connection: x", "Connection:",
    "Connection: keep-alive, x", "Transfer-Encoding: chunked", "Upgrade: x", "TE: x", "Trailer: x",
    "Proxy-Connection: x", "Proxy-Authenticate: x", "Content-Length: 5", "Content-Length: 05", "Seawall-Peer: x",
    "Seawall-Order: j 1",
    "Seawall-Fresh: 9", "X : y", " X: y", "X", ": y", "X: \x00", "X: \x7f", "X: a\rb", "X: a\nb", "",
]  # fmt: skip


@pytest.mark.parametrize("line", UNHEARD)
def test_what_needs_more_than_to_be_passed_on_is_not_heard(line: str) -> None:
    lines = Lines()
    for octets in (line, line.upper(), line.lower()):
        head = PLAIN.replace(b"Date: x", octets.encode("latin-1") + b"\r\nDate: x")
        for _ in range(2):
            assert lines.read(head) is None
    assert agrees(lines, PLAIN)


def test_every_status() -> None:
    lines = Lines()
    for status in range(1000):
        heard = agrees(lines, PLAIN.replace(b"200", b"%03d" % status))
        assert heard == (200 <= status <= 599 and status not in (204, 206, 304))


def test_a_head_needs_a_date_and_one_length() -> None:
    lines = Lines()
    assert lines.read(PLAIN.replace(b"Date: x\r\n", b"")) is None
    assert lines.read(PLAIN.replace(b"Content-Length: 5\r\n", b"")) is None
    assert lines.read(PLAIN.replace(b"Date: x", b"DATE:")) is not None
    assert lines.read(PLAIN.replace(b"5", b"0")) is not None
    assert lines.read(b"\r\n\r\n") is None


@pytest.mark.parametrize(("fields", "heard"), [(MAX_FIELDS - 2, True), (MAX_FIELDS - 1, False)])
def test_no_more_fields_than_the_parser_takes(fields: int, heard: bool) -> None:
    assert agrees(Lines(), PLAIN.replace(b"Date", b"X: y\r\n" * fields + b"Date")) is heard


@pytest.mark.parametrize(("more", "heard"), [(0, True), (1, False)])
def test_no_longer_heads_than_the_connection_takes(more: int, heard: bool) -> None:
    fill = b"y" * (MAX_HEAD_BYTES - len(PLAIN) - len(b"X: \r\n") + more)
    assert agrees(Lines(), PLAIN.replace(b"Date", b"X: " + fill + b"\r\nDate")) is heard


# --- the memo ---


def test_lines_that_come_once_leave_room_for_those_that_come_again() -> None:
    lines = Lines()
    first = lines.read(PLAIN)
    assert first is not None
    used = first[2][0]
    for number in range(3 * MOST_LINES):
        head = PLAIN.replace(b"x", b"x\r\nX: %d" % number)
        heard = lines.read(head)
        assert heard is not None
        assert heard[2][0] is used, "read once"
        assert heard[2][1] == ("X", str(number))
    assert len(lines) <= 2 * MOST_LINES


def test_a_head_is_read_whole_where_the_generations_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.heardlines, "MOST_LINES", 3)
    lines = Lines()
    for number in range(50):
        fields = b"".join(b"X-%d: %d\r\n" % (each, number) for each in range(number % 7))
        assert agrees(lines, PLAIN.replace(b"Date", fields + b"Date"))
        assert len(lines) <= 6


def test_long_lines_and_statuses_are_not_kept() -> None:
    lines = Lines()
    lines.read(PLAIN)
    held = len(lines)
    for number in range(100):
        long = b"%d" % number + b"y" * MOST_LINE_BYTES
        assert agrees(lines, PLAIN.replace(b"x", b"x\r\nX: " + long).replace(b"OK", long))
    assert len(lines) == held
    for number in range(1000):
        assert agrees(lines, PLAIN.replace(b"OK", b"%d" % number))
    assert len(lines._statuses) <= 64


# --- what nobody thought of ---


@st.composite
def octets(draw: st.DrawFn) -> bytes:
    lines = [*draw(st.lists(st.sampled_from(LINES), max_size=5)), "Date: x", "Content-Length: 5"]
    head = "\r\n".join(["HTTP/1.1 200 OK", *draw(st.permutations(lines)), "", ""]).encode("latin-1")
    for _ in range(draw(st.integers(0, 2))):
        at, span = draw(st.integers(0, len(head))), draw(st.integers(0, 3))
        head = head[:at] + draw(st.binary(max_size=3)) + head[at + span :]
    end = head.find(b"\r\n\r\n")
    return head[: end + 4] if end >= 0 else head + b"\r\n\r\n"


@settings(max_examples=500, deadline=None)
@given(st.lists(octets(), min_size=1, max_size=3))
def test_whatever_comes(heads: list[bytes]) -> None:
    lines = Lines()
    for head in heads:
        agrees(lines, head[: head.find(b"\r\n\r\n") + 4])
