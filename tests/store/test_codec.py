"""What is written down comes back as it was, or not at all."""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.store import codec
from seawall.store.codec import BLOCK_BYTES, Damaged, Unwritable
from seawall.store.stored import Filed, Stored, stored

SECRET = b"s" * 32
KEY = "http://a.example/x?y=\xe9"
ENTRY = Entry("GET", 200, "OK", headers([("ETag", '"1"')]), (), 1.0, 2.5, 1.5, 60.0, 61.0, 62.0, math.inf)

latin = st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n")
text = st.text(latin, max_size=12)
instants = st.floats(allow_nan=False)
counts = st.integers(0, 2**63 - 1)
parts = st.none() | st.builds(Part, counts, counts, st.none() | counts, text)
entries = st.builds(
    Entry,
    method=st.sampled_from(["GET", "HEAD", "QUERY"]),
    status=st.integers(100, 999),
    reason=text,
    headers=st.lists(st.tuples(st.text(latin, min_size=1, max_size=8), text), max_size=6).map(headers),
    varied=st.lists(st.tuples(text, st.none() | text), max_size=3).map(tuple),
    requested_at=instants,
    stored_at=instants,
    born_at=instants,
    fresh_until=instants,
    swr_until=instants,
    sie_until=instants,
    unreachable_until=instants,
    no_cache=st.booleans(),
    must_revalidate=st.booleans(),
    part=parts,
    tags=st.lists(text, max_size=4).map(tuple),
    invalidated=st.booleans(),
)
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=4).map(tuple)
items = st.builds(stored, st.sampled_from([KEY, "http://a.example/\nx-a:1\n;b=2"]), entries, bodies)


def lines(entry: Entry) -> list[tuple[str, str]]:
    return [(str(name), value) for name, value in entry.headers.items()]


def assert_same(new: Stored, old: Stored) -> None:
    assert (new.key, new.name, new.entry, new.body_bytes) == (old.key, old.name, old.entry, old.body_bytes)
    assert lines(new.entry) == lines(old.entry)  # a map is equal in any order and case; this is not
    assert isinstance(new.body, tuple)
    assert isinstance(old.body, tuple)
    assert b"".join(new.body) == b"".join(old.body)
    assert new.cost_bytes == old.cost_bytes


@given(items, st.sampled_from([None, b"k", SECRET, b"long" * 40]))
def test_a_value_comes_back_exactly(item: Stored, secret: bytes | None) -> None:
    assert_same(codec.decode(codec.encode(item, secret), key=item.key, secret=secret), item)


@given(items)
def test_a_head_comes_back_exactly(item: Stored) -> None:
    assert isinstance(item.body, tuple)
    sums = codec.sums_of(item.body)
    head = codec.decode_head(codec.encode_head(item, sums))
    assert (head.key, head.entry, head.name) == (item.key, item.entry, item.name)
    assert (head.body_bytes, head.sums) == (item.body_bytes, tuple(sums))
    assert lines(head.entry) == lines(item.entry)


def test_header_lines_keep_order_case_duplicates_and_octets() -> None:
    wanted = [("Set-X", "1"), ("set-x", "2"), ("A", "caf\xe9 \x80\xff\t"), ("SET-X", ""), ("b", "3")]
    item = stored(KEY, dataclasses.replace(ENTRY, headers=headers(wanted)), ())
    assert lines(codec.decode(codec.encode(item), key=KEY).entry) == wanted


@pytest.mark.parametrize("secret", [None, SECRET])
def test_no_octet_of_a_value_may_be_changed_lost_or_added(secret: bytes | None) -> None:
    octets = codec.encode(stored(KEY, ENTRY, (b"body",)), secret)
    for at in range(len(octets)):
        for flip in (0x01, 0x80):
            changed = bytearray(octets)
            changed[at] ^= flip
            with pytest.raises(Damaged):
                codec.decode(bytes(changed), key=KEY, secret=secret)
        with pytest.raises(Damaged):
            codec.decode(octets[:at], key=KEY, secret=secret)
    with pytest.raises(Damaged):
        codec.decode(octets + b"\0", key=KEY, secret=secret)


def test_no_octet_of_a_head_may_be_changed_lost_or_added() -> None:
    octets = codec.encode_head(stored(KEY, ENTRY, (b"body",)), [1])
    for at in range(len(octets)):
        for bit in range(8):
            changed = bytearray(octets)
            changed[at] ^= 1 << bit
            with pytest.raises(Damaged):
                codec.decode_head(bytes(changed))
        with pytest.raises(Damaged):
            codec.decode_head(octets[:at])
    with pytest.raises(Damaged):
        codec.decode_head(octets + b"\0")


WHOLE = codec.encode(stored(KEY, ENTRY, (b"body",)))
SEALED = codec.encode(stored(KEY, ENTRY, (b"body",)), SECRET)


