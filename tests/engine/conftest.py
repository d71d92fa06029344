from collections.abc import AsyncIterator

import pytest

from tests.engine.scripted import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.engine.close()
    stage.store.check()
