"""Where a node stands in its topology: its parents, its rank, and who numbers the purge orders. Pure."""

from __future__ import annotations

from seawall.config.roles import Role
from seawall.config.schema import Node, Topology


def caching_nodes(topology: Topology) -> dict[str, Node]:
    """The nodes that store responses, in the order of the file."""
    return {name: node for name, node in topology.nodes.items() if node.role.caches}


def rank(topology: Topology, name: str) -> int:
    """How many nodes stand between this one and the origin at the most. The file's checks made sure of no cycle."""
    parents = topology.nodes[name].parents
    return 1 + max(rank(topology, parent) for parent in parents) if parents else 0


def hub(topology: Topology) -> str:
    """Who numbers the orders: as the file says, else the first shield, else the first node without a parent."""
    if topology.purge.hub is not None:
        return topology.purge.hub
    nodes = caching_nodes(topology)
    shields = [name for name, node in nodes.items() if node.role is Role.SHIELD]
    alone = [name for name, node in nodes.items() if not node.parents]
    return (shields or alone)[0]
