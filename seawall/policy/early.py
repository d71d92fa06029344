"""When what is still fresh is fetched anew, and by how much freshness is shortened, so that many do not expire at once.

The first is the XFetch of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention"
(VLDB 2015): each hit draws for itself, likelier as the end comes near, and earlier the longer a fetch takes. Knows no
clock and no source of chance: both are arguments.
"""

from __future__ import annotations

from math import log

from seawall.http.cachecontrol import parse_cache_control
from seawall.http.headers import combined
from seawall.http.message import RequestHead
from seawall.policy.entry import Entry
from seawall.policy.invalidate import stale_from

# The paper's draw has no upper end. Cut off where it exceeds ten times delta * beta, once in e^10 = 22,026 hits: until
# then a hit needs no draw, and a key that is asked for so often is refreshed a little later all the same.
MOST_AHEAD = 10.0


def early_from(entry: Entry, beta: float) -> float:
    """The instant before which no hit sets off an early refresh; the end of freshness where there is none at all.

    For whoever answers fresh hits by one comparison: until then it may, and from then on each hit has to draw.
    """
    return _early_from(entry, entry.fetch_seconds, beta)


def due_early(entry: Entry, delta: float, now: float, beta: float, chance: float) -> bool:
    """Is this hit the one that sets off a refresh?

    `delta`: seconds that a fetch takes; `beta`: 1 is the paper's, more is earlier, 0 never; `chance` from (0, 1].
    Says no of what is stale by now: that is not early any more, and for others to answer.
    """
    if now >= entry.fresh_until or now < _early_from(entry, delta, beta):
        return False
    # Vattani et al., figure 1: "time() - delta * beta * log(rand()) >= expiry". The log is not positive.
    return now - delta * beta * log(chance) >= entry.fresh_until


def may_set_off(request: RequestHead) -> bool:
    """May a refresh be made of this request, which was answered without one?

    Any GET of the whole may, from a client that neither said who it is nor what must not leave the cache (RFC 9111
    5.2.1.5 and 5.2.1.7): others will come. Ranges would be flights of their own each.
    """
    fields = request.headers
    if request.method != "GET" or "authorization" in fields or "range" in fields:
        return False
    if "cache-control" not in fields:
        return True
    said = parse_cache_control(combined(fields, "cache-control"))
    return "only-if-cached" not in said and "no-store" not in said


def jittered(entry: Entry, share: float, chance: float) -> Entry:
    """The entry, its remaining freshness shortened by `chance` (0 to 1) of this share of it; never made longer.

    Of what is left when it is stored, not of the whole lifetime: of an answer that comes old from another cache, a
    share of the whole could be more than there is. The windows for stale responses keep their length.
    """
    left = entry.fresh_until - entry.stored_at
    return entry if left <= 0 else stale_from(entry, entry.fresh_until - left * share * chance)


def _early_from(entry: Entry, delta: float, beta: float) -> float:
    if delta <= 0 or beta <= 0 or entry.fresh_until <= entry.stored_at:
        return entry.fresh_until
    return entry.fresh_until - MOST_AHEAD * delta * beta
