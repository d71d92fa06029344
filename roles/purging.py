"""A node's part in purging: the hub that numbers the orders, or one that follows it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from roles.post import Post
from seawall.admin.tokenfile import keep_secret, own_directory
from seawall.admin.tokens import Scope, Tokens
from seawall.config.place import caching_nodes, hub, rank
from seawall.config.places import data_directory, state_directory
from seawall.config.schema import Journal, Topology
from seawall.config.secrets import shared_secret
from seawall.engine.purgerequest import Allowed
from seawall.engine.standing import Standing
from seawall.purge.applied import Applied
from seawall.purge.distant import Distance
from seawall.purge.forgetter import Forgetter, Met
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.selection import Selection
from seawall.purge.service import PurgeService, open_hub, open_member, open_passer, open_redis_hub
from seawall.purge.workers import feed_name
from seawall.store.level import Stamp
from seawall.upstream.link import Wire

JOURNAL = "journal"
LOCK = "node.lock"


def nodes_secret(topology: Topology) -> str | None:
    """What the nodes of this topology know each other by; None for one alone. Raises ConfigError, OSError, Unsafe."""
    if len(caching_nodes(topology)) < 2:
        return None
    return shared_secret(topology, os.environ) or keep_secret(state_directory(os.environ))


def standing_of(topology: Topology, name: str, kept: Stamp, post: Post | None = None) -> Standing:
    """How this process stands to the orders before it has heard of any: fenced, unless only it can number them.

    `kept`: the orders that what it stores has survived. `post`: it is a worker, and numbers nothing.
    """
    applied = Applied(kept.journal, kept.number, kept.generation)
    if hub(topology) == name and topology.purge.journal is Journal.EMBEDDED and post is None:
        return Standing(applied)
    return Standing(applied, Lease(topology.purge.lease), lease_clock)


async def open_service(
    topology: Topology,
    name: str,
    standing: Standing,
    purger: Forgetter,
    secret: str | None,
    wire: Wire | None,
    post: Post | None = None,
) -> PurgeService:
    """The hub's journal, in the node's data directory or in Redis, or a feed from the hub. Raises JournalError.

    `post`: this process is a worker of the node, and follows whoever numbers, its own keeper perhaps.
    """
    numbering = hub(topology)
    data = data_directory(topology.nodes[name].data, name, os.environ)
    if numbering == name and post is None:
        about = {
            each: {"role": str(node.role), "region": node.region} for each, node in caching_nodes(topology).items()
        }
        if topology.purge.journal is Journal.REDIS:
            redis = topology.store_of(topology.nodes[name]).redis
            assert redis is not None  # noqa: S101 (the file's checks)
            assert standing.lease is not None  # noqa: S101
            return await open_redis_hub(
                redis.url,
                node=name,
                ranks=_ranks(topology, name),
                applied=standing.applied,
                lease=standing.lease,
                forgetter=purger,
                about=about,
            )
        return await open_hub(
            data / JOURNAL,
            node=name,
            ranks=_ranks(topology, name),
            applied=standing.applied,
            forgetter=purger,
            lease_seconds=topology.purge.lease,
            about=about,
        )
    assert standing.lease is not None  # noqa: S101
    if post is not None and post.hub is not None:
        return await open_member(
            "http://localhost",
            post.secret,
            node=post.feed,
            applied=standing.applied,
            lease=standing.lease,
            forgetter=purger,
            # Its hub is on this machine and takes feeds under this name from this machine only.
            sole=post.alone and only_one(data, _lock_of(post)),
            socket=post.hub,
        )
    # The lock is of this machine. Only where all listen on loopback can nobody elsewhere serve under this name.
    only_here = all(node.listen.loopback for node in caching_nodes(topology).values())
    assert secret is not None  # noqa: S101
    return await open_member(
        _hub_url(topology),
        secret,
        node=name if post is None else post.feed,
        applied=standing.applied,
        lease=standing.lease,
        forgetter=purger,
        sole=only_here and (only_one(data, LOCK) if post is None else post.alone and only_one(data, _lock_of(post))),
        distance=None if wire is None else Distance(wire.there.arrives_at, wire.back.arrives_at),
    )


async def open_keepers_service(topology: Topology, name: str, secret: str | None) -> PurgeService:
    """For the keeper of a node's workers, which stores nothing itself. Raises JournalError."""
    if hub(topology) == name:
        standing = standing_of(topology, name, Stamp())
        return await open_service(topology, name, standing, NothingStored(), secret, None)
    assert secret is not None  # noqa: S101 (there is another node, the hub)
    return open_passer(_hub_url(topology), secret, node=name)


class NothingStored:
    """The Forgetter of a process that stores nothing."""

    def count(self, what: Selection) -> Met:
        return Met(0, 0)

    def apply(self, what: Selection, *, soft: bool, number: int | None = None) -> Met:
        return Met(0, 0)

    def distrust_all(self) -> Met:
        return Met(0, 0)


def _ranks(topology: Topology, name: str) -> dict[str, int]:
    """Every feed that the hub `name` has, with its rank: of each other node, and of each worker where it has some."""
    ranks: dict[str, int] = {}
    for node, settings in caching_nodes(topology).items():
        if settings.workers > 1:
            ranks |= {feed_name(node, worker): rank(topology, node) for worker in range(settings.workers)}
        elif node != name:
            ranks[node] = rank(topology, node)
    return ranks


def _hub_url(topology: Topology) -> str:
    admin = topology.nodes[hub(topology)].admin
    assert admin is not None  # noqa: S101 (the file's checks)
    return f"http://{admin}"


def _lock_of(post: Post) -> str:
    return f"{LOCK}.{post.worker}"


def only_one(data: Path, name: str) -> bool:
    """Does this process hold this lock of the node's data directory, until it ends? Then none before it still serves.

    Not held while an earlier one drains: the hub then waits until that one's lease has run out.
    """
    own_directory(data)
    held = os.open(data / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
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
