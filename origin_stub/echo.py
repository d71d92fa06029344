"""Answers that tell back what arrived: /echo, /upload, the WebSocket at /ws, and the ticks of /events."""

from __future__ import annotations

import asyncio
import hashlib
import json
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from origin_stub.reply import Reply
from origin_stub.state import State
from origin_stub.tally import Visit
from origin_stub.units import seconds

_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


async def echo(request: web.BaseRequest, visit: Visit) -> Reply:
    """The request as it arrived: method, target, fields in order, and length and SHA-256 of the body."""
    length, digest = await _hashed(request, visit)
    told = {
        "method": request.method,
        "target": request.raw_path,
        "http": f"{request.version.major}.{request.version.minor}",
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
        "length": length,
        "sha256": digest,
    }
    return Reply(headers=_JSON, body=json.dumps(told).encode() + b"\n")


async def upload(request: web.BaseRequest, visit: Visit) -> Reply:
    """Length and SHA-256 of a body of any size, which is never held."""
    length, digest = await _hashed(request, visit)
    return Reply(headers=_JSON, body=json.dumps({"length": length, "sha256": digest}).encode() + b"\n")


async def websocket(request: web.BaseRequest) -> web.WebSocketResponse:
    """Every message back as it came, text as text and binary as binary, until the peer closes."""
    socket = web.WebSocketResponse(max_msg_size=64 * 1024 * 1024, compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def events(request: web.BaseRequest, query: str, state: State) -> web.StreamResponse:
    """Server-sent events: `count` of them, `every` so often, or each after the first through `gate`."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    try:
        count, every, gate = int(asked.get("count", "10")), seconds(asked.get("every", "1s")), asked.get("gate")
    except ValueError as wrong:
        return web.Response(status=400, text=f"{wrong}\n")
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await answer.prepare(request)
    for tick in range(1, count + 1):
        if tick > 1:
            await (asyncio.sleep(every) if gate is None else state.gates.through(gate))
        await answer.write(f"id: {tick}\ndata: tick {tick}\n\n".encode())
    await answer.write_eof()
    return answer


async def _hashed(request: web.BaseRequest, visit: Visit) -> tuple[int, str]:
    length, digest = 0, hashlib.sha256()
    async for piece in request.content.iter_any():
        visit.read(len(piece))
        length += len(piece)
        digest.update(piece)
    return length, digest.hexdigest()
