"""A server on loopback for every test, on both event loops that people run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import uvloop

from seawall.downstream.exchange import Handler
from seawall.downstream.server import Limits, Server

Serve = Callable[..., Awaitable[Server]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that is gone, with everything it held, when the test is over."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler, limits: Limits | None = None) -> Server:
            server = Server(handler, limits=limits or Limits(), name="test")
            await server.start("127.0.0.1", 0)

            async def stop() -> None:
                await server.drain(0)
                assert server.open == 0
                assert not server.connections

            stack.push_async_callback(stop)
            return server

        yield start
