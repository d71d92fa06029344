"""What is wrong with a message of a peer, as a value: peer input never raises out of a parser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bad:
    """A message that is not taken. The connection it came on ends: where the next one begins is anyone's guess.

    `status` is what to answer: to a client 400, 414, 417, 431, 501 or 505; for a response always 502.
    `reason` is one clause for a human; it never quotes what the peer sent (HAZARDS T53).
    """

    status: int
    reason: str
