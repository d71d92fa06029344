"""The bench's own clients: the one that stores objects, and the one that keeps to a schedule."""

from __future__ import annotations

import threading
import time

import pytest

from bench.peers import openloop
from bench.peers.exchange import Unexpected, ask, fill, read_head
from tests.bench.server import response, serving


def paths(count: int) -> list[str]:
    return [f"/o/{number}" for number in range(count)]


def test_every_path_is_asked_for_once() -> None:
    asked: list[str] = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return response(200, b"x" * 1000)

    with serving(answer) as port:
        assert fill(port, paths(300), 1000, connections=8) == 300
        assert fill(port, paths(3), 1000, connections=8) == 3
    assert sorted(asked) == sorted([*paths(300), *paths(3)])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (response(502, b"x" * 1000), "status 502"),
        (response(200, b"x" * 999), "999 octets"),
        (response(200, b"x" * 1000) + b"more", "more than the response"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not a response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length"),
    ],
)
def test_storing_stops_at_the_first_answer_that_is_not_as_it_must_be(answer: bytes, says: str) -> None:
    def answers(path: str) -> bytes:
        return answer if path == "/o/7" else response(200, b"x" * 1000)

    with serving(answers) as port, pytest.raises(Unexpected, match=says):
        fill(port, paths(20), 1000, connections=4)


def test_one_answer_is_seen_with_head_and_body() -> None:
    with serving(lambda path: response(200, b"x" * 100_000, "X-Cache: HIT")) as port:
        heard = ask(port, "/")
    assert (heard.status, len(heard.body), heard.value("x-cache"), heard.value("age")) == (200, 100_000, "HIT", None)
    assert heard.wire_bytes == len(heard.head) + 100_000


def test_a_304_has_no_body_whatever_its_length_says() -> None:
    assert read_head(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1024\r\n\r\n") == (304, 0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert openloop.percentile(list(range(1, 101)), share) == value


def test_arrivals_are_as_many_as_the_rate_says_and_always_the_same() -> None:
    due = openloop.arrivals(1000, 10, seed=1)
    assert due == openloop.arrivals(1000, 10, seed=1) != openloop.arrivals(1000, 10, seed=2)
    assert due == sorted(due)
    assert 9_500 < len(due) < 10_500
    assert 0 < due[0] < due[-1] < 10


def test_a_stall_counts_for_everybody_it_delayed() -> None:
    """Counted from when they were sent, only the two under way would be late: less than one in a hundred."""
    answered = 0
    stalled = threading.Lock()

    def answer(path: str) -> bytes:
        nonlocal answered
        with stalled:
            answered += 1
            if answered == 60:
                time.sleep(0.3)
            return response(200, b"x" * 10)

    with serving(answer) as port:
        seen = openloop.measure(port, "/", rate=400, seconds=1.0, connections=2)
    assert seen.requests == len(openloop.arrivals(400, 1.0, seed=1))
    assert seen.p99 > 200_000


def test_an_error_is_no_latency() -> None:
    with serving(lambda path: response(503)) as port, pytest.raises(Unexpected, match="503"):
        openloop.measure(port, "/", rate=100, seconds=0.1, connections=2)
