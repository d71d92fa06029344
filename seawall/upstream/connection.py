"""One connection to an origin: whose octets are these, and may it be used again?

Knows the framing of HTTP/1.1 and the clock of its loop; knows no pool (an Owner hears of the two events
that matter to one) and no cache.

It is a state machine, because the same octets mean different things at different times, and a cache that
gets this wrong stores one URL's answer under another (HAZARDS T20, aio-libs/aiohttp#13656):

    state     what may happen                        next
    --------  -------------------------------------  ------------------------------------------------------
    IDLE      begin()                                AWAITING, or SENDING where the request has a body
              any octet, FIN, RST, keep-alive over   CLOSED. Nothing was asked, so nothing can be an answer
    SENDING   sent(): the last octet was written     AWAITING
              final head                             READING, and never IDLE again: the rest of the request
                                                     is not sent, so the origin waits for octets of it
    AWAITING  1xx                                    AWAITING, at most MAX_INTERIM times
              101 that the request asked for         TUNNEL
              final head                             READING
              FIN, RST, bad head, time-out           CLOSED, and the exchange raises UpstreamError
    READING   the framing's end, nothing behind it   IDLE, where both sides keep the connection
              the framing's end, octets behind it    CLOSED; the body is whole all the same
              FIN on a body that ends by closing     CLOSED; the body is whole
              FIN, RST, bad chunk, time-out          CLOSED; the body is broken
              abandon()                              CLOSED: draining somebody's film to save a handshake
                                                     costs more than the handshake
    TUNNEL    both directions ended, RST, close()    CLOSED
    CLOSED                                           final; octets that still come are dropped

Only SENDING and AWAITING have a waiter (the exchange), only READING and TUNNEL have a body. A waiter is a future, or a
Taker, which is shown the first octets of the answer and may take all of it at once: AWAITING -> IDLE, without a body.

Time-outs are one timer a connection. Each step just moves a deadline, a float; the timer looks at it when
it fires and goes back to sleep if it has moved on. asyncio.timeout() around each read would cost several
microseconds each time, this costs 0.2.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, cast

from seawall.http.bad import Bad
from seawall.http.chunked import ChunkedDecoder
from seawall.http.framing import Chunked, Length, NoBody, keep_alive, response_framing
from seawall.http.message import ResponseHead
from seawall.http.wire import MAX_HEAD_BYTES, head_end, parse_response_head, spoiled
from seawall.policy.reasons import Reason
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.arriving import EMPTY_BODY, ArrivingBody
from seawall.upstream.tunnel import Tunnel

# Twice what wire.py allows a client: a parent adds fields of its own to the origin's.
MAX_FIELDS = 256
# Go's client stops at 5; an origin that sends 102 every 15 s while it works needs more, nobody needs 33.
MAX_INTERIM = 32


class State(StrEnum):
    """Where a connection stands; the table above."""

    IDLE = "idle"
    SENDING = "sending"
    AWAITING = "awaiting"
    READING = "reading"
    TUNNEL = "tunnel"
    CLOSED = "closed"


# A look at a member of an Enum costs 30 ns.
_IDLE, _AWAITING = State.IDLE, State.AWAITING


class Owner(Protocol):
    """Who lends connections out. Called synchronously, from the event loop."""

    def came(self, connection: Connection) -> None:
        """It has a socket."""
        ...

    def released(self, connection: Connection) -> None:
        """IDLE again after a whole exchange."""
        ...

    def lost(self, connection: Connection) -> None:
        """CLOSED, whatever it was doing; exactly once."""
        ...

    def gone(self, connection: Connection) -> None:
        """Its socket is closed too, after lost()."""
        ...

    def broke(self, reason: Reason) -> None:
        """An answer that had begun will not become whole."""
        ...

    def intruded(self) -> None:
        """The origin sent octets that nobody asked for: behind an answer, or while idle."""
        ...


class Waiter(Protocol):
    """Who waits for an answer; a future is one."""

    def done(self) -> bool: ...
    def set_result(self, result: Answer, /) -> None: ...
    def set_exception(self, exception: Exception, /) -> None: ...


class Taker(Waiter, Protocol):
    """A waiter without a task. It hears of the answer in the very turn of the loop in which that arrives."""

    def take(self, connection: Connection, octets: bytes) -> bool:
        """These are the first octets of the answer. True: it was whole, the taker has it, and has said so by `taken`.

        Else the answer comes by set_result, as everybody's."""
        ...


