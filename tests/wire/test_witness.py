"""llhttp, which shares no line with our parser, reads the same out of whatever ours accepts."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seawall.http.bad import Bad
from seawall.http.framing import Chunked, Length, NoBody, request_framing, response_framing
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.wire import parse_request_head, parse_response_head, serialize_request_head, serialize_response_head


class Witness:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.url = b""
        self.status = b""
        self.pairs: list[tuple[str, str]] = []
        self.body = b""
        self.heads = 0
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_status(self, status: bytes) -> None:
        self.status += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


# llhttp knows a closed list of methods; ours takes any token.
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "M-SEARCH", "PROPFIND", "TRACE"]
NAMES = st.one_of(
    st.sampled_from(["Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "Host", "X", "x-y"]),
    st.text("abcXYZ019!#$%&'*+-.^_`|~ :\t(\x00\x85", min_size=0, max_size=6),
)
VALUES = st.one_of(
    st.sampled_from(["5", "0", "05", "+5", "chunked", "gzip, chunked", "close", "keep-alive", "a, b", "", "b:80"]),
    st.text(st.characters(max_codepoint=255), max_size=8),
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
TARGETS = st.one_of(
    st.sampled_from(["/", "*", "http://b/x?y", "http://b", "/a/../%2e?x", "//"]),
    st.text(st.characters(min_codepoint=1, max_codepoint=160), max_size=8).map(lambda text: "/" + text),
)
EOLS = st.sampled_from(["\r\n"] * 12 + ["\n", "\r", "\r\n "])


def assemble(start: str, pairs: list[tuple[str, str]], eol: str) -> bytes:
    """A head whose field lines may end oddly."""
    tail = eol[2:] if eol.startswith("\r\n") else f"{eol}x: y"
    return "\r\n".join([start, *(f"{name}:{value}{tail}" for name, value in pairs), "", ""]).encode("latin-1")


@settings(max_examples=100)
@given(st.sampled_from(METHODS), TARGETS, st.sampled_from(["1.1", "1.1", "1.0", "2.0"]), PAIRS, EOLS)
def test_llhttp_reads_the_same_request(
    method: str, target: str, version: str, pairs: list[tuple[str, str]], eol: str
) -> None:
    block = assemble(f"{method} {target} HTTP/{version}", [("Host", "a"), *pairs], eol)
    head = parse_request_head(block, "http")
    assume(isinstance(head, RequestHead))
    assert isinstance(head, RequestHead)
    framing = request_framing(head)
    assume(not isinstance(framing, Bad))
    witness = Witness()
    parser = httptools.HttpRequestParser(witness)
    try:
        parser.feed_data(block)
    except httptools.HttpParserUpgrade:
        assert "upgrade" in head.headers
    assert witness.heads == 1
    assert parser.get_method().decode() == head.method
    assert parser.get_http_version() == f"1.{head.minor}"
    url = witness.url.decode()
    assert url == head.target or url.lower().startswith("http://")
    ours = [(name, value) for name, value in head.headers.items() if name.lower() != "host"]
    assert ours == [(name, value) for name, value in witness.pairs if name.lower() != "host"]
    ends_here = isinstance(framing, NoBody) or framing == Length(0)
    if "upgrade" not in head.headers:
        assert witness.complete is ends_here


@pytest.mark.parametrize("method", METHODS)
def test_llhttp_reads_what_we_forward(method: str) -> None:
    block = f"{method} http://B:8080/x?y HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n\r\n".encode("latin-1")
    head = parse_request_head(block, "http")
    assert isinstance(head, RequestHead)
    witness = Witness()
    httptools.HttpRequestParser(witness).feed_data(serialize_request_head(head))
    assert witness.complete
    assert witness.url == b"/x?y"
    assert witness.pairs == [("Host", "b:8080"), ("X", "caf\xe9")]


@settings(max_examples=100)
@given(st.integers(95, 605), st.sampled_from(["OK", "", "Not Found", "\xe9", "a\rb", "a\nb", "\0"]), PAIRS, EOLS)
def test_llhttp_reads_the_same_response(status: int, reason: str, pairs: list[tuple[str, str]], eol: str) -> None:
    block = assemble(f"HTTP/1.1 {status:03} {reason}", pairs, eol)
    head = parse_response_head(block)
    assume(isinstance(head, ResponseHead))
    assert isinstance(head, ResponseHead)
    assume(head.status != 101)
    framing = response_framing("GET", head)
    assume(not isinstance(framing, Bad))
    witness = Witness()
    parser = httptools.HttpResponseParser(witness)
    try:
        parser.feed_data(block)
    except httptools.HttpParserUpgrade:
        assert "upgrade" in head.headers
    assert witness.heads == 1
    assert parser.get_status_code() == head.status
    assert witness.status.decode("latin-1") == head.reason
    assert witness.pairs == list(head.headers.items())
    assert serialize_response_head(head).startswith(f"HTTP/1.1 {head.status} {head.reason}\r\n".encode("latin-1"))
    if isinstance(framing, Chunked) or (isinstance(framing, Length) and framing.length_bytes):
        assert not witness.complete
