"""A node's way to its hub's admin port: the feed's WebSocket, and single requests. The one place here with sockets.

Knows nothing of what is said. Every request shows the secret that the nodes share, and which node passes it on:
whoever receives it and is not the hub either refuses, so that two nodes which take each other for the hub do not
pass a purge to and fro.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import (
    BaseConnector,
    ClientSession,
    ClientTimeout,
    ClientWSTimeout,
    TCPConnector,
    UnixConnector,
    WSMsgType,
    hdrs,
    web,
)

from seawall.purge.line import Frame
from seawall.purge.messages import MAX_MESSAGE_BYTES

FEED_PATH = "/v1/feed"
PASSED_BY = "Seawall-Passed-By"
CONNECT_SECONDS = 2.0
CLOSE_SECONDS = 0.5
MAX_ANSWER_BYTES = 16 << 20


class LinkError(Exception):
    """The hub gave no usable answer. `sent`: it may have got the request all the same."""

    def __init__(self, why: str, *, sent: bool = False) -> None:
        super().__init__(why)
        self.sent = sent


class LinkTimeout(LinkError):
    """It took too long."""


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """What the hub answered to one request; not yet read."""

    status: int
    body: bytes


class WebSocket:
    """Either end of a feed's WebSocket as a Connection: text frames are its words, binary ones questions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse | web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> Frame | None:
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return Frame(message.data.encode())
        if message.type is WSMsgType.BINARY:
            return Frame(message.data, question=True)
        return None

    async def send(self, frame: Frame) -> None:
        await self._socket.send_frame(frame.data, WSMsgType.BINARY if frame.question else WSMsgType.TEXT)

    async def close(self) -> None:
        # A peer that is frozen never answers the closing handshake.
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close()


class Link:
    """Owner of the client's connections. Belongs to one event loop."""

    def __init__(self, url: str, secret: str, node: str, socket: Path | None = None) -> None:
        """`url` is the hub's admin address, such as http://127.0.0.1:8201; `socket` where it is a Unix socket's."""
        self.url = url.rstrip("/")
        self._socket = socket
        self._fields = {hdrs.AUTHORIZATION: f"Bearer {secret}", PASSED_BY: node}
        self._session: ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Link {self.url}>"

    async def feed(self) -> WebSocket:
        """A new connection for the feed. Raises LinkError."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._client().ws_connect(
                    f"{self.url}{FEED_PATH}",
                    headers=self._fields,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise LinkError(_refused(error.status)) from error
        except TimeoutError as error:
            raise LinkTimeout(f"no answer within {CONNECT_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise LinkError(_said(error)) from error
        return WebSocket(socket)

    async def ask(self, method: str, path: str, body: bytes | None, seconds: float) -> HubAnswer:
        """One request, answered within `seconds`. Raises LinkError; a refused secret is one too."""
        try:
            async with self._client().request(
                method,
                f"{self.url}{path}",
                data=body,
                headers=self._fields,
                allow_redirects=False,
                timeout=ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds)),
            ) as answer:
                content = bytearray()  # aiohttp has no bound of its own for a body that is read whole
                async for piece in answer.content.iter_any():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        raise LinkError("its answer is too long", sent=True)
        except aiohttp.ConnectionTimeoutError as error:
            raise LinkTimeout(f"no connection within {CONNECT_SECONDS:g} s") from error
        except TimeoutError as error:
            raise LinkTimeout(f"no answer within {seconds:g} s", sent=True) from error
        except aiohttp.ClientConnectorError as error:
            raise LinkError(_said(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise LinkError(_said(error), sent=True) from error
        if answer.status in (401, 403, 421):
            raise LinkError(_refused(answer.status))
        return HubAnswer(answer.status, bytes(content))

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _client(self) -> ClientSession:
        if self._session is None:
            # A connection that was idle may be gone without our knowing, and a purge sent on it has an unknown fate.
            # Purges are rare: each gets a connection of its own, and a hub that is gone refuses it.
            connector: BaseConnector = TCPConnector(force_close=True)
            if self._socket is not None:
                connector = UnixConnector(str(self._socket), force_close=True)
            self._session = ClientSession(connector=connector)
        return self._session


def _refused(status: int) -> str:
    if status in (401, 403):
        return f"it does not take this node's secret (status {status}): is purge.secret the same on both?"
    if status == 421:
        return "it does not know the host name that it was called by: admin.hosts names those"
    return f"it refuses the feed with status {status}: is it the hub?"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
