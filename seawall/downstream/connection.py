"""One client's connection: HTTP/1.1 in, one request at a time to the handler, replies out in order.

The one place on this side that touches a transport. It knows no cache and no origin; what is written is
decided in reply.py, what is read in http/wire.py, framing.py and chunked.py.

    state     what it means                           what bytes do           what the timer waits for
    IDLE      no byte of a next request               begin a head            idle (at first: a head)
    HEAD      part of a head is here                  go on with it           the rest of the head, absolute
    BUSY      a request is answered by its task       body, or read ahead     body stall, send stall, half-close
    DRAINING  answered, its body still comes          are thrown away         body stall
    TUNNEL    101: octets both ways                   go to the far end       idleness of both directions
    LINGERING all is said, our side is closed         are thrown away         the end of patience
    CLOSING   closed; the transport still flushes     never come              send stall
    CLOSED    the transport is gone                   never come              -

    IDLE <-> HEAD -> BUSY -> IDLE (keep-alive), via DRAINING where a body was left unread
    BUSY -> TUNNEL -> CLOSING; HEAD, BUSY -> LINGERING (an answer of our own, or the last reply) -> CLOSED
    every state -> CLOSED when the client is gone, or the timer, a broken body or the server cuts it

A request belongs to its `Turn`; a turn has one task, which the connection cancels when nobody waits for the
answer any more and which ends the turn itself when the answer is out. What the server's `front` answers has no
task: it is written where its octets arrive, and only what the client does not take at once becomes a turn, whose
rest the transport pulls (`pour`); or the front has something to fetch first, and the turn waits for its errand, which
replies, or gives the turn to a task after all (`hand_over`). Reading stops while a body is not read,
while more than READ_AHEAD_BYTES of pipelined requests wait, and while the client does not take what it asked for.

One timer a connection, armed lazily: a deadline is a number that moves with every event, the timer looks at it
when it fires and goes on waiting if it has moved. A timeout per read would cost 2-3 us each.

TLS has no half-close (asyncio closes both ways), so there the end of the client's side is the end of all.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol, cast

from seawall.downstream.body import RequestBody
from seawall.downstream.exchange import Handler, Reply, Request, Sent
from seawall.downstream.inbox import Inbox
from seawall.downstream.limits import Limits
from seawall.downstream.problem import problem
from seawall.downstream.reply import WRITE_BYTES, ClientGone, Delimiter, Sending, bodyless, framed
from seawall.downstream.sendfile import WAITING_BYTES, FileBody, FileWay, file_way
from seawall.downstream.tunnel import Splice
from seawall.downstream.turn import Errand, Pour, Turn, in_writes
from seawall.http.bad import Bad
from seawall.http.body import BodyBroken, Duplex
from seawall.http.framing import Length, NoBody, keep_alive, request_framing
from seawall.http.headers import combined, connection_options, without
from seawall.http.message import RequestHead
from seawall.http.wire import LINE_EXTRA_BYTES, head_end, parse_request_head, request_line_fault, spoiled

if TYPE_CHECKING:
    from seawall.downstream.server import Front, Server

log = logging.getLogger("seawall.downstream")

# How much of pipelined requests may wait: 1,000 short ones.
READ_AHEAD_BYTES = 64 * 1024
# How much of a body nobody read is thrown away to keep the connection; beyond it a new one is cheaper.
DRAIN_BYTES = 64 * 1024
# How much is read from a client that is being said goodbye to.
LINGER_BYTES = 512 * 1024

# How long a connection without a request is kept when the server stops: a round trip over the worst of networks.
FIRST_REQUEST_SECONDS = 1.0

# TRACE would show a client's own credentials to whoever makes it ask (HAZARDS T15); CONNECT never parses.
REFUSED_METHODS = frozenset({"TRACE"})


class State(Enum):
    """The rows of the table above."""

    IDLE = "idle"
    HEAD = "head"
    BUSY = "busy"
    DRAINING = "draining"
    TUNNEL = "tunnel"
    LINGERING = "lingering"
    CLOSING = "closing"
    CLOSED = "closed"


# A look at a member of an Enum costs 30 ns, and a hit would pay for five.
_IDLE, _HEAD, _BUSY = State.IDLE, State.HEAD, State.BUSY


class Wait(Enum):
    """What the timer waits for; the label of the server's count of time-outs."""

    HEADER = "header"
    IDLE = "idle"
    BODY = "body"
    SEND = "send"
    TUNNEL = "tunnel"
    HALF_CLOSE = "half-close"
    LINGER = "linger"


