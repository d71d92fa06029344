"""What nodes of one topology tell each other beside the response: who asks, how far the answerer has followed the
purge orders, and how much freshness is left.

On the wire these are three fields, believed only together with the secret that the nodes share, taken out of
every request and response that goes further:

    Seawall-Peer: <secret>               in a request: it comes from a node of ours
    Seawall-Order: <journal> <number>    in the answer: everything up to this order was applied to it
    Seawall-Fresh: <seconds>             in the answer: what is left of its freshness; 0 when it is stale

Without the last one, an answer that a parent served stale, or that a soft purge made stale, would be fresh again
one tier further: the field's most repeated real-world failure (purge twice, 30 s apart, say the users).
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from seawall.http.body import BodyReader
from seawall.http.headers import Headers, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.upstream.answer import Answer, PeerNote
from seawall.upstream.upstream import Upstream

PEER = "seawall-peer"
ORDER = "seawall-order"
FRESH = "seawall-fresh"
_OURS = frozenset({PEER, ORDER, FRESH})


@dataclass(frozen=True, slots=True)
class Peers:
    """Recognises the nodes of our topology. Without a secret nobody is one."""

    secret: str | None

    def admit(self, head: RequestHead) -> tuple[RequestHead, bool]:
        """The request without our fields, and whether a node of ours sent it."""
        shown = head.headers.get(PEER)
        if shown is None and ORDER not in head.headers and FRESH not in head.headers:
            return head, False
        known = (
            self.secret is not None
            and shown is not None
            and hmac.compare_digest(shown.encode("latin-1"), self.secret.encode("latin-1"))
        )
        return replace(head, headers=without(head.headers, _OURS)), known


NOBODY = Peers(None)


def noted(fields: Headers, note: PeerNote) -> Headers:
    """The fields of an answer to a node of ours."""
    return headers(
        [
            *((name, value) for name, value in fields.items() if name.lower() not in _OURS),
            ("Seawall-Order", f"{note.journal} {note.number}"),
            ("Seawall-Fresh", f"{max(note.fresh_seconds, 0.0):.3f}"),
        ]
    )


def read_note(fields: Headers) -> PeerNote | None:
    """What a parent said. None where it said nothing readable: then nothing of it may be stored."""
    journal, _, number = fields.get(ORDER, "").partition(" ")
    fresh = fields.get(FRESH, "")
    try:
        seconds, order = float(fresh), int(number)
    except ValueError:
        return None
    if order < 0 or not math.isfinite(seconds):
        return None
    return PeerNote(journal, order, max(seconds, 0.0))


class Parent:
    """A node of ours as an upstream: shows the secret, and takes the note out of the answer."""

    __slots__ = ("_secret", "_upstream")

    def __init__(self, upstream: Upstream, secret: str) -> None:
        self._upstream = upstream
        self._secret = secret

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        shown = headers([*without(head.headers, _OURS).items(), ("Seawall-Peer", self._secret)])
        answer = await self._upstream.exchange(replace(head, headers=shown), body, interim=interim)
        note = read_note(answer.head.headers) or PeerNote("", 0, 0.0)
        fields = without(answer.head.headers, _OURS)
        return replace(answer, head=replace(answer.head, headers=fields), peer=note)

    async def close(self) -> None:
        await self._upstream.close()
