"""One request and its reply, as the connection and whoever answers it hand them to each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from seawall.http.body import BodyReader, Duplex
from seawall.http.message import RequestHead, ResponseHead


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request. `body` is None where the framing says there is none.

    `peer` is the client's address without port. `interim` relays a 1xx to the client; it is a no-op
    for HTTP/1.0, and for 100 where the client did not ask (RFC 9110 15.2).
    """

    head: RequestHead
    body: BodyReader | None
    peer: str
    interim: Callable[[ResponseHead], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a reply."""

    body_bytes: int
    complete: bool  # every octet was handed to the transport; False: the client left, stalled, or the body broke


@dataclass(slots=True)
class Reply:
    """What the client is to get. The connection adds framing (Content-Length or chunked), Connection and nothing else.

    `body`: pieces in memory, a reader, or (with 101) the other end of the tunnel. The connection reads a
    reader to its end or closes it. For HEAD and 204/304 the body must be `()`, and a Content-Length in
    the head is left as it is.
    `done` is called exactly once, also when the client left before the head went out.
    """

    head: ResponseHead
    body: tuple[bytes, ...] | BodyReader | Duplex = ()
    done: Callable[[Sent], None] | None = field(default=None)


Handler = Callable[[Request], Awaitable[Reply]]
