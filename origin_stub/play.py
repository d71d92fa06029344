"""Sending one reply, to the byte: waits, gates, interim responses, head, body in pieces, and the fault it asked for.

Heads are written to the transport by hand, not by aiohttp, which would add, fold or refuse fields. The caller is
aiohttp's server all the same: it parses the request, and keeps or closes the connection as the returned Sent says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from email.utils import formatdate

from aiohttp import web

from origin_stub import faults
from origin_stub.body import iter_body
from origin_stub.grammar import wire
from origin_stub.plan import Plan, Question, plan
from origin_stub.reply import After, Early, Expect, Fault, Framing, Reply
from origin_stub.state import State
from origin_stub.tally import Visit

# A whole answer up to this many bytes goes out in one write.
_ONE_WRITE = 64 * 1024


class Sent(web.StreamResponse):
    """An answer that is already on the wire: nothing is left to do but keep the connection, or end it with FIN."""

    def __init__(self, status: int, keep: bool) -> None:
        super().__init__(status=status)
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


async def play(request: web.BaseRequest, reply: Reply, path: str, state: State, visit: Visit) -> Sent:
    """Answer the request with the reply. Returns when the last byte is written; ConnectionError if the peer left."""
    if reply.expect is Expect.CONTINUE and request.headers.get("Expect", "").lower() == "100-continue":
        _write(request, b"HTTP/1.1 100 Continue\r\n\r\n")
    if reply.read:
        async for piece in request.content.iter_any():
            visit.read(len(piece))
    if reply.delay:
        await asyncio.sleep(reply.delay)
    if reply.gate is not None:
        await state.gates.through(reply.gate)
    for early in reply.early:
        _write(request, _early(early))
    if reply.fault in (Fault.HANG, Fault.RESET, Fault.CLOSE, Fault.GARBAGE):
        return await _no_head(request, reply.fault, state)

    question = Question(
        request.method,
        path,
        lambda name: ", ".join(request.headers.getall(name)) if name in request.headers else None,
        request.version < (1, 1),
    )
    if reply.raw is not None:
        visit.said(reply.status)
        _write(request, reply.raw)
        keep = True
    else:
        planned = plan(reply, question, state.versions.of(path), visit.serial)
        keep = _keeps(request, reply, planned, state)
        visit.said(planned.status)
        await _send(request, reply, planned, keep, state)
    if reply.fault is Fault.RESET_BODY:
        await faults.flush(request)
        faults.reset(request.transport)
    elif reply.fault is not None and reply.fault.cuts_body:
        keep = False
    elif reply.fault is Fault.UNSOLICITED or reply.after is not After.KEEP:
        if reply.gate_after is not None:
            state.spawn(_later(request.transport, reply, reply.gate_after, state))
        else:
            await faults.flush(request)
            keep = _afterwards(request.transport, reply) and keep
    return Sent(200, keep)


async def _no_head(request: web.BaseRequest, fault: Fault, state: State) -> Sent:
    if fault is Fault.HANG:
        await state.stopping.wait()
    elif fault is Fault.RESET:
        await faults.flush(request)
        faults.reset(request.transport)
    elif fault is Fault.GARBAGE:
        _write(request, faults.GARBAGE)
    return Sent(200, False)


def _keeps(request: web.BaseRequest, reply: Reply, planned: Plan, state: State) -> bool:
    says = ",".join(value for name, value in planned.headers if name.lower() == "connection").lower()
    return (
        request.keep_alive
        and planned.framing is not Framing.CLOSE
        and "close" not in says
        and not state.stopping.is_set()
    )


async def _send(request: web.BaseRequest, reply: Reply, planned: Plan, keep: bool, state: State) -> None:
    head = _head(reply, planned, keep, request.version < (1, 1))
    if planned.silent or planned.framing is Framing.NONE:
        _write(request, head)
        return
    length = planned.stop - planned.start
    at = min(length // 2 if reply.at is None else reply.at, length)
    cut = at if reply.fault is not None and reply.fault.cuts_body else length
    chunked = planned.framing is Framing.CHUNKED
    marks = (at, cut) if reply.gate_body is not None and at < cut else (cut,)
    if len(marks) == 1 and reply.gate_body is None and not reply.piece_delay and not chunked and cut <= _ONE_WRITE:
        _write(request, head + b"".join(_pieces(reply, planned, 0, cut)))
        if reply.fault is Fault.STALL:
            await state.stopping.wait()
        return
    _write(request, head)
    done = 0
    first = True
    for mark in marks:
        for piece in _pieces(reply, planned, done, mark):
            if reply.piece_delay and not first:
                await asyncio.sleep(reply.piece_delay)
            first = False
            _write(request, b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await request.writer.drain()
        done = mark
        if reply.gate_body is not None and mark == at:
            await faults.flush(request)
            await state.gates.through(reply.gate_body)
    if reply.fault is Fault.STALL:
        await state.stopping.wait()
    elif chunked and not (reply.fault is not None and reply.fault.cuts_body):
        _write(request, b"0\r\n" + _lines(reply.trailers) + b"\r\n")


def _pieces(reply: Reply, planned: Plan, start: int, stop: int) -> Iterator[bytes]:
    """The bytes [start, stop) of what this answer sends, in pieces."""
    start, stop = planned.start + start, planned.start + stop
    if reply.body is None:
        return iter_body(planned.key, planned.version, planned.size, start=start, stop=stop, piece=reply.piece)
    body = reply.body
    return (body[at : min(at + reply.piece, stop)] for at in range(start, stop, reply.piece))


def _head(reply: Reply, planned: Plan, keep: bool, http10: bool) -> bytes:
    fields = list(planned.headers)
    names = {name.lower() for name, _ in fields}
    if reply.date and "date" not in names:
        fields.insert(0, ("Date", _now()))
    if planned.framing is Framing.LENGTH:
        fields.append(("Content-Length", str(planned.stop - planned.start)))
    elif planned.framing is Framing.CHUNKED:
        fields.append(("Transfer-Encoding", "chunked"))
        if reply.trailers and "trailer" not in names:
            fields.append(("Trailer", ", ".join(name for name, _ in reply.trailers)))
    if "connection" not in names:
        if not keep:
            fields.append(("Connection", "close"))
        elif http10:
            fields.append(("Connection", "keep-alive"))
    status_line = f"HTTP/1.1 {planned.status:03d} {planned.reason}\r\n"
    return wire(status_line) + _lines(tuple(fields)) + b"\r\n"


def _early(early: Early) -> bytes:
    phrase = {100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints"}
    return wire(f"HTTP/1.1 {early.status} {phrase.get(early.status, '')}\r\n") + _lines(early.headers) + b"\r\n"


def _lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    return wire("".join(f"{name}: {value}\r\n" for name, value in fields))


_date = (0, "")


def _now() -> str:
    # Formatting a date takes 3 us, a quarter of a small answer; within a second it is always the same.
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def _write(request: web.BaseRequest, data: bytes) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the peer has left")
    transport.write(data)


async def _later(transport: asyncio.Transport | None, reply: Reply, gate: str, state: State) -> None:
    await state.gates.through(gate)
    if not _afterwards(transport, reply) and transport is not None:
        transport.close()


def _afterwards(transport: asyncio.Transport | None, reply: Reply) -> bool:
    """What follows a whole answer; whether the connection stays."""
    if reply.fault is Fault.UNSOLICITED and transport is not None and not transport.is_closing():
        transport.write(faults.UNSOLICITED)
    if reply.after is After.RESET:
        faults.reset(transport)
    return reply.after is After.KEEP
