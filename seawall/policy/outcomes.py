"""What the two doors of policy answer: frozen values, matched to assert_never by the engine."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.http.headers import Headers
from seawall.policy.entry import Entry
from seawall.policy.reasons import Fwd, Reason

# --- decide(): before anything is sent forward ---


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from this entry: fresh, or as good as fresh."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Answer from this stale entry at once; where `refresh` is set, one background revalidation goes out."""

    entry: Entry
    reason: Reason
    refresh: bool


@dataclass(frozen=True, slots=True)
class Revalidate:
    """Ask the origin whether `entry` still holds, with these extra request fields (RFC 9111 4.3.1).

    The request's own preconditions and Range are replaced: the answer is for the cache, which then
    answers the client's conditions itself. `conditions` is empty where a stale whole without a validator is
    fetched anew although the client wants a range of it.
    """

    entry: Entry
    conditions: Headers
    fwd: Fwd
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """Ask for the missing rest of a stored part (RFC 9111 3.4): Range and If-Range (or If-Match) in `conditions`."""

    entry: Entry
    conditions: Headers


@dataclass(frozen=True, slots=True)
class Fetch:
    """Forward it.

    `storable`: the answer may be stored, so identical requests may wait for it (collapse), and the client's
    preconditions stay with us; else it is a pass: forwarded as it came, preconditions included, body streamed.
    """

    fwd: Fwd
    storable: bool
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this error ourselves; nothing goes forward."""

    status: int
    reason: Reason


Decision = Serve | ServeStale | Revalidate | Complete | Fetch | Refuse

# --- settle(): when the origin's head (or its failure) is here ---


@dataclass(frozen=True, slots=True)
class Store:
    """Keep it once it has arrived whole. Replaces the variant that the same selecting fields named."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Refresh:
    """304: `entry` (the one that was stored) becomes `updated`; the stored body is what the client gets."""

    entry: Entry
    updated: Entry


@dataclass(frozen=True, slots=True)
class Combine:
    """206 that extends the stored part: `updated` describes the two together, the body is stored + arriving."""

    entry: Entry
    updated: Entry


@dataclass(frozen=True, slots=True)
class UseStale:
    """The origin failed; answer from this stale entry. The failure is not stored."""

    entry: Entry
    reason: Reason


@dataclass(frozen=True, slots=True)
class Again:
    """Of no use to the client (a 304 or 206 that fits nothing we hold): ask once more, unconditionally."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class PassOn:
    """Give it to the client and do not store it.

    `remember`: the key is uncacheable for a while (hit-for-miss), so that requests for it do not wait for
    each other again.
    """

    reason: Reason
    remember: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """An upstream that gave no usable answer, and the status that says so: 502, 503 or 504 (RFC 9110 15.6)."""

    reason: Reason
    status: int


Settlement = Store | Refresh | Combine | UseStale | Again | PassOn
