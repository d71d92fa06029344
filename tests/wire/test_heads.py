"""Heads are taken or refused, never repaired (RFC 9112 2-5, HAZARDS T12-T14, T25, T27)."""

from __future__ import annotations

import pytest

from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.wire import (
    MAX_FIELDS,
    MAX_TARGET_BYTES,
    Bad,
    head_end,
    parse_request_head,
    parse_response_head,
    request_line_fault,
    serialize_head,
    serialize_request_head,
    serialize_response_head,
    spoiled,
)


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> RequestHead | Bad:
    return parse_request_head(b"\r\n".join([line, b"Host: a", *lines]) + b"\r\n\r\n", "http")


def response(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> ResponseHead | Bad:
    return parse_response_head(b"\r\n".join([line, *lines]) + b"\r\n\r\n")


def test_a_request_head_keeps_names_order_and_octets() -> None:
    head = request(b"X-B: 1", b"x-a:\t two words \t", b"X-b:2", b"Empty:", b"Obs: caf\xe9\x80\xff", b"Tab: a\tb")
    assert isinstance(head, RequestHead)
    assert (head.method, head.scheme, head.authority, head.target, head.minor) == ("GET", "http", "a", "/", 1)
    assert list(head.headers.items()) == [
        ("Host", "a"),
        ("X-B", "1"),
        ("x-a", "two words"),
        ("X-b", "2"),
        ("Empty", ""),
        ("Obs", "caf\xe9\x80\xff"),
        ("Tab", "a\tb"),
    ]
    assert head.headers.getall("x-B") == ["1", "2"]
    assert b"caf\xe9\x80\xff\r\n" in serialize_request_head(head)


BAD_FIELD_LINES = {
    "bare LF": b"X: a\nY: b",
    "bare CR": b"X: a\rY: b",
    "CR at the end": b"X: a\r",
    "obs-fold": b"X: a\r\n b",
    "obs-fold with tab": b"X: a\r\n\tb",
    "leading space": b" X: a",
    "NUL in a value": b"X: a\x00b",
    "BEL in a value": b"X: a\x07b",
    "DEL in a value": b"X: a\x7fb",
    "vertical tab in a value": b"Transfer-Encoding: \x0bchunked",
    "empty name": b": a",
    "space before the colon": b"Content-Length : 5",
    "tab before the colon": b"Content-Length\t: 5",
    "no colon": b"X",
    "parenthesis in a name": b"X(y: a",
    "quote in a name": b'X"y: a',
    "space in a name": b"X y: a",
    "obs-text in a name": b"X\x85: a",
    "control in a name": b"X\x01: a",
    "empty line inside": b"\r\nX: a",
}


@pytest.mark.parametrize("line", BAD_FIELD_LINES.values(), ids=BAD_FIELD_LINES.keys())
def test_a_bad_field_line_spoils_the_head(line: bytes) -> None:
    got = request(line)
    assert isinstance(got, Bad)
    assert got.status == 400
    assert isinstance(request(line, b"Z: z"), Bad)
    answer = response(line)
    assert isinstance(answer, Bad)
    assert answer.status == 502
    assert isinstance(response(b"A: a", line, b"Z: z"), Bad)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400),
        (b"GET", 400),
        (b"", 400),
        (b"GET / ", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.9", 505),
        (b"GET / HTTP/0.9", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"G\xc3\x89T / HTTP/1.1", 400),
        (b"GET /#x HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /a\tb HTTP/1.1", 400),
        (b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1", 414),
    ],
)
def test_a_bad_request_line_is_answered_for_what_it_is(line: bytes, status: int) -> None:
    got = request(line=line)
    assert isinstance(got, Bad)
    assert got.status == status
    early = request_line_fault(line)
    assert early is not None
    assert early.status == status


def test_unusual_but_valid_lines_are_taken() -> None:
    for line in (b"M-SEARCH /x HTTP/1.1", b'get /a|b"<>[]{}^`\\ HTTP/1.0', b"GET /%00?a=%0a?b HTTP/1.1"):
        head = request(line=line)
        assert isinstance(head, RequestHead), line
        assert f"{head.method} {head.target}".encode() == line.rpartition(b" ")[0]
        assert request_line_fault(line) is None


def test_a_target_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert isinstance(request(line=b"GET /" + b"a" * (MAX_TARGET_BYTES - 1) + b" HTTP/1.1"), RequestHead)
    got = parse_request_head(b"GET /abc HTTP/1.1\r\nHost: a\r\n\r\n", "http", max_target=3)
    assert isinstance(got, Bad)
    assert got.status == 414


