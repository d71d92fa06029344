"""Why: the one vocabulary that header, metric, log and explain read.

`Fwd` is RFC 9211 2.2, why a request went forward; `Reason` is the `detail` beside it, why something
was not stored, not reused, or refused.
"""

from __future__ import annotations

from enum import StrEnum


class Fwd(StrEnum):
    """RFC 9211 2.2: why the request was forwarded."""

    BYPASS = "bypass"  # configured not to handle it
    METHOD = "method"  # the method's semantics require it
    URI_MISS = "uri-miss"  # nothing stored for the URL
    VARY_MISS = "vary-miss"  # stored for the URL, but not for this request's selecting fields
    MISS = "miss"  # something stored, but not usable
    REQUEST = "request"  # fresh, but the request's own directives forbid it
    STALE = "stale"  # stored, and stale
    PARTIAL = "partial"  # only part of what was asked is stored


class Outcome(StrEnum):
    """One word a response, in X-Cache, metric and log."""

    HIT = "HIT"
    MISS = "MISS"
    STALE = "STALE"
    PASS = "PASS"  # noqa: S105 (Varnish's word, no password)
    ERROR = "ERROR"  # answered by us: nothing stored, and no usable answer from the origin


class Reason(StrEnum):
    """The `detail` of Cache-Status: every "no" of the cache by name."""

    # Not stored (RFC 9111 3)
    NO_STORE = "no-store"
    PRIVATE = "private"
    METHOD = "method"
    STATUS = "status"
    MUST_UNDERSTAND = "must-understand"
    AUTHORIZATION = "authorization"
    SET_COOKIE = "set-cookie"
    COOKIE = "cookie"  # heuristic freshness is not given to an answer to a request with cookies
    VARY_STAR = "vary-star"
    NO_FRESHNESS = "no-freshness"  # neither freshness nor a validator: nothing to gain
    TOO_LARGE = "too-large"
    TAGS_TOO_LARGE = "tags-too-large"
    TOO_MANY_VARIANTS = "too-many-variants"
    HEAD_TOO_LARGE = "head-too-large"
    NOT_DELIMITED = "not-delimited"  # ends with the connection: wholeness cannot be proven
    INCOMPLETE = "incomplete"
    BAD_PARTIAL = "bad-partial"
    UNSOLICITED_304 = "unsolicited-304"
    VALIDATOR_MISMATCH = "validator-mismatch"  # a 304 or 206 that speaks of another version than ours
    UPGRADED = "upgraded"
    CLIENT_ERROR = "client-error"  # 400 413 414 431 501: one request's fault, never everybody's (CPDoS)
    OVERTAKEN = "overtaken"  # a purge or an unsafe request came between take-off and landing
    NO_ROOM = "no-room"
    MIN_USES = "min-uses"  # not asked for often enough yet to be worth its room
    PARENT_STALE = "parent-stale"  # a node of ours served it stale: not ours to make fresh
    # Not reused, or sent forward
    ROUTE_PASS = "route-pass"  # noqa: S105
    REQUEST_BODY = "request-body"
    REQUEST_NO_STORE = "request-no-store"
    REQUEST_NO_CACHE = "request-no-cache"
    REQUEST_MAX_AGE = "request-max-age"
    REQUEST_MIN_FRESH = "request-min-fresh"
    REQUEST_MAX_STALE = "request-max-stale"
    UPGRADE = "upgrade"
    HIT_FOR_MISS = "hit-for-miss"
    NO_CACHE = "no-cache"
    EXPIRED = "expired"
    MUST_REVALIDATE = "must-revalidate"
    RANGE_ABSENT = "range-absent"
    PRECONDITION = "precondition"  # If-Match or If-Unmodified-Since: only the origin may say no to these
    INVALIDATED = "invalidated"
    FENCED = "fenced"  # the node's lease has run out: it has not heard what was purged, and asks for everything
    # Fresh, and asked for all the same
    EARLY_REFRESH = "early-refresh"  # the hit that set off a refresh in the background, before it was needed
    # Stale, and why that was right
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_IF_ERROR = "stale-if-error"
    ORIGIN_UNREACHABLE = "origin-unreachable"
    # Refused by us
    ONLY_IF_CACHED = "only-if-cached"
    LOOP = "loop"
    BAD_REQUEST = "bad-request"
    NO_ROUTE = "no-route"
    CLIENT_ABORT = "client-abort"  # the client left in the middle of its own request
    # The origin's fault
    CONNECT_FAILED = "connect-failed"
    CONNECT_TIMEOUT = "connect-timeout"
    TLS_FAILED = "tls-failed"
    FIRST_BYTE_TIMEOUT = "first-byte-timeout"
    IDLE_TIMEOUT = "idle-timeout"
    RESET = "reset"
    BAD_RESPONSE = "bad-response"
    QUEUE_FULL = "queue-full"
