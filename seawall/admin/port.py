"""The admin port's socket: opened, asked for its address, closed."""

from __future__ import annotations

import socket
from collections.abc import Callable

from aiohttp import web

# Prometheus scrapes every 15 to 60 s and would rather keep its connection.
KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 1.0


class AdminPort:
    """A running admin port. Its opener closes it."""

    def __init__(self, runner: web.AppRunner, host: str) -> None:
        self._runner = runner
        self._host = host

    def __repr__(self) -> str:
        return f"<AdminPort {self._runner.addresses or 'closed'}>"

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return int(self._runner.addresses[0][1])

    @property
    def address(self) -> str:
        """host:port as one would write it in a URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    async def close(self) -> None:
        """Answers what is under way, for a second at most, and closes."""
        await self._runner.cleanup()


async def open_port(app: web.Application, host: str, port: int) -> AdminPort:
    """Listens. Raises OSError where that is not possible."""
    return await _open(app, lambda runner: web.TCPSite(runner, host, port), host)


async def open_socket(app: web.Application, sock: socket.socket) -> AdminPort:
    """Listens on this socket, which it takes over: one that has no port, and so no address. Raises OSError."""
    return await _open(app, lambda runner: web.SockSite(runner, sock), "")


async def _open(app: web.Application, site: Callable[[web.AppRunner], web.BaseSite], host: str) -> AdminPort:
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await site(runner).start()
    except BaseException:
        await runner.cleanup()
        raise
    return AdminPort(runner, host)