def test_fields_are_counted() -> None:
    assert isinstance(request(*[b"X: y"] * (MAX_FIELDS - 1)), RequestHead)
    got = request(*[b"X: y"] * MAX_FIELDS)
    assert isinstance(got, Bad)
    assert got.status == 431
    assert isinstance(response(*[b"X: y"] * MAX_FIELDS), ResponseHead)
    assert isinstance(response(*[b"X: y"] * (MAX_FIELDS + 1)), Bad)


def test_a_head_without_fields_is_a_head() -> None:
    assert parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n") == ResponseHead(200, "OK")
    got = parse_request_head(b"GET http://a/ HTTP/1.0\r\n\r\n", "http")
    assert isinstance(got, RequestHead)
    assert not got.headers


def test_junk_behind_the_empty_line_is_no_head() -> None:
    assert isinstance(parse_request_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nX", "http"), Bad)
    assert isinstance(parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n\r\n"), Bad)


@pytest.mark.parametrize(
    ("line", "status", "reason", "minor"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK", 1),
        (b"HTTP/1.0 200 OK", 200, "OK", 0),
        (b"HTTP/1.1 200 ", 200, "", 1),
        (b"HTTP/1.1 200", 200, "", 1),
        (b"HTTP/1.1 100 Continue", 100, "Continue", 1),
        (b"HTTP/1.1 599 Odd", 599, "Odd", 1),
        (b"HTTP/1.1 404 Not\tFound \xe9", 404, "Not\tFound \xe9", 1),
    ],
)
def test_status_lines(line: bytes, status: int, reason: str, minor: int) -> None:
    head = response(line=line)
    assert isinstance(head, ResponseHead)
    assert (head.status, head.reason, head.minor) == (status, reason, minor)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 000 x",
        b"HTTP/1.1 20 x",
        b"HTTP/1.1 2000 x",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/2 200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\nSet-Cookie: a=b",
        b"",
        b"hello",
    ],
)
def test_bad_status_lines_are_the_gateways_502(line: bytes) -> None:
    got = response(line=line)
    assert isinstance(got, Bad)
    assert got.status == 502


WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("junk", [b"", b"G", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_the_end_of_a_head_is_found_whole_and_byte_by_byte(junk: bytes) -> None:
    assert head_end(WHOLE + junk, 0) == len(WHOLE)
    buffer = bytearray()
    seen, found = 0, -1
    for octet in WHOLE + junk:
        buffer.append(octet)
        found = head_end(buffer, seen)
        if found >= 0:
            break
        assert not spoiled(buffer, seen)
        seen = len(buffer)
    assert found == len(buffer) == len(WHOLE)


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nX: a\rb", b"\x16\x03\x01", b"GET /\x7f"])
def test_what_cannot_be_mended_is_known_before_the_end(octets: bytes) -> None:
    assert spoiled(octets, 0)
    buffer, seen, known = bytearray(), 0, []
    for octet in octets:
        buffer.append(octet)
        known.append(spoiled(buffer, seen))
        seen = len(buffer)
    assert known[-1]
    assert not any(known[:-1]) or octets[0] == 0x16


def test_a_head_goes_out_as_it_is() -> None:
    fields = headers([("X-A", "1"), ("hOST", "evil"), ("x-a", "\xe9")])
    block = serialize_request_head(RequestHead("GET", "http", "a:81", "/x?y", fields))
    assert block == b"GET /x?y HTTP/1.1\r\nHost: a:81\r\nX-A: 1\r\nx-a: \xe9\r\n\r\n"
    assert serialize_response_head(ResponseHead(204, "")) == b"HTTP/1.1 204 \r\n\r\n"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("HTTP/1.1 200 OK\r\nX: y", []),
        ("HTTP/1.1 200 O\rK", []),
        ("HTTP/1.1 200 OK", [("X", "a\rSet-Cookie: evil=1")]),
        ("HTTP/1.1 200 OK", [("X", "a\nb")]),
        ("HTTP/1.1 200 OK", [("X", "a\r\nb")]),
        ("HTTP/1.1 200 OK", [("X\r\nY", "a")]),
        ("HTTP/1.1 200 OK", [("X", "a\0b")]),
        ("HTTP/1.1 200 OK", [("X", "\u20ac")]),
    ],
)
def test_no_part_of_a_head_adds_a_line_of_its_own(line: str, fields: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError):
        serialize_head(line, fields)
