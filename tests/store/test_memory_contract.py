"""The contract of levels holds for the plainest one: so it asks nothing that only a disk could mean."""

from __future__ import annotations

import pytest

from seawall.store.level import Level
from tests.store.level_contract import LevelContract
from tests.store.memory_level import MemoryLevel


class TestMemoryLevel(LevelContract):
    @pytest.fixture
    async def level(self) -> Level:
        return MemoryLevel(256 << 20)

    async def check(self, level: Level) -> None:
        assert isinstance(level, MemoryLevel)
        level.store.check()
