"""What an upstream answers, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.http.body import BodyReader, Duplex
from seawall.http.message import ResponseHead
from seawall.policy.reasons import Reason


class UpstreamError(Exception):
    """No usable answer. `reason` says why in the words of policy; the text says it to an operator."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PeerNote:
    """What a node of ours says beside its answer: the orders that it had applied, and the freshness that was left.

    `journal` "": nothing that can be compared; everything overtakes it.
    """

    journal: str
    number: int
    fresh_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response. The body is still arriving; whoever holds the answer reads it to its end or closes it.

    `delimited` is False where only the end of the connection ends the body: it is never stored (HAZARDS T23).
    `tunnel` is set with 101, and the body is then empty. `peer` is set where a node of ours answered.
    """

    head: ResponseHead
    body: BodyReader
    delimited: bool
    tunnel: Duplex | None = None
    peer: PeerNote | None = None
