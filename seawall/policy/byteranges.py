"""multipart/byteranges: the octets between the parts (RFC 9110 14.6).

Knows no entry and no body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from seawall.http.ranges import format_content_range


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes before each part and behind the last one, and what it all adds up to in bytes."""

    content_type: str
    leads: tuple[bytes, ...]
    trail: bytes
    length: int


def envelope(spans: Sequence[tuple[int, int]], total: int, content_type: str | None, seed: str) -> Envelope:
    """Around these (first, last) positions of `total` bytes.

    The boundary comes of `seed`, which a client cannot know all of: chance is no argument here, and a body
    that holds 128 bits of a keyed hash by accident does not exist.
    """
    boundary = blake2b(f"{seed} {spans!r}".encode(), digest_size=16).hexdigest()
    leads: list[bytes] = []
    for number, (first, last) in enumerate(spans):
        lines = ["" if number == 0 else "\r\n", f"--{boundary}\r\n"]
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}\r\n")
        lines.append(f"Content-Range: {format_content_range(first, last, total)}\r\n\r\n")
        leads.append("".join(lines).encode("latin-1"))
    trail = f"\r\n--{boundary}--\r\n".encode("latin-1")
    octets = sum(last - first + 1 for first, last in spans)
    length = octets + sum(map(len, leads)) + len(trail)
    return Envelope(f"multipart/byteranges; boundary={boundary}", tuple(leads), trail, length)
