"""What the engine asks of any upstream: one address today, several with health checks behind the same verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from seawall.http.body import BodyReader
from seawall.http.message import RequestHead, ResponseHead
from seawall.upstream.answer import Answer


class Upstream(Protocol):
    """Somewhere to send a request."""

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        """The final response, its body still arriving. Raises UpstreamError, and BodyBroken of `body`."""
        ...

    async def close(self) -> None:
        """Ends every connection, those in use too. Idempotent."""
        ...
