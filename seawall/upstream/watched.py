"""The body of an answer, with somebody who hears how it ended.

Knows neither what carries the body nor who wants to know. Invariant: told exactly once, at the first of
end, break and close(); a reader who keeps his promise to do one of them cannot leave the other waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from seawall.http.body import BodyBroken, BodyReader


class Ending(StrEnum):
    """How a body ended."""

    WHOLE = "whole"
    BROKEN = "broken"
    CLOSED = "closed"  # its reader did not want the rest


class WatchedBody:
    """A BodyReader that tells. One reader."""

    __slots__ = ("_body", "_tell")

    def __init__(self, body: BodyReader, tell: Callable[[Ending], None]) -> None:
        self._body = body
        self._tell: Callable[[Ending], None] | None = tell

    @property
    def length(self) -> int | None:
        return self._body.length

    async def read(self) -> bytes:
        try:
            piece = await self._body.read()
        except BodyBroken:
            self._ended(Ending.BROKEN)
            raise
        if not piece:
            self._ended(Ending.WHOLE)
        return piece

    def close(self) -> None:
        self._body.close()
        self._ended(Ending.CLOSED)

    def _ended(self, ending: Ending) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(ending)

    def __repr__(self) -> str:
        return f"<WatchedBody of {self._body!r}{', told' if self._tell is None else ''}>"
