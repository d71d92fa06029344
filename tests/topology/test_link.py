"""`link:` makes a topology on one machine behave like a map."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from tests.topology.city import city, edge, own_word, shield

LATENCY = 0.05
ROUNDS = 5


async def test_latency_of_a_link_delays_misses_through_that_edge_and_nothing_else(tmp_path: Path) -> None:
    nodes = {
        "shield-1": shield(),
        "edge-near": edge("shield-1"),
        "edge-far": edge("shield-1", link={"latency": "50ms"}),
    }
    async with city(tmp_path, nodes) as town:
        town.stub.script("/*", ["size=1000&max-age=600"])

        async def seconds(name: str, path: str, word: str) -> float:
            began = time.monotonic()
            assert own_word(await town.get(name, path)) == word
            return time.monotonic() - began

        far, near, hits = [], [], []
        for number in range(ROUNDS):
            # Turn by turn, so that a busy moment of the machine meets all of them.
            far.append(await seconds("edge-far", f"/far/{number}", "MISS"))
            near.append(await seconds("edge-near", f"/near/{number}", "MISS"))
            hits.append(await seconds("edge-far", f"/far/{number}", "HIT"))
        assert min(far) >= 2 * LATENCY
        assert median(far) >= median(near) + 1.5 * LATENCY
        assert median(hits) <= median(far) - 1.5 * LATENCY
