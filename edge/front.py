"""The hot path: a fresh hit in memory is answered where its octets arrive, before anything is made of them.

    octets -> request line and block of fields -> key -> stored response -> head and body out

No task, no Request, no map of fields, and a head is made once for the second that it is right in. Its law: it may say
only what the engine would have said. So it knows one answer, the plain hit; where nothing is stored an errand may fetch
it (errand.py); and whatever is the least unusual about connection, request, route or stored response is left to the
engine, by answering nothing. That the law is kept is not argued here but tried: tests/edge/test_front_differential.py
sends everything through both.

Owns a memo of blocks (hotheads.py) and the heads that it has made. It reads the store, and changes in it what a hit
changes: the order of eviction.

Figures beside the code: CPython 3.11, uvloop, a machine where a protocol that parses nothing and writes one constant
takes 4.7 us of CPU a request. There answer() takes 1.8 us for a hit of 1 KiB on a hot object, whatever the browser
sent, and 3.2 on one that is not; 5.7 where such are asked for at random, among so many that the processor has most of
what is looked at in none of its caches.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from edge.errand import Errands
from edge.hotheads import Asked, Memo
from edge.hotreplies import Replies, opaque_tag
from seawall.downstream.connection import Connection
from seawall.downstream.reply import WRITE_BYTES
from seawall.downstream.server import Server
from seawall.engine.grounds import Grounds
from seawall.http.fields import MAX_DELTA_SECONDS
from seawall.http.message import RequestHead
from seawall.policy.early import early_from
from seawall.policy.entry import SPAN_AT, unpack_span
from seawall.policy.key import keyed_target
from seawall.policy.present import changed_at
from seawall.policy.reasons import Outcome
from seawall.policy.rules import KeyRules, Rules
from seawall.store.arena import Extent
from seawall.store.shards import TOP
from seawall.store.stored import MOST_USES, Stored
from seawall.telemetry.metrics import REQUEST_BOUNDS

# A body up to here is copied behind its head and is one piece with it; a longer one goes beside it, by reference. One
# write() and one writelines() of two pieces cost the same at 4 KiB; at 64 KiB it is 14 us for 12.
JOIN_BYTES = 4 * 1024
# So much of pipelined replies is collected for one write.
BATCH_BYTES = 64 * 1024
# How many objects' heads are kept: 1 KiB each.
MOST_HOT = 8192
# An object becomes hot when it is hit twice among so many objects that are not. At one hit a second a head that is kept
# is used once, and only costs; of these, at full speed, a tenth of a second has more.
RECENT = 4096
# Before the instant at which a head is no longer right. A double of today's seconds is exact to a quarter of a
# microsecond; in this last one the head is made anew for each hit.
_EDGE = 1e-6

_MOST_AGE = float(MAX_DELTA_SECONDS)
# Routes that a topology may well have; with more of them, marks are made more than once.
_MOST_WAYS = 1024
# Without a length, a part, or nothing of their own to say: rare enough to be put together by those who know how.
_UNUSUAL_STATUS = frozenset({204, 206, 304})

_HIT: Final = Outcome.HIT
_FIRST_BOUND = REQUEST_BOUNDS[0]


class Way:
    """What a route says to hits on its objects: the mark that such an object carries once it was looked at."""

    __slots__ = ("beta", "counted", "listens", "rules")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.beta = rules.early_refresh
        self.counted = rules.min_uses > 1
        self.listens = rules.request_directives


class Hot:
    """The heads of an object that are right until `until`; None: not asked for yet. One hit's, or kept for others."""

    __slots__ = (
        "age",
        "changed_at",
        "get",
        "head",
        "judged",
        "key",
        "noted",
        "opaque",
        "shown_bytes",
        "ttl",
        "unchanged",
        "until",
        "way",
    )

    def __init__(self, way: Way, key: str) -> None:
        self.way = way
        self.key = key
        self.until = -math.inf
        self.age = self.ttl = self.shown_bytes = 0
        self.noted = True  # is a hit on it counted as one more of its key?
        self.get: bytes | None = None
        self.head: bytes | None = None
        self.unchanged: bytes | None = None
        self.judged = False
        self.opaque: str | None = None  # when judged: what conditions are compared with
        self.changed_at = 0.0


