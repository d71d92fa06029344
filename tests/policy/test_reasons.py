"""Every reason that policy gives is shown by some test, so that none of them is a dead word."""

from __future__ import annotations

import re
from pathlib import Path

from seawall.policy import decide
from seawall.policy.reasons import Reason

_NAMED = re.compile(r"\bReason\.([A-Z0-9_]+)")


def test_every_reason_given_is_tested() -> None:
    assert decide.__file__ is not None
    given = {
        name
        for source in Path(decide.__file__).parent.glob("*.py")
        for name in _NAMED.findall(source.read_text(encoding="utf-8"))
    }
    tested = {
        name
        for test in Path(__file__).parent.glob("test_*.py")
        for name in _NAMED.findall(test.read_text(encoding="utf-8"))
    }
    assert given
    assert given <= {reason.name for reason in Reason}
    assert given - tested == set()
