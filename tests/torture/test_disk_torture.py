"""The short form of `python -m tests.torture.disk`: the disk level survives kills and damage without a wrong octet."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.store import behind
from seawall.store.disk.trouble import Patience
from tests.torture.diskwoes import NoMount, suffer_disk
from tests.torture.flips import flip_many
from tests.torture.kills import TIGHT, kill_many
from tests.torture.woes import PAUSE_SECONDS

# Seconds on a quiet machine; kills are processes, and a busy one starts them late.
pytestmark = pytest.mark.timeout(240)


async def test_eighty_kills_lose_nothing_that_was_written(tmp_path: Path) -> None:
    killed = await kill_many(tmp_path / "cache", 80, seed=1)
    assert killed.kills == 80
    assert killed.batches > 80, "it was killed before it did anything"
    assert killed.left_over, "no kill met a body on its way in"


async def test_twenty_kills_while_others_leave_are_never_wrong(tmp_path: Path) -> None:
    killed = await kill_many(tmp_path / "cache", 20, seed=2, size_bytes=TIGHT)
    assert killed.kills == 20


async def test_two_hundred_damages_are_misses_at_worst(tmp_path: Path) -> None:
    flipped = await flip_many(tmp_path, 200, seed=3)
    assert flipped.damages == 200
    assert flipped.missed > 50
    assert flipped.begun_anew > 3
    assert len(flipped.kinds) == 13


async def test_nine_times_full_or_gone_cost_hits_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "PAUSE_SECONDS", PAUSE_SECONDS)
    monkeypatch.setattr(Patience, "PAUSE_SECONDS", PAUSE_SECONDS)
    try:
        suffered = await suffer_disk(tmp_path, 9, seed=4)
    except NoMount:
        pytest.skip("only root may mount a disk that is small enough to fill")
    assert set(suffered.woes.values()) == {3}
    assert suffered.purges > 20
    assert suffered.from_below > 200, "the disk was of no use"
