"""How a stored response is written down: a head of its own for the disk, head and body in one value for Redis.

Knows no level. Whatever octets come back are an object exactly as it was put, or Damaged; nothing that is read is
ever run (CVE-2025-69872: diskcache unpickles planted rows, so nothing here pickles).

A head is `SWh`, version, length, CRC-32 of all the rest, and msgpack of a strict record. A value is `SWv`, version,
kind of checksum, length of head and body, the checksum of all the rest, the head, the body. With a secret the
checksum is keyed, so that who can write to the level but does not know the secret can put nothing into it that we
would serve (HAZARDS T69). What comes back under another key than it was written for is damaged too.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.store.stored import Stored, stored

# The unit of proof: no octet of a body is handed out before the block that it lies in agreed with its checksum.
# Large enough that the sums of 1 GiB are 20 KiB, small enough that a range request reads little for nothing.
BLOCK_BYTES = 256 * 1024

VERSION = 1

_HEAD = struct.Struct(">3sBI")  # and the CRC-32 behind it
_VALUE = struct.Struct(">3sBBIQ")  # and the checksum behind it
_CRC = struct.Struct(">I")
_HEAD_MAGIC = b"SWh"
_VALUE_MAGIC = b"SWv"
_PLAIN, _KEYED = 0, 1
_CHECK_BYTES = {_PLAIN: _CRC.size, _KEYED: 16}


class Damaged(Exception):
    """These octets are not what was put there: cut, changed, of another version, another key or another author."""


class Unwritable(ValueError):
    """This object has no written form: a number beyond 64 bits, a character that is none. It stays in memory."""


@dataclass(frozen=True, slots=True)
class Head:
    """All of an object but its body. `sums` has the CRC-32 of each block, or nothing where they were not taken."""

    key: str
    entry: Entry
    body_bytes: int
    sums: tuple[int, ...]
    name: str


def blocks_of(body_bytes: int) -> int:
    """How many blocks a body of this length has, the last one as long as is left."""
    return -(-body_bytes // BLOCK_BYTES)


def sums_of(body: tuple[bytes, ...]) -> list[int]:
    """The CRC-32 of each block of the body, its pieces taken as one."""
    running = BlockSums()
    for piece in body:
        running.add(piece)
    return running.finish()


class BlockSums:
    """The sums of a body that comes in pieces. Owned by whoever feeds it."""

    __slots__ = ("_crc", "_filled", "_sums")

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._crc = 0
        self._filled = 0

    def add(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            taken = view[: BLOCK_BYTES - self._filled]
            self._crc = zlib.crc32(taken, self._crc)
            self._filled += len(taken)
            view = view[len(taken) :]
            if self._filled == BLOCK_BYTES:
                self._sums.append(self._crc)
                self._crc = self._filled = 0

    def finish(self) -> list[int]:
        """All of them, that of the last block too. Once."""
        return [*self._sums, self._crc] if self._filled else self._sums


def encode_head(item: Stored, sums: Sequence[int]) -> bytes:
    """The head of this object, with the sums of its body's blocks. Raises Unwritable."""
    try:
        payload = _ENCODER.encode(_record(item, sums))
    except (ValueError, OverflowError, TypeError) as error:
        raise Unwritable(str(error)) from error
    front = _HEAD.pack(_HEAD_MAGIC, VERSION, len(payload))
    return front + _CRC.pack(zlib.crc32(payload, zlib.crc32(front))) + payload


def decode_head(octets: bytes) -> Head:
    """What encode_head() wrote, octet for octet. Raises Damaged, and nothing else, for whatever it is given."""
    at = _HEAD.size + _CRC.size
    if len(octets) < at:
        raise Damaged("a head is cut off")
    magic, version, length = _HEAD.unpack_from(octets)
    if magic != _HEAD_MAGIC or version != VERSION:
        raise Damaged("not a head of this version")
    if len(octets) != at + length:
        raise Damaged("a head has another length than it says")
    front, payload = octets[: _HEAD.size], octets[at:]
    if _CRC.unpack_from(octets, _HEAD.size)[0] != zlib.crc32(payload, zlib.crc32(front)):
        raise Damaged("a head does not agree with its checksum")
    try:
        return _head(_DECODER.decode(payload))
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Damaged(f"a head that was never written: {type(error).__name__}") from error


def encode(item: Stored, secret: bytes | None = None) -> bytes:
    """One value with head and body, sealed with the secret where there is one. The body is in memory.

    Raises Unwritable.
    """
    body = item.body
    if not isinstance(body, tuple):
        raise Unwritable("the body lies in another level")
    kind = _PLAIN if secret is None else _KEYED
    head = encode_head(item, ())
    front = _VALUE.pack(_VALUE_MAGIC, VERSION, kind, len(head), item.body_bytes)
    return b"".join((front, _check(secret, (front, head, *body)), head, *body))


