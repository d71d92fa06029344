"""The chunked coding is read strictly and the same however it is cut (RFC 9112 7.1, HAZARDS T05-T07)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.chunked import (
    LAST_CHUNK,
    MAX_EXTENSION_BYTES,
    MAX_LINE_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedDecoder,
    encode_chunk,
)

Outcome = tuple[bytes, bool, str | None, bytes]


def decode(data: bytes, cuts: list[int] | None = None) -> Outcome:
    decoder = ChunkedDecoder()
    body = bytearray()
    edges = [0, *sorted(cuts or []), len(data)]
    for start, stop in pairwise(edges):
        pieces = decoder.feed(data[start:stop])
        assert all(pieces), "an empty piece would look like the end"
        body += b"".join(pieces)
    return bytes(body), decoder.done, decoder.error, decoder.leftover


def both_ways(data: bytes) -> Outcome:
    whole = decode(data)
    assert decode(data, list(range(len(data)))) == whole
    return whole


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"0000000000000005\r\nhello\r\n0000\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
        (b'5 ; a = "q\\"\t;x" ; b\r\nhello\r\n0\r\n\r\n', b"hello"),
        (b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: evil\r\n\r\n", b"hello"),
        (b"0\r\nX:\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("junk", [b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"])
def test_a_body_is_what_its_chunks_say(data: bytes, body: bytes, junk: bytes) -> None:
    assert both_ways(data + junk) == (body, True, None, junk)


BAD = [
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0_5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFFF\r\nhello",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\r\r\nhello\r\n0\r\n\r\n",
    b"5;\0x\r\nhello\r\n0\r\n\r\n",
    b'5;a="\r\nhello\r\n0\r\n\r\n',
    b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
    b"5 5\r\nhello\r\n0\r\n\r\n",
    b"5,a\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * MAX_LINE_BYTES + b"\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"a" * 70_000,
    b"0\n\n",
    b"0\r\n\n",
    b"0\r\nX: y\n\r\n",
    b"0\r\nX: y\r\r\n\r\n",
    b"0\r\nX y\r\n\r\n",
    b"0\r\n: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\nX: \0\r\n\r\n",
    b"0\r\nX: " + b"y" * MAX_TRAILER_BYTES + b"\r\n\r\n",
    b"0\r\n" + b"X: y\r\n" * (MAX_TRAILER_BYTES // 6 + 1) + b"\r\n",
]


@pytest.mark.parametrize("data", BAD)
def test_anything_else_fails_and_stays_failed(data: bytes) -> None:
    _, done, error, leftover = both_ways(data)
    assert error is not None
    assert not done
    assert leftover == b""
    decoder = ChunkedDecoder()
    decoder.feed(data)
    assert decoder.feed(b"5\r\nhello\r\n0\r\n\r\n") == []
    assert (decoder.error, decoder.done) == (error, False)


def test_extensions_are_bounded_over_the_whole_body() -> None:
    chunk = b"1;" + b"a" * 1000 + b"\r\nx\r\n"
    enough = MAX_EXTENSION_BYTES // 1001
    assert decode(chunk * enough + LAST_CHUNK)[1]
    assert decode(chunk * (enough + 1) + LAST_CHUNK)[2] == "too many extensions"


@pytest.mark.parametrize(
    "data", [b"", b"5", b"5\r\n", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n0\r\n", b"0\r\nX: y\r\n"]
)
def test_a_body_cut_short_is_never_done(data: bytes) -> None:
    _, done, error, _ = both_ways(data)
    assert (done, error) == (False, None)


def test_a_chunk_that_fills_its_feed_is_not_copied() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"5\r\n")
    data = b"hello"
    assert decoder.feed(data)[0] is data
    assert encode_chunk(data)[1] is data


def test_repr_tells_the_state() -> None:
    decoder = ChunkedDecoder()
    assert repr(decoder) == "<ChunkedDecoder size>"
    decoder.feed(b"x\r\n")
    assert "invalid chunk size line" in repr(decoder)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.binary(max_size=10), st.data())
def test_what_is_encoded_is_decoded_however_it_is_cut(pieces: list[bytes], junk: bytes, data: st.DataObject) -> None:
    wire = b"".join(b"".join(encode_chunk(piece)) for piece in pieces) + LAST_CHUNK + junk
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=10))
    assert decode(wire, cuts) == (b"".join(pieces), True, None, junk)


PARTS = [b"5", b"hello", b"\r\n", b"\r", b"\n", b"0", b";a", b" ", b"X: y", b"\0", b"ffff", b'="', b'"']
CHUNKISH = st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join)


@given(CHUNKISH, st.data())
def test_cuts_never_change_the_outcome(wire: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=10))
    assert decode(wire, cuts) == decode(wire)
