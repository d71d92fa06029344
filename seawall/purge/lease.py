"""The promise that lets a node serve from its cache without asking: its hub is there, and nothing is kept from it.

Pure: `now` is an argument everywhere. Knows no feed; `nodefeed.py` and `hubfeed.py` carry the words.

Node                                   Hub
  |  Ping(t0 = node's clock)            |
  |------------------------------------>|   now = e, the hub's clock
  |            Echo(t0, grant)          |   remembers: this node may trust its cache until e + grant
  |<------------------------------------|
  |  trusts its cache until t0 + grant  |

The node counts from when it *sent* the ping, not from when the echo came. Between the two may lie any time:
a slow link, a full socket, a process that was stopped (SIGSTOP) with echoes waiting in its buffer. When it
goes on and reads them all, each extends the lease to where it would have ended anyway, which is past.
Counted from their arrival, a node that slept for an hour would trust its cache again. No clocks are
compared: t0 happened before e, so t0 + grant is over before e + grant is, as long as both clocks run equally
fast. For what they differ there is a margin.

The grant is what makes a purge safe one lease after it was written down, at the latest, whatever happens:
it never reaches beyond (the oldest order that this node has not confirmed) + lease. So a node that takes
echoes and applies nothing loses its lease as one that hears nothing does.

Clocks: one that goes on while the machine sleeps (CLOCK_BOOTTIME; on Linux time.monotonic() stands still
then), or a laptop wakes up with a lease that its hub has long written off. And `now` of a hit is read after
its request was: a reading from before the process was stopped says that it is still before.
"""

from __future__ import annotations

import math

NEVER = -math.inf

# Pings in a lease: two may be lost, and a third be slow.
PINGS_A_LEASE = 5


def margin(seconds: float) -> float:
    """How much longer than granted the hub waits before it counts on a lease having run out, in seconds.

    Quartz differs by 100 ppm, a virtual machine's clock under NTP slews by up to 500; 1 % is for the rest,
    and the 50 ms are for what a node has already decided to send when its lease runs out.
    """
    return 0.05 + seconds / 100


class Lease:
    """A node's own: may it trust its cache? `seconds` is the longest that one echo can be good for."""

    __slots__ = ("_pinged_at", "seconds", "until")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until = NEVER  # on the node's clock; a hit compares with it and does nothing else
        self._pinged_at = NEVER

    def pinged(self, now: float) -> None:
        """A ping goes out now."""
        self._pinged_at = now

    def echoed(self, t0: float, grant: float) -> bool:
        """The echo of the ping of `t0` came. False, and nothing else, where no ping can have said that."""
        if not t0 <= self._pinged_at or not grant >= 0:  # "not <=": a NaN is refused too
            return False
        self.until = max(self.until, t0 + min(grant, self.seconds))
        return True

    def held(self, now: float) -> bool:
        """May what is stored be served without asking?"""
        return now < self.until

    def surrender(self) -> None:
        """From now on nothing stored is served without asking."""
        self.until = NEVER
        self._pinged_at = NEVER

    def __repr__(self) -> str:
        return f"<Lease {self.seconds}s until={self.until:.3f}>"


class HubView:
    """What the hub knows of a node's lease: only when it has certainly run out.

    A hub that has just started knows nothing, so the node may hold what an earlier hub process granted at
    the very last: `since` is the hub's start.
    """

    __slots__ = ("_margin", "seconds", "until")

    def __init__(self, seconds: float, since: float) -> None:
        self.seconds = seconds
        self.until = since + seconds  # on the hub's clock, without the margin
        self._margin = margin(seconds)

    def granted(self, now: float, grant: float) -> None:
        """An echo for this many seconds goes out now: say so before it is sent."""
        self.until = max(self.until, now + grant)

    def surrendered(self) -> None:
        """The node itself said that it holds nothing any more."""
        self.until = NEVER

    def fenced(self, now: float) -> bool:
        """Has the lease certainly run out? The node then serves nothing without asking."""
        return now > self.until + self._margin

    def __repr__(self) -> str:
        return f"<HubView {self.seconds}s until={self.until:.3f}>"