class Place(StrEnum):
    """In which of its owner's hands a connection is; the owner's note, not the connection's."""

    OPENING = "opening"
    LENT = "lent"
    KEPT = "kept"


class Connection(asyncio.Protocol):
    """One transport and the exchange that runs over it. Owned by its pool; lent to one exchange at a time."""

    __slots__ = (
        "_abandoned_upload",
        "_asked_continue",
        "_asked_upgrade",
        "_body",
        "_deadline",
        "_decoder",
        "_full",
        "_head",
        "_interim",
        "_interims",
        "_keep",
        "_loop",
        "_method",
        "_owner",
        "_paused",
        "_poll",
        "_remaining",
        "_room",
        "_taker",
        "_timeouts",
        "_timer",
        "_timer_at",
        "_transport",
        "_waiter",
        "address",
        "exchanges",
        "heard",
        "keep_alive",
        "place",
        "state",
        "why_closed",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, timeouts: Timeouts, owner: Owner) -> None:
        self.address = address
        self.state = State.IDLE
        self.exchanges = 0  # begun; above 1 the connection is a reused one
        self.heard = False  # has any octet of the present answer arrived?
        self.keep_alive = timeouts.keep_alive  # seconds without work, as agreed with the last answer
        self.place = Place.OPENING
        self.why_closed = ""
        self._loop = loop
        self._timeouts = timeouts
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._waiter: Waiter | None = None
        self._taker: Taker | None = None  # the waiter, until it was shown the first octets
        self._method = ""
        self._interim: Callable[[ResponseHead], None] | None = None
        self._interims = 0
        self._asked_upgrade = False
        self._asked_continue = False
        self._head = bytearray()  # of a head that has not wholly arrived
        self._body: ArrivingBody | None = None
        self._decoder: ChunkedDecoder | None = None
        self._remaining = -1  # octets of a body with a length; -1: another framing
        self._keep = False  # may it be used again after this answer?
        self._abandoned_upload = False  # the answer came before we had sent all
        self._paused = False  # reading
        self._full = False  # the transport has no room
        self._room: asyncio.Future[None] | None = None
        self._deadline = 0.0  # 0: none
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    # --- lending ---

    @property
    def reused(self) -> bool:
        return self.exchanges > 1

    def quiet(self) -> bool:
        """Nothing waits in the socket of this idle connection: neither octets nor FIN.

        The event loop may have them in its hands already and call somebody else first, who then takes this
        connection and receives them as his answer. Asking the kernel costs 0.5 us and closes that window.
        """
        if self.state is not State.IDLE:
            return False
        if self._poll is None or not self._poll.poll(0):
            return True
        self._shut("it was not quiet while idle")
        return False

    def begin(
        self,
        method: str,
        *,
        interim: Callable[[ResponseHead], None] | None,
        asked_upgrade: bool,
        asked_continue: bool,
        sending: bool,
    ) -> asyncio.Future[Answer]:
        """Starts an exchange; the caller writes the request next. The answer, or why there is none."""
        assert self.state is State.IDLE, self  # noqa: S101 (our own mistake)
        self.exchanges += 1
        self.heard = False
        self._method = method
        self._interim = interim
        self._interims = 0
        self._asked_upgrade = asked_upgrade
        self._asked_continue = asked_continue
        waiter = self._waiter = self._loop.create_future()
        if sending:
            self.state = State.SENDING
            self._deadline = 0.0
        else:
            self.state = State.AWAITING
            self._arm(self._timeouts.first_byte)
        return waiter

    def ask(self, block: bytes, taker: Taker, interim: Callable[[ResponseHead], None] | None) -> None:
        """The exchange of a GET without a body and without Upgrade or Expect, for one who waits without a task."""
        assert self.state is _IDLE, self  # noqa: S101 (our own mistake)
        self.exchanges += 1
        self.heard = False
        self._method = "GET"
        self._interim = interim
        self._interims = 0
        self._asked_upgrade = self._asked_continue = False
        self._waiter = self._taker = taker
        self.state = _AWAITING
        self._arm(self._timeouts.first_byte)
        self.write(block)

    def taken(self, hint: str | None) -> None:
        """The taker has the whole answer, and its connection persists; `hint` is its Keep-Alive."""
        self._waiter = self._interim = None
        self.state = _IDLE
        seconds = self._timeouts.keep_alive
        if hint is not None:
            seconds = _hinted(hint, seconds)
        self.keep_alive = seconds
        self._arm(seconds)
        self._owner.released(self)

    def desert(self, taker: Taker) -> None:
        """The taker does not wait any more."""
        if self._waiter is taker:
            self._shut("the exchange was cancelled")

    def sent(self) -> None:
        """The last octet of the request was written: from now on the origin is the one to act."""
        if self.state is State.SENDING:
            self.state = State.AWAITING
            self._arm(self._timeouts.idle if self._head else self._timeouts.first_byte)

    def withdraw(self, waiter: asyncio.Future[Answer]) -> None:
        """The exchange that waits on `waiter` will not take the answer, even if it is there already."""
        if self._waiter is waiter:
            self._shut("the exchange was cancelled")
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            answer = waiter.result()
            answer.body.close()
            if answer.tunnel is not None:
                answer.tunnel.close()

    def give_up(self, error: Exception) -> None:
        """We cannot go on with the request: close, so that the origin never takes it for whole."""
        waiter = self._waiter
        if waiter is None:
            return  # the answer was here first
        self._shut("the request broke off")
        if not waiter.done():
            waiter.set_exception(error)

    def drop(self, why: str) -> None:
        """Closes it whatever it does; an exchange or body on it breaks with RESET."""
        self._fail(Reason.RESET, why)

    # --- writing ---

    def write(self, data: bytes) -> None:
        if self._transport is not None and self.state is not State.CLOSED:
            self._transport.write(data)

    async def room(self) -> bool:
        """Waits until the transport takes more; False: it is closed."""
        while self._full and self.state is not State.CLOSED:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        return self.state is not State.CLOSED

    def write_eof(self) -> None:
        """Ends our direction of a tunnel. TLS has no half-close in asyncio; there it ends both."""
        if self._transport is None or self.state is not State.TUNNEL:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """Ends a tunnel, after what was written has left."""
        self._shut("the tunnel was ended", polite=True)

    def pause_writing(self) -> None:
        self._full = True
        if self.state is State.SENDING:
            self._arm(self._timeouts.idle)

    def resume_writing(self) -> None:
        self._full = False
        if self.state is State.SENDING:
            self._deadline = 0.0
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # --- what the body asks for (arriving.Source) ---

    def pause(self) -> None:
        if self._transport is not None and not self._paused and self.state is not State.CLOSED:
            self._paused = True
            self._transport.pause_reading()
            self._deadline = 0.0  # now the reader is slow, not the origin

    def resume(self) -> None:
        if self._transport is not None and self._paused and self.state is not State.CLOSED:
            self._paused = False
            self._transport.resume_reading()
            if self.state is State.READING:
                self._arm(self._timeouts.idle)

    def abandon(self) -> None:
        self._shut("its answer was not wanted to the end")

    # --- events of the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._owner.came(self)
        if self.state is State.CLOSED:  # the opening was given up meanwhile
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN | select.POLLPRI)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state is _AWAITING or state is State.SENDING:
            self.heard = True
            taker = self._taker
            if taker is not None:
                self._taker = None
                if taker.take(self, data):
                    return
            self._read_head(data)
        elif state is State.READING:
            self._read_body(data)
        elif state is State.TUNNEL:
            if self._body is not None:
                self._body.feed(data)
        elif state is State.IDLE:
            self._owner.intruded()
            self._shut("unsolicited octets while idle")

    def eof_received(self) -> bool:
        """The origin has ended its direction: FIN, or close_notify under TLS."""
        state = self.state
        if state is State.IDLE:
            self._shut("closed by the origin")
        elif state is State.SENDING or state is State.AWAITING:
            self._fail(Reason.RESET, "closed within the head" if self.heard else "closed without an answer")
        elif state is State.READING:
            if self._remaining >= 0 or self._decoder is not None:
                self._fail(Reason.INCOMPLETE, f"closed before the body's end{self._missing()}")
            elif self._took_leave():
                self._finish(leftover=False)  # RFC 9112 6.3 rule 8: the close is the end
            else:
                self._fail(Reason.INCOMPLETE, "closed without close_notify")
        elif state is State.TUNNEL:
            if self._body is not None:
                self._body.end()
            # Plain TCP stays half-open for our direction.
            return self._transport is not None and self._transport.can_write_eof()
        return False

    def _took_leave(self) -> bool:
        """Did the origin itself say that it ends? Anybody on the path can send FIN (RFC 9112 9.8)."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        # asyncio calls eof_received() for both ends (uvloop only for close_notify). A read tells them apart:
        # nothing behind a close_notify, "want more" behind a bare FIN.
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.state is not State.CLOSED:
            self._fail(Reason.RESET, str(exc) or type(exc).__name__ if exc else "closed without an end")
        self._poll = None
        if self._timer is not None:  # of a polite goodbye
            self._timer.cancel()
            self._timer = None
        self._owner.gone(self)

    # --- the head ---

    def _read_head(self, data: bytes) -> None:
        held = self._head
        buffer: bytes | bytearray = data
        start = 0
        begun = not held
        if held:
            start = len(held)
            held += data
            buffer = held
        while True:
            end = head_end(buffer, start)
            if end < 0:
                break
            if end > MAX_HEAD_BYTES:
                self._fail(Reason.BAD_RESPONSE, f"the head has more than {MAX_HEAD_BYTES} bytes")
                return
            head = parse_response_head(bytes(buffer[:end]), max_fields=MAX_FIELDS)
            rest = bytes(buffer[end:])
            if held:
                self._head = held = bytearray()
            if isinstance(head, Bad):
                self._fail(Reason.BAD_RESPONSE, head.reason)
                return
            if head.status >= 200 or head.status == 101:
                self._settle(head, rest)
                return
            self._relay(head)
            if self.state is State.CLOSED:
                return
            buffer, start, begun = rest, 0, True
        if len(buffer) > MAX_HEAD_BYTES:
            self._fail(Reason.BAD_RESPONSE, f"the head has more than {MAX_HEAD_BYTES} bytes")
        elif spoiled(buffer, start):
            self._fail(Reason.BAD_RESPONSE, "invalid response head")
        elif begun and buffer:
            self._head = bytearray(buffer)
            # For the whole head, not for each read: one octet every 29 s would hold the slot for weeks.
            if self.state is State.AWAITING:
                self._arm(self._timeouts.idle)

    def _relay(self, head: ResponseHead) -> None:
        """An interim response (RFC 9110 15.2): passed on as it came, 100 only to who asked for it."""
        framing = response_framing(self._method, head)
        if isinstance(framing, Bad):
            self._fail(Reason.BAD_RESPONSE, framing.reason)
            return
        self._interims += 1
        if self._interims > MAX_INTERIM:
            self._fail(Reason.BAD_RESPONSE, f"more than {MAX_INTERIM} interim responses")
            return
        if self.state is State.AWAITING:
            self._arm(self._timeouts.first_byte)  # 102 means exactly that: I am still at it
        if self._interim is not None and (head.status != 100 or self._asked_continue):
            try:
                self._interim(head)
            except Exception as error:  # the caller's own mistake goes back to the caller
                self.give_up(error)

    def _settle(self, head: ResponseHead, rest: bytes) -> None:
        """The final head is here: how long is the body, and what becomes of the connection?"""
        if self._waiter is None or self._waiter.done():
            # Cancelled already, though the exchange has not run since to tell us: nobody would own the body.
            self._shut("the exchange was cancelled")
            return
        if head.status == 101:
            self._switch(head, rest)
            return
        framing = response_framing(self._method, head)
        if isinstance(framing, Bad):
            self._fail(Reason.BAD_RESPONSE, framing.reason)
            return
        delimited = True
        self._abandoned_upload = self.state is State.SENDING
        self._keep = not self._abandoned_upload and self._persists(head)
        self._remaining = -1
        self._decoder = None
        if isinstance(framing, NoBody):
            self._answer(Answer(head, EMPTY_BODY, delimited))
            self._finish(leftover=bool(rest))
            return
        if isinstance(framing, Length):
            self._remaining = framing.length_bytes
            body = ArrivingBody(self, framing.length_bytes)
        elif isinstance(framing, Chunked):
            self._decoder = ChunkedDecoder()
            body = ArrivingBody(self, None)
        else:
            delimited = self._keep = False
            body = ArrivingBody(self, None)
        self.state = State.READING
        self._body = body
        self._answer(Answer(head, body, delimited))
        if rest or self._remaining == 0:
            self._read_body(rest)
        elif self.state is State.READING:
            self._arm(self._timeouts.idle)

    def _switch(self, head: ResponseHead, rest: bytes) -> None:
        if not self._asked_upgrade or self.state is not State.AWAITING:
            self._fail(Reason.BAD_RESPONSE, "101 that nobody asked for")  # RFC 9110 15.2.2
            return
        self.state = State.TUNNEL
        self._deadline = 0.0  # a quiet WebSocket is a healthy one
        self._body = ArrivingBody(self, None)
        if rest:
            self._body.feed(rest)
        self._answer(Answer(head, EMPTY_BODY, True, Tunnel(self, self._body)))

    def _answer(self, answer: Answer) -> None:
        waiter, self._waiter = self._waiter, None
        self._interim = None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _persists(self, head: ResponseHead) -> bool:
        """RFC 9112 9.3: does the origin keep the connection, and for how long?"""
        hint = head.headers.get("keep-alive")
        ours = self._timeouts.keep_alive
        self.keep_alive = ours if hint is None else _hinted(hint, ours)
        return keep_alive(head)

    # --- the body ---

    def _read_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None, self  # noqa: S101 (our own mistake)
        remaining = self._remaining
        if remaining >= 0:
            size = len(data)
            if size < remaining:
                self._remaining = remaining - size
                body.feed(data)
            else:
                if remaining:
                    body.feed(data if size == remaining else data[:remaining])
                self._finish(leftover=size > remaining)
                return
        elif self._decoder is not None:
            decoder = self._decoder
            for piece in decoder.feed(data):
                body.feed(piece)
            if decoder.error is not None:
                self._fail(Reason.BAD_RESPONSE, decoder.error)
                return
            if decoder.done:
                self._finish(leftover=bool(decoder.leftover))
                return
        else:
            body.feed(data)
        if not self._paused and self.state is State.READING:
            self._arm(self._timeouts.idle)

    def _finish(self, *, leftover: bool) -> None:
        """The answer is whole. The connection parts from it here, before its reader has read a byte."""
        body, self._body = self._body, None
        self._decoder = None
        if body is not None:
            body.end()
        if leftover:
            self._owner.intruded()
            self._shut("octets behind the answer")
        elif not self._keep:
            self._shut("not kept after its answer", polite=not self._abandoned_upload)
        else:
            self.state = State.IDLE
            if self._paused:
                self.resume()
            self._arm(self.keep_alive)
            self._owner.released(self)

    def _missing(self) -> str:
        return f", {self._remaining} bytes missing" if self._remaining >= 0 else ""

    # --- the end ---

    def _fail(self, reason: Reason, detail: str) -> None:
        """The origin's fault. Whoever depends on this connection learns why."""
        waiter, body = self._waiter, self._body
        detail = f"{self.address}: {detail}"
        self._shut(detail)
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(UpstreamError(reason, detail))
        elif body is not None:
            body.break_off(f"{reason}: {detail}")
            self._owner.broke(reason)

    def _shut(self, why: str, *, polite: bool = False) -> None:
        """To CLOSED, once. Polite sends what is written and lets TLS say goodbye; otherwise all that is dropped."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.why_closed = why
        self._deadline = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiter = self._taker = None
        body, self._body = self._body, None
        if body is not None:
            body.break_off(why)
        self._interim = None
        self._decoder = None
        self._wake_writer()
        if self._transport is not None:
            if polite:
                self._transport.close()
                # Neither a full socket nor a missing close_notify may keep it for ever.
                self._timer = self._loop.call_later(self._timeouts.idle, self._transport.abort)
            else:
                self._transport.abort()
        self._owner.lost(self)

    # --- time ---

    def _arm(self, seconds: float) -> None:
        deadline = self._deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._on_timer)
            self._timer_at = deadline
        elif deadline < self._timer_at:
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._on_timer)
            self._timer_at = deadline

    def _on_timer(self) -> None:
        self._timer = None
        deadline = self._deadline
        if not deadline:
            return
        if self._loop.time() < deadline:
            self._timer = self._loop.call_at(deadline, self._on_timer)
            self._timer_at = deadline
            return
        state = self.state
        if state is State.IDLE:
            self._shut("idle for too long", polite=True)
        elif state is State.AWAITING and not self._head:
            self._fail(Reason.FIRST_BYTE_TIMEOUT, f"no answer within {self._timeouts.first_byte:g} s")
        else:
            self._fail(Reason.IDLE_TIMEOUT, f"stalled for {self._timeouts.idle:g} s while {state}")

    def __repr__(self) -> str:
        more = f", {self.why_closed}" if self.state is State.CLOSED else ", paused" if self._paused else ""
        return f"<Connection {self.state} to {self.address}, exchange {self.exchanges}{more}>"


def _hinted(value: str, ours: float) -> float:
    """Our keep-alive, or the origin's where that is shorter: a second less than `Keep-Alive: timeout=` says."""
    for option in value.split(","):
        name, _, seconds = option.strip().partition("=")
        if name.lower() == "timeout" and seconds.isascii() and seconds.isdigit() and len(seconds) < 6:
            return min(ours, max(int(seconds) - 1.0, 0.5))
    return ours
