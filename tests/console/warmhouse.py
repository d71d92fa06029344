"""A node that can be warmed, in one process and over real sockets: its admin port, its store, and a scripted origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from console.warm import Options, warm
from seawall.admin.app import create_app
from seawall.admin.port import AdminPort, open_port
from seawall.admin.tokens import Tokens
from seawall.admin.warm import Warming
from seawall.clock import SystemClock
from seawall.engine.popular import Popular
from seawall.engine.popularity import Popularity
from seawall.engine.warmer import Warmer
from tests.edge.house import House, house
from tests.purge.house import View

TOKEN = "the-token-of-a-warmer"
HOST = "http://a.example"
FRESH = "size=10&max-age=600"


@dataclass
class WarmHouse:
    """The parts, and the command."""

    edge: House
    port: AdminPort
    popularity: Popularity
    warmer: Warmer

    @property
    def admin(self) -> str:
        return f"http://{self.port.address}"

    async def told(self, options: Options, *, json: bool = True, token: str | None = TOKEN) -> int:
        """The exit code; the command blocks, as it does in a shell."""
        return await asyncio.to_thread(warm, self.admin, token, options, json=json)

    def asked(self, path: str) -> int:
        return self.edge.asked(path)


@asynccontextmanager
async def warmhouse() -> AsyncIterator[WarmHouse]:
    async with house() as edge:
        popularity = Popularity()
        warmer = Warmer(edge.engine.handle, holds=edge.engine.holds, clock=SystemClock())
        popular = Popular(popularity, edge.store.get, edge.engine.key_of)
        tokens = Tokens([("warmer", TOKEN, ["warm"])])
        app = create_app(View("edge-1"), tokens, version="0", warming=Warming(warmer, popular))
        port = await open_port(app, "127.0.0.1", 0)
        try:
            yield WarmHouse(edge, port, popularity, warmer)
        finally:
            warmer.close()
            await port.close()
