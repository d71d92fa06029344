"""An upstream that is asked under a Host of its own, whatever the client asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from seawall.http.body import BodyReader
from seawall.http.message import RequestHead, ResponseHead
from seawall.upstream.answer import Answer
from seawall.upstream.upstream import Upstream


class Hosted:
    """Sends every request with this authority. The cache's key stays what the client asked for."""

    __slots__ = ("_authority", "_upstream")

    def __init__(self, upstream: Upstream, authority: str) -> None:
        self._upstream = upstream
        self._authority = authority

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        return await self._upstream.exchange(replace(head, authority=self._authority), body, interim=interim)

    async def close(self) -> None:
        await self._upstream.close()
