"""Who may ask for what: bearer tokens (RFC 6750), compared without telling how much of one was right.

A secret is not kept, only its digest: neither a repr nor a core dump of this table gives one away.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token is good for; the words of the topology file, and one that stands in none."""

    READ = "read"
    PURGE = "purge"
    WARM = "warm"
    NODE = "node"  # to be one of the topology: only the secret that the nodes share is good for that


EVERYTHING = frozenset(Scope) - {Scope.NODE}
NODES = "(nodes)"  # what logs call the holder of that secret; no token of a file can be called so


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a token: what logs call them, and what they may do."""

    name: str
    may: frozenset[Scope]


class Tokens:
    """All tokens of a node; immutable."""

    __slots__ = ("_holders",)

    def __init__(self, tokens: Iterable[tuple[str, str, Iterable[str]]]) -> None:
        """Of (name, secret, scopes). Raises ValueError for a scope that does not exist."""
        self._holders = tuple(
            (_digest(secret), Holder(name, frozenset(Scope(word) for word in may))) for name, secret, may in tokens
        )

    def __repr__(self) -> str:
        return f"<Tokens of {', '.join(holder.name for _, holder in self._holders) or 'nobody'}>"

    def holder(self, secret: str) -> Holder | None:
        """Whose secret this is. Takes as long for a wrong one as for a right one, whichever it is."""
        presented = _digest(secret)
        found = None
        for digest, holder in self._holders:
            if hmac.compare_digest(digest, presented):
                found = holder
        return found


def nodes_token(secret: str) -> tuple[str, str, Iterable[str]]:
    """The nodes' shared secret as one more token: they follow the orders, and pass purges and questions on."""
    return NODES, secret, (Scope.NODE, Scope.PURGE, Scope.READ)


def _digest(secret: str) -> bytes:
    # Random secrets of 80 bits and more need no slow hash; equal lengths make the comparison constant.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
