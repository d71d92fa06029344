"""A node's part in purging: the hub that numbers the orders, or one that follows it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from seawall.admin.tokenfile import keep_secret, own_directory
from seawall.admin.tokens import Scope, Tokens
from seawall.config.place import caching_nodes, hub, ranks_of_others
from seawall.config.places import data_directory, state_directory
from seawall.config.schema import Topology
from seawall.config.secrets import shared_secret
from seawall.engine.purger import Purger
from seawall.engine.purgerequest import Allowed
from seawall.engine.standing import Standing
from seawall.purge.applied import Applied
from seawall.purge.distant import Distance
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.service import PurgeService, open_hub, open_member
from seawall.upstream.link import Wire

JOURNAL = "journal"
LOCK = "node.lock"


def nodes_secret(topology: Topology) -> str | None:
    """What the nodes of this topology know each other by; None for one alone. Raises ConfigError, OSError, Unsafe."""
    if len(caching_nodes(topology)) < 2:
        return None
    return shared_secret(topology, os.environ) or keep_secret(state_directory(os.environ))


def standing_of(topology: Topology, name: str) -> Standing:
    """How this node stands to the orders before it has heard of any: fenced, unless it numbers them itself."""
    if hub(topology) == name:
        return Standing(Applied())
    return Standing(Applied(), Lease(topology.purge.lease), lease_clock)


async def open_service(
    topology: Topology, name: str, standing: Standing, purger: Purger, secret: str | None, wire: Wire | None
) -> PurgeService:
    """The hub's journal, in the node's data directory, or a feed from the hub. Raises JournalError."""
    numbering = hub(topology)
    data = data_directory(topology.nodes[name].data, name, os.environ)
    if numbering == name:
        about = {
            each: {"role": str(node.role), "region": node.region} for each, node in caching_nodes(topology).items()
        }
        return await open_hub(
            data / JOURNAL,
            node=name,
            ranks=ranks_of_others(topology, name),
            applied=standing.applied,
            forgetter=purger,
            lease_seconds=topology.purge.lease,
            about=about,
        )
    # The lock is of this machine. Only where all listen on loopback can nobody elsewhere serve under this name.
    only_here = all(node.listen.loopback for node in caching_nodes(topology).values())
    admin = topology.nodes[numbering].admin
    assert admin is not None  # noqa: S101 (the file's checks)
    assert secret is not None  # noqa: S101
    assert standing.lease is not None  # noqa: S101
    return await open_member(
        f"http://{admin}",
        secret,
        node=name,
        applied=standing.applied,
        lease=standing.lease,
        forgetter=purger,
        sole=only_here and _only_one(data),
        distance=None if wire is None else Distance(wire.there.arrives_at, wire.back.arrives_at),
    )


def _only_one(data: Path) -> bool:
    """Does this process hold the lock of the node's data directory, until it ends? Then none before it still serves.

    Not held while an earlier one drains: the hub then waits until that one's lease has run out.
    """
    own_directory(data)
    held = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return False
    return True  # the descriptor stays open: the kernel takes the lock back when the process ends, however it ends


def allowed_to_purge(topology: Topology, tokens: Tokens) -> Allowed:
    """Whose PURGE is carried out on the data port: the file's addresses, and tokens that are good for purging."""

    def holder(secret: str) -> str | None:
        found = tokens.holder(secret)
        return found.name if found is not None and Scope.PURGE in found.may else None

    return Allowed(topology.purge.allow, holder)
