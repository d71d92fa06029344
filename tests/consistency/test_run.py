"""The short form of the randomised run, over real processes: readers, writers, purgers and faults, once over nodes that
keep what they store in memory and once over nodes with a disk.

The long form, with all faults, is `make consistency`. What a violation means is said in checker.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consistency.history import FaultKind, PurgeState
from tests.consistency.run import Outcome, Plan, run
from tests.consistency.world import SHIELD, Levels

SEED = 1


async def kept(plan: Plan, directory: Path) -> Outcome:
    """The outcome of a run in which every promise was kept, and which was worth something: most reads could have shown
    a mistake."""
    outcome = await run(plan, directory)
    report = "\n".join(outcome.lines())
    print(report)
    assert outcome.good, f"{report}\nhistory and logs: {directory}"
    history = outcome.history
    assert len(history.reads) >= plan.reads
    assert SHIELD in {fault.node for fault in history.faults}
    assert PurgeState.COMPLETE in {purge.state for purge in history.purges}
    assert outcome.reach.bound > 2000
    assert outcome.reach.superseded > 100
    assert outcome.reach.calm > 1000
    return outcome


@pytest.mark.timeout(300)
async def test_every_promise_is_kept_under_readers_writers_purgers_and_faults(tmp_path: Path) -> None:
    strikes = ("freeze_long", "cut_off", "kill_shield", "break_off")
    outcome = await kept(Plan(SEED, reads=5000, purges=80, seconds=150.0, strikes=strikes), tmp_path)
    # Who is frozen for longer than a lease, or cut off, is fenced.
    assert PurgeState.PARTIAL in {purge.state for purge in outcome.history.purges}
    kinds = {fault.kind for fault in outcome.history.faults}
    assert kinds == {FaultKind.FREEZE, FaultKind.CUT, FaultKind.KILL, FaultKind.TRUNCATE}


@pytest.mark.timeout(300)
async def test_every_promise_is_kept_over_disks_that_outlive_their_nodes(tmp_path: Path) -> None:
    strikes = ("kill_edge", "kill_shield", "freeze_briefly", "freeze_origin")
    plan = Plan(SEED, reads=3000, purges=50, seconds=150.0, levels=Levels.DISK, strikes=strikes)
    outcome = await kept(plan, tmp_path)
    assert {fault.kind for fault in outcome.history.faults} == {FaultKind.FREEZE, FaultKind.KILL}
    assert outcome.only_below > 5, "most of it came up from the disks"