_WAIT_IDLE = Wait.IDLE


class _Closable(Protocol):
    def close(self) -> None: ...


class Connection(asyncio.Protocol):
    """A protocol of the server that made it, and the Outlet of its replies."""

    __slots__ = (
        "_deadline",
        "_draining",
        "_eof",
        "_file_way",
        "_front",
        "_idle_seconds",
        "_inbox",
        "_limits",
        "_line_checked",
        "_loop",
        "_pending",
        "_reading",
        "_room",
        "_scanned",
        "_server",
        "_skipped",
        "_state",
        "_thrown_bytes",
        "_timer",
        "_tls",
        "_transport",
        "_turn",
        "_unsent_bytes",
        "_wait",
        "full",
        "peer",
        "send",
        "send_all",
        "served",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits: Limits = server.limits
        self._idle_seconds = server.limits.idle_timeout
        self._loop = asyncio.get_running_loop()
        self._state = State.IDLE
        self._turn: Turn | None = None
        self._inbox: Inbox | None = None
        self._pending: bytes | bytearray = b""
        self._scanned = 0
        self._skipped = False
        self._line_checked = False
        self._thrown_bytes = 0
        self._reading = True
        self._eof = False
        self._draining = False
        self._tls = False
        self.full = False
        """Whether the client has fallen behind."""
        self._room: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._deadline: float | None = None
        self._wait = Wait.HEADER
        self._timer: asyncio.TimerHandle | None = None
        # Offered each head first. None where replies have to say more than that they are hits: Connection: close, when
        # the server drains, the client has ended its side, or the number of requests is limited.
        self._front: Front | None = server.front if self._limits.max_requests is None else None
        self._file_way: FileWay | None = None
        self.peer = ""
        """The client's address without port; empty before connection_made."""
        self.served = 0
        """Requests that were answered; the front counts its own."""
        self.send: Callable[[bytes], None] = _nowhere
        """The transport's own write, for the front: nothing stands between. A Python call more is 0.06 us."""
        self.send_all: Callable[[list[bytes]], None] = _nowhere
        """The same for several pieces in one go."""

    def __repr__(self) -> str:
        turn = self._turn
        doing = f" {turn.head.method} {turn.head.url}" if turn is not None else ""
        return f"<Connection {self.peer or '?'} {self._state.value}{doing} served={self.served}>"

    # ---- the transport's side -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.send = self._transport.write
        self.send_all = self._transport.writelines
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) and name else ""
        self._tls = transport.get_extra_info("sslcontext") is not None
        self._arm(Wait.HEADER, self._limits.header_timeout)
        self._server.admit(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is _IDLE or state is _HEAD:
            front = self._front
            if front is not None and state is _IDLE and not self._pending:
                try:
                    taken = front(data, self)
                except Exception:
                    self._server.front_failed(self)
                    return
                if taken:
                    if self._state is _IDLE:
                        # What _arm does, without a look at a timer that is early enough: 0.2 us for 0.5.
                        if self._wait is _WAIT_IDLE and self._timer is not None:
                            self._deadline = self._loop.time() + self._idle_seconds
                        else:
                            self._arm(_WAIT_IDLE, self._limits.idle_timeout)
                    if taken == len(data):
                        return
                    data = data[taken:]
            self._hold(data)
            if self._state is _BUSY:
                if len(self._pending) > READ_AHEAD_BYTES:
                    self._pause()
                return
            self._advance()
        elif state is State.BUSY or state is State.DRAINING:
            turn = self._turn
            if turn is None or turn.body is None or turn.body.complete:
                self._hold(data)
                if len(self._pending) > READ_AHEAD_BYTES:
                    self._pause()
            else:
                self._feed_body(turn, turn.body, data)
        elif state is State.TUNNEL and self._inbox is not None:
            self._inbox.put(data)
            if self._inbox.full:
                self._pause()
            if not self.full:
                self._arm(Wait.TUNNEL, self._limits.tunnel_idle)
        elif state is State.LINGERING:
            self._thrown_bytes += len(data)
            if self._thrown_bytes > LINGER_BYTES:
                self._close()

    def eof_received(self) -> bool:
        """The client ended its side. True keeps ours open."""
        if self._tls:
            return False
        self._eof = True
        self._front = None
        turn = self._turn
        if self._state is State.BUSY and turn is not None and (turn.body is None or turn.body.complete):
            # A FIN looks the same from a client that left and from one that half-closed and waits.
            self._watch()
            return True
        if self._state is State.TUNNEL and self._inbox is not None:
            self._inbox.end()
            return True
        return False

    def pause_writing(self) -> None:
        self.full = True
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._watch()

    def resume_writing(self) -> None:
        self.full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._watch()
        if self._turn is not None:
            self._pump(self._turn)
        if self._state is State.IDLE or self._state is State.HEAD:
            self._resume()
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        under_way = self._state is State.BUSY or self._state is State.TUNNEL
        # Where a far end's end closed the tunnel (TLS: both ways at once), this is its end and not a failure.
        tunnel_over = self._inbox is not None and self._state is State.CLOSING
        if self._inbox is not None:
            if tunnel_over:
                self._inbox.end()
            self._inbox.fail("the client is gone")
        self._state = State.CLOSED
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending = b""
        if under_way:
            self._server.client_aborts += 1
        if self._turn is not None and not tunnel_over:
            self._stop(self._turn, "the client is gone")
        # What a task is still at ends with that (_ended). The rest must not wait for the collector, which never looks
        # at what has lived for a while (roles/collector.py).
        turn = self._turn
        if turn is not None and (turn.task is None or turn.task.done()):
            turn.task = None
            self._turn = None
        self._inbox = None
        if self._file_way is not None:
            self._file_way.close()
            self._file_way = None
        self._server.forget(self)

    # ---- the server's side ----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def drain(self) -> None:
        """Ends at once where nothing is under way, else with the reply that is.

        Who has just connected is about to ask: it is answered, or has FIRST_REQUEST_SECONDS to begin.
        """
        self._draining = True
        self._front = None
        if self._state is not State.IDLE:
            return
        if self.served:
            self._close()
        else:
            self._arm(Wait.HEADER, min(FIRST_REQUEST_SECONDS, self._limits.header_timeout))

    def cut(self) -> None:
        """Ends now, whatever is under way."""
        if self._state is not State.CLOSED:
            if self._turn is not None:
                self._stop(self._turn, "the server is stopping")
            self._state = State.CLOSING
            self._transport.abort()

    def refuse(self, bad: Bad) -> None:
        """Answers on the connection's own account, and ends it."""
        self._server.bad_requests[bad.status] += 1
        turn, self._turn = self._turn, None
        head = turn.head if turn is not None else None
        self._pending = b""
        reply = problem(bad.status, bad.reason)
        how = framed(head, reply, keep=False, date=self._server.date())
        body = () if how.delimiter is Delimiter.NONE else cast("tuple[bytes, ...]", reply.body)
        self.tell((how.head, *body))
        self._linger()

    # ---- the replies' side (Outlet, Mouth) ------------------------------------------------------------------

    def write(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Hands pieces to the transport. Raises ClientGone."""
        if self._transport.is_closing():
            raise ClientGone
        self._transport.writelines(pieces)
        if self._state is State.TUNNEL and not self.full:
            self._arm(Wait.TUNNEL, self._limits.tunnel_idle)
        elif self._eof:
            self._watch()

    async def room(self) -> None:
        """Returns when the client has caught up."""
        while self.full:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None

    def write_eof(self) -> None:
        """Ends our direction of a tunnel; TLS has no such thing, there all of it ends."""
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._close()

    def without_front(self) -> None:
        """From now on everything is parsed."""
        self._front = None

    # ---- the front's side -----------------------------------------------------------------------------------

    def pour(
        self, octets: bytes, body: tuple[bytes, ...], head: RequestHead, done: Callable[[int, bool], None]
    ) -> None:
        """A reply from memory that is too large for one write: it goes out, and the connection on, no faster than the
        client takes it. `octets` is the reply's head; the body is not empty."""
        self._pump(self._begin_pour(head, Pour(octets, in_writes(body), sum(map(len, body)), 0, done)))

    def send_file(self, head: bytes, body: FileBody, at: int = 0) -> tuple[bytes, int]:
        """As much of a reply as the kernel takes at once: what is left of its head, and where its body is to go on."""
        way = self._file_way
        if way is None:
            way = self._file_way = file_way(self._transport)
            if way is None:
                return head, at
        try:
            return way.send(head, body, at)
        except OSError:
            self._transport.abort()  # as the transport does when a write of its own fails
            return head, at

    def pour_file(
        self, octets: bytes, body: FileBody, at: int, head: RequestHead, done: Callable[[int, bool], None]
    ) -> None:
        """As pour(), from octet `at` of a body that lies in a file."""
        self._pump(self._begin_pour(head, Pour(octets, iter(()), body.length, at, done, body)))

    def await_room(self, head: RequestHead, body_bytes: int, done: Callable[[int, bool], None]) -> None:
        """All of a reply is written, and the client has not taken it yet: the connection goes on when it has."""
        self._begin_pour(head, Pour(b"", iter(()), body_bytes, body_bytes, done))

    def wait_for(self, errand: Errand) -> Turn:
        """The front answers a request when its errand is done; until then nothing else is answered here."""
        turn = self._turn = Turn(self, errand)
        turn.errand = errand
        self._state = _BUSY
        self._deadline = None
        return turn

    def is_plain(self, turn: Turn) -> bool:
        """May the front answer it? Not where a reply has to say more than it knows, or where nobody listens."""
        return self._turn is turn and self._front is not None and not self._transport.is_closing()

    def replied(self, turn: Turn) -> None:
        """The whole reply to a turn that is_plain was sent, and the client has taken it."""
        turn.errand = None
        self.served += 1
        self._turn = None
        if self._draining or self._eof or self._pending or not self._reading:
            self._next()
            return
        # What _next does where nothing is to be said or to be read: 0.3 us for 0.8.
        self._state = _IDLE
        if self._timer is not None:
            self._wait = _WAIT_IDLE
            self._deadline = deadline = self._loop.time() + self._idle_seconds
            if self._timer.when() <= deadline:
                return
        self._arm(_WAIT_IDLE, self._limits.idle_timeout)

    def await_taken(self, turn: Turn, body_bytes: int, done: Callable[[int, bool], None]) -> None:
        """The same, and the client has not taken it yet: `done` is told as a Pour's."""
        turn.errand = None
        turn.head_sent = True
        turn.pour = Pour(b"", iter(()), body_bytes, body_bytes, done)
        self._watch()

    def hand_over(self, turn: Turn, handler: Handler, let_go: Callable[[], None]) -> None:
        """A task answers it after all. `let_go` is called at its end."""
        turn.errand = None
        self._launch(turn, handler).add_done_callback(lambda _: let_go())

    def _begin_pour(self, head: RequestHead, pour: Pour) -> Turn:
        turn = self._turn = Turn(self, head)
        turn.head_sent = True
        turn.pour = pour
        self._state = State.BUSY
        self._deadline = None
        self._watch()
        return turn

    def _pump(self, turn: Turn) -> None:
        """Writes until there is no more, or no room. What is written counts as the client's (Sent)."""
        pour = turn.pour
        if pour is None:
            return
        try:
            while not self.full:
                piece = next(pour.pieces, None) if pour.file is None else self._of_file(pour, pour.file)
                if piece is None:
                    turn.pour = None
                    pour.done(pour.body_bytes, True)
                    self._finish(turn, True)
                    return
                self.write((pour.head, piece) if pour.head else (piece,))
                pour.head = b""
                pour.body_bytes += len(piece)
        except (ClientGone, OSError):  # or a file that cannot be read
            self.cut()

    def _of_file(self, pour: Pour, body: FileBody) -> bytes | None:
        """What the transport is to take, after the kernel has taken what it could; None: nothing is left."""
        pour.head, at = self.send_file(pour.head, body, pour.body_bytes)
        pour.body_bytes = at
        return body.read(at, at + (WAITING_BYTES if self._file_way is not None else WRITE_BYTES)) or None

    def tell(self, pieces: Iterable[bytes]) -> None:
        """Writes what may be left out: nothing if the client is gone or does not read."""
        if not self.full and not self._transport.is_closing():
            self._transport.writelines(pieces)

    # ---- heads ----------------------------------------------------------------------------------------------

    def _hold(self, data: bytes) -> None:
        pending = self._pending
        if not pending:
            self._pending = data  # nearly always a whole head: not copied
        elif isinstance(pending, bytearray):
            pending += data
        else:
            self._pending = bytearray(pending) + data

    def _advance(self) -> None:
        """Takes heads from what is pending until a request is under way or there is no whole one."""
        limits = self._limits
        while self._state is State.IDLE or self._state is State.HEAD:
            if self.full:
                self._pause()
                return
            pending = self._pending
            if not pending:
                return
            if not self._skipped and pending[:2] == b"\r\n":
                # RFC 9112 2.2: one empty line before a request line is ignored.
                self._skipped = True
                self._scanned = 0
                self._pending = pending[2:]
                if not self._pending:
                    self._begin_head()
                continue
            end = head_end(pending, self._scanned)
            if end < 0:
                self._await_rest(pending)
                return
            if end > limits.max_head_bytes:
                self.refuse(Bad(431, "head too large"))
                return
            self._state = State.IDLE
            self._scanned = 0
            self._skipped = self._line_checked = False
            front = self._front
            if front is not None:
                pending = bytes(pending)
                self._pending = b""  # a pour that ends at once comes by here again
                try:
                    taken = front(pending, self)
                except Exception:
                    self._server.front_failed(self)
                    return
                if taken:
                    if self._state is _IDLE:
                        self._arm(_WAIT_IDLE, limits.idle_timeout)
                    self._pending = pending[taken:]
                    if self._state is _BUSY and len(self._pending) > READ_AHEAD_BYTES:
                        self._pause()
                    continue
            block = bytes(pending[:end])
            self._pending = bytes(pending[end:])
            self._begin(block)

    def _begin_head(self) -> None:
        if self._state is State.IDLE:
            self._state = State.HEAD
            self._arm(Wait.HEADER, self._limits.header_timeout)

    def _await_rest(self, pending: bytes | bytearray) -> None:
        """What is here is no whole head: it is judged as far as it goes, so that nobody waits for nothing."""
        self._begin_head()
        limits = self._limits
        bad = None
        line_end = pending.find(b"\r\n")
        if spoiled(pending, self._scanned):
            bad = Bad(400, "invalid byte in the head")
        elif len(pending) > limits.max_head_bytes:
            bad = Bad(431, "head too large")
        elif line_end < 0:
            if len(pending) > limits.max_target_bytes + LINE_EXTRA_BYTES:
                bad = Bad(414, "request line too long")
        elif not self._line_checked:
            self._line_checked = True
            bad = request_line_fault(bytes(pending[:line_end]), limits.max_target_bytes)
        if bad is not None:
            self.refuse(bad)
            return
        self._scanned = len(pending)
        if isinstance(pending, bytes):
            self._pending = bytearray(pending)

    def _begin(self, block: bytes) -> None:
        """A whole head: a turn for it, or an answer of our own."""
        limits = self._limits
        head = parse_request_head(
            block, self._server.scheme, max_target=limits.max_target_bytes, max_fields=limits.max_fields
        )
        if isinstance(head, Bad):
            self.refuse(head)
            return
        framing = request_framing(head)
        if isinstance(framing, Bad):
            self.refuse(framing)
            return
        if head.method in REFUSED_METHODS:
            self.refuse(Bad(501, f"{head.method} is not offered"))
            return
        has_body = not isinstance(framing, NoBody) and framing != Length(0)
        asks = False
        if "expect" in head.headers:
            # RFC 9110 10.1.1: from an HTTP/1.0 client it is ignored. It ends here; upstream it is ours to say.
            if head.minor == 1:
                if (combined(head.headers, "expect") or "").lower() != "100-continue":
                    self.refuse(Bad(417, "an expectation other than 100-continue"))
                    return
                asks = has_body
            head = replace(head, headers=without(head.headers, ("expect",)))
        turn = self._turn = Turn(self, head)
        self._state = State.BUSY
        self._deadline = None
        if has_body and not isinstance(framing, NoBody):
            body = turn.body = RequestBody(framing, limits.max_body_bytes, turn.ask if asks else None, self._body_read)
            if body.fault is None and self._pending:
                pending, self._pending = bytes(self._pending), b""
                self._pending = body.feed(pending)
            if body.fault is not None:
                self.refuse(body.fault)
                return
            if body.full:
                self._pause()
            self._watch()
        if len(self._pending) > READ_AHEAD_BYTES:
            self._pause()
        self._launch(turn, self._server.handler)

    # ---- bodies of requests ---------------------------------------------------------------------------------

    def _feed_body(self, turn: Turn, body: RequestBody, data: bytes) -> None:
        leftover = body.feed(data)
        if leftover:
            self._hold(leftover)
        if self._state is State.DRAINING:
            self._drain_on(turn, body)
            return
        if body.fault is not None:
            self._fail(turn, body.fault)
            return
        if body.full or len(self._pending) > READ_AHEAD_BYTES:
            self._pause()
        self._watch()

    def _body_read(self) -> None:
        if self._state is State.BUSY or self._state is State.DRAINING:
            self._resume()
            self._watch()

    def _tunnel_read(self) -> None:
        if self._state is State.TUNNEL:
            self._resume()

    def _drain_on(self, turn: Turn, body: RequestBody) -> None:
        if body.fault is not None or body.seen_bytes - self._thrown_bytes > DRAIN_BYTES:
            self._linger()
        elif body.complete:
            self._turn = None
            self._next()
        else:
            self._arm(Wait.BODY, self._limits.body_stall)

    # ---- a turn ---------------------------------------------------------------------------------------------

    def _launch(self, turn: Turn, handler: Handler) -> asyncio.Task[None]:
        self._server.requests += 1
        task = turn.task = self._loop.create_task(self._answer(turn, handler))
        self._server.adopt(task)
        task.add_done_callback(self._ended)
        return task

    async def _answer(self, turn: Turn, handler: Handler) -> None:
        """The task of a turn. What it raises, `_ended` takes care of."""
        request = Request(turn.head, turn.body, self.peer, turn.interim)
        try:
            reply = await handler(request)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # Nobody cancelled us: the handler let a cancellation of its own escape.
            log.exception("exchange.failed url=%s", turn.head.url)
            reply = problem(500, "the handler was cancelled")
        except Exception:
            log.exception("exchange.failed url=%s", turn.head.url)
            reply = problem(500, "internal error")
        keep = await self._send(turn, reply)
        self._finish(turn, keep)

    async def _send(self, turn: Turn, reply: Reply) -> bool:
        """Sends a reply and settles it, whatever happens. Returns whether the connection may go on."""
        sending: Sending | Splice | None = None
        complete = False
        try:
            if turn.stopped or self._state is not State.BUSY:
                raise ClientGone
            keep = self._may_keep(turn)
            try:
                how = framed(turn.head, reply, keep=keep, date=self._server.date())
                if reply.head.status == 101:
                    self._check_switch(turn, reply)
            except ValueError as error:
                log.error("reply.invalid url=%s status=%s error=%s", turn.head.url, reply.head.status, error)
                own = problem(502, "invalid reply")
                how = framed(turn.head, own, keep=keep, date=self._server.date())
                turn.head_sent = True
                body = () if how.delimiter is Delimiter.NONE else cast("tuple[bytes, ...]", own.body)
                await Sending(self, how).pieces(body)
                return how.keep
            turn.head_sent = True
            self._watch()
            if reply.head.status == 101:
                self._open_tunnel(how.head)
                sending = Splice(cast(Inbox, self._inbox), self, cast(Duplex, reply.body))
                await sending.run()
                complete = True
                return False
            sending = Sending(self, how)
            reader = reply.body
            if isinstance(reader, tuple):
                await sending.pieces(reader)
            elif bodyless(turn.head.method, reply.head.status):
                await sending.pieces(())
            else:
                try:
                    await sending.reader(reader)  # type: ignore[arg-type]  # a Duplex comes with 101 only
                except BodyBroken as error:
                    log.info("reply.broken url=%s error=%s", turn.head.url, error)
                    self._break_off(how.delimiter)
                    raise
            complete = True
            if self.full:
                await self.room()
            return how.keep
        finally:
            self._settle(turn, reply, Sent(sending.body_bytes if sending is not None else 0, complete))

    def _settle(self, turn: Turn, reply: Reply, sent: Sent) -> None:
        try:
            if not isinstance(reply.body, tuple):
                cast(_Closable, reply.body).close()
            if reply.done is not None:
                reply.done(sent)
        except Exception:
            log.exception("reply.done failed url=%s", turn.head.url)

    def _may_keep(self, turn: Turn) -> bool:
        limits, body = self._limits, turn.body
        if self._draining or not keep_alive(turn.head) or (self._eof and not self._pending):
            return False
        if limits.max_requests is not None and self.served + 1 >= limits.max_requests:
            return False
        if body is None or body.complete:
            return True
        # RFC 9110 10.1.1: a client that was not told to go on may send its body all the same, or not.
        return not body.unasked and (body.remaining_bytes or 0) <= DRAIN_BYTES

    def _check_switch(self, turn: Turn, reply: Reply) -> None:
        """A tunnel is only for who asked for it, and only opens behind a whole request (HAZARDS T09)."""
        if turn.head.minor == 0 or "upgrade" not in connection_options(turn.head.headers):
            raise ValueError("101 to a request that asked for no upgrade")
        if isinstance(reply.body, tuple) or not hasattr(reply.body, "write_eof"):
            raise ValueError("101 without a tunnel")
        if turn.body is not None and not turn.body.complete:
            raise ValueError("101 before the end of the request")

    def _open_tunnel(self, head: bytes) -> None:
        self._inbox = Inbox(self._tunnel_read)
        self._inbox.put(bytes(self._pending))
        self._pending = b""
        if self._eof:
            self._inbox.end()
        self._state = State.TUNNEL
        if self._inbox.full:
            self._pause()
        else:
            self._resume()
        self.write((head,))

    def _finish(self, turn: Turn, keep: bool) -> None:
        """The reply is out: the connection goes on, or ends so that the client can read it."""
        if self._turn is not turn or self._state is State.CLOSED:
            return
        self.served += 1
        body = turn.body
        unread = body is not None and not body.complete
        if body is not None and unread:
            body.close()
        if self._state is State.TUNNEL:
            self._turn = None
            self._close()
        elif not keep or self._draining:
            self._turn = None
            if self._pending or unread or keep_alive(turn.head):
                self._linger()
            else:
                self._close()
        elif body is not None and unread:
            self._state = State.DRAINING
            self._thrown_bytes = body.seen_bytes
            self._resume()
            self._drain_on(turn, body)
        else:
            self._turn = None
            self._next()

    def _next(self) -> None:
        """A request is behind us, and the next may take its time."""
        self._state = State.IDLE
        if self._draining:
            self._linger()
            return
        if self._eof and not self._pending:
            self._close()
            return
        self._arm(Wait.IDLE, self._limits.idle_timeout)
        self._resume()
        self._advance()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The task of a turn is done; where it was stopped or failed, this is what the client gets to see."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not _expected(error):
            log.error("connection.failed %r", self, exc_info=error)
        turn = self._turn
        if turn is None or turn.task is not task or self._state is State.DRAINING:
            return
        turn.task = None  # it holds what it raised, which holds the frames it passed, which hold the turn
        if turn.fault is not None and not turn.head_sent:
            self.refuse(turn.fault)
        elif self._state is not State.CLOSED and self._state is not State.CLOSING:
            self.cut()
        self._turn = None

    def _fail(self, turn: Turn, fault: Bad) -> None:
        """The request turned out bad while it was being answered."""
        if turn.head_sent:
            self._server.bad_requests[fault.status] += 1
            self.cut()
            return
        turn.fault = fault
        self._pending = b""
        self._pause()
        self._stop(turn, fault.reason)

    def _stop(self, turn: Turn, why: str) -> None:
        """Cancels a turn, once: a second cancellation would break into what the handler does on the first."""
        if turn.stopped:
            return
        turn.stopped = True
        if turn.body is not None:
            turn.body.fail(why)
        errand, turn.errand = turn.errand, None
        if errand is not None:
            errand.abandon()
        pour, turn.pour = turn.pour, None
        if pour is not None:
            pour.done(pour.body_bytes, pour.body_bytes == pour.length_bytes)
        if turn.task is None:
            self._turn = None  # no task will: and the two would hold each other, and the errand with them
        # A task that is ending this very turn is not to be cancelled by what its own last write brought about.
        elif turn.task is not asyncio.current_task(self._loop):
            turn.task.cancel()

    # ---- endings --------------------------------------------------------------------------------------------

    def _break_off(self, delimiter: Delimiter) -> None:
        """Ends a reply short, so that it shows (HAZARDS T22): what the client has stays readable where framing
        tells it that something is missing; where only the end of the connection would tell, that is a reset."""
        if delimiter is Delimiter.CLOSE:
            sock = self._transport.get_extra_info("socket")
            if sock is not None and not self._tls:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._state = State.CLOSING
            self._transport.abort()
        else:
            self._close()

    def _close(self) -> None:
        """Closes when all is flushed."""
        if self._state is not State.CLOSED:
            self._state = State.CLOSING
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._arm(Wait.SEND, self._limits.send_stall)
            self._transport.close()

    def _linger(self) -> None:
        """RFC 9112 9.6: ends our side first and reads on for a while, or a reset may overtake our last words."""
        if self._state is State.CLOSED or self._transport.is_closing():
            return
        if self._eof or not self._transport.can_write_eof():
            self._close()
            return
        self._turn = None
        self._state = State.LINGERING
        self._pending = b""
        self._thrown_bytes = 0
        self._transport.write_eof()
        self._resume()
        self._arm(Wait.LINGER, self._limits.linger)

    # ---- reading and time -----------------------------------------------------------------------------------

    def _pause(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def _watch(self) -> None:
        """What to wait for, where that depends on more than one thing."""
        limits, turn = self._limits, self._turn
        if self._state is State.TUNNEL or self._state is State.BUSY:
            if self.full:
                self._arm(Wait.SEND, limits.send_stall)
            elif self._state is State.TUNNEL:
                self._arm(Wait.TUNNEL, limits.tunnel_idle)
            elif turn is not None and turn.body is not None and not turn.body.complete:
                if self._reading and not turn.body.unasked:
                    self._arm(Wait.BODY, limits.body_stall)
                else:
                    self._deadline = None
            elif self._eof and turn is not None:
                # Until the head, and then between two writes: what is written tells who is gone by a reset.
                self._arm(Wait.HALF_CLOSE, limits.half_close_grace)
            else:
                self._deadline = None
        elif self.full and self._state is State.CLOSING:
            self._arm(Wait.SEND, limits.send_stall)

    def _arm(self, wait: Wait, seconds: float) -> None:
        self._wait = wait
        self._deadline = deadline = self._loop.time() + seconds
        timer = self._timer
        if timer is not None:
            if timer.when() <= deadline:
                return
            timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None:
            return
        if self._loop.time() < deadline:
            self._timer = self._loop.call_at(deadline, self._tick)
            return
        self._deadline = None
        self._expired(self._wait)

    def _expired(self, wait: Wait) -> None:
        if wait is Wait.SEND:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent_bytes:
                self._unsent_bytes = unsent
                self._arm(Wait.SEND, self._limits.send_stall)
                return
        self._server.timeouts[wait.value] += 1
        turn = self._turn
        if wait is Wait.HEADER and self._state is State.HEAD:
            self.refuse(Bad(408, "the head took too long"))
        elif wait is Wait.BODY and turn is not None and self._state is State.BUSY:
            self._fail(turn, Bad(408, "the body took too long"))
        elif wait is Wait.HALF_CLOSE:
            self._server.client_aborts += 1
            self.cut()
        elif wait is Wait.HEADER or wait is Wait.IDLE or wait is Wait.LINGER:
            self._close()
        else:
            self.cut()


def _nowhere(octets: bytes | list[bytes]) -> None:
    """In place of a transport, before there is one."""


def _is_cancelled() -> bool:
    """Is this very task to end? No local of a frame that its exception holds may hold the task."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _expected(error: BaseException) -> bool:
    """Whether this is how a turn ends whose client or body is gone."""
    if isinstance(error, BaseExceptionGroup):
        return all(_expected(one) for one in error.exceptions)
    return isinstance(error, ClientGone | BodyBroken)
