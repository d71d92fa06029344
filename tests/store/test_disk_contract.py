"""The disk level keeps the contract of levels, and leaves nothing behind that contradicts itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.store.disk import DiskLevel, open_disk
from seawall.store.level import Level
from tests.store import disk_check
from tests.store.level_contract import LevelContract


class TestDiskLevel(LevelContract):
    WHOLE_BYTES = 1 << 20

    @pytest.fixture
    async def level(self, tmp_path: Path) -> AsyncIterator[Level]:
        self.directory = tmp_path / "cache"
        level = await open_disk(self.directory, size_bytes=1 << 30, whole_bytes=self.WHOLE_BYTES)
        yield level
        await level.close()

    async def check(self, level: Level) -> None:
        assert isinstance(level, DiskLevel)
        if "closed" not in repr(level):
            await level.settled()
        disk_check.check(self.directory)
        disk_check.assert_private(self.directory)
        assert level.usage().damaged == 0
        assert level.usage().failures == 0


class TestDiskLevelOfSmallMemory(TestDiskLevel):
    """Every body that has a file of its own is read from there."""

    WHOLE_BYTES = 0
