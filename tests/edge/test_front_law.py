"""What a hit must not cost: no task, no Request, no regular expression, no call to a logger, and no copy of a body."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from seawall.downstream.connection import Connection
from seawall.downstream.exchange import Request
from seawall.http.message import RequestHead
from seawall.store.arena import Extent
from tests.edge.twins import Side, Twins, Wire, request, twins

MIB = bytes(range(256)) * 4096
VARIED = (("accept-encoding", "gzip"),)
BROWSER = ("Accept: text/html,*/*;q=0.8", "Accept-Language: de, en;q=0.5", "User-Agent: Mozilla/5.0 (X11)", "DNT: 1")

HITS = {
    "GET": request("/small", *BROWSER),
    "HEAD": request("/small", *BROWSER, method="HEAD"),
    "304": request("/small", *BROWSER, 'If-None-Match: "v1"'),
    "a variant": request("/varied", *BROWSER, "Accept-Encoding: gzip"),
    "of 60 KiB": request("/60k", *BROWSER),
    "of 128 KiB": request("/128k", *BROWSER),
    "a pipeline": request("/small", *BROWSER) * 10
    + request("/60k", *BROWSER)
    + request("/varied", "Accept-Encoding: gzip"),
}


def city() -> Twins:
    both = twins()
    both.keep("/small", ("ETag", '"v1"'))
    both.keep("/varied", ("Vary", "Accept-Encoding"), varied=VARIED)
    both.keep("/60k", body=(MIB[:60_000],))
    both.keep("/128k", body=(MIB[:131_072],))
    both.keep("/5m", body=(5 * MIB,))
    return both


class Plugged(Wire):
    """Has a socket, whose other end the test reads."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.far = socket.socketpair()
        for end in (self.ours, self.far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.ours if name == "socket" else super().get_extra_info(name, default)


@contextmanager
def plugged(side: Side) -> Iterator[Plugged]:
    wire = Plugged()
    wire.connection = connection = Connection(side.server)
    connection.connection_made(wire)
    try:
        yield wire
    finally:
        connection.connection_lost(None)
        wire.ours.close()
        wire.far.close()


class Calls:
    """Everything that is called while it listens: Python functions by module, and what C functions are methods of."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.native: set[str] = set()

    def __enter__(self) -> Calls:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "call":
            self.files.add(Path(frame.f_code.co_filename).as_posix())
        elif event == "c_call":
            self.native.add(f"{type(getattr(what, '__self__', None)).__name__}.{what.__name__}")

    def of(self, *ends: str) -> set[str]:
        return {file for file in self.files if file.endswith(ends) or any(f"/{end}/" in file for end in ends)}


def hit(side: Side, octets: bytes) -> Wire:
    wire = side.connect()
    assert wire.connection is not None
    wire.connection.data_received(octets)
    return wire


@pytest.mark.parametrize("octets", HITS.values(), ids=HITS.keys())
async def test_a_hit_costs_no_task_no_request_no_expression_and_no_log_call(
    octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = city()
    for _ in range(3):  # blocks of fields are read once or twice, and remembered
        await both.hot.settle(hit(both.hot, octets))
    made: list[object] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_task", lambda *given, **more: made.append(given))
    for each in (Request, RequestHead):
        monkeypatch.setattr(each, "__init__", lambda *given, each=each, **more: made.append(each))
    before = both.answered
    with plugged(both.hot) as wire, Calls() as calls:
        assert wire.connection is not None
        wire.connection.data_received(octets)
    monkeypatch.undo()
    assert both.answered == before + octets.count(b"\r\n\r\n")
    assert made == []
    assert calls.of("/edge/front.py"), "the measure sees nothing"
    assert not calls.of("re", "logging", "/asyncio/tasks.py", "/engine/engine.py", "/policy/decide.py")
    assert not {name for name in calls.native if name.startswith(("Pattern.", "Match."))}


async def test_a_body_that_lies_in_pages_goes_out_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy of it is made here: nobody reads it."""
    both = city()
    monkeypatch.delattr(Extent, "read")
    with plugged(both.hot) as wire:
        assert wire.connection is not None
        wire.connection.data_received(request("/128k"))
        got = b""
        while len(got) < 131_072:
            got += wire.far.recv(1 << 20)
        assert got.endswith(MIB[:131_072])
        assert wire.octets == b""
        assert both.answered == 1


async def test_the_measure_sees_what_the_engine_does() -> None:
    both = city()
    with Calls() as calls:
        hit(both.plain, HITS["GET"])
        await asyncio.sleep(0)
        re.compile("x").match("x")
    assert calls.of("/http/wire.py", "/engine/engine.py")
    assert "Pattern.match" in calls.native


class Given(Wire):
    """Keeps what it was given, and not only its octets."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        pieces = list(list_of_data)
        self.given += pieces
        super().writelines(pieces)


@pytest.mark.parametrize("target", ["/60k", "/5m"])
async def test_a_body_goes_out_by_reference(target: str) -> None:
    """The very octets that are stored, whole or in views of them."""
    both = city()
    ((stored, _),) = both.kept[target]
    for _ in range(3):
        wire = Given()
        wire.connection = Connection(both.hot.server)
        wire.connection.connection_made(wire)
        wire.connection.data_received(request(target))
        await both.hot.settle(wire)
        assert wire.octets.endswith(stored.held)  # type: ignore[arg-type]
        lent = [each for each in wire.given if (each.obj if isinstance(each, memoryview) else each) is stored.held]
        assert sum(map(len, lent)) == stored.body_bytes
        wire.connection.cut()
        await asyncio.sleep(0)
    assert both.answered == 3
