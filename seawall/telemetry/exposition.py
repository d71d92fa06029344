"""What /metrics answers, made on the first scrape: a node must not wait for prometheus_client to be ready."""

from __future__ import annotations

from seawall.telemetry.metrics import Counters, Gauges


class Scrape:
    """A node's numbers, to be rendered whenever somebody asks."""

    __slots__ = ("_counters", "_exposition", "_gauges", "_node")

    def __init__(self, counters: Counters, gauges: Gauges, node: str) -> None:
        self._counters = counters
        self._gauges = gauges
        self._node = node
        self._exposition: object = None

    def __call__(self, accept: str) -> tuple[str, bytes]:
        """Content-Type and body for a scraper that accepts this."""
        from seawall.telemetry.prometheus import Exposition

        if not isinstance(self._exposition, Exposition):
            self._exposition = Exposition(self._counters, self._gauges, self._node)
        return self._exposition.render(accept)
