"""An upstream whose every exchange waits for the story, a clock that stands, and chance that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from seawall.http.body import BodyReader
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.arriving import EMPTY_BODY, ArrivingBody
from tests.upstream.scripted import until


class Asked:
    """One request as it reached the upstream, and the story's hand on its answer."""

    def __init__(
        self, head: RequestHead, body: BodyReader | None, interim: Callable[[ResponseHead], None] | None
    ) -> None:
        self.head = head
        self.body = body
        self.interim = interim
        self.sent = b""  # of the body
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def replies(self, status: int = 200, body: bytes | None = None) -> ArrivingBody:
        """A head, and a body that the story feeds; or a whole body."""
        arriving = ArrivingBody(None, None if body is None else len(body))
        if body is not None:
            if body:
                arriving.feed(body)
            arriving.end()
        self.answer.set_result(Answer(ResponseHead(status, "", headers([])), arriving, True))
        return arriving

    def says(self, status: int = 200) -> None:
        """An answer without a body."""
        self.answer.set_result(Answer(ResponseHead(status, "", headers([])), EMPTY_BODY, True))

    def fails(self, reason: Reason) -> None:
        self.answer.set_exception(UpstreamError(reason, "scripted"))


class Scripted:
    """Answers with what `always` says, else waits for the story."""

    def __init__(self, always: Callable[[Asked], object] | None = None) -> None:
        self.always = always
        self.asked: list[Asked] = []
        self.closed = 0

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        one = Asked(head, body, interim)
        if body is not None:
            one.sent = await body.read()  # as the pool does, before it has a connection
        self.asked.append(one)
        if self.always is not None:
            self.always(one)
        try:
            return await one.answer
        finally:
            if body is not None:
                body.close()

    async def close(self) -> None:
        self.closed += 1

    async def nth(self, number: int) -> Asked:
        """The request with this number, from 1, as soon as it is there."""
        await until(lambda: len(self.asked) >= number)
        return self.asked[number - 1]


class Time:
    """Stands until the story moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Chance(Random):
    """Draws what the story says, and then the last of it again."""

    def __init__(self, *draws: float) -> None:
        super().__init__(0)
        self.draws = list(draws) or [0.0]

    def random(self) -> float:
        return self.draws.pop(0) if len(self.draws) > 1 else self.draws[0]
