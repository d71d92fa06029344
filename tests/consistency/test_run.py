"""The short form of the randomised run, over real processes: readers, writers, purgers and faults for half a minute.

The long form is `make consistency`. What a violation means is said in checker.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consistency.history import FaultKind, PurgeState
from tests.consistency.run import Plan, run
from tests.consistency.world import SHIELD

SEED = 1


@pytest.mark.timeout(180)
async def test_every_promise_is_kept_under_readers_writers_purgers_and_faults(tmp_path: Path) -> None:
    outcome = await run(Plan(SEED, reads=10_000, purges=150, seconds=90.0), tmp_path)
    report = "\n".join(outcome.lines())
    print(report)
    assert outcome.good, f"{report}\nhistory and logs: {tmp_path}"
    # It was worth something: everything happened, and most reads could have shown a mistake.
    history = outcome.history
    assert len(history.reads) >= 10_000
    assert {fault.kind for fault in history.faults} == set(FaultKind)
    assert SHIELD in {fault.node for fault in history.faults}
    assert {purge.state for purge in history.purges} >= {PurgeState.COMPLETE, PurgeState.PARTIAL}
    assert outcome.reach.bound > 2000
    assert outcome.reach.superseded > 100
    assert outcome.reach.calm > 1000
