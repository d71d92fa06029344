"""The short form of `python -m tests.torture.churn`: what passes through a node does not stay in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.churn import check, churn

REQUESTS = 3_000
# Tables that are bounded fill up meanwhile; a kibibyte for each request of a third would come on top.
MOST_GROWTH = 1_200_000


@pytest.mark.timeout(240)
async def test_a_node_that_much_passes_through_does_not_grow(tmp_path: Path) -> None:
    churned = await churn(tmp_path, 1, lambda asked: asked < REQUESTS)
    check(churned, MOST_GROWTH)
