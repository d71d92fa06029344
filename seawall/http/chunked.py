"""The chunked transfer coding (RFC 9112 7.1), both ways.

The decoder is fed bytes as they come and gives body pieces; how the bytes were cut into feeds changes nothing
but how the pieces are cut. It is strict (HAZARDS T05, T06: a size line is read by every hop, and each leniency
of one is a request smuggled past the next), bounded, and drops what it must not pass on: extensions and trailers.

    SIZE --size line--> DATA --octets--> CRLF --> SIZE ... SIZE --0--> TRAILERS --empty line--> DONE
    every state --anything else--> FAILED, which latches
"""

from __future__ import annotations

import re
from enum import Enum

LAST_CHUNK = b"0\r\n\r\n"

# Extensions are dead weight: Go allows 16 KiB in all after CVE-2023-39326, HAProxy drops them, nobody sends any.
MAX_LINE_BYTES = 1024
MAX_EXTENSION_BYTES = 16 * 1024
# Trailers are parsed for their end and dropped (HAZARDS T07): checksums and timings, not headers.
MAX_TRAILER_BYTES = 8 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_WS = rb"[ \t]*+"
# RFC 9112 7.1: 1*HEXDIG, then extensions. 16 digits are 2^64: more is an overflow in search of a victim.
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:" + _WS + rb";" + _WS + _TOKEN
    + rb"(?:" + _WS + rb"=" + _WS + rb"(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?+)*+)\r\n"
)  # fmt: skip
_TRAILER = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n")


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    CRLF = "crlf"
    TRAILERS = "trailers"
    DONE = "done"
    FAILED = "failed"


class ChunkedDecoder:
    """One body's way out of its chunks. Owned by the connection that reads it."""

    __slots__ = ("_extension_bytes", "_line", "_remaining", "_state", "_trailer_bytes", "error", "leftover")

    def __init__(self) -> None:
        self.error: str | None = None
        """Why this is no chunked body, once it is known; nothing is decoded from there on."""
        self.leftover = b""
        """What came behind the end of the body: the next message's, or nobody's."""
        self._state = _State.SIZE
        self._line = b""
        self._remaining = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0

    def __repr__(self) -> str:
        return f"<ChunkedDecoder {self._state.value}{f': {self.error}' if self.error else ''}>"

    @property
    def done(self) -> bool:
        """Whether the last chunk and the empty line behind the trailers have come."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of body in these bytes, in order, none of them empty."""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            state = self._state
            if state is _State.DATA:
                stop = min(at + self._remaining, end)
                pieces.append(data[at:stop])
                self._remaining -= stop - at
                at = stop
                if self._remaining == 0:
                    self._state = _State.CRLF
            elif state is _State.DONE:
                self.leftover += data[at:]
                break
            elif state is _State.FAILED:
                break
            else:
                at = self._feed_line(data, at)
        return pieces

    def _feed_line(self, data: bytes, at: int) -> int:
        """Takes one line, or the part of it that is there, and returns where it ends."""
        newline = data.find(b"\n", at)
        stop = newline + 1 if newline >= 0 else len(data)
        line = self._line + data[at:stop]
        limit = 2 if self._state is _State.CRLF else MAX_LINE_BYTES
        if self._state is _State.TRAILERS:
            limit = MAX_TRAILER_BYTES - self._trailer_bytes
        if len(line) > limit:
            self._fail("data runs over its chunk" if self._state is _State.CRLF else "line too long")
        elif newline < 0:
            self._line = line
            if self._state is _State.CRLF and line != b"\r":
                self._fail("data runs over its chunk")
        else:
            self._line = b""
            self._take_line(line)
        return stop

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            match = _SIZE.fullmatch(line)
            if match is None:
                self._fail("invalid chunk size line")
                return
            self._extension_bytes += len(match[2])
            if self._extension_bytes > MAX_EXTENSION_BYTES:
                self._fail("too many extensions")
                return
            self._remaining = int(match[1], 16)
            self._state = _State.DATA if self._remaining else _State.TRAILERS
        elif self._state is _State.CRLF:
            if line != b"\r\n":
                self._fail("data runs over its chunk")
                return
            self._state = _State.SIZE
        else:
            self._trailer_bytes += len(line)
            if line == b"\r\n":
                self._state = _State.DONE
            elif _TRAILER.fullmatch(line) is None:
                self._fail("invalid trailer line")

    def _fail(self, why: str) -> None:
        self.error = why
        self._state = _State.FAILED
        self._line = b""


def encode_chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk as pieces to be written one after the other; the body is not copied. `data` is not empty."""
    assert data, "an empty chunk would end the body"  # noqa: S101 (our own mistake)
    return b"%x\r\n" % len(data), data, b"\r\n"
