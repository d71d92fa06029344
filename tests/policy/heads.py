"""Heads and entries for tables: short to write, so that a case fits on a line."""

from __future__ import annotations

from seawall.http.dates import format_date
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.decide import decide
from seawall.policy.entry import Entry
from seawall.policy.outcomes import Decision, Failure, Settlement, Store
from seawall.policy.rules import DEFAULT, Rules
from seawall.policy.settle import settle

NOW = 1_700_000_000.0

Pairs = dict[str, str] | list[tuple[str, str]]


def date(offset: float = 0.0) -> str:
    return format_date(NOW + offset)


def get(fields: Pairs | None = None, target: str = "/a", method: str = "GET") -> RequestHead:
    return RequestHead(method, "http", "example.test", target, headers(_pairs(fields)))


def reply(fields: Pairs | None = None, status: int = 200) -> ResponseHead:
    return ResponseHead(status, "", headers(_pairs(fields)))


def settled(
    fields: Pairs | ResponseHead | Failure,
    *,
    status: int = 200,
    request: RequestHead | None = None,
    asked: bool = False,
    delimited: bool = True,
    entry: Entry | None = None,
    candidates: tuple[Entry, ...] | None = None,
    rules: Rules = DEFAULT,
    requested_at: float | None = None,
    now: float = NOW,
) -> Settlement:
    answer = fields if isinstance(fields, ResponseHead | Failure) else reply(fields, status)
    if candidates is None:
        candidates = (entry,) if entry is not None else ()
    return settle(
        request or get(),
        asked,
        answer,
        delimited,
        entry,
        candidates,
        now if requested_at is None else requested_at,
        now,
        rules,
    )


def stored(
    fields: Pairs,
    *,
    status: int = 200,
    request: RequestHead | None = None,
    rules: Rules = DEFAULT,
    now: float = NOW,
) -> Entry:
    """The entry that this response becomes; it must be storable."""
    settlement = settled(fields, status=status, request=request, rules=rules, now=now)
    assert isinstance(settlement, Store), settlement
    return settlement.entry


def decided(
    request: RequestHead,
    *candidates: Entry,
    after: float = 0.0,
    has_body: bool = False,
    rules: Rules = DEFAULT,
    hit_for_miss: bool = False,
) -> Decision:
    return decide(request, has_body, candidates, NOW + after, rules, hit_for_miss)


def _pairs(fields: Pairs | None) -> list[tuple[str, str]]:
    if fields is None:
        return []
    return list(fields.items()) if isinstance(fields, dict) else fields