# The mark of an object that is never a plain hit, whoever asks: a part, no-cache, on a route with a longer key.
_NEVER: Final = object()


class Told(NamedTuple):
    """One reply that was made: what is counted and logged of it when it has left."""

    asked: Asked
    wants_body: bool
    key: str
    status: int
    body_bytes: int
    ttl: float

    @property
    def method(self) -> str:
        return "GET" if self.wants_body else "HEAD"

    @property
    def target(self) -> str:
        return self.key[len(self.asked.prefix) :]


class Front:
    """Answers plain hits, and sets out for plain misses. `answered` only ever grows."""

    __slots__ = (
        "_bans", "_boottime", "_counters", "_dicts", "_errands", "_lease", "_log", "_memo", "_monotonic",
        "_most_bytes", "_note", "_noting", "_offset", "_only", "_only_way", "_recent", "_recent_at", "_replies",
        "_rest", "_ring", "_rules", "_said", "_scheme", "_touch", "_uses", "_ways", "_young", "answered",
    )  # fmt: skip

    def __init__(self, grounds: Grounds, server: Server) -> None:
        standing, tally = grounds.standing, grounds.tally
        self._scheme = server.scheme
        self._memo = Memo(server.scheme, server.limits)
        self._young = self._memo.young
        # Two limits in one comparison: a head that is shorter than the longest target has no longer one.
        self._most_bytes = min(server.limits.max_head_bytes, server.limits.max_target_bytes)
        self._replies = replies = Replies(grounds.node)
        self._rest = replies.rest
        self._monotonic = grounds.clock.monotonic
        self._offset = grounds.clock.offset
        self._lease = standing.lease if standing.now is not None else None
        self._boottime = standing.now or self._monotonic
        self._rules = grounds.rules
        self._only = None if grounds.only is None else grounds.only.rules
        # Where that one keeps every target as it is and adds nothing to the key, all its objects have the same mark.
        self._only_way = None if self._only is None or not _keeps_keys(self._only) else Way(self._only)
        self._dicts = grounds.memory.buckets.dicts
        self._bans = grounds.memory.bans
        self._touch = grounds.memory.touching
        self._said = grounds.searches.said
        self._uses = grounds.uses
        self._note = None if grounds.popularity is None else grounds.popularity.note
        self._counters = tally.counters
        self._log = tally.log
        fetching = grounds.fetching
        self._errands = None if fetching is None else Errands(grounds, fetching, server, replies)
        self._ways: dict[int, Way] = {}
        self._ring: deque[Hot] = deque()
        self._recent: set[str] = set()
        self._recent_at = grounds.clock.now()
        self._noting = True  # are hits on what is not hot counted as uses of their keys?
        self.answered = 0

    def __repr__(self) -> str:
        return f"<Front answered={self.answered} blocks={len(self._memo)} hot={len(self._ring)}>"

    @property
    def fetched(self) -> int:
        """Misses and passes that were answered; only ever grows."""
        return 0 if self._errands is None else self._errands.answered

    def answer(self, octets: bytes, connection: Connection) -> int:
        """Answers plain hits from the first octet on, in one write; how many octets they were. See Server.front.

        One request with a known block for one object in one small piece is done here; all else is in _several.
        As long as it is, because each call that it would be cut into costs what five of its lines cost. What is called
        is a local name first, because CPython 3.11 looks a function up slowly in a slot: 0.03 us each. And no find()
        or startswith(), whose arguments it reads as slowly: 0.1 us where a comparison of slices is 0.05.
        """
        monotonic, young = self._monotonic, self._young
        started = monotonic()
        # Read after the request was (purge/lease.py): a process that was stopped in between must not go by a clock
        # from before.
        lease = self._lease
        if lease is not None:
            boottime = self._boottime
            if boottime() >= lease.until:
                return 0
        now = started + self._offset  # what Clock.now() says: 0.03 us for 0.13
        # Hardly anything of the line is parsed, for it is compared as a whole: a target that stands in the store, octet
        # for octet, was once taken by the strict parser, in the request that brought the object. That it begins with a
        # slash keeps it from completing the host's name; that no key with a line feed is found, which a line feed in
        # here could spell, is seen to where the object is first looked at (_way_of).
        line, _, block = octets.partition(b" HTTP/1.1\r\n")
        asked = young.get(block)
        size = len(octets)
        if asked is None or line[:5] != b"GET /" or size > self._most_bytes:
            return self._several(octets, connection, started, now)
        key = asked.prefix + line[4:].decode("latin-1")
        item = self._dicts[hash(key) >> TOP].get(key)
        # type() and not isinstance(): both classes are final here, and each look is 0.02 us less.
        if type(item) is not Stored or self._said or self._bans:
            if item is None and self._errands is not None and not self._said:
                return size if self._errands.begin(asked, line[4:], key, connection, started, now) else 0
            return self._several(octets, connection, started, now)
        body = item.held
        if not isinstance(body, bytes) or len(body) > WRITE_BYTES:
            return self._several(octets, connection, started, now)
        varied = item.varied
        if varied and not asked.compared.get(varied) and not self._memo.matches(asked, block, varied):
            return 0
        mark = item.hot
        if mark is None:
            mark = self._mark(item, asked, key)
        length, unchanged, noted = len(body), False, True
        if type(mark) is Way and key not in self._recent and not asked.conditional:
            # Nothing is ready and nothing is kept: what _look, _renew and Replies.get do, in half the time.
            # Without a look at the entry: where objects are asked for at random, it is in no cache.
            way, noted = mark, self._noting
            born_at, fresh_until, shown_bytes = unpack_span(item.instants, SPAN_AT)
            if (
                now >= fresh_until
                or now >= item.look_again_at
                or (way.beta and now >= early_from(item.entry, way.beta))
            ):
                return 0
            recent = self._recent
            if len(recent) < RECENT:
                recent.add(key)
            else:
                self._crowd(key, now)
            age, kind = now - born_at, item.kind
            whole = 0 if age < 0 else int(age) if age < _MOST_AGE else MAX_DELTA_SECONDS
            ttl = int((fresh_until - now) // 1)
            if kind.traced:
                head = self._replies.get(item.entry, whole, ttl, shown_bytes, length)
            else:
                rest = self._rest % (whole, ttl, length)
                shown: bytes = item.fields[:shown_bytes]  # type: ignore[assignment, index]  # _way_of has seen to it
                head = b"".join((kind.line or b"", shown, rest))
        else:
            if type(mark) is Hot:
                hot = mark
                if now >= hot.until and not self._renew(item, hot, now):
                    return 0
            else:
                looked = self._look(item, asked, key, now)
                if looked is None:
                    return 0
                hot = looked
            way = hot.way
            tags, opaque = asked.tags, hot.opaque
            if tags is not None and opaque is not None:
                unchanged = opaque in tags  # as _is_unchanged says once it has judged; 0.2 us less
            elif asked.conditional:
                unchanged = self._is_unchanged(item, hot, asked)
            if unchanged:
                length = 0
                head = hot.unchanged or self._make_unchanged(item, hot)
            else:
                head = hot.get or self._make_get(item, hot)
        if asked.directives and way.listens:
            return 0
        if unchanged:
            send = connection.send
            send(head)
        elif length <= JOIN_BYTES:
            send = connection.send
            send(head + body)
        else:
            send_all = connection.send_all
            send_all([head, body])
        # As MemoryStore.touch does. 0.5 us less among a million, where what the order of eviction has is far away.
        if item.uses < MOST_USES:
            item.uses += 1
        touch, note = self._touch, self._note
        if touch is not None:
            touch(item.name)
        if way.counted:
            self._uses.ask(key, now)
        if noted and note is not None:
            note(key)
        self.answered += 1
        if self._log is not None or connection.full:
            status = 304 if unchanged else item.entry.kind.status
            told = [Told(asked, True, key, status, length, item.entry.fresh_until - now)]
            self._tell(told, connection, now, started, None)
            return size
        connection.served += 1
        # As Tally.visited counts, in place: 0.3 us a call.
        seconds = monotonic() - started
        counters = self._counters
        counters.requests[_HIT] += 1
        counters.sent_bytes += length
        histogram = counters.request_seconds
        # Nearly every hit is below the first bound: 0.1 us less than to search for the place of each.
        histogram.counts[0 if seconds <= _FIRST_BOUND else bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds
        return size

    def _several(self, octets: bytes, connection: Connection, started: float, now: float) -> int:
        """The same for any number of requests, and for whatever is a plain hit."""
        out: list[bytes] = []
        told: list[Told] = []
        large: tuple[bytes, ...] | Extent | None = None
        at, size, waiting = 0, len(octets), 0
        while at < size and large is None and waiting < BATCH_BYTES:
            end = octets.find(b"\r\n\r\n", at) + 4
            if end < 4 or end - at > self._most_bytes:
                break
            line_end = octets.find(b"\r\n", at)
            line, block = octets[at:line_end], octets[line_end + 2 : end]
            wants_body = line[:5] == b"GET /"
            if line[-9:] != b" HTTP/1.1" or not (wants_body or line[:6] == b"HEAD /"):
                break
            asked = self._young[block] if block in self._young else self._memo.find(block)
            if asked is None:
                break
            key = asked.prefix + line[4 if wants_body else 5 : -9].decode("latin-1")
            found = self._dicts[hash(key) >> TOP].get(key)
            item = found if isinstance(found, Stored) else self._only_match(found, asked, block)
            if item is None:
                if found is None and wants_body and not told and self._errands is not None and not self._said:
                    begun = self._errands.begin(asked, line[4:-9], key, connection, started, now)
                    return end if begun else 0
                break
            # An order that is not carried out on everything yet: where it may concern this, the engine sees to it.
            if self._bans and any(ban.concerns(key) for ban in self._bans):
                break
            varied = item.entry.varied
            if varied and not self._memo.matches(asked, block, varied):
                break
            hot = item.hot
            if not isinstance(hot, Hot):
                hot = self._look(item, asked, key, now)
                if hot is None:
                    break
            elif now >= hot.until and not self._renew(item, hot, now):
                break
            if (asked.directives and hot.way.listens) or (self._said and key.partition("?")[0] in self._said):
                break

            length, status = 0, item.entry.kind.status
            if asked.conditional and self._is_unchanged(item, hot, asked):
                status = 304
                reply = hot.unchanged or self._make_unchanged(item, hot)
            elif wants_body:
                reply = hot.get or self._make_get(item, hot)
                body = item.held
                if isinstance(body, bytes) and len(body) <= JOIN_BYTES:
                    length = len(body)
                    reply += body
                elif isinstance(body, Extent):
                    length, large = body.length, body
                else:
                    pieces: tuple[bytes, ...] = item.body  # type: ignore[assignment]  # _way_of has seen to it
                    length = item.body_bytes
                    if length > WRITE_BYTES:
                        large = pieces
                    else:
                        out.append(reply)
                        reply = b""
                        out += pieces
            else:
                reply = hot.head or self._make_head(item, hot)
            if reply:
                out.append(reply)
            if item.uses < MOST_USES:
                item.uses += 1
            if self._touch is not None:
                self._touch(item.name)
            if self._note is not None and hot.noted:
                self._note(key)
            if hot.way.counted:
                self._uses.ask(key, now)
            told.append(Told(asked, wants_body, key, status, length, item.entry.fresh_until - now))
            at = end
            waiting += length
        if told:
            self.answered += len(told)
            if large is None:
                if len(out) == 1:
                    connection.send(out[0])
                else:
                    connection.send_all(out)
                self._tell(told, connection, now, started, None)
            elif isinstance(large, Extent):
                self._send_from(large, b"".join(out), told, connection, now, started)
            else:
                self._tell(told, connection, now, started, partial(connection.pour, b"".join(out), large))
        return at

    def _send_from(
        self, body: Extent, octets: bytes, told: list[Told], connection: Connection, now: float, started: float
    ) -> None:
        """Replies whose last body the kernel sends: at once, nearly always."""
        octets, sent = connection.send_file(octets, body)
        rest = partial(connection.pour_file, octets, body, sent) if octets or sent < body.length else None
        self._tell(told, connection, now, started, rest)

    # --- what is told about it ---

    def _tell(
        self,
        told: list[Told],
        connection: Connection,
        now: float,
        started: float,
        rest: Callable[[RequestHead, Callable[[int, bool], None]], None] | None,
    ) -> None:
        """These have left; the last one perhaps not yet: it has when the client has taken it (as Tally.visited).

        `rest`: sends what is left of the last.
        """
        last = told[-1]
        later = rest is not None or connection.full
        if later:
            told = told[:-1]
        connection.served += len(told)
        seconds = self._monotonic() - started
        for each in told:
            self._count(each, each.body_bytes, now, seconds, connection)
        if later:

            def done(body_bytes: int, complete: bool) -> None:
                self._count(last, body_bytes, now, self._monotonic() - started, connection)
                if not complete:
                    self._counters.aborted += 1

            request = RequestHead(last.method, self._scheme, last.asked.authority, last.target)
            if rest is None:
                connection.await_room(request, last.body_bytes, done)
            else:
                rest(request, done)

    def _count(self, told: Told, body_bytes: int, now: float, seconds: float, connection: Connection) -> None:
        counters = self._counters
        counters.requests[_HIT] += 1
        counters.request_seconds.observe(seconds)
        counters.sent_bytes += body_bytes
        if self._log is not None:
            asked = told.asked
            self._log.write(
                (now, connection.peer, told.method, self._scheme, asked.authority, told.target, 1, told.status,
                 body_bytes, seconds, _HIT, "", "", told.ttl, None, asked.referer, asked.user_agent)
            )  # fmt: skip

    # --- which object ---

    def _only_match(self, found: tuple[Stored, ...] | None, asked: Asked, block: bytes) -> Stored | None:
        """The one of several variants that this request selects; None unless it is certain that there is just one."""
        chosen = None
        for item in found or ():
            matches = self._memo.matches(asked, block, item.entry.varied) if item.entry.varied else True
            if matches is None or item.entry.part is not None or (matches and chosen is not None):
                return None
            if matches:
                chosen = item
        return chosen

    def _look(self, item: Stored, asked: Asked, key: str, now: float) -> Hot | None:
        """The heads of an object that has none ready: one hit's, unless it was hit a moment ago too."""
        way = self._mark(item, asked, key) if item.hot is None else item.hot
        if not isinstance(way, Way):
            return None  # never a plain hit, or Overtaken
        hot = Hot(way, key)
        if not self._renew(item, hot, now):
            return None
        if key in self._recent:
            item.hot = hot
            self._ring.append(hot)
            if len(self._ring) > MOST_HOT:
                self._cool(self._ring.popleft())
        else:
            self._crowd(key, now)
            hot.noted = self._noting
        return hot

    def _crowd(self, key: str, now: float) -> None:
        """Remembers the key for a moment; notices when there are too many."""
        recent = self._recent
        if len(recent) >= RECENT:
            # Where so many keys are asked for once in a second, counting them is 1.4 us each, in a table that none of
            # them stays in.
            self._noting = now - self._recent_at >= 1.0
            self._recent_at = now
            recent.clear()
        recent.add(key)

    def _cool(self, hot: Hot) -> None:
        found = self._dicts[hash(hot.key) >> TOP].get(hot.key)
        for item in (found,) if isinstance(found, Stored) else found or ():
            if item.hot is hot:
                item.hot = hot.way

    def _mark(self, item: Stored, asked: Asked, key: str) -> Way | object:
        """For an object that nobody has looked at yet: what it says to hits on it, or _NEVER. 0.4 us, where there is
        just one route and it leaves keys alone."""
        mark = item.hot = self._way_of(item, asked, key) or _NEVER
        return mark

    def _way_of(self, item: Stored, asked: Asked, key: str) -> Way | None:
        kind = item.kind
        if kind.line is None or kind.no_cache or kind.invalidated or item.entry.part is not None:
            return None
        if not 200 <= kind.status <= 599 or kind.status in _UNUSUAL_STATUS or not item.in_memory:
            return None
        if "\n" in key:
            return None
        if self._only_way is not None:
            return self._only_way
        rules = self._rules_for(asked, key)
        if rules is None:
            return None
        way = self._ways.get(id(rules))
        if way is None or way.rules is not rules:
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            way = self._ways[id(rules)] = Way(rules)
        return way

    def _rules_for(self, asked: Asked, key: str) -> Rules | None:
        """The rules for plain hits on what stands under this key; None where there are none, whoever asks."""
        target = key[len(asked.prefix) :]
        rules = self._only
        if rules is None:
            rules = self._rules_of(asked, target)
            if rules is None:
                return None
        if not rules.cache or rules.key.headers or rules.key.cookies or keyed_target(target, rules.key) != target:
            return None
        return rules

    def _rules_of(self, asked: Asked, target: str) -> Rules | None:
        """Those of the routes, where GET and HEAD have the same."""
        rules = self._rules(RequestHead("GET", self._scheme, asked.authority, target))
        same = rules is self._rules(RequestHead("HEAD", self._scheme, asked.authority, target))
        return rules if same else None

    # --- what is said ---

    def _renew(self, item: Stored, hot: Hot, now: float) -> bool:
        """Is it still fresh? Then what was ready is not, and the next heads are made for this instant."""
        born_at, fresh_until, hot.shown_bytes = item.entry.span
        until = early_from(item.entry, hot.way.beta) if hot.way.beta else fresh_until
        if item.look_again_at < until:
            until = item.look_again_at
        if now >= until:
            return False
        # The very arithmetic of current_age() and of cache_status().
        age = now - born_at
        hot.age = whole = 0 if age < 0 else int(age) if age < _MOST_AGE else MAX_DELTA_SECONDS
        hot.ttl = ttl = int((fresh_until - now) // 1)
        next_at = born_at + whole + 1
        if fresh_until - ttl < next_at:
            next_at = fresh_until - ttl
        next_at -= _EDGE
        hot.until = next_at if next_at < until else until
        hot.get = hot.head = hot.unchanged = None
        return True

    def _make_get(self, item: Stored, hot: Hot) -> bytes:
        hot.get = head = self._replies.get(item.entry, hot.age, hot.ttl, hot.shown_bytes, item.body_bytes)
        return head

    def _make_head(self, item: Stored, hot: Hot) -> bytes:
        hot.head = head = self._replies.head(item.entry, hot.age, hot.ttl, hot.shown_bytes, item.body_bytes)
        return head

    def _make_unchanged(self, item: Stored, hot: Hot) -> bytes:
        hot.unchanged = head = self._replies.unchanged(item.entry, hot.age, hot.ttl, hot.shown_bytes)
        return head

    def _is_unchanged(self, item: Stored, hot: Hot, asked: Asked) -> bool:
        entry = item.entry
        if not 200 <= entry.kind.status < 300:
            return False
        if not hot.judged:
            hot.judged = True
            hot.opaque = opaque_tag(entry.headers)
            hot.changed_at = changed_at(entry)
        if asked.etags is not None:
            return asked.etags == "*" or (hot.opaque is not None and hot.opaque in asked.etags)
        return asked.since is not None and hot.changed_at <= asked.since


def _keeps_keys(rules: Rules) -> bool:
    """Is every object of this route stored under the very URL that was asked for?"""
    return rules.cache and rules.key == KeyRules()


def hot_path(grounds: Grounds, server: Server) -> Callable[[bytes, Connection], int]:
    """For Server.front."""
    return Front(grounds, server).answer