def decode(octets: bytes, *, key: str, secret: bytes | None = None) -> Stored:
    """The object that encode() wrote for this key with this secret. Raises Damaged, and nothing else, for any octets.

    With a secret, what was written without one is damaged: or anybody could leave the seal away.
    """
    if len(octets) < _VALUE.size:
        raise Damaged("a value is cut off")
    magic, version, kind, head_bytes, body_bytes = _VALUE.unpack_from(octets)
    if magic != _VALUE_MAGIC or version != VERSION:
        raise Damaged("not a value of this version")
    if kind != (_PLAIN if secret is None else _KEYED):
        raise Damaged("a value with another kind of checksum")
    head_at = _VALUE.size + _CHECK_BYTES[kind]
    body_at = head_at + head_bytes
    if len(octets) != body_at + body_bytes:
        raise Damaged("a value has another length than it says")
    view = memoryview(octets)
    expected = _check(secret, (view[: _VALUE.size], view[head_at:]))
    if not hmac.compare_digest(expected, octets[_VALUE.size : head_at]):
        raise Damaged("a value does not agree with its checksum")
    head = decode_head(octets[head_at:body_at])
    if head.key != key or head.body_bytes != body_bytes:
        raise Damaged("a value of another key")
    return stored(head.key, head.entry, tuple(pieces_of(octets, body_at)))


def pieces_of(octets: bytes, at: int = 0) -> Iterator[bytes]:
    """The octets from `at` on as a body is held in memory: in pieces of a block. Nothing where there are none."""
    if at == 0 and 0 < len(octets) <= BLOCK_BYTES:
        yield octets
        return
    for first in range(at, len(octets), BLOCK_BYTES):
        yield octets[first : first + BLOCK_BYTES]


class _Part(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    first: int
    last: int
    total: int | None
    requested: str


class _Record(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The head as it is written. An array, not a map: a new field is a new VERSION, and old heads are misses then."""

    key: str
    body_bytes: int
    sums: tuple[int, ...]
    method: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    varied: tuple[tuple[str, str | None], ...]
    requested_at: float
    stored_at: float
    born_at: float
    fresh_until: float
    swr_until: float
    sie_until: float
    unreachable_until: float
    no_cache: bool
    must_revalidate: bool
    part: _Part | None
    tags: tuple[str, ...]
    invalidated: bool


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Record, strict=True)


def _record(item: Stored, sums: Sequence[int]) -> _Record:
    entry = item.entry
    part = entry.part
    return _Record(
        key=item.key,
        body_bytes=item.body_bytes,
        sums=tuple(sums),
        method=entry.method,
        status=entry.status,
        reason=entry.reason,
        headers=tuple((str(name), value) for name, value in entry.headers.items()),  # names are istr
        varied=entry.varied,
        requested_at=entry.requested_at,
        stored_at=entry.stored_at,
        born_at=entry.born_at,
        fresh_until=entry.fresh_until,
        swr_until=entry.swr_until,
        sie_until=entry.sie_until,
        unreachable_until=entry.unreachable_until,
        no_cache=entry.no_cache,
        must_revalidate=entry.must_revalidate,
        part=None if part is None else _Part(part.first, part.last, part.total, part.requested),
        tags=entry.tags,
        invalidated=entry.invalidated,
    )


def _head(record: _Record) -> Head:
    if record.body_bytes < 0 or len(record.sums) not in (0, blocks_of(record.body_bytes)):
        raise ValueError("sums of another body")
    _refuse_split(record)
    part = record.part
    entry = Entry(
        method=record.method,
        status=record.status,
        reason=record.reason,
        headers=headers(record.headers),
        varied=record.varied,
        requested_at=record.requested_at,
        stored_at=record.stored_at,
        born_at=record.born_at,
        fresh_until=record.fresh_until,
        swr_until=record.swr_until,
        sie_until=record.sie_until,
        unreachable_until=record.unreachable_until,
        no_cache=record.no_cache,
        must_revalidate=record.must_revalidate,
        part=None if part is None else Part(part.first, part.last, part.total, part.requested),
        tags=record.tags,
        invalidated=record.invalidated,
    )
    return Head(record.key, entry, record.body_bytes, record.sums, stored(record.key, entry, ()).name)


def _refuse_split(record: _Record) -> None:
    """A CRC-32 is easily made: what could split a response (RFC 9110 5.5) does not come in, whoever wrote it."""
    text = "".join([record.reason, *(part for line in record.headers for part in line)])
    text.encode("latin-1")
    if "\r" in text or "\n" in text or "\0" in text or not 100 <= record.status <= 999:
        raise ValueError("no head of a response")


def _check(secret: bytes | None, parts: Sequence[bytes | memoryview]) -> bytes:
    if secret is None:
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        return _CRC.pack(crc)
    if not secret:
        raise ValueError("an empty secret seals nothing")
    # BLAKE2b takes keys up to 64 octets; a longer secret counts in full.
    key = secret if len(secret) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(secret).digest()
    seal = hashlib.blake2b(key=key, digest_size=_CHECK_BYTES[_KEYED], person=b"seawall value")
    for part in parts:
        seal.update(part)
    return seal.digest()
