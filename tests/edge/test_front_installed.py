"""An edge has the hot path, in one process or in several; a shield, whose clients are nodes, has none."""

from __future__ import annotations

import pytest

import edge.node
import shield.node
from edge.front import hot_path


@pytest.mark.parametrize(
    ("module", "run", "given"),
    [(edge.node, "run_edge", {"front": hot_path, "worker": "edge.worker"}), (shield.node, "run_shield", {})],
    ids=["edge", "shield"],
)
def test_which_role_has_the_hot_path(
    monkeypatch: pytest.MonkeyPatch, module: object, run: str, given: dict[str, object]
) -> None:
    seen: list[dict[str, object]] = []

    def run_node(*positional: object, **named: object) -> int:
        seen.append(named)
        return 0

    monkeypatch.setattr(module, "run_node", run_node)
    getattr(module, run)(object(), "node", on_ready=lambda info: None)
    assert seen == [given]
