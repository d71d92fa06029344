"""One scripted answer, as a value: what to say, how to frame it, when to wait, and where to break."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Framing(enum.Enum):
    """How the end of the body is told (RFC 9112 6)."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    NONE = "none"  # neither field nor body, as 204 and 304 require


class Fault(enum.Enum):
    """What goes wrong. Each value's comment says what a peer sees."""

    TRUNCATE = "truncate"  # the promised length, fewer bytes, FIN
    TRUNCATE_CHUNKED = "truncate-chunked"  # whole chunks, no last one, FIN
    RESET = "reset"  # RST instead of a head
    RESET_BODY = "reset-body"  # RST in the middle of the body
    CLOSE = "close"  # FIN instead of a head
    HANG = "hang"  # never a byte
    STALL = "stall"  # the body stops in the middle and the connection stays
    GARBAGE = "garbage"  # bytes that are no HTTP
    UNSOLICITED = "unsolicited"  # a second response that nobody asked for, once the first is through

    @property
    def cuts_body(self) -> bool:
        """Whether the body ends early, at Reply.at."""
        return self in _CUTS


_CUTS = frozenset({Fault.TRUNCATE, Fault.TRUNCATE_CHUNKED, Fault.RESET_BODY, Fault.STALL})


class After(enum.Enum):
    """What becomes of the connection once the answer is through."""

    KEEP = "keep"
    FIN = "fin"
    RESET = "reset"


class Expect(enum.Enum):
    """What a request with `Expect: 100-continue` gets before the answer."""

    CONTINUE = "continue"
    IGNORE = "ignore"


AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Early:
    """An interim response (1xx) ahead of the answer."""

    status: int = 103
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Immutable: a script may use it any number of times, for many requests at once.

    Times are seconds, sizes bytes. Where `body` is None it is generated from path, variant, version and `size`
    (origin_stub.body). `raw`, if given, is sent as it stands and only delays, gates and `after` still apply.
    """

    status: int = 200
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    etag: str | None = None  # AUTO derives it from path, variant, version and size
    last_modified: str | None = None  # AUTO derives it from the version
    vary: tuple[str, ...] = ()  # these request fields select the variant, and Vary names them
    body: bytes | None = None
    size: int = 0
    version: int | None = None  # None: the version that the path has at that moment
    framing: Framing | None = None  # None: a length, or nothing where the status allows no body
    trailers: tuple[tuple[str, str], ...] = ()
    early: tuple[Early, ...] = ()
    delay: float = 0.0
    piece: int = 64 * 1024
    piece_delay: float = 0.0
    gate: str | None = None  # waits here before the head
    gate_body: str | None = None  # waits here once `at` bytes of the body are sent
    gate_after: str | None = None  # holds back `after` and Fault.UNSOLICITED; the answer is complete by then
    fault: Fault | None = None
    at: int | None = None  # bytes of the body before the fault or gate_body; None: half of it
    after: After = After.KEEP
    read: bool = True  # False answers without reading the request's body
    expect: Expect = Expect.CONTINUE
    conditional: bool = True  # 304 where ETag or Last-Modified match
    ranges: bool = True  # 206 and 416
    date: bool = True
    plain: bool = False  # without Stub-Version and Stub-Serial
    raw: bytes | None = None

    def __post_init__(self) -> None:
        if not 100 <= self.status <= 999:
            raise ValueError(f"status {self.status} is not a three-digit number; `raw` sends any bytes")
        if self.piece < 1:
            raise ValueError("a piece holds at least one byte")
        if self.fault is Fault.TRUNCATE and self.framing in (Framing.CLOSE, Framing.NONE):
            raise ValueError("without a length or chunks, FIN is the end: a cut cannot be seen; use reset-body")
        if self.fault is Fault.TRUNCATE_CHUNKED and self.framing not in (None, Framing.CHUNKED):
            raise ValueError("truncate-chunked needs framing=chunked")
        if self.trailers and self.framing is not Framing.CHUNKED:
            raise ValueError("trailers need framing=chunked")
