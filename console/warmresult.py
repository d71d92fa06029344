"""What became of one URL of a warming, as the node says it, and of all of them together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

import msgspec

# A stale answer for these reasons says that the origin did not give a better one.
_ORIGIN_FAILED = frozenset({"stale-if-error", "origin-unreachable"})
# Answered by the node alone.
_NOT_ASKED = frozenset({"no-route", "scheme", "closing"})


class Kind(Enum):
    """How a URL counts."""

    STORED = "stored"
    HIT = "hits"  # it was stored already
    PASSED = "passed"  # answered, and not for the store
    FAILED = "failed"  # the origin gave no answer, or an error of its own


class Result(msgspec.Struct, frozen=True):
    """One result of POST /v1/warm. `ms` as the node measured it."""

    url: str
    status: int | None = None
    outcome: str | None = None
    stored: bool = False
    why: str | None = None
    bytes: int = 0
    ms: float = 0.0

    @property
    def kind(self) -> Kind:
        if self.status is None or self.status >= 500 or self.why in _ORIGIN_FAILED or self.why == "incomplete":
            return Kind.FAILED
        if self.outcome in ("HIT", "STALE"):
            return Kind.HIT
        return Kind.STORED if self.stored else Kind.PASSED

    @property
    def asked_origin(self) -> bool:
        """Does it say anything about the origin?"""
        return self.outcome != "HIT" and self.why not in _NOT_ASKED

    @property
    def reason(self) -> str:
        """Why it was passed, or how it failed."""
        status = str(self.status) if self.status is not None and (self.status >= 400 or not self.why) else ""
        return " ".join(filter(None, (status, self.why))) or "no reply"


@dataclass(slots=True)
class Summary:
    """All results so far."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    octets: int = 0

    def add(self, result: Result) -> None:
        self.kinds[result.kind] += 1
        self.octets += result.bytes
        if result.kind is Kind.PASSED:
            self.passed[result.reason] += 1
        elif result.kind is Kind.FAILED:
            self.failed[result.reason] += 1

    @property
    def asked(self) -> int:
        return sum(self.kinds.values())

    def as_json(self) -> dict[str, object]:
        counts: dict[str, object] = {kind.value: self.kinds[kind] for kind in Kind}
        why = {"passed": dict(self.passed.most_common()), "failed": dict(self.failed.most_common())}
        return {"asked": self.asked, **counts, "bytes": self.octets, "why": why}

    def __str__(self) -> str:
        said = f"{self.kinds[Kind.STORED]} stored, {self.kinds[Kind.HIT]} stored already"
        for kind, why in ((Kind.PASSED, self.passed), (Kind.FAILED, self.failed)):
            if self.kinds[kind]:
                reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common(5))
                said += f", {self.kinds[kind]} {kind.value} ({reasons}{', ...' if len(why) > 5 else ''})"
        return said
