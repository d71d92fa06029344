"""The public suite's conversations through the hot path and past it: the same octets. Needs the suite (make
conformance installs it), of which it takes the requests and the origin's answers; what is right is its own to say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from seawall.http.body import BodyReader
from seawall.http.dates import format_date
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.upstream.answer import Answer
from tests.conformance.run import HERE, SUITE
from tests.edge.twins import NOW, Twins, Way, Whole, request, twins
from tests.needs import missing, program

Step = dict[str, Any]

PAUSE_SECONDS = 3.0  # as the suite waits
VALIDATED = {"etag_validated": "if-none-match", "lm_validated": "if-modified-since"}
# A second time each, when everything that a step is about has come: hits, where it is stored.
BEHIND = ((), ('If-None-Match: "abc"',), ("Cache-Control: no-cache",))


@pytest.fixture(scope="module")
def conversations() -> dict[str, list[Step]]:
    if not (SUITE / "tests" / "index.mjs").is_file():
        missing("needs the conformance suite, which `make conformance` installs")
    told = subprocess.run(
        [program("node"), str(HERE / "definitions.mjs"), str(SUITE)], check=True, capture_output=True, text=True
    )
    return {test["id"]: test["requests"] for test in json.loads(told.stdout)}


class Scripted:
    """The origin of one side: answers as the step says that is under way."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.step: Step = {}
        self._now = now

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        while body is not None and await body.read():
            pass
        step = self.step
        status, reason = step.get("response_status", (200, "OK"))
        asks = VALIDATED.get(step.get("expected_type", ""))
        if asks is not None and asks in head.headers:
            status, reason = 304, "Not Modified"
        fields = lines(step.get("response_headers", ()), self._now())
        if "date" not in {name.lower() for name, _ in fields}:
            fields.append(("Date", format_date(self._now())))
        octets = str(step.get("response_body") or "body").encode()
        if head.method == "HEAD" or status in (204, 304):
            octets = b""
        return Answer(ResponseHead(status, reason, headers(fields)), Whole(octets), True)

    async def close(self) -> None:
        return


def lines(said: Any, now: float) -> list[tuple[str, str]]:
    """Fields with their dates written out."""
    return [(name, format_date(now + value) if isinstance(value, int) else value) for name, value, *_ in said]


async def replay(steps: list[Step]) -> Twins:
    origins: list[Scripted] = []

    def origin() -> Scripted:
        origins.append(Scripted(lambda: both.clock.at if origins[1:] else NOW))
        return origins[-1]

    both = twins(ways=(Way(origin()), Way(origin())))
    for step in steps:
        for each in origins:
            each.step = step
        target = f"/{step.get('filename', 'test')}"
        if "query_arg" in step:
            target += f"?{step['query_arg']}"
        sent = [f"{name}: {value}" for name, value in lines(step.get("request_headers", ()), both.clock.at)]
        body = str(step.get("request_body", "")).encode()
        method = step.get("request_method", "GET")
        if body or method in ("POST", "PUT"):
            sent.append(f"Content-Length: {len(body)}")
        await both.same(request(target, *sent, method=method) + body)
        for more in BEHIND:
            for again in ("GET", "HEAD"):
                asked = [line for line in sent if not line.lower().startswith("content-length")]
                await both.same(request(target, *asked, *more, method=again))
        if step.get("pause_after"):
            both.clock.at += PAUSE_SECONDS
    both.check()
    return both


async def test_every_conversation_of_the_suite_is_the_same_both_ways(conversations: dict[str, list[Step]]) -> None:
    answered = 0
    for name, steps in conversations.items():
        try:
            answered += (await replay(steps)).answered
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert len(conversations) > 300
    assert answered > 1000, "hits were hardly ever the front's"
