"""Is what Redis holds still the journal whose orders were acknowledged? Pure.

The numbers of a journal mean something only while no acknowledged order can have been lost. If Redis forgets order
51 and the hub gives 51 to another one, a node that was away believes that it has it, and keeps for ever what the
other one purged. So wherever a loss cannot be ruled out the journal gets a new id, and every node takes all that it
stores for stale: that costs revalidations, and nothing else.

    the same server process (run_id, replid)     it has forgotten nothing; what people delete shows in `last`
    another one                                  it may have, unless it was durable then and is now, and whoever
                                                 numbered last is here to say that nothing is missing

`durable` means: every write is on the server's disk before it is acknowledged (appendfsync always), and there is no
replica that could be promoted in its place, with less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seawall.purge.lease import NEVER
from seawall.purge.ledger import JournalError
from seawall.purge.redisscripts import VERSION


@dataclass(frozen=True, slots=True)
class Known:
    """What this process has seen of the journal: its id, the newest number that was acknowledged, and until when, on
    the clock of leases, it held the lease before that term ended."""

    id: str
    last: int
    held_until: float = NEVER


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis holds: `about` as it is written there, the id of the stream's newest entry or "", and the server."""

    about: Mapping[str, str]
    top: str
    run: str
    replid: str
    durable: bool


@dataclass(frozen=True, slots=True)
class Continues:
    """It is the same journal, and these are its id and newest number."""

    id: str
    last: int


@dataclass(frozen=True, slots=True)
class Begins:
    """A new one has to begin. `why` is None where there was none before."""

    why: str | None


def judge(found: Found, known: Known | None) -> Continues | Begins:
    """Raises JournalError where a later version wrote it: it is not for us to destroy."""
    about = found.about
    if not about and not found.top:
        return Begins(None if known is None else "it is gone: flushed, evicted or lost")
    version, number = about.get("version", ""), about.get("last", "")
    if version.isdecimal() and int(version) > VERSION:
        raise JournalError("the journal in Redis was written by a version that this one does not know")
    if version != str(VERSION) or not about.get("id") or not number.isdecimal():
        return Begins("half of it is gone, or was never of ours")
    journal, last = about["id"], int(number)
    if found.top != (f"{last}-0" if last else ""):
        return Begins(f"its stream ends at {found.top or 'nothing'}, and {last} orders were acknowledged")
    ours = known is not None and known.id == journal
    if known is not None and ours and last < known.last:
        return Begins(f"it ends at {last}, and {known.last} orders were acknowledged")
    if (found.run, found.replid) != (about.get("run"), about.get("replid")):
        if not (about.get("durable") == "1" and found.durable):
            return Begins("Redis was restarted or replaced, and may have lost what it had acknowledged")
        if not ours:
            return Begins("Redis was restarted or replaced, and nobody here knows how far the journal went")
    return Continues(journal, last)
