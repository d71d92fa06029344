"""When what Redis holds is still the journal that was acknowledged, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seawall.purge.ledger import JournalError
from seawall.purge.redisidentity import Begins, Continues, Found, Known, judge

ABOUT = {"version": "1", "id": "j", "last": "5", "hub": "h/1", "run": "r", "replid": "p", "durable": "1"}
SAME = Found(ABOUT, "5-0", "r", "p", True)
RESTARTED = replace(SAME, run="s", replid="q")
NOTHING = Found({}, "", "r", "p", True)


def with_about(found: Found, **changed: str) -> Found:
    return replace(found, about={**found.about, **changed})


@pytest.mark.parametrize(
    ("found", "known", "kept"),
    [
        (SAME, None, True),
        (SAME, Known("j", 5), True),
        (SAME, Known("j", 4), True),  # another hub has numbered meanwhile
        (SAME, Known("another", 9), True),
        (with_about(SAME, durable="0"), None, True),  # the same process has lost nothing
        (replace(SAME, durable=False), None, True),
        (SAME, Known("j", 6), False),
        (replace(SAME, top="4-0"), None, False),
        (replace(SAME, top="6-0"), None, False),
        (replace(SAME, top="5-1"), None, False),
        (replace(SAME, top=""), None, False),
        (with_about(replace(SAME, top=""), last="0"), None, True),
        (with_about(SAME, id=""), None, False),
        (with_about(SAME, last="-1"), None, False),
        (replace(SAME, about={}), None, False),
        (RESTARTED, Known("j", 5), True),
        (RESTARTED, Known("j", 4), True),
        (RESTARTED, None, False),
        (RESTARTED, Known("another", 5), False),
        (RESTARTED, Known("j", 6), False),
        (replace(RESTARTED, durable=False), Known("j", 5), False),
        (with_about(RESTARTED, durable="0"), Known("j", 5), False),
        (replace(SAME, replid="q"), None, False),  # a failover there and back
    ],
)
def test_identity(found: Found, known: Known | None, kept: bool) -> None:
    judged = judge(found, known)
    if kept:
        assert judged == Continues("j", int(found.about["last"]))
    else:
        assert isinstance(judged, Begins)
        assert judged.why is not None


def test_nothing_is_the_first_journal_unless_somebody_knew_one() -> None:
    assert judge(NOTHING, None) == Begins(None)
    judged = judge(NOTHING, Known("j", 0))
    assert isinstance(judged, Begins)
    assert judged.why is not None


def test_later_version_is_not_ours_to_replace() -> None:
    with pytest.raises(JournalError):
        judge(with_about(SAME, version="2"), None)
