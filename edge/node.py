"""An edge as a process: the node that clients talk to."""

from __future__ import annotations

from collections.abc import Callable

from edge.front import hot_path
from roles.node import ReadyInfo, run_node
from seawall.config.schema import Topology


def run_edge(topology: Topology, node_name: str, *, on_ready: Callable[[ReadyInfo], None]) -> int:
    """Runs the node until SIGTERM or SIGINT; the exit code. Raises what CachingNode.run raises."""
    return run_node(topology, node_name, on_ready, front=hot_path, worker="edge.worker")
