"""The short form of what `make torture` does to Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.store import behind
from tests.torture.rediswoes import suffer_redis
from tests.torture.woes import PAUSE_SECONDS


@pytest.mark.timeout(240)
async def test_ten_woes_of_redis_cost_hits_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "PAUSE_SECONDS", PAUSE_SECONDS)
    suffered = await suffer_redis(tmp_path, 10, seed=2)
    assert suffered.woes.total() == 10
    assert len(suffered.woes) == 5
    assert suffered.purges > 20
    assert suffered.from_below > 200, "Redis was of no use"