@given(st.binary(max_size=200))
@example(b"")
@example(WHOLE[:30])
@example(WHOLE.replace(b"SWv\x01", b"SWv\x02"))
def test_any_octets_are_damaged_and_nothing_worse(octets: bytes) -> None:
    for secret in (None, SECRET):
        with pytest.raises(Damaged):
            codec.decode(octets, key=KEY, secret=secret)
    with pytest.raises(Damaged):
        codec.decode_head(octets)


# What msgpack can say, in the place of each field: whoever forges a head makes its CRC-32 agree.
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@given(st.integers(0, 19), anything)
def test_a_forged_head_is_an_object_or_damaged_and_nothing_worse(field: int, value: object) -> None:
    record = msgspec.msgpack.decode(codec.encode_head(stored(KEY, ENTRY, (b"b",)), [1])[12:])
    record[field] = value
    assert_decodes_or_damaged(msgspec.msgpack.encode(record))


@given(st.binary(max_size=60))
@example(b"\x91\xa1\xff")  # a string that is no UTF-8
def test_a_head_of_any_payload_is_damaged_and_nothing_worse(payload: bytes) -> None:
    assert_decodes_or_damaged(payload)


def assert_decodes_or_damaged(payload: bytes) -> None:
    front = struct.pack(">3sBI", b"SWh", codec.VERSION, len(payload))
    octets = front + struct.pack(">I", zlib.crc32(front + payload)) + payload
    try:
        head = codec.decode_head(octets)
    except Damaged:
        return
    assert isinstance(head.entry, Entry)


def forged(**changes: object) -> bytes:
    entry = dataclasses.replace(ENTRY, **changes)  # type: ignore[arg-type]
    return codec.encode(stored(KEY, entry, ()))


@pytest.mark.parametrize(
    "octets",
    [
        forged(headers=headers([("A", "1\r\nSet-Cookie: a=b")])),
        forged(headers=headers([("A\nB", "1")])),
        forged(headers=headers([("A", "\0")])),
        forged(headers=headers([("A", "\u0100")])),
        forged(reason="OK\r\nA: b"),
        forged(status=99),
        forged(status=10**6),
    ],
)
def test_what_would_split_a_response_does_not_come_in(octets: bytes) -> None:
    with pytest.raises(Damaged):
        codec.decode(octets, key=KEY)


def test_a_value_of_another_key_is_damaged() -> None:
    for secret in (None, SECRET):
        with pytest.raises(Damaged):
            codec.decode(codec.encode(stored(KEY, ENTRY, ()), secret), key=KEY + "z", secret=secret)


@pytest.mark.parametrize(
    ("octets", "secret"),
    [(WHOLE, SECRET), (SEALED, None), (SEALED, b"t" * 32), (SEALED, SECRET + b"\0")],
    ids=["unsealed", "sealed", "another", "longer"],
)
def test_who_does_not_know_the_secret_can_put_nothing_in(octets: bytes, secret: bytes | None) -> None:
    with pytest.raises(Damaged):
        codec.decode(octets, key=KEY, secret=secret)


def test_a_seal_is_not_a_checksum_that_anybody_can_renew() -> None:
    front, body = SEALED[:17], bytearray(SEALED[33:])
    body[-1] ^= 1
    for check in (zlib.crc32(front + body).to_bytes(16, "big"), b"\0" * 16):
        with pytest.raises(Damaged):
            codec.decode(front + check + body, key=KEY, secret=SECRET)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty secret"):
        codec.encode(stored(KEY, ENTRY, ()), b"")


@pytest.mark.parametrize("length", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
@pytest.mark.parametrize("piece", [7919, 64 * 1024, BLOCK_BYTES + 1])
def test_sums_do_not_depend_on_how_a_body_is_cut(length: int, piece: int) -> None:
    body = bytes(range(256)) * (length // 256 + 1)
    body = body[:length]
    expected = [zlib.crc32(body[at : at + BLOCK_BYTES]) for at in range(0, length, BLOCK_BYTES)]
    assert codec.sums_of(tuple(body[at : at + piece] for at in range(0, length, piece))) == expected
    assert len(expected) == codec.blocks_of(length)


def test_a_body_comes_back_in_pieces_of_a_block() -> None:
    item = codec.decode(codec.encode(stored(KEY, ENTRY, (b"x" * (2 * BLOCK_BYTES + 1),))), key=KEY)
    assert isinstance(item.body, tuple)
    assert [len(piece) for piece in item.body] == [BLOCK_BYTES, BLOCK_BYTES, 1]


class Elsewhere(Filed):
    length = 3


@pytest.mark.parametrize(
    "item",
    [
        stored("http://a.example/\ud800", ENTRY, ()),
        stored(KEY, dataclasses.replace(ENTRY, part=Part(0, 2**70, None, "")), ()),
        stored(KEY, ENTRY, Elsewhere()),  # type: ignore[abstract]
    ],
    ids=["surrogate", "huge", "filed"],
)
def test_what_has_no_written_form_is_said_to_have_none(item: Stored) -> None:
    with pytest.raises(Unwritable):
        codec.encode(item)
