"""From what became of requests to numbers and log lines. The engine's observer on every node."""

from __future__ import annotations

from seawall.downstream.exchange import Sent
from seawall.engine.visit import Visit
from seawall.policy.reasons import Fwd, Reason
from seawall.telemetry.accesslog import AccessLog, Record
from seawall.telemetry.metrics import Counters


class Tally:
    """Counts into `counters`, and writes one record a request where there is a log.

    Both are open to who answers hits beside the engine, and says there what is said here.
    """

    __slots__ = ("counters", "log")

    def __init__(self, counters: Counters, log: AccessLog | None) -> None:
        self.counters = counters
        self.log = log

    def visited(self, visit: Visit, sent: Sent, seconds: float) -> None:
        counters = self.counters
        counters.requests[visit.outcome] += 1
        counters.request_seconds.observe(seconds)
        counters.sent_bytes += sent.body_bytes
        if not sent.complete:
            counters.aborted += 1
        if self.log is not None:
            self.log.write(_record(visit, sent, seconds))

    def forwarded(self, why: Fwd) -> None:
        self.counters.origin_requests[why] += 1

    def failed(self, why: Reason) -> None:
        self.counters.upstream_failures[why] += 1

    def not_stored(self, why: Reason) -> None:
        self.counters.not_stored[why] += 1

    def collapsed(self) -> None:
        self.counters.collapsed += 1


def _record(visit: Visit, sent: Sent, seconds: float) -> Record:
    head = visit.request.head
    return Record(
        visit.arrived_at,
        visit.request.peer,
        head.method,
        head.scheme,
        head.authority,
        head.target,
        head.minor,
        visit.status,
        sent.body_bytes,
        seconds,
        visit.outcome,
        visit.reason or "",
        visit.fwd or "",
        visit.ttl,
        visit.origin_seconds,
        head.headers.get("referer", ""),
        head.headers.get("user-agent", ""),
    )
