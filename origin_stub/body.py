"""Bodies of which every byte is known: from a key, a version and a size follows what must stand at each offset.

Two bodies that differ in key, version or size differ nearly everywhere, and so do two places of one body, so that a
checker notices a swapped, stale, shifted or mixed piece and not only a wrong length.

Mechanism: a pad of 64 KiB (SHAKE-128 of the seed) serves as block 0; each later block is the pad turned by a further
odd step, so no two blocks agree until 4 GiB on, any offset is reached at once, and a block costs one memcpy
(hashing each block instead made 0.4 GB/s; this makes several).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import shake_128

BLOCK_BYTES = 64 * 1024
_STEP = 24_593  # odd, so that 65,536 blocks pass before a turn repeats


def body_key(path: str, variant: str = "") -> str:
    """The key of a body: its path, and what selected the variant. Neither can hold a line feed."""
    return f"{path}\n{variant}" if variant else path


def body_bytes(key: str, version: int, size: int) -> bytes:
    """The whole body. For what should not be held in memory, see iter_body."""
    return b"".join(iter_body(key, version, size))


def iter_body(
    key: str,
    version: int,
    size: int,
    *,
    start: int = 0,
    stop: int | None = None,
    piece: int = BLOCK_BYTES,
) -> Iterator[bytes]:
    """The bytes [start, stop) of the body in pieces of at most `piece` bytes; `size` is always that of the whole."""
    if piece < 1:
        raise ValueError("a piece holds at least one byte")
    end = size if stop is None else min(stop, size)
    pad = _pad(key, version, size)
    at = start
    while at < end:
        take = min(piece, end - at)
        yield b"".join(_blocks(pad, at, at + take)) if take else b""
        at += take


def _blocks(pad: bytes, at: int, end: int) -> Iterator[bytes]:
    while at < end:
        block, within = divmod(at, BLOCK_BYTES)
        take = min(BLOCK_BYTES - within, end - at)
        turned = (within + block * _STEP) % BLOCK_BYTES
        first = pad[turned : turned + take]
        yield first
        if len(first) < take:
            yield pad[: take - len(first)]
        at += take


@lru_cache(maxsize=256)  # at most 16 MiB of pads
def _pad(key: str, version: int, size: int) -> bytes:
    # A small body needs no whole pad: SHAKE's shorter outputs are the beginnings of its longer ones.
    seed = f"{len(key)}:{key}:{version}:{size}".encode("utf-8", "surrogateescape")
    return shake_128(seed).digest(min(size, BLOCK_BYTES))
