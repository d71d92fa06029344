"""What the client gets: a stored response, one that is arriving, an origin's own, or our refusal, with its trace.

Everything here is composition: policy's `present` says which octets, `trace` what is told about the way.
"""

from __future__ import annotations

import math
from dataclasses import replace

from seawall.downstream.exchange import Reply
from seawall.engine.peers import noted
from seawall.engine.visit import Visit
from seawall.flight.fill import Fill, FillReader
from seawall.http.headers import end_to_end, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.entry import Entry
from seawall.policy.present import Answered, Presentation, present
from seawall.policy.reasons import Outcome
from seawall.policy.trace import add_trace, cache_status
from seawall.purge.applied import Applied
from seawall.store.arena import Extent
from seawall.store.stored import Filed, Stored
from seawall.upstream.answer import Answer, PeerNote

# As good as for ever, and a finite number on the wire (RFC 9111 1.2.2 stops at 2^31 too).
MOST_FRESH_SECONDS = 2.0**31

_TITLES = {
    400: "Bad Request",
    404: "Not Found",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    508: "Loop Detected",
}


def from_stored(
    visit: Visit, request: RequestHead, item: Stored, body: bytes | tuple[bytes, ...] | Extent, node: str, now: float
) -> Reply:
    """A stored response, whole or in the parts that were asked for."""
    shown = present(request, item.entry, item.body_bytes, now)
    visit.ttl = item.entry.fresh_until - now
    return Reply(_traced(visit, shown.head, node), _pieces(body, shown))


async def from_filed(visit: Visit, request: RequestHead, item: Stored, body: Filed, node: str, now: float) -> Reply:
    """A stored response whose body lies in a lower level. Several ranges of it are not cut: the whole is as right.

    Raises Gone where it does not lie there any more.
    """
    shown = present(request, item.entry, item.body_bytes, now)
    if len(shown.slices) > 1:
        shown = present(request, item.entry, None, now)
    visit.ttl = item.entry.fresh_until - now
    head = _traced(visit, shown.head, node)
    if shown.body_omitted:
        return Reply(head)
    first, stop = shown.slices[0] if shown.slices else (0, body.length)
    return Reply(head, await body.open(first, stop))


def from_fill(
    visit: Visit, request: RequestHead, entry: Entry, fill: Fill, seat: FillReader | None, node: str, now: float
) -> Reply:
    """A response whose body is still arriving, through `seat` where one was kept. Several ranges of it are not cut:
    the whole is as right."""
    shown = present(request, entry, fill.length, now, answered=Answered.FETCHED)
    if len(shown.slices) > 1:
        shown = present(request, entry, None, now, answered=Answered.FETCHED)
    visit.ttl = entry.fresh_until - now
    head = _traced(visit, shown.head, node)
    reader = seat if seat is not None else fill.reader()
    if shown.body_omitted:
        reader.close()
        return Reply(head)
    if shown.slices and fill.length is not None:
        reader.narrow(*shown.slices[0])
    return Reply(head, reader)


def from_answer(visit: Visit, request: RequestHead, answer: Answer, node: str) -> Reply:
    """The origin's own answer, passed on: hop-by-hop fields removed, the body streamed."""
    tunnel = answer.tunnel
    if tunnel is not None:
        # RFC 9110 7.8: 101 says in Upgrade what was switched to; that field goes on, with its Connection option.
        upgrade = answer.head.headers.getall("upgrade", [])
        kept = end_to_end(answer.head.headers)
        fields = headers([*kept.items(), *(("Upgrade", value) for value in upgrade), ("Connection", "Upgrade")])
        visit.status = answer.head.status
        return Reply(ResponseHead(answer.head.status, answer.head.reason, fields), tunnel)
    fields = end_to_end(answer.head.headers)
    bodyless = request.method == "HEAD" or answer.head.status in (204, 304)
    if not bodyless:
        fields = without(fields, ("content-length",))
    head = _traced(visit, ResponseHead(answer.head.status, answer.head.reason, fields), node)
    if bodyless:
        answer.body.close()
        return Reply(head)
    return Reply(head, answer.body)


def refusal(visit: Visit, request: RequestHead, status: int, node: str, date: str) -> Reply:
    """Our own error, as a problem document (RFC 9457). Says which rule, and nothing of what lies behind us (T53)."""
    visit.outcome = Outcome.ERROR
    title = _TITLES.get(status, "Error")
    detail = str(visit.reason) if visit.reason is not None else "error"
    text = f'{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}\n'
    body = text.encode("ascii")
    fields = headers(
        [
            ("Date", date),
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
        ]
    )
    if request.method == "HEAD":
        fields = headers([*fields.items(), ("Content-Length", str(len(body)))])
    head = _traced(visit, ResponseHead(status, title, fields), node)
    return Reply(head, () if request.method == "HEAD" else (body,))


def _traced(visit: Visit, head: ResponseHead, node: str) -> ResponseHead:
    visit.status = head.status
    member = cache_status(
        node,
        hit=visit.fwd is None and visit.outcome in (Outcome.HIT, Outcome.STALE),
        fwd=visit.fwd,
        fwd_status=visit.fwd_status,
        stored=visit.stored,
        collapsed=visit.collapsed,
        ttl=visit.ttl,
        detail=visit.reason,
    )
    return add_trace(head, node=node, member=member, outcome=visit.outcome, debug=visit.from_peer)


def for_peer(visit: Visit, head: ResponseHead, applied: Applied) -> ResponseHead:
    """The head as a node of ours gets it: with the orders that were applied to it, and the freshness that is left.

    Where nothing is known of its freshness (a pass), the next tier judges by the fields themselves.
    """
    assert visit.mark is not None  # noqa: S101 (set on arrival)
    fresh = math.inf if visit.ttl is None else visit.ttl
    if visit.outcome is Outcome.STALE:
        fresh = 0.0
    journal = applied.journal if visit.mark.generation == applied.generation else ""
    note = PeerNote(journal, visit.mark.number, min(fresh, MOST_FRESH_SECONDS))
    return replace(head, headers=noted(head.headers, note))


def _pieces(held: bytes | tuple[bytes, ...] | Extent, shown: Presentation) -> tuple[bytes, ...]:
    """The octets that were asked for. A body that is wanted whole is passed on by reference, one in pages copied."""
    if shown.body_omitted:
        return ()
    body: tuple[bytes, ...] | Extent = (held,) if isinstance(held, bytes) else held
    if not isinstance(body, Extent) and shown.slices == ((0, sum(map(len, body))),) and not shown.leads:
        return body
    out: list[bytes] = []
    for number, (first, stop) in enumerate(shown.slices):
        if shown.leads:
            out.append(shown.leads[number])
        out.extend(_cut(body, first, stop))
    if shown.trail:
        out.append(shown.trail)
    return tuple(out)


def _cut(body: tuple[bytes, ...] | Extent, first: int, stop: int) -> list[bytes]:
    if isinstance(body, Extent):
        return [body.read(first, stop)]
    out: list[bytes] = []
    start = 0
    for piece in body:
        low, high = max(first - start, 0), min(stop - start, len(piece))
        if low < high:
            out.append(piece if high - low == len(piece) else piece[low:high])
        start += len(piece)
    return out
