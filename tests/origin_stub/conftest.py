from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from origin_stub import OriginStub


@pytest.fixture
async def stub() -> AsyncIterator[OriginStub]:
    async with OriginStub() as running:
        yield running
